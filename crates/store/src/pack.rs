//! Records on disk: as they are when short, a zstd frame when that is smaller. Nothing marks which: a record begins
//! with the CBOR of an array of three (0x83), a frame with zstd's magic number (RFC 8878, 3.1.1).

use std::cell::RefCell;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

/// A shorter record is not worth the time.
const PACK_MIN: usize = 512;
/// No record is longer unpacked: 128 calls and their texts of 4 KiB fit many times.
const UNPACKED_MAX: usize = 64 << 20;
const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

thread_local! {
    // A context is large and slow to make, and used for a few microseconds at a time.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A record as it is stored.
pub(crate) fn pack(record: Bytes) -> Bytes {
    if record.len() < PACK_MIN {
        return record;
    }
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::new(1).ok();
        }
        match slot.as_mut().map(|c| c.compress(&record)) {
            Some(Ok(packed)) if packed.len() < record.len() - record.len() / 8 => packed.into(),
            _ => record,
        }
    })
}

/// A record out of what is stored. A frame that is damaged comes back as it is: reading it as a record then fails, and
/// its run alone is set aside.
pub(crate) fn unpack(stored: Vec<u8>) -> Bytes {
    if !stored.starts_with(&MAGIC) {
        return stored.into();
    }
    let unpacked = DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        let len = Decompressor::upper_bound(&stored).filter(|len| *len <= UNPACKED_MAX)?;
        slot.as_mut()?.decompress(&stored, len).ok()
    });
    unpacked.map_or_else(|| stored.into(), Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(len: usize) -> Bytes {
        let words = b"the run said that the tool said ".iter().cycle();
        std::iter::once(&0x83).chain(words).take(len).copied().collect::<Vec<u8>>().into()
    }

    #[test]
    fn long_records_are_stored_smaller_and_come_back_as_they_were() {
        for len in [1, 511, 512, 5_000, 200_000] {
            let stored = pack(record(len));
            assert_eq!(stored.len() < len, len >= PACK_MIN, "{len}");
            assert_eq!(unpack(stored.to_vec()), record(len));
        }
    }

    #[test]
    fn a_damaged_frame_does_not_panic_and_is_no_record() {
        let stored = pack(record(5_000)).to_vec();
        for cut in 4..stored.len() {
            assert_ne!(unpack(stored[..cut].to_vec()), record(5_000));
        }
    }
}
