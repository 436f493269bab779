#![doc = include_str!("../README.md")]

mod cursor;
mod error;
mod index;
mod layout;
pub mod parse;
mod segment;
mod timeline;
mod walk;

pub use cursor::Cursor;
pub use error::{Error, Result};
pub use index::TimeIndex;
pub use parse::When;
pub use segment::Segment;
pub use timeline::{DeadTest, Order, Page, Query, Row, Rows, Timeline};
