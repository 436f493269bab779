//! What is wrong with a part of a model, before it is known which file and which model it is.

use std::fmt;
use std::path::Path;

use crate::error::Error;

/// What is wrong inside of one file.
#[derive(Debug)]
pub(super) enum Fault {
    /// A field or a tensor is not what it should be.
    Content {
        what: String,
        expected: String,
        found: String,
    },
    /// The file cannot be read.
    Io(std::io::Error),
}

impl Fault {
    pub(super) fn new(
        what: impl fmt::Display,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Self::Content {
            what: what.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    pub(super) fn io(source: std::io::Error) -> Self {
        Self::Io(source)
    }

    /// The fault, with the name of the model and the file.
    pub(super) fn of(self, model: &str, path: &Path) -> Error {
        match self {
            Self::Content {
                what,
                expected,
                found,
            } => Error::Model {
                model: model.to_owned(),
                what: format!("{}, {what}", path.display()),
                expected,
                found,
            },
            Self::Io(source) => Error::ModelFile {
                model: model.to_owned(),
                path: path.to_owned(),
                source,
            },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content {
                what,
                expected,
                found,
            } => write!(f, "{what}: expected {expected}, found {found}"),
            Self::Io(source) => source.fmt(f),
        }
    }
}
