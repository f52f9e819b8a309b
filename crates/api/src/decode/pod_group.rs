//! Pod groups: of Kubernetes 1.36 and 1.37, and of the coscheduling CRD.

use super::json::Struct;
use super::{Fault, kube_object};
use muster_framework::record::{Kind, PodGroupRecord};
use serde::Deserialize;

kube_object! {
    /// A PodGroup of any of the three APIs.
    PodGroup {
        #[serde(borrow)]
        spec: Struct<PodGroupSpec<'a>>,
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PodGroupSpec<'a> {
    #[serde(borrow)]
    priority_class_name: super::json::Str<'a>,
}

impl PodGroup<'_> {
    pub(super) fn record(&self, _kind: Kind) -> Result<PodGroupRecord, Fault> {
        Err(Fault::new(
            "spec",
            format_args!("is not read yet {}", &*self.spec.priority_class_name),
        ))
    }
}
