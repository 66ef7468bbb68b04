//! Operations on versions, and those that tell why and how much.

use futures_util::{Stream, TryStreamExt as _};
use serde::Serialize;
use stead_api::{
    artifact::Artifacts,
    budget::{Budgets, SetBudget},
    context::Context,
    identity::{AskToken, RunToken},
    login::Login,
    run::Run,
    switch::{CancelAll, Switch, Switches, TurnSwitch},
    usage::{UsageBy, UsageReport},
    version::{Alias, ConfirmAlias, Rollback, SetAlias, VersionDiff},
    why::Why,
    workspace::WorkspaceFolder,
};
use stead_core::id::RunId;

use crate::{
    client::{Client, MAX_ANSWER, read},
    error::ClientError,
};

/// Where a page of what was turned begins.
#[derive(Serialize)]
struct BeforeField {
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<u64>,
}

/// Which usage to sum.
#[derive(Clone, Debug, Default)]
pub struct UsageQuery {
    /// Grouped by these; empty means the total.
    pub by: Vec<UsageBy>,
    /// From then on: microseconds since 1970, or how long ago (`30d`).
    pub since: Option<String>,
    /// To then, in the same forms.
    pub until: Option<String>,
}

#[derive(Serialize)]
struct UsageFields<'a> {
    by: Option<String>,
    since: Option<&'a str>,
    until: Option<&'a str>,
}

#[derive(Serialize)]
struct DiffFields<'a> {
    from: Option<&'a str>,
    to: Option<&'a str>,
}

#[derive(Serialize)]
struct PathField<'a> {
    path: &'a str,
}

#[derive(Serialize)]
struct StepField<'a> {
    step: Option<&'a str>,
}

#[derive(Serialize)]
struct Unfinished {
    unfinished: bool,
}

impl Client {
    /// The files of a run.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn artifacts(&self, run: RunId) -> Result<Artifacts, ClientError> {
        self.call(self.get(&["v1", "runs", &run.to_string(), "artifacts"], &[(); 0])?).await
    }

    /// The bytes of a file of a run, by its name in the list.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn artifact(&self, run: RunId, name: &str) -> Result<bytes::Bytes, ClientError> {
        let response = self.send(self.get(&["v1", "runs", &run.to_string(), "artifacts", name], &[(); 0])?).await?;
        read(response, MAX_ANSWER).await
    }

    /// A folder of a run's workspace; the top when the path is empty.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn workspace(&self, run: RunId, path: &str) -> Result<WorkspaceFolder, ClientError> {
        self.call(self.get(&["v1", "runs", &run.to_string(), "workspace"], &PathField { path })?).await
    }

    /// The bytes of a file of a run's workspace.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn workspace_file(&self, run: RunId, path: &str) -> Result<bytes::Bytes, ClientError> {
        let request = self.get(&["v1", "runs", &run.to_string(), "workspace", "file"], &PathField { path })?;
        read(self.send(request).await?, MAX_ANSWER).await
    }

    /// A run's workspace as a tar archive, as it comes. An error in the middle means that it is not whole.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn workspace_archive(
        &self,
        run: RunId,
    ) -> Result<impl Stream<Item = Result<bytes::Bytes, ClientError>> + Send + 'static + use<>, ClientError> {
        let request = self.get(&["v1", "runs", &run.to_string(), "workspace", "archive"], &[(); 0])?;
        Ok(self.send(request).await?.bytes_stream().map_err(ClientError::from))
    }

    /// Moves an alias to a version, the beginning of one, or what another alias names; without one it is removed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_alias(&self, agent: &str, alias: &str, version: Option<String>) -> Result<Alias, ClientError> {
        self.call(self.post(&["v1", "agents", agent, "aliases", alias], &SetAlias { version })?).await
    }

    /// Confirms what somebody else proposed an alias to name; `None` that it is removed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn confirm_alias(&self, agent: &str, alias: &str, version: Option<String>) -> Result<Alias, ClientError> {
        let request = self.post(&["v1", "agents", agent, "aliases", alias, "confirm"], &ConfirmAlias { version })?;
        self.call(request).await
    }

    /// Takes `live` back to what was live before, or to the version that is named.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rollback(&self, agent: &str, to: Option<String>) -> Result<Alias, ClientError> {
        self.call(self.post(&["v1", "agents", agent, "rollback"], &Rollback { to })?).await
    }

    /// What two versions differ in; without names, what was live before and what is live.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn diff(&self, agent: &str, from: Option<&str>, to: Option<&str>) -> Result<VersionDiff, ClientError> {
        self.call(self.get(&["v1", "agents", agent, "diff"], &DiffFields { from, to })?).await
    }

    /// Why a run stands where it stands, and what led to a step.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn why(&self, run: RunId, step: Option<&str>) -> Result<Why, ClientError> {
        self.call(self.get(&["v1", "runs", &run.to_string(), "why"], &StepField { step })?).await
    }

    /// What the model saw in a step of a run.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn context(&self, run: RunId, step: &str) -> Result<Context, ClientError> {
        self.call(self.get(&["v1", "runs", &run.to_string(), "context"], &StepField { step: Some(step) })?).await
    }

    /// The spans of a run and of those below it, as a request of OTLP in its JSON encoding.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn trace(&self, run: RunId, unfinished: bool) -> Result<serde_json::Value, ClientError> {
        self.call(self.get(&["v1", "runs", &run.to_string(), "trace"], &Unfinished { unfinished })?).await
    }

    /// Budgets of the tenant and of its agents.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn budgets(&self) -> Result<Budgets, ClientError> {
        self.call(self.get(&["v1", "budgets"], &[(); 0])?).await
    }

    /// Sets a budget, or removes it when it is given no limit; answers with all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_budget(&self, set: &SetBudget) -> Result<Budgets, ClientError> {
        self.call(self.post(&["v1", "budgets"], set)?).await
    }

    /// Makes a token of a run for an audience.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn run_token(&self, run: RunId, ask: &AskToken) -> Result<RunToken, ClientError> {
        self.call(self.post(&["v1", "runs", &run.to_string(), "token"], ask)?).await
    }

    /// Lets a run go on on the caller's behalf.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn renew_run(&self, run: RunId) -> Result<Run, ClientError> {
        self.call(self.post(&["v1", "runs", &run.to_string(), "renew"], &())?).await
    }

    /// How people log in; any token will do, also none.
    ///
    /// # Errors
    /// [`ClientError`]; `ST0202` when the server knows no identity provider.
    pub async fn login(&self) -> Result<Login, ClientError> {
        self.call(self.get(&["v1", "login"], &[(); 0])?).await
    }

    /// What operators have turned off, and what was turned before a number.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn switches(&self, before: Option<u64>) -> Result<Switches, ClientError> {
        self.call(self.get(&["v1", "switches"], &BeforeField { before })?).await
    }

    /// Turns something off, or on again; answered once that is in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn turn_switch(&self, turn: &TurnSwitch) -> Result<Switch, ClientError> {
        self.call(self.post(&["v1", "switches"], turn)?).await
    }

    /// Stops all runs that there are; answered once none of them can begin anything.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cancel_all(&self, stop: &CancelAll) -> Result<Switch, ClientError> {
        self.call(self.post(&["v1", "runs", "cancel"], stop)?).await
    }

    /// What runs have used.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn usage(&self, query: &UsageQuery) -> Result<UsageReport, ClientError> {
        let by: Vec<&str> = query.by.iter().map(|by| by.as_str()).collect();
        let fields = UsageFields {
            by: (!by.is_empty()).then(|| by.join(",")),
            since: query.since.as_deref(),
            until: query.until.as_deref(),
        };
        self.call(self.get(&["v1", "usage"], &fields)?).await
    }
}
