//! The vectors of what is put: made by the embedder, or brought by the caller.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use mv2_embed::chunk::{self, ChunkOptions};
use mv2_embed::{Embedder, Precision, Role};
use mv2_format::{FrameId, SegmentKind};
use mv2_store::{NewFrame, Snapshot, Store};
use mv2_vec::{Exact, Metric, Spec};
use serde_json::Value;

use crate::embedder::Embedders;
use crate::error::{Error, Result};
use crate::text;
use crate::vectors::{PROPERTY, Space, late_properties};

/// Bytes of a document that are embedded. What lies behind them is found by its words.
pub(crate) const MAX_TEXT_BYTES: usize = 4 << 20;

/// Bytes of text that wait until they are embedded together, on all cores.
const WAITING_BYTES: usize = 1 << 20;

/// Below so many bytes of text a second thread costs more than it brings.
const WORTH_A_THREAD: usize = 32 << 10;

/// Parts that an embedder gets at a time.
const BATCH: usize = 64;

/// How vectors that callers bring are kept, where a memory gets its first one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct VectorOptions {
    pub(crate) metric: Metric,
    pub(crate) exact: Exact,
}

/// What a handle knows of the vectors of its batch.
pub(crate) struct Embedding {
    embedders: Arc<Embedders>,
    options: VectorOptions,
    /// The space of the batch, once it was asked for.
    space: Option<Option<Space>>,
    /// Texts of the batch that have no vectors yet.
    waiting: Vec<(FrameId, EmbeddedText)>,
    waiting_bytes: usize,
    /// Frames of earlier commits that got vectors in this batch.
    late: Vec<FrameId>,
}

/// The part of a document that is embedded.
pub(crate) struct EmbeddedText {
    title: Option<String>,
    text: String,
}

/// A vector, and the bytes of the text that it stands for.
type Row = (Range<u64>, Vec<f32>);

impl EmbeddedText {
    fn of(frame: &NewFrame) -> Self {
        let text = match (&frame.search_text, frame.is_text) {
            (Some(text), _) => text,
            (None, true) => std::str::from_utf8(&frame.payload).unwrap_or_default(),
            (None, false) => "",
        };
        Self::new(frame.title.as_deref(), text)
    }

    fn new(title: Option<&str>, text: &str) -> Self {
        let text = text::without_bom(text);
        let mut end = text.len().min(MAX_TEXT_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            title: title.map(str::to_owned),
            text: text[..end].to_owned(),
        }
    }
}

impl Embedding {
    pub(crate) fn new(embedders: Arc<Embedders>, options: VectorOptions) -> Self {
        Self {
            embedders,
            options,
            space: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            late: Vec::new(),
        }
    }

    /// Forgets the batch, which is committed or rolled back.
    pub(crate) fn end_batch(&mut self) {
        self.space = None;
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.late.clear();
    }

    fn space(&mut self, store: &Store) -> Result<Option<Space>> {
        if self.space.is_none() {
            self.space = Some(Space::of(&store.snapshot()?)?);
        }
        Ok(self.space.clone().flatten())
    }

    fn enter(&mut self, store: &mut Store, space: Space) -> Result<Space> {
        store.set_property(PROPERTY, Some(space.encode()))?;
        self.space = Some(Some(space.clone()));
        Ok(space)
    }

    /// What of a frame gets vectors when it is put; `None` if nothing makes any, as there is no embedder or callers bring theirs.
    ///
    /// # Errors
    /// `embedder_mismatch` if another embedder made those of the memory.
    pub(crate) fn text_of(
        &mut self,
        store: &Store,
        frame: &NewFrame,
    ) -> Result<Option<EmbeddedText>> {
        let space = self.space(store)?;
        let Some(embedder) = self.embedders.of(space.as_ref()) else {
            return Ok(None);
        };
        let is_ours = match &space {
            Some(space) => same_model(space, &*embedder)?,
            None => true,
        };
        Ok(is_ours.then(|| EmbeddedText::of(frame)))
    }

    /// Gives a frame the vectors of its text: now or, together with others, by [`embed_waiting`](Self::embed_waiting).
    pub(crate) fn attach_text(
        &mut self,
        store: &mut Store,
        frame: FrameId,
        text: EmbeddedText,
    ) -> Result<()> {
        if self.space(store)?.is_none()
            && let Some(embedder) = self.embedders.of(None)
        {
            self.enter(store, space_of(&*embedder, 1)?)?;
        }
        self.wait(store, frame, text).map(drop)
    }

    /// Lets a text wait, if not too many do. Returns how many frames got vectors.
    fn wait(&mut self, store: &mut Store, frame: FrameId, text: EmbeddedText) -> Result<u64> {
        self.waiting_bytes += text.text.len();
        self.waiting.push((frame, text));
        match self.waiting_bytes >= WAITING_BYTES {
            true => self.embed_waiting(store),
            false => Ok(0),
        }
    }

    /// Gives the frames whose texts wait their vectors: none where the embedder does not know the script. Returns how many
    /// frames got some.
    ///
    /// # Errors
    /// `embedding_failed`; the texts wait on then.
    pub(crate) fn embed_waiting(&mut self, store: &mut Store) -> Result<u64> {
        if self.waiting.is_empty() {
            return Ok(0);
        }
        let Some(space) = self.space(store)? else {
            return Ok(0);
        };
        let Some(embedder) = self.embedders.of(Some(&space)) else {
            return Ok(0);
        };
        let rows = embed(&*embedder, &self.waiting, self.waiting_bytes)?;
        self.waiting_bytes = 0;
        let mut count = 0;
        let committed = store.snapshot()?.end_frame();
        for ((frame, _), rows) in self.waiting.drain(..).zip(rows) {
            attach(store, &space, frame, &rows)?;
            if !rows.is_empty() {
                count += 1;
                self.late.extend((frame < committed).then_some(frame));
            }
        }
        Ok(count)
    }

    /// Gives a frame a vector of the caller's.
    pub(crate) fn attach_vector(
        &mut self,
        store: &mut Store,
        frame: FrameId,
        len: u64,
        vector: &[f32],
    ) -> Result<()> {
        let space = self.space_for(store, vector)?;
        attach(store, &space, frame, &[(0..len, vector.to_vec())])
    }

    /// The space of the caller's vectors; a new one if the memory has none. Checks the vector.
    pub(crate) fn space_for(&mut self, store: &mut Store, vector: &[f32]) -> Result<Space> {
        let space = match self.space(store)? {
            Some(space) if space.embedder.is_some() => {
                return Err(mismatch(&space, "the caller"));
            }
            Some(space) => space,
            None => {
                let dims = u32::try_from(vector.len()).unwrap_or(u32::MAX);
                let mut spec = Spec::new(dims)?;
                spec.metric = self.options.metric;
                spec.exact = self.options.exact;
                spec.space = 1;
                Space {
                    spec,
                    embedder: None,
                }
            }
        };
        // What is wrong with the vector is said before the memory gets a space for it.
        mv2_vec::encode_rows(&space.spec, &[(0..0, vector)])?;
        if self.space(store)?.is_none() {
            return self.enter(store, space);
        }
        Ok(space)
    }

    /// Gives each visible frame the vectors of this handle's embedder: all of them where another one made those that are
    /// there, else those that have none. Returns how many frames got vectors.
    pub(crate) fn reembed(
        &mut self,
        store: &mut Store,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<u64> {
        store.begin()?;
        let space = self.space(store)?;
        let embedder = self.embedders.of(space.as_ref());
        let embedder = embedder.ok_or(Error::NoEmbedder)?;
        let snapshot = store.snapshot()?;
        // In a new space all vectors are of this batch; in the old one an older snapshot must not see those that come now.
        let mut joined = None;
        let known = match space {
            Some(space) if space.spec.model == embedder.spec().identity() => {
                joined = Some(space.spec.space);
                embedded(&snapshot, &space)?
            }
            // Who names no other model does not want to lose the one that is there.
            Some(space) if !self.embedders.is_given() => {
                return Err(mismatch(&space, &embedder.spec().name));
            }
            other => {
                let part = other.map_or(1, |space| space.spec.space + 1);
                self.enter(store, space_of(&*embedder, part)?)?;
                Vec::new()
            }
        };
        let end = snapshot.end_frame();
        let mut count = 0;
        for meta in snapshot.metas(FrameId(0)..end) {
            let id = meta?.id;
            progress(id.get(), end.get());
            if known.binary_search(&id).is_ok() {
                continue;
            }
            // A byte order mark is not embedded, and no character is cut.
            let mut frame = snapshot.frame_head(id, MAX_TEXT_BYTES as u64 + 16)?;
            let text = text::take_text(&mut frame);
            let text = EmbeddedText::new(frame.meta.title.as_deref(), &text);
            count += self.wait(store, id, text)?;
        }
        count += self.embed_waiting(store)?;
        if let Some(part) = joined {
            for (key, value) in late_properties(part, &self.late) {
                store.set_property(&key, Some(value))?;
            }
        }
        progress(end.get(), end.get());
        Ok(count)
    }
}

/// Whether the embedder made the vectors of a space; `false` if callers bring their own.
fn same_model(space: &Space, embedder: &dyn Embedder) -> Result<bool> {
    if space.embedder.is_none() {
        return Ok(false);
    }
    if space.spec.model == embedder.spec().identity() {
        return Ok(true);
    }
    Err(mismatch(space, &embedder.spec().name))
}

fn mismatch(space: &Space, given: &str) -> Error {
    Error::EmbedderMismatch {
        stored: space.embedder_name(),
        given: given.to_owned(),
    }
}

/// The space of an embedder's vectors.
fn space_of(embedder: &dyn Embedder, part: u32) -> Result<Space> {
    let description = embedder.spec();
    let mut spec = Spec::new(description.dims)?;
    spec.exact = match description.precision {
        Precision::Int8 => Exact::None,
        _ => Exact::F16,
    };
    spec.space = part;
    spec.model = description.identity();
    Ok(Space {
        spec,
        embedder: serde_json::from_str::<Value>(&description.to_json()).ok(),
    })
}

/// The frames that have vectors in a space, sorted.
fn embedded(snapshot: &Snapshot, space: &Space) -> Result<Vec<FrameId>> {
    let (segments, pending) = snapshot.attached(SegmentKind::VECTORS, space.spec.space)?;
    let mut frames: Vec<FrameId> = pending.iter().map(|row| row.frame).collect();
    for segment in segments {
        frames.extend(mv2_vec::Segment::open(segment.bytes)?.frames()?);
    }
    frames.sort_unstable();
    frames.dedup();
    Ok(frames)
}

/// The vectors of texts: for each text one for each part that the embedder reads whole and knows the script of.
fn embed(
    embedder: &dyn Embedder,
    texts: &[(FrameId, EmbeddedText)],
    bytes: usize,
) -> Result<Vec<Vec<Row>>> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = cores.min(bytes.div_ceil(WORTH_A_THREAD));
    let split = in_threads(threads, texts.len(), |at| parts(embedder, &texts[at].1));
    let parts: Vec<(usize, Range<u64>, String)> = split
        .into_iter()
        .enumerate()
        .flat_map(|(text, parts)| {
            parts
                .into_iter()
                .map(move |(range, part)| (text, range, part))
        })
        .collect();
    let batches: Vec<_> = parts.chunks(BATCH).collect();
    let vectors = in_threads(threads, batches.len(), |at| {
        let batch: Vec<&str> = batches[at].iter().map(|(.., part)| &**part).collect();
        embed_batch(embedder, &batch)
    });
    let mut rows: Vec<Vec<Row>> = texts.iter().map(|_| Vec::new()).collect();
    for (batch, vectors) in batches.into_iter().zip(vectors) {
        for ((text, range, _), vector) in batch.iter().zip(vectors?) {
            rows[*text].extend(vector.map(|vector| (range.clone(), vector)));
        }
    }
    Ok(rows)
}

/// The vector of each text, if it has one.
fn embed_batch(embedder: &dyn Embedder, batch: &[&str]) -> Result<Vec<Option<Vec<f32>>>> {
    let dims = embedder.spec().dims as usize;
    let mut vectors = Vec::new();
    match embedder.embed(batch, Role::Passage, &mut vectors) {
        Ok(()) => Ok(vectors
            .chunks(dims.max(1))
            .map(|vector| Some(vector.to_vec()))
            .collect()),
        // It has none for one of them. That is no reason to do without those of the others.
        Err(mv2_embed::Error::NoVector { .. }) if batch.len() > 1 => {
            let alone = batch.iter().map(|text| embed_batch(embedder, &[text]));
            Ok(alone.collect::<Result<Vec<_>>>()?.concat())
        }
        Err(mv2_embed::Error::NoVector { .. }) => Ok(vec![None]),
        Err(error) => Err(error.into()),
    }
}

/// The parts of a text that get vectors, and what of each is embedded.
fn parts(embedder: &dyn Embedder, text: &EmbeddedText) -> Vec<(Range<u64>, String)> {
    let options = chunk_options(embedder, text.title.as_deref());
    let chunks = chunk::split(&text.text, &options, |piece| embedder.token_count(piece));
    let mut parts: Vec<(Range<u64>, String)> = chunks
        .into_iter()
        .map(|part| {
            let body = &text.text[part.range.clone()];
            let above = [text.title.as_deref(), Some(&*part.heading)];
            let above = above.into_iter().flatten().filter(|line| !line.is_empty());
            let lines: Vec<&str> = above.chain([body]).collect();
            (
                part.range.start as u64..part.range.end as u64,
                lines.join("\n"),
            )
        })
        .collect();
    if let (true, Some(title)) = (parts.is_empty(), &text.title) {
        parts.push((0..text.text.len() as u64, title.clone()));
    }
    parts.retain(|(_, text)| embedder.check(text).is_ok());
    parts
}

/// What a function gives for each number below `count`, in their order. Each thread takes the next number that is left.
fn in_threads<T: Send + Sync>(
    threads: usize,
    count: usize,
    run: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    if threads.min(count) <= 1 {
        return (0..count).map(run).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Vec<OnceLock<T>> = (0..count).map(|_| OnceLock::new()).collect();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = done.get(at) else { break };
            slot.get_or_init(|| run(at));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            scope.spawn(work);
        }
        work();
    });
    done.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// Parts that the model reads whole, also behind a title, which may take up to half of what it reads.
fn chunk_options(embedder: &dyn Embedder, title: Option<&str>) -> ChunkOptions {
    let limit = embedder.spec().max_tokens as usize;
    let title = title.map_or(0, |title| embedder.token_count(title));
    let max = limit - title.min(limit / 2);
    let options = ChunkOptions::default();
    ChunkOptions {
        target: options.target.min(limit.div_ceil(4) * 3).min(max),
        max: options.max.min(max),
        ..options
    }
}

fn attach(store: &mut Store, space: &Space, frame: FrameId, rows: &[Row]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = rows
        .iter()
        .map(|(range, v)| (range.clone(), &v[..]))
        .collect();
    Ok(store.attach(space.attachment(frame, &rows)?)?)
}
