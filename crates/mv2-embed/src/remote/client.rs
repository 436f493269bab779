//! Asks a service, again if it must be.

use std::time::Duration;

use serde_json::json;
use ureq::Agent;
use ureq::http::{Response, Uri, header};

use super::error::ServiceError;
use super::options::{ApiKey, RemoteOptions};
use super::{answer, backoff};

/// Bytes that an answer may have beyond those of its numbers.
const ANSWER_BASE: u64 = 1 << 20;
/// Bytes that a number may have, with comma and blanks. What is printed in full has about 20.
const ANSWER_NUMBER: u64 = 64;
/// Numbers that a vector may have. Nothing known has as many.
const MAX_DIMS: u64 = 1 << 16;
/// Bytes of a refusal that are read.
const REFUSAL: u64 = 64 << 10;
/// Characters of a refusal that are shown.
const MESSAGE_CHARS: usize = 300;
/// A service that wants to be left alone for longer is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    url: String,
    model: String,
    key: Option<ApiKey>,
    send_dims: Option<u32>,
    retries: u32,
    backoff: Duration,
}

/// What one attempt met that did not give vectors.
enum Miss {
    /// It will be so next time.
    Final(ServiceError),
    /// It may pass, and how long the service asks to wait.
    Passing(ServiceError, Option<Duration>),
}

impl Client {
    pub(super) fn new(options: &RemoteOptions) -> Result<Self, ServiceError> {
        let url = format!("{}/embeddings", options.url.trim_end_matches('/'));
        let parsed: Option<Uri> = url.parse().ok();
        let parts = parsed
            .as_ref()
            .and_then(|uri| Some((uri.scheme_str()?, uri.host()?, uri.authority()?)));
        let (secure, host) = match parts {
            Some(("https", host, whole)) if !whole.as_str().contains('@') => (true, host),
            Some(("http", host, whole)) if !whole.as_str().contains('@') => (false, host),
            // What stands before an @ is a password, perhaps.
            _ => {
                let url = options
                    .url
                    .rsplit('@')
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                return Err(ServiceError::Url { url });
            }
        };
        let here = is_this_machine(host);
        if options.key.is_some() && !secure && !here {
            return Err(ServiceError::KeyInClear { url });
        }
        let config = Agent::config_builder()
            .timeout_global(Some(options.timeout))
            // The key goes to the service that was named, and to no other.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("mv2/", env!("CARGO_PKG_VERSION")));
        let config = if here { config.proxy(None) } else { config };
        Ok(Self {
            agent: config.build().new_agent(),
            url,
            model: options.model.clone(),
            key: options.key.clone(),
            send_dims: options.dims.filter(|_| options.send_dims),
            retries: options.retries,
            backoff: options.backoff,
        })
    }

    /// The vectors of texts, one behind the other, of length 1. With `dims` each must have so many numbers.
    pub(super) fn ask(
        &self,
        texts: &[String],
        dims: Option<usize>,
    ) -> Result<Vec<f32>, ServiceError> {
        let mut body = json!({ "model": self.model, "input": texts, "encoding_format": "float" });
        if let Some(dims) = self.send_dims {
            body["dimensions"] = dims.into();
        }
        let body = body.to_string();
        let mut attempt = 1;
        loop {
            let (error, wait) = match self.attempt(&body, texts.len(), dims, attempt) {
                Ok(vectors) => return Ok(vectors),
                Err(Miss::Final(error)) => return Err(error),
                Err(Miss::Passing(error, wait)) => (error, wait),
            };
            let wait = wait.unwrap_or_else(|| backoff(self.backoff, attempt).min(LONGEST_WAIT));
            if attempt > self.retries || wait > LONGEST_WAIT {
                return Err(error);
            }
            std::thread::sleep(wait);
            attempt += 1;
        }
    }

    fn attempt(
        &self,
        body: &str,
        texts: usize,
        dims: Option<usize>,
        attempts: u32,
    ) -> Result<Vec<f32>, Miss> {
        let unreachable = |error: ureq::Error| {
            let passes = passes(&error);
            let error = ServiceError::Unreachable {
                url: self.url.clone(),
                attempts,
                source: Box::new(error),
            };
            match passes {
                true => Miss::Passing(error, None),
                false => Miss::Final(error),
            }
        };
        let mut request = self
            .agent
            .post(&self.url)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, key.header());
        }
        let mut response = request.send(body).map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(self.refusal(&mut response, attempts));
        }
        let numbers = (texts as u64).saturating_mul(dims.map_or(MAX_DIMS, |dims| dims as u64));
        let limit = ANSWER_BASE.saturating_add(numbers.saturating_mul(ANSWER_NUMBER));
        let read = response.body_mut().with_config().limit(limit).read_to_vec();
        let answer = match read {
            Ok(answer) => answer,
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                let found = "more".to_owned();
                return Err(Miss::Final(self.fault((
                    "answer".to_owned(),
                    format!("at most {limit} bytes"),
                    found,
                ))));
            }
            Err(error) => return Err(unreachable(error)),
        };
        answer::vectors(&answer, texts, dims).map_err(|fault| Miss::Final(self.fault(fault)))
    }

    fn refusal(&self, response: &mut Response<ureq::Body>, attempts: u32) -> Miss {
        let status = response.status().as_u16();
        let wait = response.headers().get(header::RETRY_AFTER);
        let wait = wait.and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
        let said = response
            .body_mut()
            .with_config()
            .limit(REFUSAL)
            .lossy_utf8(true)
            .read_to_string();
        let said = said.unwrap_or_default();
        let error = ServiceError::Refused {
            url: self.url.clone(),
            status,
            attempts,
            message: self.shown(&said),
        };
        match status {
            408 | 429 | 500..=599 => Miss::Passing(error, wait.map(Duration::from_secs)),
            _ => Miss::Final(error),
        }
    }

    fn fault(&self, (what, expected, found): answer::Fault) -> ServiceError {
        ServiceError::Answer {
            url: self.url.clone(),
            what,
            expected,
            found: self.shown(&found),
        }
    }

    /// The start of what a service said, in one line and without the key.
    fn shown(&self, said: &str) -> String {
        let said = match &self.key {
            Some(key) => key.hide(said),
            None => said.to_owned(),
        };
        let line: Vec<&str> = said.split_whitespace().collect();
        let line = line.join(" ");
        line.chars()
            .filter(|c| !c.is_control())
            .take(MESSAGE_CHARS)
            .collect()
    }
}

/// Whether what kept an answer away may be gone next time.
fn passes(error: &ureq::Error) -> bool {
    matches!(
        error,
        ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_)
    )
}

/// Whether a host is the machine that asks.
fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}
