//! Who makes boxes here: the tiers that the operator offers. What a host can give shows when one is asked for.

use std::{collections::BTreeMap, sync::Arc};

use stead_core::sandbox::Tier;
use stead_ports::sandbox::Boxes;

use crate::config;
#[cfg(target_os = "linux")]
use crate::tiers;

/// The tiers.
pub(super) struct Tiers {
    pub(super) all: BTreeMap<Tier, Arc<dyn Boxes>>,
    /// To whom the files of workspaces must belong when this process is root.
    pub(super) user: Option<u32>,
    #[cfg(target_os = "linux")]
    namespaces: Arc<stead_sandbox::Namespaces>,
    #[cfg(target_os = "linux")]
    containers: Arc<stead_oci::Containers>,
}

impl Tiers {
    /// Ends what makes boxes, in order, so that nothing of it is left.
    pub(super) async fn close(&self) {
        #[cfg(target_os = "linux")]
        {
            if self.all.contains_key(&Tier::Oci) {
                self.containers.close().await;
            }
            self.namespaces.close().await;
        }
    }
}

/// Makes them. Nothing is started.
#[cfg(target_os = "linux")]
pub(super) async fn tiers(config: &config::Sandbox) -> Tiers {
    let namespaces = Arc::new(stead_sandbox::Namespaces::new(tiers::namespaces(config)));
    // The user of all tiers. Where it cannot be had, only files are touched, and those are this process's own.
    let user = if rustix::process::geteuid().is_root() { namespaces.user().await.ok() } else { None };
    let containers = Arc::new(stead_oci::Containers::new(tiers::containers(config)));
    let mut all: BTreeMap<Tier, Arc<dyn Boxes>> = BTreeMap::new();
    for tier in config.tiers.iter().copied().map(Tier::from) {
        let boxes: Arc<dyn Boxes> = match tier {
            Tier::Namespace => namespaces.clone(),
            Tier::Oci => containers.clone(),
            Tier::Microvm => Arc::new(stead_microvm::Machines::new(tiers::machines(config))),
            Tier::Wasm => match components() {
                Some(components) => components,
                None => continue,
            },
        };
        all.insert(tier, boxes);
    }
    Tiers { all, user, namespaces, containers }
}

/// The wasm tier, when it is in this build and this host has the room for it.
#[cfg(all(target_os = "linux", feature = "wasm"))]
fn components() -> Option<Arc<dyn Boxes>> {
    match stead_wasm::Components::new(stead_wasm::Settings::default()) {
        Ok(components) => Some(Arc::new(components)),
        Err(error) => {
            tracing::warn!(%error, "the sandbox tier `wasm` cannot be given");
            None
        }
    }
}

/// The wasm tier is not in this build.
#[cfg(all(target_os = "linux", not(feature = "wasm")))]
fn components() -> Option<Arc<dyn Boxes>> {
    tracing::warn!("the sandbox tier `wasm` is not in this build: `cargo build --features wasm` has it");
    None
}

/// Nobody.
#[cfg(not(target_os = "linux"))]
pub(super) async fn tiers(_: &config::Sandbox) -> Tiers {
    Tiers { all: BTreeMap::new(), user: None }
}
