//! [`Decoder`]: one packet in, one [`Decoded`] out.

use super::defrag::{Joined, Pool};
use super::encapsulation::{Interner, Wrapping};
use super::layer::{Context, Datagram, Layer};
use super::segment::{Decoded, EncapsulationId, IcmpError, Segment};
use super::span::Span;
use super::{fast, icmp, ip, link, tcp, tunnel};
use crate::anomaly::{Anomaly, AnomalyCounts};
use crate::capture::Block;
use crate::capture::link_type::LinkType;
use crate::limits::Limits;
use crate::moment::Moment;
use etherparse::IpNumber;
use std::collections::BTreeMap;

/// How often fragments may lie inside of a datagram that was joined from fragments.
const NESTED_JOINS: usize = 4;

/// Turns packets into TCP segments. Keeps what packets share: fragments, and names for VLANs and tunnels.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// The datagrams that the last packet completed, each inside of the one before.
    joined: [Vec<u8>; NESTED_JOINS],
}

#[derive(Debug)]
struct State {
    interner: Interner,
    pool: Pool,
    counts: AnomalyCounts,
    unsupported: BTreeMap<LinkType, u64>,
    verify_checksums: bool,
    max_depth: usize,
    /// The packets whose fragments made up the last segment, where it came in fragments.
    fragments: Vec<u32>,
}

/// Where the way through a packet's layers ended.
enum Outcome<'a> {
    Decoded(Decoded<'a>),
    Joined(Joined),
}

impl Decoder {
    /// A decoder that has seen nothing. With `verify_checksums`, datagrams with a bad IPv4 header checksum and
    /// segments with a bad TCP checksum are dropped and counted; offload makes that wrong on the sending host.
    #[must_use]
    pub fn new(limits: &Limits, verify_checksums: bool) -> Self {
        let state = State {
            interner: Interner::new(limits.encapsulations),
            pool: Pool::new(limits),
            counts: AnomalyCounts::default(),
            unsupported: BTreeMap::new(),
            verify_checksums,
            max_depth: limits.encapsulation_depth,
            fragments: Vec::new(),
        };
        Decoder { state, joined: Default::default() }
    }

    /// Decodes all packets of `block`; hands each TCP segment to `handle`.
    pub fn each_segment(&mut self, block: &Block, mut handle: impl FnMut(&Segment<'_>)) {
        for packet in &block.packets {
            let bytes = block.packet_bytes(packet);
            let decoded =
                self.decode(packet.at, packet.link_type, packet.fcs_len, bytes, packet.original_len);
            if let Decoded::Segment(segment) = decoded {
                handle(&segment);
            }
        }
    }

    /// Decodes one packet. The result borrows from the packet, or from the decoder where fragments were joined.
    ///
    /// `fcs_len` counts the bytes of frame check sequence at the packet's end, `original_len` its bytes on the wire.
    pub fn decode<'a>(
        &'a mut self,
        at: Moment,
        link_type: LinkType,
        fcs_len: u8,
        bytes: &'a [u8],
        original_len: u32,
    ) -> Decoded<'a> {
        self.state.fragments.clear();
        if let Some(segment) = self.decode_common(at, link_type, bytes) {
            return Decoded::Segment(segment);
        }
        self.decode_generally(at, link_type, fcs_len, bytes, original_len)
    }

    /// The segment in a packet of a common shape, which borrows from the packet alone. `None`: ask [`Self::decode`].
    // Nearly all packets come this way, and a segment is large to hand over.
    #[inline(always)]
    pub fn decode_common<'a>(
        &mut self,
        at: Moment,
        link_type: LinkType,
        bytes: &'a [u8],
    ) -> Option<Segment<'a>> {
        if self.state.verify_checksums {
            return None;
        }
        let mut tags = fast::Tags::default();
        let segment = fast::read(at, link_type, bytes, &mut tags)?;
        Some(self.state.deliver(segment, tags.as_slice()))
    }

    /// What [`Self::decode`] does with packets that [`Self::decode_common`] leaves.
    pub fn decode_generally<'a>(
        &'a mut self,
        at: Moment,
        link_type: LinkType,
        fcs_len: u8,
        bytes: &'a [u8],
        original_len: u32,
    ) -> Decoded<'a> {
        self.state.fragments.clear();
        let wire = usize::try_from(original_len).unwrap_or(usize::MAX);
        let context = Context::new(fcs_len, self.state.max_depth);
        match self.state.packet(at, link_type, Span::new(bytes, wire), context) {
            Outcome::Decoded(decoded) => decoded,
            Outcome::Joined(joined) => self.state.inside_joined(at, joined, &mut self.joined),
        }
    }

    /// The VLANs and tunnels of `id` in words, outermost first: `["vlan 12", "vxlan 42"]`.
    #[must_use]
    pub fn encapsulation_names(&self, id: EncapsulationId) -> Vec<String> {
        self.state.interner.names(id)
    }

    /// The packets that a datagram's fragments came in, where the packet last given to [`Self::decode`] completed one: the
    /// first few.
    #[must_use]
    pub fn fragments(&self) -> &[u32] {
        &self.state.fragments
    }

    /// What was odd so far.
    #[must_use]
    pub fn anomalies(&self) -> &AnomalyCounts {
        &self.state.counts
    }

    /// The link types met that are not decoded, with the number of their packets.
    pub fn unsupported_link_types(&self) -> impl Iterator<Item = (LinkType, u64)> + '_ {
        self.state.unsupported.iter().map(|(link_type, packets)| (*link_type, *packets))
    }

    /// Bytes held for IP datagrams under reassembly.
    #[must_use]
    pub fn held_fragment_bytes(&self) -> usize {
        self.state.pool.held_bytes()
    }

    /// IP datagrams under reassembly.
    #[must_use]
    pub fn held_fragment_datagrams(&self) -> usize {
        self.state.pool.datagrams()
    }

    /// The capture has ended: counts the datagrams whose fragments never completed.
    pub fn finish(&mut self) {
        self.state.pool.finish(&mut self.state.counts);
    }
}

impl State {
    fn packet<'a>(
        &mut self,
        at: Moment,
        link_type: LinkType,
        span: Span<'a>,
        context: Context,
    ) -> Outcome<'a> {
        match link::first(link_type, span) {
            Ok(layer) => self.walk(at, layer, context),
            Err(anomaly) => {
                if anomaly == Anomaly::LinkUnsupported {
                    let packets = self.unsupported.entry(link_type).or_default();
                    *packets = packets.saturating_add(1);
                }
                self.fail(anomaly)
            }
        }
    }

    /// Decodes what a completed datagram holds, which may complete another one.
    fn inside_joined<'a>(&mut self, at: Moment, joined: Joined, slots: &'a mut [Vec<u8>]) -> Decoded<'a> {
        let Some((slot, inner_slots)) = slots.split_first_mut() else {
            self.counts.count(Anomaly::TunnelTooDeep);
            return Decoded::Nothing;
        };
        *slot = joined.bytes;
        let datagram = Datagram {
            source: joined.source,
            destination: joined.destination,
            ttl: joined.ttl,
            ip_id: joined.ip_id,
            protocol: joined.protocol,
            piece: None,
            payload: Span::new(slot, joined.wire).limit(joined.wire),
        };
        let outcome = match ip::skip_extensions(datagram) {
            Ok(datagram) => self.walk(at, Layer::Datagram(datagram), joined.context),
            Err(anomaly) => self.fail(anomaly),
        };
        match outcome {
            Outcome::Decoded(decoded) => decoded,
            Outcome::Joined(joined) => self.inside_joined(at, joined, inner_slots),
        }
    }

    /// Goes from layer to layer. Ends: each step consumes bytes or, at the latest, meets the depth limit.
    fn walk<'a>(&mut self, at: Moment, mut layer: Layer<'a>, mut context: Context) -> Outcome<'a> {
        loop {
            let next = match layer {
                Layer::Ethernet(span) => link::ethernet(span),
                Layer::EtherType(number, span) => link::ether_type(number, span, &mut context),
                Layer::Llc(span) => link::llc(span),
                Layer::Ppp(span) => link::ppp(span),
                Layer::Pppoe(span) => link::pppoe(span, &mut context),
                Layer::Mpls(span) => link::mpls(span, &mut context),
                Layer::Ip(span) => ip::read(span, &mut context, self.verify_checksums).map(Layer::Datagram),
                Layer::Datagram(datagram) => {
                    if let Some(outcome) = self.datagram(at, &datagram, &context) {
                        return outcome;
                    }
                    tunnel::enter(&datagram, &mut context)
                }
                Layer::Other => return Outcome::Decoded(Decoded::Nothing),
            };
            layer = match next {
                Ok(layer) => layer,
                Err(anomaly) => return self.fail(anomaly),
            };
        }
    }

    /// What an IP datagram holds, unless it is a tunnel.
    fn datagram<'a>(
        &mut self,
        at: Moment,
        datagram: &Datagram<'a>,
        context: &Context,
    ) -> Option<Outcome<'a>> {
        if datagram.piece.is_some() {
            return Some(self.fragment(at, datagram, context));
        }
        let path = context.path.as_slice();
        let decoded = match IpNumber(datagram.protocol) {
            IpNumber::TCP => match tcp::read(datagram, at, self.verify_checksums) {
                Ok(segment) => Decoded::Segment(self.deliver(segment, path)),
                Err(anomaly) => return Some(self.fail(anomaly)),
            },
            IpNumber::ICMP => self.icmp(icmp::read_v4(datagram, at), path),
            IpNumber::IPV6_ICMP => self.icmp(icmp::read_v6(datagram, at), path),
            _ => return None,
        };
        Some(Outcome::Decoded(decoded))
    }

    fn fragment<'a>(&mut self, at: Moment, datagram: &Datagram<'_>, context: &Context) -> Outcome<'a> {
        let Some(piece) = datagram.piece else { return Outcome::Decoded(Decoded::Nothing) };
        let encapsulation = self.intern(context.path.as_slice());
        match self.pool.add(datagram, piece, encapsulation, context, at, &mut self.counts) {
            Ok(Some(joined)) => {
                self.fragments.extend_from_slice(&joined.packets);
                Outcome::Joined(joined)
            }
            Ok(None) => Outcome::Decoded(Decoded::Nothing),
            Err(anomaly) => self.fail(anomaly),
        }
    }

    fn icmp<'a>(&mut self, error: Option<IcmpError>, path: &[Wrapping]) -> Decoded<'a> {
        let Some(mut error) = error else { return Decoded::Nothing };
        error.encapsulation = self.intern(path);
        Decoded::Icmp(error)
    }

    #[inline(always)]
    fn deliver<'a>(&mut self, mut segment: Segment<'a>, path: &[Wrapping]) -> Segment<'a> {
        if !path.is_empty() {
            segment.key = segment.key.within(self.intern(path));
        }
        if segment.missing > 0 {
            self.counts.count(Anomaly::PacketTruncated);
        }
        segment
    }

    fn intern(&mut self, path: &[Wrapping]) -> EncapsulationId {
        let id = self.interner.intern(path);
        if id == Interner::OVERFLOW {
            self.counts.count(Anomaly::EncapsulationLimit);
        }
        id
    }

    fn fail<'a>(&mut self, anomaly: Anomaly) -> Outcome<'a> {
        self.counts.count(anomaly);
        Outcome::Decoded(Decoded::Nothing)
    }
}
