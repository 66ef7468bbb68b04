//! What the HTTP operations of a manifest send, in the words of a comparison of two versions: method and path, headers, query,
//! body, and where a credential stands.
//!
//! Not here: where they lead, and what a caller may put in. How OpenAPI writes a list or an object into a parameter shows in
//! the diff of the files alone.

use serde_json::Value;
use stead_manifest::{
    Bundle,
    api::{ApiBody, ApiOperation, ApiParameter, Fields, ParameterPlace, Placement},
    manifest::{HttpOperation, Kind, Tool},
};
use stead_tools::offer::full_name;

use super::reached::short;

/// Method and path.
pub(super) const REQUEST: &str = "request";
pub(super) const HEADER: &str = "header";
pub(super) const QUERY: &str = "query";
pub(super) const BODY: &str = "body";
/// Where the credential stands; which one it is, the tool says under the same word.
const CREDENTIAL: &str = "credential";

/// What is sent, and what of it: one of the words above with its values.
type Parts = Vec<(&'static str, Vec<String>)>;

/// The parts of every operation, by the model's name of it; those of an MCP server by the tool's.
pub(super) fn of(name: &str, tool: &Tool, bundle: &Bundle) -> Vec<(String, Parts)> {
    match &tool.kind {
        Kind::Http(http) if http.openapi.is_some() => {
            let api = bundle.apis.get(name).into_iter().flat_map(|api| &api.operations);
            // Without a base URL each operation goes where the document says, and may go elsewhere than the next.
            let parts = |op: &ApiOperation| imported(op, op.server.as_deref().filter(|_| http.base_url.is_none()));
            api.map(|(own, op)| (full_name(name, own), parts(op))).collect()
        }
        Kind::Http(http) => http.operations.iter().map(|(own, op)| (full_name(name, own), described(op))).collect(),
        Kind::Mcp(server) => vec![(name.to_owned(), vec![(HEADER, pairs(&server.headers))])],
        Kind::Sql(_) | Kind::Agent(_) | Kind::Command(_) | Kind::Files(_) => Vec::new(),
    }
}

/// An operation that the manifest describes.
fn described(operation: &HttpOperation) -> Parts {
    vec![
        (REQUEST, vec![format!("{} {}", operation.method, short(&operation.path))]),
        (HEADER, pairs(&operation.headers)),
        (QUERY, pairs(&operation.query)),
        (BODY, operation.body.iter().map(template).collect()),
    ]
}

/// A body's template; the order of its keys says nothing.
fn template(body: &Value) -> String {
    let mut body = body.clone();
    body.sort_all_objects();
    short(&body.to_string())
}

/// An operation of an OpenAPI document, in the words that a manifest would have for it.
fn imported(operation: &ApiOperation, server: Option<&str>) -> Parts {
    let at = |place| operation.parameters.iter().filter(move |p| p.place == place);
    let path = at(ParameterPlace::Path)
        .fold(operation.path.clone(), |path, p| path.replace(&format!("{{{}}}", p.name), &argument(&p.argument)));
    let pair = |p: &ApiParameter| pair(&p.name, &argument(&p.argument));
    let cookies = at(ParameterPlace::Cookie).map(|p| format!("Cookie {}", pair(p)));
    let accept = (!operation.accept.is_empty()).then(|| format!("Accept: {}", operation.accept.join(", ")));
    vec![
        (REQUEST, vec![format!("{} {}{}", operation.method, server.unwrap_or_default(), short(&path))]),
        (HEADER, at(ParameterPlace::Header).map(pair).chain(cookies).chain(accept).collect()),
        (QUERY, at(ParameterPlace::Query).map(pair).collect()),
        (BODY, operation.body.iter().map(body).collect()),
        (CREDENTIAL, operation.credential.iter().map(placed).collect()),
    ]
}

fn body(body: &ApiBody) -> String {
    let holds = match &body.fields {
        Fields::Whole(own) => argument(own),
        Fields::Members(members) => {
            let members: Vec<_> = members.iter().map(|(own, name)| format!("{name}: {}", argument(own))).collect();
            short(&members.join(", "))
        }
    };
    format!("{} of {holds}", body.media)
}

fn placed(placement: &Placement) -> String {
    match placement {
        Placement::Bearer => "as Bearer".into(),
        Placement::Basic => "as Basic".into(),
        Placement::Header(name) => format!("in the header {name}"),
        Placement::Query(name) => format!("in the query as {name}"),
        Placement::Cookie(name) => format!("in the cookie {name}"),
    }
}

fn argument(name: &str) -> String {
    format!("{{{{args.{name}}}}}")
}

fn pairs<'p>(of: impl IntoIterator<Item = (&'p String, &'p String)>) -> Vec<String> {
    of.into_iter().map(|(name, value)| pair(name, value)).collect()
}

fn pair(name: &str, value: &str) -> String {
    format!("{name}: {}", short(value))
}
