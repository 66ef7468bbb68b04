//! The connect port: before something speaks to a host, whoever knows the policies is asked, under those that hold at that moment.
//! Whoever connects on behalf of a run (a tool's adapter, the proxy of a box) asks for each request and each tunnel, and sends
//! nothing without a yes.
//!
//! Not here: what may be reached at all (the rules of a box, the address checks of tools), which is asked before.

use std::{fmt, sync::Arc};

use stead_core::id::Name;

use crate::BoxFuture;

/// Where something wants to speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct To<'a> {
    /// The host's name or address.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// The HTTP method; `CONNECT` for a tunnel that is not looked into; empty when it is not HTTP.
    pub method: &'a str,
    /// The path without its query; empty when it is not known.
    pub path: &'a str,
}

/// The policies behind a yes or a no.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruled {
    /// The epoch of the set that was in force.
    pub epoch: u64,
    /// Those that permitted, or forbade.
    pub by: Vec<Name>,
}

/// A no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    /// The policies behind it.
    pub ruled: Ruled,
    /// Why, in words for whoever asked.
    pub why: String,
}

/// Knows the policies.
pub trait Asks: Send + Sync + 'static {
    /// Whether something may speak there, now.
    fn may<'a>(&'a self, to: To<'a>) -> BoxFuture<'a, Result<Ruled, Barred>>;

    /// The same for what outlives the call that it was started for: what holds for that call alone, such as its approvals, does not
    /// count.
    fn lasting(&self) -> Arc<dyn Asks>;
}

/// Asks whoever knows the policies; the default is for what no run is behind, and asks nobody.
#[derive(Clone, Default)]
pub struct Connects(Option<Arc<dyn Asks>>);

impl Connects {
    /// Asks that one.
    pub fn asking(asks: Arc<dyn Asks>) -> Self {
        Self(Some(asks))
    }

    /// Whether something may speak there, now; without policies to name when nobody is asked.
    ///
    /// # Errors
    /// [`Barred`]: nothing may be sent then.
    pub async fn may(&self, to: To<'_>) -> Result<Option<Ruled>, Barred> {
        match &self.0 {
            Some(asks) => asks.may(to).await.map(Some),
            None => Ok(None),
        }
    }

    /// See [`Asks::lasting`].
    #[must_use]
    pub fn lasting(&self) -> Self {
        Self(self.0.as_ref().map(|asks| asks.lasting()))
    }
}

impl fmt::Debug for Connects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connects").field(&self.0.is_some()).finish()
    }
}
