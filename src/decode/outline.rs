//! A segment without its bytes: what one thread decodes, another follows.

use super::fast;
use super::flow_key::FlowKey;
use super::segment::{Segment, TcpFlags};
use crate::capture::{Block, PacketRef};
use crate::moment::Moment;
use crate::seq::SeqNum;

/// A segment of the most common shape (see `fast`: no VLAN, nothing cut off), its bytes named by their place in a block.
///
/// Fields as in [`Segment`].
#[derive(Clone, Copy, Debug)]
pub struct Outline {
    /// Its connection.
    pub key: FlowKey,
    seq: SeqNum,
    ack: Option<SeqNum>,
    /// Where its payload begins and ends; the options stand before it.
    payload: (u32, u32),
    window: u16,
    ip_id: Option<u16>,
    options_len: u8,
    flags: TcpFlags,
    ttl: u8,
    from_lower: bool,
}

impl Outline {
    /// That of a packet of `block`; `None`: it has not that shape.
    #[must_use]
    #[inline]
    pub fn of(packet: &PacketRef, block: &Block) -> Option<Outline> {
        let mut tags = fast::Tags::default();
        let segment = fast::read(packet.at, packet.link_type, block.packet_bytes(packet), &mut tags)?;
        if segment.missing > 0 || !tags.as_slice().is_empty() {
            return None;
        }
        let start = (segment.payload.as_ptr() as usize).checked_sub(block.bytes.as_ptr() as usize)?;
        let end = start.checked_add(segment.payload.len())?;
        let Segment { key, from_lower, seq, ack, flags, window, ttl, ip_id, options, .. } = segment;
        let payload = (u32::try_from(start).ok()?, u32::try_from(end).ok()?);
        let options_len = u8::try_from(options.len()).ok()?;
        Some(Outline { key, seq, ack, payload, window, ip_id, options_len, flags, ttl, from_lower })
    }

    /// Where its payload begins in the block.
    #[must_use]
    #[inline]
    pub fn payload_start(&self) -> usize {
        self.payload.0 as usize
    }

    /// The segment, with its bytes in `block`.
    #[must_use]
    #[inline]
    pub fn segment(self, at: Moment, block: &Block) -> Segment<'_> {
        let Outline { key, seq, ack, payload, window, ip_id, options_len, flags, ttl, from_lower } = self;
        let (start, end) = (payload.0 as usize, payload.1 as usize);
        let options = start.saturating_sub(usize::from(options_len))..start;
        Segment {
            at,
            key,
            from_lower,
            seq,
            ack,
            flags,
            window,
            ttl,
            ip_id,
            options: block.bytes.get(options).unwrap_or_default(),
            payload: block.bytes.get(start..end).unwrap_or_default(),
            missing: 0,
        }
    }
}
