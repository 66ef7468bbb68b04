//! OTLP over gRPC (OTLP 1.x, section OTLP/gRPC). The connection is made when it is needed.

use opentelemetry_proto::tonic::collector::{
    logs::v1::logs_service_client::LogsServiceClient, metrics::v1::metrics_service_client::MetricsServiceClient,
    trace::v1::trace_service_client::TraceServiceClient,
};
use tonic::{
    Code, Request as Call, Status,
    metadata::{Ascii, MetadataKey, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use super::send::{ANSWER_MAX, Request, TIMEOUT, Untaken};

/// See the module.
pub(super) struct Grpc {
    traces: TraceServiceClient<Channel>,
    logs: LogsServiceClient<Channel>,
    metrics: MetricsServiceClient<Channel>,
}

impl Grpc {
    pub(super) fn new(endpoint: &str, ca: Option<&[u8]>) -> Result<Self, String> {
        let wrong = |e: tonic::transport::Error| format!("`telemetry.endpoint`: {e}");
        let mut to = Endpoint::from_shared(endpoint.to_owned()).map_err(wrong)?;
        to = to.user_agent(concat!("stead/", env!("CARGO_PKG_VERSION"))).map_err(wrong)?;
        to = to.timeout(TIMEOUT).connect_timeout(TIMEOUT);
        if endpoint.starts_with("https:") {
            let tls = ClientTlsConfig::new();
            let tls = match ca {
                Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                None => tls.with_native_roots(),
            };
            to = to.tls_config(tls).map_err(wrong)?;
        }
        let channel = to.connect_lazy();
        Ok(Self {
            traces: TraceServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_MAX),
            logs: LogsServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_MAX),
            metrics: MetricsServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX),
        })
    }

    pub(super) async fn send(&self, request: Request, headers: &[(String, String)]) -> Result<u64, Untaken> {
        let rejected = match request {
            Request::Traces(r) => {
                let answer = self.traces.clone().export(with(r, headers)?).await.map_err(refused)?;
                answer.into_inner().partial_success.map_or(0, |p| p.rejected_spans)
            }
            Request::Logs(r) => {
                let answer = self.logs.clone().export(with(r, headers)?).await.map_err(refused)?;
                answer.into_inner().partial_success.map_or(0, |p| p.rejected_log_records)
            }
            Request::Metrics(r) => {
                let answer = self.metrics.clone().export(with(r, headers)?).await.map_err(refused)?;
                answer.into_inner().partial_success.map_or(0, |p| p.rejected_data_points)
            }
        };
        Ok(u64::try_from(rejected).unwrap_or(0))
    }
}

fn with<T>(message: T, headers: &[(String, String)]) -> Result<Call<T>, Untaken> {
    let mut call = Call::new(message);
    for (name, value) in headers {
        let wrong = || Untaken::later(format!("the header `{name}` has a value that cannot be sent"));
        let key = MetadataKey::<Ascii>::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = MetadataValue::<Ascii>::try_from(value.as_str()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        call.metadata_mut().insert(key, value);
    }
    Ok(call)
}

/// What is malformed never will be taken; all else may change, a wrong token too.
fn refused(status: Status) -> Untaken {
    let words: String = status.message().chars().filter(|c| !c.is_control()).take(200).collect();
    let why = format!("it answered with {:?}: {words}", status.code());
    match status.code() {
        Code::InvalidArgument => Untaken::Never(why),
        // What is too long for it is refused so; a request that is cut in halves may be taken.
        Code::OutOfRange | Code::ResourceExhausted if words.contains("larger than max") => Untaken::Never(why),
        Code::Unimplemented => Untaken::Unknown(why),
        _ => Untaken::later(why),
    }
}
