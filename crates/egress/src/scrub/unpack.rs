//! Undoes `Content-Encoding` piece by piece, so that what it packs can be searched. Bounded, for a few bytes can unpack to
//! as many as their sender likes.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header::CONTENT_ENCODING};
use stead_core::code;

use crate::{
    error::Refusal,
    limits::{UNPACK_STEP, UNPACKED, UNPACKED_PIECE},
};

/// A coding that can be undone (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
}

impl Coding {
    /// Of an answer.
    ///
    /// # Errors
    /// `ST0262` for one that cannot be undone, and for several at once.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut found = Self::Identity;
        for value in headers.get_all(CONTENT_ENCODING) {
            for word in value.to_str().unwrap_or("?").split(',') {
                let coding = match word.trim().to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    "br" => Self::Brotli,
                    _ => return Err(unreadable("is packed in a way that the proxy does not know")),
                };
                if found != Self::Identity {
                    return Err(unreadable("is packed more than once"));
                }
                found = coding;
            }
        }
        Ok(found)
    }
}

/// An answer that does not come in, because it cannot be searched.
pub(crate) fn unreadable(what: &str) -> Refusal {
    Refusal::new(
        code::EGRESS_ANSWER,
        format!("the host's answer {what}, and secrets are searched for in answers"),
        "ask the host for plain answers; the proxy already sends `Accept-Encoding: identity`",
    )
}

/// How a stream of brotli begins whose window can have a gigabyte. It is no `br` (RFC 7932 section 9.1), yet the decoder takes it.
const LARGE_WINDOW: u8 = 0x11;

/// What was unpacked of the present piece.
#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    total: u64,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.total += bytes.len() as u64;
        if self.total > UNPACKED || self.bytes.len() + bytes.len() > UNPACKED_PIECE {
            return Err(io::Error::other("it unpacks to too much"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Decoder {
    Plain(Out),
    Gzip(Box<MultiGzDecoder<Out>>),
    Zlib(Box<ZlibDecoder<Out>>),
    Raw(Box<DeflateDecoder<Out>>),
    Brotli(Box<DecompressorWriter<Out>>),
    /// `deflate` before its first bytes tell whether it is zlib, as it should be, or raw, as some send it.
    Undecided(Vec<u8>),
}

/// One body on its way.
pub(crate) struct Unpacker {
    decoder: Decoder,
    begun: bool,
}

impl Unpacker {
    pub(crate) fn new(coding: Coding) -> Self {
        let decoder = match coding {
            Coding::Identity => Decoder::Plain(Out::default()),
            Coding::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(Out::default()))),
            Coding::Deflate => Decoder::Undecided(Vec::new()),
            Coding::Brotli => Decoder::Brotli(Box::new(DecompressorWriter::new(Out::default(), 16 << 10))),
        };
        Self { decoder, begun: false }
    }

    /// Unpacks a piece, handing on what it holds in bounded parts.
    ///
    /// # Errors
    /// `ST0262` when it is not what it says, or unpacks to too much.
    pub(crate) fn push(&mut self, piece: &[u8], mut give: impl FnMut(&[u8])) -> Result<(), Refusal> {
        if let Decoder::Plain(_) = self.decoder {
            give(piece);
            return Ok(());
        }
        for step in piece.chunks(UNPACK_STEP) {
            if matches!(self.decoder, Decoder::Brotli(_)) && !self.begun && step[0] & 0x7f == LARGE_WINDOW {
                return Err(unreadable("is packed with a window that HTTP does not have"));
            }
            self.begun = true;
            self.step(step).map_err(|_| unreadable("cannot be unpacked, or unpacks to too much,"))?;
            self.hand_on(&mut give);
        }
        Ok(())
    }

    /// The body has ended.
    ///
    /// # Errors
    /// `ST0262` when it ended too early.
    pub(crate) fn end(&mut self, mut give: impl FnMut(&[u8])) -> Result<(), Refusal> {
        // An answer without a body may still name a coding.
        if !self.begun {
            return Ok(());
        }
        let ended = match &mut self.decoder {
            Decoder::Plain(_) => Ok(()),
            Decoder::Gzip(d) => d.try_finish(),
            Decoder::Zlib(d) => d.try_finish(),
            Decoder::Raw(d) => d.try_finish(),
            Decoder::Brotli(d) => d.close(),
            Decoder::Undecided(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        ended.map_err(|_| unreadable("ends before what is packed in it does"))?;
        self.hand_on(&mut give);
        Ok(())
    }

    fn step(&mut self, step: &[u8]) -> io::Result<()> {
        match &mut self.decoder {
            Decoder::Plain(out) => out.write_all(step),
            Decoder::Gzip(d) => d.write_all(step).and_then(|()| d.flush()),
            Decoder::Zlib(d) => d.write_all(step).and_then(|()| d.flush()),
            Decoder::Raw(d) => d.write_all(step).and_then(|()| d.flush()),
            Decoder::Brotli(d) => d.write_all(step),
            Decoder::Undecided(begun) => {
                begun.extend_from_slice(step);
                let [first, second, ..] = begun[..] else { return Ok(()) };
                // RFC 1950 section 2.2: the method is 8, and the two bytes are a multiple of 31.
                let zlib = first & 15 == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31);
                let begun = std::mem::take(begun);
                self.decoder = if zlib {
                    Decoder::Zlib(Box::new(ZlibDecoder::new(Out::default())))
                } else {
                    Decoder::Raw(Box::new(DeflateDecoder::new(Out::default())))
                };
                self.step(&begun)
            }
        }
    }

    fn hand_on(&mut self, give: &mut impl FnMut(&[u8])) {
        let out = match &mut self.decoder {
            Decoder::Plain(out) => out,
            Decoder::Gzip(d) => d.get_mut(),
            Decoder::Zlib(d) => d.get_mut(),
            Decoder::Raw(d) => d.get_mut(),
            Decoder::Brotli(d) => d.get_mut(),
            Decoder::Undecided(_) => return,
        };
        give(&out.bytes);
        out.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn packed(coding: &str, text: &[u8]) -> Vec<u8> {
        match coding {
            "gzip" => {
                let mut e = GzEncoder::new(Vec::new(), Compression::default());
                e.write_all(text).unwrap();
                e.finish().unwrap()
            }
            "zlib" => {
                let mut e = ZlibEncoder::new(Vec::new(), Compression::default());
                e.write_all(text).unwrap();
                e.finish().unwrap()
            }
            "raw" => {
                let mut e = DeflateEncoder::new(Vec::new(), Compression::default());
                e.write_all(text).unwrap();
                e.finish().unwrap()
            }
            _ => {
                let mut out = Vec::new();
                brotli::BrotliCompress(&mut &*text, &mut out, &brotli::enc::BrotliEncoderParams::default()).unwrap();
                out
            }
        }
    }

    fn unpack(coding: Coding, packed: &[u8], cut: usize) -> Result<Vec<u8>, Refusal> {
        let (mut unpacker, mut out) = (Unpacker::new(coding), Vec::new());
        for piece in packed.chunks(cut) {
            unpacker.push(piece, |part| out.extend_from_slice(part))?;
        }
        unpacker.end(|part| out.extend_from_slice(part))?;
        Ok(out)
    }

    #[test]
    fn what_is_packed_comes_out_however_it_is_cut() {
        let text: Vec<u8> = (0..8_000u32).flat_map(|n| (n * n).to_string().into_bytes()).collect();
        for (name, coding) in
            [("gzip", Coding::Gzip), ("zlib", Coding::Deflate), ("raw", Coding::Deflate), ("br", Coding::Brotli)]
        {
            let packed = packed(name, &text);
            for cut in [1, 2, 1000, packed.len()] {
                assert!(unpack(coding, &packed, cut).unwrap() == text, "{name} {cut}");
            }
            let error = unpack(coding, &packed[..packed.len() / 2], 100).expect_err(name);
            assert_eq!(error.code, code::EGRESS_ANSWER, "{name}");
            assert!(unpack(coding, &[], 1).unwrap().is_empty(), "{name}: an answer without a body");
        }
        assert!(unpack(Coding::Gzip, b"this is no gzip", 4).is_err());
        assert!(unpack(Coding::Brotli, &[0xff; 64], 4).is_err());
    }

    #[test]
    fn a_bomb_is_refused() {
        let zeros = vec![0; 8 << 20];
        // Brotli packs these into some 20 bytes, which are one step.
        let error = unpack(Coding::Brotli, &packed("br", &zeros), 1 << 10).unwrap_err();
        assert_eq!(error.code, code::EGRESS_ANSWER);
        assert_eq!(
            unpack(Coding::Gzip, &packed("gzip", &zeros), 1 << 16).unwrap().len(),
            zeros.len(),
            "within the bound"
        );
    }

    #[test]
    fn a_window_that_takes_a_gigabyte_is_refused() {
        let mut packed = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams { lgwin: 30, large_window: true, ..Default::default() };
        brotli::BrotliCompress(&mut &b"text"[..], &mut packed, &parameters).unwrap();
        assert_eq!(unpack(Coding::Brotli, &packed, 1).unwrap_err().code, code::EGRESS_ANSWER);
    }

    #[test]
    fn an_unknown_or_repeated_coding_is_refused() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, text.parse().unwrap());
            Coding::of(&headers)
        };
        assert_eq!(of("GZIP"), Ok(Coding::Gzip));
        assert_eq!(of("identity, br"), Ok(Coding::Brotli));
        assert!(of("zstd").is_err() && of("gzip, gzip").is_err() && of("aes128gcm").is_err());
        assert_eq!(Coding::of(&HeaderMap::new()), Ok(Coding::Identity));
    }
}
