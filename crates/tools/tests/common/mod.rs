//! What the tests of this crate share.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};
use stead_core::{
    effect::Outcome,
    id::{EffectId, RunId, SessionId},
    sandbox::BoxLimits,
};
use stead_ports::tool::{Invocation, MaySend, Output};
use stead_tools::offer::Offered;

/// A configuration from its JSON form.
pub(crate) fn config<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Arguments as a model would write them.
pub(crate) fn arguments(value: Value) -> Arc<RawValue> {
    RawValue::from_string(value.to_string()).unwrap().into()
}

/// An invocation of run 1.
pub(crate) fn invocation(offered: &Offered, arguments: Arc<RawValue>, max_output: usize) -> Invocation {
    let effect = EffectId { run: RunId(1), n: 7 };
    Invocation {
        precondition: None,
        effect,
        session: SessionId(1),
        tenant: "default".into(),
        key: effect.to_string().into(),
        tool: offered.def.name.as_str().into(),
        arguments,
        max_output,
        may_send: MaySend::default(),
        connects: stead_ports::connect::Connects::default(),
        workspace: None,
        limits: BoxLimits::default(),
        left: stead_ports::tool::Left::default(),
        on_behalf: None,
        trace: None,
    }
}

/// Calls with room for a mebibyte of output.
pub(crate) async fn call(offered: &Offered, value: Value) -> Outcome<Output> {
    offered.tool.call(invocation(offered, arguments(value), 1 << 20)).await
}
