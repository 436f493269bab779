//! How many tokens a text has under a tokenizer that is not known.

use crate::coverage;

/// Letters of a word that a token has in English, on average.
const LETTERS: usize = 4;
/// Tokens of a text, at most `limit`, and the bytes that they take. Blanks are none.
pub(super) fn tokens(text: &str, limit: usize) -> (usize, usize) {
    let (mut count, mut letters) = (0, 0);
    for (at, c) in text.char_indices() {
        let begins = if c.is_whitespace() {
            letters = 0;
            false
        } else if c.is_alphanumeric() && u32::from(c) < coverage::LATIN_END {
            letters += 1;
            letters % LETTERS == 1
        } else {
            letters = 0;
            true
        };
        if begins && count == limit {
            return (count, at);
        }
        count += usize::from(begins);
    }
    (count, text.len())
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[test]
    fn words_count_by_their_letters_and_other_scripts_by_the_character() {
        let count = |text| tokens(text, usize::MAX).0;
        assert_eq!(count(""), 0);
        assert_eq!(count("  \n"), 0);
        assert_eq!(count("boat"), 1);
        assert_eq!(count("boats"), 2);
        assert_eq!(count("a boat, two"), 4);
        assert_eq!(count("東京へ"), 3);
        assert_eq!(count("é".repeat(40).as_str()), 10);
    }

    #[test]
    fn a_text_is_cut_before_the_token_that_is_too_much() {
        assert_eq!(tokens("one two three", 2), (2, 8));
        assert_eq!(tokens("東京へ", 2), (2, 6));
        assert_eq!(tokens("boats", 1), (1, 4));
        assert_eq!(tokens("one  ", 1), (1, 5));
        assert_eq!(tokens("one", 0), (0, 0));
    }
}
