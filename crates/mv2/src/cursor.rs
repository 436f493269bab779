//! Where the next page of a search begins.
//!
//! ```text
//! version 1 | query 8 | commit 8 | hits before 8 | asked at 8 | bounds 1 | since 8 | until 8 | check 4
//! ```
//!
//! A cursor holds how many hits came before, and what the list is that they were cut from: a hash of
//! the query with its filters, the range of times, and the commit. The ranking is one list for each of
//! these (`mv2-lex/FORMAT.md`, section "Ranking"), so pages neither repeat a hit nor leave one out. Times
//! stand in it as they are, so that words like `2h ago` mean the same on each page. The checksum is for
//! slips of the hand; a forged cursor shows nothing that a search does not.

use std::fmt;
use std::str::FromStr;

use mv2_format::checksum::hash16;
use mv2_format::{CommitId, Timestamp};

use crate::error::CursorError;
use crate::search::{SearchRequest, Syntax};

const LEN: usize = 1 + 8 + 8 + 8 + 8 + 1 + 8 + 8 + 4;
const VERSION: u8 = 2;
/// Most characters of a text that an error repeats.
const SHOWN: usize = 100;

/// Where the next page of a search begins: [`SearchResponse::next_cursor`](crate::SearchResponse::next_cursor),
/// taken apart.
///
/// Whoever turns words like `2h ago` into the times of a [`Filter`](crate::Filter) takes those of the
/// first page from here, since these words have moved on since.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let mut mem = mv2::Memvid::create(dir.path().join("notes.mv2"))?;
/// # mem.put_bytes(b"deep sea")?;
/// # mem.put_bytes(b"calm sea")?;
/// # mem.commit()?;
/// use mv2::{SearchCursor, SearchRequest};
///
/// let first = mem.search(SearchRequest::builder("sea").since(0).top_k(1).build())?;
/// let cursor: SearchCursor = first.next_cursor.unwrap().parse()?;
/// assert_eq!(cursor.since(), Some(0.into()));
/// assert_eq!(cursor.until(), None);
/// # Ok::<(), mv2::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchCursor {
    query: [u8; 8],
    commit: CommitId,
    offset: u64,
    asked_at: Timestamp,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// Access
impl SearchCursor {
    /// The commit that the pages are of.
    pub fn commit(&self) -> CommitId {
        self.commit
    }

    /// The present time when the first page was asked for.
    pub fn asked_at(&self) -> Timestamp {
        self.asked_at
    }

    /// [`Filter::since`](crate::Filter::since) of the pages before.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// [`Filter::until`](crate::Filter::until) of the pages before.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// How many hits the pages before had.
    pub(crate) fn offset(&self) -> usize {
        usize::try_from(self.offset).unwrap_or(usize::MAX)
    }
}

impl SearchCursor {
    /// The cursor of a request, which has to be that of the same list; `None` for the first page.
    pub(crate) fn of(
        request: &SearchRequest,
        commit: CommitId,
    ) -> Result<Option<Self>, CursorError> {
        let Some(text) = &request.cursor else {
            return Ok(None);
        };
        let cursor: Self = text.parse()?;
        let expected = Self::behind(request, cursor.commit, cursor.offset(), cursor.asked_at);
        if cursor != expected {
            return Err(CursorError::OtherQuery);
        }
        if cursor.commit != commit {
            return Err(CursorError::OtherCommit {
                cursor: cursor.commit,
                searched: commit,
            });
        }
        Ok(Some(cursor))
    }

    /// The cursor of the page behind the first `offset` hits.
    pub(crate) fn behind(
        request: &SearchRequest,
        commit: CommitId,
        offset: usize,
        asked_at: Timestamp,
    ) -> Self {
        Self {
            query: fingerprint(request),
            commit,
            offset: offset as u64,
            asked_at,
            since: request.filter.since,
            until: request.filter.until,
        }
    }
}

impl fmt::Display for SearchCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        bytes.extend(self.query);
        bytes.extend(self.commit.get().to_le_bytes());
        bytes.extend(self.offset.to_le_bytes());
        bytes.extend(self.asked_at.as_micros().to_le_bytes());
        bytes.push(u8::from(self.since.is_some()) | u8::from(self.until.is_some()) << 1);
        for bound in [self.since, self.until] {
            bytes.extend(bound.unwrap_or_default().as_micros().to_le_bytes());
        }
        let check = hash16(&bytes);
        bytes.extend(&check[..4]);
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for SearchCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        // One cursor has one text; this compares version and checksum as well.
        decode(text)
            .filter(|cursor| cursor.to_string() == text)
            .ok_or_else(|| CursorError::NotACursor {
                text: text.chars().take(SHOWN).collect(),
            })
    }
}

fn decode(text: &str) -> Option<SearchCursor> {
    if text.len() != 2 * LEN || !text.is_ascii() {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
    let eight = |at: usize| -> Option<[u8; 8]> {
        let bytes: Option<Vec<u8>> = (at..at + 8).map(byte).collect();
        bytes?.try_into().ok()
    };
    let time = |at: usize| eight(at).map(i64::from_le_bytes).map(Timestamp);
    let bounds = byte(33)?;
    let bound = |bit: u8, at: usize| time(at).filter(|_| bounds & bit != 0);
    Some(SearchCursor {
        query: eight(1)?,
        commit: CommitId(u64::from_le_bytes(eight(9)?)),
        offset: u64::from_le_bytes(eight(17)?),
        asked_at: time(25)?,
        since: bound(1, 34),
        until: bound(2, 42),
    })
}

/// A hash of what makes the list: the query, how it is read, the filters other than times. Not of how
/// much of it is shown.
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
    let filter = &request.filter;
    for field in [&filter.uri, &filter.kind, &filter.track] {
        part(if field.is_some() { "some" } else { "" });
        part(field.as_deref().unwrap_or_default());
    }
    part(&filter.tags.len().to_string());
    for (key, value) in &filter.tags {
        part(key);
        part(value);
    }
    filter.labels.iter().for_each(|label| part(label));
    part(&request.mode.to_string());
    part(
        &request
            .like
            .map_or_else(String::new, |frame| frame.to_string()),
    );
    for number in request.vector.iter().flatten() {
        bytes.extend(number.to_le_bytes());
    }
    let hash = hash16(&bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_569_003_000_000);

    #[test]
    fn a_cursor_serves_its_query_and_commit_alone() {
        let request = SearchRequest::builder("sea").tag("a", "b").since(7).build();
        let at = |cursor: &str, change: fn(&mut SearchRequest), commit| {
            let mut request = request.clone();
            request.cursor = Some(cursor.to_owned());
            change(&mut request);
            SearchCursor::of(&request, CommitId(commit))
        };
        let cursor = SearchCursor::behind(&request, CommitId(7), 20, NOW);
        let text = cursor.to_string();
        assert_eq!(SearchCursor::of(&request, CommitId(7)), Ok(None));
        let shown = |request: &mut SearchRequest| {
            request.top_k = 3;
            request.snippet_chars = 0;
            request.count = true;
        };
        assert_eq!(at(&text, shown, 7), Ok(Some(cursor)));
        let changes: [fn(&mut SearchRequest); 8] = [
            |request| request.query.push('s'),
            |request| request.syntax = Syntax::Words,
            |request| request.filter.kind = Some(String::new()),
            |request| request.filter.tags.clear(),
            |request| request.filter.labels.push("x".to_owned()),
            |request| request.filter.since = None,
            |request| request.filter.since = Some(8.into()),
            |request| request.filter.until = Some(0.into()),
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
