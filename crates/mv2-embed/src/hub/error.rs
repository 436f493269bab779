//! Why a model could not be downloaded.

use std::path::PathBuf;

use crate::error::BoxError;

/// Why a model could not be downloaded. What had arrived stays, and the next attempt goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// No model has that name.
    #[error("no model is called {name:?}{}", nearest.map_or_else(String::new, |name| format!("; did you mean {name}?")))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The name of a model that is most like it.
        nearest: Option<&'static str>,
    },
    /// `HF_HUB_OFFLINE` is set.
    #[error("HF_HUB_OFFLINE is set: nothing is downloaded")]
    Offline,
    /// There is no folder to put it in.
    #[error("there is no home folder; HF_HOME says where models go")]
    NoCache,
    /// The hub cannot be reached, or the connection broke more often than it was worth.
    #[error("{url} cannot be reached")]
    Unreachable {
        /// The address.
        url: String,
        /// What went wrong.
        #[source]
        source: BoxError,
    },
    /// The hub said no.
    #[error("{url} answered with status {status}")]
    Refused {
        /// The address.
        url: String,
        /// The status, such as 404 or 429.
        status: u16,
    },
    /// The hub's answer cannot be used.
    #[error("{url}: {what}: expected {expected}, found {found}")]
    Answer {
        /// The address.
        url: String,
        /// The field or header.
        what: &'static str,
        /// What should have been there.
        expected: &'static str,
        /// What was there.
        found: String,
    },
    /// What arrived is not what the hub had announced. It was deleted.
    #[error(
        "{url}: what arrived has the checksum {found}, and {expected} was announced; it was deleted"
    )]
    Checksum {
        /// The address.
        url: String,
        /// The checksum that was announced.
        expected: String,
        /// That of what arrived.
        found: String,
    },
    /// Another process downloads the same file.
    #[error("another process is downloading {path}", path = .path.display())]
    Busy {
        /// Where the file grows.
        path: PathBuf,
    },
    /// A file of the cache cannot be read or written.
    #[error("{path}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}
