//! Comments on the packets that prove a report, for Wireshark's `frame.comment`, and names for the addresses.
//!
//! ```text
//! evidence      "wsclose: #3 server: Close 1001 "bye""              on the packet itself
//! verdict       "wsclose: #3 1001, closed by server: ..."           on the packet that began the end
//! diagnosis     "wsclose: #3 idle-limit (likely): ... Advice: ..."  on the packets that show it
//! finding       "wsclose: all: idle-limit (likely): ..."            on the packets that show it
//! all           "wsclose: 3 WebSocket connections: 2 1006, 1 1001"  on the capture, with the first few verdicts
//! ```

use super::diagnosis::{Finding, PacketRef};
use super::escape::terminal;
use super::model::{Close, Connection, Evidence};
use super::numbers::{Named, renamed};
use super::text::counted;
use crate::analyzer::members::PacketSet;
use crate::capture::rewrite::PacketChanges;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Addresses that are given names: more would help nobody.
const NAMES_MAX: usize = 1_000;

/// Verdicts in the comment on the whole capture.
const VERDICTS_MAX: usize = 10;

/// The comments on a capture's packets, and which packets are kept.
#[derive(Clone, Debug, Default)]
pub struct Annotations {
    comments: BTreeMap<u32, Vec<String>>,
    kept: Option<PacketSet>,
    clients: BTreeSet<IpAddr>,
    servers: BTreeSet<IpAddr>,
    labels: BTreeMap<String, u64>,
    /// The first few verdicts.
    verdicts: Vec<String>,
    bytes: usize,
    bytes_max: usize,
    /// Comments left out, to keep to the limit.
    left_out: u64,
}

impl Annotations {
    /// No comments yet; `bytes_max` bytes of them at most.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Annotations { bytes_max, ..Annotations::default() }
    }

    /// Keeps only `packets`.
    pub fn keep_only(&mut self, packets: PacketSet) {
        self.comments.retain(|number, _| packets.contains(*number));
        let numbers = packets.renumbered();
        self.renumber(|packet| numbers.get(packet.packet));
        self.kept = Some(packets);
    }

    /// The packets will stand in a file where they have other numbers: their comments name them by these.
    pub fn renumber(&mut self, number: impl Fn(Named) -> Option<u32>) {
        for text in self.comments.values_mut().flatten().chain(&mut self.verdicts) {
            *text = renumbered(text, &number);
        }
    }

    /// Comments on the packets that prove the verdict on `connection`, the last packet of which is `last`.
    pub fn connection(&mut self, connection: &Connection<'_>, last: u32) {
        self.annotate(connection, last, |_| true);
    }

    /// The same for those of its packets that were captured on `input`, one of several.
    pub fn connection_on(&mut self, input: &str, connection: &Connection<'_>, last: u32) {
        self.annotate(connection, last, |file| file == input);
    }

    fn annotate(&mut self, connection: &Connection<'_>, last: u32, is_on: impl Fn(&str) -> bool) {
        self.clients.insert(connection.client.address);
        self.servers.insert(connection.server.address);
        let id = connection.id;
        for item in connection.evidence.iter().filter(|item| is_on(&item.file)) {
            self.comment(item.packet, &format!("#{id} {}: {}", item.from, item.what));
        }
        let verdict = &connection.verdict;
        let cause = verdict.cause.as_deref().map(|cause| format!(" {cause}")).unwrap_or_default();
        let by = verdict.closed_by.as_deref().map(|by| format!(", closed by {by}")).unwrap_or_default();
        let text = format!("#{id} {}{cause}{by}: {}", verdict.label, verdict.why);
        *self.labels.entry(verdict.label.to_string()).or_default() += 1;
        if self.verdicts.len() < VERDICTS_MAX {
            self.verdicts.push(terminal(&text));
        }
        let turning_point = turning_point(connection).unwrap_or(last);
        let is_elsewhere = |item: &&Evidence<'_>| item.packet == turning_point && !is_on(&item.file);
        if !connection.evidence.iter().any(|item| is_elsewhere(&item)) {
            self.comment(turning_point, &text);
        }
        for one in &connection.diagnosis {
            let advice = one.advice.as_deref().map(|it| format!(" Advice: {it}")).unwrap_or_default();
            let text = format!("#{id} {} ({}): {}{advice}", one.id, one.confidence, one.text);
            let on = one.packets.iter().filter(|packet| is_on(&packet.file));
            on.for_each(|packet| self.comment(packet.packet, &text));
        }
    }

    /// Comments on the packets that show what holds for the whole capture.
    pub fn findings(&mut self, findings: &[Finding]) {
        for one in findings {
            let text = format!("all: {} ({}): {} Advice: {}", one.id, one.confidence, one.text, one.advice);
            self.on_each(&one.packets, &text);
        }
    }

    /// The comment on the whole capture: how many ended how, and the first few verdicts, a line each.
    #[must_use]
    pub fn about(&self) -> String {
        let all: u64 = self.labels.values().sum();
        let labels: Vec<_> = self.labels.iter().map(|(label, count)| format!("{count} {label}")).collect();
        let head = format!("wsclose: {}: {}", counted(all, "WebSocket connection"), labels.join(", "));
        let more = all.saturating_sub(self.verdicts.len() as u64);
        let more = (more > 0).then(|| format!("and {more} more"));
        let lines = std::iter::once(head).chain(self.verdicts.iter().cloned()).chain(more);
        lines.collect::<Vec<_>>().join("\n")
    }

    /// How many packets have comments.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.comments.len()
    }

    /// How many comments there was no room for, within the limit.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Names that tell clients from servers: `client`, or `client-1`, `client-2`, ... An address that is both has none.
    #[must_use]
    pub fn names(&self) -> Vec<(IpAddr, String)> {
        let mut names = named("client", &self.clients, &self.servers);
        names.extend(named("server", &self.servers, &self.clients));
        names
    }

    fn on_each(&mut self, packets: &[PacketRef<'_>], text: &str) {
        packets.iter().for_each(|packet| self.comment(packet.packet, text));
    }

    fn comment(&mut self, packet: u32, text: &str) {
        let text = format!("wsclose: {}", terminal(text));
        if self.bytes.saturating_add(text.len()) > self.bytes_max {
            self.left_out += 1;
            return;
        }
        let of_packet = self.comments.entry(packet).or_default();
        if !of_packet.contains(&text) {
            self.bytes += text.len();
            of_packet.push(text);
        }
    }
}

impl PacketChanges for Annotations {
    fn keeps(&self, number: u32) -> bool {
        self.kept.as_ref().is_none_or(|packets| packets.contains(number))
    }

    fn comments(&self, number: u32) -> &[String] {
        self.comments.get(&number).map_or(&[], Vec::as_slice)
    }
}

/// The packet that began the end: the first Close, the refusal, or what ended TCP; else the last that proves anything.
fn turning_point(connection: &Connection<'_>) -> Option<u32> {
    let closes = [&connection.close.client, &connection.close.server].into_iter().flatten();
    let close = closes.min_by_key(|close: &&Close<'_>| (close.at, close.packet)).map(|close| close.packet);
    let by_kind = match connection.verdict.kind.as_ref() {
        "coded" => close,
        "refused" => connection.handshake.response_packet,
        "open" => None,
        _ => connection.teardown.packet,
    };
    by_kind.or_else(|| connection.evidence.last().map(|item| item.packet))
}

/// `text` with the new numbers of the packets it names; those that have none keep the old.
#[must_use]
pub fn renumbered(text: &str, number: impl Fn(Named) -> Option<u32>) -> String {
    renamed(text, |packet| match number(packet) {
        Some(new) => format!("packet {new}"),
        None => format!("packet {} of the capture this was taken from", packet.packet),
    })
}

fn named(role: &str, of: &BTreeSet<IpAddr>, others: &BTreeSet<IpAddr>) -> Vec<(IpAddr, String)> {
    let only: Vec<_> = of.difference(others).take(NAMES_MAX).collect();
    let is_one = only.len() == 1;
    let name = |number: usize| if is_one { role.to_owned() } else { format!("{role}-{number}") };
    only.into_iter().zip(1..).map(|(address, number)| (*address, name(number))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_both_roles_has_no_name() {
        let addresses = |text: &[&str]| text.iter().map(|one| one.parse().unwrap()).collect();
        let annotations = Annotations {
            clients: addresses(&["10.0.0.1", "10.0.0.2", "10.0.0.5"]),
            servers: addresses(&["10.0.0.5", "10.0.0.9"]),
            ..Annotations::default()
        };
        let names: Vec<_> =
            annotations.names().into_iter().map(|(address, name)| format!("{address} {name}")).collect();
        assert_eq!(names, ["10.0.0.1 client-1", "10.0.0.2 client-2", "10.0.0.9 server"]);
    }

    #[test]
    fn comments_keep_to_the_limit_and_hold_nothing_that_a_terminal_acts_on() {
        let mut annotations = Annotations::new(30);
        annotations.comment(7, "a\u{1b}[31m\u{202e}");
        annotations.comment(7, "no room for this one");
        assert_eq!(annotations.comments(7), ["wsclose: a\\u{1b}[31m\\u{202e}"]);
        assert_eq!((annotations.packets(), annotations.left_out()), (1, 1));
    }
}
