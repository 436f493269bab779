//! What Ctrl-C does: a commit that has begun is finished and acknowledged, anything else is dropped.
//!
//! Dropping is safe at any moment, since a batch that is not committed is forgotten by the file as a
//! whole. The gate only keeps apart "committed" and "committed, but nobody was told".

use std::io::{self, IsTerminal, Write};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::exit::Exit;
use crate::output::human;

static GATE: Mutex<()> = Mutex::new(());
static COMMITTED: AtomicU64 = AtomicU64::new(0);
static REWRITING: AtomicBool = AtomicBool::new(false);
static PURGING: AtomicBool = AtomicBool::new(false);

/// Catches Ctrl-C from here on. Where that is not possible, Ctrl-C ends the process at once, which
/// leaves the file as sound.
pub(crate) fn install() {
    let _ = ctrlc::set_handler(|| {
        let _gate = gate();
        let message = match COMMITTED.load(Ordering::Relaxed) {
            0 if PURGING.load(Ordering::Relaxed) => {
                "interrupted; all was purged or nothing: `mv2 log` tells".to_owned()
            }
            0 if REWRITING.load(Ordering::Relaxed) => {
                "interrupted; the memory holds what it held before".to_owned()
            }
            0 => "interrupted; nothing was changed".to_owned(),
            documents => {
                let documents = human::count(documents, "document");
                format!("interrupted; {documents} committed before")
            }
        };
        // A progress bar may stand on the line.
        let start = if io::stderr().is_terminal() { "\n" } else { "" };
        let _ = writeln!(io::stderr(), "{start}{message}");
        process::exit(Exit::Interrupted as i32);
    });
}

/// Held from the start of a commit until it is acknowledged; Ctrl-C waits for it.
pub(crate) fn gate() -> MutexGuard<'static, ()> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From here on the file or its indexes are written anew. That changes nothing that the memory holds, but Ctrl-C may
/// come just after the new one took the old one's place.
pub(crate) fn rewriting() {
    REWRITING.store(true, Ordering::Relaxed);
}

/// From here on frames are purged. That happens as a whole or not at all.
pub(crate) fn purging() {
    PURGING.store(true, Ordering::Relaxed);
}

/// Counts documents of a finished commit, for the message.
pub(crate) fn committed(documents: usize) {
    COMMITTED.fetch_add(documents as u64, Ordering::Relaxed);
}
