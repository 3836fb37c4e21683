//! Time as the capture tells it. No other file names `chrono`, and nothing here reads a clock.

use chrono::DateTime;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

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

    /// The moment `wait` earlier, saturating.
    #[must_use]
    pub fn saturating_sub(self, wait: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Is `self` at least `wait` later than `earlier`?
    #[must_use]
    pub fn has_passed(self, wait: Duration, earlier: Timestamp) -> bool {
        let wait = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
        self.nanos_since(earlier) >= wait && self >= earlier
    }

    /// RFC 3339 in UTC with nanoseconds: `2026-11-22T09:15:00.123456789Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        String::from_utf8_lossy(&self.rfc3339_bytes()).into_owned()
    }

    /// The same in ASCII, without an allocation: reports hold a dozen times a connection.
    fn rfc3339_bytes(self) -> [u8; 30] {
        let seconds = self.0.div_euclid(NANOS_PER_SECOND);
        let nanos = u32::try_from(self.0.rem_euclid(NANOS_PER_SECOND)).unwrap_or(0);
        let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
        let second = u32::try_from(seconds.rem_euclid(SECONDS_PER_DAY)).unwrap_or(0);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        let [y0, y1, y2, y3, _, m0, m1, _, d0, d1, _, h0, h1, _, i0, i1, _, s0, s1, _, fraction @ .., _] =
            &mut text;
        digits([y0, y1, y2, y3], year);
        digits([m0, m1], month);
        digits([d0, d1], day);
        digits([h0, h1], second / 3_600);
        digits([i0, i1], second / 60 % 60);
        digits([s0, s1], second % 60);
        digits(fraction.each_mut(), nanos);
        text
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

/// Writes `number`'s last decimal digits.
#[inline]
fn digits<const N: usize>(places: [&mut u8; N], mut number: u32) {
    for place in places.into_iter().rev() {
        let [digit, ..] = (number % 10).to_le_bytes();
        *place = b'0' | digit;
        number /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar, not before the year 0.
///
/// Counts years from March, so that the leap day comes last, in eras of 400 years (146,097 days).
fn civil(day: i64) -> (u32, u32, u32) {
    let day = u32::try_from(day + 719_468).unwrap_or(0); // from 0000-03-01
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day_of_month = day - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u32::from(month <= 2), month, day_of_month)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.rfc3339_bytes()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse_rfc3339(&text).map_err(D::Error::custom)
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
    fn rfc3339_is_what_chrono_writes() {
        let mut nanos = i64::MIN;
        // A prime step: every month, leap days, and all digits of the fraction come by.
        while let Some(next) = nanos.checked_add(123_456_789_123_457) {
            let expected =
                DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
            assert_eq!(Timestamp(nanos).to_rfc3339(), expected);
            nanos = next;
        }
        assert_eq!(Timestamp::MAX.to_rfc3339(), "2262-04-11T23:47:16.854775807Z");
        assert_eq!(Timestamp::default().to_rfc3339(), "1970-01-01T00:00:00.000000000Z");
    }

    #[test]
    fn hostile_time_saturates() {
        assert_eq!(Timestamp::from_parts(i64::MAX, 1), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.nanos_since(Timestamp::MAX), i64::MIN);
        assert!(!Timestamp::MIN.has_passed(Duration::ZERO, Timestamp::MAX));
    }
}
