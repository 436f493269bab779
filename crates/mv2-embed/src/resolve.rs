//! From the name of a model to its folder, and to an embedder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::embedder::Embedder;
use crate::error::{Error, Result};
use crate::hub::HubCache;
use crate::known::KnownModel;

/// The name of the built-in model.
pub const BUILT_IN: &str = "mv2-static";

/// Makes ready the embedder of a name: [`BUILT_IN`], one of the [known](crate::KNOWN_MODELS) models, another publisher's as
/// `publisher/name`, a folder, or a model of a service at an address, as `http://localhost:11434/v1#nomic-embed-text`. Nothing is
/// downloaded. The name that a memory keeps with its vectors is such a name, too, unless the model was in a folder; of a service it
/// is the model alone, so that vectors do not depend on where it runs.
///
/// A service is sent the texts, and the key in the environment variable `MV2_EMBEDDER_KEY`, if there is one. It is asked at once how
/// many dimensions its vectors have.
///
/// ```
/// # #[cfg(feature = "static")] {
/// let embedder = mv2_embed::open(mv2_embed::BUILT_IN)?;
/// assert_eq!(embedder.spec().dims, 256);
/// # }
/// # Ok::<(), mv2_embed::Error>(())
/// ```
///
/// # Errors
/// [`Error::UnknownModel`] for what is none of these, [`Error::NotHere`] for a model that is not on this machine,
/// [`Error::NotBuiltIn`] where this build cannot run it or ask for it, what is wrong with its files, and [`Error::Failed`] for what a
/// service answers.
pub fn open(model: &str) -> Result<Arc<dyn Embedder>> {
    if is_address(model) {
        return service(model);
    }
    open_found(model, find)
}

/// As [`open`], for a name that stands in a file: it never means a folder or a service, which the file's author would choose.
///
/// # Errors
/// As [`open`].
pub fn open_by_name(model: &str) -> Result<Arc<dyn Embedder>> {
    open_found(model, |model| {
        find_in(model, Folders::Never, HubCache::from_env().as_ref())
    })
}

fn open_found(model: &str, find: impl Fn(&str) -> Result<PathBuf>) -> Result<Arc<dyn Embedder>> {
    if model.eq_ignore_ascii_case(BUILT_IN) {
        return built_in();
    }
    match find(model) {
        Ok(folder) => transformer(model, &folder),
        // Downloading it would not help here.
        Err(Error::NotHere { .. }) if !cfg!(feature = "candle") => not_built_in(model, "candle"),
        Err(error) => Err(error),
    }
}

/// The folder of a model that is not built in: the one that is named, or the one in the [cache](HubCache::from_env) of the hub.
/// A folder is not looked into.
///
/// # Errors
/// [`Error::UnknownModel`] for what is neither a name nor a folder, [`Error::NotHere`] for a model that is not in the cache.
pub fn find(model: &str) -> Result<PathBuf> {
    find_in(model, Folders::Too, HubCache::from_env().as_ref())
}

/// Whether what is written as a folder may be one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folders {
    Too,
    Never,
}

fn find_in(model: &str, folders: Folders, cache: Option<&HubCache>) -> Result<PathBuf> {
    let repo = match KnownModel::find(model) {
        Some(known) => known.repo,
        None if folders == Folders::Too && is_path(model) => return Ok(PathBuf::from(model)),
        None if is_repo(model) => model,
        None => {
            return Err(Error::UnknownModel {
                name: model.to_owned(),
                nearest: KnownModel::nearest(model).map(|known| known.name),
            });
        }
    };
    let found = cache.and_then(|cache| cache.find_model(repo));
    match found {
        Some(snapshot) => Ok(snapshot.folder),
        None => Err(Error::NotHere {
            model: repo.to_owned(),
            looked_in: cache.map_or_else(PathBuf::new, |cache| cache.repo(repo)),
        }),
    }
}

/// Whether it is written as publisher/name, in the letters that the hub allows.
pub(crate) fn is_repo(model: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed);
    model
        .split_once('/')
        .is_some_and(|(publisher, model)| name(publisher) && name(model))
}

/// What is a folder, or is written as no name could be.
fn is_path(model: &str) -> bool {
    let path = Path::new(model);
    path.is_absolute() || model.starts_with('.') || path.is_dir() || path.components().count() > 2
}

#[cfg(feature = "static")]
fn built_in() -> Result<Arc<dyn Embedder>> {
    Ok(Arc::new(crate::StaticEmbedder::new()?))
}

#[cfg(not(feature = "static"))]
fn built_in() -> Result<Arc<dyn Embedder>> {
    not_built_in(BUILT_IN, "static")
}

#[cfg(feature = "candle")]
fn transformer(_name: &str, folder: &Path) -> Result<Arc<dyn Embedder>> {
    Ok(Arc::new(crate::BertEmbedder::from_folder(folder)?))
}

#[cfg(not(feature = "candle"))]
fn transformer(name: &str, _folder: &Path) -> Result<Arc<dyn Embedder>> {
    not_built_in(name, "candle")
}

/// Whether it is written as the address of a service.
fn is_address(model: &str) -> bool {
    let scheme = model.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        ["http", "https"]
            .iter()
            .any(|of| scheme.eq_ignore_ascii_case(of))
    })
}

#[cfg(feature = "remote")]
fn service(address: &str) -> Result<Arc<dyn Embedder>> {
    let options = crate::RemoteOptions::at(address)?;
    Ok(Arc::new(crate::RemoteEmbedder::connect(options)?))
}

#[cfg(not(feature = "remote"))]
fn service(address: &str) -> Result<Arc<dyn Embedder>> {
    not_built_in(address, "remote")
}

fn not_built_in(model: &str, feature: &'static str) -> Result<Arc<dyn Embedder>> {
    Err(Error::NotBuiltIn {
        model: model.to_owned(),
        feature,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::FILES;

    #[test]
    fn models_are_found_by_name_and_by_folder() {
        let root = tempfile::tempdir().unwrap();
        let cache = HubCache::at(root.path());
        let find = |model: &str| find_in(model, Folders::Too, Some(&cache));
        let error = find("bge-small-en-v1.5").unwrap_err();
        assert!(matches!(error, Error::NotHere { .. }), "{error}");
        let folder = cache
            .repo("BAAI/bge-small-en-v1.5")
            .join("snapshots/c0ffee");
        std::fs::create_dir_all(&folder).unwrap();
        for file in FILES {
            std::fs::write(folder.join(file), "").unwrap();
        }
        assert_eq!(find("bge-small-en-v1.5").unwrap(), folder);
        assert_eq!(find("baai/BGE-small-en-v1.5").unwrap(), folder);
        assert_eq!(find("./mine").unwrap(), Path::new("./mine"));
        assert_eq!(find(root.path().to_str().unwrap()).unwrap(), root.path());
        assert!(matches!(find("else/one"), Err(Error::NotHere { .. })));
        for folder in ["./mine", root.path().to_str().unwrap()] {
            let named = find_in(folder, Folders::Never, Some(&cache));
            assert!(matches!(named, Err(Error::UnknownModel { .. })), "{folder}");
        }
        let error = find("bge-smal-en").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("did you mean bge-small-en-v1.5?"),
            "{error}"
        );
        for name in ["", "what is this", "a/b c", "a/.."] {
            assert!(
                matches!(find(name), Err(Error::UnknownModel { .. })),
                "{name}"
            );
        }
        assert!(find_in("gte-large", Folders::Too, None).is_err());
    }

    #[test]
    fn a_name_in_a_file_is_no_address() {
        let address = "http://127.0.0.1:9/v1#small-model";
        assert!(is_address(address) && is_address("HTTPS://a#b"));
        assert!(!is_address("ftp://a#b") && !is_address("http:a") && !is_address("a/b"));
        assert!(matches!(
            open_by_name(address),
            Err(Error::UnknownModel { .. })
        ));
    }

    #[cfg(not(feature = "remote"))]
    #[test]
    fn an_address_names_the_feature_that_it_needs() {
        let error = open("http://127.0.0.1:9/v1#small-model").err().unwrap();
        assert!(
            error.to_string().ends_with("without the feature remote"),
            "{error}"
        );
    }
}
