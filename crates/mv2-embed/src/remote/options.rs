//! Which service, which model, how patiently.

use std::fmt;
use std::time::Duration;

use super::error::ServiceError;
use super::failed;
use crate::error::Result;

/// Which service is asked for vectors, and how.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// The address up to and without `/embeddings`, such as `http://localhost:11434/v1`.
    pub url: String,
    /// The model's name, as the service knows it.
    pub model: String,
    /// Which revision of the model it is, if it matters: vectors of two revisions are never compared.
    pub revision: String,
    /// What lets in. It is sent over TLS, or to this machine.
    pub key: Option<ApiKey>,
    /// Numbers in a vector. `None`: the service is asked once.
    pub dims: Option<u32>,
    /// Whether the service is told `dims`, for models that make shorter vectors on request.
    pub send_dims: bool,
    /// Tokens of a text that are sent, as estimated.
    pub max_tokens: u32,
    /// Texts in one request.
    pub batch: usize,
    /// What is put before a query.
    pub query_prefix: String,
    /// What is put before a passage.
    pub passage_prefix: String,
    /// Whether the model knows Latin script alone, as most English ones do. Texts in other scripts then get no vector.
    pub latin_only: bool,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often a request is sent again that failed for a reason that passes.
    pub retries: u32,
    /// How long to wait before the first of them; the wait doubles each time. A service that says how long is heeded,
    /// up to a minute.
    pub backoff: Duration,
}

/// The environment variable with the key for a service that is named by an address alone.
const KEY_VARIABLE: &str = "MV2_EMBEDDER_KEY";

impl RemoteOptions {
    /// The service and the model of an address such as `http://localhost:11434/v1#nomic-embed-text`: what stands behind the first
    /// `#` is the model's name as it is. The key is that of the environment variable `MV2_EMBEDDER_KEY`, if that is set and not empty.
    ///
    /// # Errors
    /// [`Error::Failed`](crate::Error::Failed) with a [`ServiceError`] inside if no model is named, or if the variable holds what no
    /// header may.
    ///
    /// ```
    /// let options = mv2_embed::RemoteOptions::at("http://localhost:11434/v1#nomic-embed-text")?;
    /// assert_eq!((&*options.url, &*options.model), ("http://localhost:11434/v1", "nomic-embed-text"));
    /// # Ok::<(), mv2_embed::Error>(())
    /// ```
    pub fn at(address: &str) -> Result<Self> {
        let Some((url, model)) = address
            .split_once('#')
            .filter(|(_, model)| !model.is_empty())
        else {
            // What stands before an @ is a password, perhaps.
            let url = address.rsplit('@').next().unwrap_or_default();
            return Err(failed(
                "remote",
                ServiceError::NoModel {
                    url: url.to_owned(),
                },
            ));
        };
        let has_key = std::env::var_os(KEY_VARIABLE).is_some_and(|key| !key.is_empty());
        Ok(Self {
            key: has_key
                .then(|| ApiKey::from_env(KEY_VARIABLE))
                .transpose()?,
            ..Self::new(url, model)
        })
    }

    /// 512 tokens, 64 texts in a request, 60 seconds for an attempt, four more attempts from half a second on.
    pub fn new(url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            model: model.into(),
            revision: String::new(),
            key: None,
            dims: None,
            send_dims: false,
            max_tokens: 512,
            batch: 64,
            query_prefix: String::new(),
            passage_prefix: String::new(),
            latin_only: false,
            timeout: Duration::from_secs(60),
            retries: 4,
            backoff: Duration::from_millis(500),
        }
    }
}

/// A secret that a service asks for. It is never printed, and taken out of what the service says.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key as it is, without the blanks around it.
    ///
    /// # Errors
    /// [`Error::Failed`](crate::Error::Failed) if it is empty or holds what no header may.
    pub fn new(key: &str) -> Result<Self> {
        Self::from_source(key, "the key")
    }

    /// The key that an environment variable holds.
    ///
    /// # Errors
    /// [`Error::Failed`](crate::Error::Failed) if the variable is not set, empty, or holds what no header may.
    pub fn from_env(variable: &str) -> Result<Self> {
        let key = std::env::var(variable).unwrap_or_default();
        Self::from_source(&key, &format!("the environment variable {variable}"))
    }

    fn from_source(key: &str, source: &str) -> Result<Self> {
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let source = source.to_owned();
            return Err(failed(
                "remote",
                ServiceError::Key {
                    source_of_key: source,
                },
            ));
        }
        Ok(Self(key.to_owned()))
    }

    /// The value of the header `Authorization`.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// A text without the key in it.
    pub(super) fn hide(&self, text: &str) -> String {
        text.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([hidden])")
    }
}
