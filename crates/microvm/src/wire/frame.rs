//! Frames: a head of nine bytes, then the payload. Each belongs to a stream; a stream's bytes flow only within the window that
//! the other side has opened, so a reader that is slow stops its own stream and no other.
//!
//! ```text
//! length of the payload: u32 LE │ kind: u8 │ stream: u32 LE │ payload
//! ```

use bytes::Bytes;

/// Bytes of a head.
pub(crate) const HEAD: usize = 9;
/// Most bytes of a payload: that of a plan, with the longest command.
pub(crate) const MAX_PAYLOAD: usize = 192 << 10;
/// Most bytes of one piece of a stream.
pub(crate) const MAX_DATA: usize = 32 << 10;
/// Bytes of a stream that may be on their way unread.
pub(crate) const WINDOW: u32 = 256 << 10;

/// Numbers of streams.
pub(crate) mod stream {
    /// Of no stream: orders and news.
    pub(crate) const NONE: u32 = 0;
    /// Standard input, to the guest; of a terminal too.
    pub(crate) const STDIN: u32 = 1;
    /// Standard output, from the guest; of a terminal too.
    pub(crate) const STDOUT: u32 = 2;
    /// Standard error, from the guest.
    pub(crate) const STDERR: u32 = 3;
    /// Folders on their way in: the root, if it is a folder, and the mounts, in order.
    pub(crate) const FOLDERS: u32 = 0x100;
    /// Layers on their way out, in the order of the mounts that have one.
    pub(crate) const LAYERS: u32 = 0x200;
    /// Connections to the way out, numbered by the guest from here on, never the same again.
    pub(crate) const CONNECTIONS: u32 = 0x1000;
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An order or news.
    Message,
    /// Bytes of a stream.
    Data,
    /// No more bytes come this way.
    End,
    /// The window is wider by a number of bytes, in four bytes LE.
    Credit,
    /// A connection to the way out was made; from the guest.
    Open,
    /// Nothing of this stream is wanted, and nothing more comes.
    Reset,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Message => 0,
            Self::Data => 1,
            Self::End => 2,
            Self::Credit => 3,
            Self::Open => 4,
            Self::Reset => 5,
        }
    }

    fn of(number: u8) -> Option<Self> {
        [Self::Message, Self::Data, Self::End, Self::Credit, Self::Open, Self::Reset]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) stream: u32,
    /// Bytes that follow.
    pub(crate) length: usize,
}

impl Head {
    /// Reads a head; `None` for one that nobody of ours writes.
    pub(crate) fn read(bytes: [u8; HEAD]) -> Option<Self> {
        let [a, b, c, d, kind, e, f, g, h] = bytes;
        let (length, kind) = (u32::from_le_bytes([a, b, c, d]) as usize, Kind::of(kind)?);
        let most = match kind {
            Kind::Message => MAX_PAYLOAD,
            Kind::Data => MAX_DATA,
            Kind::Credit => 4,
            Kind::End | Kind::Open | Kind::Reset => 0,
        };
        (length <= most).then_some(Self { kind, stream: u32::from_le_bytes([e, f, g, h]), length })
    }
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) stream: u32,
    pub(crate) payload: Bytes,
}

impl Frame {
    pub(crate) fn message(payload: Vec<u8>) -> Self {
        Self { kind: Kind::Message, stream: stream::NONE, payload: payload.into() }
    }

    pub(crate) fn data(stream: u32, payload: Bytes) -> Self {
        Self { kind: Kind::Data, stream, payload }
    }

    pub(crate) fn credit(stream: u32, bytes: u32) -> Self {
        Self { kind: Kind::Credit, stream, payload: bytes.to_le_bytes().to_vec().into() }
    }

    /// A frame without payload.
    pub(crate) fn bare(kind: Kind, stream: u32) -> Self {
        Self { kind, stream, payload: Bytes::new() }
    }

    /// Its head, as bytes.
    pub(crate) fn head(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        // A payload is never longer than what fits.
        head[..4].copy_from_slice(&u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        head[4] = self.kind.number();
        head[5..].copy_from_slice(&self.stream.to_le_bytes());
        head
    }

    /// The bytes that a credit is about.
    pub(crate) fn credited(&self) -> Option<u32> {
        Some(u32::from_le_bytes(self.payload.as_ref().try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written_and_one_beyond_the_bounds_is_none() {
        let frame = Frame::data(7, Bytes::from_static(b"abc"));
        assert_eq!(Head::read(frame.head()), Some(Head { kind: Kind::Data, stream: 7, length: 3 }));
        assert_eq!(Frame::credit(2, 9).credited(), Some(9));
        for (length, kind) in [(MAX_DATA + 1, 1), (MAX_PAYLOAD + 1, 0), (5, 3), (1, 2), (1, 4), (0, 6), (0, 255)] {
            let mut head = [0; HEAD];
            head[..4].copy_from_slice(&u32::try_from(length).unwrap_or(0).to_le_bytes());
            head[4] = kind;
            assert_eq!(Head::read(head), None, "{length} {kind}");
        }
    }
}
