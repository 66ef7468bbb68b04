//! MCP servers over stdio in boxes: one box for one run.

use std::{sync::Arc, time::Duration};

use stead_core::{
    code::Code,
    id::{Name, RunId},
    sandbox::{BoxLimits, BoxUse},
};
use stead_ports::BoxFuture;
use stead_tools::mcp::{Host, Life, Started, Whose};
use stead_workshop::{Server, Settings, Workshop};

use super::AgentFiles;

/// Starts the server of one tool.
pub(crate) struct BoxHost {
    workshop: Workshop,
    tool: Name,
    command: Vec<String>,
    settings: Settings,
    /// What it finds in `/opt/agent`, kept as long as it may be started.
    _files: Option<Arc<AgentFiles>>,
}

impl BoxHost {
    /// A server that is started with these words.
    pub(crate) fn new(
        workshop: Workshop,
        tool: &str,
        command: Vec<String>,
        settings: Settings,
        files: Option<Arc<AgentFiles>>,
    ) -> Self {
        Self { workshop, tool: tool.into(), command, settings, _files: files }
    }

    async fn served(&self, whose: Whose) -> Result<Started, (Code, String)> {
        let Whose { run, tenant, limits, connects, on_behalf: _ } = whose;
        let (tool, command) = (self.tool.clone(), self.command.clone());
        let served = self.workshop.serve(run, tenant, tool, command, &self.settings, (limits, &connects));
        let mut server = served.await.map_err(|fault| (fault.code(), format!("{}: {fault}", self.tool)))?;
        let pipes = server.pipes().ok_or_else(|| (stead_core::code::INTERNAL, "a server without pipes".to_owned()))?;
        Ok(Started { stdin: pipes.stdin, stdout: pipes.stdout, life: Arc::new(Living(server)) })
    }
}

impl Host for BoxHost {
    fn start(&self, whose: Whose) -> BoxFuture<'_, Result<Started, (Code, String)>> {
        Box::pin(self.served(whose))
    }

    fn limit(&self, run: RunId, limits: BoxLimits) -> BoxFuture<'_, ()> {
        Box::pin(self.workshop.limit(run, limits))
    }
}

/// A server that lives; dropped, all of it is killed.
struct Living(Server);

impl Life for Living {
    fn kill(&self) {
        self.0.kill();
    }

    fn ended(&self) -> BoxFuture<'_, String> {
        Box::pin(async move {
            let ended = self.0.ended().await;
            if ended.stderr.is_empty() { ended.why } else { format!("{}\n{}", ended.why, ended.stderr) }
        })
    }

    fn used(&self, wall: Duration) -> BoxFuture<'_, Option<BoxUse>> {
        Box::pin(async move { Some(self.0.used(wall).await) })
    }
}
