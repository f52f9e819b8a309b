//! Requests to the API server, as client-go counts them.
//!
//! Source: `k8s.io/component-base/metrics/prometheus/restclient/metrics.go`.

use super::Maker;
use super::counted::Distribution;
use super::kept::Kept;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use std::sync::OnceLock;
use std::time::Duration;

/// In seconds.
const BUCKETS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OTHER"];
/// What nearly every answer says.
const USUAL: [u16; 3] = [200, 201, 409];

/// The metrics of requests.
pub(super) struct Requests {
    total: IntCounterVec,
    duration: HistogramVec,
    rate_limiter: HistogramVec,
    /// Host and port of the API server.
    host: OnceLock<String>,
    usual: [Kept<IntCounter, { USUAL.len() }>; METHODS.len()],
    durations: Kept<Histogram, { METHODS.len() }>,
    rate_limited: Kept<Histogram, { METHODS.len() }>,
}

impl Requests {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Requests> {
        Ok(Requests {
            total: make.counters(
                "rest_client_requests_total",
                "Number of HTTP requests, partitioned by status code, method, and host.",
                &["code", "method", "host"],
            )?,
            duration: make.histograms(
                "rest_client_request_duration_seconds",
                "Request latency in seconds. Broken down by verb, and host.",
                BUCKETS.to_vec(),
                &["verb", "host"],
            )?,
            rate_limiter: make.histograms(
                "rest_client_rate_limiter_duration_seconds",
                "Client side rate limiter latency in seconds. Broken down by verb, and host.",
                BUCKETS.to_vec(),
                &["verb", "host"],
            )?,
            host: OnceLock::new(),
            usual: std::array::from_fn(|_| Kept::none()),
            durations: Kept::none(),
            rate_limited: Kept::none(),
        })
    }

    /// All requests go there. Only the first word counts: series are kept by it.
    pub(super) fn go_to(&self, host: &str) {
        self.host.get_or_init(|| host.to_owned());
    }

    /// How long requests took until they were answered.
    pub(super) fn durations(&self) -> Distribution {
        Distribution::of(&self.duration)
    }

    pub(super) fn count(&self, method: &str, status: Option<u16>, took: Duration) {
        let (host, at) = (self.host(), place(method));
        let total = |code: &str| self.total.with_label_values(&[code, METHODS[at], host]);
        match status {
            None => total("<error>").inc(),
            Some(status) => match USUAL.iter().position(|usual| *usual == status) {
                Some(usual) => self.usual[at].at(usual, || total(&status.to_string())).inc(),
                None => total(&status.to_string()).inc(),
            },
        }
        let duration = || self.duration.with_label_values(&[METHODS[at], host]);
        self.durations.at(at, duration).observe(took.as_secs_f64());
    }

    /// A request had to wait before it was sent. Appears with the first: without a limit there is no such wait.
    pub(super) fn rate_limited(&self, method: &str, waited: Duration) {
        let (host, at) = (self.host(), place(method));
        let limited = || self.rate_limiter.with_label_values(&[METHODS[at], host]);
        self.rate_limited.at(at, limited).observe(waited.as_secs_f64());
    }

    fn host(&self) -> &str {
        self.host.get().map_or("", String::as_str)
    }
}

/// Where a method stands among those that are told apart.
fn place(method: &str) -> usize {
    let known = METHODS.iter().position(|known| *known == method);
    known.unwrap_or(METHODS.len() - 1)
}
