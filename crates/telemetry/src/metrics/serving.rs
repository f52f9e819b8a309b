//! The server's own callers: who they were, what they were allowed, and what it cost to find out.
//!
//! All names are upstream's, as kube-scheduler shows them for its own endpoints. Sources: `metrics.go` in
//! `k8s.io/apiserver/pkg/{endpoints/filters,authentication/authenticatorfactory,authorization/authorizerfactory}`, `stats.go`
//! in `pkg/authentication/token/cache`.

use super::Maker;
use prometheus::{DEFAULT_BUCKETS, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, exponential_buckets};
use std::time::Duration;

/// Upstream's buckets for requests to the API server, in seconds.
const REVIEW_BUCKETS: [f64; 8] = [0.25, 0.5, 0.7, 1.0, 1.5, 3.0, 5.0, 10.0];

/// The metrics of the server. Clones count together.
#[derive(Clone)]
pub(crate) struct Serving {
    user_requests: IntCounterVec,
    authentications: IntCounterVec,
    authentication_duration: HistogramVec,
    authorizations: IntCounterVec,
    authorization_duration: HistogramVec,
    cache_requests: IntCounterVec,
    cache_request_duration: HistogramVec,
    cache_fetches: IntCounterVec,
    cache_fetches_active: IntGaugeVec,
    token_reviews: IntCounterVec,
    token_review_duration: HistogramVec,
    access_reviews: IntCounterVec,
    access_review_duration: HistogramVec,
}

impl Serving {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Serving> {
        let steps = exponential_buckets(0.001, 2.0, 15)?;
        Ok(Serving {
            user_requests: make.counters(
                "authenticated_user_requests",
                "Counter of authenticated requests broken out by username.",
                &["username"],
            )?,
            authentications: make.counters(
                "authentication_attempts",
                "Counter of authenticated attempts.",
                &["result"],
            )?,
            authentication_duration: make.histograms(
                "authentication_duration_seconds",
                "Authentication duration in seconds broken out by result.",
                steps.clone(),
                &["result"],
            )?,
            authorizations: make.counters(
                "authorization_attempts_total",
                "Counter of authorization attempts broken down by result. It can be either 'allowed', 'denied', 'no-opinion' \
                 or 'error'.",
                &["result"],
            )?,
            authorization_duration: make.histograms(
                "authorization_duration_seconds",
                "Authorization duration in seconds broken out by result.",
                steps,
                &["result"],
            )?,
            cache_requests: make.counters(
                "authentication_token_cache_request_total",
                "Number of tokens that callers showed, by whether it was known whose they are.",
                &["status"],
            )?,
            cache_request_duration: make.histograms(
                "authentication_token_cache_request_duration_seconds",
                "How long it took to know whose a token is, in seconds.",
                DEFAULT_BUCKETS.to_vec(),
                &["status"],
            )?,
            cache_fetches: make.counters(
                "authentication_token_cache_fetch_total",
                "Number of questions to the API server whose a token is, by whether they were answered.",
                &["status"],
            )?,
            cache_fetches_active: make.gauges(
                "authentication_token_cache_active_fetch_count",
                "Number of callers that wait for the API server to say whose their token is, and of questions that it has.",
                &["status"],
            )?,
            token_reviews: make.counters(
                "apiserver_delegated_authn_request_total",
                "Number of HTTP requests partitioned by status code.",
                &["code"],
            )?,
            token_review_duration: make.histograms(
                "apiserver_delegated_authn_request_duration_seconds",
                "Request latency in seconds. Broken down by status code.",
                REVIEW_BUCKETS.to_vec(),
                &["code"],
            )?,
            access_reviews: make.counters(
                "apiserver_delegated_authz_request_total",
                "Number of HTTP requests partitioned by status code.",
                &["code"],
            )?,
            access_review_duration: make.histograms(
                "apiserver_delegated_authz_request_duration_seconds",
                "Request latency in seconds. Broken down by status code.",
                REVIEW_BUCKETS.to_vec(),
                &["code"],
            )?,
        })
    }

    /// A caller was identified, or not. `result` is `success`, `failure` or `error`.
    pub(crate) fn authentication(&self, result: &str, username: Option<&str>, took: Duration) {
        self.authentications.with_label_values(&[result]).inc();
        self.authentication_duration
            .with_label_values(&[result])
            .observe(took.as_secs_f64());
        if let Some(username) = username {
            self.user_requests.with_label_values(&[compressed(username)]).inc();
        }
    }

    /// It was found out what a caller may do. `result` is `allowed`, `no-opinion` or `error`.
    pub(crate) fn authorization(&self, result: &str, took: Duration) {
        self.authorizations.with_label_values(&[result]).inc();
        self.authorization_duration
            .with_label_values(&[result])
            .observe(took.as_secs_f64());
    }

    /// A token was looked for among those that are known.
    pub(crate) fn token_cache(&self, hit: bool, took: Duration) {
        let status = if hit { "hit" } else { "miss" };
        self.cache_requests.with_label_values(&[status]).inc();
        self.cache_request_duration
            .with_label_values(&[status])
            .observe(took.as_secs_f64());
    }

    /// A caller waits to hear whose a token is, for as long as this is kept.
    pub(crate) fn token_awaited(&self) -> UnderWay {
        UnderWay::begin(&self.cache_fetches_active, "blocked")
    }

    /// The API server is being asked whose a token is, for as long as this is kept.
    pub(crate) fn token_asked_about(&self) -> UnderWay {
        UnderWay::begin(&self.cache_fetches_active, "in_flight")
    }

    /// The API server was asked whose a token is.
    pub(crate) fn token_review(&self, code: Option<u16>, took: Duration, answered: bool) {
        let status = if answered { "ok" } else { "error" };
        self.cache_fetches.with_label_values(&[status]).inc();
        count(&self.token_reviews, &self.token_review_duration, code, took);
    }

    /// The API server was asked what somebody may do.
    pub(crate) fn access_review(&self, code: Option<u16>, took: Duration) {
        count(&self.access_reviews, &self.access_review_duration, code, took);
    }
}

/// One more that is under way, until it is dropped: a caller may go before there is an answer.
pub(crate) struct UnderWay(IntGauge);

impl UnderWay {
    fn begin(gauges: &IntGaugeVec, status: &str) -> UnderWay {
        let gauge = gauges.with_label_values(&[status]);
        gauge.inc();
        UnderWay(gauge)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn count(total: &IntCounterVec, duration: &HistogramVec, code: Option<u16>, took: Duration) {
    let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
    total.with_label_values(&[&code]).inc();
    duration.with_label_values(&[&code]).observe(took.as_secs_f64());
}

/// A user as a label: from a closed list. Source: `compressUsername` in `endpoints/filters/metrics.go`.
fn compressed(username: &str) -> &'static str {
    const KNOWN: [&str; 5] = [
        "admin",
        "client",
        "kube_proxy",
        "kubelet",
        "system:serviceaccount:kube-system:default",
    ];
    match KNOWN.into_iter().find(|known| *known == username) {
        Some(known) => known,
        None if username.contains('@') => "email_id",
        None => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn users_are_no_labels() {
        let metrics = Metrics::new(&[]).unwrap();
        let serving = metrics.serving();
        for user in ["jane", "jane@example.org", "kubelet", "system:serviceaccount:x:y"] {
            serving.authentication("success", Some(user), Duration::from_millis(2));
        }
        serving.token_review(None, Duration::from_secs(11), false);
        let text = metrics.render().unwrap();
        for line in [
            "authenticated_user_requests{username=\"other\"} 2",
            "authenticated_user_requests{username=\"email_id\"} 1",
            "authenticated_user_requests{username=\"kubelet\"} 1",
            "authentication_attempts{result=\"success\"} 4",
            "authentication_duration_seconds_bucket{result=\"success\",le=\"0.002\"} 4",
            "apiserver_delegated_authn_request_total{code=\"<error>\"} 1",
            "authentication_token_cache_fetch_total{status=\"error\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("jane"));
    }
}
