//! `muster.dev/v1alpha1 MusterConfiguration`: what kube-scheduler has no field for.

use crate::configuration::{Allowances, Configuration};
use crate::field::{Field, Section};

/// Applies the document to `configuration`.
pub(crate) fn apply(document: Field<'_>, configuration: &mut Configuration, allowances: &mut Allowances) {
    let Some(section) = document.section() else { return };
    section.must_be("apiVersion", "muster.dev/v1alpha1");
    if section.get("apiVersion").is_none() {
        section.field().problem("needs apiVersion: muster.dev/v1alpha1");
    }
    section.must_be("kind", "MusterConfiguration");
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
    if let Some(true) = section
        .get("allowDefaultSchedulerName")
        .and_then(|field| field.boolean())
    {
        allowances.default_scheduler_name = true;
    }
}

fn positive(section: &Section<'_>, key: &str) -> Option<usize> {
    let field = section.get(key)?;
    let n: u16 = field.integer()?;
    if n == 0 {
        field.problem("must be greater than zero");
    }
    Some(n.into())
}
