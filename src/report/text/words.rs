//! Numbers, times and addresses as people read them.

use crate::report::model::Connection;

/// `12`, `1,234,567`.
pub(in crate::report) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 packet`, `2 packets`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(number))
}

/// `1st`, `2nd`, `3rd`, `11th`.
pub(in crate::report) fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// `7 ms`, `60.0 s`, `12m 05s`, `3h 07m`, `2d 04h`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "durations are not negative, and `as` saturates"
)]
pub(in crate::report) fn duration(seconds: f64) -> String {
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 119.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (minutes, hours) = (whole / 60, whole / 3600);
    match hours {
        0 => format!("{minutes}m {:02}s", whole % 60),
        1..48 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{}d {:02}h", hours / 24, hours % 24),
    }
}

/// What an application was told that was given no code: `kind` is the verdict's, `certainty` that of the code.
#[must_use]
pub fn untold(kind: &str, certainty: &str) -> &'static str {
    match (kind, certainty) {
        // Its handshake failed, so that it saw no connection at all.
        ("refused", _) => "nothing",
        ("open", _) => "nothing yet",
        (_, "unknown") => "a code that the packets do not tell",
        _ => "no code",
    }
}

/// Wireshark's filter for a stream of HTTP/2; `None`: it is none, or TCP's number is not known.
pub(in crate::report) fn stream_filter(connection: &Connection<'_>) -> Option<String> {
    let (tcp, stream) = (connection.tcp_stream?, connection.h2_stream?);
    Some(format!("tcp.stream eq {tcp} && http2.streamid eq {stream}"))
}

/// `2026-11-22` of `2026-11-22T20:14:38.123456789Z`.
pub(in crate::report) fn day(rfc3339: &str) -> &str {
    rfc3339.split('T').next().unwrap_or_default()
}

/// `20:14:38.123` of `2026-11-22T20:14:38.123456789Z`, with as many digits behind the point.
pub(in crate::report) fn time_of_day(rfc3339: &str, digits: usize) -> &str {
    let time = rfc3339.split('T').nth(1).unwrap_or_default().trim_end_matches('Z');
    let length = if digits == 0 { 8 } else { 9 + digits };
    time.get(..length).unwrap_or(time)
}

/// `10.0.0.1:80`, `[2001:db8::1]:80`.
pub(in crate::report) fn address(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_to_seven_columns() {
        let cases = [
            (0.0004, "0 ms"),
            (0.9994, "999 ms"),
            (0.9996, "1.0 s"),
            (59.99, "60.0 s"),
            (119.9, "119.9 s"),
            (120.0, "2m 00s"),
            (3599.6, "1h 00m"),
            (100_000.0, "27h 46m"),
            (1_000_000.0, "11d 13h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
            assert!(text.len() <= 7);
        }
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(counted(1_234_567, "packet"), "1,234,567 packets");
        assert_eq!(counted(1, "packet"), "1 packet");
    }

    #[test]
    fn ordinals_end_as_they_are_spoken() {
        let said = [1, 2, 3, 4, 10, 11, 12, 13, 21, 22, 23, 111, 112, 113, 121].map(ordinal).join(" ");
        assert_eq!(said, "1st 2nd 3rd 4th 10th 11th 12th 13th 21st 22nd 23rd 111th 112th 113th 121st");
    }

    #[test]
    fn times_are_cut_where_asked() {
        let at = "2026-11-22T20:14:38.123456789Z";
        assert_eq!(day(at), "2026-11-22");
        assert_eq!(time_of_day(at, 0), "20:14:38");
        assert_eq!(time_of_day(at, 3), "20:14:38.123");
        assert_eq!(time_of_day(at, 9), "20:14:38.123456789");
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        assert_eq!(address("2001:db8::1", 80), "[2001:db8::1]:80");
        assert_eq!(address("10.0.0.1", 80), "10.0.0.1:80");
    }
}
