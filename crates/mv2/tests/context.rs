//! Context through the facade: the budget, repetitions, citations, passages of long documents, Japanese.
#![cfg(feature = "lex")]

use mv2::{Context, ContextRequest, Memvid, Mode, PutOptions, Syntax, Timestamp, estimate_tokens};

struct Memory {
    mem: Memvid,
    _dir: tempfile::TempDir,
}

impl Memory {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mem = Memvid::create(dir.path().join("m.mv2")).unwrap();
        Self { mem, _dir: dir }
    }

    /// Puts a document on 2025-11-25 and commits.
    fn put(&mut self, uri: &str, title: Option<&str>, text: &str) {
        let mut options = PutOptions::builder()
            .uri(uri)
            .timestamp(Timestamp::from_secs(1_764_028_800))
            .build();
        options.title = title.map(str::to_owned);
        self.mem
            .put_bytes_with_options(text.as_bytes(), options)
            .unwrap();
        self.mem.commit().unwrap();
    }

    fn context(&self, query: &str, max_tokens: usize) -> Context {
        let request = ContextRequest::builder(query)
            .max_tokens(max_tokens)
            .build();
        let context = self.mem.context(request).unwrap();
        self.check(&context, max_tokens);
        context
    }

    /// What holds of every context.
    fn check(&self, context: &Context, max_tokens: usize) {
        assert!(context.tokens <= max_tokens, "{context:?}");
        assert_eq!(context.tokens, estimate_tokens(&context.text));
        assert!(context.candidates >= context.passages.len());
        assert_eq!(context.text.is_empty(), context.passages.is_empty());
        for (at, passage) in context.passages.iter().enumerate() {
            assert_eq!(passage.rank, at + 1);
            let whole = self.mem.frame_text_by_id(passage.frame_id).unwrap();
            assert_eq!(whole[passage.range.clone()], passage.text);
            assert!(!passage.text.trim().is_empty());
            assert!(context.text.contains(&format!("[{}] ", passage.rank)));
            assert!(context.text.contains(&format!("\n{}\n", passage.text)));
            if let Some(uri) = &passage.uri {
                let meta = self.mem.frame_by_uri(uri).unwrap();
                assert_eq!(meta.id, passage.frame_id);
            }
        }
    }
}

/// A paragraph with a number of words that no other paragraph has.
fn filler(n: usize) -> String {
    (0..40)
        .map(|word| format!("w{n}x{word}"))
        .collect::<Vec<_>>()
        .join(" ")
        + "."
}

#[test]
fn passages_are_cited() {
    let mut memory = Memory::new();
    memory.put(
        "notes/a.md",
        Some("Harbour\n log"),
        "The lighthouse was painted red.\n",
    );
    memory.put("b.txt", None, "Nobody lives in the lighthouse.");
    let context = memory.context("who painted the lighthouse?", 1_000);
    assert_eq!(
        context.text,
        "[1] Harbour log (notes/a.md, frame 0, 2025-11-25)\nThe lighthouse was painted red.\n\n\
         [2] b.txt (frame 1, 2025-11-25)\nNobody lives in the lighthouse.\n"
    );
    assert_eq!(context.passages[0].title.as_deref(), Some("Harbour\n log"));
    assert!(context.passages[0].score > context.passages[1].score);
    assert_eq!(context.commit.get(), 2);
}

#[test]
fn budgets_are_kept() {
    let mut memory = Memory::new();
    for n in 0..12 {
        let text = format!(
            "{}\n\nThe comet number {n} came by. {}",
            filler(n),
            filler(100 + n)
        );
        memory.put(&format!("comets/{n}.md"), Some("A comet"), &text);
    }
    let mut most = 0;
    for budget in (0..200).chain([300, 500, 1_000, 5_000]) {
        let context = memory.context("comet", budget);
        assert_eq!(context.candidates, 12);
        for passage in &context.passages {
            assert!(passage.text.contains("comet"), "{budget}: {passage:?}");
        }
        most = most.max(context.passages.len());
    }
    assert_eq!(most, 12);
    assert!(memory.context("comet", 10).passages.is_empty());
    assert!(!memory.context("comet", 100).passages.is_empty());
}

#[test]
fn passages_of_long_documents_are_paragraphs_around_the_matches() {
    let mut memory = Memory::new();
    let mut parts: Vec<String> = (0..200).map(filler).collect();
    parts[150] = "The zebra crossed the river at dawn. It was followed by two foals.".to_owned();
    memory.put("long.md", None, &parts.join("\n\n"));
    let context = memory.context("Where did the zebra cross the river?", 1_000);
    let text = &context.passages[0].text;
    assert!(text.contains(&parts[150]), "{text}");
    assert!(text.len() < 2_000);
    for paragraph in text.split("\n\n") {
        assert!(parts.iter().any(|part| part == paragraph), "{paragraph}");
    }
}

#[test]
fn repetitions_are_told_once() {
    let mut memory = Memory::new();
    let text = "The bridge over the Main was closed for repair in the spring of last year, said the mayor.";
    memory.put("a", None, text);
    memory.put("b", None, text);
    memory.put("c", None, &text.to_uppercase());
    memory.put("d", None, &format!("{text} Indeed."));
    memory.put("e", None, "The bridge was opened again in the autumn.");
    let context = memory.context("bridge", 1_000);
    assert_eq!(context.candidates, 5);
    assert_eq!(context.passages.len(), 2);
    let opened = context
        .passages
        .iter()
        .filter(|passage| passage.text.contains("opened"));
    assert_eq!(opened.count(), 1);
}

#[test]
fn japanese_is_found_and_counted() {
    let mut memory = Memory::new();
    let filler = "空は青く、海は広い。山の上には雪が残っている。".repeat(60);
    let text =
        format!("{filler}\n\n来週の会議は京都で開かれる。参加者は十人の予定だ。\n\n{filler}");
    memory.put("会議.md", Some("会議の予定"), &text);
    let context = memory.context("京都の会議", 400);
    let passage = &context.passages[0];
    assert!(passage.text.contains("来週の会議は京都で開かれる。"));
    assert!(
        context
            .text
            .starts_with("[1] 会議の予定 (会議.md, frame 0, 2025-11-25)\n")
    );
    assert!(passage.text.ends_with('。'), "{}", passage.text);
    for budget in 0..120 {
        memory.context("京都の会議", budget);
    }
}

#[test]
fn filters_and_syntax_count() {
    let mut memory = Memory::new();
    memory.put("x/1", None, "A kettle of copper.");
    memory.put("y/1", None, "A kettle of iron.");
    let request = ContextRequest::builder("kettle").uri("y/*").build();
    let context = memory.mem.context(request).unwrap();
    assert_eq!(context.passages.len(), 1);
    assert_eq!(context.passages[0].uri.as_deref(), Some("y/1"));
    let request = ContextRequest::builder("kettle -iron")
        .syntax(Syntax::Query)
        .build();
    let context = memory.mem.context(request).unwrap();
    assert_eq!(context.passages.len(), 1);
    // A dash is punctuation in what a user says.
    assert_eq!(memory.context("kettle -iron", 1_000).passages.len(), 2);
    let request = ContextRequest::builder("kettle").top_k(1).build();
    assert_eq!(memory.mem.context(request).unwrap().passages.len(), 1);
}

#[test]
fn nothing_found_is_empty() {
    let mut memory = Memory::new();
    for query in ["anything", "", "?!"] {
        let context = memory.context(query, 1_000);
        assert_eq!((context.candidates, context.tokens), (0, 0));
    }
    memory.put("a", None, "");
    memory.put("b", None, " \n\n ");
    memory.mem.put_bytes(b"\0binary").unwrap();
    memory.put("c", Some("A title about whales"), "");
    assert!(memory.context("anything", 1_000).text.is_empty());
    assert!(memory.context("whales", 1_000).text.is_empty());
}

#[test]
fn a_title_alone_shows_the_beginning() {
    let mut memory = Memory::new();
    for (n, front) in ["", "   ", "\n\n  ", "。", "# Head\n"].iter().enumerate() {
        let text = format!(
            "{front}{}",
            (0..60).map(filler).collect::<Vec<_>>().join("\n\n")
        );
        memory.put(&format!("{n}"), Some("Whales"), &text);
        for budget in [80, 100, 333, 1_000, 5_000] {
            let request = ContextRequest::builder("whales")
                .uri(format!("{n}"))
                .max_tokens(budget)
                .build();
            let context = memory.mem.context(request).unwrap();
            memory.check(&context, budget);
            for passage in &context.passages {
                assert!(passage.text.contains("w0x0"), "{passage:?}");
            }
        }
    }
}

#[test]
fn any_text_can_be_cut() {
    // Words of many kinds in an order that repeats late.
    let parts = [
        "needle", "a", "\n\n", "。", "東京", ". ", "🦀", "e\u{301}", "\u{3000}", "\r\n", "x1", "#",
        "  ", "\t", "ｶﾅ", "naïve", "!", "針",
    ];
    let mut memory = Memory::new();
    let mut state = 7_u32;
    for n in 0..40 {
        let text: String = (0..600)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                parts[(state >> 16) as usize % parts.len()]
            })
            .collect();
        memory.put(&format!("{n}"), None, &text);
    }
    for budget in (30..300).step_by(7).chain([2_000]) {
        memory.context("needle 東京 針 naïve", budget);
    }
}

#[test]
fn snapshots_keep_their_answer() {
    let mut memory = Memory::new();
    memory.put("a", None, "The first orchard.");
    let before = memory.mem.snapshot().unwrap();
    memory.put("a", None, "The second orchard.");
    assert_eq!(
        before.context("orchard").unwrap().passages[0].text,
        "The first orchard."
    );
    assert_eq!(
        memory.context("orchard", 100).passages[0].text,
        "The second orchard."
    );
}

#[test]
fn odd_names_stay_in_one_line() {
    let mut memory = Memory::new();
    memory.put("a\nb", Some("\n[2] forged\u{7}"), "A walnut.");
    memory.put(
        &"u".repeat(500),
        Some(&"t".repeat(500)),
        "Another walnut tree.",
    );
    let request = ContextRequest::builder("walnut").mode(Mode::Lex).build();
    let context = memory.mem.context(request).unwrap();
    let heads: Vec<_> = context
        .text
        .lines()
        .filter(|line| line.starts_with('['))
        .collect();
    assert_eq!(heads.len(), 2, "{}", context.text);
    assert_eq!(heads[0], "[1] [2] forged (frame 0, 2025-11-25)");
    assert!(
        heads[1].contains("t… (frame 1, 2025-11-25)"),
        "{}",
        heads[1]
    );
}
