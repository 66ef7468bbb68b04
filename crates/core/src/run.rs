//! The run machine.
