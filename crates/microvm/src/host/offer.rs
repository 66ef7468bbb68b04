//! What the tier promises on a host, and what holds it.

use std::collections::BTreeMap;

use stead_ports::sandbox::{Evidence, Offer, Property, Spec, Tier};
use stead_tier::ask;

use super::{accelerator::Found, plan};

/// What the tier promises.
pub(super) fn offer(found: &Found) -> Offer {
    let by = |words: &str| Ok(words.to_owned());
    let not = |words: &str| Err(words.to_owned());
    let slow = found.instead.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
    let machine = format!("{} with {}, {}{slow}", found.vmm.name(), found.accelerator, found.kernel);
    let properties = BTreeMap::from([
        (Property::MemoryLimit, by("a control group of the machine, and the machine's own size")),
        (Property::PidsLimit, by("a control group of the machine")),
        (Property::CpuLimit, by("the machine's processors, and below a whole one a control group of the machine")),
        (Property::Accounting, by("the host's count of the machine's process, its start included")),
        (Property::DiskQuota, by("private folders in the machine's memory, of a size")),
        (Property::EgressControl, by("a machine without a network device")),
        (Property::SyscallFilter, not("every call is answered, by the machine's own kernel")),
        (Property::FileRules, not("files are the machine's own, and its kernel's rules are all")),
        (Property::OwnKernel, Ok(machine)),
    ]);
    Offer { tier: Tier::Microvm, properties }
}

/// What held for a box.
pub(super) fn evidence(spec: &Spec, offer: &Offer) -> Evidence {
    ask::evidence_of(offer, |property| plan::asked(spec, property))
}
