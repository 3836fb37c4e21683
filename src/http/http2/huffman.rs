//! The Huffman code of header strings (RFC 7541 §5.2, appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and shorter ones come
//! first. So the lengths alone define it.

/// Length in bits of each byte's code.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// Longest code; EOS has one of this length, too.
const LONGEST: usize = 30;
/// Bits looked up at once: the codes of what headers mostly hold are no longer.
const LOOKUP_BITS: u32 = 8;

/// The canonical code, made of the lengths.
struct Code {
    /// First code of each length.
    first: [u32; LONGEST + 1],
    /// Codes of each length.
    count: [u16; LONGEST + 1],
    /// Symbols of each length begin here in `symbols`.
    start: [u16; LONGEST + 1],
    symbols: [u8; 256],
    /// Symbol and length of the code that eight bits begin with; length 0: it is longer.
    lookup: [(u8, u8); 1 << LOOKUP_BITS],
}

static CODE: Code = Code::new();

impl Code {
    #[expect(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "runs in the compiler alone"
    )]
    const fn new() -> Code {
        let mut code = Code {
            first: [0; LONGEST + 1],
            count: [0; LONGEST + 1],
            start: [0; LONGEST + 1],
            symbols: [0; 256],
            lookup: [(0, 0); 1 << LOOKUP_BITS],
        };
        let (mut length, mut next, mut place) = (1, 0_u32, 0_u16);
        while length <= LONGEST {
            next <<= 1;
            code.first[length] = next;
            code.start[length] = place;
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == length {
                    code.symbols[place as usize] = symbol as u8;
                    code.fill_lookup(symbol as u8, length as u32, next);
                    code.count[length] += 1;
                    place += 1;
                    next += 1;
                }
                symbol += 1;
            }
            length += 1;
        }
        code
    }

    #[expect(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "runs in the compiler alone"
    )]
    const fn fill_lookup(&mut self, symbol: u8, length: u32, code: u32) {
        if length > LOOKUP_BITS {
            return;
        }
        let free = LOOKUP_BITS - length;
        let mut tail = 0;
        while tail < 1 << free {
            self.lookup[((code << free) | tail) as usize] = (symbol, length as u8);
            tail += 1;
        }
    }

    /// The symbol that `window`, the next 32 bits, begins with, and the length of its code; `None`: EOS, or the start of
    /// it.
    fn symbol(&self, window: u32) -> Option<(u8, u32)> {
        let top = usize::try_from(window >> (32 - LOOKUP_BITS)).ok()?;
        let (symbol, length) = self.lookup.get(top).copied()?;
        if length > 0 { Some((symbol, u32::from(length))) } else { self.long_symbol(window) }
    }

    fn long_symbol(&self, window: u32) -> Option<(u8, u32)> {
        for length in LOOKUP_BITS + 1..=LONGEST as u32 {
            let at = usize::try_from(length).ok()?;
            let index = (window >> (32 - length)).checked_sub(*self.first.get(at)?)?;
            if index < u32::from(*self.count.get(at)?) {
                let place = usize::from(*self.start.get(at)?) + usize::try_from(index).ok()?;
                return Some((*self.symbols.get(place)?, length));
            }
        }
        None
    }
}

/// The string is no Huffman code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadCode;

/// Appends what `coded` stands for to `out`.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), BadCode> {
    out.reserve(coded.len() + coded.len() / 2);
    let mut bytes = coded.iter();
    // The next bits, the first of them at the top.
    let (mut bits, mut held) = (0_u64, 0_u32);
    loop {
        while held <= 56
            && let Some(byte) = bytes.next()
        {
            bits |= u64::from(*byte) << (56 - held);
            held += 8;
        }
        let window = u32::try_from(bits >> 32).unwrap_or(u32::MAX);
        match CODE.symbol(window) {
            Some((symbol, length)) if length <= held => {
                out.push(symbol);
                bits <<= length;
                held -= length;
            }
            // What is left is padding: the first bits of EOS, which are ones, and fewer than eight of them.
            _ if held < 8 && held == bits.leading_ones() => return Ok(()),
            _ => return Err(BadCode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(coded: &[u8]) -> Result<String, BadCode> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn strings_of_appendix_c_are_read() {
        let host = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(text(&host).unwrap(), "www.example.com");
        assert_eq!(text(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).unwrap(), "no-cache");
        assert_eq!(text(&[0x64, 0x02]).unwrap(), "302");
        assert_eq!(text(&[]).unwrap(), "");
    }

    #[test]
    fn the_codes_of_appendix_b_are_made_of_the_lengths() {
        // A short code, the last of eight bits, long ones, and the last before EOS.
        for (symbol, code, length) in [
            (b'0', 0x0, 5),
            (b'X', 0xfc, 8),
            (b'!', 0x3f8, 10),
            (0, 0x1ff8, 13),
            (10, 0x3fff_fffc, 30),
            (22, 0x3fff_fffe, 30),
        ] {
            assert_eq!(CODE.symbol(code << (32 - length)), Some((symbol, length)), "{symbol}");
        }
        assert_eq!(CODE.symbol(0x3fff_ffff << 2), None, "EOS stands for nothing");
    }

    #[test]
    fn padding_is_of_ones_and_short() {
        assert_eq!(text(&[0x64, 0x02, 0xff]), Err(BadCode), "a whole byte of padding");
        assert_eq!(text(&[0b0000_0000]), Err(BadCode), "zeros are no padding");
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xff]), Err(BadCode), "EOS");
    }
}
