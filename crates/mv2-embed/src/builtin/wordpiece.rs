//! WordPiece as BERT's uncased models have it: clean, split, strip accents, lower the case, take the longest piece first.
//!
//! It gives the tokens of the reference implementation; the tests below compare them. Nothing is allocated for a
//! token: a word of more than 100 characters is unknown by definition, so that a word fits an array.

use std::ops::ControlFlow;

use unicode_normalization::char::decompose_canonical;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::table::{Hash, Table};

/// A word of more characters than this is one unknown token.
const MAX_WORD_CHARS: usize = 100;
/// A character has at most 4 bytes.
const MAX_WORD_BYTES: usize = 4 * MAX_WORD_CHARS;

/// What a piece begins with if it stands inside of a word.
pub(super) const INSIDE: &[u8] = b"##";

/// A piece's number, or `None` for a word that the vocabulary cannot spell.
pub(super) type Token = Option<u32>;

/// Calls `each` with the tokens of a text, from begin to end, until it breaks.
pub(super) fn tokens<B>(
    table: &Table,
    text: &str,
    each: impl FnMut(Token) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mut words = Words {
        table,
        each,
        word: [0; MAX_WORD_BYTES],
        bytes: 0,
        chars: 0,
    };
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            words.push(c.to_ascii_lowercase());
        } else if is_dropped(c) {
            continue;
        } else if c.is_whitespace() {
            words.end()?;
        } else if is_chinese(c) {
            words.end()?;
            words.letter(c)?;
            words.end()?;
        } else {
            words.letter(c)?;
        }
    }
    words.end()
}

/// The word that is being read.
struct Words<'a, F> {
    table: &'a Table,
    each: F,
    word: [u8; MAX_WORD_BYTES],
    bytes: usize,
    chars: usize,
}

impl<B, F: FnMut(Token) -> ControlFlow<B>> Words<'_, F> {
    /// A character without its accents and in lower case, which may be several or none.
    fn letter(&mut self, c: char) -> ControlFlow<B> {
        if c.is_ascii() {
            return self.folded(c);
        }
        let mut flow = ControlFlow::Continue(());
        decompose_canonical(c, |part| {
            if part.general_category() == GeneralCategory::NonspacingMark {
                return;
            }
            for part in part.to_lowercase() {
                if flow.is_continue() {
                    flow = self.folded(part);
                }
            }
        });
        flow
    }

    fn folded(&mut self, c: char) -> ControlFlow<B> {
        if is_punctuation(c) {
            self.end()?;
            self.push(c);
            return self.end();
        }
        self.push(c);
        ControlFlow::Continue(())
    }

    fn push(&mut self, c: char) {
        if self.chars < MAX_WORD_CHARS {
            self.bytes += c.encode_utf8(&mut self.word[self.bytes..]).len();
        }
        self.chars = self.chars.saturating_add(1);
    }

    /// Cuts the word into pieces, the longest that fits first. If a part of it fits none, the whole is unknown.
    fn end(&mut self) -> ControlFlow<B> {
        let (bytes, chars) = (self.bytes, self.chars);
        (self.bytes, self.chars) = (0, 0);
        if chars == 0 {
            return ControlFlow::Continue(());
        }
        if chars > MAX_WORD_CHARS {
            return (self.each)(None);
        }
        let mut pieces = [0; MAX_WORD_CHARS];
        let mut count = 0;
        let mut rest = &self.word[..bytes];
        while !rest.is_empty() {
            let head = if count == 0 { &[][..] } else { INSIDE };
            let Some((piece, length)) = longest(self.table, head, rest) else {
                return (self.each)(None);
            };
            pieces[count] = piece;
            count += 1;
            rest = &rest[length..];
        }
        for piece in &pieces[..count] {
            (self.each)(Some(*piece))?;
        }
        ControlFlow::Continue(())
    }
}

/// The longest piece that `text` begins with, and its bytes.
fn longest(table: &Table, head: &[u8], text: &[u8]) -> Option<(u32, usize)> {
    let mut hash = Hash::START;
    for byte in head {
        hash = hash.push(*byte);
    }
    let most = table.longest().saturating_sub(head.len()).min(text.len());
    let mut hashes = [hash; MAX_WORD_BYTES];
    for (at, byte) in text[..most].iter().enumerate() {
        hash = hash.push(*byte);
        hashes[at] = hash;
    }
    // A piece is whole characters, so an end inside of one finds nothing.
    (1..=most).rev().find_map(|length| {
        let piece = table.find(hashes[length - 1], head, &text[..length])?;
        Some((piece, length))
    })
}

/// Control characters other than those that part words, and what stands for bytes that were no text.
fn is_dropped(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r');
    }
    let dropped = [
        GeneralCategory::Control,
        GeneralCategory::Format,
        GeneralCategory::PrivateUse,
    ];
    c == '\u{fffd}' || dropped.contains(&c.general_category())
}

fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_punctuation();
    }
    c.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// The blocks of ideographs that BERT parts into words of one character.
fn is_chinese(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4e00..=0x9fff
            | 0x3400..=0x4dbf
            | 0x20000..=0x2a6df
            | 0x2a700..=0x2b73f
            | 0x2b740..=0x2b81f
            | 0x2b820..=0x2ceaf
            | 0xf900..=0xfaff
            | 0x2f800..=0x2fa1f
    )
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use tokenizers::Tokenizer;

    use super::*;

    const UNKNOWN: u32 = u32::MAX;

    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::open(mv2_embed_static::TABLE).unwrap());

    /// The reference implementation over the same vocabulary.
    static REFERENCE: LazyLock<Tokenizer> = LazyLock::new(|| {
        let name = |number| String::from_utf8(TABLE.piece(number).to_vec()).unwrap();
        let mut vocabulary: serde_json::Map<String, serde_json::Value> = (0..TABLE.pieces())
            .map(|number| (name(number), number.into()))
            .collect();
        vocabulary.insert("[UNK]".to_owned(), UNKNOWN.into());
        let description = serde_json::json!({
            "version": "1.0",
            "added_tokens": [],
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": true,
                "handle_chinese_chars": true,
                "strip_accents": null,
                "lowercase": true,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": vocabulary,
            },
        });
        description.to_string().parse().unwrap()
    });

    fn ours(text: &str) -> Vec<u32> {
        let mut all = Vec::new();
        let flow: ControlFlow<()> = tokens(&TABLE, text, |token| {
            all.push(token.unwrap_or(UNKNOWN));
            ControlFlow::Continue(())
        });
        assert!(flow.is_continue());
        all
    }

    fn theirs(text: &str) -> Vec<u32> {
        REFERENCE.encode(text, false).unwrap().get_ids().to_vec()
    }

    #[test]
    fn texts_of_many_kinds_have_the_tokens_of_the_reference() {
        let long = "a".repeat(101);
        let texts = [
            "The automobile's tyres were (re)placed on 3 May 2024, e.g. by John_Smith@example.com!",
            "Crème brûlée, naïve façade, Ångström, ÉCOLE, İstanbul, straße, ﬁne, Œuvre, ǅ, ǆ",
            "東京タワーへ行きました。Tokyo 2020年 カタカナ ｶﾀｶﾅ １２３ ガギ が",
            "서울 한국어 text, ไทย, हिन्दी, Ελληνικά ΣΊΣΥΦΟΣ, русский Ёж, עִבְרִית, العَرَبِيَّة",
            "def f(x: int) -> str:\n\treturn f\"{x!r}\" # comment_with_snake CamelCase HTTPServer2",
            "zero\u{200b}width soft\u{ad}hyphen nul\0byte bad\u{fffd}byte bom\u{feff} private\u{e000}use",
            "lone \u{301}\u{308} marks e\u{301} \u{301}e, emoji 👩‍👩‍👧 ok 🎉, math ∑∫ x² ½ №5 ™ €5",
            "“curly” ‘quotes’ — dash – en… \u{a0}nbsp\u{2003}em\u{2028}line\u{85}next \u{1680}ogham",
            "豈 更 \u{2f800} compatibility ideographs, \u{212b} angstrom sign, \u{1e9e} capital sharp s",
            "unaffable electroencephalography pneumonoultramicroscopicsilicovolcanoconiosis xqzzvkw",
            "[CLS] ##ing # # [unused5] ##",
            &long,
            &long[1..],
            "",
            " \n\t ",
        ];
        for text in texts {
            assert_eq!(ours(text), theirs(text), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Over blocks whose characters have not changed their class since the tables of the reference were made.
        #[test]
        fn any_text_has_the_tokens_of_the_reference(
            text in "[a-zA-Z0-9 .,'\u{c0}-\u{24f}\u{300}-\u{36f}\u{391}-\u{3a1}\u{3a3}-\u{3ff}\
                     \u{400}-\u{45f}\u{3041}-\u{3096}\u{30a0}-\u{30ff}\u{4e00}-\u{4e80}\u{ac00}-\u{ac50}\
                     \u{2000}-\u{2064}\u{ff01}-\u{ff60}]{0,60}",
        ) {
            prop_assert_eq!(ours(&text), theirs(&text));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            ours(&text);
        }
    }
}
