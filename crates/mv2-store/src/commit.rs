//! What a commit writes: a batch in the log, or a checkpoint that takes it in. `docs/format.md`, section "Commit".
//!
//! ```text
//! changes --> fits the log, no checkpoint due --> [root page, sync] [older batch] batch, sync
//!         \-> else --> checkpoint: segments, TOC, footer, sync, root page, sync
//! ```
//!
//! What is in brackets makes sure of what another handle wrote and whose sync may have failed unseen.

use std::sync::Arc;

use mv2_format::segment::PAGE_BYTES;
use mv2_format::wal::{Batch, BatchPlace, EncodedRecords};

use crate::build::Built;
use crate::checkpoint::{self, Failure};
use crate::compact::Compaction;
use crate::error::{Error, Result};
use crate::recovery;
use crate::state::State;
use crate::store::{Store, random};
use crate::transaction::Transaction;
use crate::types::CommitOptions;

impl Store {
    /// Writes a transaction to the log, or as a checkpoint if that is due.
    pub(crate) fn write_commit(
        &mut self,
        transaction: &mut Transaction,
        options: CommitOptions,
    ) -> Result<State> {
        let bulk = options.bulk;
        let batch = transaction.batch(self.options.clock.now(), options.message)?;
        let state = transaction.state();
        let policy = self.options.checkpoint;
        let frames = state.tail.frames.len() + batch.frames.len();
        let bytes = state.tail.payload_bytes + transaction.payload_bytes();
        // A batch that is a checkpoint on its own is not encoded for the log at all.
        let due = frames >= policy.tail_frames || bytes >= policy.tail_bytes;
        let records = if due && transaction.payload_bytes() >= policy.tail_bytes {
            None
        } else {
            Some(EncodedRecords::new(&batch))
        };
        let left = state.file.header.wal_len - state.tail.end;
        let records = records.filter(|records| records.slot_bytes() <= left);
        if due || records.is_none() {
            match self.write_checkpoint(state, Some(batch.clone()), self.inline(bulk), None) {
                Ok(next) => return Ok(next),
                Err(error) if self.poisoned || records.is_none() => return Err(error),
                // Neither a full disk nor damage in a segment that would be rebuilt stops a commit that the log has room for.
                Err(_) => {}
            }
        }
        match records {
            Some(records) => self.append(state, batch, &records),
            None => Err(Error::Poisoned {
                path: self.path.clone(),
            }),
        }
    }

    /// Appends a batch to the log: one run of writes and one sync.
    fn append(&mut self, state: &State, batch: Batch, records: &EncodedRecords) -> Result<State> {
        let file = &state.file;
        let wal = file.header.wal_offset.0;
        if state.tail.last_batch.is_none() && !self.root_is_durable(state)? {
            // The root's sync may have failed unseen, and the batch overwrites the log of the root before.
            self.guard_sync(|| checkpoint::write_root(file, &state.root))?;
            self.own_root = Some(state.root.generation);
        }
        let foreign = state
            .tail
            .last_batch
            .clone()
            .filter(|_| self.own_batch != Some(state.tail.hash));
        let (header, bytes) = records.place(&BatchPlace {
            uuid: file.header.uuid,
            generation: state.root.generation,
            offset: state.tail.end,
            previous: state.tail.hash,
            rewrote_previous: foreign.is_some(),
            salt: u64::from_le_bytes(random(&self.path)?),
        });
        let at = wal + state.tail.end;
        let result = self.guard_sync(|| {
            let mut start = at;
            let mut run = Vec::new();
            if let Some(slot) = foreign {
                // One that was committed by another handle, whose sync may have failed unseen.
                start = wal + slot.start;
                run.resize((slot.end - slot.start) as usize, 0);
                file.read(start, &mut run)?;
            }
            run.extend_from_slice(&bytes);
            file.write(start, &run)?;
            file.sync()
        });
        if let Err(error) = result {
            // So that nobody takes for committed what may not be on the disk.
            let _ = file.write(at, &[0; PAGE_BYTES]);
            return Err(error);
        }
        self.own_batch = Some(header.hash);
        let mut next = state.clone();
        Arc::make_mut(&mut next.tail).push(batch, header.hash, header.slot_bytes());
        Ok(next)
    }

    /// Whether this handle has synced the root page, or the anchor says that another one has.
    fn root_is_durable(&self, state: &State) -> Result<bool> {
        let generation = Some(state.root.generation);
        Ok(self.own_root == generation || recovery::read_anchor(&state.file)? == generation)
    }

    pub(crate) fn write_checkpoint(
        &mut self,
        state: &State,
        batch: Option<Batch>,
        compaction: Compaction,
        adopted: Option<&Built>,
    ) -> Result<State> {
        match checkpoint::write(state, batch, &self.options, compaction, adopted) {
            Ok(next) => {
                self.own_root = Some(next.root.generation);
                self.own_batch = None;
                Ok(next)
            }
            Err(Failure::Clean(error)) => Err(error),
            Err(Failure::Unknown(error)) => {
                self.poisoned = true;
                Err(error)
            }
        }
    }

    /// Runs writes that end in a sync; a failure poisons the store.
    pub(crate) fn guard_sync(&mut self, run: impl FnOnce() -> Result<()>) -> Result<()> {
        let result = run();
        self.poisoned |= result.is_err();
        result
    }
}
