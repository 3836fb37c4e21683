//! Bytes of a packet together with how long they were on the wire.

use crate::anomaly::Anomaly;

/// The rest of a packet from some header on: the captured bytes, and their length on the wire.
///
/// ```text
/// |<------- wire ------->|
/// |<-- bytes -->| missing|     the snaplen cut here
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span<'a> {
    pub(super) bytes: &'a [u8],
    /// Never less than `bytes.len()`.
    pub(super) wire: usize,
    /// Does an enclosing header, and not only the packet's record, give that length?
    bounded: bool,
}

impl<'a> Span<'a> {
    pub(super) fn new(bytes: &'a [u8], wire: usize) -> Self {
        Span { bytes, wire: wire.max(bytes.len()), bounded: false }
    }

    /// Bytes on the wire that the capture does not hold.
    pub(super) fn missing(self) -> usize {
        self.wire.saturating_sub(self.bytes.len())
    }

    /// What it is when a header does not fit: cut by the snaplen, or wrong from the start.
    pub(super) fn too_short(self) -> Anomaly {
        if self.missing() > 0 { Anomaly::PacketTruncated } else { Anomaly::PacketMalformed }
    }

    /// The first `N` bytes, and the rest.
    pub(super) fn take<const N: usize>(self) -> Result<(&'a [u8; N], Span<'a>), Anomaly> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or(self.too_short())?;
        Ok((head, Span { bytes: rest, wire: self.wire.saturating_sub(N), ..self }))
    }

    /// Everything after the first `count` bytes.
    pub(super) fn skip(self, count: usize) -> Result<Span<'a>, Anomaly> {
        let rest = self.bytes.get(count..).ok_or(self.too_short())?;
        Ok(Span { bytes: rest, wire: self.wire.saturating_sub(count), ..self })
    }

    /// At most `count` bytes on the wire, as a header says: cuts padding.
    pub(super) fn limit(self, count: usize) -> Span<'a> {
        let bytes = self.bytes.get(..count).unwrap_or(self.bytes);
        Span { bytes, wire: self.wire.min(count), bounded: self.bounded || count <= self.wire }
    }

    /// At most `count` captured bytes; on the wire there may have been more.
    pub(super) fn cut(self, count: usize) -> Span<'a> {
        Span { bytes: self.bytes.get(..count).unwrap_or(self.bytes), ..self }
    }

    /// `count` bytes on the wire, as an IP header says. It is believed even where the packet's record speaks of
    /// fewer, as when a capturing device cut the packet and did not tell; but not against an enclosing header.
    pub(super) fn claim(self, count: usize) -> Span<'a> {
        let limited = self.limit(count);
        if self.bounded { limited } else { Span { wire: count, bounded: true, ..limited } }
    }

    /// The first byte, if there is one.
    pub(super) fn first(self) -> Result<u8, Anomaly> {
        self.bytes.first().copied().ok_or(self.too_short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_the_snaplen_cut_is_truncated_not_malformed() {
        assert_eq!(Span::new(&[1, 2], 9).take::<4>(), Err(Anomaly::PacketTruncated));
        assert_eq!(Span::new(&[1, 2], 2).take::<4>(), Err(Anomaly::PacketMalformed));
    }

    #[test]
    fn a_limit_cuts_padding_and_never_adds() {
        let span = Span::new(&[1, 2, 3, 4], 4);
        assert_eq!((span.limit(2).bytes, span.limit(2).wire), (&[1, 2][..], 2));
        assert_eq!(span.limit(9), span);
    }

    #[test]
    fn a_claim_is_believed_against_the_record_but_not_against_an_enclosing_header() {
        let span = Span::new(&[1, 2, 3, 4], 4);
        assert_eq!(span.claim(9).missing(), 5);
        assert_eq!(span.limit(4).claim(9).missing(), 0);
        assert_eq!(span.claim(3).claim(9).wire, 3);
    }
}
