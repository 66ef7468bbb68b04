//! How both stores pack what they keep of logs: places of a run's records as differences, leaves as a zstd frame when that is smaller.
//! No database here.

use bytes::Bytes;
use stead_core::code;
use stead_ports::{
    audit::{ENTRIES, Integration},
    journal::StoreError,
};

/// A tile of leaves as it is.
const PLAIN: u8 = 0;
/// A tile of leaves as a zstd frame.
const ZSTD: u8 = 1;
/// Bytes of an entry bundle at most: 256 leaves of 65,535 with their lengths.
const ENTRIES_MAX: usize = 256 * (2 + 65_535);

/// The key in `meta` under which it is kept how far a reader has come in the log of a tenant.
pub(crate) fn reader_key(reader: &str, tenant: &str) -> String {
    format!("read/{reader}/{tenant}")
}

/// Indexes of leaves, ascending: the first, and of each other how much more it is.
pub(crate) fn pack_indexes(indexes: &[u64]) -> Vec<u8> {
    let (mut out, mut last) = (Vec::with_capacity(indexes.len() * 2), 0);
    for index in indexes {
        let mut more = index.wrapping_sub(last);
        last = *index;
        while more > 0x7f {
            out.push(more as u8 | 0x80);
            more >>= 7;
        }
        out.push(more as u8);
    }
    out
}

/// The reverse; `None` when they were packed by nobody.
pub(crate) fn unpack_indexes(packed: &[u8]) -> Option<Vec<u64>> {
    let (mut out, mut last, mut more, mut shift) = (Vec::new(), 0_u64, 0_u64, 0);
    for byte in packed {
        more |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            last = last.checked_add(more)?;
            out.push(last);
            (more, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(out)
}

/// Packs the leaves among the tiles of an integration, before a database sees them.
pub(crate) fn pack(change: &mut Integration) {
    for (level, _, body) in change.logs.iter_mut().flat_map(|log| &mut log.tiles) {
        if *level == ENTRIES {
            *body = pack_entries(body);
        }
    }
}

fn pack_entries(body: &[u8]) -> Bytes {
    let framed = zstd::bulk::compress(body, 1).ok().filter(|framed| framed.len() < body.len() - body.len() / 8);
    let (codec, body) = framed.as_deref().map_or((PLAIN, body), |framed| (ZSTD, framed));
    [&[codec], body].concat().into()
}

/// A tile as it was put.
///
/// # Errors
/// ST0144 when it is damaged.
pub(crate) fn unpack(level: u8, body: Vec<u8>) -> Result<Bytes, StoreError> {
    if level != ENTRIES {
        return Ok(body.into());
    }
    let damaged = || StoreError {
        code: code::DATA_DAMAGED,
        detail: "a tile of the audit log cannot be unpacked; restore a backup".into(),
    };
    match body.split_first() {
        Some((&PLAIN, body)) => Ok(Bytes::copy_from_slice(body)),
        Some((&ZSTD, body)) => {
            let len = zstd::bulk::Decompressor::upper_bound(body).filter(|len| *len <= ENTRIES_MAX);
            let plain = zstd::bulk::decompress(body, len.ok_or_else(damaged)?);
            plain.map(Bytes::from).map_err(|_| damaged())
        }
        _ => Err(damaged()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_as_they_were_and_nonsense_is_none() {
        for indexes in [vec![], vec![0], vec![5, 6, 300, 70_000, u64::MAX >> 1]] {
            assert_eq!(unpack_indexes(&pack_indexes(&indexes)), Some(indexes));
        }
        assert_eq!(unpack_indexes(&[0x80]), None);
        assert_eq!(unpack_indexes(&[0xff; 12]), None);
        assert!(pack_indexes(&[1_000_000, 1_000_001, 1_000_003]).len() == 5);
    }

    #[test]
    fn leaves_come_back_as_they_were_and_damage_is_told() {
        for body in [vec![], vec![7; 3], vec![7; 50_000], (0..=255).collect()] {
            let packed = pack_entries(&body);
            assert_eq!(unpack(ENTRIES, packed.to_vec()), Ok(body.into()));
        }
        for bad in [vec![], vec![9, 1], vec![ZSTD, 1, 2, 3]] {
            assert_eq!(unpack(ENTRIES, bad).map_err(|e| e.code), Err(code::DATA_DAMAGED));
        }
    }
}
