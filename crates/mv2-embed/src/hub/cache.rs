//! The folder in which all programs that use the hub keep its files.
//!
//! ```text
//! models--BAAI--bge-small-en-v1.5/
//!   refs/main                          the commit that "main" was when it was asked
//!   snapshots/<commit>/config.json     links to blobs, or files
//!   blobs/<checksum>
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::known::FILES;

/// The branch that is asked for.
pub(super) const BRANCH: &str = "main";

/// The cache of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubCache {
    root: PathBuf,
}

/// One commit of a model, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Where its files lie.
    pub folder: PathBuf,
    /// The commit.
    pub revision: String,
}

impl HubCache {
    /// The cache that the environment names: `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or `huggingface/hub` in `XDG_CACHE_HOME`, or
    /// that in `~/.cache`. `None` where there is not even a home folder.
    pub fn from_env() -> Option<Self> {
        Self::from_variables(|name| std::env::var_os(name), std::env::home_dir())
    }

    /// The cache in a folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a repository, such as `BAAI/bge-small-en-v1.5`, whether it is there or not.
    pub fn repo(&self, repo: &str) -> PathBuf {
        self.root
            .join(format!("models--{}", repo.replace('/', "--")))
    }

    /// The snapshot that `main` of a repository stands for, if it is there and has all of `files`. Without that reference, the only
    /// one that is there.
    pub fn find(&self, repo: &str, files: &[&str]) -> Option<Snapshot> {
        let folder = self.repo(repo);
        let snapshots = folder.join("snapshots");
        let revision = match std::fs::read_to_string(folder.join("refs").join(BRANCH)) {
            Ok(revision) => revision.trim().to_owned(),
            Err(_) => only(&snapshots)?,
        };
        if !is_commit(&revision) {
            return None;
        }
        let folder = snapshots.join(&revision);
        let whole = files.iter().all(|file| folder.join(file).is_file());
        whole.then_some(Snapshot { folder, revision })
    }

    /// The snapshot of a model that has all that is needed to run it.
    pub fn find_model(&self, repo: &str) -> Option<Snapshot> {
        self.find(repo, &FILES)
    }

    fn from_variables(
        get: impl Fn(&str) -> Option<OsString>,
        home: Option<PathBuf>,
    ) -> Option<Self> {
        // An empty variable counts as none, as it does for those who made the rule.
        let folder = |name: &str| {
            get(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = folder("HF_HUB_CACHE")
            .or_else(|| Some(folder("HF_HOME")?.join("hub")))
            .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("huggingface/hub")))
            .or_else(|| Some(home?.join(".cache/huggingface/hub")))?;
        Some(Self { root })
    }
}

/// Whether `HF_HUB_OFFLINE` forbids to ask the hub.
pub fn is_offline() -> bool {
    is_set(std::env::var_os("HF_HUB_OFFLINE"))
}

fn is_set(value: Option<OsString>) -> bool {
    let value = value.unwrap_or_default();
    ["1", "on", "yes", "true"]
        .iter()
        .any(|yes| value.eq_ignore_ascii_case(yes))
}

/// What could be a commit, and is no way out of the folder.
pub(super) fn is_commit(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The name of the only entry of a folder.
fn only(folder: &Path) -> Option<String> {
    let mut entries = std::fs::read_dir(folder).ok()?;
    let first = entries.next()?.ok()?.file_name().into_string().ok()?;
    entries.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where_the_cache_is() {
        let root = |variables: &[(&str, &str)]| {
            let get = |name: &str| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let cache = HubCache::from_variables(get, Some(PathBuf::from("/mine")));
            cache.unwrap().root().to_owned()
        };
        let all = [
            ("HF_HUB_CACHE", "/a"),
            ("HF_HOME", "/b"),
            ("XDG_CACHE_HOME", "/c"),
        ];
        assert_eq!(root(&all), Path::new("/a"));
        assert_eq!(root(&all[1..]), Path::new("/b/hub"));
        assert_eq!(root(&all[2..]), Path::new("/c/huggingface/hub"));
        assert_eq!(
            root(&[("HF_HOME", "")]),
            Path::new("/mine/.cache/huggingface/hub")
        );
        assert_eq!(HubCache::from_variables(|_| None, None), None);
    }

    #[test]
    fn offline_is_said_in_four_ways() {
        for (value, expected) in [
            ("1", true),
            ("ON", true),
            ("True", true),
            ("yes", true),
            ("0", false),
            ("", false),
        ] {
            assert_eq!(is_set(Some(value.into())), expected, "{value}");
        }
        assert!(!is_set(None));
    }

    #[test]
    fn a_snapshot_is_found_once_it_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let cache = HubCache::at(root.path());
        let folder = cache.repo("some/model");
        assert!(folder.ends_with("models--some--model"));
        let find = || {
            cache
                .find("some/model", &["a", "b"])
                .map(|found| found.revision)
        };
        assert_eq!(find(), None);
        let write = |path: &str, text: &str| {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("snapshots/c1/a", "");
        assert_eq!(find(), None, "a file is missing");
        write("snapshots/c1/b", "");
        assert_eq!(find().as_deref(), Some("c1"), "the only one");
        write("snapshots/c2/a", "");
        assert_eq!(find(), None, "which of the two?");
        write("refs/main", "c1\n");
        assert_eq!(find().as_deref(), Some("c1"));
        write("refs/main", "c2");
        assert_eq!(find(), None, "main is not whole");
        write("refs/main", "../../c1");
        assert_eq!(find(), None);
    }
}
