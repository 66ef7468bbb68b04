//! This side of the protocol: it offers nothing, refuses what it is asked, and lets questions through to whoever answers them.

#![expect(deprecated, reason = "roots are deprecated, and servers that still ask for them must be refused")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rmcp::{
    ClientHandler, ErrorData, RoleClient,
    model::{
        ClientCapabilities, ElicitRequestParams, ElicitResult, ElicitationCapability, ErrorCode,
        FormElicitationCapability, Implementation, InitializeRequestParams, ListRootsResult, ProtocolVersion,
    },
    service::{NotificationContext, RequestContext},
};

use super::asks::Asking;

/// The client of one session. The library's own answer refuses sampling.
pub(super) struct Client {
    /// Who answers questions.
    pub(super) asking: Asking,
    /// Set when the server says that its tools changed.
    pub(super) changed: Arc<AtomicBool>,
}

impl ClientHandler for Client {
    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "roots are not offered", None))
    }

    async fn create_elicitation(
        &self,
        asked: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(self.asking.ask(asked, None).await)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.store(true, Ordering::Release);
    }

    fn get_info(&self) -> InitializeRequestParams {
        let me = Implementation::new("stead", env!("CARGO_PKG_VERSION"));
        let mut capabilities = ClientCapabilities::default();
        if self.asking.is_open() {
            let form = ElicitationCapability::new().with_form(FormElicitationCapability::default());
            capabilities.elicitation = Some(form);
        }
        InitializeRequestParams::new(capabilities, me).with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }
}
