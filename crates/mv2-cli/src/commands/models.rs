//! `mv2 models [list|pull|path] [MODEL]`.

use std::path::Path;

use mv2::embed::{self, BUILT_IN, HubCache, KNOWN_MODELS, KnownModel, Snapshot};

use crate::cli::{ModelsAction, ModelsArgs};
use crate::exit::{self, Exit, Failure};
use crate::output::{Output, human, json};

/// The build that has all.
const FULL: &str = "cargo install mv2-cli --features full";

pub(super) fn run(args: &ModelsArgs, output: &mut Output) -> anyhow::Result<Exit> {
    match (args.action, &args.model) {
        (ModelsAction::Pull, Some(model)) => pull(model, output),
        (ModelsAction::Path, Some(model)) => path(model, output),
        (_, None) => list(output),
        (ModelsAction::List, Some(_)) => {
            Err(Failure::usage("the list is of all models and takes no name").into())
        }
    }
}

fn list(output: &mut Output) -> anyhow::Result<Exit> {
    let cache = HubCache::from_env();
    let mut models = vec![built_in()];
    models.extend(KNOWN_MODELS.iter().map(|model| {
        let here = cache
            .as_ref()
            .and_then(|cache| cache.find_model(model.repo));
        known(model, here)
    }));
    if output.is_json() {
        let v = json::VERSION;
        output.json(&json::Models { v, models })?;
        return Ok(Exit::Done);
    }
    let number = |number: Option<u32>| number.map_or_else(String::new, |n| n.to_string());
    let width = models.iter().map(|model| model.name.len()).max();
    let width = width.unwrap_or_default();
    for model in &models {
        let state = match (&model.path, model.bytes) {
            (Some(_), _) => "here".to_owned(),
            (None, Some(bytes)) => format!("{} to download", human::bytes(bytes)),
            (None, None) => "built in".to_owned(),
        };
        output.line(format_args!(
            "{:<width$} {:>4} dimensions {:>5} tokens  {state:<21} {}",
            model.name,
            number(model.dims),
            number(model.max_tokens),
            model.about.unwrap_or_default()
        ))?;
    }
    if !cfg!(feature = "full") {
        output.flush()?;
        output.message(format_args!(
            "note: this build runs {BUILT_IN} alone; for the others: {FULL}"
        ));
    }
    Ok(Exit::Done)
}

fn path(model: &str, output: &mut Output) -> anyhow::Result<Exit> {
    let folder = match embed::find(model) {
        Ok(folder) => folder,
        Err(error @ embed::Error::NotHere { .. }) => {
            let hint = format!("mv2 models pull {model}");
            let failure = Failure::new("model_not_here", error.to_string()).hint(hint);
            output.flush()?;
            exit::report(&failure.into(), output);
            return Ok(Exit::Nothing);
        }
        Err(error) => return Err(unknown(&error.to_string())),
    };
    say(model, &folder, None, output)
}

#[cfg(feature = "full")]
fn pull(model: &str, output: &mut Output) -> anyhow::Result<Exit> {
    use crate::output::progress::Download;
    use mv2::embed::{PullError, PullOptions};

    if model == BUILT_IN {
        return Err(Failure::usage(format!("{BUILT_IN} is in the program")).into());
    }
    let options = PullOptions::from_env()?;
    if !options.offline {
        let (from, to) = (&options.endpoint, options.cache.root().display());
        output.message(format_args!("downloading {model} from {from} to {to}"));
    }
    crate::interrupt::rewriting();
    let bar = Download::new(output.draws_progress());
    let pulled = embed::pull(model, &options, &mut |at| {
        bar.set(at.file, at.bytes, at.total)
    });
    drop(bar);
    match pulled {
        Ok(snapshot) => say(model, &snapshot.folder, Some(snapshot.revision), output),
        Err(error @ PullError::Unknown { .. }) => Err(unknown(&error.to_string())),
        Err(error @ PullError::Offline) => Err(Failure::new("offline", error.to_string())
            .hint("unset HF_HUB_OFFLINE for this one command")
            .into()),
        Err(error) => {
            let hint = match &error {
                PullError::Unreachable { .. }
                | PullError::Checksum { .. }
                | PullError::Busy { .. } => {
                    "run it again; what arrived is kept, and it goes on from there"
                }
                PullError::Refused { status: 404, .. } => {
                    "is it a model with config.json, tokenizer.json and model.safetensors?"
                }
                PullError::Refused {
                    status: 401 | 403, ..
                } => "models behind a login cannot be downloaded by mv2",
                _ => "mv2 models list",
            };
            let failure = Failure::new("download_failed", causes(&error)).hint(hint);
            Err(failure.into())
        }
    }
}

/// An error and what caused it, in a line.
#[cfg(feature = "full")]
fn causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", causes(source)),
        None => error.to_string(),
    }
}

#[cfg(not(feature = "full"))]
fn pull(model: &str, _output: &mut Output) -> anyhow::Result<Exit> {
    let message = format!("this build cannot download {model}, nor run it");
    Err(Failure::new("unsupported", message).hint(FULL).into())
}

/// Says where a model is.
fn say(
    model: &str,
    folder: &Path,
    revision: Option<String>,
    output: &mut Output,
) -> anyhow::Result<Exit> {
    let path = folder.display().to_string();
    if !output.is_json() {
        output.line(human::clean_line(&path))?;
        return Ok(Exit::Done);
    }
    let known = KnownModel::find(model).map(|model| known(model, None));
    let mut described = known.unwrap_or(json::Model {
        name: model,
        repo: None,
        about: None,
        dims: None,
        max_tokens: None,
        bytes: None,
        path: None,
        revision: None,
        usable: cfg!(feature = "full"),
    });
    // A snapshot lies in a folder with the name of its commit.
    let above = folder.parent().filter(|above| above.ends_with("snapshots"));
    let commit = above
        .and(folder.file_name())
        .map(|name| name.to_string_lossy().into_owned());
    described.revision = revision.or(commit);
    described.path = Some(path);
    output.json(&json::Models {
        v: json::VERSION,
        models: vec![described],
    })?;
    Ok(Exit::Done)
}

fn built_in() -> json::Model<'static> {
    json::Model {
        name: BUILT_IN,
        repo: None,
        about: Some("English words, needs nothing"),
        dims: Some(256),
        max_tokens: Some(256),
        bytes: None,
        path: None,
        revision: None,
        usable: true,
    }
}

fn known(model: &KnownModel, here: Option<Snapshot>) -> json::Model<'static> {
    let (path, revision) = match here {
        Some(here) => (Some(here.folder.display().to_string()), Some(here.revision)),
        None => (None, None),
    };
    json::Model {
        name: model.name,
        repo: Some(model.repo),
        about: Some(model.about),
        dims: Some(model.dims),
        max_tokens: Some(model.max_tokens),
        bytes: Some(model.bytes),
        path,
        revision,
        usable: cfg!(feature = "full"),
    }
}

fn unknown(message: &str) -> anyhow::Error {
    Failure::new("unknown_model", message)
        .hint("`mv2 models` lists those that have a name; any other is publisher/name or a folder")
        .into()
}
