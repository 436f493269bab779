//! Downloads, from a server in the test that speaks the hub's protocol and breaks off as told.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mv2_embed::{HubCache, PullError, PullOptions, PullProgress, Snapshot, pull};
use sha1::{Digest, Sha1};
use sha2::Sha256;

const MODEL: &str = "sentence-transformers/all-MiniLM-L6-v2";
const COMMIT: &str = "c0ffee0123456789";

/// What the server does to the next answers with the bytes of a file.
#[derive(Clone, Copy)]
enum Fault {
    /// Breaks off after so many bytes of the body.
    Cut(usize),
    /// Sends everything, whatever piece is asked for.
    WholeInstead,
    /// Says that it is overloaded.
    Busy,
    /// Sends another byte in the first's place.
    Flip,
    /// Sends more than it announced, without a length.
    TooMuch,
}

#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    faults: Vec<Fault>,
    /// Method, path and range of each request.
    asked: Vec<String>,
    /// The model that is served, if not [`MODEL`].
    model: Option<&'static str>,
    /// What is said instead of the commit.
    commit: Option<String>,
    /// What is said instead of a checksum.
    etag: Option<String>,
}

struct Server {
    url: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// A repository with a model of 300,000 bytes, which is served from another address as large files are.
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let weights = (0..300_000_u32)
            .map(|at| (at % 251 * (at % 241) % 256) as u8)
            .collect();
        let files = [
            ("config.json", b"{}\n".to_vec()),
            ("tokenizer.json", b"{\"a\": 1}\n".to_vec()),
            ("model.safetensors", weights),
            ("1_Pooling/config.json", b"[]".to_vec()),
            ("README.md", b"not needed".to_vec()),
        ];
        let state = Arc::new(Mutex::new(State {
            files: files.map(|(name, bytes)| (name.to_owned(), bytes)).into(),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { url, state }
    }

    fn faults(&self, faults: &[Fault]) {
        self.state.lock().unwrap().faults = faults.iter().rev().copied().collect();
    }

    /// What was asked since this was asked last.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    /// The pieces of the weights that were asked for.
    fn pieces(&self) -> Vec<String> {
        let large = |asked: &String| asked.starts_with("GET /large/");
        self.asked().into_iter().filter(large).collect()
    }

    fn weights(&self) -> Vec<u8> {
        self.state.lock().unwrap().files["model.safetensors"].clone()
    }

    fn options(&self, cache: &Path) -> PullOptions {
        let mut options = PullOptions::new(format!("{}/", self.url), HubCache::at(cache));
        options.backoff = Duration::from_millis(1);
        options.retries = 2;
        options
    }

    fn pull(&self, cache: &Path) -> Result<Snapshot, PullError> {
        pull("all-minilm-l6-v2", &self.options(cache), &mut |_| {})
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(&stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap() == 0 {
            return;
        }
    }
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let range = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("range: bytes=")
            .map(str::to_owned)
    });
    let mut state = state.lock().unwrap();
    let asked = format!("{method} {path} {}", range.clone().unwrap_or_default());
    state.asked.push(asked.trim_end().to_owned());
    let (head, body) = answer(&mut state, method, path, range.as_deref());
    drop(state);
    let mut stream = &stream;
    let _ = stream.write_all(head.as_bytes());
    if method != "HEAD" {
        let _ = stream.write_all(&body);
    }
}

fn answer(state: &mut State, method: &str, path: &str, range: Option<&str>) -> (String, Vec<u8>) {
    let reply = |status: &str, headers: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        (head, body.to_vec())
    };
    let model = state.model.unwrap_or(MODEL);
    if path == format!("/api/models/{model}/revision/main") {
        let names = state
            .files
            .keys()
            .map(|name| serde_json::json!({ "rfilename": name }));
        let commit = state.commit.as_deref().unwrap_or(COMMIT);
        let body = serde_json::json!({ "sha": commit, "siblings": names.collect::<Vec<_>>() });
        return reply("200 OK", "", body.to_string().as_bytes());
    }
    let small = path.strip_prefix(&format!("/{model}/resolve/{COMMIT}/"));
    let name = small.or(path.strip_prefix("/large/")).unwrap_or_default();
    let Some(bytes) = state.files.get(name).cloned() else {
        return reply("404 Not Found", "", b"");
    };
    if name == "model.safetensors" && small.is_some() {
        let etag = state
            .etag
            .clone()
            .unwrap_or_else(|| hex(&Sha256::digest(&bytes)));
        let linked = bytes.len();
        let headers = format!(
            "location: /large/{name}\r\nx-linked-etag: \"{etag}\"\r\nx-linked-size: {linked}\r\netag: \"no\"\r\n"
        );
        return reply("302 Found", &headers, b"");
    }
    if small.is_some() {
        let etag = hex(&Sha1::new()
            .chain_update(format!("blob {}\0", bytes.len()))
            .chain_update(&bytes)
            .finalize());
        return reply("200 OK", &format!("etag: \"{etag}\"\r\n"), &bytes);
    }
    let fault = match method {
        "GET" => state.faults.pop(),
        _ => None,
    };
    let from = range
        .and_then(|range| range.strip_suffix('-')?.parse().ok())
        .unwrap_or(0);
    let all = bytes.len();
    let mut piece = match range {
        Some(_) => reply(
            "206 Partial Content",
            &format!("content-range: bytes {from}-{}/{all}\r\n", all - 1),
            &bytes[from..],
        ),
        None => reply("200 OK", "", &bytes),
    };
    match fault {
        None => {}
        Some(Fault::Cut(at)) => piece.1.truncate(at),
        Some(Fault::WholeInstead) => return reply("200 OK", "", &bytes),
        Some(Fault::Busy) => return reply("503 Service Unavailable", "", b""),
        Some(Fault::Flip) => piece.1[0] ^= 1,
        Some(Fault::TooMuch) => {
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned();
            return (head, [bytes, vec![0]].concat());
        }
    }
    piece
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_model_comes_into_the_cache_once() {
    let (server, cache) = (Server::new(), tempfile::tempdir().unwrap());
    let mut seen: Vec<(u64, u64)> = Vec::new();
    let mut progress = |at: PullProgress<'_>| seen.push((at.bytes, at.total));
    let found = pull(MODEL, &server.options(cache.path()), &mut progress).unwrap();
    let total = 300_000 + 3 + 9 + 2;
    assert!(seen.is_sorted(), "it never goes back");
    assert_eq!(seen.last(), Some(&(total, total)));
    assert_eq!(found.revision, COMMIT);
    assert_eq!(
        fs::read(found.folder.join("model.safetensors")).unwrap(),
        server.weights()
    );
    assert_eq!(
        fs::read(found.folder.join("1_Pooling/config.json")).unwrap(),
        b"[]"
    );
    assert!(!found.folder.join("README.md").exists());
    // As the hub's own programs lay it out.
    let repo = cache
        .path()
        .join("models--sentence-transformers--all-MiniLM-L6-v2");
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);
    let blob = hex(&Sha256::digest(server.weights()));
    assert_eq!(
        fs::read(repo.join("blobs").join(&blob)).unwrap(),
        server.weights()
    );
    if cfg!(unix) {
        let link = fs::read_link(found.folder.join("model.safetensors")).unwrap();
        assert_eq!(link, Path::new("../../blobs").join(&blob));
    }
    let files = ["config.json", "tokenizer.json", "model.safetensors"];
    assert_eq!(
        HubCache::at(cache.path()).find(MODEL, &files).as_ref(),
        Some(&found)
    );
    server.asked();
    assert_eq!(server.pull(cache.path()).unwrap(), found);
    assert_eq!(server.pieces(), [""; 0], "nothing is downloaded twice");
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let (server, cache) = (Server::new(), tempfile::tempdir().unwrap());
    // Twice as many as may bring nothing in a row.
    let faults = [
        Fault::Cut(100_000),
        Fault::Busy,
        Fault::Cut(50_000),
        Fault::Cut(1),
        Fault::Busy,
    ];
    server.faults(&faults);
    let found = server.pull(cache.path()).unwrap();
    assert_eq!(
        fs::read(found.folder.join("model.safetensors")).unwrap(),
        server.weights()
    );
    let path = "GET /large/model.safetensors";
    let pieces = [
        "", " 100000-", " 100000-", " 150000-", " 150001-", " 150001-",
    ];
    assert_eq!(
        server.pieces(),
        pieces.map(|piece| format!("{path}{piece}"))
    );
}

#[test]
fn what_an_earlier_attempt_left_is_used() {
    let (server, cache) = (Server::new(), tempfile::tempdir().unwrap());
    server.faults(&[Fault::Cut(70_000), Fault::Busy, Fault::Busy]);
    let error = server.pull(cache.path()).unwrap_err();
    assert!(
        matches!(error, PullError::Refused { status: 503, .. }),
        "{error}"
    );
    let repo = HubCache::at(cache.path()).repo(MODEL);
    assert!(
        !repo.join("refs").exists(),
        "what is not whole is not found"
    );
    server.asked();
    let found = server.pull(cache.path()).unwrap();
    assert_eq!(server.pieces(), ["GET /large/model.safetensors 70000-"]);
    assert_eq!(
        fs::read(found.folder.join("model.safetensors")).unwrap(),
        server.weights()
    );
    let left = fs::read_dir(repo.join("blobs")).unwrap();
    let left = left.filter(|entry| entry.as_ref().unwrap().path().extension().is_some());
    assert_eq!(left.count(), 0, "nothing incomplete is left");
}

#[test]
fn a_server_that_knows_no_pieces_sends_all_again() {
    let (server, cache) = (Server::new(), tempfile::tempdir().unwrap());
    server.faults(&[Fault::Cut(100_000), Fault::WholeInstead]);
    let found = server.pull(cache.path()).unwrap();
    assert_eq!(
        fs::read(found.folder.join("model.safetensors")).unwrap(),
        server.weights()
    );
    server
        .state
        .lock()
        .unwrap()
        .files
        .insert("model.safetensors".to_owned(), vec![1; 1000]);
    server.faults(&[Fault::TooMuch]);
    let error = server.pull(cache.path()).unwrap_err();
    assert!(
        matches!(error, PullError::Answer { what: "length", .. }),
        "{error}"
    );
}

#[test]
fn what_has_another_checksum_is_thrown_away() {
    let (server, cache) = (Server::new(), tempfile::tempdir().unwrap());
    server.faults(&[Fault::Flip]);
    let error = server.pull(cache.path()).unwrap_err();
    let PullError::Checksum { url, expected, .. } = &error else {
        panic!("{error}");
    };
    assert!(url.ends_with("model.safetensors"));
    assert_eq!(expected, &hex(&Sha256::digest(server.weights())));
    let found = server.pull(cache.path()).unwrap();
    // Nor is a file trusted for its name alone.
    let path = fs::canonicalize(found.folder.join("model.safetensors")).unwrap();
    fs::write(&path, b"spoilt").unwrap();
    server.pull(cache.path()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), server.weights());
}

#[test]
fn a_file_that_another_process_downloads_is_left_to_it() {
    let (server, cache) = (Server::new(), tempfile::tempdir().unwrap());
    let blobs = HubCache::at(cache.path()).repo(MODEL).join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let digits = hex(&Sha256::digest(server.weights()));
    let other = fs::File::create(blobs.join(format!("{digits}.incomplete"))).unwrap();
    other.lock().unwrap();
    let error = server.pull(cache.path()).unwrap_err();
    assert!(matches!(error, PullError::Busy { .. }), "{error}");
    drop(other);
    server.pull(cache.path()).unwrap();
}

#[test]
fn what_cannot_be_is_said_before_anything_is_asked() {
    let (server, cache) = (Server::new(), tempfile::tempdir().unwrap());
    let mut options = server.options(cache.path());
    let error = pull("all-minilm", &options, &mut |_| {}).unwrap_err();
    assert!(
        error.to_string().contains("did you mean all-MiniLM-L6-v2?"),
        "{error}"
    );
    assert!(pull("../x", &options, &mut |_| {}).is_err());
    options.offline = true;
    let error = pull(MODEL, &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, PullError::Offline), "{error}");
    assert_eq!(server.asked(), [""; 0]);
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[test]
fn answers_that_cannot_be_used_name_what_is_wrong() {
    let (server, cache) = (Server::new(), tempfile::tempdir().unwrap());
    let options = server.options(cache.path());
    let error = pull("some/other", &options, &mut |_| {}).unwrap_err();
    assert!(
        matches!(error, PullError::Refused { status: 404, .. }),
        "{error}"
    );
    server.state.lock().unwrap().commit = Some("../../up".to_owned());
    let error = server.pull(cache.path()).unwrap_err();
    assert!(
        matches!(error, PullError::Answer { what: "sha", .. }),
        "{error}"
    );
    server.state.lock().unwrap().commit = None;
    server.state.lock().unwrap().etag = Some("../../../up".to_owned());
    let error = server.pull(cache.path()).unwrap_err();
    assert!(
        matches!(error, PullError::Answer { what: "etag", .. }),
        "{error}"
    );
    server.state.lock().unwrap().files.remove("tokenizer.json");
    let error = server.pull(cache.path()).unwrap_err();
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
    let mut options = server.options(cache.path());
    options.endpoint = "http://127.0.0.1:1".to_owned();
    let error = pull(MODEL, &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
}

#[cfg(feature = "candle")]
#[test]
fn a_model_that_came_can_be_used() {
    use mv2_embed::{BertEmbedder, Embedder, KnownModel};

    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/bert");
    for (name, fixture) in [
        ("all-MiniLM-L6-v2", "bert-mean"),
        ("multi-qa-distilbert-cos-v1", "distilbert"),
        ("gte-modernbert-base", "modernbert"),
        ("modernbert-embed-base", "modernbert"),
        ("granite-embedding-english-r2", "modernbert"),
    ] {
        let known = KnownModel::find(name).unwrap();
        let (server, cache) = (Server::new(), tempfile::tempdir().unwrap());
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            let bytes = fs::read(fixtures.join(fixture).join(file)).unwrap();
            let mut state = server.state.lock().unwrap();
            state.model = Some(known.repo);
            state.files.insert(file.to_owned(), bytes);
        }
        let options = server.options(cache.path());
        let found = pull(name, &options, &mut |_| {}).unwrap();
        let model = BertEmbedder::from_folder(&found.folder).unwrap();
        let spec = model.spec();
        assert_eq!(spec.name, name);
        assert_eq!(
            (spec.pooling, &spec.query_prefix[..]),
            (known.pooling, known.query_prefix)
        );
    }
}
