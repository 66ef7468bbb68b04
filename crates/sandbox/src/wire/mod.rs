//! What server, launcher and inits tell each other: MiniCBOR in datagrams over `SOCK_SEQPACKET` sockets, descriptors beside
//! them. All ends are the same program; a message that cannot be read still never counts as one.
//!
//! `plan.rs` is what a box is made of, `messages.rs` is the whole vocabulary, `socket.rs` sends and receives.

mod messages;
mod plan;
mod session;
mod socket;

pub(crate) use self::{
    messages::{End, Failure, Found, Go, Host, News, Order, Pressure, Report, Served, Sprout, Usage},
    plan::{Access, Folder, Limits, Place, Plan},
    session::{Ask, Tell, Told},
    socket::{buffer, receive, send},
};
pub(crate) use stead_tier::socket::{MAX_MESSAGE, pair};
