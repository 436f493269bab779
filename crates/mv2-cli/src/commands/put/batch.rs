//! Batches of an import: each is committed as a whole, and printed once it is durable.

use std::fmt;
use std::io;
use std::sync::Arc;

use mv2::{Commit, FrameId, Memvid, PutOptions, PutStatus, text};

use crate::cli::PutArgs;
use crate::commands::tidy_up;
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::output::json::{CommitRef, Put, PutFrame, Skipped, SkippedObject};
use crate::output::progress::Progress;
use crate::output::{Output, human, json};

use super::files::Kept;
use super::folder::Folder;

/// Bytes of documents after which a batch is committed, so that memory stays bounded.
const BATCH_BYTES: usize = 8 << 20;

/// A document that was read.
pub(super) struct Document {
    pub(super) source: Source,
    /// The folder whose import it is part of.
    pub(super) folder: Option<Arc<Folder>>,
    pub(super) payload: Vec<u8>,
    pub(super) options: PutOptions,
    /// A vector that was given with it.
    pub(super) vector: Option<Vec<f32>>,
    /// Bytes of input that it took.
    pub(super) read_bytes: u64,
}

/// Where a document came from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Stdin,
    File(String),
    Line { input: String, line: u64 },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => f.write_str(path),
            Self::Line { input, line } => write!(f, "{input}, line {line}"),
        }
    }
}

/// Why a document was not taken.
pub(super) struct Rejection {
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Rejection {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// Collects documents, commits them batch by batch and says what became of them.
pub(super) struct Importer<'a> {
    memory: Memvid,
    output: &'a mut Output,
    progress: Progress,
    message: Option<&'a str>,
    max_documents: usize,
    strict: bool,
    batch: Vec<Document>,
    batch_bytes: usize,
    /// What the folders that are pruned at the end hold.
    kept: Vec<Kept>,
    /// Whether nobody reads the output any more. The import goes on: what was asked for is the
    /// memory, not the report.
    unread: bool,
    counts: Counts,
    /// Whether a batch was committed that leaves the index for later.
    index_waits: bool,
}

/// Over the whole import.
#[derive(Default)]
struct Counts {
    added: u64,
    superseded: u64,
    unchanged: u64,
    deleted: u64,
    rejected: u64,
    binary: u64,
    commits: u64,
    last_commit: Option<Commit>,
}

impl<'a> Importer<'a> {
    pub(super) fn new(
        memory: Memvid,
        args: &'a PutArgs,
        output: &'a mut Output,
        progress: Progress,
    ) -> Self {
        Self {
            memory,
            output,
            progress,
            message: args.message.as_deref(),
            max_documents: usize::try_from(args.commit_every).unwrap_or(usize::MAX),
            strict: args.strict,
            batch: Vec::new(),
            batch_bytes: 0,
            kept: Vec::new(),
            unread: false,
            counts: Counts::default(),
            index_waits: false,
        }
    }

    /// At the end deletes what vanished from these folders.
    pub(super) fn prune(&mut self, kept: Vec<Kept>) {
        self.kept = kept;
    }

    /// Takes in a document, and commits the batch if it is full. A commit is of one folder.
    pub(super) fn add(&mut self, document: Document) -> anyhow::Result<()> {
        let same = |other: &Document| match (&other.folder, &document.folder) {
            (Some(other), Some(folder)) => Arc::ptr_eq(other, folder),
            (other, folder) => other.is_none() && folder.is_none(),
        };
        if !self.batch.last().is_none_or(same) {
            self.commit(false)?;
        }
        self.progress.advance(document.read_bytes);
        self.batch_bytes += document.payload.len();
        self.batch.push(document);
        if self.batch.len() >= self.max_documents || self.batch_bytes >= BATCH_BYTES {
            self.commit(true)?;
            self.index_waits = true;
        }
        Ok(())
    }

    /// Reports a document that cannot be taken. With `--strict` this is the end of the import.
    pub(super) fn reject(&mut self, source: &Source, rejection: &Rejection) -> anyhow::Result<()> {
        self.counts.rejected += 1;
        let message = format!("{source}: {}", rejection.message);
        if self.strict {
            self.progress.finish();
            self.memory.rollback();
            let committed = self.counts.added + self.counts.superseded;
            let kept = human::count(committed, "document");
            return Err(Failure::new(rejection.kind, message)
                .hint(format!(
                    "nothing of this batch was committed; {kept} of earlier batches are"
                ))
                .into());
        }
        let (output, progress) = (&mut *self.output, &self.progress);
        progress.suspend(|| {
            if output.is_json() {
                let (source, line) = match source {
                    Source::Line { input, line } => (input.clone(), Some(*line)),
                    other => (other.to_string(), None),
                };
                output.error_json(&SkippedObject {
                    skipped: Skipped {
                        source: &source,
                        line,
                        kind: rejection.kind,
                        message: &rejection.message,
                    },
                });
            } else {
                output.message(format_args!("skipped {message}"));
            }
        });
        Ok(())
    }

    /// Says something that a person should know, in either form of output.
    pub(super) fn notice(&mut self, notice: impl fmt::Display) {
        let (output, progress) = (&mut *self.output, &self.progress);
        progress.suspend(|| output.message(format_args!("note: {notice}")));
    }

    /// Commits what is left, sums up, and chooses the exit code.
    pub(super) fn finish(mut self) -> anyhow::Result<Exit> {
        self.commit(false)?;
        for kept in std::mem::take(&mut self.kept) {
            self.delete_vanished(&kept)?;
        }
        if self.index_waits {
            // What is acknowledged is durable and found already; this builds the index for the searches to come.
            interrupt::rewriting();
            self.memory.checkpoint()?;
            while self.memory.maintain()? {}
        }
        self.progress.finish();
        if self.counts.binary > 0 {
            let documents = human::count(self.counts.binary, "document");
            self.notice(format_args!(
                "{documents} not text; stored as they are, and found by name and metadata only"
            ));
        }
        if !self.output.is_json() && !self.unread {
            let summary = self.summary();
            match self.output.line(summary).and_then(|()| self.output.flush()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
                _ => {}
            }
        }
        if !self.index_waits {
            tidy_up(&mut self.memory);
        }
        Ok(if self.counts.rejected > 0 {
            Exit::Error
        } else {
            Exit::Done
        })
    }

    /// Commits the batch. With `more` others may follow, and building indexes waits for them.
    fn commit(&mut self, more: bool) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let folder = batch.first().and_then(|document| document.folder.clone());
        self.batch_bytes = 0;
        let mut frames = Vec::with_capacity(batch.len());
        for document in batch {
            let uri = document.options.uri.clone();
            let binary = !text::is_text(&document.payload);
            let Document {
                payload, options, ..
            } = document;
            let put = match document.vector {
                Some(vector) => self.memory.put_with_embedding(&payload, options, &vector),
                None => self.memory.put_document(payload, options),
            };
            let outcome = match put {
                Ok(outcome) => outcome,
                Err(error) if matches!(error.kind(), "too_large" | "invalid_vector") => {
                    let rejection = Rejection::new(error.kind(), error.to_string());
                    self.reject(&document.source, &rejection)?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match outcome.status {
                PutStatus::Unchanged => self.counts.unchanged += 1,
                PutStatus::Superseded => self.counts.superseded += 1,
                _ => self.counts.added += 1,
            }
            self.counts.binary += u64::from(binary && outcome.status != PutStatus::Unchanged);
            frames.push(PutFrame {
                frame_id: outcome.frame_id.get(),
                uri,
                status: json::status(outcome.status),
                deduplicated: outcome.deduplicated,
            });
        }
        let _gate = interrupt::gate();
        let message = match folder {
            Some(folder) => folder.message(self.message),
            None => self.message.map(str::to_owned),
        };
        let commit = match (more, message) {
            (true, message) => self.memory.commit_bulk(message.as_deref())?,
            (false, Some(message)) => self.memory.commit_with(message)?,
            (false, None) => self.memory.commit()?,
        };
        self.committed(commit, frames)
    }

    /// Deletes the documents of a folder that it does not hold any more.
    fn delete_vanished(&mut self, kept: &Kept) -> anyhow::Result<()> {
        // Under the lock, so that what is looked up is what is deleted.
        self.memory.begin()?;
        let mut frames = Vec::new();
        for (id, uri) in kept.vanished(&self.memory.snapshot()?)? {
            self.memory.delete_frame(id)?;
            frames.push(deleted(id, uri));
        }
        if frames.is_empty() {
            self.memory.rollback();
            return Ok(());
        }
        self.counts.deleted += frames.len() as u64;
        let _gate = interrupt::gate();
        let commit = match kept.folder.message(self.message) {
            Some(message) => self.memory.commit_with(message)?,
            None => self.memory.commit()?,
        };
        self.committed(commit, frames)
    }

    /// Counts and prints a batch that is durable.
    fn committed(&mut self, commit: Option<Commit>, frames: Vec<PutFrame>) -> anyhow::Result<()> {
        if commit.is_some() {
            interrupt::committed(frames.len());
            self.counts.commits += 1;
        }
        self.acknowledge(&Put {
            v: json::VERSION,
            commit: commit.as_ref().map(CommitRef::from),
            frames,
        })?;
        if commit.is_some() {
            self.counts.last_commit = commit;
        }
        Ok(())
    }

    /// Prints the line of a commit and hands it to the reader at once.
    fn acknowledge(&mut self, put: &Put) -> anyhow::Result<()> {
        if self.unread || !self.output.is_json() || put.frames.is_empty() {
            return Ok(());
        }
        let (output, progress) = (&mut *self.output, &self.progress);
        let printed = progress.suspend(|| output.json(put).and_then(|()| output.flush()));
        match printed {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.unread = true,
            result => result?,
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let counts = &self.counts;
        let parts: Vec<String> = [
            (counts.added, "added"),
            (counts.superseded, "superseded"),
            (counts.unchanged, "unchanged"),
            (counts.deleted, "deleted"),
            (counts.rejected, "skipped"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
        if parts.is_empty() {
            return "nothing to put".to_owned();
        }
        let commits = match (counts.commits, &counts.last_commit) {
            (1, Some(commit)) => format!(" in commit {}", commit.id),
            (2.., Some(commit)) => {
                format!(" in {} commits, the last {}", counts.commits, commit.id)
            }
            _ => String::new(),
        };
        parts.join(", ") + &commits
    }
}

/// A document that is deleted, beside those that are put.
pub(super) fn deleted(id: FrameId, uri: String) -> PutFrame {
    PutFrame {
        frame_id: id.get(),
        uri: Some(uri),
        status: "deleted",
        deduplicated: false,
    }
}
