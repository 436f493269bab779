//! Transformer models against the implementations that they were published with: `fixtures/bert/make.py` made what is expected.

use std::path::{Path, PathBuf};

use mv2_embed::{BertEmbedder, Embedder, Error, NoVector, Role};
use serde::Deserialize;

/// How far a number of a vector of length 1 may be from that of the reference.
const TOLERANCE: f32 = 1e-5;

/// The small models.
const FAMILIES: [&str; 7] = [
    "bert-mean",
    "bert-cls",
    "nomic",
    "e5",
    "xlm-roberta",
    "distilbert",
    "modernbert",
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/bert")
}

fn texts() -> Vec<String> {
    serde_json::from_slice(&std::fs::read(fixtures().join("texts.json")).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Expected {
    role: String,
    text: usize,
    vector: Vec<f32>,
}

/// What the fixtures were made by and of, as BLAKE3.
#[derive(Deserialize)]
struct Made {
    script: String,
    minilm: String,
}

fn made() -> Made {
    serde_json::from_slice(&std::fs::read(fixtures().join("made.json")).unwrap()).unwrap()
}

/// The largest difference between two lists of numbers. Not a number is the largest of all.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |top, x| if x <= top { top } else { x })
}

#[test]
fn what_is_expected_was_made_by_the_script_that_is_here() {
    let script = std::fs::read(fixtures().join("make.py")).unwrap();
    assert_eq!(made().script, blake3::hash(&script).to_hex().as_str());
}

#[test]
fn each_family_gives_the_vectors_of_its_reference() {
    let texts = texts();
    for family in FAMILIES {
        let folder = fixtures().join(family);
        let model = BertEmbedder::from_folder(&folder).unwrap();
        let expected: Vec<Expected> =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        for (name, role) in [("query", Role::Query), ("passage", Role::Passage)] {
            let expected: Vec<&Expected> = expected.iter().filter(|e| e.role == name).collect();
            let texts: Vec<&str> = expected.iter().map(|e| &texts[e.text][..]).collect();
            let wanted: Vec<f32> = expected.iter().flat_map(|e| e.vector.clone()).collect();
            let mut found = Vec::new();
            model.embed_all(&texts, role, &mut found).unwrap();
            let far = difference(&found, &wanted);
            assert!(far < TOLERANCE, "{family} {name}: {far}");
        }
    }
}

#[test]
fn a_text_has_the_same_bits_alone_and_among_others() {
    let texts = texts();
    // Long ones as well, which some models run by themselves.
    let long = texts[..40].concat();
    let texts: Vec<&str> = texts[..60]
        .iter()
        .map(String::as_str)
        .chain([&long[..]])
        .collect();
    for family in FAMILIES {
        let model = BertEmbedder::from_folder(&fixtures().join(family)).unwrap();
        let width = model.spec().dims as usize;
        let mut all = Vec::new();
        model.embed_all(&texts, Role::Query, &mut all).unwrap();
        for (text, vector) in texts.iter().zip(all.chunks_exact(width)) {
            let mut alone = Vec::new();
            model.embed_all(&[text], Role::Query, &mut alone).unwrap();
            assert_eq!(alone, vector, "{family}: {text}");
        }
    }
}

#[test]
fn long_texts_of_modernbert_are_cut_and_have_the_same_bits_as_well() {
    let folder = copy("modernbert");
    let lengths = [
        "\"max_position_embeddings\": 128",
        "\"max_position_embeddings\": 8192",
    ];
    change(&folder, "config.json", lengths[0], lengths[1]);
    let model = BertEmbedder::from_folder(folder.path()).unwrap();
    assert_eq!(model.spec().max_tokens, 2048);
    // Those of more than 512 tokens run by themselves.
    let long = "the keeper wrote between storms ".repeat(400);
    let texts = [&long[..9000], "car", &long[..3000], "灯台", &long];
    let lengths = texts.map(|text| model.token_count(text));
    assert!(
        lengths[0] > 2048 && lengths[2] > 512 && lengths[2] < 2048,
        "{lengths:?}"
    );
    let mut all = Vec::new();
    model.embed_all(&texts, Role::Query, &mut all).unwrap();
    let vector = |at: usize| &all[at * 32..(at + 1) * 32];
    assert_eq!(vector(0), vector(4), "both are cut at the same token");
    assert_ne!(vector(0), vector(2));
    for (at, text) in texts.iter().enumerate() {
        let mut alone = Vec::new();
        model.embed_all(&[text], Role::Query, &mut alone).unwrap();
        assert_eq!(alone, vector(at), "{at}");
    }
}

/// What would stay unseen if the texts were too short, or all layers looked at all of a text.
#[test]
fn the_window_of_modernbert_is_kept() {
    let texts = texts();
    let texts: Vec<&str> = texts[..40].iter().map(String::as_str).collect();
    let vectors = |folder: &Path| {
        let mut out = Vec::new();
        let model = BertEmbedder::from_folder(folder).unwrap();
        model.embed_all(&texts, Role::Passage, &mut out).unwrap();
        out
    };
    let (folder, other) = (copy("modernbert"), copy("modernbert"));
    change(
        &other,
        "config.json",
        "\"local_attention\": 8",
        "\"local_attention\": 10",
    );
    let far = difference(&vectors(folder.path()), &vectors(other.path()));
    assert!(far > 1e-3, "{far}");
}

/// A copy of a model, to be damaged.
fn copy(family: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(fixtures().join(family).join(file), copy.path().join(file)).unwrap();
    }
    copy
}

/// Writes something else in a file of a copy, once.
fn change(copy: &tempfile::TempDir, file: &str, from: &str, to: &str) {
    let path = copy.path().join(file);
    std::fs::write(&path, replaced(std::fs::read(&path).unwrap(), from, to)).unwrap();
}

fn replaced(bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let at = bytes
        .windows(from.len())
        .position(|part| part == from.as_bytes())
        .unwrap();
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

#[test]
fn a_missing_file_is_named() {
    for (family, file) in ["nomic", "modernbert"].into_iter().flat_map(|family| {
        ["config.json", "tokenizer.json", "model.safetensors"].map(|file| (family, file))
    }) {
        let folder = copy(family);
        std::fs::remove_file(folder.path().join(file)).unwrap();
        match BertEmbedder::from_folder(folder.path()) {
            Err(Error::ModelFile { path, .. }) => assert!(path.ends_with(file)),
            other => panic!("{family}, {file}: {other:?}"),
        }
    }
}

#[test]
fn what_is_wrong_with_a_model_that_candle_runs_is_named_as_well() {
    let damage = |file: &str, from: &str, to: &str| {
        let folder = copy("modernbert");
        change(&folder, file, from, to);
        let error = BertEmbedder::from_folder(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Model { .. }), "{error:?}");
        error.to_string()
    };
    // Without that norm candle would compute something else and say nothing.
    let said = damage(
        "model.safetensors",
        "layers.2.attn_norm.weight",
        "layers.2.attn_form.weight",
    );
    assert!(
        said.contains("tensor layers.2.attn_norm.weight") && said.contains("none"),
        "{said}"
    );
    let said = damage(
        "config.json",
        "\"intermediate_size\": 48",
        "\"intermediate_size\": 64",
    );
    assert!(
        said.contains("layers.0.mlp.Wi") && said.contains("[96, 32]"),
        "{said}"
    );
    let said = damage("config.json", "\"vocab_size\": 400", "\"vocab_size\": 300");
    assert!(said.contains("tokenizer.json, vocabulary"), "{said}");
    let said = damage(
        "config.json",
        "\"hidden_activation\": \"gelu\"",
        "\"hidden_activation\": \"silu\"",
    );
    assert!(
        said.contains("hidden_activation: expected \"gelu\", found \"silu\""),
        "{said}"
    );
    let said = damage(
        "config.json",
        "\"model_type\": \"modernbert\"",
        "\"model_type\": \"mpnet\"",
    );
    for known in [
        "config.json",
        "mpnet",
        "bert",
        "distilbert",
        "nomic_bert",
        "modernbert",
    ] {
        assert!(said.contains(known), "{said}");
    }
    let folder = copy("modernbert");
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = 8 + usize::from(bytes[0]) + 256 * usize::from(bytes[1]);
    // The first number of the first tensor, in half precision.
    bytes[at..at + 2].copy_from_slice(&half::f16::NAN.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let said = BertEmbedder::from_folder(folder.path())
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("tensor embeddings.norm.weight") && said.contains("NaN at 0"),
        "{said}"
    );
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let said = BertEmbedder::from_folder(folder.path())
        .unwrap_err()
        .to_string();
    assert!(said.contains("whole"), "{said}");
}

#[test]
fn a_damaged_file_is_named_with_what_is_wrong() {
    let damage = |file: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let folder = copy("bert-mean");
        let path = folder.path().join(file);
        std::fs::write(&path, change(std::fs::read(&path).unwrap())).unwrap();
        let error = BertEmbedder::from_folder(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Model { .. }), "{error:?}");
        error.to_string()
    };
    let replace =
        |from: &'static str, to: &'static str| move |bytes: Vec<u8>| replaced(bytes, from, to);
    let half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    assert!(damage("config.json", &half).contains("config.json, content"));
    assert!(damage("tokenizer.json", &half).contains("tokenizer.json, content"));
    assert!(damage("model.safetensors", &half).contains("whole"));
    let said = damage("tokenizer.json", &replace(": 299", ": 300"));
    assert!(said.contains("vocab_size, 300"), "{said}");
    let said = damage(
        "config.json",
        &replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"),
    );
    assert!(
        said.contains("model.safetensors, tensor encoder.layer.2.") && said.contains("none"),
        "{said}"
    );
    let said = damage(
        "config.json",
        &replace("\"intermediate_size\": 48", "\"intermediate_size\": 64"),
    );
    assert!(
        said.contains("intermediate.dense") && said.contains("[48, 32]"),
        "{said}"
    );
    let huge = |bytes: Vec<u8>| [&u64::MAX.to_le_bytes(), &bytes[8..]].concat();
    assert!(damage("model.safetensors", &huge).contains("length of the header"));
    let spoilt = |bytes: Vec<u8>| {
        // The first number of the first tensor.
        let at = 8 + usize::from(bytes[0]) + 256 * usize::from(bytes[1]);
        [&bytes[..at], &f32::INFINITY.to_le_bytes(), &bytes[at + 4..]].concat()
    };
    let said = damage("model.safetensors", &spoilt);
    assert!(
        said.contains("tensor embeddings.LayerNorm.bias") && said.contains("inf at 0"),
        "{said}"
    );
}

#[test]
fn a_text_without_a_vector_is_refused_with_a_reason() {
    let model = BertEmbedder::from_folder(&fixtures().join("e5")).unwrap();
    let mut out = vec![1.0];
    for text in ["", " \n ", "?!"] {
        let error = model
            .embed(&["word", text], Role::Passage, &mut out)
            .unwrap_err();
        let empty = matches!(
            error,
            Error::NoVector {
                index: 1,
                reason: NoVector::Empty
            }
        );
        assert!(empty, "{text:?}: {error}");
        assert_eq!(out, [1.0], "nothing is left behind");
    }
    model.embed(&[], Role::Passage, &mut out).unwrap();
    assert_eq!(out, [1.0]);
}

#[test]
fn a_huge_word_and_a_long_text_are_cut() {
    for family in ["bert-mean", "e5", "modernbert"] {
        let model = BertEmbedder::from_folder(&fixtures().join(family)).unwrap();
        let word = "x".repeat(10_000_000);
        let mut out = Vec::new();
        match model.check(&word) {
            Ok(()) => model.embed(&[&word], Role::Passage, &mut out).unwrap(),
            Err(reason) => assert_eq!(reason, NoVector::NoTokens),
        }
        assert!(out.iter().all(|x| x.is_finite()));
        let long = "the keeper wrote between storms ".repeat(10_000);
        assert!(model.token_count(&long) >= 50_000);
        let (mut whole, mut begin) = (Vec::new(), Vec::new());
        model.embed(&[&long], Role::Passage, &mut whole).unwrap();
        model
            .embed(&[&long[..4000]], Role::Passage, &mut begin)
            .unwrap();
        assert_eq!(whole, begin);
    }
}

#[test]
fn a_copy_under_the_same_name_is_the_same_model() {
    let parent = tempfile::tempdir().unwrap();
    let (first, second) = (copy("e5"), copy("e5"));
    let open = |folder: &tempfile::TempDir, at: &str| {
        let moved = parent.path().join(at);
        std::fs::create_dir_all(moved.parent().unwrap()).unwrap();
        std::fs::rename(folder.path(), &moved).unwrap();
        BertEmbedder::from_folder(&moved).unwrap().spec().clone()
    };
    // A known name: the table says how it is used, and the files need not.
    let (first, second) = (
        open(&first, "a/multilingual-e5-small"),
        open(&second, "b/multilingual-e5-small"),
    );
    assert_eq!(first.query_prefix, "query: ");
    assert_eq!(first.identity(), second.identity());
    let other = BertEmbedder::from_folder(&fixtures().join("xlm-roberta")).unwrap();
    assert_ne!(first.weights, other.spec().weights);
    assert_ne!(first.revision, other.spec().revision);
}

/// The weights that `cargo xtask transformers` installs.
fn minilm() -> BertEmbedder {
    let folder = std::env::var_os("MV2_MINILM").expect("`cargo xtask transformers` sets it");
    BertEmbedder::from_folder(Path::new(&folder)).unwrap()
}

#[test]
#[ignore = "needs the weights; `cargo xtask transformers`"]
fn minilm_gives_the_vectors_of_its_reference() {
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let wanted = std::fs::read(fixtures().join("minilm.f32")).unwrap();
    let wanted: Vec<f32> = wanted
        .as_chunks()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    let model = minilm();
    let weights = blake3::Hash::from_bytes(model.spec().weights);
    assert_eq!(weights.to_hex().as_str(), made().minilm);
    assert!(model.is_latin_only());
    assert_eq!(
        model.check("東京へ行く"),
        Err(NoVector::NotCovered { coverage: 0.0 })
    );
    assert_eq!(model.check(&"x".repeat(150)), Err(NoVector::NoTokens));
    let mut found = Vec::new();
    model.embed_all(&texts, Role::Passage, &mut found).unwrap();
    let far = difference(&found, &wanted);
    assert!(far < TOLERANCE, "{far}");
}

#[test]
#[ignore = "needs the weights; `cargo xtask transformers`"]
fn minilm_gives_a_text_the_same_bits_alone_and_among_others() {
    let model = minilm();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut all = Vec::new();
    model.embed_all(&texts, Role::Query, &mut all).unwrap();
    for (text, vector) in texts.iter().zip(all.chunks_exact(384)).step_by(7) {
        let mut alone = Vec::new();
        model.embed_all(&[text], Role::Query, &mut alone).unwrap();
        assert_eq!(alone, vector, "{text}");
    }
}
