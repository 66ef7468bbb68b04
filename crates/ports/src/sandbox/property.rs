//! Tiers, and what a tier can promise on a host: each promise with its evidence, each missing one with its reason.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::BoxError;

/// How an action is kept apart from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// A WebAssembly component without ambient authority.
    Wasm,
    /// Namespaces of the host's kernel.
    Namespace,
    /// A container of an OCI runtime.
    Oci,
    /// A virtual machine with a kernel of its own.
    Microvm,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wasm => "wasm",
            Self::Namespace => "namespace",
            Self::Oci => "oci",
            Self::Microvm => "microvm",
        })
    }
}

/// Something that a tier can promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// All processes together stay within a number of bytes; beyond, something in the box is killed.
    MemoryLimit,
    /// No more processes than a number.
    PidsLimit,
    /// All processes together get a share of the processors and no more.
    CpuLimit,
    /// Processor time and peak memory are measured by the kernel for all that ran.
    Accounting,
    /// Bytes and files in private folders have a bound.
    DiskQuota,
    /// Nothing reaches a network but through the egress socket.
    EgressControl,
    /// System calls are filtered by a list of what is allowed.
    SyscallFilter,
    /// Files outside of what is writable stay unwritable by a second, independent rule of the kernel.
    FileRules,
    /// Another kernel than the host's.
    OwnKernel,
}

impl Property {
    /// Every property.
    pub const ALL: [Self; 9] = [
        Self::MemoryLimit,
        Self::PidsLimit,
        Self::CpuLimit,
        Self::Accounting,
        Self::DiskQuota,
        Self::EgressControl,
        Self::SyscallFilter,
        Self::FileRules,
        Self::OwnKernel,
    ];
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MemoryLimit => "a memory limit",
            Self::PidsLimit => "a limit of processes",
            Self::CpuLimit => "a processor limit",
            Self::Accounting => "accounting by the kernel",
            Self::DiskQuota => "a disk quota",
            Self::EgressControl => "control of egress",
            Self::SyscallFilter => "a filter of system calls",
            Self::FileRules => "file rules of the kernel",
            Self::OwnKernel => "a kernel of its own",
        })
    }
}

/// What a tier offers on a host: for each property what holds it, or why nothing does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// The tier.
    pub tier: Tier,
    /// `Ok`: what holds it. `Err`: why it cannot be promised.
    pub properties: BTreeMap<Property, Result<String, String>>,
}

impl Offer {
    /// What holds a property.
    ///
    /// # Errors
    /// [`BoxError::Lacks`] with the reason.
    pub fn holds(&self, property: Property) -> Result<&str, BoxError> {
        let lacks = |why: &str| BoxError::Lacks { tier: self.tier, property, why: why.to_owned() };
        match self.properties.get(&property) {
            Some(Ok(evidence)) => Ok(evidence),
            Some(Err(why)) => Err(lacks(why)),
            None => Err(lacks("this tier does not know it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tier_does_not_name_is_lacking() {
        let offer = Offer {
            tier: Tier::Namespace,
            properties: BTreeMap::from([
                (Property::DiskQuota, Ok("tmpfs".to_owned())),
                (Property::MemoryLimit, Err("no memory controller".to_owned())),
            ]),
        };
        assert_eq!(offer.holds(Property::DiskQuota).ok(), Some("tmpfs"));
        for property in Property::ALL.into_iter().filter(|p| *p != Property::DiskQuota) {
            assert!(matches!(offer.holds(property), Err(BoxError::Lacks { .. })), "{property}");
        }
    }
}
