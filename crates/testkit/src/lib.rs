//! Test environments and fakes, and the suite of sandboxes; for tests only.

pub mod boxes;
pub mod postgres;
pub mod stores;
