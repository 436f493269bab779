//! The journal: searches noted down in the file, with what they found. `docs/format.md`, section "Journal".
//!
//! An entry is made of the request as it was asked, the commit that was searched, and the hits. It is written in a commit of its
//! own, which no history and no search knows, before the caller gets the answer: what was answered is noted down, or the
//! search fails.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mv2_format::{CommitId, FrameId, FrameSet, Timestamp};
use mv2_store::{Noted, OpenOptions, Problem, Store, VerifyReport};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::search::{Mode, SearchRequest, SearchResponse, Syntax, TotalRelation};
use crate::snapshot::Snapshot;
use crate::time;

/// A search that was noted down.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RecordedSearch {
    /// The commit that noted it down; it is on the history of no branch.
    pub id: CommitId,
    /// When that was. Strictly increasing along the journal.
    pub time: Timestamp,
    /// When it was asked: what `2h ago` in the query is relative to.
    pub asked_at: Timestamp,
    /// What was asked. The commit stands in [`commit`](Self::commit); [`snippet_chars`](SearchRequest::snippet_chars), which finds
    /// nothing else, is not kept.
    pub request: SearchRequest,
    /// The commit that was searched.
    pub commit: CommitId,
    /// The indexes that were asked in the end.
    pub mode: Mode,
    /// How many documents matched, or at least did.
    pub total_hits: u64,
    /// Whether `total_hits` is exact.
    pub total_relation: TotalRelation,
    /// What was found, best first.
    pub hits: Vec<RecordedHit>,
}

/// A document that a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RecordedHit {
    /// The frame.
    pub frame_id: FrameId,
    /// Its score, bit for bit.
    pub score: f32,
}

impl Snapshot {
    /// The searches that commits of a range noted down, oldest first: of the whole file, whichever branch they asked, and as
    /// many as there were when this snapshot was taken. Reads those of the range, one by one.
    ///
    /// # Errors
    /// Each item: `corrupt` for an entry that cannot be read.
    ///
    #[cfg_attr(feature = "lex", doc = "```")]
    #[cfg_attr(not(feature = "lex"), doc = "```no_run")]
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{CommitId, Memvid};
    ///
    /// let mut mem = Memvid::builder().journal(true).create(&path)?;
    /// mem.put_bytes(b"The launch is on Friday.")?;
    /// mem.commit()?;
    /// mem.search("launch date")?;
    /// let snapshot = mem.snapshot()?;
    /// let noted: mv2::Result<Vec<_>> = snapshot.journal(CommitId(0)..=snapshot.last_commit()).collect();
    /// let noted = &noted?[0];
    /// assert_eq!((noted.request.query.as_str(), noted.commit), ("launch date", CommitId(1)));
    /// assert_eq!(noted.hits[0].frame_id.get(), 0);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn journal(
        &self,
        commits: RangeInclusive<CommitId>,
    ) -> impl Iterator<Item = Result<RecordedSearch>> + '_ {
        self.inner()
            .journal(commits)
            .map(|noted| RecordedSearch::decode(&noted?))
    }

    /// The newest commit of the file, of any branch, or one that moved a branch or noted down a search.
    pub fn last_commit(&self) -> CommitId {
        self.inner().last_commit()
    }
}

/// The commits that noted down searches which tell of some frames: one was among the hits, or more like it was asked for. What cannot be
/// read may tell of any.
pub(crate) fn telling_of(
    snapshot: &mv2_store::Snapshot,
    frames: &FrameSet,
) -> Result<BTreeSet<CommitId>> {
    let mut commits = BTreeSet::new();
    for noted in snapshot.journal(CommitId(0)..=snapshot.last_commit()) {
        let noted = noted?;
        let tells = RecordedSearch::decode(&noted).map_or(true, |search| {
            let mut hits = search.hits.iter().map(|hit| hit.frame_id);
            hits.any(|id| frames.contains(id))
                || search.request.like.is_some_and(|id| frames.contains(id))
        });
        if tells {
            commits.insert(noted.commit.id);
        }
    }
    Ok(commits)
}

/// Checks what the entries of the journal of a file say.
pub(crate) fn verify(path: &Path, mut report: VerifyReport) -> Result<VerifyReport> {
    let snapshot = Store::open_read_only(path, OpenOptions::default())?.snapshot()?;
    let purged = snapshot.purged()?;
    for noted in snapshot.journal(CommitId(0)..=snapshot.last_commit()) {
        let noted = noted?;
        let what = match RecordedSearch::decode(&noted) {
            Ok(recorded) => {
                let purged = |hit: &RecordedHit| purged.contains(hit.frame_id);
                let wrong = match snapshot.at(recorded.commit) {
                    Err(error) => error.to_string(),
                    Ok(_) if recorded.hits.iter().any(purged) => {
                        "it found a frame that was purged".to_owned()
                    }
                    Ok(_) => continue,
                };
                format!("entry {} of the journal: {wrong}", recorded.id)
            }
            Err(error) => error.to_string(),
        };
        report.push(Problem::new(0, what, None));
    }
    Ok(report)
}

/// Where searches of a handle are noted down.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    /// `None` where the handle is for reading.
    options: Option<OpenOptions>,
    /// A handle of its own, as searches share theirs. Opened by the first entry.
    store: Mutex<Option<Store>>,
}

impl Journal {
    pub(crate) fn new(path: &Path, options: Option<OpenOptions>) -> Self {
        Self {
            path: path.to_owned(),
            options,
            store: Mutex::default(),
        }
    }

    /// Notes a search down. It is durable when this returns.
    pub(crate) fn append(
        &self,
        request: &SearchRequest,
        response: &SearchResponse,
        asked_at: Timestamp,
    ) -> Result<()> {
        let entry = encode(request, response, asked_at);
        let noted = self.write(entry);
        noted.map_err(|error| Error::NotJournaled { error })
    }

    fn write(&self, entry: Vec<u8>) -> mv2_store::Result<()> {
        let Some(options) = &self.options else {
            let path = self.path.clone();
            return Err(mv2_store::Error::ReadOnly { path });
        };
        // A panic in between leaves a store that is whole or poisoned by itself.
        let mut kept = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let store = match kept.as_mut() {
            Some(store) => store,
            None => kept.insert(Store::open(&self.path, options.clone())?),
        };
        let noted = store.append_journal(entry);
        if noted.is_err() {
            // After a failed sync the next one has to look anew.
            *kept = None;
        }
        noted.map(drop)
    }
}

fn encode(request: &SearchRequest, response: &SearchResponse, asked_at: Timestamp) -> Vec<u8> {
    let hits = response.hits.iter();
    let hits = hits.map(|hit| json!({"frame_id": hit.frame_id.get(), "score": number(hit.score)}));
    let entry = json!({
        "time": asked_at.to_string(),
        "request": encode_request(request),
        "as_of": response.commit.get(),
        "mode": response.mode.to_string(),
        "total": response.total_hits,
        "total_relation": response.total_relation.to_string(),
        "hits": hits.collect::<Vec<_>>(),
    });
    entry.to_string().into_bytes()
}

/// As a number of twice the width, whose text has digits enough that no reader's rounding changes the narrow one.
fn number(number: f32) -> f64 {
    f64::from(number)
}

fn encode_request(request: &SearchRequest) -> Map<String, Value> {
    let default = SearchRequest::default();
    let filter = &request.filter;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value, is_default: bool| {
        if !is_default {
            fields.insert(name.to_owned(), value);
        }
    };
    put("query", json!(request.query), request.query.is_empty());
    put("plain", json!(true), request.syntax == Syntax::Query);
    let mode = request.mode.to_string();
    put("mode", json!(mode), request.mode == Mode::default());
    let vector = request.vector.iter().flatten();
    let vector: Vec<f64> = vector.map(|value| number(*value)).collect();
    put("vector", json!(vector), request.vector.is_none());
    let like = request.like.map(FrameId::get);
    put("like", json!(like), like.is_none());
    put("exact", json!(true), !request.exact);
    let top_k = request.top_k;
    put("top_k", json!(top_k), top_k == default.top_k);
    for (name, text) in [
        ("uri", &filter.uri),
        ("kind", &filter.kind),
        ("track", &filter.track),
        ("cursor", &request.cursor),
    ] {
        put(name, json!(text), text.is_none());
    }
    put("tags", json!(filter.tags), filter.tags.is_empty());
    put("labels", json!(filter.labels), filter.labels.is_empty());
    for (name, time) in [("since", filter.since), ("until", filter.until)] {
        let text = time.map(|time| time.to_string());
        put(name, json!(text), time.is_none());
    }
    put("count", json!(true), !request.count);
    fields
}

impl RecordedSearch {
    /// The request as the file has it: an object with the names of the flags of `mv2 search`, without what is at its default.
    pub fn request_json(&self) -> Value {
        Value::Object(encode_request(&self.request))
    }

    /// # Errors
    /// `corrupt` names the field that is missing or of another kind.
    pub(crate) fn decode(noted: &Noted) -> Result<Self> {
        let (id, time) = (noted.commit.id, noted.commit.time);
        let decode = || {
            let entry: Value = serde_json::from_slice(&noted.entry).map_err(|_| "entry")?;
            decode(&entry)
        };
        match decode() {
            Ok(recorded) => Ok(Self {
                id,
                time,
                ..recorded
            }),
            Err(field) => Err(Error::JournalEntry { commit: id, field }),
        }
    }
}

/// The field of an entry that is not what it should be.
type Wrong = &'static str;

fn decode(entry: &Value) -> Result<RecordedSearch, Wrong> {
    let hits = entry["hits"].as_array().ok_or("hits")?;
    let hits = hits.iter().map(|hit| {
        let frame_id = hit["frame_id"].as_u64().ok_or("frame_id")?;
        Ok(RecordedHit {
            frame_id: FrameId(frame_id),
            score: narrow(&hit["score"]).ok_or("score")?,
        })
    });
    let mode = entry["mode"].as_str().and_then(mode_of);
    Ok(RecordedSearch {
        id: CommitId(0),
        time: Timestamp(0),
        asked_at: moment(&entry["time"]).ok_or("time")?,
        request: decode_request(entry["request"].as_object().ok_or("request")?)?,
        commit: CommitId(entry["as_of"].as_u64().ok_or("as_of")?),
        mode: mode.ok_or("mode")?,
        total_hits: entry["total"].as_u64().ok_or("total")?,
        total_relation: match entry["total_relation"].as_str() {
            Some("eq") => TotalRelation::Eq,
            Some("gte") => TotalRelation::Gte,
            _ => return Err("total_relation"),
        },
        hits: hits.collect::<Result<_, Wrong>>()?,
    })
}

fn decode_request(fields: &Map<String, Value>) -> Result<SearchRequest, Wrong> {
    let default = SearchRequest::default();
    let text = |name: Wrong| optional(fields, name, |value| value.as_str().map(str::to_owned));
    let flag = |name: Wrong| optional(fields, name, Value::as_bool);
    let time = |name: Wrong| optional(fields, name, moment);
    let list = |name: Wrong| optional(fields, name, |value| value.as_array().cloned());
    let tag = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
        Some([Value::String(key), Value::String(value)]) => Some((key.clone(), value.clone())),
        _ => None,
    };
    let tags = list("tags")?.unwrap_or_default();
    let tags = tags.iter().map(|pair| tag(pair).ok_or("tags"));
    let labels = list("labels")?.unwrap_or_default();
    let labels = labels.iter().map(|label| label.as_str().ok_or("labels"));
    let vector = list("vector")?.map(|numbers| {
        let numbers = numbers.iter().map(|value| narrow(value).ok_or("vector"));
        numbers.collect::<Result<Vec<f32>, Wrong>>()
    });
    let mode = optional(fields, "mode", |value| mode_of(value.as_str()?))?;
    let top_k = optional(fields, "top_k", |value| {
        usize::try_from(value.as_u64()?).ok()
    })?;
    let like = optional(fields, "like", Value::as_u64)?;
    Ok(SearchRequest {
        query: text("query")?.unwrap_or_default(),
        syntax: match flag("plain")? {
            Some(true) => Syntax::Words,
            _ => Syntax::Query,
        },
        mode: mode.unwrap_or_default(),
        vector: vector.transpose()?,
        like: like.map(FrameId),
        exact: flag("exact")?.unwrap_or(false),
        top_k: top_k.unwrap_or(default.top_k),
        filter: Filter {
            uri: text("uri")?,
            kind: text("kind")?,
            track: text("track")?,
            tags: tags.collect::<Result<_, Wrong>>()?,
            labels: labels
                .map(|label| label.map(str::to_owned))
                .collect::<Result<_, Wrong>>()?,
            since: time("since")?,
            until: time("until")?,
        },
        cursor: text("cursor")?,
        count: flag("count")?.unwrap_or(false),
        ..default
    })
}

/// A field that may be left out.
fn optional<T>(
    fields: &Map<String, Value>,
    name: Wrong,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, Wrong> {
    let value = fields.get(name);
    value.map(|value| read(value).ok_or(name)).transpose()
}

fn narrow(value: &Value) -> Option<f32> {
    let narrow = value.as_f64()? as f32;
    narrow.is_finite().then_some(narrow)
}

fn moment(value: &Value) -> Option<Timestamp> {
    time::parse(value.as_str()?).ok()
}

fn mode_of(name: &str) -> Option<Mode> {
    [Mode::Hybrid, Mode::Lex, Mode::Vec]
        .into_iter()
        .find(|mode| mode.to_string() == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request() -> SearchRequest {
        SearchRequest {
            query: "sea \"of\u{7}\" 東京".into(),
            syntax: Syntax::Words,
            mode: Mode::Vec,
            vector: Some(vec![0.1, -1e-40, f32::MAX, 16_777_217.0]),
            like: Some(FrameId(u64::MAX)),
            exact: true,
            top_k: 3,
            filter: Filter {
                uri: Some("notes/*".into()),
                kind: Some(String::new()),
                track: Some("t".into()),
                tags: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
                labels: vec!["x".into()],
                since: Some(Timestamp(-1)),
                until: Some(Timestamp(1_795_569_003_123_456)),
            },
            cursor: Some("00".into()),
            count: true,
            ..SearchRequest::default()
        }
    }

    fn coded(request: &SearchRequest) -> SearchRequest {
        let text = Value::Object(encode_request(request)).to_string();
        let value: Value = serde_json::from_str(&text).unwrap();
        decode_request(value.as_object().unwrap()).unwrap()
    }

    #[test]
    fn requests_come_back() {
        assert_eq!(coded(&request()), request());
        let default = SearchRequest::default();
        assert!(encode_request(&default).is_empty());
        assert_eq!(coded(&default), default);
    }

    #[test]
    fn a_field_of_another_kind_is_named() {
        let sound = Value::Object(encode_request(&request()));
        for name in sound.as_object().unwrap().keys() {
            let mut bad = sound.clone();
            bad[name] = json!({"no": 1});
            let wrong = decode_request(bad.as_object().unwrap()).unwrap_err();
            assert_eq!(wrong, name);
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back_bit_for_bit(bits: u32) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = json!([number(value)]).to_string();
            let back: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(narrow(&back[0]).map(f32::to_bits), Some(bits));
        }

        #[test]
        fn any_text_is_read_without_panic(text in r#"[\[\]{}",:0-9a-z_]{0,60}"#) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let _ = decode(&value);
            }
        }
    }
}
