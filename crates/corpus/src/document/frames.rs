//! What Zstandard packed, unpacked as it is read: frame after frame, as parallel packers write them, skippable ones left out, each held against
//! its checksum where it has one. No more comes out than a limit.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

pub(super) struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    /// Of a frame.
    is_within: bool,
    left: u64,
    limit: u64,
}

/// That the limit is reached.
#[derive(Debug, thiserror::Error)]
#[error("unpacks to more than {0} bytes")]
struct Beyond(u64);

/// The limit, where an error says that it was reached.
pub(super) fn limit_of(error: &io::Error) -> Option<u64> {
    let beyond: Option<&Beyond> = error.get_ref().and_then(|inner| inner.downcast_ref());
    beyond.map(|beyond| beyond.0)
}

fn damaged(error: &FrameDecoderError) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("damaged Zstandard data ({error}); fetch or pack the file again"),
    )
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(source: R, limit: u64) -> Self {
        Self {
            source,
            decoder: FrameDecoder::new(),
            is_within: false,
            left: limit,
            limit,
        }
    }

    /// Goes into the next frame; false where there is none.
    fn enter(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.is_within = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.source).take(u64::from(length));
                    io::copy(&mut skipped, &mut io::sink())?;
                }
                Err(error) => return Err(damaged(&error)),
            }
        }
        Ok(false)
    }

    fn leave(&mut self) -> io::Result<()> {
        let said = self.decoder.get_checksum_from_data();
        if said.is_some() && said != self.decoder.get_calculated_checksum() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "damaged Zstandard data (its checksum is of other text); fetch or pack the file again",
            ));
        }
        self.is_within = false;
        Ok(())
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_within && !self.enter()? {
                return Ok(0);
            }
            if self.decoder.can_collect() > 0 {
                let count = self.decoder.read(buffer)?;
                self.left = self
                    .left
                    .checked_sub(count as u64)
                    .ok_or_else(|| io::Error::other(Beyond(self.limit)))?;
                return Ok(count);
            }
            if self.decoder.is_finished() {
                self.leave()?;
                continue;
            }
            self.decoder
                .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(|error| damaged(&error))?;
        }
    }
}
