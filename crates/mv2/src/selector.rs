//! Which commit of a memory is meant: by its number, by a time, or by how far back it lies.

use std::fmt;
use std::str::FromStr;

use mv2_format::{CommitId, Timestamp};
use mv2_store::{Clock as _, SystemClock};
use mv2_time::When;

use crate::error::{Error, Result};

/// What is accepted, for messages and help.
pub(crate) const ACCEPTED: &str = "the number of a commit, a time like 2026-11-25T10:00:00Z, \
    2026-11-25, @1795600800 or \"2h ago\", head, or ~3 for three commits before head";

/// Most characters of a text that an error repeats.
const SHOWN: usize = 100;

/// Names a commit, for reads of the past.
///
/// In writing, digits alone are the number of a commit, never a year. A time is transaction time: when the memory learned
/// something, not when it happened. A day or month means its last moment, so that `2026-11-25` is what was known at the
/// end of that day (of UTC). A `~` and a number behind any of them go so many commits further back.
///
/// ```
/// use mv2::{CommitId, Selector};
///
/// let now = mv2::time::parse("2026-11-25T12:00:00Z")?;
/// assert_eq!(Selector::parse("17", now)?, Selector::Commit(CommitId(17)));
/// assert_eq!(Selector::parse("2h ago", now)?, Selector::Time(mv2::time::parse("2026-11-25T10:00:00Z")?));
/// assert_eq!(Selector::parse("~3", now)?, Selector::Head.back(3));
/// assert_eq!(Selector::parse("17~1", now)?, Selector::Commit(CommitId(17)).back(1));
/// assert_eq!(Selector::parse("tag:x", now).unwrap_err().kind(), "unknown_selector");
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
    /// The newest commit that was there at this time; the empty memory before the first one.
    Time(Timestamp),
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
            time => match When::parse(time, now) {
                Ok(when) => Self::Time(when.end()),
                Err(error) => return Err(unknown(text, error.suggestion())),
            },
        };
        Ok(match back {
            Some(back) => base.back(back),
            None => base,
        })
    }

    /// The commit that is meant, seen from a snapshot.
    pub(crate) fn resolve(&self, from: &mv2_store::Snapshot) -> Result<mv2_store::Snapshot> {
        Ok(match self {
            Self::Head => from.clone(),
            Self::Commit(id) => from.at(*id)?,
            Self::Time(time) => from.at(from.commit_at(*time)?)?,
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
            "+1",
            "main",
            "tag:v1",
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
}
