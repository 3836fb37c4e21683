//! zstd without libzstd: all frames of a file, which `ruzstd` reads one at a time.

use super::compression::Watched;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder as ZstdDecoder};
use std::io::{self, ErrorKind, Read};

/// All frames of a zstd file.
pub(super) struct ZstdFrames<R> {
    input: Watched<R>,
    decoder: ZstdDecoder,
    in_frame: bool,
    /// Damage met; told once what was decoded before it is delivered.
    damage: Option<io::Error>,
}

impl<R: Read> ZstdFrames<R> {
    pub(super) fn new(input: Watched<R>, window: u64) -> Self {
        let mut decoder = ZstdDecoder::new();
        decoder.set_max_window_size(window);
        ZstdFrames { input, decoder, in_frame: false, damage: None }
    }

    /// Begins the next frame. `false`: there is none.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.input.is_at_end()? {
            match self.decoder.reset(&mut self.input) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    self.input.skip(u64::from(length))?;
                }
                Err(error) => return Err(self.error(&error)),
            }
        }
        Ok(false)
    }

    /// Decodes one block.
    ///
    /// The decoder holds back the last window of a frame that is not finished. So on damage it is handed an empty last
    /// block in place of the damaged one: then it hands out all it has.
    fn decode(&mut self) {
        /// Last block, raw, of no bytes; then room for a checksum.
        const LAST_BLOCK: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];
        if let Err(error) = self.decoder.decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1))
        {
            self.damage = Some(self.error(&error));
            if self
                .decoder
                .decode_blocks(LAST_BLOCK.as_slice(), BlockDecodingStrategy::UptoBlocks(1))
                .is_err()
            {
                self.in_frame = false;
            }
        }
    }

    /// Ends the frame, all of which has been handed out.
    fn finish(&mut self) -> io::Result<()> {
        self.in_frame = false;
        let stored = self.decoder.get_checksum_from_data();
        match self.damage.take() {
            Some(damage) => Err(damage),
            None if stored.is_some() && stored != self.decoder.get_calculated_checksum() => {
                Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "the zstd frame's checksum does not match its content",
                ))
            }
            None => Ok(()),
        }
    }

    fn error(&self, error: &FrameDecoderError) -> io::Error {
        let kind = if self.input.ran_out { ErrorKind::UnexpectedEof } else { ErrorKind::InvalidData };
        io::Error::new(kind, error.to_string())
    }
}

impl<R: Read> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                if let Some(damage) = self.damage.take() {
                    return Err(damage);
                }
                self.in_frame = self.begin()?;
                if !self.in_frame {
                    return Ok(0);
                }
            } else if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            } else if self.decoder.is_finished() {
                self.finish()?;
            } else {
                self.decode();
            }
        }
    }
}

#[cfg(all(test, feature = "zstd"))]
mod tests {
    use super::super::compression::Compression;
    use super::*;
    use std::io::Cursor;

    /// What both decoders make of `file`: its bytes up to the damage, and whether there was any.
    fn both(file: &[u8]) -> io::Result<[(Vec<u8>, bool); 2]> {
        let ours = ZstdFrames::new(Watched::new(Cursor::new(file.to_vec())), 1 << 23);
        let theirs = Compression::Zstd.undo(&[], Box::new(Cursor::new(file.to_vec())), 1 << 23)?;
        Ok([Box::new(ours) as Box<dyn Read + Send>, theirs].map(|mut reader| {
            let mut bytes = Vec::new();
            let is_damaged = reader.read_to_end(&mut bytes).is_err();
            (bytes, is_damaged)
        }))
    }

    #[test]
    fn both_decoders_read_the_same_whole_cut_and_damaged() {
        let plain: Vec<u8> =
            (0..400_000_u32).map(|at| (at.wrapping_mul(at) >> 13).to_le_bytes()[0]).collect();
        let file = zstd::encode_all(&plain[..], 3).unwrap();
        let [ours, theirs] = both(&file).unwrap();
        assert!(ours == theirs && ours == (plain.clone(), false));
        let mut furthest = 0;
        for at in (20..file.len() - 1).step_by(file.len() / 40) {
            let mut damaged = file.clone();
            damaged[at] ^= 0x55;
            for damaged in [file[..at].to_vec(), damaged] {
                let [ours, theirs] = both(&damaged).unwrap();
                assert_eq!(ours.1, theirs.1, "at {at}");
                let common = ours.0.len().min(theirs.0.len());
                assert!(ours.0[..common] == theirs.0[..common]);
                furthest = furthest.max(theirs.0.len());
            }
        }
        assert!(furthest > 200_000, "what lies before the damage is read: {furthest} bytes");
    }
}
