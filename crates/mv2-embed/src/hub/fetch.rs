//! One file, from an address to a place in the cache: in pieces if it must be, checked, and there all at once.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Agent;
use ureq::http::{Response, StatusCode, Uri, header};

use super::checksum::{Checksum, Hasher};
use super::error::PullError;
use crate::error::BoxError;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 16;
/// Redirections that are followed before the file is announced.
const HOPS: usize = 5;

/// A file as the hub announces it.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    pub(super) url: String,
    pub(super) checksum: Checksum,
    pub(super) bytes: u64,
}

/// What asks, and how patiently.
pub(super) struct Client {
    /// Follows redirections, as to the machines that have the large files.
    agent: Agent,
    /// Does not: what the hub says of a large file stands in the answer that leads to it.
    still: Agent,
    retries: u32,
    backoff: Duration,
}

/// What an attempt met.
enum Miss {
    /// It will be so next time.
    Final(PullError),
    /// It may pass.
    Passing(PullError),
}

impl Client {
    pub(super) fn new(endpoint: &str, timeout: Duration, retries: u32, backoff: Duration) -> Self {
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                .timeout_connect(Some(timeout))
                .timeout_recv_response(Some(timeout))
                // A download takes as long as it takes, while something arrives.
                .timeout_per_read(Some(timeout))
                // Who asks in secret is not led into the open.
                .https_only(endpoint.starts_with("https:"))
                .user_agent(concat!("mv2/", env!("CARGO_PKG_VERSION")))
        };
        let still = config().max_redirects(0).max_redirects_will_error(false);
        Self {
            agent: config().build().new_agent(),
            still: still.build().new_agent(),
            retries,
            backoff,
        }
    }

    /// The body of an answer of at most `limit` bytes.
    pub(super) fn text(&self, url: &str, limit: u64) -> Result<String, PullError> {
        self.patiently(|| {
            let answer = self.agent.get(url).call();
            let mut answer = answer.map_err(|error| unreachable(url, error))?;
            successful(url, &answer)?;
            let body = answer.body_mut().with_config().limit(limit);
            body.read_to_string()
                .map_err(|error| unreachable(url, error))
        })
    }

    /// What the hub says of a file before it sends it.
    pub(super) fn announce(&self, url: &str) -> Result<Announced, PullError> {
        self.patiently(|| {
            let mut at = url.to_owned();
            for _ in 0..HOPS {
                let answer = self.still.head(&at).call();
                let answer = answer.map_err(|error| unreachable(&at, error))?;
                let linked = answer.headers().contains_key("x-linked-etag");
                match answer.headers().get(header::LOCATION) {
                    // Renamed: the same machine, another path.
                    Some(to) if answer.status().is_redirection() && !linked => {
                        let to = to.to_str().unwrap_or_default();
                        at = moved(&at, to).ok_or_else(|| {
                            Miss::Final(answer_fault(
                                &at,
                                "location",
                                "an address on the same machine",
                                to,
                            ))
                        })?;
                    }
                    _ => return announced(url, &at, &answer),
                }
            }
            Err(Miss::Final(answer_fault(
                url,
                "location",
                "an end of the redirections",
                &at,
            )))
        })
    }

    /// Brings a file to `blob`, unless it is there. `arrived` hears how many bytes of it there are. Returns when it is whole,
    /// checked, and safe on the disk.
    pub(super) fn fetch(
        &self,
        file: &Announced,
        blob: &Path,
        arrived: &mut dyn FnMut(u64),
    ) -> Result<(), PullError> {
        if is_whole(file, blob)? {
            arrived(file.bytes);
            return Ok(());
        }
        let path = incomplete(blob);
        let io = |source| PullError::Io {
            path: path.clone(),
            source,
        };
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path);
        let mut growing = opened.map_err(io)?;
        match growing.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(PullError::Busy { path }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut partial = Partial::resume(&mut growing, file).map_err(io)?;
        arrived(partial.bytes);
        let mut failures = 0;
        while partial.bytes < file.bytes {
            let before = partial.bytes;
            let error = match self.attempt(file, &mut partial, &path, arrived) {
                Ok(()) => break,
                Err(Miss::Final(error)) => return Err(error),
                Err(Miss::Passing(error)) => error,
            };
            // What brings the end nearer may be tried for ever.
            failures = if partial.bytes > before {
                1
            } else {
                failures + 1
            };
            if failures > self.retries {
                return Err(error);
            }
            std::thread::sleep(self.backoff.saturating_mul(1 << (failures - 1).min(6)));
        }
        let found = partial.hasher.digits();
        if found != file.checksum.digits() {
            drop(growing);
            std::fs::remove_file(&path).map_err(io)?;
            return Err(PullError::Checksum {
                url: file.url.clone(),
                expected: file.checksum.digits().to_owned(),
                found,
            });
        }
        growing.sync_all().map_err(io)?;
        drop(growing);
        std::fs::rename(&path, blob).map_err(io)
    }

    /// Asks for the rest of a file and writes down what comes.
    fn attempt(
        &self,
        file: &Announced,
        partial: &mut Partial<'_>,
        path: &Path,
        arrived: &mut dyn FnMut(u64),
    ) -> Result<(), Miss> {
        let io = |source| {
            let path = path.to_owned();
            Miss::Final(PullError::Io { path, source })
        };
        let mut request = self.agent.get(&file.url);
        if partial.bytes > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", partial.bytes));
        }
        let answer = request.call();
        let mut answer = answer.map_err(|error| unreachable(&file.url, error))?;
        successful(&file.url, &answer)?;
        if answer.status() != StatusCode::PARTIAL_CONTENT || starts(&answer) != Some(partial.bytes)
        {
            // All of it, from the start.
            partial.restart(file).map_err(io)?;
        }
        let mut body = answer.body_mut().as_reader();
        let mut block = vec![0; BLOCK];
        loop {
            let read = match body.read(&mut block) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => return Err(Miss::Passing(cut(file, error.into()))),
            };
            if read as u64 > file.bytes - partial.bytes {
                let expected = "as many bytes as announced";
                return Err(Miss::Final(answer_fault(
                    &file.url, "length", expected, "more",
                )));
            }
            partial.write(&block[..read]).map_err(io)?;
            arrived(partial.bytes);
        }
        match partial.bytes == file.bytes {
            true => Ok(()),
            false => {
                let said = format!(
                    "the connection ended at {} of {} bytes",
                    partial.bytes, file.bytes
                );
                Err(Miss::Passing(cut(file, said.into())))
            }
        }
    }

    /// Tries again what may pass, later each time.
    fn patiently<T>(&self, attempt: impl Fn() -> Result<T, Miss>) -> Result<T, PullError> {
        let mut failures = 0;
        loop {
            match attempt() {
                Ok(result) => return Ok(result),
                Err(Miss::Final(error)) => return Err(error),
                Err(Miss::Passing(error)) if failures == self.retries => return Err(error),
                Err(Miss::Passing(_)) => {}
            }
            std::thread::sleep(self.backoff.saturating_mul(1 << failures.min(6)));
            failures += 1;
        }
    }
}

/// A file that grows, and the checksum of what there is of it.
struct Partial<'a> {
    file: &'a mut File,
    bytes: u64,
    hasher: Hasher,
}

impl<'a> Partial<'a> {
    /// Goes on where an earlier attempt ended.
    fn resume(file: &'a mut File, announced: &Announced) -> std::io::Result<Self> {
        let mut partial = Self {
            file,
            bytes: 0,
            hasher: announced.checksum.hasher(announced.bytes),
        };
        let mut block = vec![0; BLOCK];
        loop {
            let read = partial.file.read(&mut block)?;
            partial.hasher.update(&block[..read]);
            partial.bytes += read as u64;
            if partial.bytes > announced.bytes {
                partial.restart(announced)?;
                return Ok(partial);
            }
            if read == 0 {
                return Ok(partial);
            }
        }
    }

    /// Throws away what there is.
    fn restart(&mut self, announced: &Announced) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.bytes = 0;
        self.hasher = announced.checksum.hasher(announced.bytes);
        Ok(())
    }

    fn write(&mut self, block: &[u8]) -> std::io::Result<()> {
        self.file.write_all(block)?;
        self.hasher.update(block);
        self.bytes += block.len() as u64;
        Ok(())
    }
}

/// Where a file grows: beside its place, under the name that others who use the cache give it, too.
fn incomplete(blob: &Path) -> PathBuf {
    let mut name = blob.file_name().unwrap_or_default().to_owned();
    name.push(".incomplete");
    blob.with_file_name(name)
}

/// Whether a file is there, and is what it should be. One that is not is taken away.
fn is_whole(file: &Announced, blob: &Path) -> Result<bool, PullError> {
    let io = |source| PullError::Io {
        path: blob.to_owned(),
        source,
    };
    let mut there = match File::open(blob) {
        Ok(there) => there,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io(error)),
    };
    let mut hasher = file.checksum.hasher(file.bytes);
    let mut block = vec![0; BLOCK];
    loop {
        match there.read(&mut block).map_err(io)? {
            0 => break,
            read => hasher.update(&block[..read]),
        }
    }
    let whole = hasher.digits() == file.checksum.digits();
    if !whole {
        drop(there);
        std::fs::remove_file(blob).map_err(io)?;
    }
    Ok(whole)
}

/// What the headers of an answer say of a file.
fn announced<T>(url: &str, at: &str, answer: &Response<T>) -> Result<Announced, Miss> {
    if !answer.status().is_redirection() {
        successful(at, answer)?;
    }
    let header = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| answer.headers().get(*name));
        found
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let etag = header(["x-linked-etag", "etag"]);
    let Some(checksum) = Checksum::parse(&etag) else {
        let expected = "a SHA-256 or the SHA-1 of git";
        return Err(Miss::Final(answer_fault(at, "etag", expected, &etag)));
    };
    let length = header(["x-linked-size", "content-length"]);
    let Ok(bytes) = length.parse() else {
        return Err(Miss::Final(answer_fault(
            at,
            "content-length",
            "a number",
            &length,
        )));
    };
    Ok(Announced {
        url: url.to_owned(),
        checksum,
        bytes,
    })
}

/// Where a redirection leads, if that is on the same machine.
fn moved(from: &str, to: &str) -> Option<String> {
    let from: Uri = from.parse().ok()?;
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let root = format!("{scheme}://{authority}");
    match to.strip_prefix(&root) {
        Some(path) if path.starts_with('/') => Some(to.to_owned()),
        _ if to.starts_with('/') && !to.starts_with("//") => Some(format!("{root}{to}")),
        _ => None,
    }
}

/// The first byte of a piece, by its `Content-Range: bytes 7-99/100`.
fn starts<T>(answer: &Response<T>) -> Option<u64> {
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .parse()
        .ok()
}

fn successful<T>(url: &str, answer: &Response<T>) -> Result<(), Miss> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let error = PullError::Refused {
        url: url.to_owned(),
        status: status.as_u16(),
    };
    match status.as_u16() {
        408 | 429 | 500..=599 => Err(Miss::Passing(error)),
        _ => Err(Miss::Final(error)),
    }
}

fn unreachable(url: &str, error: ureq::Error) -> Miss {
    let passes = matches!(
        error,
        ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_)
    );
    let error = PullError::Unreachable {
        url: url.to_owned(),
        source: Box::new(error),
    };
    match passes {
        true => Miss::Passing(error),
        false => Miss::Final(error),
    }
}

fn cut(file: &Announced, source: BoxError) -> PullError {
    PullError::Unreachable {
        url: file.url.clone(),
        source,
    }
}

pub(super) fn answer_fault(
    url: &str,
    what: &'static str,
    expected: &'static str,
    found: &str,
) -> PullError {
    PullError::Answer {
        url: url.to_owned(),
        what,
        expected,
        found: found
            .chars()
            .filter(|c| !c.is_control())
            .take(100)
            .collect(),
    }
}
