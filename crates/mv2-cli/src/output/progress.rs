//! Progress of imports and rewrites, drawn on standard error while that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::human;

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// A bar over the bytes to read, with the number of documents beside it.
pub(crate) struct Progress {
    bar: ProgressBar,
    documents: u64,
}

impl Progress {
    /// A bar if it may be drawn; over `bytes` if their number is known, else a counter.
    pub(crate) fn new(draw: bool, bytes: Option<u64>) -> Self {
        let bar = match (draw, bytes) {
            (false, _) => ProgressBar::hidden(),
            (true, Some(bytes)) => ProgressBar::new(bytes)
                .with_style(style("{wide_bar} {bytes}/{total_bytes}, {msg}, {eta} left")),
            (true, None) => ProgressBar::new_spinner()
                .with_style(style("{spinner} {bytes}, {msg}, {bytes_per_sec}")),
        };
        Self { bar, documents: 0 }
    }

    /// A bar over the frames of a memory, if it may be drawn.
    pub(crate) fn frames(draw: bool) -> Self {
        let bar = match draw {
            false => ProgressBar::hidden(),
            true => ProgressBar::new(0).with_style(style("{wide_bar} {pos}/{len}, {eta} left")),
        };
        Self { bar, documents: 0 }
    }

    /// Frame `at` of those below `end` is next.
    pub(crate) fn at(&self, at: u64, end: u64) {
        self.bar.set_length(end);
        self.bar.set_position(at);
    }

    /// One more document of so many bytes was read.
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.documents += 1;
        self.bar.inc(bytes);
        if !self.bar.is_hidden() {
            self.bar
                .set_message(human::count(self.documents, "document"));
        }
    }

    /// Prints something else without tearing the bar.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Takes the bar off the screen.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A bar over the bytes of a download, with the name of the file that arrives, until it is dropped.
#[cfg(feature = "full")]
pub(crate) struct Download(ProgressBar);

#[cfg(feature = "full")]
impl Download {
    /// A bar if it may be drawn.
    pub(crate) fn new(draw: bool) -> Self {
        if !draw {
            return Self(ProgressBar::hidden());
        }
        let template = "{msg} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        Self(ProgressBar::no_length().with_style(style(template)))
    }

    /// So many bytes are here, of so many in all.
    pub(crate) fn set(&self, file: &str, bytes: u64, total: u64) {
        if self.0.message() != file {
            self.0.set_message(file.to_owned());
        }
        self.0.set_length(total);
        self.0.set_position(bytes);
    }
}

#[cfg(feature = "full")]
impl Drop for Download {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A sign of life for what has no measurable progress, until it is dropped.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    /// A spinner beside a word for what is done, if it may be drawn.
    pub(crate) fn new(draw: bool, doing: &'static str) -> Self {
        if !draw {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner()
            .with_style(style("{spinner} {msg}, {elapsed}"))
            .with_message(doing);
        bar.enable_steady_tick(TICK);
        Self(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
