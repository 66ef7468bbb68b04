//! How a folder travels: a walk, in records that each name one entry of the directory that the walk stands in. There are no paths, so
//! there is none that could lead elsewhere; who receives makes only what is not there yet.
//!
//! ```text
//! length of a record: u16 LE │ record: MiniCBOR │ after `Piece`: its bytes
//! ```

pub(crate) mod receive;
pub(crate) mod send;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};

use minicbor::{Decode, Encode, bytes::ByteVec};

use crate::wire;

/// Levels of directories that travel.
pub(crate) const MAX_DEPTH: usize = 128;
/// Bytes of a name.
const MAX_NAME: usize = 255;
/// Bytes of a link's target.
const MAX_TARGET: usize = 4096;
/// Bytes of a piece of a file.
const MAX_PIECE: usize = 64 << 10;

/// One step of the walk.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
enum Record {
    /// Into a directory of this name.
    #[n(0)]
    Enter {
        #[n(0)]
        name: ByteVec,
        #[n(1)]
        mode: u32,
    },
    /// Out of it.
    #[n(1)]
    Leave,
    /// A file; what no piece says is zeroes.
    #[n(2)]
    File {
        #[n(0)]
        name: ByteVec,
        #[n(1)]
        mode: u32,
        #[n(2)]
        size: u64,
    },
    /// Bytes of the file before.
    #[n(3)]
    Piece {
        #[n(0)]
        at: u64,
        #[n(1)]
        length: u32,
    },
    /// A symbolic link.
    #[n(4)]
    Link {
        #[n(0)]
        name: ByteVec,
        #[n(1)]
        target: ByteVec,
    },
    /// A named pipe or a socket: its name alone.
    #[n(5)]
    Special {
        #[n(0)]
        name: ByteVec,
        #[n(1)]
        socket: bool,
    },
    /// A whiteout: what the lower layer has under this name is gone.
    #[n(6)]
    Gone {
        #[n(0)]
        name: ByteVec,
    },
    /// The walk is over.
    #[n(7)]
    Done,
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn write_record(to: &mut impl Write, record: &Record) -> io::Result<()> {
    let bytes = wire::encode(record);
    let length = u16::try_from(bytes.len()).map_err(|_| wrong("a name or link is too long to travel"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&bytes)
}

fn read_record(from: &mut impl Read) -> io::Result<Record> {
    let mut length = [0; 2];
    from.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_le_bytes(length))];
    from.read_exact(&mut bytes)?;
    wire::decode(&bytes).ok_or_else(|| wrong("a folder comes in records that cannot be read"))
}
