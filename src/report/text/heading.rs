//! What was read, and what could not be.

use super::TextStyle;
use super::tally::Unopened;
use super::words::{counted, day, grouped, time_of_day};
use crate::anomaly::AnomalyCounts;
use crate::report::escape::{named, terminal};
use crate::report::model::{Input, Summary};
use std::io::{self, Write};

/// Writes how many connections there are, how many of them became no WebSocket, and in what.
pub(super) fn write(
    out: &mut impl Write,
    inputs: &[Input],
    summary: &Summary,
    unopened: Unopened,
    style: &TextStyle,
) -> io::Result<()> {
    let narrowed = style.narrowed;
    let noun = if narrowed { "matching WebSocket connection" } else { "WebSocket connection" };
    let packets: u64 = inputs.iter().map(|input| input.packets).fold(0, u64::saturating_add);
    let failed = failed(summary.connections, unopened);
    writeln!(out, "{} {}{failed}", counted(summary.connections, noun), place(inputs))?;
    if let Some(span) = span(inputs) {
        write!(out, "{span}, ")?;
    }
    let others = counted(summary.other_tcp_connections, "other TCP connection");
    writeln!(out, "{}, {others}", counted(packets, "packet"))?;
    if let Some(legs) = legs(summary.proxied_pairs) {
        writeln!(out, "{legs}")?;
    }
    if summary.encrypted_connections > 0 {
        let list =
            if style.lists_encrypted { "" } else { ", --encrypted lists those that look like a WebSocket" };
        writeln!(
            out,
            "{} could not be decrypted: `wsclose explain keylog` tells how to get the keys{list}",
            counted(summary.encrypted_connections, "TLS connection")
        )?;
        if !style.names_ports {
            writeln!(
                out,
                "--ws-port PORT lists the connections to a WebSocket's port that failed before any HTTP, too."
            )?;
        }
    }
    Ok(())
}

/// What is to be said of those that never were a WebSocket, or not yet.
fn failed(all: u64, unopened: Unopened) -> String {
    let Unopened { refused, waiting } = unopened;
    let waits = if waiting == 1 { "is not open yet" } else { "are not open yet" };
    match (refused, waiting) {
        (0, 0) => String::new(),
        (1, 0) if all == 1 => ", which never opened".to_owned(),
        (0, 1) if all == 1 => ", which is not open yet".to_owned(),
        (_, 0) if refused == all => ", none of which opened".to_owned(),
        (0, _) if waiting == all => ", none of which is open yet".to_owned(),
        (_, 0) => format!(", {} of which never opened", grouped(refused)),
        (0, _) => format!(", {} of which {waits}", grouped(waiting)),
        _ => format!(", {} of which never opened and {} {waits}", grouped(refused), grouped(waiting)),
    }
}

/// What is to be said of connections of which two are one WebSocket.
pub(in crate::report) fn legs(pairs: u64) -> Option<String> {
    match pairs {
        0 => None,
        1 => Some("1 pair of them is one WebSocket: its legs before and behind a proxy".to_owned()),
        many => Some(format!(
            "{} pairs of them are one WebSocket each: its legs before and behind a proxy",
            grouped(many)
        )),
    }
}

fn place(inputs: &[Input]) -> String {
    match inputs {
        [_, ..] if inputs.iter().all(|one| one.format.as_deref() == Some("live")) => {
            let names: Vec<_> = inputs.iter().map(|one| terminal(&one.path)).collect();
            format!("on {}", names.join(", "))
        }
        [one] if one.path == "-" => "in standard input".to_owned(),
        [one] => format!("in {}", terminal(&one.path)),
        many => format!("in {} files", many.len()),
    }
}

/// `2026-11-22 20:14:38 to 20:16:11 UTC`, with the second date only where it is another.
fn span(inputs: &[Input]) -> Option<String> {
    let first = inputs.iter().filter_map(|input| input.first_packet_at.as_deref()).min()?;
    let last = inputs.iter().filter_map(|input| input.last_packet_at.as_deref()).max()?;
    let other_day = if day(first) == day(last) { String::new() } else { format!("{} ", day(last)) };
    Some(format!("{} {} to {other_day}{} UTC", day(first), time_of_day(first, 0), time_of_day(last, 0)))
}

/// Writes what limits the report's worth: inputs not read whole, packets lost, oddities.
pub(super) fn write_notices(
    out: &mut impl Write,
    inputs: &[Input],
    anomalies: &AnomalyCounts,
) -> io::Result<()> {
    let incomplete = inputs.iter().filter(|input| !input.complete);
    let lossy = inputs.iter().filter(|input| input.dropped_packets > 0);
    let keyless = inputs.iter().filter(|input| input.unread_secrets_bytes > 0);
    let mut notices: Vec<String> =
        incomplete.map(not_whole).chain(lossy.map(lost)).chain(keyless.map(unread_secrets)).collect();
    let odd: Vec<String> =
        anomalies.iter().map(|(anomaly, count)| format!("{anomaly} {}", grouped(count))).collect();
    if !odd.is_empty() {
        notices.push(format!("oddities: {}", odd.join(", ")));
    }
    if !notices.is_empty() {
        writeln!(out)?;
    }
    notices.iter().try_for_each(|notice| writeln!(out, "{notice}"))
}

fn not_whole(input: &Input) -> String {
    let reason = input.error.as_ref().map_or("not read to its end", |error| error.reason.as_str());
    format!("not read whole: {}", named(&input.path, reason))
}

fn lost(input: &Input) -> String {
    let lost = counted(input.dropped_packets, "packet");
    format!(
        "{}: the capture itself lost {lost}, so that what seems missing may have been sent",
        terminal(&input.path)
    )
}

fn unread_secrets(input: &Input) -> String {
    let bytes = counted(input.unread_secrets_bytes, "byte");
    format!(
        "{}: {bytes} of TLS secrets could not be read: cut off, or over the limit secrets_bytes",
        terminal(&input.path)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(path: &str) -> Input {
        Input {
            path: path.to_owned(),
            format: None,
            compression: None,
            packets: 0,
            bytes: 0,
            first_packet_at: Some("2026-11-22T20:14:38.123456789Z".to_owned()),
            last_packet_at: Some("2026-11-23T00:00:01.000000000Z".to_owned()),
            link_types: Vec::new(),
            dropped_packets: 0,
            unread_secrets_bytes: 0,
            complete: true,
            error: None,
        }
    }

    #[test]
    fn those_not_open_yet_are_told_from_those_that_never_opened() {
        let said = |all, refused, waiting| failed(all, Unopened { refused, waiting });
        assert_eq!(said(5, 0, 0), "");
        assert_eq!(said(1, 1, 0), ", which never opened");
        assert_eq!(said(1, 0, 1), ", which is not open yet");
        assert_eq!(said(2, 2, 0), ", none of which opened");
        assert_eq!(said(2, 0, 2), ", none of which is open yet");
        assert_eq!(said(5, 0, 1), ", 1 of which is not open yet");
        assert_eq!(said(5, 2, 2), ", 2 of which never opened and 2 are not open yet");
    }

    #[test]
    fn the_second_date_stands_only_where_it_is_another() {
        let mut one = input("a");
        let days = span(std::slice::from_ref(&one));
        assert_eq!(days.as_deref(), Some("2026-11-22 20:14:38 to 2026-11-23 00:00:01 UTC"));
        one.last_packet_at = Some("2026-11-22T20:14:39.000000000Z".to_owned());
        assert_eq!(span(&[one]).as_deref(), Some("2026-11-22 20:14:38 to 20:14:39 UTC"));
    }
}
