//! Test environments and fakes; for tests only.

pub mod postgres;
