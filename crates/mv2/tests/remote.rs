//! Models of a service by address, against servers in the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use mv2::{Memvid, Mode, PutOptions, SearchRequest};

/// Serves vectors as long as the test runs: a text about cars has another direction than one about the sea.
fn serve(dims: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(&stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
            }
            let head = head.to_lowercase();
            let mut lines = head.lines();
            let length = lines.find_map(|line| line.strip_prefix("content-length:"));
            let mut body = vec![0; length.unwrap().trim().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let asked: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let vector = |text: &serde_json::Value| {
                let is_car = ["car", "engine"]
                    .iter()
                    .any(|word| text.as_str().unwrap().contains(word));
                let mut vector = vec![0.1; dims];
                vector[usize::from(is_car)] = 1.0;
                serde_json::json!({ "embedding": vector })
            };
            let data: Vec<_> = asked["input"]
                .as_array()
                .unwrap()
                .iter()
                .map(vector)
                .collect();
            let body = serde_json::json!({ "data": data }).to_string();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
    });
    url
}

fn open(path: &std::path::Path, embedder: &str) -> mv2::Result<Memvid> {
    let embedder = mv2::embedder::resolve(embedder)?;
    Memvid::builder()
        .background(false)
        .embedder(embedder)
        .open(path)
}

fn by_meaning(memory: &Memvid, query: &str) -> mv2::Result<Vec<String>> {
    let request = SearchRequest::builder(query).mode(Mode::Vec).build();
    let hits = memory.search(request)?.hits;
    Ok(hits.into_iter().filter_map(|hit| hit.uri).collect())
}

#[test]
fn a_memory_keeps_the_model_and_not_where_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.mv2");
    let first = serve(4);
    let embedder = mv2::embedder::resolve(&format!("{first}#publisher/small")).unwrap();
    assert_eq!(
        (&*embedder.spec().name, embedder.spec().dims),
        ("publisher/small", 4)
    );
    let mut memory = Memvid::builder()
        .background(false)
        .embedder(embedder)
        .create(&path)
        .unwrap();
    for (uri, text) in [
        ("sea", "waves and a lighthouse"),
        ("garage", "an engine that leaks"),
    ] {
        let options = PutOptions::builder().uri(uri).build();
        memory
            .put_bytes_with_options(text.as_bytes(), options)
            .unwrap();
    }
    memory.commit().unwrap();
    assert_eq!(by_meaning(&memory, "car").unwrap()[0], "garage");
    drop(memory);
    // The address is that of this run, and nothing that came from it is in the file.
    let bytes = std::fs::read(&path).unwrap();
    let host = first.trim_start_matches("http://").as_bytes();
    assert!(!bytes.windows(host.len()).any(|part| part == host));

    // The same model elsewhere goes on where the first one was.
    let elsewhere = serve(4);
    let memory = open(&path, &format!("{elsewhere}#publisher/small")).unwrap();
    assert_eq!(by_meaning(&memory, "car").unwrap()[0], "garage");
    drop(memory);

    // Another model, and the same name with other dimensions, is refused until its vectors are made.
    for other in [
        format!("{elsewhere}#publisher/large"),
        format!("{}#publisher/small", serve(6)),
    ] {
        let mut memory = open(&path, &other).unwrap();
        let error = by_meaning(&memory, "car").unwrap_err();
        assert_eq!(error.kind(), "embedder_mismatch", "{error}");
        memory.reembed(&mut |_, _| {}).unwrap();
        memory.commit().unwrap();
        assert_eq!(by_meaning(&memory, "car").unwrap()[0], "garage");
        drop(memory);
    }
}

#[test]
fn what_is_wrong_with_an_address_is_said_before_anything_is_opened() {
    let resolve = |address: &str| mv2::embedder::resolve(address).err().unwrap();
    let error = resolve("http://127.0.0.1:9/v1");
    assert_eq!(error.kind(), "embedding_failed");
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let said = format!("{error} {}", cause.unwrap_or_default());
    assert!(said.contains("#MODEL"), "{said}");
    assert_eq!(
        resolve("https://user:word@host/v1#m").kind(),
        "embedding_failed"
    );
}
