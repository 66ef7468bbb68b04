//! Operations of an OpenAPI document, from the manifest's types to the adapter's.

use stead_core::code;
use stead_manifest::{
    api::{self, Api},
    manifest::{Http, Tool},
};
use stead_ports::agent::AgentError;
use stead_tools::config::{ApiBody, ApiConfig, ApiOperation, ApiParameter, Fields, ParameterPlace, Placement, Style};

use super::tools::{longest, word};

/// What the adapter is given. A `base_url` of the manifest stands for every server of the document.
pub(super) fn config(tool: &Tool, http: &Http, api: &Api) -> Result<ApiConfig, AgentError> {
    let operations = api.operations.iter().map(|(name, op)| {
        let base_url = http.base_url.clone().or_else(|| op.server.clone()).ok_or_else(|| AgentError {
            code: code::API_DESCRIPTION,
            detail: format!("nothing says where the service of `{name}` is"),
        })?;
        let operation = ApiOperation {
            base_url,
            method: word("method", op.method)?,
            path: op.path.clone(),
            description: op.description.clone(),
            schema: op.schema.clone(),
            parameters: op.parameters.iter().map(parameter).collect(),
            body: op.body.as_ref().map(body),
            accept: op.accept.clone(),
            credential: op.credential.as_ref().map(placement),
            reconcile: tool.rules(name).reconcile,
        };
        Ok((name.clone(), operation))
    });
    Ok(ApiConfig { operations: operations.collect::<Result<_, AgentError>>()?, timeout: longest(tool) })
}

fn parameter(p: &api::ApiParameter) -> ApiParameter {
    let place = match p.place {
        api::ParameterPlace::Path => ParameterPlace::Path,
        api::ParameterPlace::Query => ParameterPlace::Query,
        api::ParameterPlace::Header => ParameterPlace::Header,
        api::ParameterPlace::Cookie => ParameterPlace::Cookie,
    };
    let style = match p.style {
        api::Style::Simple => Style::Simple,
        api::Style::Label => Style::Label,
        api::Style::Matrix => Style::Matrix,
        api::Style::Form => Style::Form,
        api::Style::SpaceDelimited => Style::SpaceDelimited,
        api::Style::PipeDelimited => Style::PipeDelimited,
        api::Style::DeepObject => Style::DeepObject,
        api::Style::Json => Style::Json,
    };
    ApiParameter { argument: p.argument.clone(), name: p.name.clone(), place, style, explode: p.explode }
}

fn body(body: &api::ApiBody) -> ApiBody {
    let fields = match &body.fields {
        api::Fields::Whole(argument) => Fields::Whole(argument.clone()),
        api::Fields::Members(members) => Fields::Members(members.clone()),
    };
    ApiBody { media: body.media.clone(), json: body.json, fields }
}

fn placement(placement: &api::Placement) -> Placement {
    match placement {
        api::Placement::Bearer => Placement::Bearer,
        api::Placement::Basic => Placement::Basic,
        api::Placement::Header(name) => Placement::Header(name.clone()),
        api::Placement::Query(name) => Placement::Query(name.clone()),
        api::Placement::Cookie(name) => Placement::Cookie(name.clone()),
    }
}
