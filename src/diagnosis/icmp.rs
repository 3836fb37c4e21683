//! ICMP and ICMPv6 errors about a connection.

use super::facts::Facts;
use super::finding::{Confidence, Diagnosis, Id};
use crate::decode::segment::IcmpErrorKind;
use crate::verdict::verdict::{Kind, packet};

/// What routers and hosts said about the connection.
pub(super) fn diagnose(facts: &Facts<'_>, out: &mut Vec<Diagnosis>) {
    // Errors that the connection survived are none of its end's causes.
    if !matches!(facts.verdict.kind, Kind::Abnormal(_) | Kind::Refused) {
        return;
    }
    let Some(error) = facts.teardown.icmp.iter().max_by_key(|error| weight(error.kind)) else { return };
    let count = facts.teardown.icmp.len();
    let from = if error.source == facts.client { "client" } else { "server" };
    let (said, advice) = meaning(error.kind);
    let last = facts.teardown.icmp.last().map_or(error.at, |last| last.at);
    let is_close = facts.end_or_last().at.seconds_since(last.at).abs() < 30.0;
    out.push(Diagnosis {
        id: Id::IcmpError,
        confidence: if is_close { Confidence::Certain } else { Confidence::Likely },
        text: format!(
            "{} answered {from}'s segment with ICMP \"{said}\" in {}{}",
            error.reporter,
            packet(error.at),
            if count > 1 { format!(", the first of {count}") } else { String::new() }
        ),
        advice: Some(advice.to_owned()),
        title: format!("drew ICMP \"{said}\" from {}", error.reporter),
        packets: facts.teardown.icmp.iter().map(|error| error.at).collect(),
    });
}

/// The errors that say most first.
fn weight(kind: IcmpErrorKind) -> u8 {
    match kind {
        IcmpErrorKind::AdministrativelyProhibited => 5,
        IcmpErrorKind::PortUnreachable => 4,
        IcmpErrorKind::Unreachable => 3,
        IcmpErrorKind::PacketTooBig { .. } => 2,
        IcmpErrorKind::TimeExceeded => 1,
        IcmpErrorKind::Other { .. } => 0,
    }
}

fn meaning(kind: IcmpErrorKind) -> (String, &'static str) {
    match kind {
        IcmpErrorKind::AdministrativelyProhibited => (
            "administratively prohibited".to_owned(),
            "a firewall refuses the connection: see its rules at the address that answered",
        ),
        IcmpErrorKind::PortUnreachable => (
            "port unreachable".to_owned(),
            "a firewall rule rejects the connection (TCP itself would answer with RST): see the rules at the address that answered",
        ),
        IcmpErrorKind::Unreachable => (
            "destination unreachable".to_owned(),
            "routing to the peer broke, or its host went away: see the router at the address that answered",
        ),
        IcmpErrorKind::PacketTooBig { mtu: 0 } => (
            "fragmentation needed".to_owned(),
            "the path takes only smaller packets: let ICMP through to the sender, or lower its MTU",
        ),
        IcmpErrorKind::PacketTooBig { mtu } => (
            format!("fragmentation needed, MTU {mtu}"),
            "the path takes only smaller packets: let ICMP through to the sender, or lower its MTU",
        ),
        IcmpErrorKind::TimeExceeded => {
            ("time exceeded".to_owned(), "packets run in a routing loop: see the routers on the way")
        }
        IcmpErrorKind::Other { icmp_type, code } => {
            (format!("type {icmp_type} code {code}"), "see the host at the address that answered")
        }
    }
}
