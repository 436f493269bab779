//! Times as people and programs write them: RFC 3339, dates, months, years, Unix seconds, `2h ago`.
//!
//! A date names a whole day and not a moment: as `since` it stands for its start, as `until` for its
//! end, so that `--since 2024-05-01 --until 2024-05-01` is that day. All days are those of UTC: what
//! a memory answers must not depend on where its process runs. What is finer than a microsecond is
//! cut off.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use mv2_format::Timestamp;

use crate::error::{Error, Result, shorten};

/// What is accepted, for messages and help.
pub const ACCEPTED: &str = "RFC 3339 like 2024-05-01T10:00:00Z, a day like 2024-05-01, 2024-05, \
    2024, Unix seconds like @1714521600, now, today, yesterday, or something like \"2h ago\"";

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A time that somebody wrote: a moment or a whole day, month or year.
///
/// ```
/// use mv2_format::Timestamp;
/// use mv2_time::When;
///
/// let now: Timestamp = When::parse("2024-05-02T12:00:00Z", Timestamp(0))?.start();
/// let day = When::parse("yesterday", now)?;
/// assert_eq!(day, When::parse("2024-05-01", now)?);
/// assert_eq!(day.start().to_string(), "2024-05-01T00:00:00.000000Z");
/// assert_eq!(day.end().to_string(), "2024-05-01T23:59:59.999999Z");
/// assert_eq!(When::parse("90m ago", now)?.start().to_string(), "2024-05-02T10:30:00.000000Z");
/// assert_eq!(When::parse("2024-5-1", now).unwrap_err().suggestion(), Some("2024-05-01"));
/// # Ok::<(), mv2_time::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct When {
    start: Timestamp,
    end: Timestamp,
}

/// Read
impl When {
    /// Reads a time. `now` is the present time, to which `2h ago` and `today` are relative.
    ///
    /// # Errors
    /// [`Error::NotATime`] with a suggestion where one comes to mind; [`Error::OutOfRange`].
    pub fn parse(text: &str, now: Timestamp) -> Result<Self> {
        let lower = text.trim().to_ascii_lowercase();
        match read(&lower, now) {
            Form::Is(when) => Ok(when),
            Form::OutOfRange => Err(Error::OutOfRange {
                text: shorten(text),
            }),
            Form::Other => Err(Error::NotATime {
                text: shorten(text),
                suggestion: suggest(&lower, now),
            }),
        }
    }

    /// Whether a text means another time tomorrow than it does today: `2h ago`, `today`, `now`.
    pub fn is_relative(text: &str) -> bool {
        let lower = text.trim().to_ascii_lowercase();
        WORDS.contains(&lower.as_str()) || parse_ago(&lower, Timestamp(0)) != Form::Other
    }
}

/// Access
impl When {
    /// The moment, or the first of the day, month or year: what `since` means.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// The moment, or the last microsecond of the day, month or year: what `until` means.
    pub fn end(&self) -> Timestamp {
        self.end
    }
}

/// What one form of writing makes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Is(When),
    /// It is of this form, and means a time that cannot be expressed.
    OutOfRange,
    /// It is not of this form.
    Other,
}

impl Form {
    fn moment(micros: Option<i64>) -> Self {
        micros.map_or(Self::OutOfRange, |micros| {
            Self::Is(When {
                start: Timestamp(micros),
                end: Timestamp(micros),
            })
        })
    }

    /// From a time up to, and without, another one.
    fn span(start: Option<i64>, end: Option<i64>) -> Self {
        match (start, end) {
            (Some(start), Some(end)) => Self::Is(When {
                start: Timestamp(start),
                end: Timestamp(end - 1),
            }),
            _ => Self::OutOfRange,
        }
    }
}

/// Each form recognises its own texts, so that at most one of them speaks.
fn read(lower: &str, now: Timestamp) -> Form {
    let forms = [
        parse_word(lower, now),
        parse_calendar(lower),
        parse_unix(lower),
        parse_rfc3339(lower),
        parse_ago(lower, now),
    ];
    let speaks = |form: &Form| *form != Form::Other;
    forms.into_iter().find(speaks).unwrap_or(Form::Other)
}

const WORDS: [&str; 3] = ["now", "today", "yesterday"];

fn parse_word(text: &str, now: Timestamp) -> Form {
    let now = now.as_micros();
    let days_ago = match text {
        "now" => return Form::moment(Some(now)),
        "today" => 0,
        "yesterday" => 1,
        _ => return Form::Other,
    };
    let start = now
        .div_euclid(DAY)
        .checked_sub(days_ago)
        .and_then(|day| day.checked_mul(DAY));
    Form::span(start, start.and_then(|start| start.checked_add(DAY)))
}

/// `2024-05-01`, `2024-05` or `2024`, each number with all of its digits.
fn parse_calendar(text: &str) -> Form {
    let parts: Vec<&str> = text.splitn(4, '-').collect();
    let widths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    if ![&[4, 2, 2][..], &[4, 2], &[4]].contains(&&widths[..]) || !parts.iter().all(is_digits) {
        return Form::Other;
    }
    let number = |at: usize| parts.get(at).and_then(|part| part.parse::<u32>().ok());
    let (year, month, day) = (number(0).unwrap_or(0), number(1), number(2));
    // Four digits fit into any integer.
    let first = NaiveDate::from_ymd_opt(year as i32, month.unwrap_or(1), day.unwrap_or(1));
    let Some(start) = first else {
        return Form::Other;
    };
    let end = match (month, day) {
        (_, Some(_)) => start.succ_opt(),
        (Some(_), None) => start.checked_add_months(Months::new(1)),
        (None, None) => start.checked_add_months(Months::new(12)),
    };
    Form::span(Some(midnight(start)), end.map(midnight))
}

/// `@1714521600` or `@-1.5`. Decimal digits are read as such: a float would lose microseconds.
fn parse_unix(text: &str) -> Form {
    let Some(text) = text.strip_prefix('@') else {
        return Form::Other;
    };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return Form::Other,
        Some(parts) => parts,
        None => (digits, ""),
    };
    if !is_digits(&whole) || !(fraction.is_empty() || is_digits(&fraction)) {
        return Form::Other;
    }
    let padded: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros = whole
        .parse::<i64>()
        .ok()
        .and_then(|seconds| seconds.checked_mul(SECOND))
        .and_then(|micros| micros.checked_add(padded.parse().ok()?));
    Form::moment(micros.map(|micros| if negative { -micros } else { micros }))
}

fn parse_rfc3339(text: &str) -> Form {
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Form::moment(Some(time.timestamp_micros())),
        Err(_) => Form::Other,
    }
}

/// A number of units, as often as wanted, then `ago`: `2h ago`, `3 days ago`, `1h 30m ago`.
fn parse_ago(text: &str, now: Timestamp) -> Form {
    let Some(mut rest) = text.strip_suffix("ago") else {
        return Form::Other;
    };
    let mut months = 0u64;
    let mut micros = 0u64;
    let mut any = false;
    let mut fits = true;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, behind) = rest.split_at(digits);
        let behind = behind.trim_start();
        let letters = behind.len() - behind.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (name, behind) = behind.split_at(letters);
        let Some(unit) = unit(name).filter(|_| is_digits(&number)) else {
            return Form::Other;
        };
        let (sum, size) = match unit {
            Unit::Micros(size) => (&mut micros, size),
            Unit::Months(size) => (&mut months, size),
        };
        let total = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(size))
            .and_then(|part| part.checked_add(*sum));
        fits &= total.is_some();
        *sum = total.unwrap_or(0);
        any = true;
        rest = behind;
    }
    if !any {
        return Form::Other;
    }
    if !fits {
        return Form::OutOfRange;
    }
    Form::moment(before(now, months, micros))
}

enum Unit {
    Micros(u64),
    /// Of the calendar: a month before March 31st is the last day of February.
    Months(u64),
}

fn unit(name: &str) -> Option<Unit> {
    const SECOND: u64 = self::SECOND as u64;
    Some(match name {
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Micros(SECOND),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Micros(60 * SECOND),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Micros(3_600 * SECOND),
        "d" | "day" | "days" => Unit::Micros(86_400 * SECOND),
        "w" | "week" | "weeks" => Unit::Micros(7 * 86_400 * SECOND),
        "mo" | "month" | "months" => Unit::Months(1),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12),
        _ => return None,
    })
}

fn before(now: Timestamp, months: u64, micros: u64) -> Option<i64> {
    let mut moment = now.as_micros();
    if months > 0 {
        let months = Months::new(u32::try_from(months).ok()?);
        let now = DateTime::from_timestamp_micros(moment)?;
        moment = now.checked_sub_months(months)?.timestamp_micros();
    }
    moment.checked_sub_unsigned(micros)
}

fn midnight(date: NaiveDate) -> i64 {
    date.and_time(NaiveTime::MIN).and_utc().timestamp_micros()
}

fn is_digits(text: &&str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What was probably meant. Whatever is suggested is accepted.
fn suggest(text: &str, now: Timestamp) -> Option<String> {
    // Longer texts are not slips of the hand.
    if text.len() > 40 {
        return None;
    }
    let candidates = [
        suggest_word(text),
        suggest_unix(text),
        suggest_zone(text),
        suggest_date(text),
        suggest_ago(text),
    ];
    let accepted = |text: &String| matches!(read(&text.to_ascii_lowercase(), now), Form::Is(_));
    candidates.into_iter().flatten().find(accepted)
}

/// `yesteday`
fn suggest_word(text: &str) -> Option<String> {
    let near = |word: &&&str| text.len() > 2 && distance(text, word) <= 1 + word.len() / 6;
    WORDS.iter().find(near).map(|word| (*word).to_owned())
}

/// `1714521600`
fn suggest_unix(text: &str) -> Option<String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, _) = digits.split_once('.').unwrap_or((digits, ""));
    (is_digits(&whole) && whole.len() > 4).then(|| format!("@{text}"))
}

/// `2024-05-01T10:00`, `2024-05-01 10:00:00`
fn suggest_zone(text: &str) -> Option<String> {
    let text = text.to_ascii_uppercase();
    let bare = text.trim_end_matches('Z').replacen(' ', "T", 1);
    let seconds = NaiveDateTime::parse_from_str(&bare, "%Y-%m-%dT%H:%M:%S%.f");
    let minutes = || NaiveDateTime::parse_from_str(&bare, "%Y-%m-%dT%H:%M");
    let time = seconds.or_else(|_| minutes()).ok()?;
    Some(format!("{}Z", time.format("%Y-%m-%dT%H:%M:%S%.f")))
}

/// `2024-5-1`, `2024/05/01`, `2024.5.1`, and a day that the month does not have: its last one.
fn suggest_date(text: &str) -> Option<String> {
    let numbers = text
        .split(['-', '/', '.'])
        .map(|part| part.parse::<u32>().ok().filter(|_| is_digits(&part)))
        .collect::<Option<Vec<u32>>>()?;
    let (year, month, day) = match numbers[..] {
        [year, month] => (year, month, None),
        [year, month, day] => (year, month, Some(day)),
        _ => return None,
    };
    if !(1_000..=9_999).contains(&year) {
        return None;
    }
    let first = NaiveDate::from_ymd_opt(year as i32, month, 1)?;
    let Some(day) = day else {
        return Some(format!("{year:04}-{month:02}"));
    };
    let last = first
        .checked_add_months(Months::new(1))
        .and_then(|next| next.checked_sub_signed(TimeDelta::days(1)))?;
    let day = if (1..=31).contains(&day) {
        day.min(last.day())
    } else {
        return None;
    };
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// `2h`, `-2h`, `last week`, `an hour ago`
fn suggest_ago(text: &str) -> Option<String> {
    let text = text.trim_start_matches('-');
    let text = text.strip_suffix("ago").unwrap_or(text).trim();
    for article in ["last ", "an ", "a ", "one ", "past "] {
        if let Some(unit) = text.strip_prefix(article) {
            return Some(format!("1 {unit} ago"));
        }
    }
    let digit = text.bytes().next()?.is_ascii_digit();
    digit.then(|| format!("{text} ago"))
}

/// How many letters have to be changed, added or taken away.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            let changed = diagonal + usize::from(x != *y);
            row[j + 1] = changed.min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2024-03-31, a Sunday, at noon.
    const NOW: Timestamp = Timestamp(1_711_886_400_000_000);

    fn parse(text: &str) -> Result<When> {
        When::parse(text, NOW)
    }

    #[test]
    fn moments_start_and_end_at_once() {
        let cases = [
            ("now", "2024-03-31T12:00:00.000000Z"),
            (" NOW ", "2024-03-31T12:00:00.000000Z"),
            ("2h ago", "2024-03-31T10:00:00.000000Z"),
            ("2 hours ago", "2024-03-31T10:00:00.000000Z"),
            ("1h30m ago", "2024-03-31T10:30:00.000000Z"),
            ("1h 30 min ago", "2024-03-31T10:30:00.000000Z"),
            ("2hago", "2024-03-31T10:00:00.000000Z"),
            ("3 days ago", "2024-03-28T12:00:00.000000Z"),
            ("1w ago", "2024-03-24T12:00:00.000000Z"),
            ("0s ago", "2024-03-31T12:00:00.000000Z"),
            ("1 month ago", "2024-02-29T12:00:00.000000Z"),
            ("1y ago", "2023-03-31T12:00:00.000000Z"),
            ("2 Years Ago", "2022-03-31T12:00:00.000000Z"),
            ("@0", "1970-01-01T00:00:00.000000Z"),
            ("@1714521600", "2024-05-01T00:00:00.000000Z"),
            ("@1714521600.25", "2024-05-01T00:00:00.250000Z"),
            ("@1714521600.1234569", "2024-05-01T00:00:00.123456Z"),
            ("@-1.5", "1969-12-31T23:59:58.500000Z"),
            ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00.000000Z"),
            ("2024-05-01t10:00:00z", "2024-05-01T10:00:00.000000Z"),
            ("2024-05-01 10:00:00Z", "2024-05-01T10:00:00.000000Z"),
            ("2024-05-01T10:00:00.5+02:00", "2024-05-01T08:00:00.500000Z"),
        ];
        for (text, expected) in cases {
            let when = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(when.start().to_string(), expected, "{text}");
            assert_eq!(when.end(), when.start(), "{text}");
        }
    }

    #[test]
    fn days_months_and_years_are_spans() {
        let cases = [
            ("today", "2024-03-31T00:00:00", "2024-03-31T23:59:59"),
            ("yesterday", "2024-03-30T00:00:00", "2024-03-30T23:59:59"),
            ("2024-05-01", "2024-05-01T00:00:00", "2024-05-01T23:59:59"),
            ("2024-02-29", "2024-02-29T00:00:00", "2024-02-29T23:59:59"),
            ("2024-02", "2024-02-01T00:00:00", "2024-02-29T23:59:59"),
            ("2023-12", "2023-12-01T00:00:00", "2023-12-31T23:59:59"),
            ("2024", "2024-01-01T00:00:00", "2024-12-31T23:59:59"),
            ("0001", "0001-01-01T00:00:00", "0001-12-31T23:59:59"),
            ("9999", "9999-01-01T00:00:00", "9999-12-31T23:59:59"),
        ];
        for (text, start, end) in cases {
            let when = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(when.start().to_string(), format!("{start}.000000Z"));
            assert_eq!(when.end().to_string(), format!("{end}.999999Z"));
        }
    }

    #[test]
    fn what_is_no_time_gets_a_suggestion_where_one_comes_to_mind() {
        let cases = [
            ("", None),
            ("@", None),
            ("@-", None),
            ("@1.", None),
            ("@1e9", None),
            ("ago", None),
            ("h ago", None),
            ("2 ago", None),
            ("-2h ago", Some("2h ago")),
            ("2x ago", None),
            ("soon", None),
            ("東京", None),
            ("2h", Some("2h ago")),
            ("3 days", Some("3 days ago")),
            ("last week", Some("1 week ago")),
            ("an hour ago", Some("1 hour ago")),
            ("yesteday", Some("yesterday")),
            ("tody", Some("today")),
            ("1714521600", Some("@1714521600")),
            ("1714521600.5", Some("@1714521600.5")),
            ("2024-5-1", Some("2024-05-01")),
            ("2024/05/01", Some("2024-05-01")),
            ("2024-5", Some("2024-05")),
            ("2024-13", None),
            ("2023-02-29", Some("2023-02-28")),
            ("2024-02-32", None),
            ("2024-05-01T10:00", Some("2024-05-01T10:00:00Z")),
            ("2024-05-01 10:00:00", Some("2024-05-01T10:00:00Z")),
            ("2024-05-01T10:00:00.25", Some("2024-05-01T10:00:00.250Z")),
            ("2024-05-01T25:00:00Z", None),
            ("+2024-05-01", None),
            ("20240501", Some("@20240501")),
        ];
        for (text, expected) in cases {
            let error = parse(text).expect_err(text);
            assert!(matches!(error, Error::NotATime { .. }), "{text}: {error}");
            assert_eq!(error.suggestion(), expected, "{text}");
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
            assert!(error.to_string().contains("2h ago"), "{error}");
        }
    }

    #[test]
    fn times_that_cannot_be_expressed_are_out_of_range() {
        for text in [
            "@99999999999999999999",
            "@9223372036855",
            "99999999999999999999 s ago",
            "999999999 years ago",
            "300000 years ago",
            "10000000000000 weeks ago",
        ] {
            let error = parse(text).expect_err(text);
            assert!(matches!(error, Error::OutOfRange { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn long_texts_make_short_messages() {
        let error = parse(&"2".repeat(100_000)).unwrap_err();
        assert!(error.to_string().len() < 400, "{error}");
    }

    #[test]
    fn the_extremes_of_the_clock_are_no_trouble() {
        for now in [Timestamp(i64::MIN), Timestamp(i64::MAX)] {
            for text in ["now", "today", "yesterday", "1s ago", "1 month ago", "2h"] {
                let _ = When::parse(text, now);
            }
        }
    }

    #[test]
    fn relative_times_are_known_as_such() {
        for text in ["2h ago", "today", " Yesterday", "now"] {
            assert!(When::is_relative(text), "{text}");
        }
        for text in ["2024", "2024-05-01T10:00:00Z", "@5", "2h", ""] {
            assert!(!When::is_relative(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(
            text in "\\PC{0,40}|[0-9TZ:.@ -]{0,30}|[0-9]{1,22} ?[a-z]{1,6} ago", now: i64,
        ) {
            if let Ok(when) = When::parse(&text, Timestamp(now)) {
                prop_assert!(when.start() <= when.end());
            }
        }

        #[test]
        fn what_is_printed_is_read_back(micros in -62_135_596_800_000_000i64..253_402_300_800_000_000) {
            let moment = Timestamp(micros);
            prop_assert_eq!(parse(&moment.to_string()).unwrap().start(), moment);
        }
    }
}
