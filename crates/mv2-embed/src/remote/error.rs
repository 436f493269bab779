//! What can go wrong with an embedding service.

use crate::error::BoxError;

/// Why a service gave no vectors; the source of an [`Error::Failed`](crate::Error::Failed).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The address is none that can be asked.
    #[error(
        "{url} is no address of an embedding service: expected http:// or https://, a host, and no user or password"
    )]
    Url {
        /// The address.
        url: String,
    },
    /// The address does not say which of the service's models.
    #[error("{url} names no model: expected it behind a #, as in http://localhost:11434/v1#MODEL")]
    NoModel {
        /// The address.
        url: String,
    },
    /// There is no key where one was to be found.
    #[error("no key: {source_of_key} is empty, or holds what no key can")]
    Key {
        /// Where it was looked for.
        source_of_key: String,
    },
    /// A key would be sent where anybody on the way could read it.
    #[error(
        "{url} would get the key without encryption: expected https://, or a host that is this machine"
    )]
    KeyInClear {
        /// The address.
        url: String,
    },
    /// No answer came.
    #[error("{url} did not answer in {attempts} attempts")]
    Unreachable {
        /// The address.
        url: String,
        /// How often it was asked.
        attempts: u32,
        /// What the last attempt met.
        #[source]
        source: BoxError,
    },
    /// The service refused, or failed.
    #[error("{url} answered with status {status} after {attempts} attempts: {message}")]
    Refused {
        /// The address.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// How often it was asked.
        attempts: u32,
        /// The start of what it said, without the key.
        message: String,
    },
    /// The service answered with something else than the vectors that it was asked for.
    #[error("{url}: {what}: expected {expected}, found {found}")]
    Answer {
        /// The address.
        url: String,
        /// The field.
        what: String,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
}
