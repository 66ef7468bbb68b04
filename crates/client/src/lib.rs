//! Typed client of /v1
