//! Where the next page of a search begins.
//!
//! A cursor holds how many hits came before, and what the list is that they were cut from: a hash of
//! the query with its filters, and the commit. The ranking is one list for each of these
//! (`mv2-lex/FORMAT.md`, section "Ranking"), so pages neither repeat a hit nor leave one out. The
//! checksum is for slips of the hand; a forged cursor shows nothing that a search does not.

use mv2_format::CommitId;
use mv2_format::checksum::hash16;

use crate::error::CursorError;
use crate::search::{SearchRequest, Syntax};

/// Bytes of a cursor: version, query, commit, hits before it, checksum.
const LEN: usize = 1 + 8 + 8 + 8 + 4;
const VERSION: u8 = 1;

/// How many hits the pages before had: 0 without a cursor.
pub(crate) fn offset(request: &SearchRequest, commit: CommitId) -> Result<usize, CursorError> {
    let Some(text) = &request.cursor else {
        return Ok(0);
    };
    let (query, of, offset) = decode(text).ok_or_else(|| CursorError::NotACursor {
        text: text.chars().take(100).collect(),
    })?;
    if query != fingerprint(request) {
        return Err(CursorError::OtherQuery);
    }
    if of != commit {
        return Err(CursorError::OtherCommit {
            cursor: of,
            searched: commit,
        });
    }
    Ok(offset)
}

/// The cursor of the page behind the first `offset` hits.
pub(crate) fn encode(request: &SearchRequest, commit: CommitId, offset: usize) -> String {
    write(fingerprint(request), commit, offset as u64)
}

fn write(query: [u8; 8], commit: CommitId, offset: u64) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(query);
    bytes.extend(commit.get().to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    let check = hash16(&bytes);
    bytes.extend(&check[..4]);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(text: &str) -> Option<([u8; 8], CommitId, usize)> {
    if text.len() != 2 * LEN || !text.is_ascii() {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
    let eight = |at: usize| -> Option<[u8; 8]> {
        let bytes: Option<Vec<u8>> = (at..at + 8).map(byte).collect();
        bytes?.try_into().ok()
    };
    let query = eight(1)?;
    let commit = CommitId(u64::from_le_bytes(eight(9)?));
    let offset = u64::from_le_bytes(eight(17)?);
    // One cursor has one text; this compares version and checksum as well.
    (write(query, commit, offset) == text).then_some(())?;
    Some((query, commit, usize::try_from(offset).ok()?))
}

/// A hash of what makes the list: the query, how it is read, the filters. Not of how much of it is
/// shown.
fn fingerprint(request: &SearchRequest) -> [u8; 8] {
    let mut bytes = vec![match request.syntax {
        Syntax::Query => 0,
        Syntax::Words => 1,
    }];
    // Lengths stand before the parts, so that no two requests run together into the same bytes.
    let mut part = |text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    part(&request.query);
    for filter in [&request.uri, &request.kind, &request.track] {
        part(if filter.is_some() { "some" } else { "" });
        part(filter.as_deref().unwrap_or_default());
    }
    part(&request.tags.len().to_string());
    for (key, value) in &request.tags {
        part(key);
        part(value);
    }
    request.labels.iter().for_each(|label| part(label));
    let hash = hash16(&bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_serves_its_query_and_commit_alone() {
        let request = SearchRequest::builder("sea").tag("a", "b").build();
        let at = |cursor: &str, change: fn(&mut SearchRequest), commit| {
            let mut request = request.clone();
            request.cursor = Some(cursor.to_owned());
            change(&mut request);
            offset(&request, CommitId(commit))
        };
        let text = encode(&request, CommitId(7), 20);
        assert_eq!(offset(&request, CommitId(7)), Ok(0));
        let shown = |request: &mut SearchRequest| {
            request.top_k = 3;
            request.snippet_chars = 0;
            request.count = true;
        };
        assert_eq!(at(&text, shown, 7), Ok(20));
        let changes: [fn(&mut SearchRequest); 5] = [
            |request| request.query.push('s'),
            |request| request.syntax = Syntax::Words,
            |request| request.kind = Some(String::new()),
            |request| request.tags.clear(),
            |request| request.labels.push("x".to_owned()),
        ];
        for change in changes {
            assert_eq!(at(&text, change, 7), Err(CursorError::OtherQuery));
        }
        let (cursor, searched) = (CommitId(7), CommitId(8));
        let other = CursorError::OtherCommit { cursor, searched };
        assert_eq!(at(&text, |_| (), 8), Err(other));
        for at_byte in 0..text.len() {
            let mut changed = text.clone();
            let digit = if &text[at_byte..=at_byte] == "0" {
                "1"
            } else {
                "0"
            };
            changed.replace_range(at_byte..=at_byte, digit);
            for bad in [&changed[..], &text[..at_byte], &text.to_uppercase(), "東京"] {
                let found = at(bad, |_| (), 7);
                assert!(
                    matches!(found, Err(CursorError::NotACursor { .. })),
                    "{bad}"
                );
            }
        }
    }
}
