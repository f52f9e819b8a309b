//! Workloads of Kubernetes 1.35: the policies of pod groups.

use super::group_policy::Policy;
use super::json::{List, Str, Struct};
use super::path::Path;
use super::{Fault, kube_object};
use muster_framework::Text;
use muster_framework::record::WorkloadRecord;
use serde::Deserialize;

kube_object! {
    /// `scheduling.k8s.io/v1alpha1` Workload.
    Workload {
        #[serde(borrow)]
        spec: Struct<WorkloadSpec<'a>>,
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WorkloadSpec<'a> {
    #[serde(borrow)]
    pod_groups: List<Struct<PodGroup<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodGroup<'a> {
    #[serde(borrow)]
    name: Str<'a>,
    policy: Struct<Policy>,
}

impl Workload<'_> {
    pub(super) fn record(&self) -> Result<WorkloadRecord, Fault> {
        if self.metadata.uid.is_empty() {
            return Err(Fault::new("metadata.uid", "is missing"));
        }
        let list = Path::Root("spec.podGroups");
        let group = |(at, group): (usize, &Struct<PodGroup<'_>>)| {
            let path = list.item(at);
            (Text::from(&*group.name), group.policy.read(path.field("policy")))
        };
        Ok(WorkloadRecord {
            namespace: self.metadata.namespace(),
            name: Text::from(&*self.metadata.name),
            uid: Text::from(&*self.metadata.uid),
            resource_version: self.metadata.version(),
            pod_groups: self.spec.pod_groups.iter().enumerate().map(group).collect(),
            when_broken: self.metadata.annotations.when_broken(),
        })
    }
}
