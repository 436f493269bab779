//! The built-in model, `mv2-static`: a vector for each token, summed.
//!
//! `table` reads the data crate, `wordpiece` makes tokens of a text, `embedder` sums their rows, `maxsim` compares
//! a question with a passage token by token.

mod embedder;
mod maxsim;
mod table;
mod wordpiece;

pub use embedder::StaticEmbedder;
pub use maxsim::MaxSim;
