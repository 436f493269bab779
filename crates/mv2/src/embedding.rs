//! The vectors of what is put: made by the embedder, or brought by the caller.

use std::ops::Range;
use std::sync::Arc;

use mv2_embed::chunk::{self, ChunkOptions};
use mv2_embed::{Embedder, Precision, Role};
use mv2_format::{FrameId, SegmentKind};
use mv2_store::{NewFrame, Snapshot, Store};
use mv2_vec::{Exact, Metric, Spec};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::text;
use crate::vectors::{PROPERTY, Space};

/// Bytes of a document that are embedded. What lies behind them is found by its words.
const MAX_TEXT_BYTES: usize = 4 << 20;

/// How vectors that callers bring are kept, where a memory gets its first one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct VectorOptions {
    pub(crate) metric: Metric,
    pub(crate) exact: Exact,
}

/// What a handle knows of the vectors of its batch.
pub(crate) struct Embedding {
    pub(crate) embedder: Option<Arc<dyn Embedder>>,
    options: VectorOptions,
    /// The space of the batch, once it was asked for.
    space: Option<Option<Space>>,
}

/// The part of a document that is embedded.
pub(crate) struct EmbeddedText {
    title: Option<String>,
    text: String,
}

/// A vector, and the bytes of the text that it stands for.
type Row = (Range<u64>, Vec<f32>);

impl EmbeddedText {
    /// What of a new frame is embedded.
    pub(crate) fn of(frame: &NewFrame) -> Self {
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
    pub(crate) fn new(embedder: Option<Arc<dyn Embedder>>, options: VectorOptions) -> Self {
        Self {
            embedder,
            options,
            space: None,
        }
    }

    /// Forgets the space of the batch, which is committed or rolled back.
    pub(crate) fn end_batch(&mut self) {
        self.space = None;
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

    /// Checks that the embedder of this handle made the vectors of the memory, before anything is put.
    ///
    /// # Errors
    /// `embedder_mismatch`.
    pub(crate) fn check(&mut self, store: &Store) -> Result<()> {
        let Some(embedder) = self.embedder.clone() else {
            return Ok(());
        };
        match self.space(store)? {
            Some(space) => same_model(&space, &*embedder).map(drop),
            None => Ok(()),
        }
    }

    /// Gives a frame the vectors of its text. Returns how many: none where the embedder does not know its script or fails.
    pub(crate) fn attach_text(
        &mut self,
        store: &mut Store,
        frame: FrameId,
        text: &EmbeddedText,
    ) -> Result<usize> {
        let Some(embedder) = self.embedder.clone() else {
            return Ok(0);
        };
        let space = match self.space(store)? {
            Some(space) if same_model(&space, &*embedder)? => space,
            // The caller brings vectors of its own.
            Some(_) => return Ok(0),
            None => {
                let space = space_of(&*embedder, 1)?;
                self.enter(store, space)?
            }
        };
        // A document is not lost with its vectors: it is found by its words, and `reembed` tries again.
        let rows = embed(&*embedder, text).unwrap_or_default();
        attach(store, &space, frame, &rows)?;
        Ok(rows.len())
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
                return Err(Error::EmbedderMismatch {
                    stored: space.embedder_name(),
                    given: "vectors of the caller's".to_owned(),
                });
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
        let embedder = self.embedder.clone().ok_or(Error::NoEmbedder)?;
        store.begin()?;
        let snapshot = store.snapshot()?;
        let (space, known) = match self.space(store)? {
            Some(space) if space.spec.model == embedder.spec().identity() => {
                let known = embedded(&snapshot, &space)?;
                (space, known)
            }
            other => {
                let part = other.map_or(1, |space| space.spec.space + 1);
                let space = space_of(&*embedder, part)?;
                (self.enter(store, space)?, Vec::new())
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
            let frame = snapshot.frame(id)?;
            let text = EmbeddedText::new(frame.meta.title.as_deref(), frame.text());
            let rows = embed(&*embedder, &text)?;
            attach(store, &space, id, &rows)?;
            count += u64::from(!rows.is_empty());
        }
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
    Err(Error::EmbedderMismatch {
        stored: space.embedder_name(),
        given: embedder.spec().name.clone(),
    })
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

/// Parts of a text that are embedded at a time.
const BATCH: usize = 64;

/// The vectors of a text: one for each part that the embedder reads whole and knows the script of.
fn embed(embedder: &dyn Embedder, text: &EmbeddedText) -> Result<Vec<Row>> {
    let whole = 0..text.text.len();
    let mut parts: Vec<(Range<usize>, String)> = chunk::split(
        &text.text,
        &chunk_options(embedder, text.title.as_deref()),
        |piece| embedder.token_count(piece),
    )
    .into_iter()
    .map(|part| {
        let body = &text.text[part.range.clone()];
        let above = [text.title.as_deref(), Some(&*part.heading)];
        let above = above.into_iter().flatten().filter(|line| !line.is_empty());
        let lines: Vec<&str> = above.chain([body]).collect();
        (part.range, lines.join("\n"))
    })
    .collect();
    if let (true, Some(title)) = (parts.is_empty(), &text.title) {
        parts.push((whole, title.clone()));
    }
    parts.retain(|(_, text)| embedder.check(text).is_ok());
    let mut rows = Vec::with_capacity(parts.len());
    let dims = embedder.spec().dims as usize;
    for batch in parts.chunks(BATCH) {
        let texts: Vec<&str> = batch.iter().map(|(_, text)| &**text).collect();
        let mut vectors = Vec::new();
        embedder.embed(&texts, Role::Passage, &mut vectors)?;
        let ranges = batch
            .iter()
            .map(|(range, _)| range.start as u64..range.end as u64);
        rows.extend(ranges.zip(vectors.chunks(dims.max(1)).map(<[f32]>::to_vec)));
    }
    Ok(rows)
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
