//! Skipping message bodies (RFC 9112 §6, §7.1).

/// How long a message body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// That many bytes.
    Known(u64),
    /// In chunks.
    Chunked,
    /// Until its sender closes.
    UntilClose,
}

/// What of a body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// That many bytes.
    Bytes(u64),
    /// A chunk-size line, read so far: the size, and whether its digits have ended.
    ChunkSize { size: u64, digits_ended: bool },
    /// That many bytes of a chunk, its CRLF included.
    Chunk(u64),
    /// Trailer lines; the bytes of the present line so far.
    Trailer { line: u32 },
    /// Everything until the close.
    UntilClose,
}

impl Body {
    /// The state at the start of a body; `None`: it has no bytes.
    pub(super) fn start(length: BodyLength) -> Option<Body> {
        match length {
            BodyLength::Known(0) => None,
            BodyLength::Known(len) => Some(Body::Bytes(len)),
            BodyLength::Chunked => Some(Body::ChunkSize { size: 0, digits_ended: false }),
            BodyLength::UntilClose => Some(Body::UntilClose),
        }
    }

    /// Skips what belongs to the body; gives the bytes taken and what is then still to come.
    pub(super) fn skip(self, bytes: &[u8]) -> (usize, Option<Body>) {
        let mut state = self;
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let (step, next) = state.step(rest);
            taken += step;
            match next {
                Some(next) => state = next,
                None => return (taken, None),
            }
        }
        (taken, Some(state))
    }

    /// A hole of `len` bytes: `Some` if it lies within bytes that would be skipped anyway.
    pub(super) fn skip_gap(self, len: u64) -> Option<Option<Body>> {
        match self {
            Body::Bytes(left) if len < left => Some(Some(Body::Bytes(left - len))),
            Body::Bytes(left) if len == left => Some(None),
            Body::Chunk(left) if len < left => Some(Some(Body::Chunk(left - len))),
            Body::Chunk(left) if len == left => Some(Some(Body::ChunkSize { size: 0, digits_ended: false })),
            Body::UntilClose => Some(Some(self)),
            _ => None,
        }
    }

    fn step(self, rest: &[u8]) -> (usize, Option<Body>) {
        match self {
            Body::UntilClose => (rest.len(), Some(self)),
            Body::Bytes(left) => {
                let step = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - step as u64;
                (step, (left > 0).then_some(Body::Bytes(left)))
            }
            Body::Chunk(left) => {
                let step = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - step as u64;
                let next = if left > 0 {
                    Body::Chunk(left)
                } else {
                    Body::ChunkSize { size: 0, digits_ended: false }
                };
                (step, Some(next))
            }
            Body::ChunkSize { size, digits_ended } => (1, Some(chunk_size(size, digits_ended, rest))),
            Body::Trailer { line } => match rest.first() {
                Some(b'\n') if line == 0 => (1, None),
                Some(b'\n') => (1, Some(Body::Trailer { line: 0 })),
                Some(b'\r') => (1, Some(self)),
                _ => (1, Some(Body::Trailer { line: line.saturating_add(1) })),
            },
        }
    }
}

/// Takes one byte of a chunk-size line.
fn chunk_size(size: u64, digits_ended: bool, rest: &[u8]) -> Body {
    match rest.first() {
        Some(b'\n') if size == 0 => Body::Trailer { line: 0 },
        Some(b'\n') => Body::Chunk(size.saturating_add(2)),
        Some(byte) if !digits_ended => match char::from(*byte).to_digit(16) {
            Some(digit) => Body::ChunkSize {
                size: size.saturating_mul(16).saturating_add(u64::from(digit)),
                digits_ended: false,
            },
            None => Body::ChunkSize { size, digits_ended: true },
        },
        _ => Body::ChunkSize { size, digits_ended: true },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_ends_at_its_last_chunk_wherever_it_is_cut() {
        let body = b"4;ext=1\r\nWiki\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        let whole = [&body[..], b"NEXT"].concat();
        for cut in 0..body.len() {
            let state = Body::start(BodyLength::Chunked).unwrap();
            let (first, left) = state.skip(&whole[..cut]);
            assert_eq!(first, cut);
            let (second, left) = left.unwrap().skip(&whole[cut..]);
            assert_eq!((first + second, left), (body.len(), None), "cut at {cut}");
        }
    }

    #[test]
    fn a_gap_inside_a_body_of_known_length_keeps_the_place() {
        assert_eq!(Body::Bytes(10).skip_gap(4), Some(Some(Body::Bytes(6))));
        assert_eq!(Body::Bytes(10).skip_gap(10), Some(None));
        assert_eq!(Body::Bytes(10).skip_gap(11), None);
    }
}
