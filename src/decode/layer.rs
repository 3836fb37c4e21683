//! What the general path hands from one step to the next.

use super::encapsulation::{Kind, PATH_MAX, Path, Wrapping};
use super::span::Span;
use crate::anomaly::Anomaly;
use std::net::IpAddr;

/// How the next bytes are to be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layer<'a> {
    /// An Ethernet header.
    Ethernet(Span<'a>),
    /// What this EtherType says.
    EtherType(u16, Span<'a>),
    /// An IEEE 802.2 LLC header.
    Llc(Span<'a>),
    /// A PPP protocol field, perhaps after `ff 03`.
    Ppp(Span<'a>),
    /// A PPPoE session header.
    Pppoe(Span<'a>),
    /// An MPLS label stack.
    Mpls(Span<'a>),
    /// An IP header of either version.
    Ip(Span<'a>),
    /// The payload of an IP header.
    Datagram(Datagram<'a>),
    /// Nothing of interest.
    Other,
}

/// The payload of an IP header, and what the header said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// IPv4 TTL or IPv6 hop limit.
    pub(super) ttl: u8,
    /// IPv4 identification; `None` in IPv6.
    pub(super) ip_id: Option<u16>,
    /// Protocol number of the payload (an IPv6 extension header's, until they are skipped).
    pub(super) protocol: u8,
    /// Where the payload lies in the whole, if this is a fragment.
    pub(super) piece: Option<Piece>,
    pub(super) payload: Span<'a>,
}

/// A fragment's place in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Identification.
    pub(super) id: u32,
    /// Offset in bytes.
    pub(super) offset: usize,
    /// Do others follow?
    pub(super) more: bool,
}

/// What the way through a packet's layers gathers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) path: Path,
    /// Bytes of frame check sequence at the packet's end that no header accounts for.
    pub(super) fcs_len: usize,
    depth: usize,
    max_depth: usize,
}

impl Context {
    pub(super) fn new(fcs_len: u8, max_depth: usize) -> Self {
        Context {
            path: Path::default(),
            fcs_len: fcs_len.into(),
            depth: 0,
            max_depth: max_depth.min(PATH_MAX),
        }
    }

    /// Enters a wrapping that belongs to the identity. A stack of VLAN tags counts one.
    pub(super) fn enter(&mut self, kind: Kind, id: u32) -> Result<(), Anomaly> {
        let stacked = kind == Kind::Vlan && self.path.as_slice().last().is_some_and(|last| last.kind == kind);
        if !stacked {
            self.descend()?;
        }
        if self.path.push(Wrapping { kind, id }) { Ok(()) } else { Err(Anomaly::TunnelTooDeep) }
    }

    /// Enters a wrapping that does not belong to the identity.
    pub(super) fn descend(&mut self) -> Result<(), Anomaly> {
        self.depth += 1;
        if self.depth > self.max_depth { Err(Anomaly::TunnelTooDeep) } else { Ok(()) }
    }
}
