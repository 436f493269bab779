//! How a time is written: RFC 3339, a date, or seconds since the Unix epoch.

use chrono::{DateTime, NaiveDate, NaiveTime};
use mv2_format::Timestamp;

use crate::error::{Error, Result};

/// Reads a moment: RFC 3339 with a zone, a date (midnight UTC), or Unix seconds with an optional
/// fraction and an optional `@` before it. What is finer than a microsecond is cut off.
///
/// # Errors
/// [`Error::InvalidTime`] for anything else.
///
/// ```
/// let moment = mv2::time::parse("2026-11-25T02:10:03+01:00")?;
/// assert_eq!(moment.to_string(), "2026-11-25T01:10:03.000000Z");
/// assert_eq!(mv2::time::parse("@1.5")?.as_micros(), 1_500_000);
/// assert_eq!(mv2::time::parse("2024-02-29")?.as_secs(), 1_709_164_800);
/// assert!(mv2::time::parse("yesterday").is_err());
/// # Ok::<(), mv2::Error>(())
/// ```
pub fn parse(text: &str) -> Result<Timestamp> {
    let trimmed = text.trim();
    parse_rfc3339(trimmed)
        .or_else(|| parse_date(trimmed))
        .or_else(|| parse_unix(trimmed.strip_prefix('@').unwrap_or(trimmed)))
        .ok_or_else(|| Error::InvalidTime {
            text: shorten(text),
        })
}

fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(Timestamp::from_micros(time.timestamp_micros()))
}

fn parse_date(text: &str) -> Option<Timestamp> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let midnight = date.and_time(NaiveTime::MIN).and_utc();
    Some(Timestamp::from_micros(midnight.timestamp_micros()))
}

/// Decimal digits are read as such: a float would lose microseconds of present times.
fn parse_unix(text: &str) -> Option<Timestamp> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let padded: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros = whole
        .parse::<i64>()
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(padded.parse().ok()?)?;
    Some(Timestamp::from_micros(if negative {
        -micros
    } else {
        micros
    }))
}

/// A message shows the start of a long text, not all of it.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_seconds_keep_their_microseconds() {
        let cases = [
            ("0", 0),
            ("1795569003", 1_795_569_003_000_000),
            ("1795569003.123456", 1_795_569_003_123_456),
            ("1795569003.1234569", 1_795_569_003_123_456),
            ("-1", -1_000_000),
            ("-0.5", -500_000),
            ("@7", 7_000_000),
        ];
        for (text, micros) in cases {
            assert_eq!(parse(text).unwrap().as_micros(), micros, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_an_error_that_shows_it() {
        for text in [
            "",
            "@",
            "-",
            ".",
            "1e9",
            "2026-13-01",
            "2026-02-30",
            "9".repeat(30).as_str(),
            "2026-11-25T01:10",
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.kind(), "invalid_time");
        }
        assert!(parse(&"x".repeat(100_000)).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for micros in [0, -1, 1_795_569_003_123_456, -62_135_596_800_000_000] {
            let moment = Timestamp::from_micros(micros);
            assert_eq!(parse(&moment.to_string()).unwrap(), moment);
        }
    }
}
