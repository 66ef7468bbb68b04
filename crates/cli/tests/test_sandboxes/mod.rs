//! Session sandboxes over the API: a real server, real boxes, and the client that programs use.

mod bounds;
mod commands;
mod files;
mod kit;
mod life;
mod shared;
mod sweep;
