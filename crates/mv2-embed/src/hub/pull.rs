//! A whole model, into the cache.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::cache::{BRANCH, HubCache, Snapshot, is_commit, is_offline};
use super::error::PullError;
use super::fetch::{Announced, Client, answer_fault};
use crate::known::{FILES, KnownModel};
use crate::resolve::is_repo;

/// The hub, unless `HF_ENDPOINT` names a mirror of it.
const ENDPOINT: &str = "https://huggingface.co";

/// Files that say how a model is used. Many have not all of them.
const OPTIONAL_FILES: &[&str] = &[
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer_config.json",
];

/// Bytes that the description of a repository may have.
const MAX_DESCRIPTION: u64 = 16 << 20;

/// From where, to where, how patiently.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PullOptions {
    /// The address of the hub.
    pub endpoint: String,
    /// Where the files go.
    pub cache: HubCache,
    /// Whether nothing may be asked for.
    pub offline: bool,
    /// How long nothing may arrive before the connection counts as broken.
    pub timeout: Duration,
    /// How often in a row an attempt may bring nothing, beyond the first.
    pub retries: u32,
    /// How long to wait before the first of them; the wait doubles each time.
    pub backoff: Duration,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullProgress<'a> {
    /// The file that arrives.
    pub file: &'a str,
    /// Bytes that are here, of all files.
    pub bytes: u64,
    /// Bytes of all files.
    pub total: u64,
}

#[derive(Deserialize)]
struct Description {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl PullOptions {
    /// What the environment says: `HF_ENDPOINT`, `HF_HUB_OFFLINE`, and where the [cache](HubCache::from_env) is. Connections that
    /// are silent for 30 seconds count as broken, and five more attempts are made, from one second on.
    ///
    /// # Errors
    /// [`PullError::NoCache`] where there is not even a home folder.
    pub fn from_env() -> Result<Self, PullError> {
        let endpoint = std::env::var("HF_ENDPOINT").unwrap_or_default();
        let endpoint = match endpoint.is_empty() {
            true => ENDPOINT.to_owned(),
            false => endpoint,
        };
        Ok(Self {
            offline: is_offline(),
            ..Self::new(endpoint, HubCache::from_env().ok_or(PullError::NoCache)?)
        })
    }

    /// From this hub to this cache.
    pub fn new(endpoint: impl Into<String>, cache: HubCache) -> Self {
        Self {
            endpoint: endpoint.into(),
            cache,
            offline: false,
            timeout: Duration::from_secs(30),
            retries: 5,
            backoff: Duration::from_secs(1),
        }
    }
}

/// Downloads the files of a model: one of the [known](crate::KNOWN_MODELS) names, or any `publisher/name`.
///
/// Each file is checked against the checksum that the hub announces, and is in its place all at once or not at all. What an
/// earlier attempt left behind is taken up. Files that are there already are checked and stay. The cache is laid out as that of
/// Hugging Face's own programs, which find the model there, too.
///
/// # Errors
/// [`PullError`]; nothing that was there before is lost, except what has a wrong checksum.
pub fn pull(
    model: &str,
    options: &PullOptions,
    progress: &mut dyn FnMut(PullProgress<'_>),
) -> Result<Snapshot, PullError> {
    let repo = match KnownModel::find(model) {
        Some(known) => known.repo,
        None if is_repo(model) => model,
        None => {
            return Err(PullError::Unknown {
                name: model.to_owned(),
                nearest: KnownModel::nearest(model).map(|known| known.name),
            });
        }
    };
    if options.offline {
        return Err(PullError::Offline);
    }
    let endpoint = options.endpoint.trim_end_matches('/');
    let client = Client::new(endpoint, options.timeout, options.retries, options.backoff);
    let description = describe(&client, endpoint, repo)?;
    let revision = description.sha;
    let mut files: Vec<(&str, Announced)> = Vec::new();
    for file in FILES.iter().chain(OPTIONAL_FILES) {
        let url = format!("{endpoint}/{repo}/resolve/{revision}/{file}");
        if description
            .siblings
            .iter()
            .any(|sibling| sibling.rfilename == *file)
        {
            files.push((file, client.announce(&url)?));
        } else if FILES.contains(file) {
            return Err(PullError::Refused { url, status: 404 });
        }
    }
    let folder = options.cache.repo(repo);
    let (blobs, snapshot) = (
        folder.join("blobs"),
        folder.join("snapshots").join(&revision),
    );
    make_folder(&blobs)?;
    let total = files
        .iter()
        .map(|(_, file)| file.bytes)
        .fold(0, u64::saturating_add);
    let mut before = 0;
    for (name, file) in &files {
        let blob = blobs.join(file.checksum.digits());
        let mut arrived = |bytes: u64| {
            progress(PullProgress {
                file: name,
                bytes: before + bytes,
                total,
            });
        };
        client.fetch(file, &blob, &mut arrived)?;
        place(&blob, &snapshot.join(name), name)?;
        before = before.saturating_add(file.bytes);
    }
    // Last: who finds this finds all files.
    let refs = folder.join("refs");
    make_folder(&refs)?;
    replace(&refs.join(BRANCH), |path| fs::write(path, &revision))?;
    Ok(Snapshot {
        folder: snapshot,
        revision,
    })
}

/// What the hub says of a repository.
fn describe(client: &Client, endpoint: &str, repo: &str) -> Result<Description, PullError> {
    let url = format!("{endpoint}/api/models/{repo}/revision/{BRANCH}");
    let text = client.text(&url, MAX_DESCRIPTION)?;
    let description: Description = serde_json::from_str(&text).map_err(|error| {
        answer_fault(
            &url,
            "answer",
            "JSON with sha and siblings",
            &error.to_string(),
        )
    })?;
    if !is_commit(&description.sha) {
        return Err(answer_fault(&url, "sha", "a commit", &description.sha));
    }
    Ok(description)
}

/// Makes a file of the snapshot of a blob: a link that stays true when the cache moves, or a copy where there are none.
fn place(blob: &Path, path: &Path, name: &str) -> Result<(), PullError> {
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    let digits = blob.file_name().unwrap_or_default();
    // Out of snapshots/<commit>, and one more for each folder in the name.
    let mut up = Path::new("../..").to_owned();
    for _ in 1..Path::new(name).components().count() {
        up.push("..");
    }
    let to = up.join("blobs").join(digits);
    replace(path, |path| {
        link(&to, path).or_else(|_| fs::copy(blob, path).map(drop))
    })
}

#[cfg(unix)]
fn link(to: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(to, path)
}

#[cfg(not(unix))]
fn link(_to: &Path, _path: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Makes a file beside its place and moves it there.
fn replace(path: &Path, make: impl Fn(&Path) -> std::io::Result<()>) -> Result<(), PullError> {
    let io = |source| PullError::Io {
        path: path.to_owned(),
        source,
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let _ = fs::remove_file(&beside);
    make(&beside)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(io)
}

fn make_folder(path: &Path) -> Result<(), PullError> {
    fs::create_dir_all(path).map_err(|source| PullError::Io {
        path: path.to_owned(),
        source,
    })
}
