#![doc = include_str!("../README.md")]
#![no_std]

/// The table, laid out as the README says.
pub static TABLE: &[u8] = include_bytes!("table.bin");

/// BLAKE3 of [`TABLE`]. A test of `mv2-embed` compares it: hashing the table at each start would take longer than a search.
pub const BLAKE3: &str = "e5a2d6e61c4b481176fd194cfd58ff30c616b58b564a78d60423d2a928757df1";
