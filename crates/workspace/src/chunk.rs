//! Long files in pieces. A file of up to [`CHUNK`] bytes is one object. A longer one is cut into chunks of that length, the last one
//! shorter, each an object; the file's content is then the list of their addresses, an object too.
//!
//! Whether an address is that of bytes or of a list follows from the file's size, so nothing has to say it.

use minicbor::{Decoder, Encoder};
use stead_core::id::BlobId;

use crate::tree::BadDirectory;

/// Bytes of a chunk.
pub const CHUNK: usize = 1 << 20;
/// Bytes of the longest file: 16,384 chunks.
pub const MAX_FILE: u64 = (CHUNK as u64) << 14;
/// The version of a list.
const VERSION: u8 = 1;

/// How many chunks a file of that size has; 0 for one that is an object itself.
pub(crate) fn chunks(size: u64) -> u64 {
    if size <= CHUNK as u64 { 0 } else { size.div_ceil(CHUNK as u64) }
}

/// The bytes of a list of chunks: `[version, [address, …]]`.
pub(crate) fn encode(chunks: &[BlobId]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + chunks.len() * 34);
    let mut e = Encoder::new(&mut out);
    e.array(2).and_then(|e| e.u8(VERSION)).and_then(|e| e.array(chunks.len() as u64)).expect("encodes to memory");
    for id in chunks {
        e.bytes(&id.0).expect("encodes to memory");
    }
    out
}

/// Reads the list of a file of that size.
pub(crate) fn decode(bytes: &[u8], size: u64) -> Result<Vec<BlobId>, BadDirectory> {
    let count = chunks(size);
    if size > MAX_FILE || bytes.len() as u64 > 16 + count * 34 {
        return Err(BadDirectory("a list of chunks of another file"));
    }
    let mut d = Decoder::new(bytes);
    if d.array()? != Some(2) || d.u8()? != VERSION || d.array()? != Some(count) {
        return Err(BadDirectory("a list of chunks of another length"));
    }
    let mut out = Vec::with_capacity(bytes.len() / 34);
    for _ in 0..count {
        out.push(BlobId(d.bytes()?.try_into().map_err(|_| BadDirectory("an address that is none"))?));
    }
    if encode(&out) != bytes {
        return Err(BadDirectory("it is not written in the one way"));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_list_is_that_of_a_file_of_its_size_alone() {
        assert_eq!([0, 1, CHUNK as u64, CHUNK as u64 + 1, 2 * CHUNK as u64].map(chunks), [0, 0, 0, 2, 2]);
        let list = encode(&[BlobId([1; 32]), BlobId([2; 32])]);
        let size = CHUNK as u64 + 1;
        assert_eq!(decode(&list, size).unwrap(), [BlobId([1; 32]), BlobId([2; 32])]);
        for wrong in [0, size - 1, 3 * CHUNK as u64, u64::MAX] {
            decode(&list, wrong).unwrap_err();
        }
        decode(&[&list[..], &[0]].concat(), size).unwrap_err();
        decode(&list[..40], size).unwrap_err();
    }
}
