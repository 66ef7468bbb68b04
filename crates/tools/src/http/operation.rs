//! One operation: its compiled templates, and the request they make from arguments.

use std::collections::BTreeSet;

use reqwest::{
    Request, Url,
    header::{HeaderName, HeaderValue},
};
use serde_json::{Map, Value};

use super::{
    exchange::Service,
    request::{self, RESERVED},
    template::{Body, Hole, Piece, Template, Values, check_path},
};
use crate::config::{HttpMethod, HttpOperation};

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
        let mut request = request::to(self.method, self.url(&service.base, &values)?);
        for (name, template) in &self.headers {
            if let Some(value) = template.header(&values)? {
                let value = HeaderValue::from_str(&value).map_err(|_| "a header's value is not allowed")?;
                request.headers_mut().insert(name, value);
            }
        }
        if !self.headers.iter().any(|(name, _)| *name == request::IDEMPOTENCY_KEY) {
            request::add_key(&mut request, key)?;
        }
        if let Some(sent) = &self.body {
            let body = match sent {
                Sent::Template(body) => body.render(&values)?,
                Sent::Arguments(names) => {
                    let named = |n: &String| arguments.get(n).map(|v| (n.clone(), v.clone()));
                    Value::Object(names.iter().filter_map(named).collect::<Map<_, _>>())
                }
            };
            request::set_body(&mut request, body.to_string(), &request::JSON)?;
        }
        service.sign(&mut request)?;
        Ok(request)
    }

    fn url(&self, base: &Url, values: &Values<'_>) -> Result<Url, String> {
        let mut url = request::below(base, &self.path.path(values)?)?;
        for (name, template) in &self.query {
            if let Some(value) = template.query(values)? {
                url.query_pairs_mut().append_pair(name, &value);
            }
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
