//! Waiting for the write lock.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::file::MemoryFile;

/// First and longest pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock, or fails with `Locked` when the time is over.
///
/// The system's lock has no queue; pauses are drawn at random so that waiting processes do not march in step.
pub(crate) fn acquire(file: &MemoryFile, wait: Duration) -> Result<()> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let taken = file.storage.try_lock();
        if taken.map_err(|source| file.io("lock", source))? {
            return Ok(());
        }
        let waited = start.elapsed();
        if waited >= wait {
            return Err(Error::Locked {
                path: file.path.clone(),
                owner: None,
                waited,
            });
        }
        thread::sleep(jitter(pause).min(wait - waited));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Between half of a pause and all of it.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the pauses are merely equal.
    let _ = getrandom::fill(&mut byte);
    pause / 2 + pause / 2 * u32::from(byte[0]) / 255
}
