//! A pcapng interface: how its packets' link type, time and losses are to be read.

use super::format::ByteOrder;
use super::link_type::LinkType;
use crate::time::Timestamp;
use pcap_parser::pcapng::{InterfaceDescriptionBlock, InterfaceStatisticsBlock, OptionCode, PcapNGOption};

/// `if_fcslen`, which pcap-parser has no name for.
const IF_FCSLEN: OptionCode = OptionCode(13);

/// One Interface Description Block (draft-ietf-opsawg-pcapng §4.2), with what later blocks say of it.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) link_type: LinkType,
    /// Bytes captured of a packet at most; 0 for no limit.
    pub(super) snaplen: u32,
    /// Bytes of frame check sequence at the end of each packet.
    pub(super) fcs_len: u8,
    resolution: Resolution,
    /// Added to each time stamp.
    offset_nanos: i64,
    /// Losses as packet blocks tell them: each since the packet before.
    dropped_between: u64,
    /// Losses as the last Interface Statistics Block tells them: since the start.
    dropped_in_all: u64,
}

impl Interface {
    pub(super) fn new(block: &InterfaceDescriptionBlock<'_>, order: ByteOrder) -> Interface {
        let options = &block.options;
        let offset = number(options, OptionCode::IfTsoffset, order).map_or(0, u64::cast_signed);
        Interface {
            link_type: LinkType(u16::try_from(block.linktype.0).unwrap_or(u16::MAX)),
            snaplen: block.snaplen,
            fcs_len: byte(options, IF_FCSLEN).map_or(0, fcs_bytes),
            resolution: byte(options, OptionCode::IfTsresol)
                .map_or(Resolution::MICROSECONDS, Resolution::new),
            offset_nanos: offset.saturating_mul(1_000_000_000),
            dropped_between: 0,
            dropped_in_all: 0,
        }
    }

    /// The time that `ticks` of this interface's clock stand for.
    #[inline]
    pub(super) fn time(&self, ticks: u64) -> Timestamp {
        Timestamp::from_nanos(self.resolution.nanos(ticks).saturating_add(self.offset_nanos))
    }

    /// `count` packets were lost between a packet and the one before. Gives how many more are lost in all.
    #[inline]
    pub(super) fn add_dropped(&mut self, count: u64) -> u64 {
        let before = self.dropped();
        self.dropped_between = self.dropped_between.saturating_add(count);
        self.dropped().saturating_sub(before)
    }

    /// Takes over the counters of an Interface Statistics Block (§4.6), which count from the start of the capture. Gives
    /// how many more are lost in all.
    pub(super) fn set_statistics(&mut self, block: &InterfaceStatisticsBlock<'_>, order: ByteOrder) -> u64 {
        let before = self.dropped();
        let by_interface = number(&block.options, OptionCode::IsbIfDrop, order);
        let by_system = number(&block.options, OptionCode::IsbOsDrop, order);
        if by_interface.is_some() || by_system.is_some() {
            let total = by_interface.unwrap_or(0).saturating_add(by_system.unwrap_or(0));
            self.dropped_in_all = self.dropped_in_all.max(total);
        }
        self.dropped().saturating_sub(before)
    }

    /// Packets lost here. Both ways of telling speak of the same losses, so the larger counts and not the sum.
    fn dropped(&self) -> u64 {
        self.dropped_between.max(self.dropped_in_all)
    }
}

/// The unit of an interface's time stamps (`if_tsresol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    /// A tick is so many nanoseconds.
    Nanoseconds(i64),
    /// A nanosecond is so many ticks; 0 for more than can be counted.
    PerNanosecond(i64),
    /// A tick is 2 to the minus this of a second.
    Binary(u32),
}

impl Resolution {
    /// Where the option is absent.
    const MICROSECONDS: Resolution = Resolution::Nanoseconds(1_000);

    /// ```text
    /// if_tsresol   |b|  exponent  |     b = 0: 10^-exponent s, b = 1: 2^-exponent s
    /// ```
    fn new(option: u8) -> Resolution {
        let exponent = u32::from(option & 0x7f);
        if option & 0x80 != 0 {
            Resolution::Binary(exponent)
        } else if let Some(power) = 9_u32.checked_sub(exponent) {
            Resolution::Nanoseconds(10_i64.pow(power))
        } else {
            Resolution::PerNanosecond(10_i64.checked_pow(exponent.saturating_sub(9)).unwrap_or(0))
        }
    }

    /// Ticks beyond what 63 bits count are taken as negative: writers that subtract from the time leave such.
    #[inline]
    fn nanos(self, ticks: u64) -> i64 {
        let signed = ticks.cast_signed();
        match self {
            Resolution::Nanoseconds(each) => signed.saturating_mul(each),
            Resolution::PerNanosecond(ticks_each) => signed.checked_div(ticks_each).unwrap_or(0),
            // 64 bits times 10^9 are 94 bits, so this can't overflow.
            Resolution::Binary(exponent) => {
                let scaled = (i128::from(signed) * 1_000_000_000) >> exponent;
                i64::try_from(scaled).unwrap_or(if signed < 0 { i64::MIN } else { i64::MAX })
            }
        }
    }
}

/// `if_fcslen` is in bits by the draft's text and in bytes by its example; writers do either.
fn fcs_bytes(option: u8) -> u8 {
    if option > 8 { option / 8 } else { option }
}

fn option<'a>(options: &'a [PcapNGOption<'_>], code: OptionCode) -> Option<&'a [u8]> {
    options.iter().find(|option| option.code == code)?.as_bytes().ok()
}

fn byte(options: &[PcapNGOption<'_>], code: OptionCode) -> Option<u8> {
    option(options, code)?.first().copied()
}

/// A 64-bit option. pcap-parser's own accessors read it in little-endian always.
fn number(options: &[PcapNGOption<'_>], code: OptionCode, order: ByteOrder) -> Option<u64> {
    option(options, code)?.first_chunk().map(|bytes| order.u64(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolution_is_a_power_of_ten_or_of_two() {
        assert_eq!(Resolution::new(0).nanos(5), 5_000_000_000);
        assert_eq!(Resolution::new(6).nanos(5), 5_000);
        assert_eq!(Resolution::new(9).nanos(5), 5);
        assert_eq!(Resolution::new(12).nanos(5_999), 5);
        assert_eq!(Resolution::new(0x80).nanos(5), 5_000_000_000);
        assert_eq!(Resolution::new(0x81).nanos(5), 2_500_000_000);
        assert_eq!(Resolution::new(0x8a).nanos(1_025), 1_000_976_562);
    }

    #[test]
    fn extreme_resolution_saturates() {
        assert_eq!(Resolution::new(0).nanos(u64::MAX / 2), i64::MAX);
        assert_eq!(Resolution::new(127).nanos(u64::MAX / 2), 0);
        assert_eq!(Resolution::new(0xff).nanos(u64::MAX / 2), 0);
        assert_eq!(Resolution::new(0x80).nanos(u64::MAX / 2), i64::MAX);
        assert_eq!(Resolution::new(0x80).nanos(1 << 63), i64::MIN);
    }

    #[test]
    fn time_before_the_epoch_keeps_its_distances() {
        let microseconds = Resolution::MICROSECONDS;
        assert_eq!(microseconds.nanos(u64::MAX), -1_000);
        assert_eq!(microseconds.nanos(18_446_744_073_204_126_329), -505_425_287_000);
    }

    #[test]
    fn fcs_length_is_taken_in_bits_or_bytes() {
        assert_eq!(fcs_bytes(4), 4);
        assert_eq!(fcs_bytes(32), 4);
        assert_eq!(fcs_bytes(0), 0);
    }
}
