//! What can go wrong with an embedding: a text that has no vector, a model that cannot be used.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong below, in a crate that this one does not name in its interface.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why texts could not be embedded, or a model not be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One of the texts has no vector under this model. Ask [`Embedder::check`](crate::Embedder::check) first.
    #[error("text {index} of the batch has no vector: {reason}")]
    NoVector {
        /// Which of the texts, from 0.
        index: usize,
        /// Why.
        #[source]
        reason: NoVector,
    },
    /// The description of a model, as it stands in a file, cannot be read.
    #[error("the description of an embedding model is not readable: {reason}")]
    Description {
        /// What is wrong with it, and where.
        reason: String,
    },
    /// What the model is made of is missing, damaged or of another kind.
    #[error("model {model}: {what}: expected {expected}, found {found}")]
    Model {
        /// The model's name.
        model: String,
        /// The file, section or field.
        what: String,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
    /// No model has that name.
    #[error("no model is called {name:?}{}", nearest.map_or_else(String::new, |name| format!("; did you mean {name}?")))]
    UnknownModel {
        /// The name that was asked for.
        name: String,
        /// The name of a model that is most like it.
        nearest: Option<&'static str>,
    },
    /// This build of the program has not what runs the model.
    #[error("model {model}: this build cannot run it, it is without the feature {feature}")]
    NotBuiltIn {
        /// The model's name.
        model: String,
        /// The feature of this crate that runs it.
        feature: &'static str,
    },
    /// The model is not on this machine, or not all of it.
    #[error("model {model} is not on this machine: {looked_in} has not all of its files", looked_in = .looked_in.display())]
    NotHere {
        /// The model, as the hub calls it.
        model: String,
        /// Where it would be.
        looked_in: PathBuf,
    },
    /// A file of a model is missing or cannot be read.
    #[error("model {model}: {path}", path = .path.display())]
    ModelFile {
        /// The model's name.
        model: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The model failed while it ran.
    #[error("model {model} failed")]
    Failed {
        /// The model's name.
        model: String,
        /// What it said.
        #[source]
        source: BoxError,
    },
}

/// Why a text has no vector. No fault: such a text is found by its words.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoVector {
    /// It is empty, or holds no letter and no digit.
    #[error("it holds no letter and no digit")]
    Empty,
    /// It is in a script that the model does not know.
    #[error("the model covers {:.0} % of it, less than {:.0} %", .coverage * 100.0, crate::coverage::MINIMUM * 100.0)]
    NotCovered {
        /// The share of its letters and digits that the model covers, 0 to 1.
        coverage: f32,
    },
    /// None of its tokens is in the model's vocabulary: one endless word, for example.
    #[error("none of its words is in the model's vocabulary")]
    NoTokens,
}
