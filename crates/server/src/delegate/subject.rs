//! Whom a delegated token is about: a person by the name that the rest of the world knows, or the run itself.

use stead_core::ruling::Behalf;
use stead_identity::delegated::Subject;

use crate::config::Oidc;

/// What stands before the name of somebody of the configuration where people come from a provider too: no two of them are one.
const OF_HERE: &str = "stead:";

/// See the module.
pub(super) struct Subjects {
    /// What stands before the names of the provider's people here, and who the provider is.
    provider: Option<(String, String)>,
}

impl Subjects {
    pub(super) fn new(oidc: Option<&Oidc>) -> Self {
        Self { provider: oidc.map(|oidc| (oidc.prefix.clone(), oidc.issuer.clone())) }
    }

    /// The subject of tokens of a run; `issuer` is this server. The error says why there can be none.
    pub(super) fn of(&self, behalf: &Behalf, issuer: &str) -> Result<Subject, String> {
        let Some(person) = &behalf.user else { return Ok(Subject::Workload) };
        let here = |name: String| Subject::Person { name, of: issuer.to_owned() };
        let subject = match &self.provider {
            None => here(person.name.to_string()),
            // Who has expired delegations comes from the provider: people of the configuration have none.
            Some((prefix, provider)) => match person.name.strip_prefix(prefix.as_str()) {
                Some(name) if behalf.delegated.is_some() => {
                    Subject::Person { name: name.to_owned(), of: provider.clone() }
                }
                _ => return Ok(here(format!("{OF_HERE}{}", person.name))),
            },
        };
        match &subject {
            Subject::Person { name, .. } if name.starts_with("spiffe:") || name.starts_with(OF_HERE) => Err(format!(
                "`{}` has a name that only runs, or people of the configuration, have in tokens",
                person.name
            )),
            _ => Ok(subject),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use stead_core::{
        grant::Delegated,
        time::{Span, Timestamp},
    };

    use super::*;

    fn behalf(name: &str, of_provider: bool) -> Behalf {
        let delegated = Delegated { until: Timestamp(1), lasts: Span::from_secs(1) };
        Behalf { user: Some(name.into()), delegated: of_provider.then_some(delegated), ..Behalf::default() }
    }

    #[test]
    fn nobody_bears_the_name_of_somebody_else() {
        let (server, provider) = ("https://stead.example", "https://id.example");
        let person = |name: &str, of: &str| Ok(Subject::Person { name: name.into(), of: of.into() });
        let alone = Subjects { provider: None };
        assert_eq!(alone.of(&behalf("ann", false), server), person("ann", server));
        assert_eq!(alone.of(&Behalf::default(), server), Ok(Subject::Workload));
        assert!(alone.of(&behalf("spiffe://stead/x", false), server).is_err());
        let both = Subjects { provider: Some(("oidc:".into(), provider.into())) };
        assert_eq!(both.of(&behalf("oidc:ann", true), server), person("ann", provider));
        // Somebody of the configuration, be it with the same name.
        assert_eq!(both.of(&behalf("ann", false), server), person("stead:ann", server));
        assert_eq!(both.of(&behalf("oidc:ann", false), server), person("stead:oidc:ann", server));
        assert!(both.of(&behalf("oidc:stead:ann", true), server).is_err());
        assert!(both.of(&behalf("oidc:spiffe://x/y", true), server).unwrap_err().contains("only runs"));
    }
}
