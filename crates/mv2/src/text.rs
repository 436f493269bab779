//! What counts as text, what is visible of an HTML page, and what is indexed of a document that is not text.

mod html;

use mv2_format::Frame;
use serde_json::Value;

pub use html::{HtmlText, html};

/// Whether a payload is text: valid UTF-8 without a NUL byte. The empty payload is text.
///
/// ```
/// assert!(mv2::text::is_text("日本語".as_bytes()));
/// assert!(mv2::text::is_text(b""));
/// assert!(!mv2::text::is_text(b"\x89PNG\r\n\x1a\n\0"));
/// assert!(!mv2::text::is_text(b"caf\xe9"));
/// ```
pub fn is_text(payload: &[u8]) -> bool {
    !payload.contains(&0) && std::str::from_utf8(payload).is_ok()
}

/// The text without a byte order mark at its start. The payload in the file keeps it.
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Takes the text out of a frame, as searches see it, without a byte order mark. Of a payload that was cut the character at its end
/// goes, if that is not whole.
pub(crate) fn take_text(frame: &mut Frame) -> String {
    let mut payload = std::mem::take(&mut frame.payload);
    let mut text = match frame.meta.search_text.take() {
        Some(text) => text,
        None if frame.meta.is_text => {
            if let Err(error) = std::str::from_utf8(&payload)
                && error.error_len().is_none()
            {
                payload.truncate(error.valid_up_to());
            }
            String::from_utf8(payload).unwrap_or_default()
        }
        None => String::new(),
    };
    let bom = text.len() - without_bom(&text).len();
    text.drain(..bom);
    text
}

/// The first heading (`# ...` to `###### ...`) of a Markdown text, outside of code fences and front
/// matter.
///
/// ```
/// let text = "---\ndate: today\n---\n```sh\n# a comment\n```\n\n## Notes #\n";
/// assert_eq!(mv2::text::markdown_title(text).as_deref(), Some("Notes"));
/// ```
pub fn markdown_title(text: &str) -> Option<String> {
    let mut lines = without_bom(text).lines().peekable();
    if lines.peek().is_some_and(|line| line.trim_end() == "---") {
        lines.next();
        lines.find(|line| matches!(line.trim_end(), "---" | "..."));
    }
    let mut fence: Option<&str> = None;
    for line in lines {
        // Four spaces make a code block.
        let indent = line.len() - line.trim_start_matches(' ').len();
        let line = line.trim();
        match fence {
            Some(mark) if line.starts_with(mark) => fence = None,
            Some(_) => {}
            None if line.starts_with("```") => fence = Some("```"),
            None if line.starts_with("~~~") => fence = Some("~~~"),
            None if indent < 4 => {
                if let Some(title) = heading(line) {
                    return Some(title);
                }
            }
            None => {}
        }
    }
    None
}

fn heading(line: &str) -> Option<String> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    if !(1..=6).contains(&level) || !rest.starts_with([' ', '\t']) {
        return None;
    }
    let title = rest.trim();
    // Closing marks count as such only behind a space: `C#` keeps its own.
    let bare = title.trim_end_matches('#');
    let title = if bare.is_empty() || bare.ends_with([' ', '\t']) {
        bare.trim_end()
    } else {
        title
    };
    (!title.is_empty()).then(|| title.to_owned())
}

/// What is indexed of a document that is not text: its uri and the strings of its metadata. Its
/// title is indexed for every document.
pub(crate) fn describe(uri: Option<&str>, metadata: Option<&Value>) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(uri);
    if let Some(metadata) = metadata {
        collect_strings(metadata, &mut parts);
    }
    (!parts.is_empty()).then(|| parts.join("\n"))
}

fn collect_strings<'a>(value: &'a Value, parts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => parts.push(text),
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_strings(value, parts)),
        Value::Object(fields) => fields
            .values()
            .for_each(|value| collect_strings(value, parts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_first_headings() {
        let cases = [
            ("# One\n# Two", Some("One")),
            ("\u{feff}# One", Some("One")),
            ("text\n\n### Deep ###", Some("Deep")),
            ("# C#", Some("C#")),
            ("#hashtag\n####### seven\n    # code", None),
            ("~~~\n# no\n~~~\n# yes", Some("yes")),
            ("```\n# never closed", None),
            ("---\ntitle: x\n# no\n---\n# yes", Some("yes")),
            ("#\n# #\n# a", Some("a")),
            ("", None),
        ];
        for (text, title) in cases {
            assert_eq!(markdown_title(text).as_deref(), title, "{text:?}");
        }
    }

    #[test]
    fn bytes_are_described_by_name_and_metadata() {
        let metadata =
            serde_json::json!({"camera": {"maker": "Leica", "iso": 200}, "where": ["Kyoto", null]});
        assert_eq!(
            describe(Some("photos/a.jpg"), Some(&metadata)).unwrap(),
            "photos/a.jpg\nLeica\nKyoto"
        );
        assert_eq!(describe(None, None), None);
    }
}
