//! Tiers, and what a tier can promise on a host: each promise with its evidence, each missing one with its reason.

use std::collections::BTreeMap;

use serde::Serialize;
pub use stead_core::sandbox::{Property, Tier};

use super::BoxError;

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
