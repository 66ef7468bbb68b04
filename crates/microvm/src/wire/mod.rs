//! What host and guest tell each other over the machine's one channel. Both ends are the same program of the same build; the host
//! takes nothing from the guest on trust all the same.

pub(crate) mod frame;
pub(crate) mod messages;
pub(crate) mod window;

pub(crate) use frame::{Frame, Head, Kind, MAX_DATA, WINDOW, stream};
pub(crate) use messages::{Access, End, Failure, Limits, News, Order, Place, Plan, Usage, decode, encode};
