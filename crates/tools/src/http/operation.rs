//! One operation: its compiled templates, and the request they make from arguments.

use std::collections::BTreeSet;

use reqwest::{
    Method, Request, Url,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::{Map, Value};

use super::{
    exchange::Service,
    template::{Body, Hole, Piece, Template, Values, check_path, percent_encode},
};
use crate::config::{HttpMethod, HttpOperation};

/// The header of draft-ietf-httpapi-idempotency-key-header.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Most bytes of a body.
const MAX_BODY: usize = 2 << 20;
/// Headers that are the connection's, or that only `auth` may set.
const RESERVED: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
    "authorization",
    "cookie",
];

/// A compiled operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: HttpMethod,
    path: Template,
    query: Vec<(String, Template)>,
    headers: Vec<(HeaderName, Template)>,
    body: Option<Sent>,
}

/// What goes into the body.
#[derive(Debug)]
enum Sent {
    Template(Body),
    /// An object of these arguments.
    Arguments(Vec<String>),
}

impl Operation {
    pub(super) fn compile(op: &HttpOperation) -> Result<Self, String> {
        let path = Template::compile(&op.path)?;
        check_path(&op.path, &path)?;
        let query: Vec<_> =
            op.query.iter().map(|(n, t)| Ok((n.clone(), Template::compile(t)?))).collect::<Result<_, String>>()?;
        let headers: Vec<_> = op.headers.iter().map(|(n, t)| header(n, t)).collect::<Result<_, _>>()?;
        let mut in_path = BTreeSet::new();
        path.uses(&mut in_path);
        if let Some(name) = op.optional.iter().find(|n| in_path.contains(*n)) {
            return Err(format!("`{name}` stands in `path` and so cannot be optional"));
        }
        let mut used = in_path;
        query.iter().for_each(|(_, t)| t.uses(&mut used));
        headers.iter().for_each(|(_, t)| t.uses(&mut used));
        let body = match &op.body {
            Some(_) if op.method.is_safe() => return Err("GET and HEAD have no `body`".into()),
            Some(body) => {
                let body = Body::compile(body)?;
                body.uses(op.params.keys(), &mut used);
                Some(Sent::Template(body))
            }
            None if op.method.has_body() => {
                let rest: Vec<String> = op.params.keys().filter(|n| !used.contains(*n)).cloned().collect();
                used.extend(rest.iter().cloned());
                (!rest.is_empty()).then_some(Sent::Arguments(rest))
            }
            None => None,
        };
        if let Some(name) = used.iter().find(|n| !op.params.contains_key(*n)) {
            return Err(format!("`args.{name}` is used and not in `params`"));
        }
        if let Some(name) = op.params.keys().find(|n| !used.contains(*n)) {
            return Err(format!("`{name}` is in `params` and no template uses it"));
        }
        if let Some(name) = op.optional.iter().find(|n| !op.params.contains_key(*n)) {
            return Err(format!("`{name}` is in `optional` and not in `params`"));
        }
        let texts = query.iter().map(|(_, t)| t).chain(headers.iter().map(|(_, t)| t));
        if texts.flat_map(|t| &t.0).any(|piece| *piece == Piece::Hole(Hole::All)) {
            return Err("`{{args}}` stands in bodies only".into());
        }
        Ok(Self { method: op.method, path, query, headers, body })
    }

    /// The request that these arguments make. The error is for the model.
    pub(super) fn request(&self, service: &Service, arguments: &Value, key: &str) -> Result<Request, String> {
        let values = Values { arguments, key };
        let mut request = Request::new(method(self.method), self.url(&service.base, &values)?);
        for (name, template) in &self.headers {
            if let Some(value) = template.header(&values)? {
                let value = HeaderValue::from_str(&value).map_err(|_| "a header's value is not allowed")?;
                request.headers_mut().insert(name, value);
            }
        }
        if !self.method.is_safe() && !self.headers.iter().any(|(name, _)| *name == IDEMPOTENCY_KEY) {
            // A business key may be any text; encoding it keeps different keys different.
            let encoded = if key.bytes().all(|b| b.is_ascii_graphic()) { key.to_owned() } else { percent_encode(key) };
            let value = HeaderValue::from_str(&encoded).map_err(|_| "the idempotency key is not usable")?;
            request.headers_mut().insert(IDEMPOTENCY_KEY, value);
        }
        if let Some(sent) = &self.body {
            let body = match sent {
                Sent::Template(body) => body.render(&values)?,
                Sent::Arguments(names) => {
                    let named = |n: &String| arguments.get(n).map(|v| (n.clone(), v.clone()));
                    Value::Object(names.iter().filter_map(named).collect::<Map<_, _>>())
                }
            };
            let body = body.to_string();
            if body.len() > MAX_BODY {
                return Err(format!("the body has more than {MAX_BODY} bytes"));
            }
            if !request.headers().contains_key(CONTENT_TYPE) {
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            *request.body_mut() = Some(body.into());
        }
        Ok(request)
    }

    fn url(&self, base: &Url, values: &Values<'_>) -> Result<Url, String> {
        let mut url = base.clone();
        let path = format!("{}{}", base.path().trim_end_matches('/'), self.path.path(values)?);
        url.set_path(&path);
        for (name, template) in &self.query {
            if let Some(value) = template.query(values)? {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        // Escaping has made this so; a request to another place must be impossible, not only unlikely.
        if url.origin() != base.origin() || url.path() != path {
            return Err("the arguments do not make a URL below `base_url`".into());
        }
        Ok(url)
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, Template), String> {
    let parsed: HeaderName = name.parse().map_err(|_| format!("`{name}` is not a header's name"))?;
    if RESERVED.contains(&parsed.as_str()) {
        let hint = if parsed == "authorization" { "; use `auth`" } else { "" };
        return Err(format!("the header `{name}` cannot be set{hint}"));
    }
    let template = Template::compile(value)?;
    let fixed = |p: &Piece| !matches!(p, Piece::Text(t) if !t.bytes().all(|b| (b' '..=b'~').contains(&b)));
    if template.0.iter().all(fixed) {
        Ok((parsed, template))
    } else {
        Err(format!("the header `{name}` must be visible ASCII on one line"))
    }
}

const fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
    }
}
