//! How a memory knows which documents the import of a folder put: the last line of the commit's message says so.
//!
//! ```text
//! a line for the log          <- --message, if there was one
//!
//! mv2-folder: "/data/notes"   <- the folder without `.`, `..` and links, as JSON
//! ```
//!
//! A trailer, as git has them, belongs to the commit: frames stay as they were put, and one that was put in another way
//! since then is in another commit. See `docs/decisions/0009-folder-of-an-import.md`.

use std::fs;
use std::path::Path;

use crate::exit::Failure;

const TRAILER: &str = "mv2-folder: ";

/// A folder on the disk, by a name that does not depend on how the user wrote it.
pub(super) struct Folder {
    /// `None` if it has no name in Unicode: such a folder is imported but not remembered.
    name: Option<String>,
    /// Paths inside it that could not be listed.
    unlisted: Vec<String>,
}

impl Folder {
    /// # Errors
    /// `io` if the folder is gone or cannot be entered.
    pub(super) fn new(path: &Path, unlisted: Vec<String>) -> anyhow::Result<Self> {
        let full = fs::canonicalize(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::new("io", message).hint("check the path")
        })?;
        Ok(Self {
            name: full.to_str().map(str::to_owned),
            unlisted,
        })
    }

    /// Whether imports of it can be told from others.
    pub(super) fn has_name(&self) -> bool {
        self.name.is_some()
    }

    /// The message of a commit of its import.
    pub(super) fn message(&self, message: Option<&str>) -> Option<String> {
        let Some(name) = &self.name else {
            return message.map(str::to_owned);
        };
        let trailer = format!("{TRAILER}{}", serde_json::Value::from(name.as_str()));
        Some(match message {
            Some(message) => format!("{message}\n\n{trailer}"),
            None => trailer,
        })
    }

    /// Whether the commit with this message is one of its import.
    pub(super) fn put(&self, message: Option<&str>) -> bool {
        let found = message.and_then(|message| split(message).1);
        self.name.is_some() && found == self.name
    }

    /// Whether a document may still be there, in a part that could not be listed.
    pub(super) fn is_unlisted(&self, uri: &str) -> bool {
        self.unlisted.iter().any(|part| {
            let rest = uri.strip_prefix(part.as_str());
            part.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// A commit's message as the user gave it, and the folder if the commit is of an import.
pub(crate) fn split(message: &str) -> (Option<&str>, Option<String>) {
    let (rest, last) = message.rsplit_once('\n').unwrap_or(("", message));
    let name = last.strip_prefix(TRAILER);
    match name.and_then(|name| serde_json::from_str(name).ok()) {
        Some(folder) => {
            let rest = rest.strip_suffix('\n').unwrap_or(rest);
            ((!rest.is_empty()).then_some(rest), Some(folder))
        }
        None => (Some(message), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, unlisted: &[&str]) -> Folder {
        Folder {
            name: Some(name.to_owned()),
            unlisted: unlisted.iter().map(|part| (*part).to_owned()).collect(),
        }
    }

    #[test]
    fn a_message_comes_back_with_its_folder() {
        for name in ["/data/notes", "/a\nb", "/\"quoted\" \u{65e5}"] {
            for message in [None, Some("one line"), Some("two\nlines"), Some("ends\n")] {
                let folder = folder(name, &[]);
                let stored = folder.message(message).unwrap();
                assert_eq!(
                    split(&stored),
                    (message, Some(name.to_owned())),
                    "{stored:?}"
                );
                assert!(folder.put(Some(&stored)));
                assert!(!self::folder("/data", &[]).put(Some(&stored)));
            }
        }
        for message in [
            "",
            "notes",
            "mv2-folder: notes",
            "mv2-folder: \"a\"\n",
            "x mv2-folder: \"a\"",
        ] {
            assert_eq!(split(message), (Some(message), None));
        }
    }

    #[test]
    fn what_could_not_be_listed_has_not_vanished() {
        let some = folder("/a", &["deep/er"]);
        assert!(some.is_unlisted("deep/er/b.md") && some.is_unlisted("deep/er"));
        assert!(!some.is_unlisted("deep/erected.md") && !some.is_unlisted("b.md"));
        assert!(folder("/a", &[""]).is_unlisted("b.md"));
    }
}
