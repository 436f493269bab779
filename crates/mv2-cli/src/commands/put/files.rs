//! Files and folders to import.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ignore::WalkBuilder;
use mv2::{PutOptions, text};

use crate::commands::read_document;
use crate::exit::Failure;

use super::batch::{Document, Importer, Rejection, Source};

/// What is to be imported, in order.
pub(super) struct Plan {
    entries: Vec<Entry>,
    /// Entries of a folder that could not be listed, and why.
    unlisted: Vec<(Source, String)>,
    /// Memory files that a folder holds. They are not documents.
    memories: usize,
}

struct Entry {
    path: PathBuf,
    uri: String,
    bytes: u64,
}

impl Plan {
    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }
}

/// Lists what the paths name, without reading it. `memory` is never listed.
pub(super) fn plan(paths: &[PathBuf], memory: &Path) -> anyhow::Result<Plan> {
    let memory = fs::canonicalize(memory).ok();
    let mut plan = Plan {
        entries: Vec::new(),
        unlisted: Vec::new(),
        memories: 0,
    };
    for path in paths {
        let info = fs::metadata(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::new("not_found", message).hint("check the path")
        })?;
        if info.is_dir() {
            list_folder(path, memory.as_deref(), &mut plan);
        } else if memory.is_some() && fs::canonicalize(path).ok() == memory {
            return Err(Failure::usage("a memory cannot be put into itself").into());
        } else {
            let name = path.file_name().context("the path has no file name")?;
            plan.entries.push(Entry {
                path: path.clone(),
                uri: name.to_string_lossy().into_owned(),
                bytes: info.len(),
            });
        }
    }
    check_uris(&plan.entries)?;
    Ok(plan)
}

/// Reads and puts everything of a plan.
pub(super) fn import(
    plan: Plan,
    options: &PutOptions,
    importer: &mut Importer<'_>,
) -> anyhow::Result<()> {
    for (source, message) in &plan.unlisted {
        importer.reject(source, &Rejection::new("io", message))?;
    }
    if plan.memories > 0 {
        let memories = plan.memories;
        importer.notice(format_args!("left out {memories} memory files (*.mv2)"));
    }
    for entry in plan.entries {
        let source = Source::File(entry.path.display().to_string());
        match read_document(&entry.path) {
            Ok(payload) => importer.add(document(source, entry, payload, options))?,
            Err(error) => {
                let rejection = Rejection::new("io", format!("{:#}", error.root_cause()));
                importer.reject(&source, &rejection)?;
            }
        }
    }
    Ok(())
}

fn document(source: Source, entry: Entry, payload: Vec<u8>, options: &PutOptions) -> Document {
    let mut options = options.clone();
    if options.title.is_none() {
        options.title = title(&entry.path, &payload);
    }
    options.uri.get_or_insert(entry.uri);
    Document {
        source,
        read_bytes: payload.len() as u64,
        payload,
        options,
    }
}

/// The first heading of a Markdown file, or the file's name.
fn title(path: &Path, payload: &[u8]) -> Option<String> {
    let extension = path
        .extension()
        .map(|extension| extension.to_ascii_lowercase());
    let is_markdown = extension.is_some_and(|extension| {
        ["md", "markdown", "mdx"]
            .iter()
            .any(|known| extension == *known)
    });
    let heading = if is_markdown && text::is_text(payload) {
        std::str::from_utf8(payload)
            .ok()
            .and_then(text::markdown_title)
    } else {
        None
    };
    heading.or_else(|| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    })
}

fn list_folder(folder: &Path, memory: Option<&Path>, plan: &mut Plan) {
    let walk = WalkBuilder::new(folder)
        // Ignore files count as they stand, also where there is no git repository around them.
        .require_git(false)
        .sort_by_file_path(Path::cmp)
        .build();
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let source = Source::File(folder.display().to_string());
                plan.unlisted.push((source, error.to_string()));
                continue;
            }
        };
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "mv2") {
            plan.memories += usize::from(!is_same(path, memory));
            continue;
        }
        if is_same(path, memory) {
            continue;
        }
        plan.entries.push(Entry {
            uri: relative_uri(folder, path),
            bytes: entry.metadata().map_or(0, |info| info.len()),
            path: path.to_owned(),
        });
    }
}

fn is_same(path: &Path, memory: Option<&Path>) -> bool {
    // Only a file of the same name is worth asking the system about.
    memory.is_some_and(|memory| {
        memory.file_name() == path.file_name()
            && fs::canonicalize(path).is_ok_and(|path| path == memory)
    })
}

/// The path inside the folder, with `/` on every platform.
fn relative_uri(folder: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    let parts: Vec<_> = inside
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

/// Two documents of one import under one uri would silently replace each other.
fn check_uris(entries: &[Entry]) -> anyhow::Result<()> {
    let mut seen: HashMap<&str, &Path> = HashMap::with_capacity(entries.len());
    for entry in entries {
        if let Some(first) = seen.insert(&entry.uri, &entry.path) {
            let message = format!(
                "{} and {} would have the same uri, {:?}",
                first.display(),
                entry.path.display(),
                entry.uri
            );
            return Err(Failure::usage(message)
                .hint("put the folder that holds both, or put one of them with --uri")
                .into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_come_from_headings_or_names() {
        let title = |name: &str, text: &[u8]| title(Path::new(name), text).unwrap();
        assert_eq!(title("a/notes.md", b"# Notes\n"), "Notes");
        assert_eq!(title("a/NOTES.MD", b"# Notes\n"), "Notes");
        assert_eq!(title("a/notes.md", b"no heading"), "notes.md");
        assert_eq!(title("a/run.sh", b"# a comment\n"), "run.sh");
        assert_eq!(title("a/notes.md", b"# \xff"), "notes.md");
    }

    #[test]
    fn uris_are_paths_inside_the_folder() {
        assert_eq!(
            relative_uri(Path::new("a"), Path::new("a/b/c.md")),
            "b/c.md"
        );
        assert_eq!(
            relative_uri(Path::new("."), Path::new("./b/c.md")),
            "b/c.md"
        );
    }
}
