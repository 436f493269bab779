//! What reads of one handle and its snapshots share: the readers of each index, with what they keep open.

use std::fmt;

use crate::temporal::Temporal;

/// The readers of each index.
pub(crate) struct Indexes {
    pub(crate) temporal: Temporal,
    #[cfg(feature = "lex")]
    pub(crate) lexical: crate::lexical::Lexical,
    #[cfg(feature = "vec")]
    pub(crate) vectors: crate::vectors::Vectors,
    #[cfg(feature = "vec")]
    pub(crate) embedders: std::sync::Arc<crate::embedder::Embedders>,
}

impl fmt::Debug for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indexes").finish_non_exhaustive()
    }
}
