//! What every adapter of a port must do, as functions that an adapter's tests call.
