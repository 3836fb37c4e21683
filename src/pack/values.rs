//! Packs values of the kinds that many things have.

use super::{Pack, Packer, Unpacker, pack_values};
use crate::moment::Moment;
use crate::seq::SeqNum;
use crate::side::{PerSide, Side};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroU64};

/// In nanoseconds.
const MICROSECOND: i64 = 1_000;

macro_rules! pack_unsigned {
    ($($number:ty),+) => {$(
        impl Pack for $number {
            fn pack(&self, into: &mut Packer) {
                into.put_number(u64::from(*self));
            }

            fn unpack(from: &mut Unpacker<'_>) -> Self {
                <$number>::try_from(from.number()).unwrap_or_default()
            }
        }
    )+};
}

pack_unsigned!(u8, u16, u32, u64);

/// A time in nanoseconds.
impl Pack for i64 {
    fn pack(&self, into: &mut Packer) {
        let is_whole = *self != 0 && self % MICROSECOND == 0;
        is_whole.pack(into);
        let time = if is_whole { self / MICROSECOND } else { *self };
        into.put_signed(time);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let unit = if bool::unpack(from) { MICROSECOND } else { 1 };
        from.signed().wrapping_mul(unit)
    }
}

impl Pack for bool {
    fn pack(&self, into: &mut Packer) {
        into.put_bits(u64::from(*self), 1);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        from.bits(1) != 0
    }
}

impl Pack for NonZeroU64 {
    fn pack(&self, into: &mut Packer) {
        self.get().pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        NonZeroU64::new(u64::unpack(from)).unwrap_or(NonZeroU64::MIN)
    }
}

impl Pack for NonZeroU32 {
    fn pack(&self, into: &mut Packer) {
        self.get().pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        NonZeroU32::new(u32::unpack(from)).unwrap_or(NonZeroU32::MIN)
    }
}

impl Pack for Moment {
    fn pack(&self, into: &mut Packer) {
        into.put_moment(*self);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        from.moment()
    }
}

impl Pack for SeqNum {
    fn pack(&self, into: &mut Packer) {
        self.0.pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        SeqNum(u32::unpack(from))
    }
}

impl Pack for IpAddr {
    fn pack(&self, into: &mut Packer) {
        self.is_ipv6().pack(into);
        match self {
            IpAddr::V4(address) => address.to_bits().pack(into),
            IpAddr::V6(address) => {
                let [high, low] = halves(address.to_bits());
                (high, low).pack(into);
            }
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        if bool::unpack(from) {
            let (high, low) = <(u64, u64)>::unpack(from);
            return Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into();
        }
        Ipv4Addr::from_bits(u32::unpack(from)).into()
    }
}

/// The upper and the lower half.
#[expect(clippy::cast_possible_truncation, reason = "half by half")]
fn halves(number: u128) -> [u64; 2] {
    [(number >> 64) as u64, number as u64]
}

pack_values!(Side: 1 bits, Side::Client, Side::Server);

impl<T: Pack> Pack for Option<T> {
    fn pack(&self, into: &mut Packer) {
        self.is_some().pack(into);
        if let Some(value) = self {
            value.pack(into);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        bool::unpack(from).then(|| T::unpack(from))
    }
}

impl<T: Pack> Pack for Box<T> {
    fn pack(&self, into: &mut Packer) {
        (**self).pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        Box::new(T::unpack(from))
    }
}

impl Pack for Box<[u8]> {
    fn pack(&self, into: &mut Packer) {
        (self.len() as u64).pack(into);
        into.put_bytes(self);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let len = usize::try_from(u64::unpack(from)).unwrap_or(0);
        from.take_bytes(len).into()
    }
}

impl<T: Pack> Pack for PerSide<T> {
    fn pack(&self, into: &mut Packer) {
        self.client.pack(into);
        self.server.pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let client = T::unpack(from);
        PerSide { client, server: T::unpack(from) }
    }
}

impl<T: Pack> Pack for Vec<T> {
    fn pack(&self, into: &mut Packer) {
        (self.len() as u64).pack(into);
        self.iter().for_each(|item| item.pack(into));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let len = u64::unpack(from);
        (0..len).map(|_| T::unpack(from)).collect()
    }
}

impl<A: Pack, B: Pack> Pack for (A, B) {
    fn pack(&self, into: &mut Packer) {
        self.0.pack(into);
        self.1.pack(into);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let first = A::unpack(from);
        (first, B::unpack(from))
    }
}

impl<T: Pack + Copy + Default, const N: usize> Pack for [T; N] {
    fn pack(&self, into: &mut Packer) {
        self.iter().for_each(|item| item.pack(into));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let mut all = [T::default(); N];
        all.fill_with(|| T::unpack(from));
        all
    }
}
