//! Which commit of a memory is meant: by its number, by a time, by the name of a branch or tag, or by how far back it lies.

use std::fmt;
use std::str::FromStr;

use mv2_format::refs::check_name;
use mv2_format::{CommitId, Timestamp};
use mv2_store::{Clock as _, SystemClock};
use mv2_time::When;

use crate::error::{Error, Result};

/// What is accepted, for messages and help.
pub(crate) const ACCEPTED: &str = "the number of a commit, a time like 2026-11-25T10:00:00Z, \
    2026-11-25, @1795600800 or \"2h ago\", head, the name of a branch or tag (branch:x or tag:x if both have it), \
    or ~3 for three commits before head";

/// Most characters of a text that an error repeats.
const SHOWN: usize = 100;

/// Names a commit, for reads of the past.
///
/// In writing, digits alone are the number of a commit, never a year. A time is transaction time: when the memory learned
/// something, not when it happened. A day or month means its last moment, so that `2026-11-25` is what was known at the
/// end of that day (of UTC). A `~` and a number behind any of them go so many commits further back. What is none of these is
/// the name of a branch or a tag; `branch:` and `tag:` before a name say which, and also that it is no time: `branch:today`.
///
/// ```
/// use mv2::{CommitId, Selector};
///
/// let now = mv2::time::parse("2026-11-25T12:00:00Z")?;
/// assert_eq!(Selector::parse("17", now)?, Selector::Commit(CommitId(17)));
/// assert_eq!(Selector::parse("2h ago", now)?, Selector::Time(mv2::time::parse("2026-11-25T10:00:00Z")?));
/// assert_eq!(Selector::parse("~3", now)?, Selector::Head.back(3));
/// assert_eq!(Selector::parse("17~1", now)?, Selector::Commit(CommitId(17)).back(1));
/// assert_eq!(Selector::parse("draft", now)?, Selector::Name("draft".into()));
/// assert_eq!(Selector::parse("tag:v1~2", now)?, Selector::Tag("v1".into()).back(2));
/// assert_eq!(Selector::parse("not a name", now).unwrap_err().kind(), "unknown_selector");
/// # Ok::<(), mv2::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selector {
    /// The newest commit.
    #[default]
    Head,
    /// The commit with this number; 0 is the empty memory before the first one.
    Commit(CommitId),
    /// The newest commit that was there at this time; the empty memory before the first one. Of a branch that was rewound since, it is
    /// the one that was its head then.
    Time(Timestamp),
    /// The newest commit of the branch with this name.
    Branch(String),
    /// The commit of the tag with this name.
    Tag(String),
    /// The branch or the tag with this name: the one that there is, or either if both are at the same commit.
    Name(String),
    /// So many commits before another one.
    Back(Box<Self>, u64),
}

impl Selector {
    /// So many commits before this one.
    #[must_use]
    pub fn back(self, commits: u64) -> Self {
        Self::Back(Box::new(self), commits)
    }

    /// Reads a selector. `now` is the present time, to which `2h ago` is relative; [`FromStr`] takes the system's.
    ///
    /// # Errors
    /// `unknown_selector`.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self> {
        let trimmed = text.trim();
        let (base, back) = match trimmed.rsplit_once('~') {
            Some((base, "")) => (base, Some(1)),
            Some((base, digits)) if is_digits(digits) => {
                let back = digits.parse().map_err(|_| unknown(text, None))?;
                (base, Some(back))
            }
            Some(_) => return Err(unknown(text, None)),
            None => (trimmed, None),
        };
        let base = match base {
            "" if back.is_some() => Self::Head,
            name if name.eq_ignore_ascii_case("head") => Self::Head,
            digits if is_digits(digits) => match digits.parse() {
                Ok(id) => Self::Commit(CommitId(id)),
                Err(_) => return Err(unknown(text, None)),
            },
            name => Self::parse_name(name, now)
                .map_err(|suggestion| unknown(text, suggestion.as_deref()))?,
        };
        Ok(match back {
            Some(back) => base.back(back),
            None => base,
        })
    }

    /// What is neither a number nor `head`. An error is what was probably meant.
    fn parse_name(text: &str, now: Timestamp) -> Result<Self, Option<String>> {
        let named = |name: &str, named: fn(String) -> Self| match check_name(name) {
            Ok(()) => Ok(named(name.to_owned())),
            Err(_) => Err(None),
        };
        if let Some(name) = text.strip_prefix("branch:") {
            return named(name, Self::Branch);
        }
        if let Some(name) = text.strip_prefix("tag:") {
            return named(name, Self::Tag);
        }
        match When::parse(text, now) {
            Ok(when) => Ok(Self::Time(when.end())),
            Err(error) => {
                named(text, Self::Name).map_err(|_| error.suggestion().map(str::to_owned))
            }
        }
    }

    /// The commit that is meant, seen from a snapshot.
    pub(crate) fn resolve(&self, from: &mv2_store::Snapshot) -> Result<mv2_store::Snapshot> {
        Ok(match self {
            Self::Head => from.clone(),
            Self::Commit(id) => from.at(*id)?,
            Self::Time(time) => from.at_time(*time)?,
            Self::Branch(name) => from.at_branch(name)?,
            Self::Tag(name) => from.at_tag(name)?,
            Self::Name(name) => by_name(name, from)?,
            Self::Back(base, commits) => {
                let base = base.resolve(from)?;
                let found = base.ancestor(*commits)?.ok_or_else(|| Error::TooFarBack {
                    commits: *commits,
                    from: base.commit_id(),
                })?;
                base.at(found)?
            }
        })
    }
}

/// The branch or tag with a name.
fn by_name(name: &str, from: &mv2_store::Snapshot) -> Result<mv2_store::Snapshot> {
    let mut names = vec!["head".to_owned()];
    let mut found = |result| match result {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(mv2_store::Error::NoSuchRef { known, .. }) => {
            names.extend(known);
            Ok(None)
        }
        Err(error) => Err(error),
    };
    match (found(from.at_branch(name))?, found(from.at_tag(name))?) {
        (Some(branch), Some(tag)) if branch.commit_id() != tag.commit_id() => {
            Err(Error::AmbiguousSelector {
                name: name.to_owned(),
                branch: branch.commit_id(),
                tag: tag.commit_id(),
            })
        }
        (Some(snapshot), _) | (None, Some(snapshot)) => Ok(snapshot),
        (None, None) => {
            let near = nearest(name, &names).map(str::to_owned);
            // A time that is misspelt reads as a name.
            let time = || {
                When::parse(name, SystemClock.now())
                    .err()?
                    .suggestion()
                    .map(str::to_owned)
            };
            Err(unknown(name, near.or_else(time).as_deref()))
        }
    }
}

/// The name that looks most like a text, if one does.
pub(crate) fn nearest<'a>(text: &str, names: &'a [String]) -> Option<&'a str> {
    // A third of the letters may be wrong, and one of a short name.
    let most = 1 + text.chars().count() / 3;
    let distances = names.iter().map(|name| {
        let distance = strsim::osa_distance(&text.to_lowercase(), &name.to_lowercase());
        (distance, name)
    });
    let best = distances.min_by_key(|(distance, _)| *distance);
    let near = best.filter(|(distance, name)| *distance <= most && *distance < name.len());
    near.map(|(_, name)| name.as_str())
}

/// The steps that builders of requests share which can be asked of the past.
macro_rules! past_steps {
    ($request:ident, $field:ident) => {
        #[doc = concat!("Sets [`", stringify!($request), "::at`].")]
        pub fn at(mut self, selector: impl Into<$crate::Selector>) -> Self {
            self.$field.at = Some(selector.into());
            self
        }

        #[doc = concat!("Sets [`", stringify!($request), "::at_timestamp`]. A whole number is seconds since the Unix epoch.")]
        pub fn at_timestamp(mut self, time: impl Into<$crate::Timestamp>) -> Self {
            self.$field.at_timestamp = Some(time.into());
            self
        }
    };
}
pub(crate) use past_steps;

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn unknown(text: &str, suggestion: Option<&str>) -> Error {
    Error::UnknownSelector {
        text: text.chars().take(SHOWN).collect(),
        suggestion: suggestion.map(str::to_owned),
    }
}

/// As it is written.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Commit(id) => write!(f, "{id}"),
            Self::Time(time) => write!(f, "{time}"),
            Self::Branch(name) => write!(f, "branch:{name}"),
            Self::Tag(name) => write!(f, "tag:{name}"),
            Self::Name(name) => f.write_str(name),
            Self::Back(base, commits) => write!(f, "{base}~{commits}"),
        }
    }
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text, SystemClock.now())
    }
}

impl From<CommitId> for Selector {
    fn from(id: CommitId) -> Self {
        Self::Commit(id)
    }
}

/// The number of a commit.
impl From<u64> for Selector {
    fn from(id: u64) -> Self {
        Self::Commit(CommitId(id))
    }
}

impl From<Timestamp> for Selector {
    fn from(time: Timestamp) -> Self {
        Self::Time(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_569_003_000_000);

    #[test]
    fn what_is_printed_is_read_back() {
        let selectors = [
            Selector::Head,
            Selector::Head.back(0),
            Selector::Commit(CommitId(0)),
            Selector::Commit(CommitId(u64::MAX)).back(7),
            Selector::Time(NOW),
            Selector::Time(Timestamp(-1)).back(2),
            Selector::Branch("today".to_owned()),
            Selector::Branch("main".to_owned()).back(1),
            Selector::Tag("v1.0".to_owned()),
            Selector::Name("agent/7".to_owned()),
            Selector::Name("日本".to_owned()).back(4),
        ];
        for selector in selectors {
            let text = selector.to_string();
            assert_eq!(Selector::parse(&text, NOW).unwrap(), selector, "{text}");
        }
    }

    #[test]
    fn a_day_is_its_end_and_digits_are_a_commit() {
        let parse = |text| Selector::parse(text, NOW).unwrap();
        let end = mv2_time::When::parse("2024-05-01", NOW).unwrap().end();
        assert_eq!(parse("2024-05-01"), Selector::Time(end));
        assert_eq!(parse("2024"), Selector::Commit(CommitId(2024)));
        assert_eq!(parse(" HEAD~ "), Selector::Head.back(1));
        assert_eq!(parse("@5"), Selector::Time(Timestamp(5_000_000)));
        assert_eq!(parse("now"), Selector::Time(NOW));
    }

    #[test]
    fn what_is_no_selector_is_an_error_that_says_what_is_one() {
        let long = "x".repeat(100_000);
        let texts = [
            "",
            "~~",
            "~x",
            "3~-1",
            "-1",
            "two words",
            "tag:",
            "tag:1",
            "branch:a b",
            "branch:tag:x",
            "main~x",
            ":x",
            "99999999999999999999",
            &long,
        ];
        for text in texts {
            let error = Selector::parse(text, NOW).expect_err(text);
            assert_eq!(error.kind(), "unknown_selector", "{text}");
            assert!(error.to_string().len() < 500, "{error}");
            assert!(
                error.hint().is_some_and(|hint| hint.contains("~3")),
                "{error}"
            );
        }
        let error = Selector::parse("2024-5-1", NOW).unwrap_err();
        assert!(error.hint().unwrap().contains("2024-05-01"));
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["head", "main", "draft", "agent/seven"].map(str::to_owned);
        let cases = [
            ("drfat", Some("draft")),
            ("Draft", Some("draft")),
            ("mian", Some("main")),
            ("agent/sevn", Some("agent/seven")),
            ("release", None),
            ("x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(nearest(text, &names), expected, "{text}");
        }
    }
}
