//! A checkpoint folds the tail of the log, and a batch that is too large for it, into segments.
//! `docs/format.md`, section "Checkpoint".

use std::sync::Arc;

use mv2_format::root::{Root, RootKind};
use mv2_format::segment::PAGE_BYTES;
use mv2_format::toc::Toc;
use mv2_format::wal::{Batch, encode_anchor};
use mv2_format::{Generation, SegmentId};

use crate::build::{Built, build};
use crate::compact::Compaction;
use crate::error::{Error, Result};
use crate::file::MemoryFile;
use crate::output::{Output, seal};
use crate::state::{Checkpoint, State, Tail};
use crate::types::OpenOptions;

/// Where a checkpoint failed, which decides what the writer does next.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Before any sync: nothing changed, the handle is sound.
    Clean(Error),
    /// In or after a sync: what is on the disk is not known.
    Unknown(Error),
}

/// Writes a checkpoint of a state and a batch, and returns the new state. What was built beforehand takes the place of
/// what it was built from.
pub(crate) fn write(
    state: &State,
    batch: Option<Batch>,
    options: &OpenOptions,
    compaction: Compaction,
    adopted: Option<&Built>,
) -> Result<State, Failure> {
    let file = &state.file;
    let next = with_batch(state, batch);
    let mut out = Output::new(file, state.root.committed_len, &next, false);
    let toc = build(&next, &mut out, options, compaction, adopted).map_err(Failure::Clean)?;
    let root = out.finish(&toc).map_err(Failure::Clean)?;
    if let Err(error) = file.sync() {
        // The footer may be whole above missing pages. Nobody adopts a page of zeros.
        let _ = file.write(root.committed_len - PAGE_BYTES as u64, &[0; PAGE_BYTES]);
        return Err(Failure::Unknown(error));
    }
    write_root(file, &root).map_err(Failure::Unknown)?;
    write_anchor(file, &root).map_err(Failure::Unknown)?;
    Ok(State {
        file: Arc::clone(file),
        root,
        adopted: false,
        checkpoint: Arc::new(Checkpoint::new(toc, Some(&state.checkpoint))),
        tail: Arc::new(Tail::new(&root)),
        damage: None,
    })
}

/// Writes a state as the only checkpoint of another file, behind its header and log. Live segments that are not rebuilt
/// are copied. The caller syncs.
pub(crate) fn write_elsewhere(
    state: &State,
    target: &MemoryFile,
    start: u64,
    options: &OpenOptions,
    compaction: Compaction,
) -> Result<()> {
    let mut out = Output::new(target, start, state, true);
    let toc = build(state, &mut out, options, compaction, None)?;
    let root = out.finish(&toc)?;
    target.write(
        Root::page_offset(root.generation).0,
        &root.encode(RootKind::Page),
    )?;
    // The file is durable before anybody sees it.
    write_anchor(target, &root)
}

/// Writes a root page and syncs.
pub(crate) fn write_root(file: &MemoryFile, root: &Root) -> Result<()> {
    file.write(
        Root::page_offset(root.generation).0,
        &root.encode(RootKind::Page),
    )?;
    file.sync()
}

/// Puts the anchor of a durable root page into the first slot of the log, over the log of the generation before. It tells the
/// next session that it need not make sure of the root page, and needs no sync: nothing is lost with it.
fn write_anchor(file: &MemoryFile, root: &Root) -> Result<()> {
    if file.header.wal_len == 0 {
        return Ok(());
    }
    let anchor = encode_anchor(&root.uuid, root.generation);
    file.write(file.header.wal_offset.0, &anchor)
}

/// The bytes of a new file: header, log, and an empty checkpoint.
pub(crate) fn empty_file(header: &mv2_format::header::Header) -> Vec<u8> {
    let toc = Toc {
        uuid: header.uuid,
        generation: Generation(1),
        next_segment: SegmentId(1),
        ..Toc::default()
    };
    let start = header.wal_offset.0 + header.wal_len;
    let (root, tail) = seal(&toc, start);
    let mut bytes = header.encode();
    bytes.resize(start as usize, 0);
    // The file is durable before anybody sees it.
    let log = header.wal_offset.0 as usize;
    bytes[log..log + PAGE_BYTES].copy_from_slice(&encode_anchor(&root.uuid, root.generation));
    let page = Root::page_offset(root.generation).0 as usize;
    bytes[page..page + PAGE_BYTES].copy_from_slice(&root.encode(RootKind::Page));
    bytes.extend_from_slice(&tail);
    bytes
}

/// The state as it will be, with the batch at the end of its tail.
pub(crate) fn with_batch(state: &State, batch: Option<Batch>) -> State {
    let mut next = state.clone();
    if let Some(batch) = batch {
        Arc::make_mut(&mut next.tail).push_to_fold(batch);
    }
    next
}
