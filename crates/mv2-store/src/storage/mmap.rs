//! The one place where a file becomes memory.
//!
//! Only segments are mapped: ranges below the `committed_len` of a root page, which no writer of this
//! format touches again, and files are never shortened. Header, root pages and log are read by
//! positioned reads into buffers. What no program can rule out is that another one truncates or rewrites
//! the file in place: reading a mapped page that is gone ends the process with SIGBUS, and rewritten bytes
//! fail their checksum if they were not read before. `docs/platforms.md` says so to users.

use std::fs::File;
use std::io;

use mv2_format::ByteOwner;

/// A mapped range of a file.
#[derive(Debug)]
pub(super) struct Map(memmap2::Mmap);

impl ByteOwner for Map {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Maps a range that is never written again.
#[expect(unsafe_code)]
pub(super) fn map(file: &File, offset: u64, len: usize) -> io::Result<Map> {
    // SAFETY: the map is read-only and its range immutable by the rules of the format (module
    // documentation). A foreign program that breaks them can change or remove the bytes under us;
    // that risk is inherent in mapping a file and documented for users.
    let map = unsafe {
        memmap2::MmapOptions::new()
            .offset(offset)
            .len(len)
            .map(file)
    };
    map.map(Map)
}
