//! Packets: link layers, tunnels, IP, TCP, ICMP.

use super::{Bytes, small_limits};
use crate::capture::link_type::LinkType;
use crate::decode::Decoder;
use crate::decode::encapsulation::PATH_MAX;
use crate::decode::segment::{Decoded, EncapsulationId, Segment};
use crate::moment::Moment;
use crate::time::Timestamp;

/// The link types that are decoded, and one that is not.
const LINK_TYPES: [u16; 19] =
    [1, 0, 9, 12, 14, 50, 51, 101, 104, 105, 108, 113, 204, 228, 229, 276, 147, 239, 143];

/// `link type, options | length, length on the wire beyond it, packet | ...`
///
/// The fast path and the general one agree; a segment's payload lies within its packet, and is no longer than its
/// packet was on the wire; the caps on encapsulations hold.
pub fn decode(input: &[u8]) {
    let mut input = Bytes(input);
    let choice = usize::from(input.byte());
    let link_type = LinkType(LINK_TYPES.get(choice % LINK_TYPES.len()).copied().unwrap_or(1));
    let options = input.byte();
    let (verify, fcs_len) = (options & 1 != 0, if options & 2 != 0 { 4 } else { 0 });
    let limits = small_limits();
    let mut decoder = Decoder::new(&limits, verify);
    let (mut fast, mut general) = (Decoder::new(&limits, verify), Decoder::new(&limits, verify));
    let mut number = 0;
    while !input.is_empty() {
        let len = usize::from(input.u16() % 2_048);
        let beyond = u32::from(input.byte());
        let bytes = input.take(len);
        let wire = u32::try_from(bytes.len()).unwrap_or(0) + beyond;
        number += 1;
        let at = Moment::new(Timestamp::from_nanos(i64::from(number) * 1_000_000), number, 0);
        if fcs_len == 0
            && beyond == 0
            && let Some(segment) = fast.decode_common(at, link_type, bytes)
        {
            match general.decode_generally(at, link_type, 0, bytes, wire) {
                Decoded::Segment(other) => assert_eq!(segment, other, "the fast path and the general one"),
                other => panic!("the general path gives {other:?} for {segment:?}"),
            }
        }
        let id = match decoder.decode(at, link_type, fcs_len, bytes, wire) {
            Decoded::Segment(segment) => check(&segment, bytes, wire),
            Decoded::Icmp(error) => error.encapsulation,
            Decoded::Nothing => EncapsulationId::default(),
        };
        let mut names = decoder.encapsulation_names(id);
        assert!(names.len() <= PATH_MAX, "wrappings within their cap");
        // A stack of VLAN tags counts one.
        names.dedup_by(|one, before| one.starts_with("vlan ") && before.starts_with("vlan "));
        assert!(names.len() <= limits.encapsulation_depth.max(1), "layers within their cap");
        let is_overflow = decoder.encapsulation_names(id) == ["other"];
        assert!(is_overflow || id.0 as usize <= limits.encapsulations, "identities within their cap");
        assert!(decoder.held_fragment_bytes() <= limits.fragment_bytes, "fragments within their cap");
    }
    decoder.finish();
}

fn check(segment: &Segment<'_>, packet: &[u8], wire: u32) -> EncapsulationId {
    let (start, end) = (packet.as_ptr() as usize, packet.as_ptr() as usize + packet.len());
    let at = segment.payload.as_ptr() as usize;
    let is_own = (start..=end).contains(&at);
    if is_own {
        assert!(at + segment.payload.len() <= end, "the payload lies within the packet");
    }
    // A fragment's packet is shorter than the datagram, and an IP header is believed against the record's length.
    assert!(segment.payload_len() <= wire.max(1 << 24));
    assert!(segment.options.len() <= 40);
    segment.encapsulation()
}
