//! Merging: what another branch has becomes visible on this one, by a commit with two parents.
//!
//! Frames that either side put are there afterwards, and those that either side deleted or superseded are not. That needs no
//! work: it is what a commit with two parents sees. What is left are documents that both sides changed, each in its own way.

use std::collections::{BTreeMap, BTreeSet};

use mv2_format::{CommitId, FrameId, FrameSet};

use crate::error::{Error, RefKind, Result};
use crate::sight::Sight;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::types::{Merged, Side};

/// A document that both sides changed: what each has of it now, where it has something.
#[derive(Clone, Copy, Debug)]
struct Conflict {
    ours: Option<FrameId>,
    theirs: Option<FrameId>,
}

impl Store {
    /// Brings what another branch has into this store's branch, by a commit with two parents. Frames keep their numbers. A document that
    /// was changed on both sides is a conflict, unless both say the same; `prefer` says which side to keep then. `None` if there is
    /// nothing on the branch that is not here.
    ///
    /// # Errors
    /// [`Error::MergeConflict`], [`Error::NoSuchRef`], [`Error::Unrelated`], [`Error::InTransaction`], or what
    /// [`begin`](Self::begin) and [`commit`](Self::commit) can meet.
    pub fn merge(
        &mut self,
        name: &str,
        prefer: Option<Side>,
        message: Option<String>,
    ) -> Result<Option<Merged>> {
        self.alone(|store| store.write_merge(name, prefer, message))
    }

    fn write_merge(
        &mut self,
        name: &str,
        prefer: Option<Side>,
        message: Option<String>,
    ) -> Result<Option<Merged>> {
        let ours = self.transaction_mut()?.base().clone();
        let state = self.current();
        if state.branch(name)?.is_none() {
            return Err(state.no_such(RefKind::Branch, name));
        }
        let theirs = Snapshot::of_branch(&state, name)?;
        let head = theirs.commit_id();
        if head.0 == 0 || ours.has(head)? {
            return Ok(None);
        }
        if ours.commit_id().0 > 0 && !ours.sight().meets(theirs.sight()) {
            return Err(Error::Unrelated {
                name: name.to_owned(),
            });
        }
        let both = Both::new(ours, theirs)?;
        let conflicts = both.conflicts()?;
        let mut hidden = BTreeMap::new();
        let mut uris = Vec::new();
        for (uri, conflict) in &conflicts {
            match prefer {
                None if !both.say_the_same(conflict)? => uris.push(uri.clone()),
                Some(Side::Theirs) => hide(conflict.ours, conflict.theirs, &mut hidden),
                _ => hide(conflict.theirs, conflict.ours, &mut hidden),
            }
        }
        if !uris.is_empty() {
            return Err(Error::MergeConflict { uris });
        }
        let brought = both.new_here.frames().filter(|id| !hidden.contains_key(id));
        let brought = brought.count() as u64;
        let message = message.unwrap_or_else(|| format!("merge {name}"));
        self.transaction_mut()?.merge(head, hidden);
        Ok(Some(Merged {
            commit: self.commit_now(message)?,
            frames: brought,
            conflicts: conflicts.into_keys().collect(),
        }))
    }
}

/// One frame gives way to another. It is named as the successor only if it is younger, as successors are.
fn hide(
    frame: Option<FrameId>,
    by: Option<FrameId>,
    hidden: &mut BTreeMap<FrameId, Option<FrameId>>,
) {
    if let Some(frame) = frame {
        hidden.insert(frame, by.filter(|by| *by > frame));
    }
}

/// Two heads side by side.
struct Both {
    ours: Snapshot,
    theirs: Snapshot,
    /// What is visible there, not here, and was not taken away here.
    new_here: FrameSet,
    /// The other way round.
    new_there: FrameSet,
}

impl Both {
    fn new(ours: Snapshot, theirs: Snapshot) -> Result<Self> {
        let (here, there) = (ours.visible()?, theirs.visible()?);
        let new = |from: &FrameSet, to: &FrameSet, into: &Snapshot| -> Result<FrameSet> {
            let mut frames = Vec::new();
            for id in from.difference(to).frames() {
                // One that was taken away after it was put on a history that both have stays away.
                if into.tombstone(id)?.is_none() {
                    frames.push(id);
                }
            }
            Ok(frames.into_iter().collect())
        };
        Ok(Self {
            new_here: new(&there, &here, &ours)?,
            new_there: new(&here, &there, &theirs)?,
            ours,
            theirs,
        })
    }

    /// Documents that both sides changed, by uri.
    fn conflicts(&self) -> Result<BTreeMap<String, Conflict>> {
        let mut conflicts = BTreeMap::new();
        for id in self.new_here.frames() {
            let Some(uri) = self.theirs.meta(id)?.uri else {
                continue;
            };
            let ours = self.ours.find_uri(&uri)?;
            let stays = ours.filter(|id| self.new_there.contains(*id));
            if stays.is_some() {
                let theirs = Some(id);
                conflicts.insert(
                    uri,
                    Conflict {
                        ours: stays,
                        theirs,
                    },
                );
            }
        }
        // What one side deleted and the other wrote anew.
        for (deleter, writer, written) in [
            (&self.ours, &self.theirs, &self.new_here),
            (&self.theirs, &self.ours, &self.new_there),
        ] {
            for uri in deleted(deleter, writer)? {
                let id = writer.find_uri(&uri)?.filter(|id| written.contains(*id));
                let Some(id) = id else { continue };
                let (ours, theirs) = match std::ptr::eq(deleter, &self.ours) {
                    true => (None, Some(id)),
                    false => (Some(id), None),
                };
                conflicts.entry(uri).or_insert(Conflict { ours, theirs });
            }
        }
        Ok(conflicts)
    }

    /// Whether both sides have the same document, so that there is nothing to decide.
    fn say_the_same(&self, conflict: &Conflict) -> Result<bool> {
        match (conflict.ours, conflict.theirs) {
            (Some(ours), Some(theirs)) => {
                let ours = self.ours.meta(ours)?;
                Ok(ours.same_content(&self.theirs.meta(theirs)?))
            }
            _ => Ok(false),
        }
    }
}

/// Uris whose documents one side deleted and has none of, where the other side does not know of it.
fn deleted(deleter: &Snapshot, other: &Snapshot) -> Result<BTreeSet<String>> {
    let mut uris = BTreeSet::new();
    for row in deleter.deaths(deleter.end_frame(), CommitId(0))? {
        if row.by.is_some()
            || other.includes(row.lineage, row.commit)
            || !other.is_born(row.frame)?
        {
            continue;
        }
        if let Some(uri) = deleter.state.meta(row.frame)?.uri
            && deleter.find_uri(&uri)?.is_none()
        {
            uris.insert(uri);
        }
    }
    Ok(uris)
}

impl Sight {
    /// Whether two commits have one in common on their histories.
    fn meets(&self, other: &Self) -> bool {
        self.lineages()
            .any(|lineage| other.lineages().any(|found| found == lineage))
    }
}
