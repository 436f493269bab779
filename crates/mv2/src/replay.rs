//! Stepping through what a memory learned and was asked, and asking again.
//!
//! ```text
//! commit 1   commit 2   search 3 (of commit 2)   search 4 (of commit 1)   commit 5 ...
//!                          \-> asked again at commit 2, or at another one -> what differs
//! ```

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::RangeInclusive;

use mv2_format::{CommitId, FrameId, LineageId, Timestamp};
use mv2_store::Commit;

use crate::error::{Error, Result};
use crate::journal::RecordedSearch;
use crate::search::{Mode, SearchRequest, SearchResponse, TotalRelation};
use crate::selector::Selector;
use crate::snapshot::Snapshot;

/// What is replayed, and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplayOptions {
    /// The commit to begin with; the first of the file by default. A number may also be that of a search that was noted down. A
    /// time is the newest commit of the file then.
    pub from: Option<Selector>,
    /// The commit to end with; the newest of the file by default. The searches that were noted down before the next one are part
    /// of it. With a time, what was there then.
    pub to: Option<Selector>,
    /// Where searches are made again. By default each at the commit that it searched, where it has to find the same.
    pub at: Option<Selector>,
}

/// One step of a [`Replay`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplayStep {
    /// Something was committed.
    Commit {
        /// What.
        commit: Commit,
        /// The branch that it is on. `None` for a commit that moved a branch or tag, or names a purge: its message says what it did.
        branch: Option<String>,
    },
    /// Something was asked.
    Search(Box<ReplayedSearch>),
}

/// A search that was noted down, and made again.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReplayedSearch {
    /// As it was.
    pub recorded: RecordedSearch,
    /// The commit that it was made again at.
    pub commit: CommitId,
    /// What is found there. An error if it cannot be made again, for instance without the model that made its vector.
    pub found: Result<SearchResponse>,
    /// What is not the same.
    pub differences: Vec<Difference>,
    /// Whether the vectors were, or are, so many that a search may go along a graph. It may then find a little less than all, and
    /// something else after segments were joined, also at the same commit.
    pub approximate: bool,
}

/// Something that differs between a search and the same one made again.
///
/// At the commit that was searched, hits differ if they are other frames, in another order, or with another score by a single bit.
/// At another commit scores are not compared, as they depend on all that is visible.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Difference {
    /// A document.
    Hit {
        /// The frame.
        frame_id: FrameId,
        /// Its uri.
        uri: Option<String>,
        /// What is different.
        change: HitChange,
    },
    /// Other indexes were asked in the end.
    Mode {
        /// Before.
        then: Mode,
        /// Now.
        now: Mode,
    },
    /// Another number of documents matches. Only exact numbers are compared.
    Total {
        /// Before.
        then: u64,
        /// Now.
        now: u64,
    },
}

/// What is different about a hit. Ranks count from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum HitChange {
    /// It was found and is not any more.
    Missing {
        /// Its place then.
        rank: usize,
    },
    /// It is found and was not.
    New {
        /// Its place now.
        rank: usize,
    },
    /// A newer or older version of the document is found.
    Version {
        /// Its place then.
        rank: usize,
        /// The frame that is found.
        by: FrameId,
        /// The place of that.
        by_rank: usize,
    },
    /// It stands before or behind others that were on its other side.
    Moved {
        /// Its place then.
        from: usize,
        /// Its place now.
        to: usize,
    },
    /// Its score is another one.
    Score {
        /// Before.
        then: f32,
        /// Now.
        now: f32,
    },
}

impl ReplayedSearch {
    /// Whether it could be made again and finds the same.
    pub fn is_same(&self) -> bool {
        self.found.is_ok() && self.differences.is_empty()
    }
}

impl Snapshot {
    /// Steps through commits and searches that were noted down, in the order of their commits: those of the whole file, whichever
    /// branch they are on. Each search is made again, at the commit that it searched or where the options say.
    ///
    /// # Errors
    /// `no_such_commit` and the like for a selector that names none, `invalid_range` if the range ends before it begins. Each item:
    /// `corrupt` for a part of the log or an entry that cannot be read.
    ///
    #[cfg_attr(feature = "lex", doc = "```")]
    #[cfg_attr(not(feature = "lex"), doc = "```no_run")]
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("notes.mv2");
    /// use mv2::{Memvid, PutOptions, ReplayOptions, ReplayStep, Selector};
    ///
    /// let mut mem = Memvid::builder().journal(true).create(&path)?;
    /// let put = |mem: &mut Memvid, text: &str| {
    ///     let options = PutOptions::builder().uri("launch.md").build();
    ///     mem.put_bytes_with_options(text.as_bytes(), options)?;
    ///     mem.commit()
    /// };
    /// put(&mut mem, "The launch is on Friday.")?;
    /// mem.search("launch")?;
    /// put(&mut mem, "The launch is off.")?;
    /// let differing = |options| -> mv2::Result<usize> {
    ///     let mut count = 0;
    ///     for step in mem.snapshot()?.replay(&options)? {
    ///         if let ReplayStep::Search(search) = step? {
    ///             count += usize::from(!search.is_same());
    ///         }
    ///     }
    ///     Ok(count)
    /// };
    /// assert_eq!(differing(ReplayOptions::default())?, 0);
    /// assert_eq!(differing(ReplayOptions { at: Some(Selector::Head), ..Default::default() })?, 1);
    /// # Ok::<(), mv2::Error>(())
    /// ```
    pub fn replay(&self, options: &ReplayOptions) -> Result<Replay> {
        let newest = self.last_commit();
        let from = match &options.from {
            Some(selector) => self.place(selector)?.max(CommitId(1)),
            None => CommitId(1),
        };
        let to = match &options.to {
            Some(selector) => self.with_searches(self.place(selector)?, selector)?,
            None => newest,
        };
        if from > to && (options.from.is_some() || to > CommitId(0)) {
            return Err(Error::BackwardRange { from, to });
        }
        let at = options.at.clone().map(|selector| self.at(selector));
        Ok(Replay {
            at: at.transpose()?,
            snapshot: self.clone(),
            commits: from..=to,
            next: from,
            branches: HashMap::new(),
        })
    }

    /// The commit that a selector names, where it may be one that no document has a part in.
    fn place(&self, selector: &Selector) -> Result<CommitId> {
        match selector {
            Selector::Commit(CommitId(0)) => Ok(CommitId(0)),
            Selector::Commit(id) => Ok(self.commit(*id)?.id),
            Selector::Time(time) => Ok(self.inner().newest_at(*time)?),
            other => Ok(self.at(other.clone())?.commit_id()),
        }
    }

    /// The last of the commits of bookkeeping that follow a commit directly.
    fn with_searches(&self, commit: CommitId, selector: &Selector) -> Result<CommitId> {
        let is_bookkeeping =
            |id| -> Result<bool> { Ok(self.commit(id)?.lineage == LineageId::BOOKKEEPING) };
        let mut last = commit;
        if matches!(selector, Selector::Time(_)) || (last.0 > 0 && is_bookkeeping(last)?) {
            return Ok(last);
        }
        while last < self.last_commit() && is_bookkeeping(CommitId(last.0 + 1))? {
            last.0 += 1;
        }
        Ok(last)
    }
}

/// The steps of a replay. [`Snapshot::replay`] makes one.
pub struct Replay {
    snapshot: Snapshot,
    /// Where searches are made again, if not each at its own commit.
    at: Option<Snapshot>,
    commits: RangeInclusive<CommitId>,
    next: CommitId,
    /// The names of lineages.
    branches: HashMap<LineageId, Option<String>>,
}

impl Replay {
    /// The first and the last commit. Each is a step.
    pub fn commits(&self) -> RangeInclusive<CommitId> {
        self.commits.clone()
    }

    /// Where searches are made again, if not each at its own commit.
    pub fn at(&self) -> Option<CommitId> {
        self.at.as_ref().map(Snapshot::commit_id)
    }

    fn step(&mut self, id: CommitId) -> Result<ReplayStep> {
        let commit = self.snapshot.commit(id)?;
        if commit.lineage == LineageId::BOOKKEEPING {
            let noted = self.snapshot.journal(id..=id).next();
            return match noted.transpose()? {
                Some(recorded) => self.ask_again(recorded).map(ReplayStep::Search),
                None => Ok(ReplayStep::Commit {
                    commit,
                    branch: None,
                }),
            };
        }
        if !self.branches.contains_key(&commit.lineage) {
            let name = self.snapshot.inner().name_of(commit.lineage)?;
            self.branches.insert(commit.lineage, name);
        }
        let branch = self.branches.get(&commit.lineage).cloned().flatten();
        Ok(ReplayStep::Commit { commit, branch })
    }

    fn ask_again(&self, recorded: RecordedSearch) -> Result<Box<ReplayedSearch>> {
        let then = self
            .snapshot
            .at(recorded.commit)
            .map_err(|error| match error {
                Error::Store(
                    mv2_store::Error::NoSuchCommit { .. } | mv2_store::Error::Bookkeeping { .. },
                ) => Error::JournalEntry {
                    commit: recorded.id,
                    field: "as_of",
                },
                error => error,
            })?;
        let now = self.at.as_ref().unwrap_or(&then);
        let mut request = recorded.request.clone();
        if now.commit_id() != recorded.commit
            && let Some(offset) = offset(&request)
        {
            // A page belongs to its commit. The same stretch of the list there is what can be compared.
            request.cursor = None;
            request.top_k = request.top_k.saturating_add(offset);
        }
        let found = now.search_asked_at(request, asked_at(&recorded));
        let found = found.map(|found| same_page(found, &recorded.request));
        let differences = match &found {
            Ok(found) => differences(&recorded, found, &then, now)?,
            Err(_) => Vec::new(),
        };
        Ok(Box::new(ReplayedSearch {
            commit: now.commit_id(),
            approximate: is_approximate(&then, &recorded)? || is_approximate(now, &recorded)?,
            found,
            differences,
            recorded,
        }))
    }
}

impl Iterator for Replay {
    type Item = Result<ReplayStep>;

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.commits.contains(&self.next).then_some(self.next)?;
        self.next.0 += 1;
        Some(self.step(id))
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("commits", &self.commits)
            .field("next", &self.next)
            .field("at", &self.at())
            .finish_non_exhaustive()
    }
}

/// The cursor of a request, taken apart.
#[cfg(feature = "lex")]
fn cursor(request: &SearchRequest) -> Option<crate::SearchCursor> {
    request.cursor.as_ref()?.parse().ok()
}

/// How many hits came before those of a later page.
fn offset(request: &SearchRequest) -> Option<usize> {
    #[cfg(feature = "lex")]
    return cursor(request).map(|cursor| cursor.offset());
    #[cfg(not(feature = "lex"))]
    request.cursor.as_ref().map(|_| 0)
}

/// The present time of the question; of a later page, that of the first one.
fn asked_at(recorded: &RecordedSearch) -> Timestamp {
    #[cfg(feature = "lex")]
    if let Some(cursor) = cursor(&recorded.request) {
        return cursor.asked_at();
    }
    recorded.asked_at
}

/// Leaves of a list that was made without a cursor what the page with it would show.
fn same_page(mut found: SearchResponse, request: &SearchRequest) -> SearchResponse {
    if found.hits.first().is_some_and(|hit| hit.rank == 1)
        && let Some(offset) = offset(request)
    {
        found.hits.drain(..offset.min(found.hits.len()));
    }
    found
}

fn differences(
    recorded: &RecordedSearch,
    found: &SearchResponse,
    then: &Snapshot,
    now: &Snapshot,
) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    if recorded.mode != found.mode {
        differences.push(Difference::Mode {
            then: recorded.mode,
            now: found.mode,
        });
    }
    let first = offset(&recorded.request).unwrap_or(0) + 1;
    let ranked = recorded.hits.iter().zip(first..);
    let old: HashMap<FrameId, usize> = ranked.map(|(hit, rank)| (hit.frame_id, rank)).collect();
    let listed = found.hits.iter();
    let new: HashMap<FrameId, (usize, f32)> = listed
        .map(|hit| (hit.frame_id, (hit.rank, hit.score)))
        .collect();
    // Those that are in both lists, and their places among them: what came or went does not move the others.
    let stayed = recorded.hits.iter().map(|hit| hit.frame_id);
    let before = places(stayed.filter(|frame| new.contains_key(frame)));
    let stayed = found.hits.iter().map(|hit| hit.frame_id);
    let after = places(stayed.filter(|frame| old.contains_key(frame)));
    let mut versions = HashSet::new();
    for (hit, rank) in recorded.hits.iter().zip(first..) {
        let frame_id = hit.frame_id;
        // A frame that a false entry names has no uri.
        let uri = then.frame_by_id(frame_id).ok().and_then(|meta| meta.uri);
        let change = match new.get(&frame_id) {
            None => {
                let by = match &uri {
                    Some(uri) => now.inner().find_uri(uri)?,
                    None => None,
                };
                let by = by.filter(|by| !old.contains_key(by));
                match by.and_then(|by| Some((by, new.get(&by)?.0))) {
                    Some((by, by_rank)) => {
                        versions.insert(by);
                        HitChange::Version { rank, by, by_rank }
                    }
                    None => HitChange::Missing { rank },
                }
            }
            Some((to, _)) if before.get(&frame_id) != after.get(&frame_id) => HitChange::Moved {
                from: rank,
                to: *to,
            },
            Some((_, score)) => {
                let same_commit = recorded.commit == found.commit;
                if !same_commit || score.to_bits() == hit.score.to_bits() {
                    continue;
                }
                HitChange::Score {
                    then: hit.score,
                    now: *score,
                }
            }
        };
        differences.push(Difference::Hit {
            frame_id,
            uri,
            change,
        });
    }
    for hit in &found.hits {
        if !old.contains_key(&hit.frame_id) && !versions.contains(&hit.frame_id) {
            differences.push(Difference::Hit {
                frame_id: hit.frame_id,
                uri: hit.uri.clone(),
                change: HitChange::New { rank: hit.rank },
            });
        }
    }
    let exact =
        recorded.total_relation == TotalRelation::Eq && found.total_relation == TotalRelation::Eq;
    if exact && recorded.total_hits != found.total_hits {
        differences.push(Difference::Total {
            then: recorded.total_hits,
            now: found.total_hits,
        });
    }
    Ok(differences)
}

/// The place of each frame in a list.
fn places(frames: impl Iterator<Item = FrameId>) -> HashMap<FrameId, usize> {
    frames.zip(0..).collect()
}

/// Whether a search at a commit may go along a graph of vectors.
fn is_approximate(snapshot: &Snapshot, recorded: &RecordedSearch) -> Result<bool> {
    #[cfg(feature = "vec")]
    if recorded.mode != Mode::Lex && !recorded.request.exact {
        return crate::vectors::may_have_graph(snapshot.inner());
    }
    let _ = (snapshot, recorded);
    Ok(false)
}
