//! A body's gzip, undone as it comes: what can be decoded is handed out before more is waited for.

use std::io::{self, ErrorKind, Read, Write};

use flate2::write::MultiGzDecoder;

use crate::http::edge::BUFFER;

/// Bytes as `source` gives them, decoded. No bytes at all are none decoded.
pub(super) struct Gunzip<R> {
    source: R,
    /// What came of the source, and from where on it is not decoded yet.
    encoded: Vec<u8>,
    begin: usize,
    /// Has what is decoded, and holds back no more than 32 KiB.
    decoder: MultiGzDecoder<Vec<u8>>,
    /// How much of that was handed out.
    taken: usize,
    state: State,
    /// Nothing but the gzip tells where the source's bytes end.
    tells_the_end: bool,
}

#[derive(PartialEq, Eq)]
enum State {
    NotBegun,
    Begun,
    Ended,
}

impl<R> Gunzip<R> {
    /// `tells_the_end`: nothing but the gzip tells where the bytes of `source` end, so that one which is cut is a lost
    /// connection.
    pub(super) fn new(source: R, tells_the_end: bool) -> Gunzip<R> {
        let decoder = MultiGzDecoder::new(Vec::new());
        Gunzip { source, encoded: Vec::new(), begin: 0, decoder, taken: 0, state: State::NotBegun, tells_the_end }
    }

    pub(super) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// Hands out what is decoded.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let decoded = &self.decoder.get_ref()[self.taken..];
        let count = decoded.len().min(buffer.len());
        buffer[..count].copy_from_slice(&decoded[..count]);
        self.taken += count;
        if self.taken == self.decoder.get_ref().len() {
            self.decoder.get_mut().clear();
            self.taken = 0;
        }
        count
    }

    /// Decodes some of what came, and all of what was held back if nothing is left of that.
    fn decode(&mut self) -> io::Result<()> {
        self.begin += self.decoder.write(&self.encoded[self.begin..])?;
        if self.begin == self.encoded.len() { self.decoder.flush() } else { Ok(()) }
    }
}

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.take(buffer);
            if count > 0 || self.state == State::Ended || buffer.is_empty() {
                return Ok(count);
            }
            if self.begin < self.encoded.len() {
                self.decode().map_err(damaged)?;
                continue;
            }
            self.encoded.resize(BUFFER, 0);
            let read = self.source.read(&mut self.encoded);
            self.encoded.truncate(*read.as_ref().unwrap_or(&0));
            self.begin = 0;
            self.state = match (read?, &self.state) {
                (0, State::NotBegun) => State::Ended,
                (0, _) => {
                    match self.decoder.try_finish() {
                        Err(error) if self.tells_the_end && error.kind() == ErrorKind::UnexpectedEof => {
                            return Err(error);
                        }
                        finished => finished.map_err(damaged)?,
                    }
                    State::Ended
                }
                _ => State::Begun,
            };
        }
    }
}

/// Never [`ErrorKind::UnexpectedEof`], which a connection's end is: the encoded bytes were all there.
fn damaged(error: io::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("its gzip is damaged: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    /// What no compressor makes much smaller.
    fn noise(length: usize) -> Vec<u8> {
        (0..length as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
    }

    fn decode(encoded: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let mut reader = Gunzip::new(Pieces { bytes: encoded, piece }, false);
        let mut decoded = Vec::new();
        let mut buffer = vec![0; piece];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(decoded),
                count => decoded.extend_from_slice(&buffer[..count]),
            }
        }
    }

    struct Pieces<'a> {
        bytes: &'a [u8],
        piece: usize,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.piece.min(buffer.len());
            self.bytes.read(&mut buffer[..count])
        }
    }

    #[test]
    fn whatever_the_pieces_the_bytes_are_the_same() {
        let zeros = vec![0; 3_000_000];
        for text in [&b""[..], b"short", &noise(100_000), &zeros] {
            let encoded = gzip(text);
            let twice = [gzip(text), gzip(text)].concat();
            for piece in [1, 7, 8, 18, 1000, 65_536] {
                assert!(decode(&encoded, piece).expect("whole") == text, "{} by {piece}", text.len());
                assert!(decode(&twice, piece).expect("whole") == [text, text].concat(), "{} by {piece}", text.len());
            }
        }
        assert_eq!(decode(b"", 10).expect("nothing"), b"");
    }

    #[test]
    fn what_is_not_whole_or_not_gzip_is_an_error_and_no_lost_connection() {
        let encoded = gzip(&noise(1000));
        for length in 1..encoded.len() {
            let error = decode(&encoded[..length], 100).expect_err("cut");
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{length}: {error}");
        }
        for position in (0..4).chain(encoded.len() - 8..encoded.len()) {
            let mut damaged = encoded.clone();
            damaged[position] ^= 0xff;
            // Byte 3 has flags, of which some say that more is to come.
            assert_eq!(decode(&damaged, 100).expect_err("damaged").kind(), ErrorKind::InvalidData, "{position}");
        }
        let padded = [&encoded[..], &[0; 3]].concat();
        assert_eq!(decode(&padded, 100).expect_err("padded").kind(), ErrorKind::InvalidData);
    }

    /// Gives its pieces, and then would block.
    struct Paused(Vec<Vec<u8>>);

    impl Read for Paused {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn what_was_flushed_is_handed_out_before_more_is_waited_for() {
        for (length, size) in [(12_000, 1000), (60_000, 8192), (60_000, 100_000), (500_000, 10)] {
            let text = vec![b'x'; length];
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&text).expect("memory");
            encoder.flush().expect("memory");
            let encoded = encoder.get_ref().clone();
            assert!(encoded.len() < BUFFER, "{}", encoded.len());
            let mut reader = Gunzip::new(Paused(vec![encoded]), false);
            let (mut decoded, mut buffer) = (Vec::new(), vec![0; size]);
            let end = loop {
                match reader.read(&mut buffer) {
                    Ok(count) => decoded.extend_from_slice(&buffer[..count]),
                    Err(error) => break error,
                }
            };
            assert_eq!((end.kind(), decoded == text), (ErrorKind::WouldBlock, true), "{length} by {size}");
        }
    }
}
