//! What lies inside of IP and is a network again: IP-in-IP, GRE, VXLAN, GENEVE, GTP-U, MPLS, EtherIP.

use super::encapsulation::Kind;
use super::layer::{Context, Datagram, Layer};
use super::link::looks_like_ethernet;
use super::span::Span;
use crate::anomaly::Anomaly;
use etherparse::{IpNumber, UdpHeaderSlice};

/// MPLS in IP (RFC 4023).
const MPLS_IN_IP: IpNumber = IpNumber(137);

const ETHERTYPE_BRIDGING: u16 = 0x6558;

/// The layer inside of `datagram`, if its protocol is a tunnel.
pub(super) fn enter<'a>(datagram: &Datagram<'a>, context: &mut Context) -> Result<Layer<'a>, Anomaly> {
    let span = datagram.payload;
    match IpNumber(datagram.protocol) {
        IpNumber::IPV4 | IpNumber::IPV6 => {
            context.enter(Kind::Ipip, 0)?;
            Ok(Layer::Ip(span))
        }
        IpNumber::GRE => gre(span, context),
        IpNumber::UDP => udp(span, context),
        IpNumber::ETHER_IP => {
            // RFC 3378: version 3 in the first four bits, 12 reserved.
            let (_, rest) = span.take::<2>()?;
            context.enter(Kind::EtherIp, 0)?;
            Ok(Layer::Ethernet(rest))
        }
        MPLS_IN_IP => Ok(Layer::Mpls(span)),
        _ => Ok(Layer::Other),
    }
}

/// Generic Routing Encapsulation (RFC 2784, RFC 2890; version 1: RFC 2637 §4.1).
///
/// ```text
///  0               2               4
/// |C R K S s ... ver|protocol     |checksum+offset (C or R)|key (K)|sequence (S)|ack (version 1, A)|
/// ```
fn gre<'a>(span: Span<'a>, context: &mut Context) -> Result<Layer<'a>, Anomaly> {
    let (&[flags, version, p0, p1], mut rest) = span.take::<4>()?;
    let protocol = u16::from_be_bytes([p0, p1]);
    if flags & 0xc0 != 0 {
        rest = rest.skip(4)?;
    }
    let mut key = None;
    if flags & 0x20 != 0 {
        let (bytes, after) = rest.take::<4>()?;
        key = Some(u32::from_be_bytes(*bytes));
        rest = after;
    }
    let has_sequence = flags & 0x10 != 0;
    if has_sequence {
        rest = rest.skip(4)?;
    }
    match version & 0x07 {
        0 => gre_payload(protocol, key, has_sequence, rest, context),
        1 => pptp_payload(protocol, version & 0x80 != 0, rest, context),
        _ => Ok(Layer::Other),
    }
}

fn gre_payload<'a>(
    protocol: u16,
    key: Option<u32>,
    has_sequence: bool,
    rest: Span<'a>,
    context: &mut Context,
) -> Result<Layer<'a>, Anomaly> {
    const ERSPAN_I_II: u16 = 0x88be;
    const ERSPAN_III: u16 = 0x22eb;
    match protocol {
        ERSPAN_I_II => {
            context.descend()?;
            // Type I has no header of its own, and no GRE sequence number.
            Ok(Layer::Ethernet(if has_sequence { rest.skip(8)? } else { rest }))
        }
        ERSPAN_III => {
            context.descend()?;
            let (&[.., last], rest) = rest.take::<12>()?;
            Ok(Layer::Ethernet(if last & 0x01 != 0 { rest.skip(8)? } else { rest }))
        }
        _ => {
            let (kind, id) = gre_identity(protocol, key);
            context.enter(kind, id)?;
            Ok(match protocol {
                ETHERTYPE_BRIDGING => Layer::Ethernet(rest),
                _ => Layer::EtherType(protocol, rest),
            })
        }
    }
}

/// NVGRE (RFC 7637 §3.2) puts a flow number, which differs by direction, in the last byte of the key. Its network
/// identifiers begin at 0x1000, so smaller keys are those of an ordinary Ethernet-in-GRE tunnel.
fn gre_identity(protocol: u16, key: Option<u32>) -> (Kind, u32) {
    match key {
        None => (Kind::Gre, 0),
        Some(key) if protocol == ETHERTYPE_BRIDGING && key >> 8 >= 0x1000 => (Kind::Nvgre, key >> 8),
        Some(key) => (Kind::GreKey, key),
    }
}

fn pptp_payload<'a>(
    protocol: u16,
    has_ack: bool,
    rest: Span<'a>,
    context: &mut Context,
) -> Result<Layer<'a>, Anomaly> {
    const PPP: u16 = 0x880b;
    let rest = if has_ack { rest.skip(4)? } else { rest };
    // A bare acknowledgment carries nothing.
    if protocol != PPP || rest.wire == 0 {
        return Ok(Layer::Other);
    }
    context.enter(Kind::Pptp, 0)?;
    Ok(Layer::Ppp(rest))
}

/// Tunnels known by their UDP port. The port alone proves little (an ephemeral port may have that number), so what
/// does not begin like the tunnel is taken for something else, and not counted as malformed.
fn udp<'a>(span: Span<'a>, context: &mut Context) -> Result<Layer<'a>, Anomaly> {
    const VXLAN: u16 = 4789;
    const VXLAN_GENERIC: u16 = 4790;
    const VXLAN_LINUX: u16 = 8472;
    const GENEVE: u16 = 6081;
    const GTP_U: u16 = 2152;
    const GRE: u16 = 4754;
    let Ok(header) = UdpHeaderSlice::from_slice(span.bytes) else { return Ok(Layer::Other) };
    let whole = match usize::from(header.length()) {
        len @ 8.. => span.limit(len),
        _ => span,
    };
    let payload = whole.skip(header.slice().len())?;
    let entered = match (header.source_port(), header.destination_port()) {
        (_, VXLAN | VXLAN_GENERIC | VXLAN_LINUX) => vxlan(payload, context)?,
        (_, GENEVE) => geneve(payload, context)?,
        (_, GTP_U) | (GTP_U, _) => gtp_u(payload, context)?,
        // RFC 8086; the source port is entropy.
        (_, GRE) => gre(payload, context).ok(),
        _ => None,
    };
    Ok(entered.unwrap_or(Layer::Other))
}

/// Virtual eXtensible LAN (RFC 7348 §5). The reserved fields are not looked at: extensions live
/// there. Some senders leave out the I flag, so that what looks like Ethernet is entered without it.
///
/// ```text
///  0               4               8
/// |R R R R I R R R|reserved|VNI (24 bits)|reserved|Ethernet frame
/// ```
fn vxlan<'a>(span: Span<'a>, context: &mut Context) -> Result<Option<Layer<'a>>, Anomaly> {
    const VNI_VALID: u8 = 0x08;
    const GENERIC_PROTOCOL: u8 = 0x04;
    let Ok((&[flags, _, _, next, v0, v1, v2, _], rest)) = span.take::<8>() else { return Ok(None) };
    if flags & VNI_VALID == 0 && !looks_like_ethernet(Some(rest.bytes)) {
        return Ok(None);
    }
    let layer = match (flags & GENERIC_PROTOCOL != 0, next) {
        (true, 1 | 2) => Layer::Ip(rest),
        (false, _) | (true, 3) => Layer::Ethernet(rest),
        // A reserved bit of plain VXLAN that is set all the same, or a protocol that is not known.
        (true, _) if looks_like_ethernet(Some(rest.bytes)) => Layer::Ethernet(rest),
        _ => return Ok(None),
    };
    context.enter(Kind::Vxlan, u32::from_be_bytes([0, v0, v1, v2]))?;
    Ok(Some(layer))
}

/// Generic Network Virtualization Encapsulation (RFC 8926 §3.4).
///
/// ```text
///  0                       2           4               8
/// |ver (2)|options / 4 (6)|O C|protocol|VNI (24)|res.|options|payload
/// ```
fn geneve<'a>(span: Span<'a>, context: &mut Context) -> Result<Option<Layer<'a>>, Anomaly> {
    let Ok((&[first, _, p0, p1, v0, v1, v2, _], rest)) = span.take::<8>() else { return Ok(None) };
    if first >> 6 != 0 {
        return Ok(None);
    }
    let Ok(rest) = rest.skip(usize::from(first & 0x3f) * 4) else { return Ok(None) };
    context.enter(Kind::Geneve, u32::from_be_bytes([0, v0, v1, v2]))?;
    Ok(Some(match u16::from_be_bytes([p0, p1]) {
        ETHERTYPE_BRIDGING => Layer::Ethernet(rest),
        protocol => Layer::EtherType(protocol, rest),
    }))
}

/// GTP-U (3GPP TS 29.281 §5.1).
///
/// ```text
///  0                             1            2      4    8                              12
/// |version 1 (3)|PT|0|E|S|PN    |type (255)  |length|TEID|seq|N-PDU|next ext. (E, S or PN)|extensions|IP
/// ```
fn gtp_u<'a>(span: Span<'a>, context: &mut Context) -> Result<Option<Layer<'a>>, Anomaly> {
    const G_PDU: u8 = 255;
    let Ok((&[flags, message, l0, l1, ..], rest)) = span.take::<8>() else { return Ok(None) };
    if flags & 0xf0 != 0x30 || message != G_PDU {
        return Ok(None);
    }
    let mut rest = rest.limit(u16::from_be_bytes([l0, l1]).into());
    if flags & 0x07 != 0 {
        let Ok((&[_, _, _, next], after)) = rest.take::<4>() else { return Ok(None) };
        let next = if flags & 0x04 != 0 { next } else { 0 };
        let Some(after) = gtp_extensions(next, after) else { return Ok(None) };
        rest = after;
    }
    match rest.first() {
        Ok(first) if matches!(first >> 4, 4 | 6) => {
            context.enter(Kind::Gtp, 0)?;
            Ok(Some(Layer::Ip(rest)))
        }
        _ => Ok(None),
    }
}

/// Skips extension headers: length in units of 4 bytes first, the next one's type last.
fn gtp_extensions(mut next: u8, mut span: Span<'_>) -> Option<Span<'_>> {
    while next != 0 {
        let len = usize::from(span.first().ok()?) * 4;
        next = *span.bytes.get(..len)?.last()?;
        span = span.skip(len).ok()?;
    }
    Some(span)
}
