//! Brings spans to the collector: OTLP over HTTP, in protobuf, in batches. What finds no room is dropped and counted, so a
//! collector that is slow or away holds up nobody.

use crate::metrics::Metrics;
use async_trait::async_trait;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::TokioExecutor;
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Spans that may wait: what 64 binds at once bring in about a second.
const WAITING: usize = 1 << 14;
/// The most spans of one request: some 200 kB.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const GATHERING: Duration = Duration::from_secs(1);
/// How long the collector may take for a batch, further tries included.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// What is wrong with the collector is said so often at the most.
const BETWEEN_COMPLAINTS: Duration = Duration::from_secs(60);
/// An answer that is longer is none.
const ANSWER_BYTES: usize = 1 << 20;

/// The collector's URL cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot export traces to {endpoint}")]
pub struct StartTracesError {
    endpoint: String,
    source: opentelemetry_otlp::ExporterBuildError,
}

/// Where spans go, and who says so.
pub struct Collector {
    endpoint: String,
    instance: String,
    client: Arc<dyn HttpClient>,
}

impl Collector {
    /// The collector at this URL, which takes traces there, reached by this connector; `instance` tells apart several Musters.
    pub fn new(endpoint: &str, instance: &str, connector: impl Connect + Clone + Send + Sync + 'static) -> Collector {
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Collector {
            endpoint: endpoint.to_owned(),
            instance: instance.to_owned(),
            client: Arc::new(Wire(client)),
        }
    }
}

/// The exporter's requests, over the HTTP client that the workspace has anyway.
struct Wire<C>(Client<C, Full<Bytes>>);

impl<C> std::fmt::Debug for Wire<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

#[async_trait]
impl<C: Connect + Clone + Send + Sync + 'static> HttpClient for Wire<C> {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = self.0.request(request.map(Full::new)).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

/// Takes spans. Never blocks.
pub(super) struct Outlet {
    spans: mpsc::Sender<SpanData>,
    metrics: Arc<Metrics>,
}

impl Outlet {
    pub(super) fn put(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.metrics.spans_dropped("queue_full", 1);
        }
    }
}

/// The export under way.
pub struct Exporting {
    finish: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporting {
    /// Exports what still waits, for as long as this at the most; spans that are made from now on are dropped.
    pub async fn finish(self, within: Duration) {
        // The task listens for as long as it runs.
        let _ = self.finish.send(());
        let task = self.task.abort_handle();
        if timeout(within, self.task).await.is_err() {
            task.abort();
            tracing::warn!("the end came before all traces were exported");
        }
    }
}

pub(super) fn start(collector: Collector, metrics: Arc<Metrics>) -> Result<(Outlet, Exporting), StartTracesError> {
    let Collector {
        endpoint,
        instance,
        client,
    } = collector;
    let exporter = OtlpExporter::builder()
        .with_http()
        .with_shared_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build();
    let mut exporter = exporter.map_err(|source| StartTracesError {
        endpoint: endpoint.clone(),
        source,
    })?;
    let resource = Resource::builder()
        .with_service_name("muster")
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance),
        ])
        .build();
    exporter.set_resource(&resource);
    Ok(start_with(exporter, endpoint, metrics, WAITING))
}

/// Starts the task that exports; so many spans may wait.
pub(super) fn start_with(
    exporter: impl SpanExporter + 'static,
    endpoint: String,
    metrics: Arc<Metrics>,
    waiting: usize,
) -> (Outlet, Exporting) {
    let (sender, spans) = mpsc::channel(waiting);
    let (finish, finished) = oneshot::channel();
    let export = Export {
        exporter,
        endpoint,
        metrics: Arc::clone(&metrics),
        complained: None,
    };
    let task = tokio::spawn(export.run(spans, finished));
    (Outlet { spans: sender, metrics }, Exporting { finish, task })
}

struct Export<E> {
    exporter: E,
    endpoint: String,
    metrics: Arc<Metrics>,
    complained: Option<Instant>,
}

impl<E: SpanExporter> Export<E> {
    /// Exports batch by batch, until the end is asked for and what waited then is exported.
    async fn run(mut self, mut spans: mpsc::Receiver<SpanData>, mut finished: oneshot::Receiver<()>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut ending = false;
        loop {
            tokio::select! {
                taken = spans.recv_many(&mut batch, BATCH) => if taken == 0 { return },
                _ = &mut finished, if !ending => {
                    ending = true;
                    spans.close();
                    continue;
                }
            }
            let gathering = tokio::time::sleep(GATHERING);
            tokio::pin!(gathering);
            while !ending && batch.len() < BATCH {
                let room = BATCH - batch.len();
                tokio::select! {
                    taken = spans.recv_many(&mut batch, room) => if taken == 0 { break },
                    _ = &mut finished => {
                        ending = true;
                        spans.close();
                    }
                    () = &mut gathering => break,
                }
            }
            self.export(std::mem::take(&mut batch)).await;
        }
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len();
        let problem = match timeout(EXPORT_TIMEOUT, self.exporter.export(batch)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {}s", EXPORT_TIMEOUT.as_secs()),
        };
        self.metrics.spans_dropped("not_taken", spans);
        if self.complained.is_none_or(|at| at.elapsed() >= BETWEEN_COMPLAINTS) {
            self.complained = Some(Instant::now());
            tracing::warn!(endpoint = self.endpoint, error = %problem, "traces cannot be exported: they are dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

    #[derive(Debug)]
    struct Refuses;

    impl SpanExporter for Refuses {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Err(OTelSdkError::InternalFailure("not today".to_owned()))
        }
    }

    #[tokio::test]
    async fn trouble_is_said_once_a_minute() {
        let mut export = Export {
            exporter: Refuses,
            endpoint: "nowhere".to_owned(),
            metrics: Arc::new(Metrics::new(&[]).unwrap()),
            complained: None,
        };
        export.export(Vec::new()).await;
        let first = export.complained.expect("it is said");
        export.export(Vec::new()).await;
        assert_eq!(export.complained, Some(first), "it stands in the log already");
        export.complained = first.checked_sub(BETWEEN_COMPLAINTS);
        export.export(Vec::new()).await;
        assert!(export.complained > Some(first), "it is said again");
    }
}
