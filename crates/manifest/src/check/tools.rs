//! Tools: operations that exist, and effect classes with what they need.

use std::collections::BTreeMap;

use stead_core::effect::EffectClass;

use super::Findings;
use crate::{
    manifest::{Auth, Effect, Http, Kind, Manifest, Mcp, Tool},
    manifest_tools::Binds,
};

pub(super) fn check(findings: &mut Findings<'_>, manifest: &Manifest) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (name, tool) in &manifest.tools {
        kind(findings, name, tool);
        if tool.effect == Some(EffectClass::Contained) {
            contained(findings, &["tools", name, "effect"], manifest, tool);
        }
        for (operation, effect) in &tool.effects {
            if effect.class == Some(EffectClass::Contained) {
                contained(findings, &["tools", name, "effects", operation, "class"], manifest, tool);
            }
            rules(findings, name, tool, operation, effect);
            preview(findings, name, manifest, operation, effect);
        }
        let operations = tool.operations();
        for operation in tool.only.iter().flatten() {
            if let Some(known) = operations.as_ref().filter(|k| !k.contains(&operation.as_str())) {
                findings.unknown(&["tools", name, "only"], "operation", operation, known);
            }
        }
        let full = match &tool.kind {
            Kind::Agent(_) | Kind::Command(_) => vec![name.clone()],
            _ => operations.unwrap_or_default().iter().map(|o| format!("{name}_{o}")).collect(),
        };
        for full in full {
            if let Some(other) = names.insert(full.clone(), name.clone()) {
                let message = format!("the model would know two operations as `{full}`: the other is of `{other}`");
                findings.value(&["tools", name], message, Some("rename one of the two".into()));
            }
        }
    }
}

/// Keys that only some kinds of tools have a use for. Refused elsewhere, as whoever wrote them relies on them.
fn kind(findings: &mut Findings<'_>, name: &str, tool: &Tool) {
    let agent = matches!(tool.kind, Kind::Agent(_));
    let refused: &[(&str, bool, &str)] = &[
        ("budget", tool.budget.is_some() && !agent, "only a tool that is an agent has a budget"),
        ("grant", tool.grant.is_some() && !agent, "only a tool that is an agent is granted something"),
        ("only", tool.only.is_some() && agent, "an agent has no operations"),
        ("effect", tool.effect.is_some() && agent, "an agent's own tools have effects; the agent has none"),
        ("effects", !tool.effects.is_empty() && agent, "an agent's own tools have effects; the agent has none"),
        ("trust", !tool.trust.is_empty() && agent, "an agent's answer has no parts"),
        ("timeout", tool_timeout(findings, name) && agent, "give the agent a budget (`active`, `deadline`) instead"),
        ("auth", tool.auth.is_some() && agent, "an agent needs no credential"),
        (
            "auth",
            tool.auth.is_some() && matches!(&tool.kind, Kind::Mcp(mcp) if mcp.url.is_none()),
            "a secret goes to its host by a rule of `sandbox.egress`; name its placeholder under `mcp.env`",
        ),
        (
            "auth",
            matches!((&tool.auth, &tool.kind), (Some(Auth::OAuth2(_)), Kind::Sql(_) | Kind::Mcp(_))),
            "only an `http` tool fetches a token by `oauth2`",
        ),
        (
            "auth",
            matches!((&tool.auth, &tool.kind), (Some(Auth::Delegate(_)), Kind::Sql(_))),
            "a database takes no token of a run",
        ),
        (
            "auth",
            tool.auth.is_some() && matches!(&tool.kind, Kind::Sql(sql) if sql.url.starts_with("sqlite:")),
            "an SQLite file needs no credential",
        ),
        (
            "auth",
            tool.auth.is_some() && matches!(tool.kind, Kind::Command(_) | Kind::Files(_)),
            "a secret goes to its host by a rule of `sandbox.egress`, and is never in the sandbox",
        ),
    ];
    for (key, wrong, why) in refused {
        if *wrong {
            findings.value(&["tools", name, key], format!("`{key}` has no meaning here: {why}"), None);
        }
    }
    match &tool.kind {
        Kind::Http(http) => service(findings, name, tool, http),
        Kind::Mcp(mcp) => server(findings, name, mcp),
        Kind::Sql(_) | Kind::Agent(_) | Kind::Command(_) | Kind::Files(_) => {}
    }
    if let Kind::Sql(sql) = &tool.kind {
        if sql.seed.is_some() && !sql.url.starts_with("sqlite:") {
            findings.value(&["tools", name, "sql", "seed"], "only an SQLite file can be seeded", None);
        }
        for (query, q) in &sql.queries {
            optional(findings, &["tools", name, "sql", "queries", query, "optional"], &q.optional, &q.params);
        }
    }
}

/// Keys that belong to one way of describing a service.
fn service(findings: &mut Findings<'_>, name: &str, tool: &Tool, http: &Http) {
    let path = |key: &'static str| ["tools", name, "http", key];
    if http.openapi.is_none() {
        if http.base_url.is_none() {
            findings.value(
                &["tools", name, "http"],
                "the key `base_url` is missing",
                Some("where the service is".into()),
            );
        }
        if !http.only.is_empty() {
            findings.value(&path("only"), "`only` belongs to `openapi`", None);
        }
        return;
    }
    if http.only.is_empty() {
        let hint = "name the operations that the agent needs: what is not named does not exist for it";
        findings.value(&path("openapi"), "`openapi` needs `only`, the ids of the operations", Some(hint.into()));
    }
    if tool.only.is_some() {
        let hint = "name the operations under `http.only`";
        findings.value(&["tools", name, "only"], "`only` stands beside `openapi`", Some(hint.into()));
    }
}

/// Keys that belong to one way of reaching a server.
fn server(findings: &mut Findings<'_>, name: &str, mcp: &Mcp) {
    let by_url = mcp.url.is_some();
    let refused = [
        ("headers", !by_url && !mcp.headers.is_empty(), "`headers` belongs to `url`"),
        ("plain_http", !by_url && mcp.plain_http, "`plain_http` belongs to `url`"),
        ("env", by_url && !mcp.env.is_empty(), "`env` belongs to `command`: nothing is started for a URL"),
        ("cwd", by_url && mcp.cwd.is_some(), "`cwd` belongs to `command`: nothing is started for a URL"),
    ];
    for (key, wrong, why) in refused {
        if wrong {
            findings.value(&["tools", name, "mcp", key], why, None);
        }
    }
}

/// Whether the tool says `timeout` itself (silence gives a default, which the type no longer tells apart).
fn tool_timeout(findings: &Findings<'_>, name: &str) -> bool {
    let tool = findings.root.get("tools").and_then(|t| t.node.get(name));
    tool.is_some_and(|t| t.node.get("timeout").is_some())
}

/// Optional parameters must be parameters.
pub(super) fn optional<V>(
    findings: &mut Findings<'_>,
    path: &[&str],
    optional: &[String],
    params: &BTreeMap<String, V>,
) {
    let known: Vec<&str> = params.keys().map(String::as_str).collect();
    for name in optional.iter().filter(|n| !params.contains_key(*n)) {
        findings.unknown(path, "parameter", name, &known);
    }
}

/// `contained` means that nothing leaves: whoever says it of something else would have it run twice after a crash.
fn contained(findings: &mut Findings<'_>, path: &[&str], manifest: &Manifest, tool: &Tool) {
    if tool.is_contained(manifest) {
        return;
    }
    let (why, hint) = match tool.sandbox_in(manifest) {
        None => ("it acts outside of any sandbox", "use `pure` if it only reads, else `irreversible`"),
        Some(sandbox) if sandbox.tier().is_none() => {
            ("it runs outside of any sandbox", "use `pure` if it only reads, else `irreversible`")
        }
        Some(sandbox) if sandbox.egress().is_empty() => (
            "its sandbox holds a variable of the host, which may be a secret",
            "take the bare names out of `env`, or use `pure` if it only reads, else `irreversible`",
        ),
        Some(_) => (
            "its sandbox may reach hosts",
            "give it `sandbox: { egress: [] }`, or use `pure` if it only reads, else `irreversible`",
        ),
    };
    findings.value(path, format!("the tool cannot be `contained`: {why}"), Some(hint.into()));
}

/// The rules of one operation.
fn rules(findings: &mut Findings<'_>, name: &str, tool: &Tool, operation: &str, effect: &Effect) {
    let path = |key: &'static str| ["tools", name, "effects", operation, key];
    let operations = tool.operations();
    if let Some(known) = operations.as_ref().filter(|k| !k.contains(&operation)) {
        findings.unknown(&["tools", name, "effects", operation], "operation", operation, known);
        return;
    }
    let class = effect.class.or(tool.effect);
    for (key, target) in [("reconcile", &effect.reconcile), ("compensate", &effect.compensate)] {
        let Some(target) = target else { continue };
        if target == operation {
            findings.value(&path(key), "an operation cannot be its own", None);
        } else if let Some(known) = operations.as_ref().filter(|k| !k.contains(&target.as_str())) {
            findings.unknown(&path(key), "operation", target, known);
        } else if key == "reconcile" {
            reconciler(findings, &path(key), tool, operation, target);
        }
    }
    let needs: &[(&'static str, bool, &str)] = &[
        (
            "class",
            class == Some(EffectClass::Reconcilable) && effect.reconcile.is_none(),
            "`reconcilable` needs `reconcile`: the operation that tells whether it happened",
        ),
        (
            "class",
            class == Some(EffectClass::Compensable) && effect.compensate.is_none(),
            "`compensable` needs `compensate`: the operation that takes it back",
        ),
        ("key", effect.key.is_some() && class == Some(EffectClass::Pure), "what only reads needs no key"),
        (
            "key_ttl",
            effect.key_ttl.is_some() && class != Some(EffectClass::Keyed),
            "`key_ttl` belongs to the class `keyed`",
        ),
        ("settle", effect.settle.is_some() && effect.reconcile.is_none(), "`settle` belongs to `reconcile`"),
    ];
    for (key, wrong, why) in needs {
        if *wrong {
            findings.value(&path(key), *why, None);
        }
    }
    key_argument(findings, &path("key"), tool, operation, effect);
}

/// What looks at an operation before people are asked about it, and what that may bind.
fn preview(findings: &mut Findings<'_>, name: &str, manifest: &Manifest, operation: &str, effect: &Effect) {
    let (Some(preview), Some(tool)) = (&effect.preview, manifest.tools.get(name)) else { return };
    let path = |key: &'static str| ["tools", name, "effects", operation, "preview", key];
    if effect.class.or(tool.effect) == Some(EffectClass::Pure) {
        findings.value(&path("call"), "what only reads needs no preview", None);
        return;
    }
    let Some((of, target)) = preview.target(&manifest.tools, name) else {
        let hint = "name an operation of this tool, `TOOL.OPERATION`, or a tool that has one operation only";
        findings.value(&path("call"), format!("there is no operation `{}`", preview.call), Some(hint.into()));
        return;
    };
    if (of, target) == (name, operation) {
        findings.value(&path("call"), "an operation cannot be its own", None);
    }
    let looks = manifest.tools.get(of);
    if looks.is_some_and(|looks| matches!(looks.kind, Kind::Agent(_))) {
        findings.value(&path("call"), "an agent is no preview: it does more than to look", None);
    }
    if looks.is_some_and(|looks| looks.rules(target).class.is_some_and(|class| class != EffectClass::Pure)) {
        let hint = "only an operation of the class `pure` may be called before people have said yes";
        findings.value(&path("call"), format!("`{}` is more than a look", preview.call), Some(hint.into()));
    }
    if looks.is_some_and(|looks| looks.rules(target).ask) {
        let hint = "nobody is asked before a look: name an operation without `ask`, or say `ask: false` of this one";
        findings.value(&path("call"), format!("`{}` is asked about itself", preview.call), Some(hint.into()));
    }
    let both = |is: fn(&Kind) -> bool| is(&tool.kind) && looks.is_some_and(|looks| is(&looks.kind));
    match preview.binds {
        Some(Binds::Etag) if !both(|kind| matches!(kind, Kind::Http(_))) => {
            let why = "`etag` binds one operation of an HTTP service by the answer of another";
            findings.value(&path("binds"), why, Some("leave `binds` out: the preview is then not binding".into()));
        }
        Some(Binds::Rows) if !both(|kind| matches!(kind, Kind::Sql(_))) => {
            let why = "`rows` binds a statement by the answer of another one";
            findings.value(&path("binds"), why, Some("leave `binds` out: the preview is then not binding".into()));
        }
        _ => {}
    }
}

/// What a reconcile operation must be: a read of an HTTP service that the same arguments can ask.
fn reconciler(findings: &mut Findings<'_>, path: &[&str], tool: &Tool, operation: &str, target: &str) {
    let Kind::Http(http) = &tool.kind else {
        findings.later(
            path,
            "`reconcile` is in this release for HTTP operations only",
            "without it an unknown outcome is told to the model, or to a human with `on_unknown: ask`",
        );
        return;
    };
    let (Some(asked), Some(asks)) = (http.operations.get(operation), http.operations.get(target)) else { return };
    if !matches!(asks.method.as_str(), "GET" | "HEAD") {
        findings.value(path, format!("`{target}` is no read: a reconcile operation is a GET or HEAD"), None);
    }
    for need in asks.params.keys().filter(|p| !asks.optional.contains(p) && !asked.params.contains_key(*p)) {
        let message = format!("`{target}` needs `{need}`, which `{operation}` does not have");
        findings.value(path, message, Some("it is called with the arguments of the call that it asks about".into()));
    }
}

/// A business key must be drawn from an argument that exists and is always there.
fn key_argument(findings: &mut Findings<'_>, path: &[&str], tool: &Tool, operation: &str, effect: &Effect) {
    let Some(argument) = effect.key.as_ref().and_then(|k| k.strip_prefix("$.")?.split('.').next()) else { return };
    let (params, optional) = match &tool.kind {
        Kind::Http(http) => match http.operations.get(operation) {
            Some(o) => (&o.params, &o.optional),
            None => return,
        },
        Kind::Sql(sql) => match sql.queries.get(operation) {
            Some(q) => (&q.params, &q.optional),
            None => return,
        },
        Kind::Command(_) => (&tool.params, &tool.optional),
        Kind::Mcp(_) | Kind::Agent(_) | Kind::Files(_) => return,
    };
    let known: Vec<&str> = params.keys().map(String::as_str).collect();
    if !params.contains_key(argument) {
        findings.unknown(path, "argument", argument, &known);
    } else if optional.iter().any(|o| o == argument) {
        findings.value(path, format!("`{argument}` may be left out, so it cannot be the key"), None);
    }
}
