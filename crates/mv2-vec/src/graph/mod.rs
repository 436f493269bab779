//! Graphs of large segments: built by instant-distance over the codes, with links that are chosen afterwards, laid flat into
//! sections, and searched there.

pub(crate) mod build;
pub(crate) mod calibrate;
mod extract;
mod near;
pub(crate) mod nodes;
mod point;
mod refine;
pub(crate) mod walk;
