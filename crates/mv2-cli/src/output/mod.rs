//! What is printed, and where: results to standard output, messages to standard error.

pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod progress;

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

use crate::cli::{ColorChoice, Global};

/// Columns where they cannot be known.
const DEFAULT_COLUMNS: usize = 80;
/// Longer lines are hard to read.
const MAX_COLUMNS: usize = 100;

/// The two streams, and how each may be used.
pub(crate) struct Output {
    stdout: BufWriter<io::Stdout>,
    json: bool,
    terminal: bool,
    message_terminal: bool,
    pub(crate) style: Style,
    message_style: Style,
    columns: usize,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let terminal = io::stdout().is_terminal();
        let message_terminal = io::stderr().is_terminal();
        Self {
            stdout: BufWriter::new(io::stdout()),
            json: global.json,
            terminal,
            message_terminal,
            style: Style::new(global.color, terminal),
            message_style: Style::new(global.color, message_terminal),
            columns: columns(),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether results go to a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether messages go to a terminal, so that progress may be drawn.
    pub(crate) fn draws_progress(&self) -> bool {
        self.message_terminal
    }

    /// How wide a line may be.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Prints a line of the result.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> io::Result<()> {
        writeln!(self.stdout, "{line}")
    }

    /// Prints bytes of the result as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.write_all(bytes)
    }

    /// Prints a JSON value of the result on a line.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.stdout, value)?;
        self.stdout.write_all(b"\n")
    }

    /// Hands everything printed so far to the reader.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    /// Prints a message that is not part of the result.
    pub(crate) fn message(&mut self, message: impl fmt::Display) {
        let text = human::clean(&message.to_string());
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Prints what went wrong, and what to do about it last.
    pub(crate) fn error(&mut self, message: &str, hint: Option<&str>) {
        let style = self.message_style;
        let mut text = format!("{} {}\n", style.red("error:"), human::clean(message));
        if let Some(hint) = hint {
            text.push_str(&format!("{} {}\n", style.cyan("hint:"), human::clean(hint)));
        }
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Prints an error as JSON on a line of standard error.
    pub(crate) fn error_json(&mut self, error: &impl Serialize) {
        if let Ok(line) = serde_json::to_string(error) {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    enabled: bool,
}

impl Style {
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { enabled: false };

    fn new(choice: ColorChoice, terminal: bool) -> Self {
        let enabled = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                terminal && !set("NO_COLOR") && !dumb
            }
        };
        Self { enabled }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    /// For the words that were searched.
    pub(crate) fn matched(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.enabled && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn columns() -> usize {
    let asked = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse().ok());
    let terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    asked
        .or_else(terminal)
        .filter(|columns| *columns > 0)
        .unwrap_or(DEFAULT_COLUMNS)
        .min(MAX_COLUMNS)
}
