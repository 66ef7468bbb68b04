//! Tools: what an adapter offers, joined with what the manifest says about it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::de::{DeserializeOwned, IntoDeserializer, value::StrDeserializer};
use serde_json::json;
use stead_core::{code, effect::EffectClass, fact::CallRules, id::Name, ruling::Behalf, time::Span};
use stead_manifest::{
    Bundle, Manifest, Pinned,
    manifest::{Auth, DelegateTo, Http, Kind, Mcp, Rules, SecretRef, Sql, Tool},
};
use stead_ports::{
    agent::{AgentError, Also, Behind, BoundTool},
    delegate::{Delegate, Delegates, OnBehalf, Wanted},
};
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

use super::{
    AgentStore, Environment, Keys,
    agent_tool::agent_tool,
    also, boxed,
    build::sorted,
    keys, openapi,
    preview::{self, Operations},
    renewed::{self, Make, Renewed, Values},
    wired::Wired,
};
use crate::testing::StandIns;

/// Asks the MCP servers of a manifest for their tools; the answer is pinned in the version.
pub(super) async fn discover(
    store: &AgentStore,
    tenant: &Name,
    manifest: &Manifest,
    bundle: &Bundle,
    base: &Path,
) -> Result<BTreeMap<String, Vec<Pinned>>, AgentError> {
    let mut pinned = BTreeMap::new();
    for (name, tool) in &manifest.tools {
        if let Kind::Mcp(server) = &tool.kind {
            let keys = Given::of(manifest, tool, store);
            let values = store.keys.values_of(manifest, tool).await?;
            let found = match (&server.url, tool.sandbox_in(manifest)) {
                (Some(url), _) => {
                    let config = mcp_url_config(tool, server, url);
                    match keys.shown_to_server(&values)? {
                        Some(mcp::Shown::Delegate(delegate)) => {
                            // No run is at hand: the agent itself looks at what there is.
                            let (tenant, agent) = (tenant.clone(), manifest.name.as_str().into());
                            let whose = OnBehalf { tenant, agent, version: None, run: None, behalf: Behalf::default() };
                            mcp::discover_delegated(&config, delegate, whose, &store.reach).await
                        }
                        auth => mcp::discover_url(&config, auth, &store.reach).await,
                    }
                }
                (None, Some(sandbox)) if sandbox.tier().is_some() => {
                    let hosted = boxed::server(store, (name, tool, server), &sandbox, bundle).await?;
                    mcp::discover_hosted(hosted, tool.only.as_deref(), &boxed::nobody(tenant)).await
                }
                (None, _) => {
                    boxed::unboxed(store, name)?;
                    mcp::discover(&mcp_config(tool, server), &keys.variables(&values)?, base).await
                }
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
    tenant: &Name,
    manifest: &Manifest,
    bundle: &Bundle,
    wired: &Wired,
    base: &Path,
) -> Result<Vec<BoundTool>, AgentError> {
    let stand_ins = store.stand_ins.as_ref();
    let mut bound = Vec::new();
    let mut operations = Operations::default();
    for (name, tool) in &manifest.tools {
        if let Kind::Agent(_) = &tool.kind {
            let mut agent = agent_tool(store, tenant, (name, tool), bundle, wired).await?;
            stand_ins.map(|s| replaced(&mut agent, s));
            bound.push(agent);
            continue;
        }
        if let Kind::Sql(sql) = &tool.kind {
            seed(name, sql, bundle, base).await?;
        }
        // Doubles need no secret; tools that really run do.
        let mut given = Given::of(manifest, tool, store);
        let missing = match given.auth(&store.keys.values_of(manifest, tool).await?) {
            Err(missing) if stand_ins.is_some_and(|s| s.stands_for_some(name)) => {
                given.auth = None;
                Some(missing)
            }
            auth => auth.map(|_| None)?,
        };
        let also: Arc<[Also]> = also::of(manifest, name, tool, bundle).into();
        let first = bound.len();
        let names = Keys::of_tool(manifest, tool);
        let make = match boxed::maker(store, manifest, (name, tool), bundle).await? {
            Some(make) => make,
            None => maker(store, given, name, tool, bundle, base)?,
        };
        let offered = if names.is_empty() {
            make(&Values::new())?.to_vec()
        } else {
            let (renewed, made) = Renewed::begin(store.keys.secrets.clone(), names, make).await?;
            renewed::tools(renewed, &made)
        };
        for offered in offered {
            if tool.offers(&offered.operation) {
                operations.insert((name.clone(), offered.operation.clone()), offered.def.name.clone());
                bound.push(BoundTool { also: also.clone(), ..join(manifest, name, tool, offered)? });
            }
        }
        if let Some(stand_ins) = stand_ins {
            let real = bound[first..].iter_mut().map(|b| u32::from(!replaced(b, stand_ins))).sum::<u32>();
            if let (Some(missing), true) = (missing, real > 0) {
                return Err(missing);
            }
        }
    }
    let mut bound = sorted(bound)?;
    preview::link(manifest, &operations, &mut bound, |name| stand_ins.is_some_and(|s| s.tool(name).is_some()))?;
    Ok(bound)
}

/// How a tool's operations are made, now and whenever a secret of the tool has changed.
fn maker(
    store: &AgentStore,
    keys: Given,
    name: &str,
    tool: &Tool,
    bundle: &Bundle,
    base: &Path,
) -> Result<Make<Arc<[Offered]>>, AgentError> {
    let (name, base, reach) = (name.to_owned(), base.to_owned(), store.reach.clone());
    let done =
        |name: &str, offered: Result<Vec<Offered>, ToolSetupError>| offered.map(Arc::from).map_err(|e| told(name, e));
    Ok(match &tool.kind {
        Kind::Sql(sql) => {
            let config = sql_config(tool, sql)?;
            Box::new(move |values| done(&name, sql::offer(&name, &config, keys.auth(values)?.as_ref(), &base, &reach)))
        }
        Kind::Http(http) => match bundle.apis.get(&name) {
            Some(api) => {
                let config = openapi::config(tool, http, api)?;
                Box::new(move |values| done(&name, http::offer_api(&name, &config, keys.shown(values)?, &reach)))
            }
            None => {
                let config = http_config(tool, http)?;
                Box::new(move |values| done(&name, http::offer(&name, &config, keys.shown(values)?, &reach)))
            }
        },
        Kind::Mcp(server) => {
            let pinned: Vec<Discovered> = bundle.pinned.get(&name).into_iter().flatten().map(unpin).collect();
            match &server.url {
                Some(url) => {
                    let config = mcp_url_config(tool, server, url);
                    Box::new(move |values| {
                        done(&name, mcp::offer_url(&name, &config, keys.shown_to_server(values)?, &reach, &pinned))
                    })
                }
                None => {
                    let config = mcp_config(tool, server);
                    Box::new(move |values| {
                        done(&name, mcp::offer(&name, &config, &keys.variables(values)?, &base, &pinned))
                    })
                }
            }
        }
        // An agent has no adapter, and the others work in boxes and workspaces.
        Kind::Agent(_) | Kind::Command(_) | Kind::Files(_) => Box::new(|_| Ok(Arc::default())),
    })
}

/// What a tool is given: its credential, and the variables of its server that are not handed on as they are.
struct Given {
    environment: Environment,
    auth: Option<Auth>,
    delegates: Arc<dyn Delegates>,
    variables: Vec<(String, SecretRef)>,
}

impl Given {
    fn of(manifest: &Manifest, tool: &Tool, store: &AgentStore) -> Self {
        // In a box they are placeholders.
        let variables = match tool.sandbox_in(manifest) {
            Some(sandbox) if sandbox.tier().is_none() => {
                tool.variables().filter_map(|v| Some((v.name.to_owned(), v.from?))).collect()
            }
            _ => Vec::new(),
        };
        let (environment, delegates) = (store.keys.environment.clone(), store.delegates.clone());
        Self { environment, auth: tool.auth.clone(), delegates, variables }
    }

    /// The secret that `auth` names.
    fn auth(&self, values: &Values) -> Result<Option<Secret>, AgentError> {
        let reference = self.auth.as_ref().and_then(Auth::reference);
        reference.map(|reference| keys::value(&self.environment, reference, values)).transpose()
    }

    /// What an HTTP service is shown.
    fn shown(&self, values: &Values) -> Result<Option<http::Auth>, AgentError> {
        if let Some(delegate) = self.delegate() {
            return Ok(Some(http::Auth::Delegate(delegate)));
        }
        let Some((secret, auth)) = self.auth(values)?.zip(self.auth.as_ref()) else { return Ok(None) };
        Ok(Some(match auth {
            Auth::Secret(_) | Auth::Delegate(_) => http::Auth::Secret(secret),
            Auth::OAuth2(client) => http::Auth::OAuth2(http::ClientCredentials {
                token_url: client.token_url.clone(),
                client_id: client.client_id.clone(),
                client_secret: secret,
                scopes: client.scopes.clone(),
                send: if client.send == "body" { http::SendAs::Body } else { http::SendAs::Header },
            }),
        }))
    }

    /// The delegated token that `auth` asks for.
    fn delegate(&self) -> Option<Delegate> {
        let Some(Auth::Delegate(DelegateTo { audience, scopes, resource })) = &self.auth else { return None };
        let wanted = Wanted { audience: audience.clone(), scopes: scopes.clone(), resource: resource.clone() };
        Some(Delegate { by: self.delegates.clone(), wanted })
    }

    /// What an MCP server behind a URL is shown.
    fn shown_to_server(&self, values: &Values) -> Result<Option<mcp::Shown>, AgentError> {
        match self.delegate() {
            Some(delegate) => Ok(Some(mcp::Shown::Delegate(delegate))),
            None => Ok(self.auth(values)?.map(mcp::Shown::Secret)),
        }
    }

    fn variables(&self, values: &Values) -> Result<Vec<(String, Secret)>, AgentError> {
        let value =
            |(name, from): &(String, SecretRef)| Ok((name.clone(), keys::value(&self.environment, from, values)?));
        self.variables.iter().map(value).collect()
    }
}

/// Puts the double of a tool in its place, if there is one.
fn replaced(bound: &mut BoundTool, stand_ins: &StandIns) -> bool {
    let Some(double) = stand_ins.tool(&bound.def.name) else { return false };
    bound.behind = Behind::Tool(double);
    bound.rules.child = None;
    true
}

fn join(manifest: &Manifest, name: &str, tool: &Tool, offered: Offered) -> Result<BoundTool, AgentError> {
    let rules = tool.rules(&offered.operation);
    let class = rules.class.unwrap_or(offered.default_class);
    let place = boxed::place(manifest, tool, &offered);
    let timeout = boxed::timeout(manifest, tool, rules.timeout);
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
        toolset: name.into(),
        class,
        risk: rules.risk,
        also: Arc::default(),
        key: rules.key.clone(),
        preview: None,
        timeout,
        max_output: tool.max_output,
        max_shown: tool.max_shown,
        check,
        behind: Behind::Tool(offered.tool),
        def: offered.def,
        rules: CallRules { place, ..call_rules(rules) },
    })
}

pub(super) fn call_rules(rules: Rules) -> CallRules {
    CallRules {
        ask: rules.ask,
        on_unknown: rules.on_unknown,
        attempts: rules.attempts,
        key_ttl: rules.key_ttl,
        settle: rules.settle,
        child: None,
        place: None,
        preview: None,
        grant: None,
    }
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
        env: tool.variables().filter(|v| v.from.is_none()).map(|v| v.name.to_owned()).collect(),
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
        protocol: Default::default(),
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

pub(super) fn told(tool: &str, e: ToolSetupError) -> AgentError {
    let detail = if e.detail.starts_with(tool) { e.detail } else { format!("{tool}: {}", e.detail) };
    AgentError { code: e.code, detail }
}

/// A tool as the bundle pins it: `name` is the server's own name of it.
fn pin(found: Discovered) -> Pinned {
    let Discovered { operation: name, description, schema, output, .. } = found;
    Pinned { name, description, schema, output }
}

/// The same, back; the digest is taken as the adapter takes it when it lists the server's tools again.
pub(super) fn unpin(def: &Pinned) -> Discovered {
    Discovered {
        operation: def.name.clone(),
        description: def.description.clone(),
        schema: def.schema.clone(),
        output: def.output.clone(),
        hints: Hints::default(),
        digest: schema::digest(&json!([def.name, def.description, def.schema])),
    }
}
