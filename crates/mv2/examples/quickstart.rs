//! Makes a memory, puts a document into it and finds it again.
#![allow(clippy::print_stdout)]

use mv2::{Memvid, PutOptions, SearchRequest};

fn main() -> mv2::Result<()> {
    let mut mem = Memvid::create("knowledge.mv2")?;
    let opts = PutOptions::builder()
        .title("Meeting Notes")
        .tag("project", "alpha")
        .build();
    mem.put_bytes_with_options(b"Q4 planning discussion...", opts)?;
    mem.commit()?;
    let response = mem.search(SearchRequest {
        query: "planning".into(),
        top_k: 10,
        snippet_chars: 200,
        ..Default::default()
    })?;
    for hit in response.hits {
        println!("{}: {}", hit.title.unwrap_or_default(), hit.text);
    }
    Ok(())
}
