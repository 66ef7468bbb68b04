//! How machines run here. That `/dev/kvm` opens and makes a machine proves nothing: some hosts have a KVM in which an ordinary kernel
//! does not boot. So the probe boots the very machine that boxes get, until its first process says hello, against a deadline.

use std::{sync::Arc, time::Duration};

use super::{Settings, boot, tools};
use crate::{
    fault::Fault,
    image::{self, Image, Sources},
    vmm::{Accelerator, Parts, Qemu, Vmm},
};

/// What a host has for machines.
pub(super) struct Found {
    pub(super) settings: Settings,
    pub(super) vmm: Arc<dyn Vmm>,
    pub(super) parts: Parts,
    pub(super) image: Image,
    pub(super) accelerator: Accelerator,
    /// What the guest said of its kernel.
    pub(super) kernel: String,
    /// How long the machine of the probe took to say hello.
    pub(super) took: Duration,
    /// Why no faster accelerator is used.
    pub(super) instead: Option<String>,
}

/// Looks, and boots.
pub(super) async fn find(settings: &Settings) -> Result<Found, Fault> {
    let its = settings.clone();
    let made = tokio::task::spawn_blocking(move || make(&its)).await;
    let (vmm, parts, image) = made.map_err(|e| Fault(e.to_string()))??;
    let mut found = Found {
        settings: settings.clone(),
        vmm,
        parts,
        image,
        accelerator: Accelerator::Kvm,
        kernel: String::new(),
        took: Duration::ZERO,
        instead: None,
    };
    let why = if std::path::Path::new("/dev/kvm").exists() {
        match boot::hello(&found, Accelerator::Kvm, settings.patience.0).await {
            Ok((kernel, took)) => {
                (found.kernel, found.took) = (kernel, took);
                return Ok(found);
            }
            Err(fault) => format!("no machine boots with KVM: {fault}"),
        }
    } else {
        "there is no /dev/kvm".to_owned()
    };
    if !settings.translate {
        return Err(Fault(format!("{why}; and running without KVM, some ten times slower, is not allowed")));
    }
    let hello = boot::hello(&found, Accelerator::Tcg, settings.patience.1).await;
    let (kernel, took) = hello.map_err(|fault| Fault(format!("{why}; and none without it: {fault}")))?;
    (found.accelerator, found.kernel, found.took, found.instead) = (Accelerator::Tcg, kernel, took, Some(why));
    Ok(found)
}

fn make(settings: &Settings) -> Result<(Arc<dyn Vmm>, Parts, Image), Fault> {
    let parts = tools::find(settings)?;
    let vmm = Qemu::new(&parts.monitor, settings.role.clone())?;
    let program = settings.role.first().ok_or_else(|| Fault("no program for machines".to_owned()))?;
    let program = std::fs::canonicalize(program).unwrap_or_else(|_| program.into());
    let sources =
        Sources { program: &program, busybox: &parts.busybox, modules: &parts.modules, places: &settings.places };
    let image = image::make(&sources)?;
    Ok((Arc::new(vmm), parts, image))
}
