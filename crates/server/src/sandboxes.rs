//! Session sandboxes, made of what a runtime has: its secrets, and the workshop of its agents.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use stead_core::{code::Code, id::Name};
use stead_egress::{RuleSpec, Rules};
use stead_ports::{agent::AgentError, sandbox::Limits};
use stead_sandboxes::{Bounds, Opening, Parts, Sandboxes, Template, Unready};

use crate::{clock::SystemClock, config, runtime::Runtime};

/// Session sandboxes.
#[derive(Debug)]
pub(crate) struct Held {
    /// The sandboxes.
    pub(crate) all: Sandboxes,
}

impl Held {
    /// Nothing is started before the first sandbox is asked for.
    pub(crate) fn new(runtime: &Runtime, config: &config::Sandboxes) -> Self {
        let made = |template: &config::Template| {
            let mut made = of_config(template, runtime.is_open());
            made.requires.extend(&runtime.shop().config().requires);
            made
        };
        let named = |(name, template): (&String, &config::Template)| (Name::from(name.as_str()), made(template));
        let mut templates: BTreeMap<Name, Template> = config.templates.iter().map(named).collect();
        templates.entry("default".into()).or_insert_with(|| made(&config::Template::default()));
        let parts = Parts {
            workshop: workshop(runtime),
            secrets: Arc::clone(runtime.secrets()),
            clock: Arc::new(SystemClock),
            templates,
            bounds: Bounds { most_of_tenant: config.most_of_tenant },
        };
        Self { all: Sandboxes::new(parts) }
    }

    /// Ends all of them, and waits until nothing is left but what makes boxes, which ends with the runtime.
    pub(crate) async fn close(&self) {
        self.all.close().await;
    }
}

/// The workshop of the server's agents: session sandboxes are boxes of it.
fn workshop(runtime: &Runtime) -> Opening {
    let shop = runtime.shop().clone();
    Arc::new(move || {
        let shop = shop.clone();
        Box::pin(async move {
            let made = shop.workshop().await.cloned();
            made.map_err(|AgentError { code, detail }| Unready { code, detail })
        })
    })
}

/// Rules as they are written.
///
/// # Errors
/// What is wrong with the first that is, with its code.
pub(crate) fn rules(written: &[Value]) -> Result<Vec<RuleSpec>, Wrong> {
    let read = |value: &Value| {
        serde_json::from_value(value.clone()).map_err(|e| Wrong(stead_core::code::EGRESS_RULE, e.to_string()))
    };
    let specs: Vec<RuleSpec> = written.iter().map(read).collect::<Result<_, _>>()?;
    Rules::new(&specs).map_err(|e| Wrong(e.code, e.to_string()))?;
    Ok(specs)
}

/// A rule that cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("{1}")]
pub(crate) struct Wrong(pub(crate) Code, pub(crate) String);

/// A rule as it is told: without what goes without saying.
pub(crate) fn written(rule: &RuleSpec) -> Value {
    let mut value = serde_json::to_value(rule).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(items) => !items.is_empty(),
            Value::String(text) => text != "auto",
            _ => true,
        });
    }
    value
}

fn of_config(told: &config::Template, open: bool) -> Template {
    let usual = Template::default().usual;
    let limits = |memory: config::units::Size, cpu, pids, disk: config::units::Size| Limits {
        memory: Some(memory.0 as u64),
        cpu_milli: Some(cpu),
        pids: Some(pids),
        disk: disk.0 as u64,
        file: disk.0 as u64,
        ..usual
    };
    Template {
        tier: told.tier,
        root: told.root.clone(),
        requires: told.requires.clone(),
        usual: limits(told.memory, told.cpu_milli, told.pids, told.disk),
        most: limits(told.max_memory, told.max_cpu_milli, told.max_pids, told.max_disk),
        ttl: told.ttl.0,
        most_ttl: told.max_ttl.0,
        env: told.env.clone(),
        // They were looked at when the configuration was read.
        egress: rules(&told.egress).unwrap_or_default(),
        any_egress: told.any_egress,
        any_secret: open,
    }
}
