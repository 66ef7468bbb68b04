//! Operations imported from an API description, as types. Every reference is followed and every default filled in.

use std::collections::BTreeMap;

use serde_json::Value;

/// The named operations of a description.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Api {
    /// By operation id.
    pub operations: BTreeMap<String, ApiOperation>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiOperation {
    /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// The path, with `{name}` for each path parameter.
    pub path: String,
    /// Where the description says that the service is, when that is an absolute URL.
    pub server: Option<String>,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema (draft 2020-12) of the arguments, an object.
    pub schema: Value,
    /// Where arguments go, body aside.
    pub parameters: Vec<ApiParameter>,
    /// What the body is made of.
    pub body: Option<ApiBody>,
    /// Media types of its good answers, JSON first.
    pub accept: Vec<String>,
    /// Where the credential goes; `None` when the operation takes none.
    pub credential: Option<Placement>,
}

impl ApiOperation {
    /// The arguments, with whether each must be there.
    pub fn arguments(&self) -> impl Iterator<Item = (&str, bool)> {
        let required = self.schema["required"].as_array();
        let names = self.schema["properties"].as_object().into_iter().flat_map(|p| p.keys());
        names.map(move |name| (name.as_str(), required.is_some_and(|r| r.iter().any(|n| n == name.as_str()))))
    }

    /// Whether it only reads, by its method (RFC 9110 section 9.2.1).
    pub fn reads(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }
}

/// A parameter outside of the body.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Its media type.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// `Authorization: Bearer …`.
    Bearer,
    /// `Authorization: Basic …`, of `user:password`.
    Basic,
    /// The value of this header.
    Header(String),
    /// The value of this query parameter.
    Query(String),
    /// The value of this cookie.
    Cookie(String),
}
