//! Components that were compiled and linked, by the digest of what they are made of; in memory alone.

use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use wasmtime::{
    Engine,
    component::{Component, Linker},
};
use wasmtime_wasi::p2::bindings::CommandPre;

use crate::state::State;

/// Most components that are kept; the one longest unused is forgotten.
const KEPT: usize = 64;
/// Components that are compiled at once: it takes a processor each.
const COMPILERS: usize = 2;

/// Ready to be instantiated.
pub(crate) type Ready = Arc<CommandPre<State>>;

type Name = [u8; 32];

/// The cache.
pub(crate) struct Cache {
    engine: Engine,
    linker: Linker<State>,
    /// The last used one last.
    kept: Mutex<Vec<(Name, Ready)>>,
    compilers: Semaphore,
}

impl Cache {
    pub(crate) fn new(engine: Engine, linker: Linker<State>) -> Self {
        Self { engine, linker, kept: Mutex::default(), compilers: Semaphore::new(COMPILERS) }
    }

    /// The component of these bytes, or why it is none, or none that can be linked.
    pub(crate) async fn get(self: &Arc<Self>, bytes: Vec<u8>) -> Result<Ready, String> {
        let name: Name = Sha256::digest(&bytes).into();
        if let Some(ready) = self.find(&name) {
            return Ok(ready);
        }
        let _turn = self.compilers.acquire().await.map_err(|e| e.to_string())?;
        // Somebody may have been faster.
        if let Some(ready) = self.find(&name) {
            return Ok(ready);
        }
        let cache = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || cache.make(&bytes)).await;
        let ready = Arc::new(made.map_err(|e| e.to_string())??);
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((name, Arc::clone(&ready)));
        Ok(ready)
    }

    fn find(&self, name: &Name) -> Option<Ready> {
        let mut kept = self.kept.lock();
        let at = kept.iter().position(|(n, _)| n == name)?;
        let found = kept.remove(at);
        let ready = Arc::clone(&found.1);
        kept.push(found);
        Some(ready)
    }

    fn make(&self, bytes: &[u8]) -> Result<CommandPre<State>, String> {
        let told = |e: wasmtime::Error| format!("{e:#}");
        let component = Component::from_binary(&self.engine, bytes).map_err(told)?;
        let linked = self.linker.instantiate_pre(&component).map_err(told)?;
        CommandPre::new(linked).map_err(told)
    }
}
