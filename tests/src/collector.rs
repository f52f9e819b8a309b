//! A collector of OpenTelemetry traces for tests: takes OTLP over HTTP, and shows the spans that came.

use anyhow::{Context as _, Result};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::http_server::HttpServer;

/// The collector; it ends when it is dropped.
pub struct Collector(HttpServer);

impl Collector {
    /// Starts to serve on a free port.
    pub fn start() -> Result<Collector> {
        // An empty answer is that of OTLP to a request that was taken as a whole.
        HttpServer::start(|_, _| Vec::new()).map(Collector)
    }

    /// Its address, as a configuration names it.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// The spans that came so far.
    ///
    /// # Errors
    /// What came is not OTLP.
    pub fn spans(&self) -> Result<Vec<Span>> {
        let mut spans = Vec::new();
        for body in self.0.received("/v1/traces") {
            let request = ExportTraceServiceRequest::decode(body).context("reading what was exported")?;
            let scopes = request.resource_spans.into_iter().flat_map(|of| of.scope_spans);
            spans.extend(scopes.flat_map(|of| of.spans));
        }
        Ok(spans)
    }
}
