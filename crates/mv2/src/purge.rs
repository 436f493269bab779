//! Forgetting: which frames a purge takes, and what is known of them before.

use std::collections::{HashMap, HashSet};

use mv2_format::{CommitId, FrameId, FrameMeta, FrameSet, Timestamp};
use mv2_store::Snapshot;

use crate::error::{Error, Result};
use crate::filter::uri_matches;
use crate::selector::Selector;

/// Which frames a purge takes: those for which all that is set holds. A request that sets nothing is refused.
///
/// Frames are looked at one by one, whatever became of them: versions that were superseded, deleted documents, and those
/// of other branches are among them.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("notes.mv2");
/// use mv2::{Memvid, PurgeRequest, PutOptions};
///
/// let mut mem = Memvid::create(&path)?;
/// for text in ["the code is 1234", "the code is 5678"] {
///     mem.put_bytes_with_options(text.as_bytes(), PutOptions::builder().uri("code.md").build())?;
///     mem.commit()?;
/// }
/// let request = PurgeRequest::builder().uri("code.md").build();
/// assert_eq!(mem.plan_purge(&request)?.frames.len(), 2);
/// let purged = mem.purge(&request)?.unwrap();
/// assert_eq!(purged.frames, 2);
/// assert_eq!(mem.frame_by_id(0).unwrap_err().kind(), "frame_purged");
/// assert_eq!(mem.at(1)?.frame_by_uri("code.md").unwrap_err().kind(), "no_such_uri");
/// assert_eq!(mem.purge(&request)?, None);
/// # Ok::<(), mv2::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeRequest {
    /// Frames with these ids, or a uri of [`uris`](Self::uris).
    pub ids: Vec<FrameId>,
    /// Frames that were put under these uris, all versions; under a prefix if a uri ends in `*`.
    pub uris: Vec<String>,
    /// Only frames with all of these tags.
    pub tags: Vec<(String, String)>,
    /// The earliest event time, included.
    pub since: Option<Timestamp>,
    /// The latest event time, included.
    pub until: Option<Timestamp>,
    /// Only frames that were there before this commit and that neither it nor a later one shows: versions that were superseded by
    /// then, and documents that were deleted. What a branch or a tag shows stays.
    pub before: Option<Selector>,
}

impl PurgeRequest {
    /// A request to be filled in step by step.
    pub fn builder() -> PurgeRequestBuilder {
        PurgeRequestBuilder::default()
    }

    /// Exactly these frames.
    pub fn frames(ids: impl IntoIterator<Item = FrameId>) -> Self {
        Self {
            ids: ids.into_iter().collect(),
            ..Self::default()
        }
    }
}

/// Fills in a [`PurgeRequest`].
#[derive(Clone, Debug, Default)]
pub struct PurgeRequestBuilder {
    request: PurgeRequest,
}

impl PurgeRequestBuilder {
    /// Names a frame.
    pub fn id(mut self, id: impl Into<FrameId>) -> Self {
        self.request.ids.push(id.into());
        self
    }

    /// Names all versions under a uri, or under a prefix if it ends in `*`.
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.request.uris.push(uri.into());
        self
    }

    /// Asks for a tag.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.tags.push((key.into(), value.into()));
        self
    }

    /// Sets [`PurgeRequest::since`]. A whole number is seconds since the Unix epoch.
    pub fn since(mut self, since: impl Into<Timestamp>) -> Self {
        self.request.since = Some(since.into());
        self
    }

    /// Sets [`PurgeRequest::until`]. A whole number is seconds since the Unix epoch.
    pub fn until(mut self, until: impl Into<Timestamp>) -> Self {
        self.request.until = Some(until.into());
        self
    }

    /// Sets [`PurgeRequest::before`].
    pub fn before(mut self, before: impl Into<Selector>) -> Self {
        self.request.before = Some(before.into());
        self
    }

    /// The request.
    pub fn build(self) -> PurgeRequest {
        self.request
    }
}

/// What a purge would take, so that somebody can be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgePlan {
    /// The frames, in the order in which they were put. None if nothing is to be done.
    pub frames: Vec<PlannedFrame>,
    /// Bytes of their documents.
    pub payload_bytes: u64,
}

/// A frame that a purge would take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedFrame {
    /// The frame.
    pub id: FrameId,
    /// Its uri.
    pub uri: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// The commit that put it.
    pub commit: CommitId,
    /// Its event time.
    pub timestamp: Timestamp,
    /// Bytes of its document.
    pub payload_bytes: u64,
    /// Whether it is visible now.
    pub visible: bool,
    /// A frame that stays and has the same document, so that the document stays in the file.
    pub same_content: Option<FrameId>,
    /// Frames that stay and were put under the same uri: other versions.
    pub other_versions: u64,
}

/// What is known of the frames that a request names, and are not purged yet.
pub(crate) fn select(snapshot: &Snapshot, request: &PurgeRequest) -> Result<Vec<FrameMeta>> {
    if *request == PurgeRequest::default() {
        return Err(Error::EmptyPurge);
    }
    let times = mv2_time::Query {
        since: request.since,
        until: request.until,
        ..mv2_time::Query::default()
    };
    times.check()?;
    for id in &request.ids {
        snapshot.check_known(*id)?;
    }
    let ids: HashSet<FrameId> = request.ids.iter().copied().collect();
    let named = |meta: &FrameMeta| {
        let by_uri = |uri: &String| request.uris.iter().any(|wanted| uri_matches(wanted, uri));
        (ids.is_empty() && request.uris.is_empty())
            || ids.contains(&meta.id)
            || meta.uri.as_ref().is_some_and(by_uri)
    };
    let tagged = |meta: &FrameMeta| request.tags.iter().all(|tag| meta.tags.contains(tag));
    let timed = |meta: &FrameMeta| {
        let time = meta.timestamp;
        request.since.is_none_or(|since| since <= time)
            && request.until.is_none_or(|until| time <= until)
    };
    let past = match &request.before {
        Some(selector) => Some(Past::before(selector, snapshot)?),
        None => None,
    };
    let mut found = Vec::new();
    snapshot.each_frame(&mut |meta| {
        if named(meta) && tagged(meta) && timed(meta) {
            let is_past = match &past {
                Some(past) => past.has(meta.id)?,
                None => true,
            };
            if is_past {
                found.push(without_text(meta));
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// What a plan needs of a frame. There may be many.
fn without_text(meta: &FrameMeta) -> FrameMeta {
    FrameMeta {
        metadata: None,
        search_text: None,
        ..meta.clone()
    }
}

/// What a commit and those after it do not show any more.
struct Past {
    end: FrameId,
    /// The commit, the heads of all branches, and the commits that have tags.
    kept: Vec<Snapshot>,
    /// Frames that died later, on whichever branch.
    died_later: FrameSet,
}

impl Past {
    fn before(selector: &Selector, newest: &Snapshot) -> Result<Self> {
        let then = selector.resolve(newest)?;
        let mut kept = vec![then.clone()];
        for branch in newest.branches()? {
            kept.push(newest.at(branch.head)?);
        }
        for tag in newest.tags()? {
            kept.push(newest.at(tag.commit)?);
        }
        Ok(Self {
            end: then.end_frame(),
            died_later: newest.ended_after(then.commit_id())?,
            kept,
        })
    }

    fn has(&self, id: FrameId) -> mv2_store::Result<bool> {
        if id >= self.end || self.died_later.contains(id) {
            return Ok(false);
        }
        for snapshot in &self.kept {
            if snapshot.is_visible(id)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a purge of a request would take.
pub(crate) fn plan(snapshot: &Snapshot, request: &PurgeRequest) -> Result<PurgePlan> {
    let metas = select(snapshot, request)?;
    let taken: HashSet<FrameId> = metas.iter().map(|meta| meta.id).collect();
    let mut contents: HashMap<[u8; 16], Option<FrameId>> = HashMap::new();
    let mut versions: HashMap<&str, u64> = HashMap::new();
    for meta in &metas {
        if meta.payload_len > 0 {
            contents.insert(meta.content_hash, None);
        }
        if let Some(uri) = &meta.uri {
            versions.insert(uri, 0);
        }
    }
    snapshot.each_frame(&mut |meta| {
        if taken.contains(&meta.id) {
            return Ok(());
        }
        if let Some(kept) = contents.get_mut(&meta.content_hash) {
            kept.get_or_insert(meta.id);
        }
        if let Some(count) = meta.uri.as_deref().and_then(|uri| versions.get_mut(uri)) {
            *count += 1;
        }
        Ok(())
    })?;
    let mut plan = PurgePlan::default();
    for meta in &metas {
        plan.payload_bytes = plan.payload_bytes.saturating_add(meta.payload_len);
        plan.frames.push(PlannedFrame {
            id: meta.id,
            uri: meta.uri.clone(),
            title: meta.title.clone(),
            commit: meta.commit,
            timestamp: meta.timestamp,
            payload_bytes: meta.payload_len,
            visible: snapshot.is_visible(meta.id)?,
            same_content: contents.get(&meta.content_hash).copied().flatten(),
            other_versions: meta.uri.as_deref().map_or(0, |uri| versions[uri]),
        });
    }
    Ok(plan)
}
