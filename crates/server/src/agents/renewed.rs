//! What is made from secrets, and made anew when one of them has changed: at the next call, without a restart, and only for
//! what named that secret.
//!
//! A call that is under way goes on with what it began with. A secret that is gone, or cannot be read, refuses the call:
//! its last value is not used.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use stead_core::{
    code,
    effect::{Outcome, Reconciled},
    fact::Precondition,
    id::{Name, RunId},
    message::Reply,
    sandbox::BoxLimits,
    time::Span,
};
use stead_models::registry::Resolved;
use stead_ports::{
    BoxFuture,
    agent::AgentError,
    model::{DeltaSink, Model, ModelCall, ModelError, Retry},
    secret::{Secret, Secrets},
    tool::{Invocation, Output, Tool},
};
use stead_tools::offer::Offered;

/// Values of secrets, by name; those that are not set are left out.
pub(crate) type Values = BTreeMap<String, Secret>;

/// Makes something from the values of secrets.
pub(super) type Make<T> = Box<dyn Fn(&Values) -> Result<T, AgentError> + Send + Sync>;

/// The values of secrets as they are now.
pub(crate) async fn values(secrets: &dyn Secrets, names: &[String]) -> Result<Values, AgentError> {
    let mut out = Values::new();
    for name in names {
        let found = secrets.get(name).await.map_err(|e| AgentError { code: e.code, detail: e.detail })?;
        out.extend(found.map(|value| (name.clone(), value)));
    }
    Ok(out)
}

/// See the module.
pub(super) struct Renewed<T> {
    names: Vec<String>,
    secrets: Arc<dyn Secrets>,
    make: Make<T>,
    current: Mutex<(Values, T)>,
}

impl<T: Clone> Renewed<T> {
    /// Makes it for the first time, from the secrets of these names.
    pub(super) async fn begin(
        secrets: Arc<dyn Secrets>,
        names: Vec<String>,
        make: Make<T>,
    ) -> Result<(Self, T), AgentError> {
        let values = values(&*secrets, &names).await?;
        let made = make(&values)?;
        Ok((Self { names, secrets, make, current: Mutex::new((values, made.clone())) }, made))
    }

    /// What is made from the secrets as they are now.
    async fn now(&self) -> Result<T, AgentError> {
        let values = values(&*self.secrets, &self.names).await?;
        let mut current = self.current.lock();
        if current.0 != values {
            let made = (self.make)(&values)?;
            *current = (values, made);
        }
        Ok(current.1.clone())
    }

    /// What was made last.
    fn last(&self) -> T {
        self.current.lock().1.clone()
    }
}

/// A model whose key is a secret.
pub(super) struct RenewedModel {
    name: Name,
    model: Renewed<Resolved>,
}

impl RenewedModel {
    /// The model that `first` is, with all that may follow it.
    pub(super) fn wrap(model: Renewed<Resolved>, first: &Resolved) -> Resolved {
        let name = first.model.name().clone();
        Resolved { model: Arc::new(Self { name, model }), price: first.price }
    }
}

impl Model for RenewedModel {
    fn name(&self) -> &Name {
        &self.name
    }

    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        Box::pin(async move {
            let current = self.model.now().await.map_err(|e| ModelError {
                code: e.code,
                detail: e.detail,
                retry: Retry::No,
                charged: false,
            })?;
            current.model.call(call, deltas).await
        })
    }
}

/// One of the operations of a tool that has a secret.
struct RenewedTool {
    offered: Arc<Renewed<Arc<[Offered]>>>,
    index: usize,
}

/// The operations that `first` has, each with all that may follow it.
pub(super) fn tools(offered: Renewed<Arc<[Offered]>>, first: &[Offered]) -> Vec<Offered> {
    let offered = Arc::new(offered);
    let wrap = |(index, first): (usize, &Offered)| Offered {
        tool: Arc::new(RenewedTool { offered: Arc::clone(&offered), index }),
        ..first.clone()
    };
    first.iter().enumerate().map(wrap).collect()
}

impl RenewedTool {
    /// What there is now: what was made before it is gone, with all that it had opened.
    fn last(&self) -> Option<Arc<dyn Tool>> {
        self.offered.last().get(self.index).map(|o| Arc::clone(&o.tool))
    }

    async fn now(&self) -> Result<Arc<dyn Tool>, String> {
        let offered = self.offered.now().await.map_err(|e| e.to_string())?;
        let this = offered.get(self.index).ok_or_else(|| format!("{}: the operation is gone", code::TOOL_CHANGED))?;
        Ok(Arc::clone(&this.tool))
    }
}

impl Tool for RenewedTool {
    fn kind(&self) -> &'static str {
        self.offered.last().get(self.index).map_or("other", |o| o.tool.kind())
    }

    fn holds(&self, precondition: &Precondition) -> bool {
        self.last().is_some_and(|tool| tool.holds(precondition))
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        Box::pin(async move {
            match self.now().await {
                Ok(tool) => tool.call(invocation).await,
                Err(why) => Outcome::Refused(Output::error(why)),
            }
        })
    }

    fn reconcile(&self, invocation: Invocation) -> BoxFuture<'_, Reconciled<Output>> {
        Box::pin(async move {
            match self.now().await {
                Ok(tool) => tool.reconcile(invocation).await,
                Err(why) => {
                    tracing::warn!(tool = %invocation.tool, effect = %invocation.effect, why, "reconcile cannot be asked");
                    Reconciled::StillUnknown
                }
            }
        })
    }

    fn around(&self) -> Span {
        self.last().map_or(Span::from_secs(60), |tool| tool.around())
    }

    fn limit(&self, run: RunId, limits: BoxLimits) -> BoxFuture<'_, ()> {
        let tool = self.last();
        Box::pin(async move {
            if let Some(tool) = tool {
                tool.limit(run, limits).await;
            }
        })
    }

    fn release(&self, run: RunId) -> BoxFuture<'_, ()> {
        let tool = self.last();
        Box::pin(async move {
            if let Some(tool) = tool {
                tool.release(run).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use stead_ports::secret::SecretError;

    use super::*;

    /// Secrets in memory; `None` cannot be read.
    #[derive(Default)]
    struct Kept(Mutex<Option<Values>>);

    impl Kept {
        fn set(&self, value: Option<&str>) {
            *self.0.lock() = Some(value.map(|v| ("k".to_owned(), Secret::new(v))).into_iter().collect());
        }
    }

    impl Secrets for Kept {
        fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SecretError>> {
            let kept = self.0.lock().as_ref().map(|values| values.get(name).cloned());
            Box::pin(std::future::ready(kept.ok_or_else(|| SecretError::new(code::SECRETS_DAMAGED, "damaged"))))
        }
    }

    #[tokio::test]
    async fn it_is_made_anew_when_a_secret_changes_and_only_then() {
        let (kept, made) = (Arc::new(Kept::default()), Arc::new(AtomicUsize::new(0)));
        kept.set(Some("one"));
        let count = made.clone();
        let make: Make<String> = Box::new(move |values| {
            count.fetch_add(1, SeqCst);
            let missing = || AgentError { code: code::SECRET_MISSING, detail: "no k".into() };
            values.get("k").map(|v| v.expose().to_owned()).ok_or_else(missing)
        });
        let (renewed, first) = Renewed::begin(kept.clone(), vec!["k".into()], make).await.unwrap();
        assert_eq!((first.as_str(), renewed.now().await.unwrap().as_str(), made.load(SeqCst)), ("one", "one", 1));
        kept.set(Some("two"));
        assert_eq!((renewed.now().await.unwrap().as_str(), renewed.last().as_str()), ("two", "two"));
        assert_eq!((renewed.now().await.unwrap().as_str(), made.load(SeqCst)), ("two", 2));
        kept.set(None);
        assert_eq!(renewed.now().await.unwrap_err().code, code::SECRET_MISSING);
        *kept.0.lock() = None;
        assert_eq!(renewed.now().await.unwrap_err().code, code::SECRETS_DAMAGED);
        kept.set(Some("three"));
        assert_eq!(renewed.now().await.unwrap(), "three");
    }
}
