//! `cargo xtask tidy`: the rules of the tree that a compiler does not check.
//!
//! | check | rule |
//! |---|---|
//! | [`arrows`] | which crate of ours may depend on which, and who owns a dependency |
//! | [`access`] | no file access in the crates that only compute |
//! | [`unsafe_code`] | `unsafe` stands where the architecture says, and nowhere else |
//! | [`heads`] | each Rust file begins with what it is |
//! | [`crate_pages`] | each published crate has a README and a CHANGELOG |
//! | [`readme`] | the README shows the example that is compiled, and the command that CI runs |
//! | [`text`] | no trailing blanks, nothing of one machine in a tracked file |
//! | [`links`] | relative links and anchors in Markdown lead somewhere |
//! | [`decisions`] | decision records are numbered without holes or twins |
//! | [`codecs`] | the format page names the hash of the encoders that it was read against |
//!
//! All checks run; all that they find is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::ci::TEST_COMMAND;
use crate::workspace::{cargo, files, output, read, root};

/// Which crate of ours a crate may depend on. A dev-dependency may go sideways.
const ARROWS: &[(&str, &[&str])] = &[
    ("mv2-format", &[]),
    ("mv2-store", &["mv2-format"]),
    ("mv2-lex", &["mv2-format"]),
    ("mv2-time", &["mv2-format"]),
    ("mv2-embed", &["mv2-embed-static"]),
    ("mv2-embed-static", &[]),
    ("mv2-vec", &["mv2-format"]),
    (
        "mv2",
        &[
            "mv2-store",
            "mv2-lex",
            "mv2-time",
            "mv2-vec",
            "mv2-embed",
            "mv2-format",
        ],
    ),
    ("mv2-cli", &["mv2"]),
];

/// Who may name a dependency of others' making.
const OWNERS: &[(&str, &[&str])] = &[
    ("tantivy", &["mv2-lex", "xtask"]),
    ("snowball_stemmers_rs", &["mv2-lex"]),
    ("memmap2", &["mv2-store"]),
    ("rustix", &["mv2-store"]),
    ("anyhow", &["mv2-cli", "xtask"]),
    ("clap", &["mv2-cli", "xtask"]),
    ("candle-core", &["mv2-embed"]),
    ("candle-nn", &["mv2-embed"]),
    ("candle-transformers", &["mv2-embed"]),
    ("gemm", &["mv2-embed"]),
    ("tokenizers", &["mv2-embed"]),
    ("ureq", &["mv2-embed"]),
];

/// The crate that may depend on anything and that nobody depends on.
const TOOLS: &str = "xtask";

/// What opens a file or maps it.
const FILE_ACCESS: &[&str] = &["std::fs", "fs::", "File::", "memmap2", "Mmap"];

/// What makes the same input give another output.
const IMPURE: &[&str] = &[
    "std::time",
    "SystemTime",
    "Instant::",
    "std::thread",
    "std::env",
    "std::net",
    "std::process",
    "std::io",
    "getrandom",
];

/// Crates whose sources must not name certain things. Tests, benches and examples may.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("mv2-format", FILE_ACCESS),
    ("mv2-format", IMPURE),
    ("mv2-lex", FILE_ACCESS),
    ("mv2-time", FILE_ACCESS),
    ("mv2-time", IMPURE),
    ("mv2-vec", FILE_ACCESS),
    ("mv2-vec", IMPURE),
    ("mv2", FILE_ACCESS),
];

/// Where `unsafe` may stand.
const UNSAFE: &[&str] = &[
    "crates/mv2-store/src/storage/mmap.rs",
    "crates/mv2-lex/src/directory.rs",
    "crates/mv2-vec/src/kernel/mod.rs",
    "crates/mv2-vec/src/kernel/x86.rs",
    "crates/mv2-vec/src/kernel/neon.rs",
    "crates/mv2-embed/src/bert/matmul.rs",
];

/// Encoders and decoders whose hash stands in the format page.
const CODECS: &[&str] = &[
    "crates/mv2-format/src/header.rs",
    "crates/mv2-format/src/root.rs",
    "crates/mv2-format/src/wal.rs",
    "crates/mv2-format/src/toc.rs",
    "crates/mv2-format/src/segment.rs",
    "crates/mv2-format/src/data.rs",
    "crates/mv2-format/src/commits.rs",
    "crates/mv2-format/src/tombstones.rs",
    "crates/mv2-format/src/codec.rs",
    "crates/mv2-format/src/wire.rs",
    "crates/mv2-lex/FORMAT.md",
    "crates/mv2-time/FORMAT.md",
    "crates/mv2-vec/FORMAT.md",
];

const FORMAT_PAGE: &str = "docs/format.md";
const CODECS_MARK: &str = "<!-- codecs: ";

/// Runs all checks; with `bless`, writes the codecs' hash into the format page first.
pub(crate) fn run(bless: bool) -> Result<()> {
    if bless {
        write_codecs()?;
    }
    let tree = Tree::read()?;
    let mut problems = Vec::new();
    let checks: &[fn(&Tree, &mut Vec<String>)] = &[
        arrows,
        access,
        unsafe_code,
        heads,
        crate_pages,
        readme,
        text,
        links,
        decisions,
        codecs,
    ];
    for check in checks {
        check(&tree, &mut problems);
    }
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("tidy found {} problems", problems.len());
    }
    println!("tidy: {} files, no problem", tree.files.len());
    Ok(())
}

/// The tracked files and the packages, read once.
struct Tree {
    files: Vec<String>,
    /// Contents of those that are UTF-8.
    texts: BTreeMap<String, String>,
    packages: Vec<Package>,
}

struct Package {
    name: String,
    /// Folder, relative to the root.
    folder: String,
    published: bool,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    dev: bool,
}

impl Tree {
    fn read() -> Result<Self> {
        let root = root();
        let files = files()?;
        let mut texts = BTreeMap::new();
        for file in &files {
            let bytes =
                std::fs::read(root.join(file)).with_context(|| format!("cannot read {file}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                texts.insert(file.clone(), text);
            }
        }
        Ok(Self {
            files,
            texts,
            packages: packages(&root)?,
        })
    }

    fn text(&self, file: &str) -> Option<&str> {
        self.texts.get(file).map(String::as_str)
    }

    fn texts_with(&self, suffix: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.texts
            .iter()
            .filter(move |(file, _)| file.ends_with(suffix))
            .map(|(file, text)| (file.as_str(), text.as_str()))
    }
}

fn packages(root: &Path) -> Result<Vec<Package>> {
    let text = output(&mut cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
    ]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata is not JSON")?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut packages = Vec::new();
    for package in list(&metadata["packages"]) {
        let manifest = string(&package["manifest_path"]);
        let folder = Path::new(&manifest).parent().unwrap_or(root);
        let folder = folder.strip_prefix(root).unwrap_or(folder);
        packages.push(Package {
            name: string(&package["name"]),
            folder: folder.to_string_lossy().into_owned(),
            // `publish` is null for any registry, an empty list for none.
            published: !package["publish"].as_array().is_some_and(Vec::is_empty),
            dependencies: list(&package["dependencies"])
                .iter()
                .map(|dependency| Dependency {
                    name: string(&dependency["name"]),
                    dev: dependency["kind"] == "dev",
                })
                .collect(),
        });
    }
    Ok(packages)
}

/// Arrows between our crates, and owners of others' crates.
fn arrows(tree: &Tree, problems: &mut Vec<String>) {
    let ours: BTreeSet<&str> = tree.packages.iter().map(|p| p.name.as_str()).collect();
    for package in &tree.packages {
        let name = package.name.as_str();
        let allowed = ARROWS.iter().find(|(from, _)| *from == name);
        if allowed.is_none() && name != TOOLS {
            problems.push(format!(
                "{}/Cargo.toml: crate {name} has no row in ARROWS of xtask/src/tidy.rs",
                package.folder
            ));
            continue;
        }
        for dependency in package.dependencies.iter().filter(|d| !d.dev) {
            let to = dependency.name.as_str();
            let legal = allowed.is_none_or(|(_, allowed)| allowed.contains(&to));
            if ours.contains(to) && !legal {
                problems.push(format!(
                    "{}/Cargo.toml: the arrow {name} -> {to} is not allowed (docs/architecture.md)",
                    package.folder
                ));
            }
            let owners = OWNERS.iter().find(|(what, _)| *what == to);
            if let Some((_, owners)) = owners
                && !owners.contains(&name)
            {
                problems.push(format!(
                    "{}/Cargo.toml: only {} may depend on {to}",
                    package.folder,
                    owners.join(" and ")
                ));
            }
        }
    }
}

/// No file access, clock or thread where the architecture has none.
fn access(tree: &Tree, problems: &mut Vec<String>) {
    for (name, words) in FORBIDDEN {
        let Some(package) = tree.packages.iter().find(|p| p.name == *name) else {
            continue;
        };
        let sources = format!("{}/src/", package.folder);
        for (file, text) in tree.texts_with(".rs") {
            if !file.starts_with(&sources) || file.ends_with("/tests.rs") {
                continue;
            }
            for (number, line) in code_lines(text) {
                if let Some(word) = words.iter().find(|word| has_word(line, word)) {
                    problems.push(format!("{file}:{number}: {name} must not use {word}"));
                }
            }
        }
    }
}

/// The workspace denies unsafe code; each exception is one that the architecture knows.
fn unsafe_code(tree: &Tree, problems: &mut Vec<String>) {
    // Composed, so that this file does not hold it.
    let exception = concat!("(unsafe", "_code");
    for (file, text) in tree.texts_with(".rs") {
        for (index, line) in text.lines().enumerate() {
            if line.contains(exception) && !UNSAFE.contains(&file) {
                problems.push(format!("{file}:{}: no unsafe code here", index + 1));
            }
        }
    }
}

/// Lines of code with their numbers: no comments, and nothing from the test module on.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line.split(" // ").next().unwrap_or(line)))
}

/// Whether a line holds a path that begins with `word` and not in the middle of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// Each Rust file begins with `//!`, or with the README that says it instead.
fn heads(tree: &Tree, problems: &mut Vec<String>) {
    for (file, text) in tree.texts_with(".rs") {
        if !text.starts_with("//! ") && !text.starts_with("#![doc = include_str!(") {
            problems.push(format!(
                "{file}:1: begins without `//!` and a sentence of purpose"
            ));
        }
    }
}

/// README and CHANGELOG of each published crate.
fn crate_pages(tree: &Tree, problems: &mut Vec<String>) {
    for package in tree.packages.iter().filter(|package| package.published) {
        let expected = [
            ("README.md", format!("# {}\n", package.name)),
            ("CHANGELOG.md", "# Changelog".to_owned()),
        ];
        for (page, begin) in expected {
            let file = format!("{}/{page}", package.folder);
            match tree.text(&file) {
                None => problems.push(format!("{file}: missing")),
                Some(text) if !text.starts_with(&begin) => {
                    problems.push(format!("{file}:1: must begin with `{}`", begin.trim()));
                }
                Some(_) => {}
            }
        }
    }
}

/// The README's example is the one that is compiled, and its test command the one that CI runs.
fn readme(tree: &Tree, problems: &mut Vec<String>) {
    const README: &str = "README.md";
    const EXAMPLE: &str = "crates/mv2/examples/quickstart.rs";
    let Some(readme) = tree.text(README) else {
        problems.push(format!("{README}: missing"));
        return;
    };
    let command = format!("cargo {}", TEST_COMMAND.join(" "));
    if !readme.lines().any(|line| line == command) {
        problems.push(format!(
            "{README}: `{command}` must stand on a line of its own"
        ));
    }
    match (fenced(readme, "rust"), tree.text(EXAMPLE)) {
        (None, _) => problems.push(format!("{README}: has no example in Rust")),
        (_, None) => problems.push(format!("{EXAMPLE}: missing")),
        (Some(shown), Some(example)) => {
            let body: String = example
                .lines()
                .skip_while(|line| {
                    line.starts_with("//!") || line.starts_with("#!") || line.is_empty()
                })
                .map(|line| format!("{line}\n"))
                .collect();
            if shown != body {
                problems.push(format!(
                    "{README}: its example in Rust differs from {EXAMPLE}"
                ));
            }
        }
    }
}

/// The first fenced block of a language in a Markdown text.
fn fenced<'a>(text: &'a str, language: &str) -> Option<&'a str> {
    let open = format!("```{language}\n");
    let start = text.find(&open)? + open.len();
    let end = text[start..].find("```\n")?;
    Some(&text[start..start + end])
}

/// No trailing blanks, no marks of a merge that was left half done; nothing that holds on one machine only.
fn text(tree: &Tree, problems: &mut Vec<String>) {
    // Composed, so that this file does not hold them.
    let needles: Vec<String> = [
        ("/wor", "k/"),
        ("/roo", "t/"),
        ("/hom", "e/"),
        ("/Use", "rs/"),
        ("crates", ".io"),
        ("npmjs", ".org"),
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("debian", ".org"),
        ("proxy.golang", ".org"),
    ]
    .iter()
    .map(|(a, b)| format!("{a}{b}"))
    .collect();
    for (file, text) in &tree.texts {
        // Cargo writes it, with the address of the registry's index in it.
        if file.ends_with("Cargo.lock") {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if line.ends_with([' ', '\t', '\r']) {
                problems.push(format!("{file}:{number}: blanks at the end of the line"));
            }
            if ["<", ">", "|"]
                .iter()
                .any(|mark| line.starts_with(&format!("{} ", mark.repeat(7))))
            {
                problems.push(format!("{file}:{number}: the mark of a conflict"));
            }
            let found = needles.iter().find(|needle| {
                line.match_indices(needle.as_str()).any(|(at, _)| {
                    // `a/home/b` is a relative path, `framework/` is a word.
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(char::is_alphanumeric)
                })
            });
            if let Some(found) = found {
                problems.push(format!(
                    "{file}:{number}: names `{found}`, which is of one machine or registry"
                ));
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            problems.push(format!("{file}: does not end with a line end"));
        }
    }
}

/// Relative links in Markdown lead to files of the tree, anchors to headings.
fn links(tree: &Tree, problems: &mut Vec<String>) {
    for (file, text) in tree.texts_with(".md") {
        for (number, link) in links_of(text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link.as_str(), ""));
            let target = if path.is_empty() {
                Some(file.to_owned())
            } else {
                resolve(file, path)
            };
            let Some(target) = target.filter(|target| exists(tree, target)) else {
                problems.push(format!("{file}:{number}: the link to {link} leads nowhere"));
                continue;
            };
            if anchor.is_empty() || !target.ends_with(".md") {
                continue;
            }
            let anchors = tree.text(&target).map(headings).unwrap_or_default();
            if !anchors.iter().any(|heading| heading == anchor) {
                problems.push(format!(
                    "{file}:{number}: {target} has no heading #{anchor}"
                ));
            }
        }
    }
}

fn exists(tree: &Tree, target: &str) -> bool {
    let folder = format!("{}/", target.trim_end_matches('/'));
    tree.files
        .iter()
        .any(|file| file == target || file.starts_with(&folder))
}

/// A path relative to the folder of `file`, in terms of the root.
fn resolve(file: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Lines of Markdown outside of fenced blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((index + 1, line))
    })
}

/// Targets of the links of a Markdown text, with their lines.
fn links_of(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        // Every second piece stands between backticks; a link's own text may be one of them.
        let plain: String = line
            .split('`')
            .enumerate()
            .map(|(index, piece)| if index % 2 == 0 { piece } else { "code" })
            .collect();
        for (at, _) in plain.match_indices("](") {
            let rest = &plain[at + 2..];
            if let Some(end) = rest.find([')', ' ']) {
                links.push((number, rest[..end].to_owned()));
            }
        }
    }
    links
}

/// Anchors that the headings of a Markdown text get.
fn headings(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text).filter(|(_, line)| line.starts_with('#')) {
        let anchor: String = line
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let twins = anchors.iter().filter(|known| **known == anchor).count();
        anchors.push(if twins == 0 {
            anchor
        } else {
            format!("{anchor}-{twins}")
        });
    }
    anchors
}

/// Decision records: `NNNN-title.md`, numbered from 1 without holes or twins.
fn decisions(tree: &Tree, problems: &mut Vec<String>) {
    const FOLDER: &str = "docs/decisions/";
    let records = tree.files.iter().filter(|file| file.starts_with(FOLDER));
    for (file, number) in records.zip(1..) {
        let expected = format!("{FOLDER}{number:04}-");
        if !file.starts_with(&expected) {
            problems.push(format!("{file}: expected the number {number:04}"));
        }
    }
}

/// The hash in the format page is that of the encoders, where the page names one.
fn codecs(tree: &Tree, problems: &mut Vec<String>) {
    let Some(line) = tree.text(FORMAT_PAGE).and_then(codecs_line) else {
        return;
    };
    match codecs_hash() {
        Ok(hash) if line == codecs_mark(&hash) => {}
        Ok(hash) => problems.push(format!(
            "{FORMAT_PAGE}: the encoders changed (their hash is {hash}): read the page against them, \
             then run `cargo xtask tidy --bless`"
        )),
        Err(error) => problems.push(format!("{FORMAT_PAGE}: {error:#}")),
    }
}

fn codecs_line(page: &str) -> Option<&str> {
    page.lines().find(|line| line.starts_with(CODECS_MARK))
}

fn codecs_mark(hash: &str) -> String {
    format!("{CODECS_MARK}{hash} -->")
}

/// BLAKE3 of the encoders' sources, 16 bytes in hex. Each file's length goes in before it, so that
/// moving text from one to the next changes the hash.
fn codecs_hash() -> Result<String> {
    let mut all = Vec::new();
    for file in CODECS {
        let text = read(file)?;
        all.extend_from_slice(&(text.len() as u64).to_le_bytes());
        all.extend_from_slice(text.as_bytes());
    }
    Ok(crate::describe::hex(&mv2_format::checksum::hash16(&all)))
}

fn write_codecs() -> Result<()> {
    let page = read(FORMAT_PAGE)?;
    let mark = codecs_mark(&codecs_hash()?);
    let new = match codecs_line(&page) {
        Some(line) => page.replacen(line, &mark, 1),
        None => format!("{}\n\n{mark}\n", page.trim_end()),
    };
    std::fs::write(root().join(FORMAT_PAGE), new)
        .with_context(|| format!("cannot write {FORMAT_PAGE}"))?;
    println!("{FORMAT_PAGE}: {mark}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_at_their_start_only() {
        assert!(has_word("use std::fs;", "std::fs"));
        assert!(has_word("let f = fs::read(p);", "fs::"));
        assert!(!has_word("let o = Offs::new();", "fs::"));
        assert!(!has_word("MemFile::new()", "File::"));
    }

    #[test]
    fn code_ends_at_the_tests() {
        let text = "// std::fs\nlet a = 1;\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert_eq!(code_lines(text).collect::<Vec<_>>(), [(2, "let a = 1;")]);
    }

    #[test]
    fn links_and_headings_are_read_as_a_renderer_does() {
        let text = "# A `b`: c!\n\n[x](docs/a.md#b) `[no](link)`\n```\n[y](z)\n```\n[`k`](m.md)\n";
        let links: Vec<String> = links_of(text).into_iter().map(|(_, link)| link).collect();
        assert_eq!(links, ["docs/a.md#b", "m.md"]);
        assert_eq!(headings(text), ["a-b-c"]);
        assert_eq!(headings("# a\n## a\n"), ["a", "a-1"]);
    }

    #[test]
    fn paths_resolve_from_the_folder_of_the_page() {
        assert_eq!(resolve("docs/a.md", "../b.md").as_deref(), Some("b.md"));
        assert_eq!(
            resolve("docs/a.md", "c/d.md").as_deref(),
            Some("docs/c/d.md")
        );
        assert_eq!(resolve("a.md", "../b.md"), None);
    }

    #[test]
    fn the_first_block_of_a_language_is_found() {
        let text = "```sh\na\n```\n```rust\nb\n```\n";
        assert_eq!(fenced(text, "rust"), Some("b\n"));
        assert_eq!(fenced(text, "toml"), None);
    }
}
