//! The operations of a service as tools: set up from their descriptions, called and reconciled.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use reqwest::Url;
use serde_json::{Map, Value, json};
use stead_core::{
    effect::{EffectClass, Outcome, Reconciled},
    fact::Precondition,
    message::ToolDef,
};
use stead_ports::{
    BoxFuture,
    delegate::Delegate,
    tool::{Invocation, Output, Tool},
};

use super::{
    api,
    credential::Credential,
    exchange::{Service, Signer},
    oauth::{ClientCredentials, Tokens},
    operation,
};
use crate::{
    config::{ApiConfig, HttpConfig, HttpMethod, HttpOperation, Placement},
    error::ToolSetupError,
    offer::{Offered, full_name, unique},
    reach::{self, Reach},
    secret::Secret,
    text,
};

/// What a service is shown.
#[derive(Clone, Debug)]
pub enum Auth {
    /// The credential itself.
    Secret(Secret),
    /// A bearer token that is fetched with this.
    OAuth2(ClientCredentials),
    /// A bearer token of the run that calls, which says on whose behalf it does.
    Delegate(Delegate),
}

/// The operations of an HTTP tool that its manifest describes.
///
/// `auth`, when given, is sent as `Authorization: Bearer …` to `base_url` and nowhere else (a client's secret to its token
/// endpoint), and is blotted out should an answer repeat it.
///
/// # Errors
/// A base URL that is not one, a template that does not compile or names an unknown argument, a `reconcile` that is not
/// an operation with GET or HEAD (`ST0103`); a base URL that leads to a guarded address (`ST0054`).
pub fn offer(
    tool: &str,
    config: &HttpConfig,
    auth: Option<Auth>,
    reach: &Reach,
) -> Result<Vec<Offered>, ToolSetupError> {
    let mut services = Services::new(tool, auth, config.timeout, reach)?;
    let described = config.operations.iter().map(|(name, op)| {
        let service = services.at(&config.base_url, Some(&Placement::Bearer))?;
        let plan = operation::Operation::compile(op).map(Plan::Template);
        let plan = plan.map_err(|why| services.fail(format!("operation `{name}`: {why}")))?;
        let (description, schema) = def(tool, name, op);
        Ok(Described {
            name,
            description,
            schema,
            call: Arc::new(Call { service, plan }),
            reconcile: op.reconcile.as_deref(),
        })
    });
    bind(tool, described.collect::<Result<_, ToolSetupError>>()?)
}

/// The operations of an HTTP tool that an API description describes.
///
/// `auth` is sent with each operation that says where its credential goes, and nowhere else.
///
/// # Errors
/// As [`offer`].
pub fn offer_api(
    tool: &str,
    config: &ApiConfig,
    auth: Option<Auth>,
    reach: &Reach,
) -> Result<Vec<Offered>, ToolSetupError> {
    let mut services = Services::new(tool, auth, config.timeout, reach)?;
    let described = config.operations.iter().map(|(name, op)| {
        let service = services.at(&op.base_url, op.credential.as_ref())?;
        let plan = api::Operation::compile(op).map(Plan::Api);
        let plan = plan.map_err(|why| services.fail(format!("operation `{name}`: {why}")))?;
        let description = described_as(tool, name, &op.description);
        let call = Arc::new(Call { service, plan });
        Ok(Described { name, description, schema: op.schema.clone(), call, reconcile: op.reconcile.as_deref() })
    });
    bind(tool, described.collect::<Result<_, ToolSetupError>>()?)
}

/// An operation on its way to the wiring.
struct Described<'c> {
    name: &'c str,
    description: String,
    schema: Value,
    call: Arc<Call>,
    reconcile: Option<&'c str>,
}

fn bind(tool: &str, described: Vec<Described<'_>>) -> Result<Vec<Offered>, ToolSetupError> {
    let fail = |why: String| ToolSetupError::value(format!("{tool}: {why}"));
    if described.is_empty() {
        return Err(fail("`operations` names none".into()));
    }
    let calls: BTreeMap<&str, Arc<Call>> = described.iter().map(|d| (d.name, Arc::clone(&d.call))).collect();
    let mut taken = HashSet::new();
    let offered = described.into_iter().map(|d| {
        let reconcile = d.reconcile.map(|by| reconciler(&calls, by)).transpose();
        let reconcile = reconcile.map_err(|why| fail(format!("operation `{}`: {why}", d.name)))?;
        let safe = d.call.plan.method().is_safe();
        Ok(Offered {
            operation: d.name.to_owned(),
            def: ToolDef {
                name: unique(full_name(tool, d.name), &mut taken),
                description: d.description,
                schema: d.schema,
            },
            reconciles: reconcile.is_some(),
            tool: Arc::new(HttpTool { call: d.call, reconcile }),
            default_class: if safe { EffectClass::Pure } else { EffectClass::Irreversible },
        })
    });
    offered.collect()
}

/// The services of a tool: one for each place and way to sign.
struct Services<'c> {
    tool: &'c str,
    auth: Option<Held>,
    timeout: Duration,
    reach: &'c Reach,
    made: BTreeMap<(String, Option<Placement>), Arc<Service>>,
}

/// What signs, ready for every service of the tool.
enum Held {
    Secret(Secret),
    Tokens(Arc<Tokens>),
    Delegate(Delegate),
}

impl<'c> Services<'c> {
    fn new(tool: &'c str, auth: Option<Auth>, timeout: Duration, reach: &'c Reach) -> Result<Self, ToolSetupError> {
        let auth = match auth {
            None => None,
            Some(Auth::Secret(secret)) => Some(Held::Secret(secret)),
            Some(Auth::Delegate(delegate)) => Some(Held::Delegate(delegate)),
            Some(Auth::OAuth2(client)) => Some(Held::Tokens(Arc::new(Tokens::new(&client, reach)?))),
        };
        Ok(Self { tool, auth, timeout, reach, made: BTreeMap::new() })
    }

    fn at(&mut self, base_url: &str, placement: Option<&Placement>) -> Result<Arc<Service>, ToolSetupError> {
        let key = (base_url.to_owned(), placement.cloned());
        if let Some(made) = self.made.get(&key) {
            return Ok(Arc::clone(made));
        }
        let base = parsed(base_url).map_err(|why| self.fail(why))?;
        reach::check_url(self.reach, &base)?;
        let signer = match self.auth.as_ref().zip(placement) {
            None => Ok(Signer::Nobody),
            Some((Held::Secret(secret), place)) => Credential::new(place, secret).map(Signer::Credential),
            Some((Held::Tokens(tokens), Placement::Bearer)) => Ok(Signer::Tokens(Arc::clone(tokens))),
            Some((Held::Delegate(delegate), Placement::Bearer)) => {
                if base.scheme() != "https" && !reach::is_loopback(&base) {
                    let why = "leads off this machine, so it must be `https://`: a token is sent there";
                    return Err(self.fail(format!("`{}` {why}", text::ellipsis(base_url, 200))));
                }
                Ok(Signer::Delegate(delegate.clone()))
            }
            Some((Held::Delegate(_), _)) => {
                Err("`auth.delegate` gives a bearer token, and the service wants another kind of credential".to_owned())
            }
            Some((Held::Tokens(_), _)) => {
                Err("`auth.oauth2` gives a bearer token, and the service wants another kind of credential".to_owned())
            }
        };
        let signer = signer.map_err(|why| self.fail(why))?;
        let service = Service::new(base, signer, self.timeout, self.reach).map_err(|why| self.fail(why))?;
        Ok(Arc::clone(self.made.entry(key).or_insert(Arc::new(service))))
    }

    fn fail(&self, why: String) -> ToolSetupError {
        ToolSetupError::value(format!("{}: {why}", self.tool))
    }
}

fn parsed(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("`base_url` is not a URL: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("`base_url` must begin with `https://` or `http://` and name a host".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`base_url` must not hold credentials; use `auth`".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("`base_url` must have no `?` and no `#`".into());
    }
    Ok(url)
}

fn reconciler(calls: &BTreeMap<&str, Arc<Call>>, by: &str) -> Result<Arc<Call>, String> {
    let found = calls.get(by).ok_or_else(|| format!("`reconcile` names `{by}`, which is not an operation"))?;
    if found.plan.method().is_safe() {
        Ok(Arc::clone(found))
    } else {
        Err(format!("`reconcile` names `{by}`, which is not a GET or HEAD"))
    }
}

/// Description and argument schema of an inline operation.
fn def(tool: &str, name: &str, op: &HttpOperation) -> (String, Value) {
    let required: Vec<_> = op.params.keys().filter(|n| !op.optional.contains(n)).collect();
    let properties: Map<_, _> = op.params.clone().into_iter().collect();
    let schema =
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    (described_as(tool, name, &op.description), schema)
}

fn described_as(tool: &str, name: &str, description: &str) -> String {
    if description.is_empty() { format!("The operation `{name}` of {tool}.") } else { description.to_owned() }
}

/// How arguments become a request.
enum Plan {
    Template(operation::Operation),
    Api(api::Operation),
}

impl Plan {
    fn method(&self) -> HttpMethod {
        match self {
            Self::Template(operation) => operation.method,
            Self::Api(operation) => operation.method,
        }
    }
}

/// An operation at its service.
struct Call {
    service: Arc<Service>,
    plan: Plan,
}

impl Call {
    fn request(&self, invocation: &Invocation) -> Result<reqwest::Request, String> {
        let arguments: Value =
            serde_json::from_str(invocation.arguments.get()).map_err(|e| format!("the arguments are not JSON: {e}"))?;
        match &self.plan {
            Plan::Template(operation) => operation.request(&self.service, &arguments, &invocation.key),
            Plan::Api(operation) => operation.request(&self.service, &arguments, &invocation.key),
        }
    }
}

/// One operation.
struct HttpTool {
    call: Arc<Call>,
    reconcile: Option<Arc<Call>>,
}

impl Tool for HttpTool {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn holds(&self, precondition: &Precondition) -> bool {
        matches!(precondition, Precondition::Etag(_)) && !self.call.plan.method().is_safe()
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        Box::pin(async move {
            match self.call.request(&invocation) {
                Ok(request) => {
                    let name = format!("e{}", invocation.effect.n);
                    self.call.service.call(request, &invocation, &name).await
                }
                Err(why) => Outcome::Refused(Output::error(why)),
            }
        })
    }

    fn reconcile(&self, invocation: Invocation) -> BoxFuture<'_, Reconciled<Output>> {
        Box::pin(async move {
            let Some(by) = &self.reconcile else { return Reconciled::StillUnknown };
            match by.request(&invocation) {
                Ok(request) => by.service.ask(request, &invocation).await,
                Err(why) => {
                    tracing::warn!(tool = %invocation.tool, effect = %invocation.effect, why, "reconcile cannot be asked");
                    Reconciled::StillUnknown
                }
            }
        })
    }
}
