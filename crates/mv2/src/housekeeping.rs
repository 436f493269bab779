//! Housekeeping beside the work: a thread that joins segments while the handle goes on.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use mv2_format::index::Effort;
use mv2_store::{OpenOptions, Store};

/// Who waits for the lock for less than this could meet our own thread there and take it for another writer.
const SHORTEST_LOCK_WAIT: Duration = Duration::from_secs(1);

/// Does what is due after a commit, in a thread with a handle of its own. Dropping it ends the thread, which takes a
/// few frames' time.
pub(crate) struct Housekeeper {
    path: PathBuf,
    /// How the thread opens the file; `None` if there is to be none.
    options: Option<OpenOptions>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Housekeeper {
    pub(crate) fn new(path: &Path, options: Option<OpenOptions>) -> Self {
        Self {
            path: path.to_owned(),
            options: options.filter(|options| options.lock_wait >= SHORTEST_LOCK_WAIT),
            stop: Arc::default(),
            thread: None,
        }
    }

    /// Starts the thread if something is due and none is running.
    pub(crate) fn after_commit(&mut self, store: &mut Store) {
        let Some(options) = &self.options else {
            return;
        };
        let running = self.thread.as_ref().is_some_and(|t| !t.is_finished());
        // What cannot be read now is for the next read to report.
        if running || !store.maintenance_due().unwrap_or(false) {
            return;
        }
        let (path, options, stop) = (self.path.clone(), options.clone(), Arc::clone(&self.stop));
        let work = move || {
            let Ok(mut store) = Store::open(&path, options) else {
                return;
            };
            let stopped = || stop.load(Ordering::Relaxed);
            // The file is as sound after a failure as before it, and the next commit tries again.
            while store.maintain(Effort::Thorough, &stopped).unwrap_or(false) {}
        };
        // Without a thread it is done later, by whoever has one.
        self.thread = Builder::new()
            .name("mv2-housekeeping".into())
            .spawn(work)
            .ok();
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in there is not ours to raise again.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Housekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Housekeeper").finish_non_exhaustive()
    }
}
