//! Operations of a service that an API description (OpenAPI) describes, resolved: no reference and no default is left open.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::HttpMethod;

/// A described service.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiConfig {
    /// Its operations, by operation id.
    pub operations: BTreeMap<String, ApiOperation>,
    /// How long one exchange may take, connection included.
    pub timeout: Duration,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiOperation {
    /// Where the service is: scheme, host, port and maybe a path prefix.
    pub base_url: String,
    /// The method.
    pub method: HttpMethod,
    /// The path below `base_url`, with `{name}` for each path parameter.
    pub path: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of the arguments, an object.
    pub schema: Value,
    /// Where arguments go, body aside.
    pub parameters: Vec<ApiParameter>,
    /// What the body is made of.
    pub body: Option<ApiBody>,
    /// Media types that it answers with, the preferred one first.
    pub accept: Vec<String>,
    /// Where the credential goes; `None` when the operation takes none.
    pub credential: Option<Placement>,
    /// The operation (GET or HEAD) that tells whether this one happened.
    pub reconcile: Option<String>,
}

/// A parameter outside of the body (OpenAPI 3.1 section 4.8.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiParameter {
    /// The argument that it takes.
    pub argument: String,
    /// Its name on the wire.
    pub name: String,
    /// Where it stands.
    pub place: ParameterPlace,
    /// How a value is written.
    pub style: Style,
    /// Whether items and members stand apart.
    pub explode: bool,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of OpenAPI")]
pub enum ParameterPlace {
    Path,
    Query,
    Header,
    Cookie,
}

/// How a value is written (OpenAPI 3.1 section 4.8.12.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of OpenAPI")]
pub enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
    /// As JSON text: a parameter with `content` instead of a schema.
    Json,
}

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiBody {
    /// Its media type, as it is sent.
    pub media: String,
    /// Whether it is JSON; else it is a form.
    pub json: bool,
    /// What it holds.
    pub fields: Fields,
}

/// What a body holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fields {
    /// The value of this argument.
    Whole(String),
    /// An object of these arguments, each under its name on the wire.
    Members(Vec<(String, String)>),
}

/// Where a credential goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placement {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer,
    /// `Authorization: Basic …`; the secret is `user:password` (RFC 7617).
    Basic,
    /// The value of this header.
    Header(String),
    /// The value of this query parameter.
    Query(String),
    /// The value of this cookie.
    Cookie(String),
}
