//! Decompression behind `Read`, told by magic and never by name.
//!
//! The decoders' own readers end silently at a cut file's block boundary (lz4) or read a single frame (zstd, lz4), so
//! both are wrapped: all frames are read, and an input that ends inside one is an `UnexpectedEof`.

#[cfg(not(feature = "zstd"))]
use super::zstd_frames::ZstdFrames;
use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder as Lz4Decoder;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};

/// Compressed bytes read at a time.
const BUFFER: usize = 64 << 10;

/// The compressions that are undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
    Lz4,
}

impl Compression {
    /// By the first four bytes of the file.
    pub(super) fn recognize(start: [u8; 4]) -> Option<Compression> {
        match start {
            [0x1f, 0x8b, _, _] => Some(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd] => Some(Compression::Zstd),
            [0x04, 0x22, 0x4d, 0x18] => Some(Compression::Lz4),
            // A skippable frame looks alike in zstd and lz4; pzstd begins with one, lz4 does not.
            _ if is_skippable(start) => Some(Compression::Zstd),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Lz4 => "lz4",
        }
    }

    /// What `input`, of which `start` has been read already, decompresses to.
    ///
    /// # Errors
    /// libzstd refuses to begin: it has no memory.
    pub(super) fn undo(
        self,
        start: &[u8],
        input: Box<dyn Read + Send>,
        zstd_window: u64,
    ) -> io::Result<Box<dyn Read + Send>> {
        let input = Watched::new(Cursor::new(start.to_vec()).chain(input));
        Ok(match self {
            Compression::Gzip => Box::new(Pieces::new(GzipMembers { decoder: Some(GzDecoder::new(input)) })),
            Compression::Zstd => zstd(input, zstd_window)?,
            Compression::Lz4 => Box::new(Lz4Frames::new(input)),
        })
    }
}

/// Skippable frames (RFC 8878 §3.1.2) begin with `5?2a4d18` and a 32-bit length.
fn is_skippable(start: [u8; 4]) -> bool {
    u32::from_le_bytes(start) & 0xffff_fff0 == 0x184d_2a50
}

/// By libzstd, which reads all frames, skips skippable ones, and tells an input that ends inside one.
#[cfg(feature = "zstd")]
fn zstd<R: Read + Send + 'static>(input: Watched<R>, window: u64) -> io::Result<Box<dyn Read + Send>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
    decoder.window_log_max(window.max(1).ilog2().clamp(10, 30))?;
    Ok(Box::new(Pieces::new(decoder)))
}

/// By a decoder in Rust, half as fast.
#[cfg(not(feature = "zstd"))]
fn zstd<R: Read + Send + 'static>(input: Watched<R>, window: u64) -> io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(ZstdFrames::new(input, window)))
}

/// A buffered input that remembers whether its end was run into.
pub(super) struct Watched<R> {
    input: BufReader<R>,
    pub(super) ran_out: bool,
}

impl<R: Read> Watched<R> {
    pub(super) fn new(input: R) -> Self {
        Watched { input: BufReader::with_capacity(BUFFER, input), ran_out: false }
    }

    pub(super) fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.fill_buf()?.is_empty())
    }

    pub(super) fn skip(&mut self, length: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.take(length), &mut io::sink())?;
        if skipped == length { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.ran_out |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

impl<R: Read> BufRead for Watched<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.input.consume(amount);
    }
}

/// Reads piece by piece: where one fails, what came before it is delivered first.
///
/// On damage flate2 and libzstd throw away what they had decompressed for the same call, be it 256 KiB; in pieces that is
/// one piece.
struct Pieces<R> {
    input: R,
    damage: Option<io::Error>,
}

impl<R> Pieces<R> {
    /// Bytes asked for at a time.
    const LENGTH: usize = 4 << 10;

    fn new(input: R) -> Self {
        Pieces { input, damage: None }
    }
}

impl<R: Read> Read for Pieces<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(damage) = self.damage.take() {
            return Err(damage);
        }
        let mut filled = 0;
        for piece in buffer.chunks_mut(Self::LENGTH) {
            match self.input.read(piece) {
                Ok(read) => {
                    filled += read;
                    // A pipe has no more for now, or this is the end.
                    if read < piece.len() {
                        break;
                    }
                }
                Err(error) if filled == 0 => return Err(as_damage(error)),
                Err(error) => {
                    self.damage = Some(as_damage(error));
                    break;
                }
            }
        }
        Ok(filled)
    }
}

/// All members of a gzip file. Zeros behind them are padding, as for gzip itself.
struct GzipMembers<R: Read> {
    /// Of the member that is read; `None` behind the last one.
    decoder: Option<GzDecoder<Watched<R>>>,
}

impl<R: Read> GzipMembers<R> {
    /// Goes on to the next member, if there is one.
    fn next_member(&mut self) -> io::Result<()> {
        let Some(mut input) = self.decoder.take().map(GzDecoder::into_inner) else { return Ok(()) };
        loop {
            let bytes = match input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            match bytes.first() {
                None => return Ok(()),
                Some(0) => {
                    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                    input.consume(zeros);
                }
                Some(0x1f) => {
                    self.decoder = Some(GzDecoder::new(input));
                    return Ok(());
                }
                Some(_) => return Err(io::Error::new(ErrorKind::InvalidData, "other bytes follow its end")),
            }
        }
    }
}

impl<R: Read> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let read = decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.next_member()?;
        }
        Ok(0)
    }
}

/// What an [`Lz4Decoder`] reads: a frame's magic, which was looked at before, and then the input.
struct AfterMagic<R> {
    magic: Cursor<[u8; 4]>,
    input: Watched<R>,
}

impl<R: Read> Read for AfterMagic<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.magic.read(buffer)? {
            0 => self.input.read(buffer),
            read => Ok(read),
        }
    }
}

/// libzstd's errors have no kind: what it can't decompress is damaged.
fn as_damage(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::Other { io::Error::new(ErrorKind::InvalidData, error) } else { error }
}

/// All frames of an lz4 file.
struct Lz4Frames<R: Read> {
    decoder: Lz4Decoder<AfterMagic<R>>,
    in_frame: bool,
}

impl<R: Read> Lz4Frames<R> {
    fn new(input: Watched<R>) -> Self {
        let mut magic = Cursor::new([0; 4]);
        magic.set_position(4);
        Lz4Frames { decoder: Lz4Decoder::new(AfterMagic { magic, input }), in_frame: false }
    }

    /// Begins the next frame. `false`: there is none.
    fn begin(&mut self) -> io::Result<bool> {
        let source = self.decoder.get_mut();
        while !source.input.is_at_end()? {
            let mut magic = [0; 4];
            source.input.read_exact(&mut magic)?;
            if !is_skippable(magic) {
                source.magic = Cursor::new(magic);
                return Ok(true);
            }
            let mut length = [0; 4];
            source.input.read_exact(&mut length)?;
            source.input.skip(u64::from(u32::from_le_bytes(length)))?;
        }
        Ok(false)
    }
}

impl<R: Read> Read for Lz4Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                self.in_frame = self.begin()?;
                if !self.in_frame {
                    return Ok(0);
                }
            }
            match self.decoder.read(buffer) {
                // The decoder reads nothing after a frame's end mark, so whoever ran out did so inside a frame.
                Ok(0) if self.decoder.get_ref().input.ran_out => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(0) => self.in_frame = false,
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(error),
                Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
            }
        }
    }
}
