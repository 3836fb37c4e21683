//! Link layers, and what is told by an EtherType.

use super::encapsulation::Kind;
use super::layer::{Context, Layer};
use super::span::Span;
use crate::anomaly::Anomaly;
use crate::capture::link_type::LinkType;
use etherparse::SingleVlanHeaderSlice;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const VLAN_SERVICE: u16 = 0x88a8;
const VLAN_OLD_STACKED: u16 = 0x9100;
const MPLS: u16 = 0x8847;
const MPLS_UPSTREAM: u16 = 0x8848;
const PPP: u16 = 0x880b;
const PPPOE_SESSION: u16 = 0x8864;
/// IEEE 802.1ah provider backbone bridging.
const I_TAG: u16 = 0x88e7;
/// IEEE 802.1BR.
const E_TAG: u16 = 0x893f;
/// Cisco's forerunner of it.
const VN_TAG: u16 = 0x8926;
const LLC_MAX: u16 = 1500;

/// The first layer of a packet; [`Anomaly::LinkUnsupported`] if its link type is not decoded.
pub(super) fn first(link_type: LinkType, span: Span<'_>) -> Result<Layer<'_>, Anomaly> {
    match link_type {
        LinkType::ETHERNET => Ok(Layer::Ethernet(span)),
        LinkType::NULL | LinkType::LOOP => loopback(span),
        LinkType::PPP | LinkType::PPP_HDLC => ppp_or_cisco(span),
        LinkType::PPP_WITH_DIR => Ok(Layer::Ppp(span.skip(1)?)),
        LinkType::PPP_ETHER => Ok(Layer::Pppoe(span)),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD | LinkType::IPV4 | LinkType::IPV6 => {
            Ok(Layer::Ip(span))
        }
        LinkType::C_HDLC => cisco_hdlc(span),
        LinkType::LINUX_SLL => cooked(span),
        LinkType::LINUX_SLL2 => cooked_v2(span),
        LinkType::NFLOG => nflog(span),
        _ => Err(Anomaly::LinkUnsupported),
    }
}

/// Are packets of this link type decoded?
#[must_use]
pub fn is_supported(link_type: LinkType) -> bool {
    !matches!(first(link_type, Span::new(&[], 0)), Err(Anomaly::LinkUnsupported))
}

/// The log of Linux's netfilter (`LINKTYPE_NFLOG`): values, each padded to four bytes, of which one is an IP packet.
///
/// ```text
///  0      1       2           4      6    8
/// |family|version|group      |length|type|value ... |length|type| ...
/// ```
///
/// Length, which counts itself and the type, and type come in the byte order of the host that captured. Types are below
/// 256, which tells it.
fn nflog(span: Span<'_>) -> Result<Layer<'_>, Anomaly> {
    const PAYLOAD: u16 = 9;
    const HEADER: usize = 4;
    let (_, mut rest) = span.take::<HEADER>()?;
    while !rest.bytes.is_empty() {
        let (&[l0, l1, t0, t1], value) = rest.take::<HEADER>()?;
        let number = if t1 == 0 { u16::from_le_bytes } else { u16::from_be_bytes };
        let len = usize::from(number([l0, l1])).checked_sub(HEADER).ok_or(Anomaly::PacketMalformed)?;
        if number([t0, t1]) == PAYLOAD {
            // Netfilter may have been told to log less than the whole packet.
            return Ok(Layer::Ip(value.cut(len)));
        }
        rest = value.skip(len.next_multiple_of(HEADER))?;
    }
    Ok(Layer::Other)
}

/// Ethernet II or IEEE 802.3.
pub(super) fn ethernet(span: Span<'_>) -> Result<Layer<'_>, Anomaly> {
    let (&[.., t0, t1], rest) = span.take::<14>()?;
    Ok(match u16::from_be_bytes([t0, t1]) {
        len @ ..=LLC_MAX => Layer::Llc(rest.limit(len.into())),
        ether_type => Layer::EtherType(ether_type, rest),
    })
}

/// What an EtherType says. Ethernet inside of Ethernet's own types is left alone.
pub(super) fn ether_type<'a>(
    number: u16,
    span: Span<'a>,
    context: &mut Context,
) -> Result<Layer<'a>, Anomaly> {
    match number {
        IPV4 | IPV6 => Ok(Layer::Ip(span)),
        VLAN | VLAN_SERVICE | VLAN_OLD_STACKED => vlan(span, context),
        MPLS | MPLS_UPSTREAM => Ok(Layer::Mpls(span)),
        PPPOE_SESSION => Ok(Layer::Pppoe(span)),
        PPP => Ok(Layer::Ppp(span)),
        I_TAG => {
            let (&[_, i0, i1, i2], rest) = span.take::<4>()?;
            context.enter(Kind::Pbb, u32::from_be_bytes([0, i0, i1, i2]))?;
            Ok(Layer::Ethernet(rest))
        }
        E_TAG => tag::<8>(span, context),
        VN_TAG => tag::<6>(span, context),
        _ => Ok(Layer::Other),
    }
}

fn vlan<'a>(span: Span<'a>, context: &mut Context) -> Result<Layer<'a>, Anomaly> {
    let header = SingleVlanHeaderSlice::from_slice(span.bytes).map_err(|_| span.too_short())?;
    let rest = span.skip(header.slice().len())?;
    // VLAN 0 is a priority and no VLAN (IEEE 802.1Q table 9-2).
    match header.vlan_identifier().value() {
        0 => context.descend()?,
        id => context.enter(Kind::Vlan, id.into())?,
    }
    Ok(match header.ether_type().0 {
        len @ ..=LLC_MAX => Layer::Llc(rest.limit(len.into())),
        number => Layer::EtherType(number, rest),
    })
}

/// A tag that names a switch port and no network: skipped. `N` counts its EtherType, which ends it.
fn tag<'a, const N: usize>(span: Span<'a>, context: &mut Context) -> Result<Layer<'a>, Anomaly> {
    context.descend()?;
    let (header, rest) = span.take::<N>()?;
    let number = header.last_chunk::<2>().map_or(0, |number| u16::from_be_bytes(*number));
    Ok(Layer::EtherType(number, rest))
}

/// IEEE 802.2: SNAP (RFC 1042) or IP's own access point.
pub(super) fn llc(span: Span<'_>) -> Result<Layer<'_>, Anomaly> {
    const BRIDGE_TUNNEL: [u8; 3] = [0x00, 0x00, 0xf8];
    let Ok((head, rest)) = span.take::<3>() else { return Ok(Layer::Other) };
    match head {
        [0xaa, 0xaa, 0x03] => {
            let (&[o0, o1, o2, t0, t1], rest) = rest.take::<5>()?;
            match [o0, o1, o2] {
                [0, 0, 0] | BRIDGE_TUNNEL => Ok(Layer::EtherType(u16::from_be_bytes([t0, t1]), rest)),
                _ => Ok(Layer::Other),
            }
        }
        [0x06, 0x06, 0x03] => Ok(Layer::Ip(rest)),
        _ => Ok(Layer::Other),
    }
}

/// BSD loopback. The address family comes in the byte order of the host that captured, or of the network.
fn loopback(span: Span<'_>) -> Result<Layer<'_>, Anomaly> {
    let (head, rest) = span.take::<4>()?;
    let family = match u32::from_be_bytes(*head) {
        family @ ..=0xffff => family,
        swapped => swapped.swap_bytes(),
    };
    // AF_INET is 2 everywhere; AF_INET6 is 10 on Linux, 24 NetBSD and OpenBSD, 28 FreeBSD, 30 macOS.
    Ok(match family {
        2 | 10 | 24 | 28 | 30 => Layer::Ip(rest),
        _ => Layer::Other,
    })
}

/// PPP links that may carry Cisco HDLC: told by the first byte (RFC 1662 has ff, RFC 1547 0f and 8f).
fn ppp_or_cisco(span: Span<'_>) -> Result<Layer<'_>, Anomaly> {
    match span.first()? {
        0x0f | 0x8f => cisco_hdlc(span),
        _ => Ok(Layer::Ppp(span)),
    }
}

fn cisco_hdlc(span: Span<'_>) -> Result<Layer<'_>, Anomaly> {
    let (&[_, _, t0, t1], rest) = span.take::<4>()?;
    Ok(Layer::EtherType(u16::from_be_bytes([t0, t1]), rest))
}

/// PPP: address and control, if not compressed away; a protocol of two bytes, or one if odd (RFC 1661 §2, RFC 1662).
pub(super) fn ppp(span: Span<'_>) -> Result<Layer<'_>, Anomaly> {
    let span = match span.bytes {
        [0xff, 0x03, ..] => span.skip(2)?,
        _ => span,
    };
    let first = span.first()?;
    let (protocol, rest) = if first & 1 == 1 {
        (u16::from(first), span.skip(1)?)
    } else {
        let (number, rest) = span.take::<2>()?;
        (u16::from_be_bytes(*number), rest)
    };
    Ok(match protocol {
        0x0021 | 0x0057 => Layer::Ip(rest),
        0x0281 | 0x0283 => Layer::Mpls(rest),
        _ => Layer::Other,
    })
}

/// A PPPoE session packet (RFC 2516 §4).
///
/// ```text
///  0                   1      2          4      6
/// |version 1, type 1 |code 0|session ID|length|PPP protocol ...
/// ```
pub(super) fn pppoe<'a>(span: Span<'a>, context: &mut Context) -> Result<Layer<'a>, Anomaly> {
    let (&[_, code, s0, s1, l0, l1], rest) = span.take::<6>()?;
    if code != 0 {
        return Ok(Layer::Other);
    }
    context.enter(Kind::Pppoe, u16::from_be_bytes([s0, s1]).into())?;
    Ok(Layer::Ppp(rest.limit(u16::from_be_bytes([l0, l1]).into())))
}

/// An MPLS label stack (RFC 3032 §2.1). Nothing says what follows it: IP by its first four bits, else Ethernet, with
/// a control word (RFC 4385 §3) or without, where the EtherType is one that is known.
pub(super) fn mpls<'a>(span: Span<'a>, context: &mut Context) -> Result<Layer<'a>, Anomaly> {
    const CONTROL_WORD: usize = 4;
    context.descend()?;
    let mut rest = span;
    loop {
        let (&[_, _, bottom, _], after) = rest.take::<4>()?;
        rest = after;
        if bottom & 1 == 1 {
            break;
        }
    }
    let first = rest.first()?;
    Ok(match first >> 4 {
        4 if first & 0x0f >= 5 => Layer::Ip(rest),
        6 => Layer::Ip(rest),
        0 if looks_like_ethernet(rest.bytes.get(CONTROL_WORD..)) => Layer::Ethernet(rest.skip(CONTROL_WORD)?),
        _ if looks_like_ethernet(Some(rest.bytes)) => Layer::Ethernet(rest),
        _ => Layer::Other,
    })
}

/// Does a known EtherType stand where it would in an Ethernet header?
pub(super) fn looks_like_ethernet(bytes: Option<&[u8]>) -> bool {
    let ether_type = bytes.and_then(|bytes| bytes.get(12..14));
    let Some(&[t0, t1]) = ether_type else { return false };
    matches!(u16::from_be_bytes([t0, t1]), IPV4 | IPV6 | VLAN | VLAN_SERVICE | MPLS | PPPOE_SESSION)
}

/// Linux "cooked": packet type, device type, address length, address (8), protocol.
fn cooked(span: Span<'_>) -> Result<Layer<'_>, Anomaly> {
    let (&[_, _, h0, h1, .., t0, t1], rest) = span.take::<16>()?;
    Ok(cooked_payload(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([t0, t1]), rest))
}

/// Version 2: protocol, reserved (2), interface (4), device type, packet type, address length, address (8).
fn cooked_v2(span: Span<'_>) -> Result<Layer<'_>, Anomaly> {
    let (&[t0, t1, _, _, _, _, _, _, h0, h1, ..], rest) = span.take::<20>()?;
    Ok(cooked_payload(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([t0, t1]), rest))
}

fn cooked_payload(device: u16, protocol: u16, rest: Span<'_>) -> Layer<'_> {
    const NETLINK: u16 = 824;
    const LLC: u16 = 0x0004;
    match (device, protocol) {
        (NETLINK, _) => Layer::Other,
        (_, LLC) => Layer::Llc(rest),
        _ => Layer::EtherType(protocol, rest),
    }
}
