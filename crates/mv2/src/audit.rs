//! Where an answer comes from: since when each document that is found was known, and which version of it was there before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mv2_format::{CommitId, FrameId, Timestamp};
use mv2_store::Version;

use crate::error::Result;
use crate::search::{Mode, SearchHit, SearchRequest};
use crate::snapshot::Snapshot;

/// A version counts as found if it is among so many, or among the request's `top_k` if that is more.
pub const AUDIT_DEPTH: usize = 100;

/// Where an answer comes from. [`Snapshot::audit`] makes one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Audit {
    /// The query as it was asked.
    pub query: String,
    /// Which indexes were asked.
    pub mode: Mode,
    /// The commit that was searched.
    pub commit: CommitId,
    /// What was odd about the query, for a person to read.
    pub warning: Option<String>,
    /// What is found, best first.
    pub hits: Vec<AuditedHit>,
}

/// A document that is found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuditedHit {
    /// As a search has it.
    pub hit: SearchHit,
    /// When the commit that put this version was made: known since then.
    pub known_since: Timestamp,
    /// The versions that the document has had under its uri, oldest first; one that has no uri has one.
    pub versions: Vec<AuditedVersion>,
}

/// A version of a document: what a search would have seen of it from a commit on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuditedVersion {
    /// The frame.
    pub frame_id: FrameId,
    /// The commit that put it: it was seen from then on.
    pub commit: CommitId,
    /// When that was.
    pub time: Timestamp,
    /// The commit from which on it was not seen any more, and when that was.
    pub end: Option<(CommitId, Timestamp)>,
    /// The version that took its place then. `None` if it was deleted, or still stands.
    pub by: Option<FrameId>,
    /// The place at which the same request found it at the commit that put it; `None` if it was not among the first
    /// [`AUDIT_DEPTH`].
    pub rank: Option<usize>,
    /// The part of its text that answers the query best, or its beginning where it was not found.
    pub text: String,
}

impl Snapshot {
    /// Searches, and says of each document that is found since when it was known and which version of it the same request would
    /// have found at the commit that put that version. `progress` hears how many commits were searched, and of how many.
    ///
    /// # Errors
    /// As for [`search`](Self::search).
    ///
    #[cfg_attr(feature = "lex", doc = "```")]
    #[cfg_attr(not(feature = "lex"), doc = "```no_run")]
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, PutOptions};
    ///
    /// let mut mem = Memvid::create(&path)?;
    /// for text in ["The launch is on Friday.", "The launch is off."] {
    ///     let options = PutOptions::builder().uri("launch.md").build();
    ///     mem.put_bytes_with_options(text.as_bytes(), options)?;
    ///     mem.commit()?;
    /// }
    /// let audit = mem.audit("friday launch")?;
    /// let versions = &audit.hits[0].versions;
    /// assert_eq!(versions[0].text, "The launch is on Friday.");
    /// assert_eq!(versions[0].end.unwrap().0, versions[1].commit);
    /// assert_eq!(versions[1].rank, Some(1));
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn audit(
        &self,
        request: impl Into<SearchRequest>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Audit> {
        let request = request.into();
        let now = self.now();
        let response = self.search_asked_at(request.clone(), now)?;
        let there = self.at(response.commit)?;
        let mut versions = Vec::with_capacity(response.hits.len());
        for hit in &response.hits {
            versions.push(there.versions_of(hit)?);
        }
        let commits = versions.iter().flatten().map(|version| version.commit);
        let commits: BTreeSet<CommitId> = commits.collect();
        let wanted: HashMap<FrameId, CommitId> = versions
            .iter()
            .flatten()
            .map(|version| (version.frame, version.commit))
            .collect();
        let mut found: BTreeMap<FrameId, (usize, String)> = BTreeMap::new();
        let total = commits.len() as u64;
        for (at, commit) in commits.iter().enumerate() {
            progress(at as u64, total);
            let then = self.at(*commit)?;
            let request = SearchRequest {
                top_k: request.top_k.max(AUDIT_DEPTH),
                at: None,
                at_timestamp: None,
                cursor: None,
                count: false,
                ..request.clone()
            };
            for hit in then.search_asked_at(request, now)?.hits {
                if wanted.get(&hit.frame_id) == Some(commit) {
                    found.insert(hit.frame_id, (hit.rank, hit.text));
                }
            }
        }
        let mut hits = Vec::with_capacity(response.hits.len());
        for (hit, versions) in response.hits.into_iter().zip(versions) {
            let mut audited = Vec::with_capacity(versions.len());
            for version in versions {
                let found = found.get(&version.frame).cloned();
                audited.push(self.audited(&version, found, request.snippet_chars)?);
            }
            hits.push(AuditedHit {
                known_since: self.commit(hit.commit)?.time,
                hit,
                versions: audited,
            });
        }
        Ok(Audit {
            query: response.query,
            mode: response.mode,
            commit: response.commit,
            warning: response.warning,
            hits,
        })
    }

    fn versions_of(&self, hit: &SearchHit) -> Result<Vec<Version>> {
        let versions = match &hit.uri {
            Some(uri) => self.inner().versions(uri)?,
            None => Vec::new(),
        };
        Ok(match versions.is_empty() {
            true => vec![Version::new(hit.frame_id, hit.commit)],
            false => versions,
        })
    }

    fn audited(
        &self,
        version: &Version,
        found: Option<(usize, String)>,
        chars: usize,
    ) -> Result<AuditedVersion> {
        let time = |commit| self.commit(commit).map(|commit| commit.time);
        let end = match version.end {
            Some((commit, _)) => Some((commit, time(commit)?)),
            None => None,
        };
        let (rank, text) = match found {
            Some((rank, text)) => (Some(rank), text),
            None => {
                let then = self.at(version.commit)?;
                // A character has four bytes at the most.
                let text = then.text_head(version.frame, 4 * chars as u64)?;
                (None, text.chars().take(chars).collect())
            }
        };
        Ok(AuditedVersion {
            frame_id: version.frame,
            commit: version.commit,
            time: time(version.commit)?,
            end,
            by: version.end.and_then(|(_, by)| by),
            rank,
            text,
        })
    }
}
