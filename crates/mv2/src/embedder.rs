//! Which embedder a memory is read and written with.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mv2_embed::{BUILT_IN, Embedder};

use crate::error::{Error, Result};
use crate::vectors::Space;

/// The embedder of a name, as the command line has it: the built-in one; with the feature `candle`, a transformer by its name or
/// folder; with the feature `remote`, a model of a service by address, as `http://localhost:11434/v1#nomic-embed-text`. See
/// [`embed::open`](mv2_embed::open). Nothing is downloaded.
///
/// # Errors
/// `unknown_embedder` if there is none of this name, `model_not_here` if it is not on this machine, `unsupported` if this build
/// cannot run it, `embedding_failed` if its files are not as they should be, or a service does not answer.
///
/// ```
/// # #[cfg(feature = "static")] {
/// let embedder = mv2::embedder::resolve("mv2-static")?;
/// assert_eq!(embedder.spec().dims, 256);
/// # }
/// assert_eq!(mv2::embedder::resolve("no-such").err().unwrap().kind(), "unknown_embedder");
/// # Ok::<(), mv2::Error>(())
/// ```
pub fn resolve(name: &str) -> Result<Arc<dyn Embedder>> {
    mv2_embed::open(name).map_err(|error| match error {
        mv2_embed::Error::UnknownModel { name, .. } => Error::UnknownEmbedder {
            name,
            known: names().join(", "),
        },
        error => error.into(),
    })
}

/// The names that [`resolve`] knows in this build, the default one first.
pub fn names() -> Vec<&'static str> {
    let transformers = mv2_embed::KNOWN_MODELS.iter().map(|model| model.name);
    let built_in = cfg!(feature = "static").then_some(BUILT_IN);
    let transformers = transformers.filter(|_| cfg!(feature = "candle"));
    built_in.into_iter().chain(transformers).collect()
}

/// What an open memory takes for its embedder.
#[derive(Clone, Default)]
pub(crate) enum Choice {
    /// The one that made the memory's vectors, else the built-in one, as far as this build has them.
    #[default]
    Default,
    Given(Arc<dyn Embedder>),
    None,
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Default"),
            Self::Given(embedder) => f.debug_tuple("Given").field(&embedder.spec().name).finish(),
            Self::None => f.write_str("None"),
        }
    }
}

/// The embedders of an open memory.
pub(crate) struct Embedders {
    choice: Choice,
    built_in: Option<Arc<dyn Embedder>>,
    /// What was looked for last.
    found: Mutex<Option<Found>>,
}

/// The embedder of a name, if this build has it.
struct Found {
    name: String,
    embedder: Option<Arc<dyn Embedder>>,
}

impl Embedders {
    pub(crate) fn new(choice: Choice) -> Self {
        let built_in = match choice {
            Choice::Default => resolve(BUILT_IN).ok(),
            _ => None,
        };
        Self {
            choice,
            built_in,
            found: Mutex::default(),
        }
    }

    /// Whether the caller named it.
    pub(crate) fn is_given(&self) -> bool {
        matches!(self.choice, Choice::Given(_))
    }

    /// The embedder for vectors of a space, or for the first ones of a memory. It may be another than the one that made them:
    /// then theirs is not there.
    pub(crate) fn of(&self, space: Option<&Space>) -> Option<Arc<dyn Embedder>> {
        let default = match &self.choice {
            Choice::None => return None,
            Choice::Given(embedder) => return Some(Arc::clone(embedder)),
            Choice::Default => self.built_in.clone(),
        };
        let Some(space) = space.filter(|space| space.embedder.is_some()) else {
            return default;
        };
        let theirs = |embedder: &Arc<dyn Embedder>| embedder.spec().identity() == space.spec.model;
        if default.as_ref().is_some_and(theirs) {
            return default;
        }
        let name = space.embedder_name();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.as_ref().is_none_or(|found| found.name != name) {
            let embedder = mv2_embed::open_by_name(&name).ok().filter(theirs);
            *found = Some(Found { name, embedder });
        }
        let found = found.as_ref().and_then(|found| found.embedder.clone());
        found.or(default)
    }
}
