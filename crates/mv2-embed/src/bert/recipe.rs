//! How a model is to be used: pooling, length and prefixes, from the table of known models or from the files that
//! sentence-transformers puts beside the weights.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::fault::Fault;
use crate::error::Result;
use crate::known::KnownModel;
use crate::spec::Pooling;

/// How a model is to be used.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recipe {
    pub(super) pooling: Pooling,
    /// `None`: as many as the model can.
    pub(super) max_tokens: Option<u32>,
    pub(super) query_prefix: String,
    pub(super) passage_prefix: String,
}

/// A step of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Sentences {
    max_seq_length: Option<u32>,
}

#[derive(Deserialize)]
struct TokenizerConfig {
    /// Where nobody knew, a number of thirty digits.
    model_max_length: Option<f64>,
}

impl Recipe {
    /// The recipe of a known model.
    pub(super) fn known(model: &KnownModel) -> Self {
        Self {
            pooling: model.pooling,
            max_tokens: Some(model.max_tokens),
            query_prefix: model.query_prefix.to_owned(),
            passage_prefix: model.passage_prefix.to_owned(),
        }
    }

    /// The recipe of the model in a folder. Where no file says otherwise: the mean over all tokens, as many as the model can
    /// read, no prefixes.
    pub(super) fn of_folder(model: &str, folder: &Path) -> Result<Self> {
        let mut recipe = Self {
            pooling: Pooling::Mean,
            max_tokens: None,
            query_prefix: String::new(),
            passage_prefix: String::new(),
        };
        let files = Files { model, folder };
        let (path, modules) = files.read::<Vec<Module>>("modules.json")?;
        let mut pooling = PathBuf::from("1_Pooling");
        for module in modules.unwrap_or_default() {
            // "sentence_transformers.models.Pooling"; later versions have more parts.
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" | "Normalize" => {}
                "Pooling" => pooling = PathBuf::from(module.path),
                _ => {
                    let expected = "Transformer, Pooling and Normalize";
                    return Err(Fault::new("type", expected, module.kind).of(model, &path));
                }
            }
        }
        let (path, json) = files.read::<Value>(pooling.join("config.json"))?;
        if let Some(json) = json {
            recipe.pooling = read_pooling(&json).map_err(|fault| fault.of(model, &path))?;
        }
        let (_, json) = files.read::<Sentences>("sentence_bert_config.json")?;
        recipe.max_tokens = json.and_then(|json| json.max_seq_length);
        if recipe.max_tokens.is_none() {
            let (_, json) = files.read::<TokenizerConfig>("tokenizer_config.json")?;
            let length = json.and_then(|json| json.model_max_length);
            recipe.max_tokens = length.map(|length| length.clamp(1.0, f64::from(u32::MAX)) as u32);
        }
        let (_, json) = files.read::<Value>("config_sentence_transformers.json")?;
        let prompt = |names: &[&str]| {
            let prompts = json.as_ref().and_then(|json| json.get("prompts"));
            let found = names.iter().find_map(|name| prompts?.get(name)?.as_str());
            found.unwrap_or_default().to_owned()
        };
        recipe.query_prefix = prompt(&["query"]);
        recipe.passage_prefix = prompt(&["document", "passage", "corpus"]);
        Ok(recipe)
    }
}

/// The files of a model that need not be there.
struct Files<'a> {
    model: &'a str,
    folder: &'a Path,
}

impl Files<'_> {
    fn read<T: for<'a> Deserialize<'a>>(
        &self,
        name: impl AsRef<Path>,
    ) -> Result<(PathBuf, Option<T>)> {
        let path = self.folder.join(name);
        let json = match std::fs::read(&path) {
            Ok(json) => json,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((path, None)),
            Err(error) => return Err(Fault::io(error).of(self.model, &path)),
        };
        match serde_json::from_slice(&json) {
            Ok(value) => Ok((path, Some(value))),
            Err(error) => Err(Fault::new("content", "JSON", error).of(self.model, &path)),
        }
    }
}

/// `pooling_mode` names the way, or of several fields `pooling_mode_...` the one that is true does.
fn read_pooling(json: &Value) -> Result<Pooling, Fault> {
    let named = json.get("pooling_mode").and_then(Value::as_str);
    let fields = json.as_object().into_iter().flatten();
    let set = fields
        .filter(|(_, value)| **value == Value::Bool(true))
        .filter_map(|(field, _)| field.strip_prefix("pooling_mode_"))
        .map(|mode| mode.trim_end_matches("_tokens").trim_end_matches("_token"));
    let modes: Vec<&str> = match named {
        Some(mode) => vec![mode],
        None => set.collect(),
    };
    match modes[..] {
        ["cls"] => Ok(Pooling::Cls),
        ["mean"] => Ok(Pooling::Mean),
        ["lasttoken"] => Ok(Pooling::Last),
        _ => {
            let expected = "one of cls, mean and lasttoken";
            Err(Fault::new("pooling_mode", expected, format!("{modes:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_ways_to_write_the_pooling_are_read() {
        let read = |json: Value| read_pooling(&json).ok();
        assert_eq!(read(json!({"pooling_mode": "mean"})), Some(Pooling::Mean));
        assert_eq!(
            read(
                json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false, "include_prompt": true})
            ),
            Some(Pooling::Cls)
        );
        assert_eq!(
            read(json!({"pooling_mode_mean_tokens": true})),
            Some(Pooling::Mean)
        );
        assert_eq!(
            read(json!({"pooling_mode_lasttoken": true})),
            Some(Pooling::Last)
        );
        assert_eq!(read(json!({"pooling_mode_max_tokens": true})), None);
        assert_eq!(
            read(json!({"pooling_mode_mean_sqrt_len_tokens": true})),
            None
        );
        assert_eq!(
            read(json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true})),
            None
        );
        assert_eq!(read(json!({})), None);
    }

    #[test]
    fn files_beside_the_weights_say_how_a_model_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let read = || Recipe::of_folder("m", folder.path());
        assert_eq!(read().unwrap().pooling, Pooling::Mean);
        assert_eq!(read().unwrap().max_tokens, None);
        write("tokenizer_config.json", r#"{"model_max_length":96}"#);
        assert_eq!(read().unwrap().max_tokens, Some(96));
        std::fs::create_dir(folder.path().join("pool")).unwrap();
        write(
            "modules.json",
            r#"[{"path":"","type":"sentence_transformers.models.Transformer"},
            {"path":"pool","type":"sentence_transformers.models.Pooling"}]"#,
        );
        write("pool/config.json", r#"{"pooling_mode_cls_token":true}"#);
        write("sentence_bert_config.json", r#"{"max_seq_length":128}"#);
        write(
            "config_sentence_transformers.json",
            r#"{"prompts":{"query":"q: ","passage":"p: "}}"#,
        );
        let recipe = read().unwrap();
        assert_eq!(recipe.pooling, Pooling::Cls);
        assert_eq!(recipe.max_tokens, Some(128));
        assert_eq!(
            (&recipe.query_prefix[..], &recipe.passage_prefix[..]),
            ("q: ", "p: ")
        );
        write(
            "modules.json",
            r#"[{"path":"2_Dense","type":"sentence_transformers.models.Dense"}]"#,
        );
        let message = read().unwrap_err().to_string();
        assert!(
            message.contains("modules.json") && message.contains("Dense"),
            "{message}"
        );
        write("modules.json", "[");
        assert!(read().unwrap_err().to_string().contains("modules.json"));
    }
}
