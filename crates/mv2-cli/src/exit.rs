//! Exit codes, and how a failure is reported.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::output::Output;
use crate::output::json::{ErrorBody, ErrorObject};

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done, or found.
    Done = 0,
    /// Nothing found, a document that is not there, or a check that failed.
    Nothing = 1,
    /// Wrong usage, or an error.
    Error = 2,
    /// Interrupted by Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure that the command itself found, with its name in JSON and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: &'static str,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Writes out what is buffered, reports the failure if there is one, and chooses the exit code.
pub(crate) fn finish(result: anyhow::Result<Exit>, output: &mut Output) -> Exit {
    let result = result.and_then(|exit| {
        output.flush()?;
        Ok(exit)
    });
    let error = match result {
        Ok(exit) => return exit,
        Err(error) => error,
    };
    // Whoever read the output has seen enough.
    if is_broken_pipe(&error) {
        return Exit::Done;
    }
    // What was printed before the failure comes before its message.
    let _ = output.flush();
    report(&error, output);
    match error.downcast_ref::<mv2::Error>() {
        Some(error) if error.is_miss() => Exit::Nothing,
        _ => Exit::Error,
    }
}

/// Reports a failure on standard error.
pub(crate) fn report(error: &anyhow::Error, output: &mut Output) {
    let (kind, hint) = describe(error);
    let message = message(error);
    if output.is_json() {
        let object = ErrorObject {
            error: ErrorBody {
                kind,
                message: &message,
                hint: hint.as_deref(),
                uris: conflicts(error),
            },
        };
        output.error_json(&object);
    } else {
        output.error(&message, hint.as_deref());
    }
}

/// Reports what `clap` found wrong with the arguments, or prints the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    let wants_json = std::env::args_os().any(|arg| arg == "--json");
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Done;
    }
    if wants_json {
        let text = error.render().to_string();
        let (message, hint) = split_usage(&text);
        let object = ErrorObject {
            error: ErrorBody {
                kind: "usage",
                message: &message,
                hint: hint.as_deref(),
                uris: None,
            },
        };
        if let Ok(line) = serde_json::to_string(&object) {
            let _ = writeln!(io::stderr(), "{line}");
        }
    } else {
        let _ = error.print();
    }
    Exit::Error
}

/// The first paragraph says what is wrong, the rest how it is used.
fn split_usage(text: &str) -> (String, Option<String>) {
    let text = text.trim();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let hint = rest.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    (message, (!hint.is_empty()).then_some(hint))
}

fn describe(error: &anyhow::Error) -> (&'static str, Option<String>) {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<mv2::Error>() {
            return (error.kind(), error.hint());
        }
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return (failure.kind, failure.hint.clone());
        }
    }
    ("io", None)
}

/// The documents that keep branches from being merged.
fn conflicts(error: &anyhow::Error) -> Option<&[String]> {
    match error.downcast_ref::<mv2::Error>()? {
        mv2::Error::Store(mv2::store::Error::MergeConflict { uris }) => Some(uris),
        _ => None,
    }
}

/// The error and its causes in one line. Some errors name their cause themselves.
fn message(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !message.contains(&cause) {
            message.push_str(": ");
            message.push_str(&cause);
        }
    }
    message
}

pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let inner = Failure::new("x", "no space left");
        let error = anyhow::Error::new(inner).context("cannot write a.mv2: no space left");
        assert_eq!(message(&error), "cannot write a.mv2: no space left");
        let error = anyhow::Error::new(Failure::new("x", "no space left")).context("cannot write");
        assert_eq!(message(&error), "cannot write: no space left");
    }

    #[test]
    fn a_usage_error_fits_into_two_fields() {
        let (message, hint) =
            split_usage("error: missing\n  <FILE>\n\nUsage: mv2 put <FILE>\n\nmore\n");
        assert_eq!(message, "missing <FILE>");
        assert_eq!(hint.unwrap(), "Usage: mv2 put <FILE> more");
    }
}
