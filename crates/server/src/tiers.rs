//! How each tier of sandboxes is set up by `[sandbox]` of `stead.toml`: the same for the server that gives them and for `stead doctor`,
//! which says what a server with that configuration could give.

use std::path::PathBuf;

use crate::config;

/// The namespace tier.
pub fn namespaces(config: &config::Sandbox) -> stead_sandbox::Settings {
    let usual = stead_sandbox::Settings::default();
    stead_sandbox::Settings { show: config.mounts.clone(), most: config.boxes + config.servers + usual.ahead, ..usual }
}

/// The oci tier.
pub fn containers(config: &config::Sandbox) -> stead_oci::Settings {
    stead_oci::Settings {
        show: config.mounts.clone(),
        most: config.boxes + config.servers,
        ..stead_oci::Settings::default()
    }
}

/// The microvm tier.
pub fn machines(config: &config::Sandbox) -> stead_microvm::Settings {
    let usual = stead_microvm::Settings::default();
    let own = &config.microvm;
    stead_microvm::Settings {
        kernels: own.kernels.iter().cloned().chain(usual.kernels).collect::<Vec<PathBuf>>(),
        places: config.mounts.clone(),
        translate: own.translate,
        most: own.machines,
        ..usual
    }
}
