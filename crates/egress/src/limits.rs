//! The bounds of one session. `docs/limits.md` lists them.

use std::time::Duration;

/// How much one box may have under way, and how long anything may take. Bytes and durations.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections of the box at once; the next one waits in the kernel's queue.
    pub connections: usize,
    /// From the first byte of a request's head to its last; and for a TLS hello.
    pub head: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// For the name to be resolved, and for each address to be connected to.
    pub connect: Duration,
    /// Until a host begins its answer, after the request was sent whole.
    pub answer: Duration,
    /// Between two pieces of a body, either way, and for one piece to be taken.
    pub stall: Duration,
    /// For a tunnel in which nothing moves.
    pub tunnel: Duration,
    /// Bytes of bodies and tunnels, both ways and all exchanges together. The piece that would be beyond is not handed on: what is under
    /// way is cut then, and nothing is allowed any more.
    pub traffic: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 128,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(300),
            stall: Duration::from_secs(60),
            tunnel: Duration::from_secs(600),
            traffic: None,
        }
    }
}

/// Bytes of a request's head.
pub(crate) const HEAD_BYTES: usize = 32 << 10;
/// Fields of a head, of a request and of an answer.
pub(crate) const FIELDS: usize = 100;
/// Bytes of an answer's head.
pub(crate) const ANSWER_HEAD_BYTES: usize = 64 << 10;
/// Bytes of a TLS hello, over all its records.
pub(crate) const HELLO_BYTES: usize = 16 << 10;
/// Bytes of one piece of a body.
pub(crate) const PIECE: usize = 16 << 10;
/// Bytes of a body that an injector must see whole.
pub(crate) const WHOLE_BODY: usize = 8 << 20;
/// Such bodies of a session at once.
pub(crate) const WHOLE_BODIES: usize = 8;
/// Bytes that an answer may unpack to, and that one step of it may; bytes that are unpacked in one step. Each connection may have one
/// step in memory for which its client makes it wait.
pub(crate) const UNPACK_STEP: usize = 256;
pub(crate) const UNPACKED: u64 = 1 << 30;
pub(crate) const UNPACKED_PIECE: usize = 1 << 20;
/// Packed answers of a session at once: each decoder remembers up to 16 MiB.
pub(crate) const UNPACKERS: usize = 16;
/// Look-ups of names of a session at once.
pub(crate) const LOOKUPS: usize = 8;
/// Addresses of a name that are tried.
pub(crate) const ADDRESSES: usize = 8;
/// Rules of a session; ports, methods, paths, ranges and secrets of a rule; bytes of each.
pub(crate) const RULES: usize = 256;
pub(crate) const PARTS: usize = 64;
pub(crate) const PATH_BYTES: usize = 8 << 10;
/// Bytes of a secret that is put in: shorter ones could not be told from ordinary text in an answer.
pub(crate) const SECRET_BYTES: std::ops::RangeInclusive<usize> = 8..=(16 << 10);
/// Values that are searched for in answers at once: of secrets, and of tokens besides.
pub(crate) const SEARCHED: usize = 64;
pub(crate) const TOKENS: usize = 16;
/// Certificates of hosts that a session keeps.
pub(crate) const LEAVES: usize = 256;
