//! The environment of commands: what may be in it, and placeholders in the place of secrets.

use std::collections::BTreeMap;

use stead_egress::Rules;

use crate::{SandboxesError, limits::VARIABLES};

/// How a variable names a secret.
const SECRET: &str = "secret://";

/// Variables that a caller names.
pub(crate) fn check(env: &BTreeMap<String, String>) -> Result<(), SandboxesError> {
    if env.len() > VARIABLES {
        return Err(SandboxesError::Refused(format!("more than {VARIABLES} variables")));
    }
    match env.iter().find(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')) {
        Some((name, _)) => {
            Err(SandboxesError::Refused(format!("{name:?} cannot be a variable, or its value cannot be one")))
        }
        None => Ok(()),
    }
}

/// Refuses a variable that names a secret which no rule puts in: before anything is made, and not at the first command.
pub(crate) fn bound(env: &BTreeMap<String, String>, rules: &Rules) -> Result<(), SandboxesError> {
    let unbound = |(_, value): &(&String, &String)| {
        value.strip_prefix(SECRET).is_some_and(|secret| !rules.secrets().any(|named| named == secret))
    };
    match env.iter().find(unbound) {
        Some((name, value)) => Err(missing(name, value)),
        None => Ok(()),
    }
}

/// The environment with placeholders for secrets.
pub(crate) fn filled(
    env: &BTreeMap<String, String>,
    placeholders: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, SandboxesError> {
    let fill = |(name, value): (&String, &String)| {
        let Some(secret) = value.strip_prefix(SECRET) else { return Ok((name.clone(), value.clone())) };
        let placeholder = placeholders.get(secret).cloned();
        Ok((name.clone(), placeholder.ok_or_else(|| missing(name, value))?))
    };
    env.iter().map(fill).collect()
}

fn missing(name: &str, value: &str) -> SandboxesError {
    let secret = value.strip_prefix(SECRET).unwrap_or(value);
    SandboxesError::Refused(format!("{name}: no egress rule of this sandbox names the secret `{secret}`"))
}
