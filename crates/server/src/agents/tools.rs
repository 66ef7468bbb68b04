//! Tools: what an adapter offers, joined with what the manifest says about it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::{DeserializeOwned, IntoDeserializer, value::StrDeserializer};
use serde_json::json;
use stead_core::{code, effect::EffectClass, fact::CallRules, message::ToolDef, time::Span};
use stead_manifest::{
    Bundle, Manifest,
    manifest::{Http, Kind, Mcp, Rules, SecretRef, Sql, Tool},
};
use stead_ports::agent::{AgentError, Behind, BoundTool};
use stead_tools::{
    config::{HttpConfig, HttpOperation, McpConfig, McpUrlConfig, SqlConfig, SqlQuery},
    error::ToolSetupError,
    http,
    mcp::{self, Discovered, Hints},
    offer::Offered,
    schema,
    secret::Secret,
    sql,
};

use super::{AgentStore, Environment, build::sorted, openapi, wired::Wired};
use crate::testing::StandIns;

/// Longest text that a run hands to an agent that is a tool, in characters.
const MAX_CHILD_INPUT: u32 = 256 << 10;

/// Asks the MCP servers of a manifest for their tools; the answer is pinned in the version.
pub(super) async fn discover(
    store: &AgentStore,
    manifest: &Manifest,
    base: &Path,
) -> Result<BTreeMap<String, Vec<ToolDef>>, AgentError> {
    let mut pinned = BTreeMap::new();
    for (name, tool) in &manifest.tools {
        if let Kind::Mcp(server) = &tool.kind {
            let found = match &server.url {
                Some(url) => {
                    let auth = secret(tool.auth.as_ref(), &store.environment)?;
                    mcp::discover_url(&mcp_url_config(tool, server, url), auth, &store.reach).await
                }
                None => mcp::discover(&mcp_config(tool, server), base).await,
            };
            let found = found.map_err(|e| told(name, e))?;
            pinned.insert(name.clone(), found.into_iter().map(pin).collect());
        }
    }
    Ok(pinned)
}

/// All tools of an agent, sorted by name.
pub(super) async fn bind(
    store: &AgentStore,
    manifest: &Manifest,
    bundle: &Bundle,
    wired: &Wired,
    base: &Path,
) -> Result<Vec<BoundTool>, AgentError> {
    let stand_ins = store.stand_ins.as_ref();
    let mut bound = Vec::new();
    for (name, tool) in &manifest.tools {
        // Doubles need no secret; tools that really run do.
        let (auth, missing) = match secret(tool.auth.as_ref(), &store.environment) {
            Err(missing) if stand_ins.is_some_and(|s| s.stands_for_some(name)) => (None, Some(missing)),
            auth => (auth?, None),
        };
        let first = bound.len();
        let offered = match &tool.kind {
            Kind::Agent(_) => {
                let mut agent = agent_tool(name, tool, bundle, wired)?;
                stand_ins.map(|s| replaced(&mut agent, s));
                bound.push(agent);
                continue;
            }
            Kind::Sql(sql) => {
                seed(name, sql, bundle, base).await?;
                sql::offer(name, &sql_config(tool, sql)?, base, &store.reach)
            }
            Kind::Http(http) => match bundle.apis.get(name) {
                Some(api) => http::offer_api(name, &openapi::config(tool, http, api)?, auth, &store.reach),
                None => http::offer(name, &http_config(tool, http)?, auth, &store.reach),
            },
            Kind::Mcp(server) => {
                let pinned: Vec<Discovered> = bundle.pinned.get(name).into_iter().flatten().map(unpin).collect();
                match &server.url {
                    Some(url) => mcp::offer_url(name, &mcp_url_config(tool, server, url), auth, &store.reach, &pinned),
                    None => mcp::offer(name, &mcp_config(tool, server), base, &pinned),
                }
            }
        };
        for offered in offered.map_err(|e| told(name, e))? {
            if tool.offers(&offered.operation) {
                bound.push(join(name, tool, offered)?);
            }
        }
        if let Some(stand_ins) = stand_ins {
            let real = bound[first..].iter_mut().map(|b| u32::from(!replaced(b, stand_ins))).sum::<u32>();
            if let (Some(missing), true) = (missing, real > 0) {
                return Err(missing);
            }
        }
    }
    sorted(bound)
}

/// Puts the double of a tool in its place, if there is one.
fn replaced(bound: &mut BoundTool, stand_ins: &StandIns) -> bool {
    let Some(double) = stand_ins.tool(&bound.def.name) else { return false };
    bound.behind = Behind::Tool(double);
    bound.rules.child = None;
    true
}

fn join(name: &str, tool: &Tool, offered: Offered) -> Result<BoundTool, AgentError> {
    let rules = tool.rules(&offered.operation);
    let class = rules.class.unwrap_or(offered.default_class);
    if class == EffectClass::Reconcilable && !offered.reconciles {
        return Err(AgentError {
            code: code::MANIFEST_VALUE,
            detail: format!("`{name}.{}` is `reconcilable`, so it needs a `reconcile` operation", offered.operation),
        });
    }
    let check = schema::compile(&offered.def.schema);
    let check = check.map_err(|e| told(&format!("{name}.{}", offered.operation), e))?;
    Ok(BoundTool {
        schema_digest: schema::digest(&offered.def.schema),
        class,
        key: rules.key.clone(),
        timeout: rules.timeout,
        max_output: tool.max_output,
        max_shown: tool.max_shown,
        check,
        behind: Behind::Tool(offered.tool),
        def: offered.def,
        rules: call_rules(rules),
    })
}

fn call_rules(rules: Rules) -> CallRules {
    CallRules {
        ask: rules.ask,
        on_unknown: rules.on_unknown,
        attempts: rules.attempts,
        key_ttl: rules.key_ttl,
        settle: rules.settle,
        child: None,
    }
}

fn agent_tool(name: &str, tool: &Tool, bundle: &Bundle, wired: &Wired) -> Result<BoundTool, AgentError> {
    let Some(version) = wired.children.get(name) else {
        return Err(AgentError {
            code: code::VERSION_GONE,
            detail: format!("the agent behind `{name}` is not pinned"),
        });
    };
    let nested = match &tool.kind {
        Kind::Agent(named) => bundle.agents.get(named).map(|b| b.manifest.description.clone()),
        _ => None,
    };
    let about = tool.description.clone().or(nested).filter(|text| !text.is_empty());
    let def = ToolDef {
        name: name.into(),
        description: about.unwrap_or_else(|| format!("Asks the agent `{name}` and returns its answer.")),
        schema: json!({
            "type": "object",
            "properties": { "input": { "type": "string", "minLength": 1, "maxLength": MAX_CHILD_INPUT,
                "description": "What the agent is asked, with everything it must know: it sees nothing else." } },
            "required": ["input"],
            "additionalProperties": false
        }),
    };
    let rules = tool.rules("");
    Ok(BoundTool {
        schema_digest: schema::digest(&def.schema),
        // A child is found again by its id, which derives from the effect: asking twice is asking once.
        class: EffectClass::Keyed,
        key: None,
        timeout: rules.timeout,
        max_output: tool.max_output,
        max_shown: tool.max_shown,
        check: schema::compile(&def.schema).map_err(|e| told(name, e))?,
        behind: Behind::Agent(*version),
        def,
        rules: CallRules { child: Some(tool.budget.clone().unwrap_or_default()), ..call_rules(rules) },
    })
}

/// Fills a database file that does not exist yet.
async fn seed(name: &str, sql: &Sql, bundle: &Bundle, base: &Path) -> Result<(), AgentError> {
    let (Some(file), Some(path)) = (&sql.seed, sqlite_path(&sql.url, base)) else { return Ok(()) };
    let text = bundle.file(file).unwrap_or_default().to_owned();
    let seeded = tokio::task::spawn_blocking(move || sql::seed::seed(&path, &text));
    match seeded.await {
        Ok(result) => result.map(drop).map_err(|e| told(name, e)),
        Err(e) => Err(AgentError { code: code::INTERNAL, detail: format!("{name}: seeding broke off: {e}") }),
    }
}

fn sqlite_path(url: &str, base: &Path) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    Some(base.join(path.strip_prefix("//").unwrap_or(path)))
}

fn sql_config(tool: &Tool, sql: &Sql) -> Result<SqlConfig, AgentError> {
    Ok(SqlConfig {
        url: sql.url.clone(),
        allow: sql.allow.iter().map(|kind| word("allow", kind)).collect::<Result<_, _>>()?,
        queries: sql
            .queries
            .iter()
            .map(|(name, q)| {
                let query = SqlQuery {
                    sql: q.sql.clone(),
                    description: q.description.clone(),
                    params: q.params.clone(),
                    optional: q.optional.clone(),
                };
                (name.clone(), query)
            })
            .collect(),
        description: tool.description.clone(),
        max_rows: sql.max_rows,
        timeout: longest(tool),
    })
}

fn http_config(tool: &Tool, http: &Http) -> Result<HttpConfig, AgentError> {
    let operations = http.operations.iter().map(|(name, op)| {
        let operation = HttpOperation {
            method: word("method", &op.method)?,
            path: op.path.clone(),
            description: op.description.clone(),
            params: op.params.clone(),
            optional: op.optional.clone(),
            query: op.query.clone(),
            headers: op.headers.clone(),
            body: op.body.clone(),
            reconcile: tool.rules(name).reconcile,
        };
        Ok((name.clone(), operation))
    });
    Ok(HttpConfig {
        base_url: http.base_url.clone().unwrap_or_default(),
        operations: operations.collect::<Result<_, AgentError>>()?,
        timeout: longest(tool),
    })
}

fn mcp_config(tool: &Tool, mcp: &Mcp) -> McpConfig {
    McpConfig {
        command: mcp.command.clone(),
        env: mcp.env.clone(),
        cwd: mcp.cwd.clone(),
        only: tool.only.clone(),
        start_timeout: mcp.start_timeout.to_std(),
    }
}

fn mcp_url_config(tool: &Tool, mcp: &Mcp, url: &str) -> McpUrlConfig {
    McpUrlConfig {
        url: url.to_owned(),
        headers: mcp.headers.clone(),
        plain_http: mcp.plain_http,
        only: tool.only.clone(),
        start_timeout: mcp.start_timeout.to_std(),
    }
}

/// The longest time-out of a tool's operations: each call's own is kept by the engine, and the adapter's must not be
/// shorter.
pub(super) fn longest(tool: &Tool) -> Duration {
    let own = tool.effects.values().filter_map(|e| e.timeout);
    own.chain([tool.timeout]).max().unwrap_or(Span::from_secs(30)).to_std()
}

/// Reads a word that the manifest has checked, as an adapter's enum.
pub(super) fn word<T: DeserializeOwned>(key: &str, word: &str) -> Result<T, AgentError> {
    let text: StrDeserializer<'_, serde::de::value::Error> = word.into_deserializer();
    T::deserialize(text).map_err(|e| AgentError { code: code::MANIFEST_VALUE, detail: format!("`{key}`: {e}") })
}

fn secret(reference: Option<&SecretRef>, environment: &Environment) -> Result<Option<Secret>, AgentError> {
    let Some(reference) = reference else { return Ok(None) };
    match environment.get(reference.env()) {
        Some(value) if !value.trim().is_empty() => Ok(Some(Secret::new(&value))),
        _ => Err(AgentError {
            code: code::MANIFEST_VALUE,
            detail: format!("the environment variable {} is not set", reference.env()),
        }),
    }
}

fn told(tool: &str, e: ToolSetupError) -> AgentError {
    let detail = if e.detail.starts_with(tool) { e.detail } else { format!("{tool}: {}", e.detail) };
    AgentError { code: e.code, detail }
}

/// A tool as the bundle pins it: `name` is the server's own name of it.
fn pin(found: Discovered) -> ToolDef {
    ToolDef { name: found.operation, description: found.description, schema: found.schema }
}

/// The same, back; the digest is taken as the adapter takes it when it lists the server's tools again.
fn unpin(def: &ToolDef) -> Discovered {
    Discovered {
        operation: def.name.clone(),
        description: def.description.clone(),
        schema: def.schema.clone(),
        hints: Hints::default(),
        digest: schema::digest(&json!([def.name, def.description, def.schema])),
    }
}
