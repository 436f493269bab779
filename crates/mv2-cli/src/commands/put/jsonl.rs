//! Documents from lines of JSON.
//!
//! Each line is an object: `{"text", "uri"?, "title"?, "timestamp"?, "tags"?, "labels"?, "kind"?,
//! "track"?, "metadata"?}`. `timestamp` is RFC 3339, a date or Unix seconds; the values of `tags` are
//! strings, numbers or booleans; `null` is the same as absent. Blank lines are nothing. A line that is
//! anything else is reported with its number and skipped.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context as _;
use mv2::{PutOptions, Timestamp, time};
use serde_json::{Map, Value};

use crate::commands::is_stdin;
use crate::exit::Failure;

use super::batch::{Document, Importer, Rejection, Source};

/// Longest line, in bytes. A line is held in memory together with what is read out of it.
const MAX_LINE_BYTES: usize = 256 << 20;

/// Where the lines come from.
pub(super) struct Input {
    name: String,
    bytes: Option<u64>,
    reader: Box<dyn BufRead>,
}

impl Input {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if is_stdin(path) {
            return Ok(Self {
                name: "standard input".to_owned(),
                bytes: None,
                reader: Box::new(io::stdin().lock()),
            });
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| {
            Failure::new("not_found", format!("cannot open {name}: {error}")).hint("check the path")
        })?;
        let info = file
            .metadata()
            .with_context(|| format!("cannot read {name}"))?;
        if info.is_dir() {
            return Err(Failure::new("not_a_file", format!("{name} is a folder"))
                .hint("name a file of JSON lines, or put the folder without --jsonl")
                .into());
        }
        Ok(Self {
            name,
            bytes: info.is_file().then_some(info.len()),
            reader: Box::new(BufReader::with_capacity(1 << 20, file)),
        })
    }

    /// Length of the input, where it is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }
}

/// Reads and puts every line. What a line leaves open is taken from `defaults`, and tags and labels
/// are added to it.
pub(super) fn import(
    input: Input,
    defaults: &PutOptions,
    importer: &mut Importer<'_>,
) -> anyhow::Result<()> {
    let Input { name, reader, .. } = input;
    let mut lines = Lines::new(reader);
    let mut noticed = BTreeSet::new();
    loop {
        let line = lines
            .next()
            .with_context(|| format!("cannot read {name}"))?;
        let Some(line) = line else { return Ok(()) };
        let source = Source::Line {
            input: name.clone(),
            line: lines.number,
        };
        let parsed = match line {
            Line::Blank => continue,
            Line::TooLong => Err(Rejection::new(
                "too_large",
                format!("longer than {MAX_LINE_BYTES} bytes"),
            )),
            Line::Full => parse(lines.bytes()),
        };
        match parsed {
            Ok(parsed) => {
                for field in parsed.unused {
                    if noticed.insert(field.clone()) {
                        importer.notice(notice(&field, &source));
                    }
                }
                importer.add(Document {
                    source,
                    folder: None,
                    payload: parsed.text.into_bytes(),
                    options: merge(parsed.options, defaults),
                    vector: parsed.vector,
                    read_bytes: lines.read_bytes,
                })?;
            }
            Err(rejection) => importer.reject(&source, &rejection)?,
        }
    }
}

/// A field of a line that is not stored, told once for all lines.
fn notice(field: &str, source: &Source) -> String {
    format!("the field {field:?} is not known and not stored (first in {source})")
}

struct Parsed {
    text: String,
    options: PutOptions,
    vector: Option<Vec<f32>>,
    unused: Vec<String>,
}

fn parse(bytes: &[u8]) -> Result<Parsed, Rejection> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("invalid UTF-8 at byte {}", error.valid_up_to() + 1);
        Rejection::new("invalid_utf8", message)
    })?;
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let message = format!("not JSON at column {}: {}", error.column(), reason(&error));
        Rejection::new("invalid_json", message)
    })?;
    let Value::Object(mut fields) = value else {
        return Err(invalid("a JSON object", &value));
    };
    fields.retain(|_, value| !value.is_null());
    let text = take_string(&mut fields, "text")?
        .ok_or_else(|| Rejection::new("invalid_line", "it has no \"text\""))?;
    let options = PutOptions {
        uri: take_string(&mut fields, "uri")?,
        title: take_string(&mut fields, "title")?,
        kind: take_string(&mut fields, "kind")?,
        track: take_string(&mut fields, "track")?,
        timestamp: fields.remove("timestamp").map(timestamp).transpose()?,
        tags: fields.remove("tags").map_or_else(|| Ok(Vec::new()), tags)?,
        labels: fields
            .remove("labels")
            .map_or_else(|| Ok(Vec::new()), labels)?,
        metadata: fields.remove("metadata"),
        search_text: None,
    };
    let vector = fields.remove("vector").map(vector).transpose()?;
    Ok(Parsed {
        text,
        options,
        vector,
        unused: fields.into_iter().map(|(name, _)| name).collect(),
    })
}

/// The parser's message without the position, which counts lines within the line.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

fn take_string(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Rejection> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(invalid(&format!("a string as {name:?}"), &other)),
    }
}

fn timestamp(value: Value) -> Result<Timestamp, Rejection> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        other => return Err(invalid("a time as \"timestamp\"", &other)),
    };
    time::parse(&text).map_err(|error| Rejection::new("invalid_time", error.to_string()))
}

fn vector(value: Value) -> Result<Vec<f32>, Rejection> {
    let Value::Array(numbers) = value else {
        return Err(invalid("an array as \"vector\"", &value));
    };
    numbers
        .into_iter()
        .map(|number| match number.as_f64() {
            Some(number) => Ok(number as f32),
            None => Err(invalid("numbers as \"vector\"", &number)),
        })
        .collect()
}

fn tags(value: Value) -> Result<Vec<(String, String)>, Rejection> {
    let Value::Object(tags) = value else {
        return Err(invalid("an object as \"tags\"", &value));
    };
    tags.into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| match value {
            Value::String(text) => Ok((key, text)),
            Value::Number(_) | Value::Bool(_) => Ok((key, value.to_string())),
            other => Err(invalid(&format!("a string as tag {key:?}"), &other)),
        })
        .collect()
}

fn labels(value: Value) -> Result<Vec<String>, Rejection> {
    let Value::Array(labels) = value else {
        return Err(invalid("an array as \"labels\"", &value));
    };
    labels
        .into_iter()
        .map(|label| match label {
            Value::String(text) => Ok(text),
            other => Err(invalid("strings as \"labels\"", &other)),
        })
        .collect()
}

fn invalid(expected: &str, found: &Value) -> Rejection {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Rejection::new(
        "invalid_line",
        format!("expected {expected}, found {found}"),
    )
}

fn merge(mut options: PutOptions, defaults: &PutOptions) -> PutOptions {
    options.kind = options.kind.or_else(|| defaults.kind.clone());
    options.track = options.track.or_else(|| defaults.track.clone());
    options.timestamp = options.timestamp.or(defaults.timestamp);
    options.metadata = options.metadata.or_else(|| defaults.metadata.clone());
    // Of a tag that is there twice the last counts, and the line knows better.
    options.tags.splice(0..0, defaults.tags.iter().cloned());
    options.labels.extend(defaults.labels.iter().cloned());
    options
}

/// Reads lines with a limit, so that input without line breaks cannot fill the memory.
struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// The number of the line that was read last, from 1.
    number: u64,
    /// How long it was.
    read_bytes: u64,
}

/// What a line is; [`Lines::bytes`] has what is in it.
enum Line {
    Blank,
    TooLong,
    Full,
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            number: 0,
            read_bytes: 0,
        }
    }

    fn next(&mut self) -> io::Result<Option<Line>> {
        self.next_within(MAX_LINE_BYTES)
    }

    fn next_within(&mut self, max_bytes: usize) -> io::Result<Option<Line>> {
        self.buffer.clear();
        // A long line should not keep its memory for all that follow.
        self.buffer.shrink_to(1 << 20);
        let limit = max_bytes as u64 + 1;
        let mut read = (&mut self.reader)
            .take(limit)
            .read_until(b'\n', &mut self.buffer)? as u64;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let too_long = read == limit && self.buffer.last() != Some(&b'\n');
        if too_long {
            read += self.skip_line()?;
        }
        self.read_bytes = read;
        if too_long {
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(if self.bytes().is_empty() {
            Line::Blank
        } else {
            Line::Full
        }))
    }

    /// The line without white space around it, and the first one without a byte order mark.
    fn bytes(&self) -> &[u8] {
        let mut line = self.buffer.as_slice();
        if self.number == 1 {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        line.trim_ascii()
    }

    fn skip_line(&mut self) -> io::Result<u64> {
        let mut skipped = 0;
        loop {
            self.buffer.clear();
            let read = (&mut self.reader)
                .take(1 << 20)
                .read_until(b'\n', &mut self.buffer)?;
            skipped += read as u64;
            if read == 0 || self.buffer.last() == Some(&b'\n') {
                return Ok(skipped);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(line: &str) -> Rejection {
        parse(line.as_bytes())
            .err()
            .unwrap_or_else(|| panic!("{line} is taken"))
    }

    #[test]
    fn a_full_line_is_read() {
        let parsed = parse(
            br#"{"uri":"a","title":"A","text":"x","timestamp":1.5,"tags":{"k":"v","n":3,"b":true,"z":null},
               "labels":["l"],"kind":"note","track":"t","metadata":{"m":[1]},"vector":[0.1],"other":1}"#,
        );
        let parsed = parsed.ok().unwrap();
        assert_eq!(parsed.text, "x");
        assert_eq!(
            parsed.options.timestamp,
            Some(Timestamp::from_micros(1_500_000))
        );
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            parsed.options.tags,
            [tag("b", "true"), tag("k", "v"), tag("n", "3")]
        );
        assert_eq!(parsed.options.metadata, Some(serde_json::json!({"m": [1]})));
        assert_eq!(parsed.vector, Some(vec![0.1]));
        assert_eq!(parsed.unused, ["other"]);
    }

    #[test]
    fn null_is_absent_and_the_empty_text_a_document() {
        let parsed = parse(br#"{"text":"","uri":null,"timestamp":null}"#)
            .ok()
            .unwrap();
        assert_eq!(parsed.text, "");
        assert_eq!(parsed.options, PutOptions::default());
    }

    #[test]
    fn each_fault_has_its_name_and_place() {
        assert_eq!(rejection("{\"text\":").kind, "invalid_json");
        assert!(rejection("{\"text\" 1}").message.contains("column 9"));
        assert!(!rejection("{\"text\" 1}").message.contains("line"));
        assert_eq!(
            rejection("[]").message,
            "expected a JSON object, found an array"
        );
        assert_eq!(rejection("{}").message, "it has no \"text\"");
        assert_eq!(rejection(r#"{"text":null}"#).message, "it has no \"text\"");
        assert_eq!(
            rejection(r#"{"text":"x","timestamp":"soon"}"#).kind,
            "invalid_time"
        );
        assert_eq!(rejection(r#"{"text":"x","tags":[]}"#).kind, "invalid_line");
        assert_eq!(
            rejection(r#"{"text":"x","labels":[1]}"#).kind,
            "invalid_line"
        );
        let error = parse(b"{\"text\":\"\xff\"}").err().unwrap();
        assert_eq!(error.message, "invalid UTF-8 at byte 10");
        assert_eq!(rejection(&"[".repeat(100_000)).kind, "invalid_json");
    }

    #[test]
    fn lines_are_numbered_trimmed_and_limited() {
        let text = "\u{feff}one\r\n\n  \nlonger than that\nend";
        let mut lines = Lines::new(text.as_bytes());
        let mut seen = Vec::new();
        while let Some(line) = lines.next_within(8).unwrap() {
            let what = match line {
                Line::Blank => "-".to_owned(),
                Line::TooLong => "!".to_owned(),
                Line::Full => String::from_utf8(lines.bytes().to_vec()).unwrap(),
            };
            seen.push((lines.number, what));
        }
        let expected = [(1, "one"), (2, "-"), (3, "-"), (4, "!"), (5, "end")];
        assert_eq!(seen, expected.map(|(n, s)| (n, s.to_owned())));
    }
}
