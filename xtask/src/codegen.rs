//! `cargo xtask codegen`: pages that the code itself prints, written into the tree or compared with it.
//!
//! | page | printed by |
//! |---|---|
//! | `docs/cli.md` | `mv2 generate markdown`, from the one definition of commands and flags |

use anyhow::{Context, Result, bail};

use crate::workspace::{cargo, output, root};

/// A page, and the arguments of `mv2` that print it.
const PAGES: &[(&str, &[&str])] = &[("docs/cli.md", &["generate", "markdown"])];

/// What to do with the pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Write those that changed.
    Write,
    /// Fail if one changed.
    Check,
}

/// Prints each page and writes or compares it.
pub(crate) fn run(mode: Mode) -> Result<()> {
    let mut outdated = 0;
    for (page, args) in PAGES {
        let run = ["run", "-q", "-p", "mv2-cli", "--"];
        let new = output(&mut cargo(&[&run, *args].concat()))?;
        let old = std::fs::read_to_string(root().join(page)).unwrap_or_default();
        match first_difference(&old, &new) {
            None => println!("{page}: as the code says"),
            Some((line, was, is)) if mode == Mode::Check => {
                outdated += 1;
                println!("{page}:{line}: outdated\n  page: {was}\n  code: {is}");
            }
            Some(_) => {
                std::fs::write(root().join(page), new)
                    .with_context(|| format!("cannot write {page}"))?;
                println!("{page}: written");
            }
        }
    }
    if outdated > 0 {
        bail!("{outdated} generated pages are outdated; run `cargo xtask codegen` and commit them");
    }
    Ok(())
}

/// The number of the first line that differs, and what it is on either side.
fn first_difference<'a>(old: &'a str, new: &'a str) -> Option<(usize, &'a str, &'a str)> {
    const END: &str = "(the end)";
    if old == new {
        return None;
    }
    let (mut old, mut new) = (old.lines(), new.lines());
    for line in 1.. {
        match (old.next(), new.next()) {
            (Some(was), Some(is)) if was == is => {}
            (None, None) => return Some((line, "(another line end)", END)),
            (was, is) => return Some((line, was.unwrap_or(END), is.unwrap_or(END))),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some((2, "b", "c")));
        assert_eq!(
            first_difference("a\n", "a\nc\n"),
            Some((2, "(the end)", "c"))
        );
        assert!(first_difference("a\n", "a").is_some());
    }
}
