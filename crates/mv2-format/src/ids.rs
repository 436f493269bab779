//! The positions and times of a memory, each a type of its own so that they cannot be mixed.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number behind the type.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

id! {
    /// A frame's number. The first frame is 0; ids are permanent once committed and never reused.
    FrameId(u64)
}
id! {
    /// A commit's number. The first commit is 1; 0 stands for the empty memory before it.
    CommitId(u64)
}
id! {
    /// A branch's own run of commits. The first lineage of a file is 0.
    LineageId(u32)
}
id! {
    /// A segment's number, unique within a file for ever.
    SegmentId(u64)
}
id! {
    /// A byte position counted from the start of the file.
    FileOffset(u64)
}
id! {
    /// The number of a checkpoint. Each root page, footer and WAL batch names the one it belongs to.
    Generation(u64)
}

impl LineageId {
    /// The lineage of commits that move branches and tags or carry the journal, and are on no history.
    pub const BOOKKEEPING: Self = Self(u32::MAX);
}

impl FrameId {
    /// The id that follows this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A moment in UTC, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// A moment from whole seconds since the Unix epoch. Saturates at the ends of the range.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// A moment from microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded towards the past.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

/// Whole seconds since the Unix epoch, the unit that memvid uses.
impl From<i64> for Timestamp {
    fn from(secs: i64) -> Self {
        Self::from_secs(secs)
    }
}

/// RFC 3339 with microseconds and `Z`, for example `2026-11-25T01:10:03.000000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.as_secs().div_euclid(86_400));
        let second_of_day = self.as_secs().rem_euclid(86_400);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
            second_of_day / 3_600,
            second_of_day / 60 % 60,
            second_of_day % 60,
            self.0.rem_euclid(1_000_000)
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

/// Days since 1970-01-01 to a date of the proleptic Gregorian calendar, by counting whole
/// 400-year eras from 0000-03-01, so that leap days fall at the end of a year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_rfc3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_709_164_800_000_001, "2024-02-29T00:00:00.000001Z"),
            (951_782_399_500_000, "2000-02-28T23:59:59.500000Z"),
            (-62_135_596_800_000_000, "0001-01-01T00:00:00.000000Z"),
        ];
        for (micros, text) in cases {
            assert_eq!(Timestamp(micros).to_string(), text);
        }
    }

    #[test]
    fn the_extremes_of_a_timestamp_print() {
        assert!(Timestamp(i64::MAX).to_string().ends_with('Z'));
        assert!(Timestamp(i64::MIN).to_string().ends_with('Z'));
    }
}
