//! Embeddings of a service that speaks the `/v1/embeddings` protocol of OpenAI: hosted models, and many local servers.
//!
//! `options` says which service and how patiently, `client` asks it, `answer` reads what it says, `estimate` stands in
//! for the tokenizer, which is not known. The texts leave the machine: nothing here runs unless a [`RemoteEmbedder`]
//! is made.

mod answer;
mod client;
mod error;
mod estimate;
mod options;

use std::time::Duration;

use crate::coverage;
use crate::embedder::{Embedder, Role};
use crate::error::{Error, Result};
use crate::spec::{EmbedSpec, Pooling, Precision};
use client::Client;
pub use error::ServiceError;
pub use options::{ApiKey, RemoteOptions};

/// What is embedded to learn the number of dimensions.
const PROBE: &str = "dimensions";

/// A model behind `/v1/embeddings`.
///
/// Texts are sent in batches; a request that fails for a reason that passes (429, 5xx, a broken connection) is sent
/// again, later each time. Vectors are brought to length 1. How many tokens a text has is estimated.
///
/// ```no_run
/// use mv2_embed::{ApiKey, Embedder, RemoteEmbedder, RemoteOptions, Role};
///
/// let model = RemoteEmbedder::connect(RemoteOptions {
///     key: Some(ApiKey::from_env("OPENAI_API_KEY")?),
///     ..RemoteOptions::new("https://api.openai.com/v1", "text-embedding-3-small")
/// })?;
/// let mut vectors = Vec::new();
/// model.embed(&["a lighthouse by the sea"], Role::Passage, &mut vectors)?;
/// # Ok::<(), mv2_embed::Error>(())
/// ```
#[derive(Debug)]
pub struct RemoteEmbedder {
    spec: EmbedSpec,
    client: Client,
    batch: usize,
    latin_only: bool,
}

impl RemoteEmbedder {
    /// Makes ready to ask a service. If `options.dims` is `None` the service is asked once, to count them.
    ///
    /// # Errors
    /// [`Error::Failed`] with a [`ServiceError`] inside: the address is none, a key would go over the network in clear
    /// text, or the service did not answer the question for the dimensions.
    pub fn connect(options: RemoteOptions) -> Result<Self> {
        let batch = options.batch.max(1);
        let latin_only = options.latin_only;
        let mut spec = EmbedSpec {
            name: options.model.clone(),
            revision: options.revision.clone(),
            dims: options.dims.unwrap_or(0),
            max_tokens: options.max_tokens.max(1),
            weights: [0; 32],
            pooling: Pooling::Unknown,
            query_prefix: options.query_prefix.clone(),
            passage_prefix: options.passage_prefix.clone(),
            normalized: true,
            precision: Precision::Float,
        };
        let fail = |error| failed(&options.model, error);
        let client = Client::new(&options).map_err(fail)?;
        if options.dims.is_none() {
            let vectors = client.ask(&[PROBE.to_owned()], None).map_err(fail)?;
            // A vector of more dimensions than a 32-bit number holds has not fitted the limit of an answer.
            spec.dims = vectors.len() as u32;
        }
        Ok(Self {
            spec,
            client,
            batch,
            latin_only,
        })
    }

    /// What is sent for a text: the prefix of the role, and as much of the text as the model reads.
    fn input(&self, text: &str, role: Role) -> String {
        let (_, end) = estimate::tokens(text, self.spec.max_tokens as usize);
        format!("{}{}", self.spec.prefix(role), &text[..end])
    }
}

impl Embedder for RemoteEmbedder {
    fn spec(&self) -> &EmbedSpec {
        &self.spec
    }

    fn embed(&self, texts: &[&str], role: Role, out: &mut Vec<f32>) -> Result<()> {
        // Before the first request: what is refused here must not have cost one.
        for (index, text) in texts.iter().enumerate() {
            self.check(text)
                .map_err(|reason| Error::NoVector { index, reason })?;
        }
        let before = out.len();
        for batch in texts.chunks(self.batch) {
            let inputs: Vec<String> = batch.iter().map(|text| self.input(text, role)).collect();
            match self.client.ask(&inputs, Some(self.spec.dims as usize)) {
                Ok(vectors) => out.extend(vectors),
                Err(error) => {
                    out.truncate(before);
                    return Err(failed(&self.spec.name, error));
                }
            }
        }
        Ok(())
    }

    fn coverage(&self, text: &str) -> f32 {
        match self.latin_only {
            true => coverage::latin(text),
            false => f32::from(u8::from(text.chars().any(char::is_alphanumeric))),
        }
    }

    /// An estimate: one for four letters of a word in Latin script, one for any other letter or sign.
    fn token_count(&self, text: &str) -> usize {
        estimate::tokens(text, usize::MAX).0
    }
}

fn failed(model: &str, error: ServiceError) -> Error {
    Error::Failed {
        model: model.to_owned(),
        source: Box::new(error),
    }
}

/// How long to wait before the attempt `attempt` (the first that is repeated is 1), if the service does not say.
fn backoff(first: Duration, attempt: u32) -> Duration {
    first.saturating_mul(1 << attempt.saturating_sub(1).min(16))
}
