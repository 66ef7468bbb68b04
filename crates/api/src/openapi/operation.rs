//! An operation as data: what the document says, and what the server's routes are checked against.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};
use stead_core::code::{self, Code};

use crate::right::Right;

/// Makes a schema, or a reference to one.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Value;

/// The schema of `T`.
pub(super) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In a header.
    Header,
}

/// A parameter.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it means.
    pub description: &'static str,
    /// Its schema.
    pub schema: SchemaOf,
}

impl Param {
    pub(super) fn describe(&self, generator: &mut SchemaGenerator) -> Value {
        let place = match self.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        };
        json!({
            "name": self.name, "in": place, "required": self.place == Place::Path,
            "description": self.description, "schema": (self.schema)(generator)
        })
    }
}

/// A request body.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its form.
    pub media: Media,
    /// Whether it must be there.
    pub required: bool,
    /// Its schema.
    pub schema: SchemaOf,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`.
    Json,
    /// `application/x-ndjson`.
    Lines,
    /// `text/event-stream`.
    Events,
    /// `application/openmetrics-text`: the text format that Prometheus reads.
    Metrics,
    /// `application/vnd.stead.backup`: see docs/backup.md.
    Backup,
    /// `application/vnd.stead.subject-keys`: see docs/backup.md.
    SubjectKeys,
    /// `application/octet-stream`: bytes as they are.
    Bytes,
    /// `text/plain`.
    Text,
    /// `application/vnd.stead.audit-bundle`: see docs/audit-log.md.
    Bundle,
    /// Whatever a file is.
    Any,
}

impl Media {
    /// The media type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
            Self::Metrics => "application/openmetrics-text",
            Self::Backup => "application/vnd.stead.backup",
            Self::SubjectKeys => "application/vnd.stead.subject-keys",
            Self::Bytes => "application/octet-stream",
            Self::Text => "text/plain",
            Self::Bundle => "application/vnd.stead.audit-bundle",
            Self::Any => "*/*",
        }
    }
}

/// An answer that is no error.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What it means.
    pub description: &'static str,
    /// Its form.
    pub media: Media,
    /// Its schema.
    pub schema: SchemaOf,
}

impl Answer {
    pub(super) fn describe(&self, generator: &mut SchemaGenerator) -> Value {
        json!({
            "description": self.description,
            "content": { self.media.as_str(): { "schema": (self.schema)(generator) } }
        })
    }
}

/// A kind of failure: a status with the codes that come with it.
#[derive(Clone, Debug)]
pub struct Error {
    /// The HTTP status.
    pub status: u16,
    /// The codes.
    pub codes: Vec<Code>,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The HTTP method, in capitals.
    pub method: &'static str,
    /// The path, with `{name}` for parameters.
    pub path: &'static str,
    /// Its stable name.
    pub id: &'static str,
    /// Its resource.
    pub tag: &'static str,
    /// In a line.
    pub summary: &'static str,
    /// In full; may be empty.
    pub description: &'static str,
    /// Its parameters.
    pub params: Vec<Param>,
    /// Its body.
    pub request: Option<Request>,
    /// Its answers.
    pub answers: Vec<Answer>,
    /// Failures of its own; [`Operation::all_errors`] adds those that every operation has.
    pub errors: Vec<Error>,
    /// Needs no token.
    pub open: bool,
    /// What the token must allow.
    pub rights: &'static [Right],
}

impl Operation {
    pub(super) fn new(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        let tag = match path.split('/').nth(2) {
            Some("agents") => "agents",
            Some("sessions") => "sessions",
            Some("runs") => "runs",
            Some("approvals") => "approvals",
            Some("policies") => "policies",
            Some("usage") => "usage",
            Some("budgets") => "budgets",
            Some("sandboxes") => "sandboxes",
            Some("audit") => "audit",
            Some("switches") => "switches",
            _ => "server",
        };
        Self {
            method,
            path,
            id,
            tag,
            summary,
            description: "",
            params: Vec::new(),
            request: None,
            answers: Vec::new(),
            errors: Vec::new(),
            open: false,
            rights: &[],
        }
    }

    pub(super) fn says(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    pub(super) fn param<T: JsonSchema>(mut self, place: Place, name: &'static str, description: &'static str) -> Self {
        self.params.push(Param { name, place, description, schema: schema_of::<T> });
        self
    }

    pub(super) fn path<T: JsonSchema>(self, name: &'static str, description: &'static str) -> Self {
        self.param::<T>(Place::Path, name, description).fails(404, &[code::NOT_FOUND])
    }

    pub(super) fn query<T: JsonSchema>(self, name: &'static str, description: &'static str) -> Self {
        self.param::<T>(Place::Query, name, description).fails(400, &[code::BAD_REQUEST])
    }

    pub(super) fn paged(self) -> Self {
        self.query::<String>("cursor", "From `next` of the page before.")
            .query::<u32>("limit", "Items wanted: 1 to 500; 50 when absent.")
    }

    pub(super) fn body<T: JsonSchema>(mut self, required: bool) -> Self {
        self.request = Some(Request { media: Media::Json, required, schema: schema_of::<T> });
        self.fails(400, &[code::BAD_REQUEST, code::TOO_DEEP])
            .fails(413, &[code::TOO_LARGE])
            .fails(415, &[code::BAD_REQUEST])
    }

    /// A body of bytes as they are.
    pub(super) fn bytes(mut self) -> Self {
        self.request = Some(Request { media: Media::Bytes, required: true, schema: schema_of::<String> });
        self.fails(400, &[code::BAD_REQUEST]).fails(413, &[code::TOO_LARGE])
    }

    pub(super) fn answers<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.answers_as::<T>(status, Media::Json, description)
    }

    pub(super) fn answers_as<T: JsonSchema>(mut self, status: u16, media: Media, description: &'static str) -> Self {
        self.answers.push(Answer { status, description, media, schema: schema_of::<T> });
        self
    }

    pub(super) fn fails(mut self, status: u16, codes: &[Code]) -> Self {
        merge(&mut self.errors, status, codes);
        self
    }

    pub(super) fn needs(mut self, rights: &'static [Right]) -> Self {
        self.rights = rights;
        self
    }

    pub(super) fn without_token(mut self) -> Self {
        self.open = true;
        self
    }

    /// All failures, in order of status.
    pub fn all_errors(&self) -> Vec<Error> {
        let mut all = self.errors.clone();
        if !self.open {
            merge(&mut all, 401, &[code::UNAUTHENTICATED]);
            if !self.rights.is_empty() {
                merge(&mut all, 403, &[code::FORBIDDEN, code::POLICY]);
            }
            merge(&mut all, 500, &[code::INTERNAL, code::QUARANTINED, code::DATA_DAMAGED]);
            let store = [code::DATA_UNREACHABLE, code::DATA_FULL, code::DATA_READONLY, code::DATA_LOCKED];
            merge(&mut all, 503, &[code::OVERLOADED, code::DRAINING]);
            merge(&mut all, 503, &store);
        }
        all.sort_by_key(|e| e.status);
        all
    }
}

fn merge(errors: &mut Vec<Error>, status: u16, codes: &[Code]) {
    let error = match errors.iter().position(|e| e.status == status) {
        Some(at) => &mut errors[at],
        None => {
            errors.push(Error { status, codes: Vec::new() });
            errors.last_mut().expect("was just pushed")
        }
    };
    for code in codes {
        if !error.codes.contains(code) {
            error.codes.push(*code);
        }
    }
}
