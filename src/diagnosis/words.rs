//! Durations, sizes and lists as people read them.

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "a duration for people")]
pub(super) fn seconds_of(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

/// `2.5 min`, `60.0 s`, `0.30 s`, `20 ms`.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => "under 1 ms".to_owned(),
        s if s < 0.1 => format!("{:.0} ms", s * 1000.0),
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 600.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

/// A span that something took at most: `1 ms`, and as [`duration`] has it.
pub(super) fn within(seconds: f64) -> String {
    duration(seconds.max(0.001))
}

/// `1 connection`, `3 connections`.
pub(super) fn counted(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn either(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let cases = [0.0, 0.02, 0.3, 60.0, 900.0, 7_200.0].map(duration);
        assert_eq!(cases, ["under 1 ms", "20 ms", "0.30 s", "60.0 s", "15.0 min", "2.0 h"]);
    }

    #[test]
    fn lists_end_in_or() {
        assert_eq!(either(&["a", "b", "c"]), "a, b or c");
    }
}
