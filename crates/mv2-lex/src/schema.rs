//! The fields of the index, version 1 of the schema, and the terms of the fields that are not text.
//!
//! | field | holds | recorded |
//! |---|---|---|
//! | `body` | stems of title and text | frequencies, positions unless they are left out, lengths |
//! | `title` | stems of the title | frequencies, lengths |
//! | `cjk` | bigrams of Japanese and Chinese runs of title and text | frequencies, lengths |
//! | `uri`, `label`, `kind`, `track` | the value as it is | documents |
//! | `tag` | a term for each pair and one for each key | documents |

use std::borrow::Cow;
use std::sync::OnceLock;

use mv2_format::checksum::hash16;
use tantivy::Term;
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};

/// Longest raw term. Names have at most 16 KiB, a tag pair twice that; a longer one is shortened.
const MAX_RAW_TERM_BYTES: usize = 40_000;
/// How much of a raw term that is too long stays readable, so that a prefix finds it.
const LONG_RAW_PREFIX_BYTES: usize = 4_096;

/// Names of tokenizers, which the schema holds. They are registered while building only.
pub(crate) const BODY_TOKENIZER: &str = "mv2_body";
pub(crate) const TITLE_TOKENIZER: &str = "mv2_title";
pub(crate) const CJK_TOKENIZER: &str = "mv2_cjk";

pub(crate) fn body() -> Field {
    Field::from_field_id(0)
}
pub(crate) fn title() -> Field {
    Field::from_field_id(1)
}
pub(crate) fn cjk() -> Field {
    Field::from_field_id(2)
}
pub(crate) fn uri() -> Field {
    Field::from_field_id(3)
}
pub(crate) fn tag() -> Field {
    Field::from_field_id(4)
}
pub(crate) fn label() -> Field {
    Field::from_field_id(5)
}
pub(crate) fn kind() -> Field {
    Field::from_field_id(6)
}
pub(crate) fn track() -> Field {
    Field::from_field_id(7)
}

/// The fields that are analysed and scored, in the order of their token counts in a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub(crate) enum TextField {
    Body,
    Title,
    Cjk,
}

impl TextField {
    pub(crate) const ALL: [Self; 3] = [Self::Body, Self::Title, Self::Cjk];

    pub(crate) fn field(self) -> Field {
        match self {
            Self::Body => body(),
            Self::Title => title(),
            Self::Cjk => cjk(),
        }
    }

    pub(crate) fn of(field: Field) -> Option<Self> {
        Self::ALL.into_iter().find(|text| text.field() == field)
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn term(self, text: &str) -> Term {
        Term::from_field_text(self.field(), text)
    }
}

/// The schema of segments with or without positions. Field numbers are part of the format.
pub(crate) fn schema(positions: bool) -> &'static Schema {
    static SCHEMAS: [OnceLock<Schema>; 2] = [OnceLock::new(), OnceLock::new()];
    SCHEMAS[usize::from(positions)].get_or_init(|| {
        let text = |tokenizer: &str, record| {
            TextOptions::default().set_indexing_options(
                TextFieldIndexing::default()
                    .set_tokenizer(tokenizer)
                    .set_index_option(record)
                    .set_fieldnorms(true),
            )
        };
        let raw = TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer("raw")
                .set_index_option(IndexRecordOption::Basic)
                .set_fieldnorms(false),
        );
        let mut builder = Schema::builder();
        let body = match positions {
            true => IndexRecordOption::WithFreqsAndPositions,
            false => IndexRecordOption::WithFreqs,
        };
        builder.add_text_field("body", text(BODY_TOKENIZER, body));
        builder.add_text_field("title", text(TITLE_TOKENIZER, IndexRecordOption::WithFreqs));
        builder.add_text_field("cjk", text(CJK_TOKENIZER, IndexRecordOption::WithFreqs));
        for name in ["uri", "tag", "label", "kind", "track"] {
            builder.add_text_field(name, raw.clone());
        }
        builder.build()
    })
}

/// A raw term. One that is too long keeps its beginning and gets its hash behind a NUL.
pub(crate) fn raw_term(value: &str) -> Cow<'_, str> {
    if value.len() <= MAX_RAW_TERM_BYTES {
        return Cow::Borrowed(value);
    }
    let mut end = LONG_RAW_PREFIX_BYTES;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!(
        "{}\0{}",
        &value[..end],
        hex(&hash16(value.as_bytes()))
    ))
}

/// The term of a tag pair. The key's length keeps `a=b` + `c` apart from `a` + `b=c`.
pub(crate) fn tag_term(key: &str, value: &str) -> String {
    raw_term(&format!("{}:{key}={value}", key.len())).into_owned()
}

/// The term that each document with a tag of this key has.
pub(crate) fn tag_key_term(key: &str) -> String {
    raw_term(&format!("#{key}")).into_owned()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
