//! One operation on the tree that an effect starts at.

use serde::Deserialize;
use serde_json::json;
use stead_core::{
    effect::Outcome,
    id::{Name, TreeId},
    sandbox::Action,
};
use stead_ports::{
    BoxFuture,
    journal::StoreError,
    tool::{Invocation, Output, Tool},
};
use stead_workspace::{Made, WorkspaceError, Workspaces};

use super::{Operation, change, look, search};
use crate::{kept, report};

/// An operation.
pub(crate) struct FilesTool {
    pub(super) work: Workspaces,
    pub(super) op: Operation,
}

/// A tree, and whose it is.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) work: &'a Workspaces,
    pub(super) tenant: &'a Name,
    pub(super) tree: TreeId,
}

/// What a model gave. Each operation takes its part; the schema has said which.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Arguments {
    pub(super) path: String,
    pub(super) to: String,
    pub(super) recursive: bool,
    pub(super) offset: Option<u64>,
    pub(super) limit: Option<u64>,
    pub(super) pattern: String,
    pub(super) regex: bool,
    pub(super) content: String,
    pub(super) old: String,
    pub(super) new: String,
}

/// Why an operation did nothing.
#[derive(Debug)]
pub(super) enum Cannot {
    /// Told to the model, who may mend its call.
    Do(String),
    /// The store or the disk.
    Now(WorkspaceError),
}

impl From<WorkspaceError> for Cannot {
    fn from(error: WorkspaceError) -> Self {
        match error {
            WorkspaceError::Store(StoreError { .. }) | WorkspaceError::Disk { .. } => Self::Now(error),
            error => Self::Do(format!("{}: {error}", error.code())),
        }
    }
}

/// What an operation gave.
pub(super) enum Done {
    /// Something to read.
    Told(String),
    /// Another tree.
    Made(Made),
}

impl Tool for FilesTool {
    fn kind(&self) -> &'static str {
        "files"
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        Box::pin(async move {
            match self.perform(&invocation).await {
                Ok(output) => Outcome::Returned(output),
                Err(Cannot::Do(why)) => Outcome::Refused(Output::error(why)),
                Err(Cannot::Now(error)) => Outcome::NotSent(Output::error(format!("{}: {error}", error.code()))),
            }
        })
    }
}

impl FilesTool {
    async fn perform(&self, invocation: &Invocation) -> Result<Output, Cannot> {
        let arguments: Arguments = serde_json::from_str(invocation.arguments.get())
            .map_err(|e| Cannot::Do(format!("the arguments cannot be used: {e}")))?;
        let tenant = &invocation.tenant;
        let tree = match invocation.workspace {
            Some(tree) => tree,
            None => self.work.empty(tenant).await?.tree,
        };
        let at = At { work: &self.work, tenant, tree };
        let done = match self.op {
            Operation::List => look::list(at, &arguments, invocation.max_output).await?,
            Operation::Read => look::read(at, &arguments, invocation.max_output).await?,
            Operation::Search => search::search(at, &arguments, invocation.max_output).await?,
            Operation::Write => change::write(at, arguments).await?,
            Operation::Edit => change::edit(at, &arguments).await?,
            Operation::Move => change::move_(at, &arguments).await?,
            Operation::Remove => change::remove(at, &arguments).await?,
        };
        match done {
            Done::Told(content) => Ok(Output::ok(content)),
            Done::Made(made) if made.tree == tree => Ok(Output::ok(json!({"changed": []}).to_string())),
            Done::Made(made) => {
                let diff = self.work.diff(tenant, tree, made.tree).await?;
                let workspace = Some(kept::change(invocation.workspace, made, &diff));
                let content = json!({"changed": report::paths(&diff)}).to_string();
                Ok(Output { action: Some(Box::new(Action { workspace, sandbox: None })), ..Output::ok(content) })
            }
        }
    }
}
