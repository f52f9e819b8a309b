//! What health checks said, each time somebody asked: `/metrics/slis`, a page of its own that can be scraped more often.
//!
//! Source: `k8s.io/component-base/metrics/prometheus/slis/metrics.go`.

use super::Maker;
use crate::process::Process;
use prometheus::{IntCounterVec, IntGaugeVec, Registry, TextEncoder};

/// The metrics of health checks.
pub(crate) struct Slis {
    registry: Registry,
    result: IntGaugeVec,
    results: IntCounterVec,
}

impl Slis {
    /// None yet. When the process began stands on this page, too.
    pub(super) fn new(process: &Process) -> prometheus::Result<Slis> {
        let registry = Registry::new();
        let make = Maker(&registry);
        make.keep(process.start_time().clone())?;
        Ok(Slis {
            result: make.gauges(
                "kubernetes_healthcheck",
                "This metric records the result of a single healthcheck.",
                &["name", "type"],
            )?,
            results: make.counters(
                "kubernetes_healthchecks_total",
                "This metric records the results of all healthcheck.",
                &["name", "status", "type"],
            )?,
            registry,
        })
    }

    /// A check of a page (`livez`, `readyz`, `healthz`) passed, or did not.
    pub(crate) fn checked(&self, page: &str, check: &str, well: bool) {
        let status = if well { "success" } else { "error" };
        self.result.with_label_values(&[check, page]).set(well.into());
        self.results.with_label_values(&[check, status, page]).inc();
    }

    /// All of it in Prometheus' text format.
    pub(crate) fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
