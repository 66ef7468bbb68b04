//! What happened before, as policies count it: folded from the journal, kept in memory for each tenant, and made durable in the
//! same appends as the records that it follows from. One engine owns the journal, so what it has in memory is all there is: a
//! decision is made, and what it lets go is counted, under one lock; a call counts from that moment, before its append is
//! durable, so that two runs never get one place.
//!
//! Not here: what a counter says (that is `stead-policy`), and what a decision may do with it (that is the gate).

mod book;
mod calls;
mod fill;
mod heard;
mod keep;
mod row;

pub(crate) use book::{Book, Books, Names, Reserved};
pub(crate) use calls::inline;
pub use calls::{Called, Calls};
pub(crate) use heard::{Heard, View};
