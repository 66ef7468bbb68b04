//! One operation of an API description, and the request it makes from arguments (OpenAPI 3.1 section 4.8.12).

use reqwest::{
    Request,
    header::{ACCEPT, COOKIE, HeaderName, HeaderValue},
};
use serde_json::{Map, Value};

use super::{
    exchange::Service,
    request::{self, RESERVED},
    style::{self, Pairs},
    template::{Template, check_path},
};
use crate::{
    config::{ApiBody, ApiOperation, ApiParameter, Fields, HttpMethod, ParameterPlace, Style},
    text,
};

/// Most bytes of one written parameter, and of a whole query, cookie header or path.
const MAX_WRITTEN: usize = 8 * 1024;

/// A checked operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: HttpMethod,
    path: Vec<Segment>,
    query: Vec<ApiParameter>,
    headers: Vec<(HeaderName, ApiParameter)>,
    cookies: Vec<ApiParameter>,
    body: Option<(ApiBody, HeaderValue)>,
    accept: Option<HeaderValue>,
    signed: bool,
}

/// A piece of the path.
#[derive(Debug)]
enum Segment {
    Text(String),
    Parameter(ApiParameter),
}

impl Operation {
    pub(super) fn compile(op: &ApiOperation) -> Result<Self, String> {
        let at = |place| op.parameters.iter().filter(move |p| p.place == place).cloned();
        let headers = at(ParameterPlace::Header).map(|p| Ok((header(&p.name)?, p))).collect::<Result<_, String>>()?;
        let body = op.body.as_ref().map(|body| {
            let media = HeaderValue::try_from(&body.media).map_err(|_| format!("`{}` is no media type", body.media))?;
            Ok::<_, String>((body.clone(), media))
        });
        if body.is_some() && op.method.is_safe() {
            return Err("GET and HEAD have no body".into());
        }
        let accept = (!op.accept.is_empty()).then(|| op.accept.join(", "));
        Ok(Self {
            method: op.method,
            path: path(&op.path, &op.parameters)?,
            query: at(ParameterPlace::Query).collect(),
            headers,
            cookies: at(ParameterPlace::Cookie).collect(),
            body: body.transpose()?,
            accept: accept.and_then(|a| HeaderValue::try_from(a).ok()),
            signed: op.credential.is_some(),
        })
    }

    /// The request that these arguments make. The error is for the model.
    pub(super) fn request(&self, service: &Service, arguments: &Value, key: &str) -> Result<Request, String> {
        let mut path = String::new();
        for segment in &self.path {
            match segment {
                Segment::Text(text) => path.push_str(text),
                Segment::Parameter(p) => {
                    let value = value(arguments, &p.argument)
                        .ok_or_else(|| format!("`{}` stands in the path, so it cannot be left out", p.argument))?;
                    path.push_str(&bounded(p, style::path(p, value)?)?);
                }
            }
        }
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err("an argument in the path must not be `.` or `..`".into());
        }
        let mut url = request::below(&service.base, &path)?;
        let query = self.joined(&self.query, arguments, "&")?;
        if !query.is_empty() {
            url.set_query(Some(&query));
        }
        let mut request = request::to(self.method, url);
        if let Some(accept) = &self.accept {
            request.headers_mut().insert(ACCEPT, accept.clone());
        }
        for (name, p) in &self.headers {
            if let Some(value) = value(arguments, &p.argument) {
                let written = bounded(p, style::header(p, value)?)?;
                let value = HeaderValue::from_str(&written)
                    .map_err(|_| format!("`{}` must be visible ASCII on one line", p.argument))?;
                request.headers_mut().insert(name, value);
            }
        }
        let cookies = self.joined(&self.cookies, arguments, "; ")?;
        if !cookies.is_empty() {
            let value = HeaderValue::from_str(&cookies).map_err(|_| "a cookie's value is not allowed")?;
            request.headers_mut().insert(COOKIE, value);
        }
        request::add_key(&mut request, key)?;
        if let Some((body, media)) = &self.body
            && let Some(content) = content(body, arguments)?
        {
            request::set_body(&mut request, content, media)?;
        }
        if self.signed {
            service.sign(&mut request)?;
        }
        Ok(request)
    }

    fn joined(&self, parameters: &[ApiParameter], arguments: &Value, by: &str) -> Result<String, String> {
        let mut out = String::new();
        for p in parameters {
            let Some(value) = value(arguments, &p.argument) else { continue };
            for pair in style::pairs(p, value)? {
                if !out.is_empty() {
                    out.push_str(by);
                }
                out.push_str(&pair);
                if out.len() > MAX_WRITTEN {
                    return Err(format!("`{}` makes the request longer than {MAX_WRITTEN} bytes", p.argument));
                }
            }
        }
        Ok(out)
    }
}

/// The argument, unless it was left out or is null.
fn value<'a>(arguments: &'a Value, name: &str) -> Option<&'a Value> {
    arguments.get(name).filter(|v| !v.is_null())
}

fn bounded(p: &ApiParameter, written: String) -> Result<String, String> {
    if written.len() > MAX_WRITTEN {
        return Err(format!("`{}` makes the request longer than {MAX_WRITTEN} bytes", p.argument));
    }
    Ok(written)
}

/// The body; `None` when all of it was left out.
fn content(body: &ApiBody, arguments: &Value) -> Result<Option<String>, String> {
    match &body.fields {
        // A body may be null, which says something; only silence leaves it out.
        Fields::Whole(argument) => match arguments.get(argument) {
            None => Ok(None),
            Some(value) if body.json => Ok(Some(text::json(value))),
            Some(Value::Object(members)) => form(members.iter()).map(Some),
            Some(_) => Err(format!("`{argument}` must be an object, for it is sent as a form")),
        },
        Fields::Members(members) => {
            let named = members.iter().filter_map(|(argument, name)| Some((name, arguments.get(argument)?)));
            if body.json {
                let object: Map<String, Value> = named.map(|(n, v)| (n.clone(), v.clone())).collect();
                return Ok(Some(text::json(&object)));
            }
            form(named).map(Some)
        }
    }
}

/// A form: lists are repeated, objects are JSON (OpenAPI 3.1 section 4.8.15).
fn form<'v>(members: impl Iterator<Item = (&'v String, &'v Value)>) -> Result<String, String> {
    let mut pairs: Pairs = Vec::new();
    for (name, value) in members {
        let parameter = ApiParameter {
            argument: name.clone(),
            name: name.clone(),
            place: ParameterPlace::Query,
            style: if value.is_object() { Style::Json } else { Style::Form },
            explode: true,
        };
        if !value.is_null() {
            pairs.extend(style::pairs(&parameter, value)?);
        }
    }
    Ok(pairs.join("&"))
}

/// The path in pieces; every placeholder must be a parameter.
fn path(path: &str, parameters: &[ApiParameter]) -> Result<Vec<Segment>, String> {
    let mut segments = Vec::new();
    let mut skeleton = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| format!("`{path}`: `{{` without `}}`"))?;
        let parameter = parameters
            .iter()
            .find(|p| p.place == ParameterPlace::Path && p.name == name)
            .ok_or_else(|| format!("`{path}`: `{name}` is not a parameter of the path"))?;
        skeleton.push_str(before);
        skeleton.push('x');
        segments.push(Segment::Text(before.to_owned()));
        segments.push(Segment::Parameter(parameter.clone()));
        rest = after;
    }
    skeleton.push_str(rest);
    segments.push(Segment::Text(rest.to_owned()));
    check_path(&skeleton, &Template::compile(&skeleton)?)?;
    Ok(segments)
}

fn header(name: &str) -> Result<HeaderName, String> {
    let parsed: HeaderName = name.parse().map_err(|_| format!("`{name}` is not a header's name"))?;
    if RESERVED.contains(&parsed.as_str()) {
        return Err(format!("the header `{name}` cannot be set by an argument"));
    }
    Ok(parsed)
}
