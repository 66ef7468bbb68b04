//! Test environments and fakes; for tests only
