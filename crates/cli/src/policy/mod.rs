//! `stead policy` without a server: the folder of a set, what is wrong with it, its cases; and how sets are told.

pub(crate) mod folder;
pub(crate) mod local;
pub(crate) mod told;
