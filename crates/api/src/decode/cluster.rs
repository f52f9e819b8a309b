//! Namespaces and priority classes.

use super::{Fault, kube_object};
use muster_framework::record::{NamespaceRecord, PriorityClassRecord};

kube_object! {
    /// `v1` Namespace.
    Namespace {}
}

impl Namespace<'_> {
    pub(super) fn record(&self) -> Result<NamespaceRecord, Fault> {
        Ok(NamespaceRecord {
            name: super::intern::intern(&self.metadata.name),
            resource_version: self.metadata.version(),
            labels: self.metadata.labels(),
        })
    }
}

kube_object! {
    /// `scheduling.k8s.io/v1` PriorityClass.
    PriorityClass {
        value: Option<i32>,
        global_default: Option<bool>,
    }
}

impl PriorityClass<'_> {
    pub(super) fn record(&self) -> Result<PriorityClassRecord, Fault> {
        Ok(PriorityClassRecord {
            name: super::intern::intern(&self.metadata.name),
            resource_version: self.metadata.version(),
            value: self.value.unwrap_or(0),
            global_default: self.global_default.unwrap_or(false),
        })
    }
}
