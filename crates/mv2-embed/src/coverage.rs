//! How much of a text a model's vocabulary covers.
//!
//! Most English models know characters of other scripts one by one, which makes vectors of noise:
//! on Japanese questions their ranking alone reached nDCG@10 .25 where bigrams reach .95. So the
//! share of the text that is in a script that they know decides whether a text gets a vector at all
//! ([`MINIMUM`]), and how far fusion trusts it.

use crate::error::NoVector;

/// Below this share a text gets no vector.
pub const MINIMUM: f32 = 0.2;

/// Code points below this one are Latin letters with or without diacritics (Basic Latin to Latin Extended-B).
pub(crate) const LATIN_END: u32 = 0x250;

/// The share of the letters and digits of `text` that are Latin, 0 to 1; 0 if it has none.
///
/// ```
/// assert_eq!(mv2_embed::coverage::latin("Café no. 5"), 1.0);
/// assert_eq!(mv2_embed::coverage::latin("日本語"), 0.0);
/// assert_eq!(mv2_embed::coverage::latin("!?"), 0.0);
/// ```
pub fn latin(text: &str) -> f32 {
    let (mut covered, mut all) = (0u64, 0u64);
    for c in text.chars().filter(|c| c.is_alphanumeric()) {
        all += 1;
        covered += u64::from(u32::from(c) < LATIN_END);
    }
    if all == 0 {
        0.0
    } else {
        (covered as f64 / all as f64) as f32
    }
}

/// Whether any letter or digit is there, and enough of them are covered.
pub(crate) fn check(text: &str, coverage: f32) -> Result<(), NoVector> {
    if coverage >= MINIMUM {
        Ok(())
    } else if text.chars().any(char::is_alphanumeric) {
        Err(NoVector::NotCovered { coverage })
    } else {
        Err(NoVector::Empty)
    }
}
