//! What runs do is told to a collector by OpenTelemetry, over HTTP and over gRPC: each run is one trace, under the same ids however often and from
//! wherever it is told. The collectors are real ones on loopback, which read what they get with OpenTelemetry's own types.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, response::IntoResponse as _, routing::post};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::any_value::Value as Any,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;
use reqwest::Method;
use serde_json::json;
use stead_api::{
    erasure::Erase,
    run::{Run, StartRun, WaitUntil},
};
use stead_client::Client;
use stead_core::id::RunId;
use stead_server::config::{Config, Content, Protocol, Telemetry, units::Time};
use tokio::{net::TcpListener, sync::Notify};
use tonic::{Request, Response, Status};

use crate::lab::{ASKING, ASKING_FILES, Lab, config, entry};

const LONG: Duration = Duration::from_secs(120);
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// What each request to the collector must have with it.
const TOKEN: &str = "Bearer of-the-collector";

/// A collector, and what it was told.
#[derive(Clone, Default)]
struct Collector(Arc<Told>);

#[derive(Default)]
struct Told {
    traces: Mutex<Vec<ExportTraceServiceRequest>>,
    logs: Mutex<Vec<ExportLogsServiceRequest>>,
    metrics: Mutex<Vec<ExportMetricsServiceRequest>>,
    bell: Notify,
    /// Requests that it answers with 503, or `UNAVAILABLE`, before it takes any.
    refuses: Mutex<usize>,
    /// What those of HTTP held.
    refused: Mutex<Vec<u8>>,
    /// A span of this name it refuses for good.
    hates: Mutex<Option<String>>,
}

impl Collector {
    async fn http(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/logs", post(logs))
            .route("/v1/metrics", post(metrics))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    async fn grpc(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(self.clone()))
            .add_service(LogsServiceServer::new(self.clone()))
            .add_service(MetricsServiceServer::new(self.clone()));
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        url
    }

    fn busy(&self) -> bool {
        let mut left = self.0.refuses.lock().unwrap();
        let busy = *left > 0;
        *left = left.saturating_sub(1);
        busy
    }

    fn hates(&self, request: &ExportTraceServiceRequest) -> bool {
        let hated = self.0.hates.lock().unwrap().clone();
        hated.is_some_and(|name| spans_of(request).iter().any(|span| span.name == name))
    }

    fn spans(&self) -> Vec<Span> {
        self.0.traces.lock().unwrap().iter().flat_map(spans_of).collect()
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) {
        let wait = async {
            while !what(self) {
                self.0.bell.notified().await;
            }
        };
        tokio::time::timeout(LONG, wait).await.unwrap();
    }

    /// The spans of a run, once it was told that it ended.
    async fn of(&self, run: RunId) -> Vec<Span> {
        let ended = |span: &Span| span.name.starts_with("invoke_agent ") && text(span, "stead.run") == run.to_string();
        self.until(|told| told.spans().iter().any(ended)).await;
        self.spans().into_iter().filter(|span| text(span, "stead.run") == run.to_string()).collect()
    }

    /// All that it was told, as bytes.
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.0.traces.lock().unwrap().iter().for_each(|r| out.extend(r.encode_to_vec()));
        self.0.logs.lock().unwrap().iter().for_each(|r| out.extend(r.encode_to_vec()));
        self.0.metrics.lock().unwrap().iter().for_each(|r| out.extend(r.encode_to_vec()));
        out
    }
}

fn spans_of(request: &ExportTraceServiceRequest) -> Vec<Span> {
    let scopes = request.resource_spans.iter().flat_map(|of| &of.scope_spans);
    scopes.flat_map(|scope| scope.spans.clone()).collect()
}

fn text(span: &Span, key: &str) -> String {
    let value = span.attributes.iter().find(|a| a.key == key).and_then(|a| a.value.clone()?.value);
    match value {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(n)) => n.to_string(),
        Some(Any::BoolValue(yes)) => yes.to_string(),
        _ => String::new(),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|b| format!("{b:02x}")).collect()
}

fn answer<T: prost::Message + Default>(
    told: &Collector,
    headers: &axum::http::HeaderMap,
    body: &Bytes,
) -> Result<T, StatusCode> {
    assert_eq!(headers["authorization"], TOKEN);
    assert_eq!(headers["content-type"], "application/x-protobuf");
    if told.busy() {
        told.0.refused.lock().unwrap().extend_from_slice(body);
        told.0.bell.notify_one();
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    Ok(T::decode(body.clone()).unwrap())
}

async fn traces(
    State(told): State<Collector>,
    headers: axum::http::HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    match answer::<ExportTraceServiceRequest>(&told, &headers, &body) {
        Err(status) => status.into_response(),
        Ok(request) if told.hates(&request) => StatusCode::BAD_REQUEST.into_response(),
        Ok(request) => {
            told.0.traces.lock().unwrap().push(request);
            told.0.bell.notify_one();
            ExportTraceServiceResponse::default().encode_to_vec().into_response()
        }
    }
}

async fn logs(State(told): State<Collector>, headers: axum::http::HeaderMap, body: Bytes) -> axum::response::Response {
    match answer::<ExportLogsServiceRequest>(&told, &headers, &body) {
        Err(status) => status.into_response(),
        Ok(request) => {
            told.0.logs.lock().unwrap().push(request);
            told.0.bell.notify_one();
            Vec::<u8>::new().into_response()
        }
    }
}

async fn metrics(
    State(told): State<Collector>,
    headers: axum::http::HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    match answer::<ExportMetricsServiceRequest>(&told, &headers, &body) {
        Err(status) => status.into_response(),
        Ok(request) => {
            told.0.metrics.lock().unwrap().push(request);
            told.0.bell.notify_one();
            Vec::<u8>::new().into_response()
        }
    }
}

impl Collector {
    fn take<T: Clone>(&self, request: Request<T>, kept: &Mutex<Vec<T>>) -> Result<(), Status> {
        assert_eq!(request.metadata().get("authorization").unwrap(), TOKEN);
        if self.busy() {
            return Err(Status::unavailable("busy"));
        }
        kept.lock().unwrap().push(request.into_inner());
        self.0.bell.notify_one();
        Ok(())
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(request, &self.0.traces).map(|()| Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.take(request, &self.0.logs).map(|()| Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.take(request, &self.0.metrics).map(|()| Response::new(Default::default()))
    }
}

fn telling(c: &mut Config, endpoint: &str, protocol: Protocol) {
    c.telemetry = Telemetry {
        endpoint: Some(endpoint.to_owned()),
        protocol,
        every: Time(Duration::from_secs(1)),
        headers: BTreeMap::from([("Authorization".to_owned(), TOKEN.to_owned())]),
        ..Telemetry::default()
    };
}

/// Starts the run that asks a human, within somebody's trace; approves, and waits for its end.
async fn approved(lab: &Lab, headers: &[(&str, &str)]) -> Run {
    let body = json!({ "agent": "asking", "input": "Write down milk-of-the-marker" });
    let mut request = lab.ask(Method::POST, "/v1/runs").json(&body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let started: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    let run: RunId = started["run"].as_str().unwrap().parse().unwrap();
    let waiting = lab.client.wait(run, WaitUntil::Waiting).await.unwrap();
    lab.client.approve(waiting.approvals[0].id, None).await.unwrap();
    lab.ended(run).await
}

/// The ids of spans by name, of which there may be several.
fn ids(spans: &[Span]) -> BTreeSet<(String, String)> {
    spans.iter().map(|span| (span.name.clone(), hex(&span.span_id))).collect()
}

/// What `GET /v1/runs/{run}/trace` says, read with OpenTelemetry's types.
async fn again(lab: &Lab, run: RunId) -> Vec<Span> {
    let told = lab.client.trace(run, false).await.unwrap();
    spans_of(&serde_json::from_value::<ExportTraceServiceRequest>(told).unwrap())
}

async fn one_trace(protocol: Protocol) {
    let collector = Collector::default();
    let endpoint = match protocol {
        Protocol::Http => collector.http().await,
        Protocol::Grpc => collector.grpc().await,
    };
    let lab = Lab::with(|c| telling(c, &endpoint, protocol)).await;
    lab.asking().await;
    let run = approved(&lab, &[("traceparent", PARENT), ("tracestate", "shop=1042")]).await.summary.id;
    let spans = collector.of(run).await;
    // One trace, the caller's, in which every span has its parent, up to the step that asked.
    let known: BTreeSet<String> = spans.iter().map(|span| hex(&span.span_id)).collect();
    for span in &spans {
        assert_eq!((hex(&span.trace_id).as_str(), span.trace_state.as_str()), (TRACE, "shop=1042"), "{span:?}");
        let parent = hex(&span.parent_span_id);
        let top = span.name.starts_with("invoke_agent");
        assert_eq!(top, parent == PARENT[36..52], "{span:?}");
        assert!(top || known.contains(&parent), "{span:?}");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0);
    }
    let names: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    for name in [
        "invoke_agent asking",
        "chat rehearsal",
        "apply_guardrail policy",
        "wait_for_approval notes_add",
        "execute_tool notes_add",
        "attempt_tool notes_add",
    ] {
        assert!(names.contains(name), "{name} is missing: {names:?}");
    }
    let one = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (top, tool, chat) = (one("invoke_agent asking"), one("execute_tool notes_add"), one("chat rehearsal"));
    assert_eq!((top.kind, chat.kind), (SpanKind::Server as i32, SpanKind::Client as i32));
    assert_eq!(text(top, "gen_ai.operation.name"), "invoke_agent");
    assert_eq!(text(top, "stead.status"), "completed");
    assert_eq!(text(tool, "stead.effect.class"), "irreversible");
    assert_eq!(text(tool, "stead.effect.outcome"), "returned");
    assert!(text(chat, "gen_ai.usage.output_tokens").parse::<u64>().unwrap() > 0);
    let kinds: BTreeSet<String> = spans.iter().map(|span| text(span, "openinference.span.kind")).collect();
    assert_eq!(kinds, ["AGENT", "CHAIN", "GUARDRAIL", "LLM", "TOOL"].map(String::from).into());
    // Told again, elsewhere and later: the same spans under the same ids.
    assert_eq!(ids(&spans), ids(&again(&lab, run).await));
    // No word of the input, of arguments or of answers.
    for marker in ["milk", "It was added", "Write down"] {
        let told = collector.bytes();
        assert!(!told.windows(marker.len()).any(|part| part == marker.as_bytes()), "{marker} is told");
    }
    // The audit log and the counters are told as well.
    collector.until(|told| !told.0.logs.lock().unwrap().is_empty()).await;
    collector.until(|told| !told.0.metrics.lock().unwrap().is_empty()).await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    let metrics = collector.0.metrics.lock().unwrap().clone();
    for metric in
        metrics.iter().flat_map(|r| &r.resource_metrics).flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics)
    {
        assert!(
            page.contains(&format!("`{}`", metric.name)) || page.contains(&format!("`{}{{", metric.name)),
            "{}",
            metric.name
        );
    }
    lab.stop().await;
}

#[tokio::test]
async fn a_run_is_one_trace_that_a_collector_is_told_over_http() {
    one_trace(Protocol::Http).await;
}

#[tokio::test]
async fn a_run_is_one_trace_that_a_collector_is_told_over_grpc() {
    one_trace(Protocol::Grpc).await;
}

#[tokio::test]
async fn what_nobody_takes_is_told_by_a_later_process_and_lost_by_none() {
    // Nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let lab = Lab::with(|c| telling(c, &endpoint, Protocol::Http)).await;
    lab.asking().await;
    let run = approved(&lab, &[]).await.summary.id;
    let dir = lab.stop().await;
    let collector = Collector::default();
    *collector.0.refuses.lock().unwrap() = 2;
    let mut config = config(dir.path());
    telling(&mut config, &collector.http().await, Protocol::Http);
    let lab = Lab::over(dir, config).await;
    let spans = collector.of(run).await;
    assert_eq!(ids(&spans), ids(&again(&lab, run).await));
    assert_eq!(spans.len(), ids(&spans).len(), "nothing is told twice where nothing failed in between");
    lab.stop().await;
}

#[tokio::test]
async fn what_is_refused_for_good_is_left_out_alone_and_counted() {
    let collector = Collector::default();
    *collector.0.hates.lock().unwrap() = Some("wait_for_approval notes_add".to_owned());
    let endpoint = collector.http().await;
    let lab = Lab::with(|c| telling(c, &endpoint, Protocol::Http)).await;
    lab.asking().await;
    let run = approved(&lab, &[]).await.summary.id;
    let told = ids(&collector.of(run).await);
    let all = ids(&again(&lab, run).await);
    let missing: Vec<&str> = all.difference(&told).map(|(name, _)| name.as_str()).collect();
    assert_eq!(missing, ["wait_for_approval notes_add"]);
    let text = lab.get("/metrics").await.text().await.unwrap();
    assert!(text.contains("stead_telemetry_told_total{signal=\"traces\",result=\"dropped\"} 1"), "{text}");
    lab.stop().await;
}

#[tokio::test]
async fn contents_are_told_when_that_is_wanted_and_then_masked() {
    let collector = Collector::default();
    let endpoint = collector.http().await;
    let (secret, key) = ("s3cr3t-of-the-shop", "k3y-of-the-provider");
    let lab = Lab::with(|c| {
        telling(c, &endpoint, Protocol::Http);
        c.telemetry.content = Content::Redacted;
        c.agents.secrets.insert("shop".into());
        let folder = c.data_dir.parent().unwrap().join("secrets");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("shop"), secret).unwrap();
        // No entry names it, and a manifest may use it at the provider.
        std::fs::write(folder.join("OPENAI_API_KEY"), key).unwrap();
        // One that others can read is refused.
        for (path, mode) in
            [(folder.clone(), 0o700), (folder.join("shop"), 0o600), (folder.join("OPENAI_API_KEY"), 0o600)]
        {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        c.secrets.dir = Some(folder);
    })
    .await;
    lab.apply(ASKING, &ASKING_FILES).await;
    let body = json!({ "agent": "asking", "input": format!("Note: {secret}, {key}, of ada@example.com") });
    let started: serde_json::Value = lab.post("/v1/runs", &body).await.json().await.unwrap();
    let run: RunId = started["run"].as_str().unwrap().parse().unwrap();
    let waiting = lab.client.wait(run, WaitUntil::Waiting).await.unwrap();
    lab.client.approve(waiting.approvals[0].id, None).await.unwrap();
    lab.ended(run).await;
    let spans = collector.of(run).await;
    let one = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    assert_eq!(text(one("invoke_agent asking"), "input.value"), "Note: [secret], [secret], of [personal]");
    assert_eq!(text(one("invoke_agent asking"), "output.value"), "It was added.");
    assert!(text(one("execute_tool notes_add"), "gen_ai.tool.call.arguments").contains("milk"));
    let told = collector.bytes();
    for marker in [secret, key, "ada@example.com"] {
        assert!(!told.windows(marker.len()).any(|part| part == marker.as_bytes()), "{marker} is told");
    }
    lab.stop().await;
}

#[tokio::test]
async fn no_text_is_told_where_manifests_may_name_any_variable() {
    let collector = Collector::default();
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    telling(&mut config, &collector.http().await, Protocol::Http);
    config.telemetry.content = Content::Redacted;
    let lab = Lab::own(dir, config).await;
    lab.asking().await;
    let run = approved(&lab, &[]).await.summary.id;
    let spans = collector.of(run).await;
    assert!(spans.iter().all(|span| text(span, "input.value").is_empty()), "{spans:?}");
    assert!(!collector.bytes().windows(4).any(|part| part == b"milk"));
    lab.stop().await;
}

#[tokio::test]
async fn what_is_erased_while_the_collector_is_away_is_never_told() {
    let marker = "Zq7adaXw9marker";
    let collector = Collector::default();
    *collector.0.refuses.lock().unwrap() = usize::MAX;
    let endpoint = collector.http().await;
    let lab = Lab::with(|c| {
        telling(c, &endpoint, Protocol::Http);
        // What is told first are spans with their texts.
        c.telemetry.content = Content::Redacted;
        c.telemetry.logs = false;
        c.telemetry.metrics = false;
        c.auth.tokens.push(entry("token-of-ada", "ada", "default"));
    })
    .await;
    lab.asking().await;
    let ada = Client::new(&lab.url, "token-of-ada").unwrap();
    let wanted = StartRun { agent: "asking".into(), input: marker.into(), ..StartRun::default() };
    let run = ada.start_run(&wanted, None).await.unwrap().run;
    let waiting = lab.client.wait(run, WaitUntil::Waiting).await.unwrap();
    lab.client.approve(waiting.approvals[0].id, None).await.unwrap();
    lab.ended(run).await;
    let has = |all: &[u8]| all.windows(marker.len()).any(|part| part == marker.as_bytes());
    // It was about to be told.
    collector.until(|told| has(&told.0.refused.lock().unwrap())).await;
    let erase = Erase { subject: "ada".into(), ..Erase::default() };
    lab.client.erase(&erase).await.unwrap();
    // What was on its way meanwhile is refused too; what comes next was read after the erasure.
    let left = *collector.0.refuses.lock().unwrap();
    collector.until(|told| *told.0.refuses.lock().unwrap() < left).await;
    *collector.0.refuses.lock().unwrap() = 0;
    let spans = collector.of(run).await;
    assert!(spans.iter().any(|span| span.name == "chat rehearsal"), "{spans:?}");
    assert!(!has(&collector.bytes()), "an erased text is told");
    lab.stop().await;
}

#[tokio::test]
async fn what_is_damaged_of_one_run_keeps_no_other_from_being_told_of() {
    // Nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let redacted = |c: &mut Config, endpoint: &str| {
        telling(c, endpoint, Protocol::Http);
        c.telemetry.content = Content::Redacted;
    };
    let lab = Lab::with(|c| redacted(c, &endpoint)).await;
    lab.hello().await;
    // Too long to be in its record.
    let long = StartRun { agent: "hello".into(), input: "Hello. ".repeat(1_000), ..StartRun::default() };
    let damaged = lab.client.start_run(&long, None).await.unwrap().run;
    lab.ended(damaged).await;
    let dir = lab.stop().await;
    let conn = rusqlite::Connection::open(dir.path().join("data/stead.db")).unwrap();
    let gone = conn.execute("DELETE FROM blobs WHERE bid = (SELECT max(bid) FROM blobs)", []).unwrap();
    assert_eq!(gone, 1);
    drop(conn);
    let collector = Collector::default();
    let mut config = config(dir.path());
    redacted(&mut config, &collector.http().await);
    let lab = Lab::over(dir, config).await;
    let whole = lab.start("hello").await;
    let input =
        |spans: &[Span]| text(spans.iter().find(|span| span.name == "invoke_agent hello").unwrap(), "input.value");
    assert_eq!(input(&collector.of(whole).await), "Hi");
    assert_eq!(input(&collector.of(damaged).await), "");
    let page = lab.get("/metrics").await.text().await.unwrap();
    assert!(page.contains("stead_telemetry_damaged_total 1"), "{page}");
    lab.stop().await;
}

#[tokio::test]
async fn a_wrong_context_counts_as_none() {
    let lab = Lab::new().await;
    lab.asking().await;
    let twice = [("traceparent", PARENT), ("traceparent", PARENT)];
    let wrong: [&[(&str, &str)]; 3] = [
        &[("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01")],
        &twice,
        &[("tracestate", "a=1")],
    ];
    let mut traces = BTreeSet::new();
    for headers in wrong {
        let spans = again(&lab, approved(&lab, headers).await.summary.id).await;
        let top = spans.iter().find(|span| span.name == "invoke_agent asking").unwrap();
        assert!(top.parent_span_id.is_empty() && top.trace_state.is_empty(), "{top:?}");
        traces.insert(hex(&top.trace_id));
    }
    assert_eq!(traces.len(), 3);
    assert!(!traces.contains(TRACE));
    lab.stop().await;
}

#[tokio::test]
async fn a_run_that_waits_is_shown_as_far_as_it_has_come() {
    let lab = Lab::new().await;
    let run = lab.waiting().await.summary.id;
    let told = lab.client.trace(run, true).await.unwrap();
    let open: BTreeSet<String> = spans_of(&serde_json::from_value::<ExportTraceServiceRequest>(told).unwrap())
        .iter()
        .filter(|span| text(span, "stead.unfinished") == "true")
        .map(|span| span.name.clone())
        .collect();
    let waits = ["execute_tool notes_add", "invoke_agent asking", "wait_for_approval notes_add"];
    assert_eq!(open, waits.map(String::from).into());
    // Without it they are not there: a collector would have them twice, the second time with another end.
    assert!(again(&lab, run).await.iter().all(|span| !open.contains(&span.name)));
    lab.stop().await;
}
