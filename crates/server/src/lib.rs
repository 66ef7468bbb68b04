//! The axum implementation of /v1, configuration and wiring
