//! No echo of a secret goes back into the box: answers are unpacked, searched and masked on their way.

mod automaton;
mod forms;
mod stream;
mod unpack;
mod view;

pub(crate) use stream::{Patterns, Scrubber};
pub(crate) use unpack::{Coding, Unpacker, unreadable};
