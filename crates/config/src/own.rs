//! `muster.dev/v1alpha1 MusterConfiguration`: what kube-scheduler has no field for.

use crate::configuration::{Allowances, Configuration, Tracing};
use crate::defaults;
use crate::field::{Field, Section};
use muster_engine::{BatchSettings, GangSettings};
use muster_framework::group::WhenBroken;

/// The kind of the document.
pub(crate) const KIND: &str = "MusterConfiguration";
/// Its one version.
pub(crate) const API_VERSION: &str = "muster.dev/v1alpha1";

/// More than all cannot be sampled.
const MILLION: u32 = 1_000_000;

/// Applies the document to `configuration`.
pub(crate) fn apply(document: Field<'_>, configuration: &mut Configuration, allowances: &mut Allowances) {
    let Some(section) = document.section() else { return };
    section.must_be("apiVersion", API_VERSION);
    if section.get("apiVersion").is_none() {
        section.field().problem(format!("needs apiVersion: {API_VERSION}"));
    }
    section.must_be("kind", KIND);
    if let Some(seed) = section.get("seed").and_then(|field| field.integer()) {
        configuration.seed = seed;
    }
    if let Some(field) = section.get("podMaxInUnschedulable")
        && let Some(duration) = field.duration()
    {
        if duration.is_zero() {
            field.problem("must be greater than zero");
        }
        configuration.pod_max_in_unschedulable = duration;
    }
    if let Some(n) = positive(&section, "bindsInFlight") {
        configuration.binds_in_flight = n;
    }
    if let Some(n) = positive(&section, "statusWritesInFlight") {
        configuration.status_writes_in_flight = n;
    }
    if let Some(field) = section.get("gangs") {
        gangs(&field, &mut configuration.gangs);
    }
    if let Some(field) = section.get("batching") {
        batching(&field, &mut configuration.batching);
    }
    if let Some(field) = section.get("tracing") {
        configuration.tracing = tracing(&field);
    }
    if let Some(true) = section
        .get("allowDefaultSchedulerName")
        .and_then(|field| field.boolean())
    {
        allowances.default_scheduler_name = true;
    }
}

fn gangs(field: &Field<'_>, gangs: &mut GangSettings) {
    let Some(section) = field.section() else { return };
    if let Some(field) = section.get("whenBroken")
        && let Some(text) = field.string()
    {
        match text {
            "keep" => gangs.when_broken = WhenBroken::Keep,
            "evict" => gangs.when_broken = WhenBroken::Evict,
            other => field.problem(format!("must be keep or evict, not {other:?}")),
        }
    }
    if let Some(grace) = section.get("brokenGrace").and_then(|field| field.duration()) {
        gangs.broken_grace = grace;
    }
    if let Some(count) = section.get("succeededCount").and_then(|field| field.boolean()) {
        gangs.succeeded_count = count;
    }
}

fn batching(field: &Field<'_>, batching: &mut BatchSettings) {
    let Some(section) = field.section() else { return };
    if let Some(enabled) = section.get("enabled").and_then(|field| field.boolean()) {
        batching.enabled = enabled;
    }
    if let Some(every) = section.get("checkEvery").and_then(|field| field.integer()) {
        batching.check_every = every;
    }
}

/// Source: `ValidateTracingConfiguration` in `k8s.io/component-base/tracing/api/v1`. Other than there, what is spoken is OTLP
/// over HTTP, so an endpoint is a URL.
fn tracing(field: &Field<'_>) -> Option<Tracing> {
    let section = field.section()?;
    let mut tracing = Tracing {
        endpoint: defaults::TRACING_ENDPOINT.to_owned(),
        sampling_rate_per_million: 0,
    };
    if let Some(field) = section.get("endpoint")
        && let Some(url) = field.string()
    {
        match traces_url(url) {
            Ok(url) => tracing.endpoint = url,
            Err(problem) => field.problem(problem),
        }
    }
    match section.get("samplingRatePerMillion") {
        Some(field) => {
            let rate = field.integer().unwrap_or(0);
            if rate > MILLION {
                field.problem("must be at most 1000000");
            }
            tracing.sampling_rate_per_million = rate;
        }
        None => field.warning("has no effect without samplingRatePerMillion: nothing is traced"),
    }
    Some(tracing)
}

/// A collector's URL with the path of traces, which is OpenTelemetry's own where it states none.
fn traces_url(url: &str) -> Result<String, &'static str> {
    let host_and_path = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let Some(host_and_path) = host_and_path else {
        return Err(
            "must begin with http:// or https://: it is OTLP over HTTP, at port 4318 in most collectors, and not gRPC",
        );
    };
    let (host, path) = host_and_path.split_once('/').unwrap_or((host_and_path, ""));
    if host.is_empty()
        || host.contains('@')
        || url.contains(|c: char| c.is_whitespace() || c.is_control() || "?#".contains(c))
    {
        return Err("must be a URL such as http://otel-collector.monitoring:4318, without user, query and fragment");
    }
    if path.is_empty() {
        return Ok(format!("{}/v1/traces", url.trim_end_matches('/')));
    }
    Ok(url.to_owned())
}

fn positive(section: &Section<'_>, key: &str) -> Option<usize> {
    let field = section.get(key)?;
    let n: u16 = field.integer()?;
    if n == 0 {
        field.problem("must be greater than zero");
    }
    Some(n.into())
}
