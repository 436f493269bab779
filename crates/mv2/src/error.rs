//! What can go wrong with a memory: one type over those of the crates below.

use std::path::PathBuf;

use mv2_format::{BoxError, CommitId, FrameId, SegmentId};

use crate::selector::nearest;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a memory failed.
///
/// The message says what and where; [`hint`](Self::hint) says what to do next, and
/// [`kind`](Self::kind) is a name to match on that does not change between versions.
///
/// ```
/// use mv2::Memvid;
///
/// let error = Memvid::open("no/such/file.mv2").unwrap_err();
/// assert_eq!(error.kind(), "not_found");
/// assert!(error.to_string().contains("file.mv2"));
/// assert!(error.hint().is_some());
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened, read or written, or is not a sound memory.
    #[error(transparent)]
    Store(#[from] mv2_store::Error),
    /// No visible frame has this uri.
    #[error("there is no document under the uri {uri:?}")]
    NoSuchUri {
        /// The uri asked for.
        uri: String,
    },
    /// An index could not be read or built. The frames themselves are not touched by that.
    #[error("{}: the {index} index cannot be used{}: {source}", path.display(), place(*segment))]
    Index {
        /// The memory file.
        path: PathBuf,
        /// Which index: `lex` or `time`.
        index: &'static str,
        /// The segment, if one of the file is at fault.
        segment: Option<SegmentId>,
        /// What is wrong.
        source: BoxError,
    },
    /// A frame's text could not be read while it was searched.
    #[error("frame {frame} was found but cannot be read: {source}")]
    Unreadable {
        /// The frame.
        frame: FrameId,
        /// What is wrong.
        source: BoxError,
    },
    /// The search asks for an index that this build does not have.
    #[error("this build of mv2 has no {index} index")]
    NoIndex {
        /// Which index: `lex`.
        index: &'static str,
    },
    /// The memory's vectors are of another model, and vectors of two models cannot be compared.
    #[error("the memory's vectors were made by {stored}, and these are by {given}")]
    EmbedderMismatch {
        /// What made those that are there.
        stored: String,
        /// What would make the others.
        given: String,
    },
    /// The handle was opened without an embedder.
    #[error("there is no embedder")]
    NoEmbedder,
    /// This build has no embedder of this name.
    #[error("there is no embedder {name:?}; this build has {known}")]
    UnknownEmbedder {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The property that says which vectors a memory has cannot be read.
    #[error("the description of the memory's vectors cannot be read")]
    VectorSpace,
    /// A vector does not fit, or a vector segment is damaged.
    #[cfg(feature = "vec")]
    #[error(transparent)]
    Vector(#[from] mv2_vec::Error),
    /// The embedder failed.
    #[cfg(feature = "vec")]
    #[error(transparent)]
    Embedding(#[from] mv2_embed::Error),
    /// The cursor of a search makes no sense there.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// A range, a cursor or a time in writing makes no sense.
    #[error(transparent)]
    Time(#[from] mv2_time::Error),
    /// A search was to be noted down in the journal, and that failed.
    #[error("the search was not noted down in the journal: {error}")]
    NotJournaled {
        /// Why. It is part of the message and therefore not its source.
        error: mv2_store::Error,
    },
    /// An entry of the journal is not what the format says.
    #[error(
        "entry {commit} of the journal cannot be read: its {field} is missing or of another kind"
    )]
    JournalEntry {
        /// The commit that noted it down.
        commit: CommitId,
        /// The field.
        field: &'static str,
    },
    /// A range of commits ends before it begins.
    #[error("the range begins at commit {from} and ends at commit {to}")]
    BackwardRange {
        /// Its first commit.
        from: CommitId,
        /// Its last.
        to: CommitId,
    },
    /// A text names no commit.
    #[error("{text:?} names no commit")]
    UnknownSelector {
        /// The text, or how it begins.
        text: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// A branch and a tag have this name, and they are at different commits.
    #[error("{name:?} is a branch at commit {branch} and a tag at commit {tag}")]
    AmbiguousSelector {
        /// The name.
        name: String,
        /// The head of the branch.
        branch: CommitId,
        /// The commit of the tag.
        tag: CommitId,
    },
    /// A commit was asked for that lies before the empty memory.
    #[error("there are no {commits} commits before commit {from}")]
    TooFarBack {
        /// How many commits back.
        commits: u64,
        /// From which one.
        from: CommitId,
    },
    /// A purge does not say which frames.
    #[error("the purge does not say what to purge")]
    EmptyPurge,
    /// A text was taken for a time and is not one.
    #[error("{text:?} is not a time: expected RFC 3339, a date or Unix seconds")]
    InvalidTime {
        /// The text.
        text: String,
    },
}

/// Why the cursor of a search cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// The text is no cursor of a search, or not all of it.
    #[error("{text:?} is not a search cursor")]
    NotACursor {
        /// The text, or how it begins.
        text: String,
    },
    /// It was given for another query or other filters.
    #[error("the cursor belongs to another query")]
    OtherQuery,
    /// Another commit is to be searched, in which the order may be another.
    #[error("the cursor belongs to commit {cursor}, and commit {searched} is searched")]
    OtherCommit {
        /// The commit of the page before.
        cursor: CommitId,
        /// The commit that is searched now.
        searched: CommitId,
    },
}

impl Error {
    /// Whether a vector segment is at fault, and not a vector that was given.
    #[cfg(feature = "vec")]
    pub(crate) fn is_damage(error: &mv2_vec::Error) -> bool {
        !matches!(
            error,
            mv2_vec::Error::Dimensions { .. }
                | mv2_vec::Error::NotFinite { .. }
                | mv2_vec::Error::Overflow { .. }
                | mv2_vec::Error::Zero { .. }
                | mv2_vec::Error::UnsupportedDims { .. }
        )
    }

    /// The error's name in JSON, stable across versions: `not_found`, `locked`, `corrupt`, ...
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Store(error) => error.kind(),
            Self::NoSuchUri { .. } => "no_such_uri",
            Self::Index { .. } => "index_unusable",
            Self::Unreadable { .. } => "corrupt",
            Self::NoIndex { .. } => "unsupported",
            Self::EmbedderMismatch { .. } => "embedder_mismatch",
            Self::NoEmbedder => "no_embedder",
            Self::UnknownEmbedder { .. } => "unknown_embedder",
            Self::VectorSpace | Self::JournalEntry { .. } => "corrupt",
            Self::NotJournaled { error } => error.kind(),
            Self::BackwardRange { .. } => "invalid_range",
            #[cfg(feature = "vec")]
            Self::Vector(error) if Self::is_damage(error) => "index_unusable",
            #[cfg(feature = "vec")]
            Self::Vector(_) => "invalid_vector",
            #[cfg(feature = "vec")]
            Self::Embedding(error) => match error {
                mv2_embed::Error::NotHere { .. } => "model_not_here",
                mv2_embed::Error::NotBuiltIn { .. } => "unsupported",
                _ => "embedding_failed",
            },
            Self::Cursor(_) => "invalid_cursor",
            Self::EmptyPurge => "empty_purge",
            Self::InvalidTime { .. } => "invalid_time",
            Self::UnknownSelector { .. } => "unknown_selector",
            Self::AmbiguousSelector { .. } => "ambiguous_selector",
            Self::TooFarBack { .. } => "no_such_commit",
            Self::Time(error) => match error {
                mv2_time::Error::EmptyRange { .. } => "invalid_range",
                mv2_time::Error::BadCursor { .. } | mv2_time::Error::OtherCursor { .. } => {
                    "invalid_cursor"
                }
                mv2_time::Error::NotATime { .. } | mv2_time::Error::OutOfRange { .. } => {
                    "invalid_time"
                }
                _ => "index_unusable",
            },
        }
    }

    /// What to do about it, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Store(error) => {
                let hint = error.hint();
                return match error {
                    mv2_store::Error::NoSuchRef { name, known, .. } => nearest(name, known)
                        .zip(hint.as_ref())
                        .map(|(meant, hint)| format!("did you mean {meant}? {hint}"))
                        .or(hint),
                    _ => hint,
                };
            }
            Self::NoSuchUri { .. } => return None,
            Self::Time(error) => match error {
                mv2_time::Error::EmptyRange { .. } => "begin earlier or end later",
                mv2_time::Error::BadCursor { .. } => {
                    "copy `next_cursor` whole, or leave the cursor out to begin at the start"
                }
                mv2_time::Error::OtherCursor { .. } => {
                    "repeat since, until and reverse of the first page, or leave the cursor out"
                }
                // What is accepted stands in the message.
                _ => return None,
            },
            Self::Index { .. } => {
                "every document is still there; `mv2 verify FILE --deep` shows what is damaged"
            }
            Self::Unreadable { .. } => "see what is affected with `mv2 verify FILE --deep`",
            Self::EmbedderMismatch { .. } => {
                "`mv2 reembed FILE --embedder NAME` makes all of them anew; --no-embed puts without vectors"
            }
            Self::NoEmbedder => "open the memory with an embedder",
            Self::VectorSpace | Self::JournalEntry { .. } => {
                "see what is affected with `mv2 verify FILE --deep`"
            }
            Self::NotJournaled { error } => match error {
                mv2_store::Error::Sealed { .. } => {
                    "search without the journal, or make the file writable with `mv2 unseal FILE`"
                }
                mv2_store::Error::ReadOnly { .. } => {
                    "open the file for writing, or search without the journal"
                }
                mv2_store::Error::InTransaction { .. } => {
                    "commit or roll back first, or ask a snapshot, whose searches are not noted down"
                }
                mv2_store::Error::Limit(_) => "ask for fewer hits, or search without the journal",
                error => return error.hint(),
            },
            Self::BackwardRange { .. } => "name the earlier commit first",
            #[cfg(feature = "vec")]
            Self::Vector(error) if !Self::is_damage(error) => return None,
            #[cfg(feature = "vec")]
            Self::Vector(_) => {
                "every document is still there; `mv2 verify FILE --deep` shows what is damaged"
            }
            #[cfg(feature = "vec")]
            Self::Embedding(mv2_embed::Error::NotHere { model, .. }) => {
                return Some(format!("mv2 models pull {model}"));
            }
            #[cfg(feature = "vec")]
            Self::Embedding(mv2_embed::Error::NotBuiltIn { feature, .. }) => {
                return Some(format!(
                    "build the command with `--features full`, or the library with `{feature}`"
                ));
            }
            #[cfg(feature = "vec")]
            Self::Embedding(
                mv2_embed::Error::Model { .. } | mv2_embed::Error::ModelFile { .. },
            ) => {
                "is it all of a model? `mv2 models pull` downloads the files anew where they differ"
            }
            #[cfg(feature = "vec")]
            Self::Embedding(_) => {
                "try again, or put with --no-embed and call `mv2 reembed FILE` later"
            }
            Self::UnknownEmbedder { .. } => return None,
            Self::Cursor(CursorError::NotACursor { .. }) => {
                "copy `next_cursor` whole, or leave the cursor out to begin at the best hit"
            }
            Self::Cursor(CursorError::OtherQuery) => {
                "repeat the query and filters of the first page, or leave the cursor out"
            }
            Self::Cursor(CursorError::OtherCommit { .. }) => {
                "leave out the commit or time of the past: the cursor brings its own"
            }
            Self::NoIndex { .. } => "build mv2 with the feature `lex`, which is on by default",
            Self::UnknownSelector { suggestion, .. } => {
                const LISTS: &str =
                    "`mv2 log FILE`, `mv2 branch FILE` and `mv2 tag FILE` list what there is";
                return Some(match suggestion {
                    Some(meant) => format!("did you mean {meant}? {LISTS}"),
                    None => format!("accepted is {}; {LISTS}", crate::selector::ACCEPTED),
                });
            }
            Self::AmbiguousSelector { name, .. } => {
                return Some(format!("write branch:{name} or tag:{name}"));
            }
            Self::TooFarBack { from, .. } => {
                return Some(format!(
                    "~{from} is the empty memory before the first commit"
                ));
            }
            Self::EmptyPurge => "name ids or uris, tags, a time, or a commit",
            Self::InvalidTime { .. } => {
                "write it like 2026-11-25T01:10:03Z, 2026-11-25 or 1795569003"
            }
        };
        Some(text.to_owned())
    }

    /// Whether a frame or uri was asked for that is not there (any more): a miss, not a failure.
    pub fn is_miss(&self) -> bool {
        matches!(
            self,
            Self::NoSuchUri { .. }
                | Self::TooFarBack { .. }
                | Self::Store(
                    mv2_store::Error::NoSuchFrame { .. }
                        | mv2_store::Error::Dead { .. }
                        | mv2_store::Error::Purged { .. }
                        | mv2_store::Error::NoSuchCommit { .. }
                )
        )
    }
}

fn place(segment: Option<SegmentId>) -> String {
    segment.map_or_else(String::new, |id| format!(" (segment {id})"))
}
