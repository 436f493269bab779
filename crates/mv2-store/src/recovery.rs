//! From bytes to a state: opening a file, and catching up with what others committed.
//! `docs/format.md`, section "Opening and reading".

use std::path::Path;
use std::sync::Arc;

use mv2_format::checksum::hash32;
use mv2_format::root::{Root, RootKind};
use mv2_format::segment::PAGE_BYTES;
use mv2_format::toc::{MAX_TOC_BYTES, Toc};
use mv2_format::wal::{Batch, BatchHeader, HEADER_BYTES, decode_anchor, decode_records};
use mv2_format::{CommitId, FileOffset, Generation};

use crate::error::{Error, Result};
use crate::file::MemoryFile;
use crate::state::{Checkpoint, State, Tail};
use crate::storage::Volume;

/// How often a reader starts over because a checkpoint came in between.
const MAX_ATTEMPTS: u32 = 16;

/// Most bytes of the log that are read at once. The first read is of one page, each further one of twice
/// as much, so that a look at the next slot stays cheap.
const WINDOW_BYTES: u64 = 64 << 10;

/// What a root page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RootPage {
    /// Never written.
    Blank,
    /// Damaged, or written only in part.
    Bad(mv2_format::Error),
    Sound(Root),
}

impl RootPage {
    fn sound(&self) -> Option<&Root> {
        match self {
            Self::Sound(root) => Some(root),
            _ => None,
        }
    }
}

/// Reads the state of a file from scratch. What `before` has opened of the same file stays open.
pub(crate) fn load(file: &Arc<MemoryFile>, before: Option<&State>) -> Result<State> {
    for _ in 0..MAX_ATTEMPTS {
        let pages = read_roots(file)?;
        let Some((root, adopted, toc)) = choose_root(file, &pages)? else {
            continue;
        };
        let before = before.filter(|before| Arc::ptr_eq(&before.file, file));
        let checkpoint = Arc::new(Checkpoint::new(
            toc,
            before.map(|before| &*before.checkpoint),
        ));
        let mut state = State {
            file: Arc::clone(file),
            tail: Arc::new(Tail::new(&root)),
            root,
            adopted,
            checkpoint,
            damage: None,
        };
        follow_log(&mut state)?;
        state.damage = find_damage(&state)?;
        if state.damage.is_some() {
            // Without the lock a batch may have come in between the two looks. Then it is no damage.
            let end = state.tail.end;
            follow_log(&mut state)?;
            if state.tail.end != end {
                continue;
            }
        }
        if read_roots(file)? == pages {
            return Ok(state);
        }
    }
    Err(Error::Busy {
        path: file.path.clone(),
        attempts: MAX_ATTEMPTS,
    })
}

/// Brings a state up to the newest commit of any process. Returns `None` if it is there already.
///
/// Costs a look at the path, the root pages and the next slot of the log when nothing changed.
pub(crate) fn refresh(volume: &dyn Volume, state: &State, writable: bool) -> Result<Option<State>> {
    let file = &state.file;
    match volume.identity(&file.path) {
        Ok(identity) if identity != file.identity => {
            let file = Arc::new(MemoryFile::open(volume, &file.path, writable)?);
            return load(&file, None).map(Some);
        }
        // A file without a name still holds what it held.
        Ok(_) | Err(_) => {}
    }
    for _ in 0..MAX_ATTEMPTS {
        let pages = read_roots(file)?;
        let newest = pages
            .iter()
            .filter_map(RootPage::sound)
            .map(|root| root.generation)
            .max();
        if state.adopted
            || state.damage.is_some()
            || newest != Some(state.root.generation)
            || !tail_is_there(state)?
        {
            return load(file, Some(state)).map(Some);
        }
        let mut next = state.clone();
        follow_log(&mut next)?;
        if next.tail.end == state.tail.end {
            // Nothing new when the root pages were read.
            return Ok(None);
        }
        if read_roots(file)? == pages {
            return Ok(Some(next));
        }
    }
    Err(Error::Busy {
        path: file.path.clone(),
        attempts: MAX_ATTEMPTS,
    })
}

pub(crate) fn read_roots(file: &MemoryFile) -> Result<[RootPage; 2]> {
    let mut bytes = vec![0; 2 * PAGE_BYTES];
    file.read(PAGE_BYTES as u64, &mut bytes)
        .map_err(|error| truncated(file, error, 3 * PAGE_BYTES as u64))?;
    let (a, b) = bytes.split_at(PAGE_BYTES);
    Ok([(a, 0), (b, 1)].map(|(page, parity)| read_root(file, page, parity)))
}

fn read_root(file: &MemoryFile, page: &[u8], parity: u64) -> RootPage {
    if page.iter().all(|byte| *byte == 0) {
        return RootPage::Blank;
    }
    let offset = Root::page_offset(Generation(parity));
    match Root::decode(page, RootKind::Page, &file.header.uuid, offset) {
        Ok(root) if root.generation.0 % 2 == parity => RootPage::Sound(root),
        Ok(root) => RootPage::Bad(mv2_format::Error::invalid(
            "root page",
            format!("a generation of parity {parity}"),
            root.generation,
        )),
        Err(error) => RootPage::Bad(error),
    }
}

/// Picks the checkpoint that counts, says whether it was adopted from the footer, and reads its TOC.
/// `None` if the root pages changed meanwhile.
fn choose_root(file: &MemoryFile, pages: &[RootPage; 2]) -> Result<Option<(Root, bool, Toc)>> {
    let newest = pages
        .iter()
        .filter_map(RootPage::sound)
        .max_by_key(|root| root.generation);
    let damaged = pages.iter().any(|page| matches!(page, RootPage::Bad(_)));
    let generation = newest.map_or(Generation(0), |root| root.generation);
    let ahead = log_generation(file)?.is_some_and(|log| log > generation);
    if ahead && read_roots(file)? != *pages {
        return Ok(None);
    }
    let toc = newest.map(|root| read_toc(file, root)).transpose()?;
    let footer = if newest.is_none() || damaged || ahead {
        adopt_footer(file, generation, toc.as_ref())
    } else {
        Ok(None)
    };
    match (footer, newest, toc) {
        (Ok(Some((root, toc))), _, _) => Ok(Some((root, true, toc))),
        // A damaged root page without a log that goes on from it is one that a crash cut short.
        (_, Some(root), Some(toc)) if !ahead => Ok(Some((*root, false, toc))),
        (footer, _, _) => Err(Error::NoRoot {
            path: file.path.clone(),
            detail: format!(
                "page A {}, page B {}, footer {}{}",
                describe(&pages[0]),
                describe(&pages[1]),
                footer.map_or_else(|error| error.to_string(), |_| "is not newer".to_owned()),
                if ahead {
                    ", but the log continues a newer checkpoint"
                } else {
                    ""
                },
            ),
        }),
    }
}

fn describe(page: &RootPage) -> String {
    match page {
        RootPage::Blank => "is blank".to_owned(),
        RootPage::Bad(error) => format!("is bad ({error})"),
        RootPage::Sound(root) => format!("is of generation {}", root.generation),
    }
}

/// Reads the TOC of a root and checks that it belongs to it.
pub(crate) fn read_toc(file: &MemoryFile, root: &Root) -> Result<Toc> {
    let len = file.len()?;
    if root.committed_len > len || root.toc_len > MAX_TOC_BYTES {
        return Err(file.format(mv2_format::Error::Truncated {
            what: "file",
            needed: root.committed_len,
            available: len,
        }));
    }
    let mut bytes = vec![0; root.toc_len as usize];
    file.read(root.toc_offset.0, &mut bytes)?;
    if hash32(&bytes) != root.toc_hash {
        return Err(file.format(mv2_format::Error::Checksum {
            what: "table of contents",
            offset: root.toc_offset,
        }));
    }
    let toc = Toc::decode(&bytes, root.committed_len).map_err(|source| file.format(source))?;
    if toc.uuid != root.uuid
        || toc.generation != root.generation
        || toc.last_commit != root.last_commit
    {
        return Err(file.format(mv2_format::Error::invalid(
            "table of contents",
            format!(
                "uuid, generation {} and commit {}",
                root.generation, root.last_commit
            ),
            format!(
                "generation {} and commit {}",
                toc.generation, toc.last_commit
            ),
        )));
    }
    Ok(toc)
}

/// Reads the last page of the file as a footer. Returns it if it is newer than `generation` and all that
/// it refers to, and the trusted TOC does not, matches its hash.
fn adopt_footer(
    file: &MemoryFile,
    generation: Generation,
    trusted: Option<&Toc>,
) -> Result<Option<(Root, Toc)>> {
    let page = PAGE_BYTES as u64;
    let len = file.len()? / page * page;
    let Some(offset) = len.checked_sub(page) else {
        return Ok(None);
    };
    let mut bytes = vec![0; PAGE_BYTES];
    file.read(offset, &mut bytes)?;
    let root = Root::decode(
        &bytes,
        RootKind::Footer,
        &file.header.uuid,
        FileOffset(offset),
    )
    .map_err(|source| file.format(source))?;
    if root.generation <= generation || root.committed_len != len {
        return Ok(None);
    }
    let toc = read_toc(file, &root)?;
    for entry in &toc.segments {
        if trusted.is_some_and(|trusted| trusted.segments.contains(entry)) {
            continue;
        }
        let extent = file
            .storage
            .map(entry.offset.0, entry.extent_len() as usize)
            .map_err(|source| file.io("map", source))?;
        if hash32(extent.bytes()) != entry.hash {
            return Err(file.format(mv2_format::Error::Checksum {
                what: "segment",
                offset: entry.offset,
            }));
        }
    }
    Ok(Some((root, toc)))
}

/// Takes in all batches behind the tail of a state.
fn follow_log(state: &mut State) -> Result<()> {
    let file = Arc::clone(&state.file);
    let mut window = Window::new(&file);
    while let Some((header, records)) = window.batch(state.tail.end)? {
        let expected = header.generation == state.root.generation
            && header.previous == state.tail.hash
            && header.commit.0 == state.last_commit().0 + 1;
        if !expected {
            break;
        }
        let batch = decode_records(&header, records)
            .and_then(|batch| {
                let first = batch.commit.watermark.0 - batch.frames.len() as u64;
                if first != state.next_frame().0 {
                    return Err(mv2_format::Error::invalid(
                        "frames of a batch",
                        format!("ids from {}", state.next_frame()),
                        format!("from {first}"),
                    ));
                }
                Ok(batch)
            })
            .map_err(|source| file.format(source))?;
        let batch = complete(state, batch)?;
        Arc::make_mut(&mut state.tail).push(batch, header.hash, header.slot_bytes());
    }
    Ok(())
}

/// Fills in payloads that frames of a batch share with older ones, or with each other.
fn complete(state: &State, mut batch: Batch) -> Result<Batch> {
    for index in 0..batch.frames.len() {
        let (before, rest) = batch.frames.split_at_mut(index);
        let Some(carrier) = rest[0].meta.payload_frame else {
            continue;
        };
        let shared = before.iter().find(|frame| frame.meta.id == carrier);
        let frame = Arc::make_mut(&mut rest[0]);
        match shared {
            Some(shared) => frame.payload.clone_from(&shared.payload),
            None => *frame = state.complete(std::mem::take(frame), &mut None)?,
        }
    }
    Ok(batch)
}

/// Whether the newest batch of a state's tail is still in the log.
fn tail_is_there(state: &State) -> Result<bool> {
    let Some(slot) = &state.tail.last_batch else {
        return Ok(true);
    };
    let mut bytes = [0; HEADER_BYTES];
    let file = &state.file;
    file.read(file.header.wal_offset.0 + slot.start, &mut bytes)?;
    Ok(BatchHeader::decode(&bytes).is_ok_and(|header| header.hash == state.tail.hash))
}

/// Looks for sound batches behind the tail that a torn write cannot explain.
fn find_damage(state: &State) -> Result<Option<(u64, CommitId)>> {
    let file = &state.file;
    let mut window = Window::new(file);
    let mut found: Vec<BatchHeader> = Vec::new();
    let mut at = state.tail.end;
    while at < file.header.wal_len {
        let behind = match window.batch(at)? {
            Some((header, _))
                if header.generation == state.root.generation
                    && header.commit > state.last_commit() =>
            {
                Some(header)
            }
            _ => None,
        };
        at += behind.map_or(PAGE_BYTES as u64, |header| header.slot_bytes());
        found.extend(behind);
    }
    let torn = match found.as_slice() {
        [] => true,
        [only] => only.rewrote_previous,
        _ => false,
    };
    let offset = file.header.wal_offset.0 + state.tail.end;
    Ok(found
        .first()
        .filter(|_| !torn)
        .map(|header| (offset, header.commit)))
}

/// The generation that the first slot of the log belongs to, by a batch or an anchor.
fn log_generation(file: &MemoryFile) -> Result<Option<Generation>> {
    match Window::new(file).batch(0)? {
        Some((header, _)) => Ok(Some(header.generation)),
        None => read_anchor(file),
    }
}

/// The generation of the anchor in the first slot of the log, if there is one.
pub(crate) fn read_anchor(file: &MemoryFile) -> Result<Option<Generation>> {
    if file.header.wal_len == 0 {
        return Ok(None);
    }
    let mut page = vec![0; PAGE_BYTES];
    let at = file.header.wal_offset.0;
    file.read(at, &mut page)
        .map_err(|error| truncated(file, error, at + PAGE_BYTES as u64))?;
    Ok(decode_anchor(&page, &file.header.uuid))
}

/// Reads the log piece by piece.
struct Window<'a> {
    file: &'a MemoryFile,
    start: u64,
    bytes: Vec<u8>,
    next_len: u64,
}

impl<'a> Window<'a> {
    fn new(file: &'a MemoryFile) -> Self {
        Self {
            file,
            start: 0,
            bytes: Vec::new(),
            next_len: PAGE_BYTES as u64,
        }
    }

    /// The self-consistent batch at an offset of the log, with its records.
    fn batch(&mut self, offset: u64) -> Result<Option<(BatchHeader, &[u8])>> {
        let left = self.file.header.wal_len.saturating_sub(offset);
        if left < PAGE_BYTES as u64 {
            return Ok(None);
        }
        let uuid = self.file.header.uuid;
        let Ok(header) = BatchHeader::decode(self.get(offset, HEADER_BYTES as u64)?) else {
            return Ok(None);
        };
        let fits = header.body_len <= left && header.slot_bytes() <= left;
        if header.uuid != uuid || header.offset != offset || !fits {
            return Ok(None);
        }
        let records = self.get(offset + HEADER_BYTES as u64, header.body_len)?;
        Ok(header.verify_hash(records).then_some((header, records)))
    }

    fn get(&mut self, offset: u64, len: u64) -> Result<&[u8]> {
        let wal_len = self.file.header.wal_len;
        let covered = offset >= self.start && offset + len <= self.start + self.bytes.len() as u64;
        if !covered {
            let len = len.max(self.next_len).min(wal_len - offset);
            self.next_len = (self.next_len * 2).min(WINDOW_BYTES);
            self.start = offset;
            self.bytes.resize(len as usize, 0);
            let at = self.file.header.wal_offset.0 + offset;
            self.file
                .read(at, &mut self.bytes)
                .map_err(|error| truncated(self.file, error, at + len))?;
        }
        let start = (offset - self.start) as usize;
        Ok(&self.bytes[start..start + len as usize])
    }
}

/// Says that a file is too short where the system says that a read met its end.
fn truncated(file: &MemoryFile, error: Error, needed: u64) -> Error {
    match &error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::UnexpectedEof => file
            .format(mv2_format::Error::Truncated {
                what: "file",
                needed,
                available: file.len().unwrap_or(0),
            }),
        _ => error,
    }
}

/// Opens a file by path and reads its state.
pub(crate) fn open(volume: &dyn Volume, path: &Path, writable: bool) -> Result<State> {
    let file = Arc::new(MemoryFile::open(volume, path, writable)?);
    load(&file, None)
}
