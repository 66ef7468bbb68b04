//! Who may have runs, as far as the configuration says: people with a token of it, and those whom the identity provider knows. Looked at
//! before each effect, so that a run does nothing more for somebody whose token was taken out.

use std::collections::BTreeSet;

use stead_api::right::Right;
use stead_core::id::Name;
use stead_ports::people::People;

use crate::{
    auth::DEFAULT_TENANT,
    config::{Auth, Oidc, TokenEntry},
    serve::OWNER,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Tenant and name of each who has a token with the right to have runs.
    here: BTreeSet<(Name, Name)>,
    /// Everybody who has any token.
    named: BTreeSet<Name>,
    /// What stands before the names of people of the provider.
    prefix: Option<String>,
}

impl Standing {
    pub(crate) fn of(auth: &Auth) -> Self {
        let may = |entry: &&TokenEntry| entry.rights.contains(&Right::Run);
        let here = auth.tokens.iter().filter(may).map(|entry| (entry.tenant.clone(), entry.subject.clone()));
        let here = here.chain([(DEFAULT_TENANT.into(), OWNER.into())]).collect();
        let named = auth.tokens.iter().map(|entry| entry.subject.clone()).chain([OWNER.into()]).collect();
        Self { here, named, prefix: auth.oidc.as_deref().map(|oidc: &Oidc| oidc.prefix.clone()) }
    }
}

impl People for Standing {
    fn why_not(&self, tenant: &Name, person: &Name) -> Option<String> {
        let provided = self.prefix.as_ref().is_some_and(|prefix| person.starts_with(prefix.as_str()));
        if self.here.contains(&(tenant.clone(), person.clone())) || (provided && !self.named.contains(person)) {
            return None;
        }
        Some(match self.named.contains(person) {
            true => "the server's configuration does not give them the right `run` in this tenant any more".to_owned(),
            false => "the server's configuration knows nobody of that name any more".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::config::Config;

    #[test]
    fn who_has_no_token_with_the_right_to_run_has_no_runs() {
        let token = |subject: &str, rights: &str| {
            let digest = "0".repeat(63) + &subject.len().to_string();
            format!("{{ subject = \"{subject}\", sha256 = \"{digest}\", rights = [{rights}] }}")
        };
        let tokens = format!("[{}, {}]", token("ann", "\"read\", \"run\""), token("carla", "\"read\""));
        let oidc = "[auth.oidc]\nissuer = \"https://id.example\"\naudience = [\"stead\"]\n";
        for (text, provided) in
            [(format!("auth.tokens = {tokens}\n"), false), (format!("auth.tokens = {tokens}\n{oidc}"), true)]
        {
            let config = Config::parse(&text, "stead.toml".as_ref()).unwrap();
            let standing = Standing::of(&config.auth);
            let why_not = |tenant: &str, name: &str| standing.why_not(&tenant.into(), &name.into());
            assert_eq!(why_not("default", "ann"), None);
            assert_eq!(why_not("default", OWNER), None);
            assert!(why_not("acme", "ann").is_some() && why_not("default", "bob").is_some());
            assert!(why_not("default", "carla").unwrap().contains("right `run`"));
            assert_eq!(why_not("default", "oidc:eve").is_none(), provided);
        }
    }
}
