//! OTLP over HTTP: protobuf, posted below the endpoint (OTLP 1.x, section OTLP/HTTP). No redirect is followed and no proxy used.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
    trace::v1::ExportTraceServiceResponse,
};
use prost::Message as _;
use reqwest::{
    Certificate, Client, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};

use super::send::{ANSWER_MAX, Request, TIMEOUT, Untaken};

/// See the module.
pub(super) struct Http {
    client: Client,
    base: String,
}

impl Http {
    pub(super) fn new(endpoint: &str, ca: Option<&[u8]>) -> Result<Self, String> {
        let builder = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .user_agent(concat!("stead/", env!("CARGO_PKG_VERSION")));
        let builder = match ca {
            Some(pem) => {
                let all = Certificate::from_pem_bundle(pem).map_err(|e| format!("`telemetry.ca`: {e}"))?;
                builder.tls_certs_only(all)
            }
            // What needs no TLS needs no certificates.
            None if endpoint.starts_with("http:") => builder.tls_certs_only([]),
            None => builder,
        };
        let client = builder.build().map_err(|e| format!("`telemetry.endpoint`: {e}"))?;
        Ok(Self { client, base: endpoint.trim_end_matches('/').to_owned() })
    }

    pub(super) async fn send(&self, request: &Request, headers: &[(String, String)]) -> Result<u64, Untaken> {
        let url = format!("{}/v1/{}", self.base, request.signal());
        let body = match request {
            Request::Traces(r) => r.encode_to_vec(),
            Request::Logs(r) => r.encode_to_vec(),
            Request::Metrics(r) => r.encode_to_vec(),
        };
        let mut post = self.client.post(url).header(CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in headers {
            let wrong = || Untaken::later(format!("the header `{name}` has a value that cannot be sent"));
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            post = post.header(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value);
        }
        let answer = post.body(body).send().await.map_err(|e| Untaken::later(told(&e)))?;
        match answer.status() {
            status if status.is_success() => Ok(rejected(request, &read(answer).await)),
            status => Err(refused(status, &answer)),
        }
    }
}

/// An error with its causes, and without the URL.
fn told(e: &reqwest::Error) -> String {
    let mut text =
        if e.is_timeout() { "it did not answer in time".to_owned() } else { "it cannot be reached".to_owned() };
    let mut next = std::error::Error::source(e);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// What is malformed or too large never will be taken; all else may change, a wrong token too.
fn refused(status: StatusCode, answer: &Response) -> Untaken {
    let why = format!("it answered with {status}");
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Untaken::Never(why)
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Untaken::Unknown(why),
        _ => {
            let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Untaken::Later { why, after: after.map(Duration::from_secs) }
        }
    }
}

/// What the answer says, as much of it as is read.
async fn read(mut answer: Response) -> Vec<u8> {
    let mut out = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        if out.len() + piece.len() > ANSWER_MAX {
            break;
        }
        out.extend_from_slice(&piece);
    }
    out
}

/// How many were not taken though the request was. An answer that cannot be read says nothing.
fn rejected(request: &Request, answer: &[u8]) -> u64 {
    let count = match request {
        Request::Traces(_) => {
            ExportTraceServiceResponse::decode(answer).ok().and_then(|a| a.partial_success).map(|p| p.rejected_spans)
        }
        Request::Logs(_) => ExportLogsServiceResponse::decode(answer)
            .ok()
            .and_then(|a| a.partial_success)
            .map(|p| p.rejected_log_records),
        Request::Metrics(_) => ExportMetricsServiceResponse::decode(answer)
            .ok()
            .and_then(|a| a.partial_success)
            .map(|p| p.rejected_data_points),
    };
    count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}
