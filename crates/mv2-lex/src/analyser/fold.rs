//! Folding of one word: lower case, Latin letters without their marks, a bound on the length.

use mv2_format::checksum::hash16;
use unicode_normalization::char::{decompose_canonical, is_combining_mark};

use crate::schema::hex;

/// Longest folded word, in bytes. Longer ones keep a prefix and get a hash.
pub(crate) const MAX_WORD_BYTES: usize = 64;
/// What is kept of a word that is too long. With `#` and 16 hex digits it stays below the limit.
const LONG_WORD_PREFIX_BYTES: usize = 40;

/// Appends the folded form of `raw` to `out`.
pub(crate) fn fold_into(raw: &str, out: &mut String) {
    let start = out.len();
    if raw.is_ascii() {
        out.push_str(raw);
        out[start..].make_ascii_lowercase();
    } else {
        raw.chars()
            .flat_map(char::to_lowercase)
            .for_each(|c| fold_char(c, start, out));
    }
    if out.len() - start > MAX_WORD_BYTES {
        shorten(start, out);
    }
}

/// Folds one lower-case character. Marks go where a Latin letter carries them and nowhere else:
/// `й` is not `и`, and the vowel signs of Indic scripts are marks too.
fn fold_char(c: char, start: usize, out: &mut String) {
    match c {
        'a'..='z' | '0'..='9' | '_' => out.push(c),
        'ß' => out.push_str("ss"),
        'æ' => out.push_str("ae"),
        'œ' => out.push_str("oe"),
        'þ' => out.push_str("th"),
        'ø' => out.push('o'),
        'đ' | 'ð' => out.push('d'),
        'ħ' => out.push('h'),
        'ł' => out.push('l'),
        'ŋ' => out.push('n'),
        'ŧ' => out.push('t'),
        'ı' => out.push('i'),
        'ς' => out.push('σ'),
        _ if is_combining_mark(c) => {
            if !out[start..].ends_with(|last: char| last.is_ascii_alphabetic()) {
                out.push(c);
            }
        }
        _ => {
            let mut base = None;
            decompose_canonical(c, |part| {
                base.get_or_insert(part);
            });
            match base {
                Some(letter) if letter.is_ascii_alphabetic() => {
                    out.push(letter.to_ascii_lowercase());
                }
                _ => out.push(c),
            }
        }
    }
}

/// Replaces a word that is too long by a prefix and the hash of the whole: it is still found by
/// itself, and the index cannot be made to hold megabytes of it. `#` is in no other word.
fn shorten(start: usize, out: &mut String) {
    let hash = hex(&hash16(&out.as_bytes()[start..])[..8]);
    let mut end = start + LONG_WORD_PREFIX_BYTES;
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out.push('#');
    out.push_str(&hash);
}

/// Whether a folded word is one that was too long.
pub(crate) fn was_shortened(word: &str) -> bool {
    word.len() > 17 && word.as_bytes()[word.len() - 17] == b'#'
}
