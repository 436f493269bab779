//! The 86 function and question words that weigh less in a query.
//!
//! They were chosen before any result was seen: the 33 stop words of Lucene and 53 more. They stay
//! in the index, so that a phrase of them is found, and weigh
//! [`FUNCTION_WORD_WEIGHT`](crate::FUNCTION_WORD_WEIGHT) on the query side.

/// Sorted, for the binary search.
const FUNCTION_WORDS: [&str; 86] = [
    "a", "about", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been", "being",
    "but", "by", "can", "could", "d", "did", "do", "does", "for", "from", "had", "has", "have",
    "he", "her", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "ll", "m", "may",
    "me", "might", "my", "no", "not", "of", "on", "or", "our", "re", "s", "she", "should", "so",
    "some", "such", "t", "than", "that", "the", "their", "them", "then", "there", "these", "they",
    "this", "to", "ve", "was", "we", "were", "what", "when", "where", "which", "who", "whom",
    "whose", "why", "will", "with", "would", "you", "your",
];

/// Whether a folded, unstemmed word is one of them.
pub(crate) fn is_function_word(word: &str) -> bool {
    FUNCTION_WORDS.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_has_no_word_twice() {
        assert!(FUNCTION_WORDS.is_sorted_by(|a, b| a < b));
        assert!(is_function_word("whose") && !is_function_word("memory"));
    }
}
