//! Settings, checked: what every action of a tool has in common.

use std::{collections::BTreeMap, path::PathBuf};

use bytes::Bytes;
use stead_core::{
    effect::EffectClass,
    sandbox::{Access, BoxLimits, Property, Tier},
};
use stead_egress::Rules;
use stead_ports::sandbox::{Command, Content, Mount, Root, Spec};
use stead_tools::{error::ToolSetupError, secret::Secret};

use crate::{
    limits::overridden,
    settings::{Settings, Variable},
    way_out,
};

/// Where the workspace is, inside; a command starts there.
pub(crate) const WORKSPACE: &str = "/workspace";
/// Where a command starts that has no workspace.
const HOME: &str = "/home/box";
/// Where the agent version's own files are.
const AGENT: &str = "/opt/agent";
/// Variables of one tool.
const VARIABLES: usize = 64;

/// Checked settings.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) settings: Settings,
    pub(crate) rules: Rules,
    /// Values of the host's environment that are inside as they are, and may be secrets: blotted out of what a command prints.
    pub(crate) blotted: Vec<Secret>,
}

/// What runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Job {
    pub(crate) words: Vec<String>,
    pub(crate) input: Bytes,
    pub(crate) access: Access,
    /// Variables of this action, beside those of the place; those of the manifest win over them.
    pub(crate) env: Vec<(String, String)>,
}

impl Place {
    /// Checks what can be checked before anything runs.
    pub(crate) fn new(tool: &str, settings: &Settings) -> Result<Self, ToolSetupError> {
        let fail = |why: String| ToolSetupError::value(format!("{tool}: {why}"));
        let rules = Rules::new(&settings.egress).map_err(|e| ToolSetupError {
            code: e.code,
            detail: format!("{tool}: `egress`: {}; {}", e.detail, e.hint),
        })?;
        if settings.tier == Tier::Wasm && !settings.egress.is_empty() {
            return Err(fail("a component has no way out: `egress` needs another tier than `wasm`".to_owned()));
        }
        if settings.tier == Tier::Wasm && settings.root != Root::Host {
            return Err(fail("a component has no root: `root` needs another tier than `wasm`".to_owned()));
        }
        if settings.env.len() > VARIABLES {
            return Err(fail(format!("`env` has {} variables, and may have {VARIABLES}", settings.env.len())));
        }
        for (name, value) in &settings.env {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(fail(format!("`env`: `{name}` is no name of a variable")));
            }
            match value {
                Variable::Text(text) if text.contains('\0') => {
                    return Err(fail(format!("`env`: the value of `{name}` holds a NUL byte")));
                }
                Variable::Secret(secret) if !rules.secrets().any(|s| s == secret) => {
                    return Err(fail(format!(
                        "`env`: `{name}` names the secret `{secret}`, which no rule of `egress` puts in; a sandbox never has \
                         a secret itself, only what stands for it"
                    )));
                }
                _ => {}
            }
        }
        let text = |value: &Variable| match value {
            Variable::Text(text) => Some(Secret::new(text)),
            Variable::Secret(_) => None,
        };
        let blotted = settings.env.values().filter_map(text).collect();
        Ok(Self { settings: settings.clone(), rules, blotted })
    }

    /// Whether nothing that runs there can reach anything.
    pub(crate) fn is_closed(&self) -> bool {
        self.settings.egress.is_empty()
    }

    /// The class of an action there: what can reach nothing, and holds no value of the host's, can be thrown away and run again.
    pub(crate) fn class(&self) -> EffectClass {
        if self.is_closed() && self.blotted.is_empty() { EffectClass::Contained } else { EffectClass::Irreversible }
    }

    /// What the box is asked. `base` is the folder of the workspace, `opt` that with places to mount below, `out` the way out.
    pub(crate) fn spec(
        &self,
        job: &Job,
        limits: &BoxLimits,
        base: Option<PathBuf>,
        opt: PathBuf,
        out: Option<&way_out::WayOut>,
    ) -> Spec {
        let settings = &self.settings;
        let mut mounts = Vec::new();
        let mut mount = |at: &str, content| mounts.push(Mount { at: at.into(), content });
        if let Some(base) = base {
            let content = if job.access == Access::Write { Content::Layered(base) } else { Content::ReadOnly(base) };
            mount(WORKSPACE, content);
        }
        if settings.files.is_some() || out.is_some() {
            mount("/opt", Content::ReadOnly(opt));
        }
        if let Some(files) = &settings.files {
            mount(AGENT, Content::ReadOnly(files.clone()));
        }
        if let Some(out) = out {
            mount(way_out::CERTIFICATES, Content::ReadOnly(out.folder().to_owned()));
        }
        let mut requires = settings.requires.clone();
        requires.insert(Property::EgressControl);
        let usual = if job.access == Access::None { HOME } else { WORKSPACE };
        // A component has no working folder.
        let usual = if settings.tier == Tier::Wasm { "" } else { usual };
        let dir = settings.dir.clone().unwrap_or_else(|| usual.into());
        Spec {
            command: Command { words: job.words.clone(), env: self.env(job, out), dir },
            root: settings.root.clone(),
            mounts,
            limits: overridden(settings.limits, limits),
            requires,
            egress: out.map(|_| way_out::PORT),
            zygote: None,
        }
    }

    fn env(&self, job: &Job, out: Option<&way_out::WayOut>) -> Vec<(String, String)> {
        let mut env = usual_variables();
        env.extend(job.env.iter().cloned());
        if let Some(out) = out {
            env.extend(way_out::variables());
            let placeholders = out.placeholders();
            env.extend(self.settings.env.iter().filter_map(|(name, value)| match value {
                Variable::Secret(secret) => Some((name.clone(), placeholders.get(secret)?.clone())),
                Variable::Text(_) => None,
            }));
        }
        env.extend(self.settings.env.iter().filter_map(|(name, value)| match value {
            Variable::Text(text) => Some((name.clone(), text.clone())),
            Variable::Secret(_) => None,
        }));
        env.into_iter().collect()
    }
}

/// Variables that every box has.
pub(crate) fn usual_variables() -> BTreeMap<String, String> {
    [("HOME", HOME), ("LANG", "C.UTF-8")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_variable_names_only_a_secret_that_a_rule_puts_in() {
        let env = BTreeMap::from([("TOKEN".to_owned(), Variable::Secret("github".to_owned()))]);
        let error = Place::new("shell", &Settings { env, ..Settings::default() }).unwrap_err();
        assert!(error.detail.contains("`github`") && error.detail.contains("no rule"), "{error}");
    }

    #[test]
    fn variables_of_an_action_are_inside_and_those_of_the_manifest_win() {
        let env = BTreeMap::from([("TRACESTATE".to_owned(), Variable::Text("mine=1".to_owned()))]);
        let place = Place::new("shell", &Settings { env, ..Settings::default() }).unwrap();
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let env = vec![variable("TRACEPARENT", "00-1-2-01"), variable("TRACESTATE", "shop=1")];
        let inside = place.env(&Job { env, ..Job::default() }, None);
        assert!(
            inside.contains(&variable("TRACEPARENT", "00-1-2-01"))
                && inside.contains(&variable("TRACESTATE", "mine=1"))
        );
        assert!(place.env(&Job::default(), None).iter().all(|(name, _)| name != "TRACEPARENT"));
    }

    #[test]
    fn what_holds_a_value_of_the_host_is_not_contained_though_it_reaches_nobody() {
        let env = BTreeMap::from([("REGION".to_owned(), Variable::Text("eu".to_owned()))]);
        let place = Place::new("shell", &Settings { env, ..Settings::default() }).unwrap();
        assert!(place.is_closed());
        assert_eq!(place.class(), EffectClass::Irreversible);
    }

    #[test]
    fn every_box_must_control_egress_and_none_has_a_way_out_unasked() {
        let place = Place::new("shell", &Settings::default()).unwrap();
        let spec = place.spec(&Job::default(), &BoxLimits::default(), None, "/x".into(), None);
        assert!(spec.requires.contains(&Property::EgressControl) && spec.egress.is_none() && spec.mounts.is_empty());
        assert_eq!(place.class(), EffectClass::Contained);
    }
}
