//! HTTP/1.1 on the box's side, read strictly: whatever two readers could take differently is refused.
//!
//! The hosts' side is hyper's. A request is never copied through: it is taken apart here and written anew there.

mod answer;
mod body;
mod head;
mod io;

pub(crate) use answer::{Out, Rest};
pub(crate) use body::Incoming;
pub(crate) use head::{Framing, Head, NoHead, read_head};
pub(crate) use io::{BoxIo, Reader, rejoin, split};
