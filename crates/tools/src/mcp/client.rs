//! This side of the protocol: it offers nothing and refuses what it is asked.

#![expect(deprecated, reason = "roots are deprecated, and servers that still ask for them must be refused")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rmcp::{
    ClientHandler, ErrorData, RoleClient,
    model::{ErrorCode, Implementation, InitializeRequestParams, ListRootsResult, ProtocolVersion},
    service::{NotificationContext, RequestContext},
};

/// The client of one session. The library's own answers refuse sampling and decline elicitation.
pub(super) struct Client {
    /// Set when the server says that its tools changed.
    pub(super) changed: Arc<AtomicBool>,
}

impl ClientHandler for Client {
    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "roots are not offered", None))
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.store(true, Ordering::Release);
    }

    fn get_info(&self) -> InitializeRequestParams {
        let me = Implementation::new("stead", env!("CARGO_PKG_VERSION"));
        InitializeRequestParams::new(Default::default(), me)
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }
}
