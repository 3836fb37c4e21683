//! Time as the capture tells it. No other file names `chrono`, and nothing here reads a clock.

use chrono::{DateTime, SecondsFormat};
use std::fmt;
use std::time::Duration;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A moment in nanoseconds since the Unix epoch (UTC), taken from a packet's record.
///
/// Covers the years 1677 to 2262; arithmetic saturates, so that a hostile time stamp can't overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest moment that can be held.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest moment that can be held.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// From nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Timestamp(nanos)
    }

    /// From whole seconds and nanoseconds, saturating.
    #[must_use]
    pub const fn from_parts(seconds: i64, nanos: i64) -> Self {
        Timestamp(seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(nanos))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Nanoseconds from `earlier` to `self`, negative if the clock stepped back; saturates.
    #[must_use]
    pub const fn nanos_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Seconds from `earlier` to `self`, negative if the clock stepped back.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a duration for people: 2^53 ns is 104 days to the nanosecond"
    )]
    pub fn seconds_since(self, earlier: Timestamp) -> f64 {
        self.nanos_since(earlier) as f64 / 1e9
    }

    /// The moment `wait` later, saturating.
    #[must_use]
    pub fn saturating_add(self, wait: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Is `self` at least `wait` later than `earlier`?
    #[must_use]
    pub fn has_passed(self, wait: Duration, earlier: Timestamp) -> bool {
        u128::try_from(self.nanos_since(earlier)).is_ok_and(|nanos| nanos >= wait.as_nanos())
    }

    /// RFC 3339 in UTC with nanoseconds: `2026-11-22T09:15:00.123456789Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        DateTime::from_timestamp_nanos(self.0).to_rfc3339_opts(SecondsFormat::Nanos, true)
    }

    /// Reads RFC 3339 (`2026-11-22T09:15:00Z`), with any offset and any number of fraction digits.
    ///
    /// # Errors
    /// The text is not RFC 3339, or lies outside the years that fit.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimeError> {
        let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| TimeError::NotRfc3339)?;
        parsed.timestamp_nanos_opt().map(Timestamp).ok_or(TimeError::OutOfRange)
    }

    /// `09:15:00.123456`: the time of day in UTC to the microsecond, for one-line listings.
    #[must_use]
    pub fn time_of_day(self) -> String {
        DateTime::from_timestamp_nanos(self.0).format("%H:%M:%S%.6f").to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.to_rfc3339())
    }
}

/// Why a text is no [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not in the form `2026-11-22T09:15:00Z`.
    #[error("expected a time as RFC 3339 writes it, such as 2026-11-22T09:15:00Z")]
    NotRfc3339,
    /// Before 1677 or after 2262.
    #[error("the time lies outside the years 1677 to 2262")]
    OutOfRange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_keeps_nanoseconds() {
        let at = Timestamp::from_parts(1_795_378_478, 123_456_789);
        assert_eq!(at.to_rfc3339(), "2026-11-22T20:14:38.123456789Z");
        assert_eq!(Timestamp::parse_rfc3339(&at.to_rfc3339()), Ok(at));
    }

    #[test]
    fn hostile_time_saturates() {
        assert_eq!(Timestamp::from_parts(i64::MAX, 1), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.nanos_since(Timestamp::MAX), i64::MIN);
        assert!(!Timestamp::MIN.has_passed(Duration::ZERO, Timestamp::MAX));
    }
}
