//! A text that comes in pieces: cut where no unit is, so that its tokens are those of the whole.
//!
//! tantivy hands tokenizers a text that is in memory as a whole. For a large one it gets an empty text, in whose place
//! the tokenizers read what stands in their [`Slot`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mv2_format::PayloadReader;

use super::scan::is_border;
use crate::error::Error;

/// Bytes of text from which on a piece is cut at the next opportunity.
const PIECE_BYTES: usize = 64 << 10;

/// Where tokenizers find the large text that an empty one stands for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot(Arc<Mutex<Large>>);

/// A large text.
#[derive(Debug, Default)]
struct Large {
    reader: Option<PayloadReader>,
    /// Whether something else than ASCII was met.
    has_unicode: bool,
    /// Why it could not be read to its end.
    error: Option<Error>,
}

impl Slot {
    /// Puts a text into the slot.
    pub(crate) fn fill(&self, reader: PayloadReader) {
        *self.lock() = Large {
            reader: Some(reader),
            ..Large::default()
        };
    }

    /// Takes it out again; why it could not be read, if that was so.
    pub(crate) fn clear(&self) -> Option<Error> {
        std::mem::take(&mut *self.lock()).error
    }

    /// The text in the slot, from its beginning.
    pub(crate) fn pieces(&self) -> Option<SlotPieces> {
        let reader = self.lock().reader.clone()?;
        Some(SlotPieces {
            pieces: Pieces::new(reader),
            slot: self.clone(),
        })
    }

    /// Whether the text, which was read once, is ASCII.
    pub(crate) fn is_ascii(&self) -> bool {
        !self.lock().has_unicode
    }

    /// Each change is a whole one, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Large> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pieces of the text in a slot.
pub(crate) struct SlotPieces {
    pieces: Pieces,
    slot: Slot,
}

impl SlotPieces {
    /// Reads the next piece in the place of the one before. False at the end, or where the slot says why not.
    pub(crate) fn read(&mut self, piece: &mut String) -> bool {
        match self.pieces.read(piece) {
            Ok(more) => {
                if !piece.is_ascii() {
                    self.slot.lock().has_unicode = true;
                }
                more
            }
            Err(error) => {
                self.slot.lock().error = Some(error);
                false
            }
        }
    }
}

/// Cuts the text of a payload into pieces. A piece is larger than [`PIECE_BYTES`] by what it takes to come to a space or a
/// mark between words.
#[derive(Debug)]
pub(crate) struct Pieces {
    reader: PayloadReader,
    /// Bytes that are read and in no piece yet.
    rest: Vec<u8>,
    /// How many of them are whole characters, and hold no border.
    searched: usize,
    at_end: bool,
}

impl Pieces {
    /// The pieces from where the reader is.
    pub(crate) fn new(reader: PayloadReader) -> Self {
        Self {
            reader,
            rest: Vec::new(),
            searched: 0,
            at_end: false,
        }
    }

    /// Reads the next piece in the place of the one before. False at the end.
    pub(crate) fn read(&mut self, piece: &mut String) -> Result<bool, Error> {
        piece.clear();
        loop {
            while !self.at_end && self.rest.len() < self.searched + PIECE_BYTES {
                match self.reader.next_piece()? {
                    Some(bytes) => self.rest.extend_from_slice(bytes),
                    None => self.at_end = true,
                }
            }
            let (text, whole) = self.whole_characters()?;
            let cut = match self.at_end {
                true => Some(whole),
                false => text
                    .char_indices()
                    .rfind(|(_, c)| is_border(*c))
                    .map(|(at, c)| self.searched + at + c.len_utf8()),
            };
            self.searched = whole;
            if let Some(cut) = cut {
                // What comes before was found to be whole characters.
                piece.push_str(std::str::from_utf8(&self.rest[..cut]).map_err(not_utf8)?);
                self.rest.drain(..cut);
                self.searched -= cut;
                return Ok(!piece.is_empty());
            }
        }
    }

    /// What of the rest was not searched, up to the last whole character, and where that ends.
    fn whole_characters(&self) -> Result<(&str, usize), Error> {
        let new = &self.rest[self.searched..];
        match std::str::from_utf8(new) {
            Ok(text) => Ok((text, self.rest.len())),
            Err(error) if error.error_len().is_none() && !self.at_end => {
                let (whole, _) = new.split_at(error.valid_up_to());
                let text = std::str::from_utf8(whole).map_err(not_utf8)?;
                Ok((text, self.searched + whole.len()))
            }
            Err(error) => Err(not_utf8(error)),
        }
    }
}

fn not_utf8(error: std::str::Utf8Error) -> Error {
    Error::Format(mv2_format::Error::invalid(
        "text of a frame",
        "UTF-8",
        error,
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mv2_format::Frame;
    use proptest::prelude::*;

    use super::*;
    use crate::analyser::scan::Runs;

    fn pieces_of(payload: Vec<u8>) -> Pieces {
        let frame = Frame {
            payload,
            ..Frame::default()
        };
        Pieces::new(Arc::new(frame).into())
    }

    proptest! {
        /// Wherever a text may be cut, its units are those of the whole.
        #[test]
        fn a_border_changes_no_unit(
            parts in prop::collection::vec(
                prop_oneof![
                    "[a-zA-Z_]{1,6}",
                    "[ 。、\\-\\n]{1,2}",
                    "[あ-んア-ンﾞﾟｶ-ｹ東京一々]{1,4}",
                    "[\u{301}\u{3099}é½㈠ß]{1,2}",
                    any::<char>().prop_map(String::from),
                ],
                0..40,
            ),
            chars_only: bool,
        ) {
            let text = parts.concat();
            let mut scanner = Runs::new(chars_only);
            let mut whole = Vec::new();
            while scanner.prepare(&text) {
                let unit = scanner.take();
                whole.push((unit.kind, unit.text.to_owned(), unit.range, unit.position, unit.span, unit.glued));
            }
            let mut cut = Vec::new();
            let mut runs = Runs::new(chars_only);
            let mut start = 0;
            for piece in text.split_inclusive(is_border) {
                while runs.prepare(piece) {
                    let unit = runs.take();
                    let range = start + unit.range.start..start + unit.range.end;
                    cut.push((unit.kind, unit.text.to_owned(), range, unit.position, unit.span, unit.glued));
                }
                runs.next_piece();
                start += piece.len();
            }
            prop_assert_eq!(whole, cut);
        }
    }

    #[test]
    fn pieces_are_the_text_and_end_at_borders() {
        let long_word = "x".repeat(PIECE_BYTES * 3);
        let text = ["多くの言葉、", "words and more words ", &long_word, ". end"].concat();
        let text = text.repeat(4);
        let mut pieces = pieces_of(text.clone().into_bytes());
        let (mut piece, mut all) = (String::new(), String::new());
        while pieces.read(&mut piece).unwrap() {
            all.push_str(&piece);
            assert!(piece.len() <= long_word.len() + 2 * PIECE_BYTES);
            assert!(all.len() == text.len() || piece.ends_with(is_border));
        }
        assert!(all == text);
        assert!(!pieces.read(&mut piece).unwrap());
    }

    #[test]
    fn what_is_not_utf8_is_an_error_also_at_the_end() {
        for bytes in [&b"caf\xe9 au lait"[..], b"caf\xc3", b"\xff"] {
            let mut payload = b"word ".repeat(PIECE_BYTES);
            payload.extend_from_slice(bytes);
            let mut pieces = pieces_of(payload);
            let mut piece = String::new();
            let error = loop {
                match pieces.read(&mut piece) {
                    Ok(more) => assert!(more),
                    Err(error) => break error,
                }
            };
            assert!(error.to_string().contains("UTF-8"), "{error}");
        }
    }
}
