//! `[approvals]`: which answers must be signed, and with which root each tenant's directory begins.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    config::{MAX_ASKS, MAX_OPEN_ASKS},
    id::Name,
};
use stead_engine::Demand;
use stead_trust::{action::Hash, hex};

use super::{
    notices::{self, Notice},
    units::Time,
};

/// How long a browser stays signed in when nobody says.
const USUAL_SESSION: Duration = Duration::from_secs(8 * 3_600);

/// How people approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Approvals")]
pub struct Approvals {
    /// Which yes counts only with a signature: `gates`, that to what a gate of a policy asks, once the tenant's directory of approvers
    /// has a key; `always`, every one; `never`, none.
    pub signed: SignedAnswers,
    /// By tenant, the hash of the first entry of its directory of approvers, as `stead approvals keys ls` shows it: with another one the
    /// directory counts for nobody. Without this, whoever can write the database can put another directory in its place.
    #[serde(deserialize_with = "roots")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub roots: BTreeMap<String, String>,
    /// The domain that passkeys are made for: the host of `public_url`, or a registrable domain above it, for passkeys that several hosts of
    /// one organisation share. The host when silent. Passkeys that were made for another one do not sign here.
    pub rp_id: Option<String>,
    /// How long a browser stays signed in on the approval page: `1s` to `24h`, and never longer than the token that it signed in with. Half an
    /// hour in which nobody does anything ends it sooner.
    #[schemars(with = "String")]
    pub session: Time,
    /// Most questions to people that one run may have open at once; what it would ask beyond is denied. A manifest may say less.
    #[schemars(range(min = 1))]
    pub max_open_per_run: u32,
    /// Most questions to people of one run in all.
    #[schemars(range(min = 1))]
    pub max_per_run: u32,
    /// Who is told of questions to people, and how.
    pub notices: Vec<Notice>,
}

impl Default for Approvals {
    fn default() -> Self {
        Self {
            signed: SignedAnswers::default(),
            roots: BTreeMap::new(),
            rp_id: None,
            session: Time(USUAL_SESSION),
            max_open_per_run: MAX_OPEN_ASKS,
            max_per_run: MAX_ASKS,
            notices: Vec::new(),
        }
    }
}

/// See [`Approvals::signed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum SignedAnswers {
    /// Those to gates.
    #[default]
    Gates,
    /// All.
    Always,
    /// None.
    Never,
}

impl Approvals {
    /// The same as the engine takes it.
    pub(crate) const fn demand(&self) -> Demand {
        match self.signed {
            SignedAnswers::Gates => Demand::Gates,
            SignedAnswers::Always => Demand::Always,
            SignedAnswers::Never => Demand::Never,
        }
    }

    /// Why it cannot be used, if it cannot.
    pub(super) fn wrong(&self) -> Option<String> {
        if self.max_open_per_run == 0 || self.max_per_run == 0 {
            return Some("`approvals.max_open_per_run` and `approvals.max_per_run` must be 1 or more".into());
        }
        notices::wrong(&self.notices)
    }

    /// The roots by their tenants.
    pub(crate) fn roots(&self) -> BTreeMap<Name, Hash> {
        let root = |(tenant, root): (&String, &String)| Some((Name::from(tenant.as_str()), hex::decode(root)?));
        self.roots.iter().filter_map(root).collect()
    }
}

fn roots<'de, D: serde::Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    let roots = BTreeMap::<String, String>::deserialize(d)?;
    match roots.iter().find(|(_, root)| hex::decode::<32>(root).is_none()) {
        None => Ok(roots),
        Some((tenant, _)) => Err(serde::de::Error::custom(format!(
            "the root of `{tenant}` must be 64 hexadecimal digits, in lower case"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_could_match_nothing_is_refused() {
        let read = |text: &str| toml::from_str::<Approvals>(text).map_err(|e| e.message().to_string());
        let root = "ab".repeat(32);
        let right = read(&format!("roots = {{ default = \"{root}\" }}"));
        assert_eq!(right.map(|a| a.roots().get(&Name::from("default")).copied()), Ok(Some([0xab; 32])));
        assert!(read("roots = { default = \"AB\" }").is_err_and(|e| e.contains("`default` must be 64 hexadecimal")));
        assert!(read("signed = \"sometimes\"").is_err());
    }
}
