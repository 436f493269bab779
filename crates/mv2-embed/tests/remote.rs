//! The embedder of a service, against a server in the test that speaks HTTP as scripted.

use std::error::Error as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use mv2_embed::{
    ApiKey, Embedder, Error, NoVector, RemoteEmbedder, RemoteOptions, Role, ServiceError,
};
use serde_json::{Value, json};

/// What the server does with one request.
enum Reply {
    /// A vector of three numbers for each input: its letters, 1, 0.
    Vectors,
    /// Status, a header, a body.
    Is(u16, &'static str, String),
    /// Hangs up.
    Nothing,
    /// Says nothing until the other side gives up.
    Silence,
}

/// A request as it came.
struct Asked {
    head: String,
    body: Value,
}

/// Serves one reply a connection, then ends with what was asked.
fn serve(replies: Vec<Reply>) -> (String, JoinHandle<Vec<Asked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for reply in replies {
            let (mut stream, _) = listener.accept().unwrap();
            let request = receive(&stream);
            send(&mut stream, &reply, &request);
            asked.push(request);
        }
        asked
    });
    (url, server)
}

fn receive(stream: &TcpStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.unwrap().trim().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    Asked {
        head,
        body: serde_json::from_slice(&body).unwrap(),
    }
}

fn send(stream: &mut TcpStream, reply: &Reply, request: &Asked) {
    let (status, header, body) = match reply {
        Reply::Nothing => return,
        Reply::Silence => {
            let _ = stream.read(&mut [0]);
            return;
        }
        Reply::Is(status, header, body) => (*status, *header, body.clone()),
        Reply::Vectors => {
            let inputs = request.body["input"].as_array().unwrap();
            // From the last to the first: the order is in the field.
            let data: Vec<Value> = (0..inputs.len())
                .rev()
                .map(|at| {
                    let letters = inputs[at].as_str().unwrap().len();
                    json!({"object": "embedding", "index": at, "embedding": [letters, 1, 0]})
                })
                .collect();
            (
                200,
                "x-a: b",
                json!({"object": "list", "data": data}).to_string(),
            )
        }
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Said\r\n{header}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
}

fn options(url: &str) -> RemoteOptions {
    RemoteOptions {
        dims: Some(3),
        backoff: Duration::from_millis(1),
        retries: 2,
        ..RemoteOptions::new(url, "small-model")
    }
}

fn embed(options: RemoteOptions, texts: &[&str]) -> Result<Vec<f32>, Error> {
    let mut out = vec![7.0];
    let result = RemoteEmbedder::connect(options)?.embed(texts, Role::Passage, &mut out);
    if result.is_err() {
        assert_eq!(out, [7.0], "a batch that failed leaves nothing");
    }
    result.map(|()| out.split_off(1))
}

fn service_error(error: &Error) -> &ServiceError {
    error.source().unwrap().downcast_ref().unwrap()
}

/// The unit vector that the server's numbers for so many bytes stand for.
fn expected(letters: f32) -> [f32; 3] {
    let length = (letters * letters + 1.0).sqrt();
    [letters / length, 1.0 / length, 0.0]
}

fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let near = found
        .iter()
        .zip(expected)
        .all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(near, "{found:?} {expected:?}");
}

#[test]
fn texts_go_in_batches_with_prefix_and_key_and_come_back_in_their_order() {
    let (url, server) = serve(vec![Reply::Vectors, Reply::Vectors]);
    let options = RemoteOptions {
        key: Some(ApiKey::new(" secret-1 ").unwrap()),
        batch: 2,
        send_dims: true,
        passage_prefix: "p: ".to_owned(),
        ..options(&url)
    };
    let found = embed(options, &["a", "bcd", "ef"]).unwrap();
    assert_near(
        &found,
        &[expected(4.0), expected(6.0), expected(5.0)].concat(),
    );
    let asked = server.join().unwrap();
    assert_eq!(asked[0].body["input"], json!(["p: a", "p: bcd"]));
    assert_eq!(asked[1].body["input"], json!(["p: ef"]));
    assert_eq!(asked[0].body["model"], "small-model");
    assert_eq!(asked[0].body["dimensions"], 3);
    assert!(
        asked[0]
            .head
            .starts_with("post /v1/embeddings http/1.1\r\n")
    );
    assert!(asked[0].head.contains("authorization: bearer secret-1\r\n"));
}

#[test]
fn dimensions_are_asked_for_once_if_nobody_says_them() {
    let (url, server) = serve(vec![Reply::Vectors]);
    let model = RemoteEmbedder::connect(RemoteOptions {
        dims: None,
        ..options(&url)
    })
    .unwrap();
    assert_eq!(model.spec().dims, 3);
    assert!(model.spec().normalized);
    let asked = server.join().unwrap();
    assert!(asked[0].body.get("dimensions").is_none());
    assert!(!asked[0].head.contains("authorization"));
}

#[test]
fn what_passes_is_tried_again_and_what_stays_is_not() {
    let busy = || Reply::Is(429, "retry-after: 0", String::new());
    let (url, server) = serve(vec![busy(), Reply::Nothing, Reply::Vectors]);
    assert_near(&embed(options(&url), &["a"]).unwrap(), &expected(1.0));
    assert_eq!(server.join().unwrap().len(), 3);

    let (url, server) = serve(vec![
        busy(),
        busy(),
        Reply::Is(503, "a: b", "over\nloaded".to_owned()),
    ]);
    let error = embed(options(&url), &["a"]).unwrap_err();
    let error = service_error(&error);
    assert!(
        matches!(error, ServiceError::Refused { status: 503, attempts: 3, message, .. } if message == "over loaded"),
        "{error}"
    );
    assert_eq!(server.join().unwrap().len(), 3);

    let refused = r#"{"error": "no such key: secret-2"}"#.to_owned();
    let (url, server) = serve(vec![Reply::Is(401, "a: b", refused)]);
    let key = Some(ApiKey::new("secret-2").unwrap());
    let error = embed(
        RemoteOptions {
            key,
            ..options(&url)
        },
        &["a"],
    )
    .unwrap_err();
    let said = format!("{error:?} {}", service_error(&error));
    assert!(
        said.contains("401") && said.contains("no such key"),
        "{said}"
    );
    assert!(!said.contains("secret-2"), "{said}");
    server.join().unwrap();
}

#[test]
fn a_service_that_wants_to_be_left_alone_for_long_is_not_waited_for() {
    let (url, server) = serve(vec![Reply::Is(429, "retry-after: 86400", String::new())]);
    let error = embed(options(&url), &["a"]).unwrap_err();
    assert!(matches!(
        service_error(&error),
        ServiceError::Refused {
            status: 429,
            attempts: 1,
            ..
        }
    ));
    server.join().unwrap();
}

#[test]
fn a_key_does_not_follow_a_redirect() {
    let (url, server) = serve(vec![Reply::Is(
        307,
        "location: http://127.0.0.1:1/",
        String::new(),
    )]);
    let key = Some(ApiKey::new("secret-3").unwrap());
    let error = embed(
        RemoteOptions {
            key,
            ..options(&url)
        },
        &["a"],
    )
    .unwrap_err();
    assert!(
        matches!(
            service_error(&error),
            ServiceError::Refused { status: 307, .. }
        ),
        "{error:?}"
    );
    server.join().unwrap();
}

#[test]
fn other_dimensions_and_other_answers_are_errors_of_their_field() {
    let cases = [
        (
            r#"{"data":[{"index":0,"embedding":[1,2]}]}"#,
            "data[0].embedding",
        ),
        (r#"{"data":[]}"#, "data"),
        ("<html>", "answer"),
    ];
    for (body, field) in cases {
        let (url, server) = serve(vec![Reply::Is(200, "a: b", body.to_owned())]);
        let error = embed(options(&url), &["a"]).unwrap_err();
        let error = service_error(&error);
        assert!(
            matches!(error, ServiceError::Answer { what, .. } if what == field),
            "{error}"
        );
        server.join().unwrap();
    }
}

#[test]
fn an_answer_without_end_is_not_read_to_it() {
    let (url, server) = serve(vec![Reply::Is(200, "a: b", " ".repeat(2 << 20))]);
    let error = embed(options(&url), &["a"]).unwrap_err();
    assert!(matches!(service_error(&error), ServiceError::Answer { what, .. } if what == "answer"));
    server.join().unwrap_or_default();
}

#[test]
fn nobody_there_is_an_error_after_the_last_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let error = embed(options(&url), &["a"]).unwrap_err();
    assert!(
        matches!(
            service_error(&error),
            ServiceError::Unreachable { attempts: 3, .. }
        ),
        "{error:?}"
    );
}

#[test]
fn a_service_that_says_nothing_is_given_up() {
    let (url, server) = serve(vec![Reply::Silence]);
    let options = RemoteOptions {
        timeout: Duration::from_millis(100),
        retries: 0,
        ..options(&url)
    };
    let error = embed(options, &["a"]).unwrap_err();
    assert!(
        matches!(
            service_error(&error),
            ServiceError::Unreachable { attempts: 1, .. }
        ),
        "{error:?}"
    );
    assert_eq!(server.join().unwrap().len(), 1);
}

#[test]
fn keys_stay_secret() {
    let key = || Some(ApiKey::new("secret-4").unwrap());
    let shown = format!(
        "{:?}",
        RemoteOptions {
            key: key(),
            ..options("http://localhost/v1")
        }
    );
    assert!(!shown.contains("secret-4"), "{shown}");
    for url in [
        "http://example.com/v1",
        "http://localhost.example.com/v1",
        "http://10.0.0.1/v1",
    ] {
        let error = RemoteEmbedder::connect(RemoteOptions {
            key: key(),
            ..options(url)
        })
        .unwrap_err();
        assert!(
            matches!(service_error(&error), ServiceError::KeyInClear { .. }),
            "{url}"
        );
    }
    for url in [
        "https://example.com/v1",
        "http://localhost:1/v1",
        "http://[::1]:1/v1",
        "http://127.0.0.9/v1",
    ] {
        let model = RemoteEmbedder::connect(RemoteOptions {
            key: key(),
            ..options(url)
        })
        .unwrap();
        assert!(!format!("{model:?}").contains("secret-4"));
    }
    assert!(ApiKey::new("two words").is_err());
    let error = ApiKey::from_env("MV2_TEST_A_VARIABLE_THAT_IS_NOT_SET").unwrap_err();
    assert!(
        service_error(&error)
            .to_string()
            .contains("MV2_TEST_A_VARIABLE_THAT_IS_NOT_SET")
    );
}

#[test]
fn what_is_no_address_is_refused_without_showing_a_password() {
    for url in [
        "",
        "localhost",
        "ftp://a/v1",
        "/v1",
        "https://me:hunter2@example.com/v1",
        "http://a b/",
    ] {
        let error = RemoteEmbedder::connect(options(url)).unwrap_err();
        let error = service_error(&error);
        assert!(matches!(error, ServiceError::Url { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn a_text_without_a_vector_costs_no_request() {
    let model = RemoteEmbedder::connect(options("http://127.0.0.1:1/v1")).unwrap();
    let mut out = Vec::new();
    let error = model
        .embed(&["a", "?!"], Role::Query, &mut out)
        .unwrap_err();
    assert!(matches!(
        error,
        Error::NoVector {
            index: 1,
            reason: NoVector::Empty
        }
    ));
    assert_eq!(model.coverage("東京"), 1.0);
    let latin = RemoteOptions {
        latin_only: true,
        ..options("http://127.0.0.1:1/v1")
    };
    assert!(
        RemoteEmbedder::connect(latin)
            .unwrap()
            .check("東京")
            .is_err()
    );
}

#[test]
fn a_text_over_the_limit_is_cut() {
    let (url, server) = serve(vec![Reply::Vectors]);
    let options = RemoteOptions {
        max_tokens: 3,
        ..options(&url)
    };
    embed(options, &["one two 東京"]).unwrap();
    assert_eq!(
        server.join().unwrap()[0].body["input"],
        json!(["one two 東"])
    );
}
