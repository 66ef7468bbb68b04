//! The HTTP tool: operations of a service, described by inline templates.
//!
//! Every exchange is a new connection that follows no redirect, uses no proxy, keeps no cookie and is never repeated by
//! itself, so that what is reported about it is true: see [`exchange`].

use std::{collections::BTreeMap, sync::Arc};

use reqwest::Url;
use serde_json::{Map, Value, json};
use stead_core::{
    effect::{EffectClass, Outcome, Reconciled},
    message::ToolDef,
};
use stead_ports::{
    BoxFuture,
    tool::{Invocation, Output, Tool},
};

use crate::{
    config::{HttpConfig, HttpOperation},
    error::ToolSetupError,
    offer::{Offered, full_name},
    secret::Secret,
};

mod exchange;
mod operation;
mod template;

use exchange::Service;
use operation::Operation;

/// The operations of an HTTP tool.
///
/// `auth`, when given, is sent as `Authorization: Bearer …` to `base_url` and nowhere else, and is blotted out should an
/// answer repeat it.
///
/// # Errors
/// A base URL that is not one, a template that does not compile or names an unknown argument, a `reconcile` that is not
/// an operation with GET or HEAD.
pub fn offer(tool: &str, config: &HttpConfig, auth: Option<Secret>) -> Result<Vec<Offered>, ToolSetupError> {
    let fail = |why: String| ToolSetupError::value(format!("{tool}: {why}"));
    if config.operations.is_empty() {
        return Err(fail("`operations` names none".into()));
    }
    let base = base_url(&config.base_url).map_err(fail)?;
    let service = Arc::new(Service::new(base, auth, config.timeout).map_err(fail)?);
    let operations: BTreeMap<&str, Arc<Operation>> = config
        .operations
        .iter()
        .map(|(name, op)| {
            let compiled = Operation::compile(op).map_err(|why| fail(format!("operation `{name}`: {why}")))?;
            Ok((name.as_str(), Arc::new(compiled)))
        })
        .collect::<Result<_, ToolSetupError>>()?;
    config
        .operations
        .iter()
        .map(|(name, op)| {
            let reconcile = match op.reconcile.as_deref() {
                None => None,
                Some(by) => {
                    Some(reconciler(&operations, by).map_err(|why| fail(format!("operation `{name}`: {why}")))?)
                }
            };
            let reconciles = reconcile.is_some();
            let operation = Arc::clone(&operations[name.as_str()]);
            let adapter = Arc::new(HttpTool { service: Arc::clone(&service), operation, reconcile });
            Ok(Offered {
                operation: name.clone(),
                def: def(tool, name, op),
                tool: adapter,
                default_class: if op.method.is_safe() { EffectClass::Pure } else { EffectClass::Irreversible },
                reconciles,
            })
        })
        .collect()
}

fn base_url(text: &str) -> Result<Url, String> {
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

fn reconciler(operations: &BTreeMap<&str, Arc<Operation>>, by: &str) -> Result<Arc<Operation>, String> {
    let found = operations.get(by).ok_or_else(|| format!("`reconcile` names `{by}`, which is not an operation"))?;
    if found.method.is_safe() {
        Ok(Arc::clone(found))
    } else {
        Err(format!("`reconcile` names `{by}`, which is not a GET or HEAD"))
    }
}

fn def(tool: &str, name: &str, op: &HttpOperation) -> ToolDef {
    let required: Vec<_> = op.params.keys().filter(|n| !op.optional.contains(n)).collect();
    let properties: Map<_, _> = op.params.clone().into_iter().collect();
    let description =
        if op.description.is_empty() { format!("The operation `{name}` of {tool}.") } else { op.description.clone() };
    let schema =
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    ToolDef { name: full_name(tool, name), description, schema }
}

/// One operation.
struct HttpTool {
    service: Arc<Service>,
    operation: Arc<Operation>,
    reconcile: Option<Arc<Operation>>,
}

impl HttpTool {
    fn request(&self, operation: &Operation, invocation: &Invocation) -> Result<reqwest::Request, String> {
        let arguments: Value =
            serde_json::from_str(invocation.arguments.get()).map_err(|e| format!("the arguments are not JSON: {e}"))?;
        operation.request(&self.service, &arguments, &invocation.key)
    }
}

impl Tool for HttpTool {
    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        Box::pin(async move {
            match self.request(&self.operation, &invocation) {
                Ok(request) => self.service.call(request, invocation.max_output).await,
                Err(why) => Outcome::Refused(Output::error(why)),
            }
        })
    }

    fn reconcile(&self, invocation: Invocation) -> BoxFuture<'_, Reconciled<Output>> {
        Box::pin(async move {
            let Some(operation) = &self.reconcile else { return Reconciled::StillUnknown };
            match self.request(operation, &invocation) {
                Ok(request) => self.service.ask(request, invocation.max_output).await,
                Err(why) => {
                    tracing::warn!(tool = %invocation.tool, effect = %invocation.effect, why, "reconcile cannot be asked");
                    Reconciled::StillUnknown
                }
            }
        })
    }
}
