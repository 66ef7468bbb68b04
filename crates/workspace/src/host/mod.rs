//! Reading directories that somebody hostile has written: what is below one descriptor, and never anything else.

pub(crate) mod beneath;
pub(crate) mod marks;
pub(crate) mod scan;
