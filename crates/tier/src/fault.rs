//! What went wrong while a box was made, in words: the step and what the system said. Not an error of the port: the
//! server's side makes one of it.

use std::fmt;

use rustix::io::Errno;

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names the step of a failure.
pub trait At<T> {
    /// Says what was tried.
    ///
    /// # Errors
    /// That of `self`, with the step before what the system said.
    fn at(self, step: &str) -> Result<T, Fault>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, step: &str) -> Result<T, Fault> {
        self.map_err(|e| Fault(format!("{step}: {}", std::io::Error::from(e))))
    }
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, step: &str) -> Result<T, Fault> {
        self.map_err(|e| Fault(format!("{step}: {e}")))
    }
}
