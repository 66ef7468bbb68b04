//! From what a manifest asks to what a box is given: every number is within the operator's bounds, or refused.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde_json::{Map, Value, json};
use stead_core::code;
use stead_egress::{RuleFields, RuleSpec};
use stead_manifest::manifest::{Egress, Inject, Injected, Sandbox, Tool};
use stead_ports::{
    agent::AgentError,
    sandbox::{KEEP, Limits, Root},
};
use stead_workshop::{Settings, Variable};

use crate::{agents::Environment, config};

/// What is asked for a tool.
pub(crate) struct Asked<'a> {
    /// The tool.
    pub(crate) tool: &'a str,
    /// Where it runs.
    pub(crate) sandbox: &'a Sandbox,
    /// How long it may run when the manifest does not say.
    pub(crate) wall: Duration,
    /// Its variables.
    pub(crate) env: BTreeMap<String, Variable>,
    /// What it finds in `/opt/agent`.
    pub(crate) files: Option<PathBuf>,
}

/// What a box of the tool is given.
///
/// # Errors
/// ST0311 beyond the operator's bounds, ST0312 for a root that there is not, ST0310 without a tier, ST0103 for a rule of egress.
pub(crate) fn settings(asked: Asked<'_>, allowed: &config::Sandbox) -> Result<Settings, AgentError> {
    let Asked { tool, sandbox, wall, env, files } = asked;
    let tier = sandbox.tier().ok_or_else(|| AgentError {
        code: code::SANDBOX_DENIED,
        detail: format!("`{tool}` runs in a sandbox and nowhere else"),
    })?;
    let root = match &sandbox.root {
        None => Root::Host,
        Some(name) => Root::Folder(allowed.roots.get(name).cloned().ok_or_else(|| AgentError {
            code: code::SANDBOX_ROOT,
            detail: format!(
                "`tools.{tool}` names the root `{name}`, which this server does not have. Its operator can add it to stead.toml: \
                 [sandbox] roots = {{ {name} = \"/path/of/a/root\" }}"
            ),
        })?),
    };
    Ok(Settings {
        tier,
        requires: sandbox.requires.iter().flatten().chain(&allowed.requires).copied().collect(),
        limits: limits(tool, sandbox, wall, &allowed.max)?,
        egress: sandbox.egress().iter().map(|rule| spec(tool, rule)).collect::<Result<_, _>>()?,
        root,
        env,
        files,
        output: output(tool, sandbox, &allowed.max)?,
        dir: None,
    })
}

/// The variables of what a tool starts in a box: text from the environment that the operator lets boxes see, placeholders for the rest.
pub(crate) fn environment(tool: &Tool, environment: &Environment) -> BTreeMap<String, Variable> {
    let value = |variable: stead_manifest::manifest::Variable<'_>| match variable.from {
        Some(reference) => Some((variable.name.to_owned(), Variable::Secret(reference.as_str().to_owned()))),
        None if !variable.is_of_the_host() => None,
        None => Some((variable.name.to_owned(), Variable::Text(environment.shown(variable.name)?))),
    };
    tool.variables().filter_map(value).collect()
}

/// What is asked when it is within the operator's bounds; what is usual, cut to them, when nothing is asked.
fn within(tool: &str, key: &str, asked: Option<u64>, usual: u64, most: u64) -> Result<u64, AgentError> {
    match asked {
        Some(n) if n > most => Err(AgentError {
            code: code::SANDBOX_BOUNDS,
            detail: format!(
                "`tools.{tool}` asks for `sandbox.{key}` of {n}, and this server gives {most} at most. Its operator can raise it in \
                 stead.toml: [sandbox.max] {key}"
            ),
        }),
        Some(n) => Ok(n),
        None => Ok(usual.min(most)),
    }
}

/// Bytes kept of each output.
fn output(tool: &str, sandbox: &Sandbox, max: &config::SandboxMax) -> Result<usize, AgentError> {
    let bytes = within(tool, "output", sandbox.output, KEEP as u64, max.output.0 as u64)?;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// The limits, the port's own where the manifest is silent; those are cut to the operator's bounds, what is asked is not.
fn limits(tool: &str, sandbox: &Sandbox, wall: Duration, max: &config::SandboxMax) -> Result<Limits, AgentError> {
    let own = Limits::default();
    let within = |key: &str, asked, usual, most| within(tool, key, asked, usual, most);
    let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
    let cpu = within("cpu", sandbox.cpu, 1_000_000, max.cpu_milli().saturating_mul(1_000))?;
    let disk = within("disk", sandbox.disk, own.disk, max.disk.0 as u64)?;
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Ok(Limits {
        memory: Some(within("memory", sandbox.memory, own.memory.unwrap_or(512 << 20), max.memory.0 as u64)?),
        pids: Some(narrow(within(
            "pids",
            sandbox.pids.map(u64::from),
            own.pids.unwrap_or(128).into(),
            max.pids.into(),
        )?)),
        cpu_milli: Some(narrow((cpu / 1_000).max(1))),
        disk,
        inodes: within("inodes", sandbox.inodes, own.inodes, max.inodes)?,
        file: sandbox.file.unwrap_or(disk).min(disk),
        open_files: narrow(within(
            "open_files",
            sandbox.open_files.map(u64::from),
            own.open_files.into(),
            max.open_files.into(),
        )?),
        wall: Duration::from_micros(within(
            "timeout",
            sandbox.timeout.map(|span| micros(span.to_std())),
            micros(wall),
            micros(max.timeout.0),
        )?),
    })
}

/// A rule, in the proxy's own words. What it means is judged there.
fn spec(tool: &str, rule: &Egress) -> Result<RuleSpec, AgentError> {
    let RuleSpec(short) = RuleSpec::short(&rule.host);
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("host", short.host.into());
    put("ports", if short.ports.is_empty() { rule.ports.clone().into() } else { short.ports.into() });
    if let Some(scheme) = short.scheme.map(|s| s.as_str().to_owned()).or_else(|| rule.scheme.clone()) {
        put("scheme", scheme.into());
    }
    if let Some(tls) = &rule.tls {
        put("tls", tls.clone().into());
    }
    if let Some(shared) = rule.shared {
        put("shared", shared.into());
    }
    for (key, list) in [("methods", &rule.methods), ("paths", &rule.paths), ("addresses", &rule.addresses)] {
        put(key, list.clone().into());
    }
    for (key, flag) in [
        ("websocket", rule.websocket),
        ("opaque", rule.opaque),
        ("client_credentials", rule.client_credentials),
        ("secrets_in_clear", rule.secrets_in_clear),
    ] {
        put(key, flag.into());
    }
    put("secrets", rule.secrets.iter().map(secret).collect());
    let fields: Result<RuleFields, _> = serde_json::from_value(fields.into());
    fields.map(RuleSpec).map_err(|e| AgentError {
        code: code::MANIFEST_VALUE,
        detail: format!("`tools.{tool}`: the egress rule of `{}`: {e}", rule.host),
    })
}

fn secret(injected: &Injected) -> Value {
    let inject = match &injected.inject {
        Inject::As(word) => json!(word),
        Inject::Header { name, prefix } => json!({ "header": { "name": name, "prefix": prefix } }),
        Inject::Basic { user } => json!({ "basic": { "user": user } }),
        Inject::Form { field } => json!({ "form": { "field": field } }),
        Inject::Sigv4 { access_key_id, region, service, session_token } => json!({ "sigv4": {
            "access_key_id": access_key_id, "region": region, "service": service,
            "session_token": session_token.as_ref().map(|t| t.as_str()),
        } }),
        Inject::Oauth { token_url, client_id, scope } => {
            json!({ "oauth": { "token_url": token_url, "client_id": client_id, "scope": scope } })
        }
    };
    json!({ "secret": injected.secret.as_str(), "inject": inject })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use stead_core::sandbox::Property;

    use super::*;

    fn tool(yaml: &str) -> (Sandbox, Tool) {
        let text = format!(
            "stead: v1\nname: a\nmodel: rehearsal:auto\ninstructions: x\ntools: {{ sh: {{ command: [sh, -c], {yaml} }} }}\n"
        );
        let mut manifest = stead_manifest::parse(&text, "agent.yaml").unwrap();
        let tool = manifest.tools.remove("sh").unwrap();
        (tool.sandbox_in(&manifest).unwrap(), tool)
    }

    fn asked(yaml: &str, allowed: &config::Sandbox) -> Result<Settings, AgentError> {
        let (sandbox, tool) = tool(yaml);
        let env = environment(&tool, &Environment::Open);
        settings(Asked { tool: "sh", sandbox: &sandbox, wall: Duration::from_secs(30), env, files: None }, allowed)
    }

    #[test]
    fn what_is_asked_is_given_and_what_is_silent_is_the_usual() {
        let given =
            asked("sandbox: { memory: 64Mi, cpu: 0.25, timeout: 5s, disk: 1Mi }", &config::Sandbox::default()).unwrap();
        let limits = given.limits;
        assert_eq!((limits.memory, limits.cpu_milli, limits.wall), (Some(64 << 20), Some(250), Duration::from_secs(5)));
        assert_eq!((limits.disk, limits.file, limits.pids), (1 << 20, 1 << 20, Some(128)));
    }

    #[test]
    fn more_than_the_operator_gives_is_refused_with_the_key_that_raises_it() {
        let mut allowed = config::Sandbox::default();
        allowed.max.memory = config::units::Size(32 << 20);
        let error = asked("sandbox: { memory: 64Mi }", &allowed).unwrap_err();
        assert_eq!(error.code, code::SANDBOX_BOUNDS);
        assert!(error.detail.contains("[sandbox.max] memory"), "{}", error.detail);
        // What nobody asked for is cut in silence: the box has less, and nothing is promised.
        assert_eq!(asked("ask: false", &allowed).unwrap().limits.memory, Some(32 << 20));
        let error = asked("sandbox: { root: py }", &allowed).unwrap_err();
        assert!(error.code == code::SANDBOX_ROOT && error.detail.contains("roots = { py ="), "{}", error.detail);
    }

    #[test]
    fn what_the_operator_requires_is_required_of_every_box_besides() {
        let requires = [Property::MemoryLimit, Property::SyscallFilter].into();
        let allowed = config::Sandbox { requires, ..config::Sandbox::default() };
        let given = asked("sandbox: { requires: [disk_quota] }", &allowed).unwrap();
        assert_eq!(given.requires, [Property::MemoryLimit, Property::DiskQuota, Property::SyscallFilter].into());
        assert_eq!(asked("ask: false", &allowed).unwrap().requires, allowed.requires);
    }

    #[test]
    fn rules_reach_the_proxy_as_they_were_written_and_variables_as_placeholders() {
        let given = asked(
            "env: [\"K=secret://k#token\", HOME], sandbox: { egress: [\"http://a.example:8080\", { host: b.example, methods: [GET], \
             secrets: [{ secret: \"secret://k#token\", inject: { header: { name: X-Key } } }] }] }",
            &config::Sandbox::default(),
        )
        .unwrap();
        assert_eq!(given.egress[0], RuleSpec::short("http://a.example:8080"));
        let rule = &given.egress[1].0;
        assert_eq!((rule.host.as_str(), rule.methods.as_slice()), ("b.example", ["GET".to_owned()].as_slice()));
        assert_eq!(rule.secrets[0].secret, "secret://k#token");
        assert_eq!(
            given.env.into_iter().collect::<Vec<_>>(),
            [("K".into(), Variable::Secret("secret://k#token".into()))]
        );
        assert!(stead_egress::Rules::new(&given.egress).is_ok());
    }
}
