//! What can go wrong with a memory file: each error says what, where and what to do next.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mv2_format::{CommitId, FrameId, SegmentId, SegmentKind};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a memory file failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was attempted: `open`, `read`, `write`, `sync`, `create`, ...
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// There is no file at the path.
    #[error("there is no file at {}", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// There is a file at the path already.
    #[error("{} exists already", path.display())]
    AlreadyExists {
        /// The path.
        path: PathBuf,
    },
    /// The path is a folder or a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file's bytes are not a sound memory.
    #[error("{}: {error}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its place. It is part of the message and therefore not its source.
        error: mv2_format::Error,
    },
    /// Neither root page is sound, nor is the footer.
    #[error("{}: no sound root page: {detail}", path.display())]
    NoRoot {
        /// The file.
        path: PathBuf,
        /// What is wrong with each.
        detail: String,
    },
    /// A sound commit lies in the log behind a damaged one, so what was committed is damaged and
    /// writing would bury it.
    #[error("{}: the write-ahead log is damaged at offset {offset}: commit {found} lies behind the damage", path.display())]
    WalCorrupt {
        /// The file.
        path: PathBuf,
        /// Where the damage begins in the file.
        offset: u64,
        /// A commit that is sound and out of reach.
        found: CommitId,
    },
    /// Another process or handle holds the write lock.
    #[error("{} is locked by {}; waited {waited:?}", path.display(), owner.map_or_else(|| "another writer".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The file.
        path: PathBuf,
        /// The process that holds the lock, where it is known.
        owner: Option<u32>,
        /// How long was waited.
        waited: Duration,
    },
    /// A write was asked of a handle that was opened for reading.
    #[error("{} is open for reading only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// An earlier sync failed, so that this handle does not know what is on the disk.
    #[error("an earlier write to {} failed; reopen it to recover what was committed", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
    },
    /// The handle was opened in another process and inherited by a fork.
    #[error("{} was opened by process {owner}; open it again in this one", path.display())]
    Forked {
        /// The file.
        path: PathBuf,
        /// The process that opened it.
        owner: u32,
    },
    /// The frame was put in a transaction that is not committed.
    #[error("frame {frame} is not committed yet")]
    NotCommitted {
        /// The frame.
        frame: FrameId,
    },
    /// There is no such frame.
    #[error("there is no frame {frame}; ids end before {end}")]
    NoSuchFrame {
        /// The frame asked for.
        frame: FrameId,
        /// The id that the next frame will get.
        end: FrameId,
    },
    /// The frame exists but is not visible: it was superseded or deleted.
    #[error("frame {frame} was {} in commit {commit}", by.map_or_else(|| "deleted".to_owned(), |by| format!("superseded by frame {by}")))]
    Dead {
        /// The frame asked for.
        frame: FrameId,
        /// The frame that took its place, if one did.
        by: Option<FrameId>,
        /// When it died.
        commit: CommitId,
    },
    /// The frame is purged: nothing of it is left in the file, in no state of the past.
    #[error("frame {frame} was purged: nothing of it is left")]
    Purged {
        /// The frame asked for.
        frame: FrameId,
    },
    /// An index holds something of frames that are to be purged, and cannot be built without them. Nothing was purged.
    #[error("{}: cannot purge: {kind} segment {segment} cannot be built anew", path.display())]
    CannotPurge {
        /// The file.
        path: PathBuf,
        /// The kind of index.
        kind: SegmentKind,
        /// The segment.
        segment: SegmentId,
    },
    /// There is no such commit.
    #[error("there is no commit {commit}; the newest is {newest}")]
    NoSuchCommit {
        /// The commit asked for.
        commit: CommitId,
        /// The newest commit.
        newest: CommitId,
    },
    /// The commit moved a branch or tag, or recorded a search: there is no memory to see at it.
    #[error("commit {commit} holds no documents: it moved a branch or tag, or recorded a search")]
    Bookkeeping {
        /// The commit asked for.
        commit: CommitId,
    },
    /// The frame exists on a history that is not this one.
    #[error(
        "frame {frame} is of another branch: commit {commit} put it, which is not on this history"
    )]
    OtherHistory {
        /// The frame asked for.
        frame: FrameId,
        /// The commit that put it.
        commit: CommitId,
    },
    /// There is no branch or tag of this name.
    #[error("there is no {kind} {name:?}")]
    NoSuchRef {
        /// Which of the two.
        kind: RefKind,
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// There is a branch or tag of this name already.
    #[error("there is a {kind} {name:?} already")]
    RefExists {
        /// Which of the two.
        kind: RefKind,
        /// The name.
        name: String,
    },
    /// The branch cannot be deleted because it is in use.
    #[error("branch {name:?} is checked out")]
    CheckedOut {
        /// The branch.
        name: String,
    },
    /// Both sides of a merge changed the same documents.
    #[error("both branches changed {}", conflicts(uris))]
    MergeConflict {
        /// The uris, sorted.
        uris: Vec<String>,
    },
    /// Two branches have no commit in common.
    #[error("branch {name:?} has no commit in common with this one")]
    Unrelated {
        /// The branch that was to be merged.
        name: String,
    },
    /// A frame or message exceeds a limit of the format.
    #[error("{0}")]
    Limit(mv2_format::Error),
    /// The file changed too often while it was read.
    #[error("{} changed {attempts} times while it was read; try again", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// How often was tried.
        attempts: u32,
    },
    /// The file is sealed.
    #[error("{} is sealed", path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
    },
    /// The operation replaces the file and cannot be part of a transaction.
    #[error("a transaction on {} is open", path.display())]
    InTransaction {
        /// The file.
        path: PathBuf,
    },
    /// Housekeeping was told to stop. Nothing is lost but the time that it took.
    #[error("housekeeping of {} was cancelled", path.display())]
    Cancelled {
        /// The file.
        path: PathBuf,
    },
    /// The file has other names (hard links) or stands where it cannot be replaced.
    #[error("{} cannot be replaced: it has another name, or is mounted on its own", path.display())]
    CannotReplace {
        /// The file.
        path: PathBuf,
    },
    /// The platform cannot do what was asked.
    #[error("this platform cannot {what}")]
    Unsupported {
        /// What was asked.
        what: &'static str,
    },
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefKind {
    /// A branch.
    Branch,
    /// A tag.
    Tag,
}

impl fmt::Display for RefKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
        })
    }
}

/// The first of some uris, and how many there are besides.
fn conflicts(uris: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<_> = uris
        .iter()
        .take(SHOWN)
        .map(|uri| format!("{uri:?}"))
        .collect();
    match uris.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Error {
    /// The error's name in JSON, stable across versions: `not_found`, `locked`, `corrupt`, ...
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => "permission_denied",
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk_full",
                io::ErrorKind::ReadOnlyFilesystem => "read_only_filesystem",
                _ => "io",
            },
            Self::NotFound { .. } => "not_found",
            Self::AlreadyExists { .. } => "already_exists",
            Self::NotAFile { .. } => "not_a_file",
            Self::Format { error, .. } => match error {
                mv2_format::Error::NotMv2 { .. } => "not_mv2",
                mv2_format::Error::Memvid2 => "memvid2",
                mv2_format::Error::UnsupportedVersion { .. }
                | mv2_format::Error::UnsupportedFeatures { .. }
                | mv2_format::Error::UnsupportedSegment { .. } => "unsupported_version",
                _ => "corrupt",
            },
            Self::NoRoot { .. } | Self::WalCorrupt { .. } => "corrupt",
            Self::Locked { .. } => "locked",
            Self::ReadOnly { .. } => "read_only",
            Self::Poisoned { .. } => "poisoned",
            Self::Forked { .. } => "forked",
            Self::NotCommitted { .. } => "not_committed",
            Self::NoSuchFrame { .. } => "no_such_frame",
            Self::Dead { .. } => "frame_dead",
            Self::Purged { .. } => "frame_purged",
            Self::CannotPurge { .. } => "cannot_purge",
            Self::NoSuchCommit { .. } => "no_such_commit",
            Self::Bookkeeping { .. } => "no_memory_at_commit",
            Self::OtherHistory { .. } => "other_branch",
            Self::NoSuchRef {
                kind: RefKind::Branch,
                ..
            } => "no_such_branch",
            Self::NoSuchRef {
                kind: RefKind::Tag, ..
            } => "no_such_tag",
            Self::RefExists {
                kind: RefKind::Branch,
                ..
            } => "branch_exists",
            Self::RefExists {
                kind: RefKind::Tag, ..
            } => "tag_exists",
            Self::CheckedOut { .. } => "checked_out",
            Self::MergeConflict { .. } => "merge_conflict",
            Self::Unrelated { .. } => "unrelated",
            Self::Limit(mv2_format::Error::Invalid { .. }) => "invalid",
            Self::Limit(_) => "too_large",
            Self::Busy { .. } => "busy",
            Self::Sealed { .. } => "sealed",
            Self::InTransaction { .. } => "in_transaction",
            Self::Cancelled { .. } => "cancelled",
            Self::CannotReplace { .. } => "cannot_replace",
            Self::Unsupported { .. } => "unsupported",
        }
    }

    /// What to do about it, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some space; every committed frame is still in the file"
                }
                io::ErrorKind::PermissionDenied => {
                    "check the permissions of the file and its folder"
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    "reading works; copy the file to a writable place to change it"
                }
                _ => return None,
            },
            Self::NotFound { .. } => "`mv2 create FILE` or `mv2 put FILE ...` makes one",
            Self::AlreadyExists { .. } => "open it, or choose another name",
            Self::NotAFile { .. } => "name a file that ends in .mv2",
            Self::Format { error, .. } => match error {
                mv2_format::Error::NotMv2 { .. } => "check the path; mv2 reads only .mv2 files",
                mv2_format::Error::Memvid2 => {
                    "export its texts with memvid and import them with `mv2 put FILE --jsonl`"
                }
                mv2_format::Error::UnsupportedVersion { .. }
                | mv2_format::Error::UnsupportedFeatures { .. }
                | mv2_format::Error::UnsupportedSegment { .. } => {
                    "update mv2 to the version that wrote the file"
                }
                mv2_format::Error::Truncated { .. } => {
                    "the file was cut; restore it from a copy, or see what is left with `mv2 verify FILE --deep`"
                }
                _ => "see what is affected with `mv2 verify FILE --deep`",
            },
            Self::NoRoot { .. } => "restore the file from a copy",
            Self::WalCorrupt { .. } => {
                "reading still works; see what is affected with `mv2 verify FILE --deep` and copy the file before anything else"
            }
            Self::Locked { .. } => "wait for the other writer, or wait longer with --lock-wait",
            Self::ReadOnly { .. } => "open the file for writing",
            Self::Poisoned { .. } | Self::Forked { .. } => "open the file again",
            Self::NotCommitted { .. } => "commit first",
            Self::NoSuchFrame { .. } => return None,
            Self::Dead { by: Some(by), .. } => {
                return Some(format!("frame {by} holds the newer version"));
            }
            Self::Dead { by: None, .. } => return None,
            Self::Purged { .. } => {
                "a purge cannot be undone; the log tells when it was: `mv2 log FILE`"
            }
            Self::CannotPurge { .. } => {
                "use a build of mv2 that knows this index, and see that the file is sound with `mv2 verify FILE --deep`"
            }
            Self::NoSuchCommit { .. } => "list commits with `mv2 log FILE`",
            Self::Bookkeeping { .. } => "list commits with `mv2 log FILE`",
            Self::OtherHistory { commit, .. } => {
                return Some(format!("read it with --as-of {commit}"));
            }
            Self::NoSuchRef { kind, .. } => {
                return Some(format!("list what there is with `mv2 {kind} FILE`"));
            }
            Self::RefExists { .. } => "choose another name, or delete or rename that one first",
            Self::CheckedOut { .. } => {
                "check out another branch first with `mv2 checkout FILE NAME`"
            }
            Self::MergeConflict { .. } => "choose a side with --ours or --theirs",
            Self::Unrelated { .. } => "put the documents anew on this branch",
            Self::Limit(mv2_format::Error::Invalid { .. }) => return None,
            Self::Limit(_) => "split the document",
            Self::Busy { .. } => "try again",
            Self::Sealed { .. } => "`mv2 unseal FILE` makes it writable again",
            Self::InTransaction { .. } => "commit or roll back first",
            Self::CannotReplace { .. } => "write to a new file with `mv2 vacuum FILE --to NEW`",
            Self::Cancelled { .. } | Self::Unsupported { .. } => return None,
        };
        Some(text.to_owned())
    }
}
