//! Files and folders to import, and what vanished from a folder since an earlier import of it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use ignore::WalkBuilder;
use mv2::{CommitId, FrameId, PutOptions, Snapshot, text};

use crate::commands::{read_document, read_page};
use crate::exit::Failure;

use super::batch::{Document, Importer, Rejection, Source};
use super::folder::Folder;

/// What is to be imported, in order.
pub(super) struct Plan {
    entries: Vec<Entry>,
    /// The folders among the paths.
    folders: Vec<Arc<Folder>>,
    /// Entries of a folder that could not be listed, and why.
    unlisted: Vec<(Source, String)>,
    /// Memory files that a folder holds. They are not documents.
    memories: usize,
}

struct Entry {
    path: PathBuf,
    uri: String,
    bytes: u64,
    /// The folder that it was found in, if it was not named itself.
    folder: Option<Arc<Folder>>,
}

impl Plan {
    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }

    /// What a prune needs to know: each folder with the documents that it holds.
    ///
    /// # Errors
    /// Without a folder there is nothing to prune.
    pub(super) fn kept(&self) -> anyhow::Result<Vec<Kept>> {
        if self.folders.is_empty() {
            return Err(Failure::usage("--prune needs a folder")
                .hint("name a folder that was put before")
                .into());
        }
        let mut kept = Vec::with_capacity(self.folders.len());
        for folder in &self.folders {
            if !folder.has_name() {
                let message = "a folder whose path is not Unicode cannot be pruned";
                return Err(Failure::usage(message)
                    .hint("delete its documents with `mv2 delete`")
                    .into());
            }
            let entries = self.entries.iter().filter(|entry| {
                let other = entry.folder.as_ref();
                other.is_some_and(|other| Arc::ptr_eq(other, folder))
            });
            kept.push(Kept {
                folder: Arc::clone(folder),
                uris: entries.map(|entry| entry.uri.clone()).collect(),
            });
        }
        Ok(kept)
    }
}

/// A folder and the uris of the documents that it holds.
pub(super) struct Kept {
    pub(super) folder: Arc<Folder>,
    uris: HashSet<String>,
}

impl Kept {
    /// The visible documents that an import of the folder put and that it does not hold any more, by frame.
    pub(super) fn vanished(&self, snapshot: &Snapshot) -> mv2::Result<Vec<(FrameId, String)>> {
        let mut imports: HashSet<CommitId> = HashSet::new();
        for commit in snapshot.log() {
            let commit = commit?;
            if self.folder.put(commit.message.as_deref()) {
                imports.insert(commit.id);
            }
        }
        let mut vanished = Vec::new();
        if imports.is_empty() {
            return Ok(vanished);
        }
        for meta in snapshot.frames() {
            let meta = meta?;
            if let Some(uri) = meta.uri
                && imports.contains(&meta.commit)
                && !self.uris.contains(&uri)
                && !self.folder.is_unlisted(&uri)
            {
                vanished.push((meta.id, uri));
            }
        }
        Ok(vanished)
    }
}

/// Lists what the paths name, without reading it. `memory` is never listed.
pub(super) fn plan(paths: &[PathBuf], memory: &Path) -> anyhow::Result<Plan> {
    let memory = fs::canonicalize(memory).ok();
    let mut plan = Plan {
        entries: Vec::new(),
        folders: Vec::new(),
        unlisted: Vec::new(),
        memories: 0,
    };
    for path in paths {
        let info = fs::metadata(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::new("not_found", message).hint("check the path")
        })?;
        if info.is_dir() {
            list_folder(path, memory.as_deref(), &mut plan)?;
        } else if memory.is_some() && fs::canonicalize(path).ok() == memory {
            return Err(Failure::usage("a memory cannot be put into itself").into());
        } else {
            let name = path.file_name().context("the path has no file name")?;
            plan.entries.push(Entry {
                path: path.clone(),
                uri: name.to_string_lossy().into_owned(),
                bytes: info.len(),
                folder: None,
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
    read_page(&entry.path, &payload, &mut options);
    if options.title.is_none() {
        options.title = title(&entry.path, &payload);
    }
    options.uri.get_or_insert(entry.uri);
    Document {
        vector: None,
        source,
        folder: entry.folder,
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

fn list_folder(folder: &Path, memory: Option<&Path>, plan: &mut Plan) -> anyhow::Result<()> {
    let from = plan.entries.len();
    let mut unlisted = Vec::new();
    let walk = WalkBuilder::new(folder)
        // Ignore files count as they stand, also where there is no git repository around them.
        .require_git(false)
        .sort_by_file_path(Path::cmp)
        .build();
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                // An error without a path may be about anything inside.
                let place = place_of(&error).unwrap_or(folder);
                unlisted.push(relative_uri(folder, place));
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
            folder: None,
        });
    }
    let folder = Arc::new(Folder::new(folder, unlisted)?);
    for entry in &mut plan.entries[from..] {
        entry.folder = Some(Arc::clone(&folder));
    }
    plan.folders.push(folder);
    Ok(())
}

/// Which entry an error of the walk is about.
fn place_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            place_of(err)
        }
        _ => None,
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
