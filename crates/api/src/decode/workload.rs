//! Workloads of Kubernetes 1.35: the policies of pod groups.

use super::json::{List, Presence, Str, Struct};
use super::path::Path;
use super::{Fault, kube_object};
use muster_framework::Text;
use muster_framework::group::GroupPolicy;
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

#[derive(Deserialize, Default)]
#[serde(default)]
struct Policy {
    basic: Presence,
    gang: Option<Struct<Gang>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Gang {
    /// Wider than the API's 32 bits, so that what does not fit is a problem of this group alone.
    min_count: Option<i64>,
}

impl Workload<'_> {
    pub(super) fn record(&self) -> Result<WorkloadRecord, Fault> {
        if self.metadata.uid.is_empty() {
            return Err(Fault::new("metadata.uid", "is missing"));
        }
        let list = Path::Root("spec.podGroups");
        let group =
            |(at, group): (usize, &Struct<PodGroup<'_>>)| (Text::from(&*group.name), group.policy(list.item(at)));
        Ok(WorkloadRecord {
            namespace: self.metadata.namespace(),
            name: Text::from(&*self.metadata.name),
            uid: Text::from(&*self.metadata.uid),
            resource_version: self.metadata.version(),
            pod_groups: self.spec.pod_groups.iter().enumerate().map(group).collect(),
            when_broken: None,
        })
    }
}

impl PodGroup<'_> {
    /// The policy, or what is wrong with it, naming the field.
    fn policy(&self, path: Path<'_>) -> Result<GroupPolicy, Text> {
        let policy = path.field("policy");
        match (&self.policy.basic, &self.policy.gang) {
            (Some(_), None) => Ok(GroupPolicy::Basic),
            (None, Some(gang)) => gang
                .min_count(policy.field("gang"))
                .map(|min_count| GroupPolicy::Gang { min_count }),
            (None, None) => Err(format!("{policy}: states neither basic nor gang").into()),
            (Some(_), Some(_)) => Err(format!("{policy}: states both basic and gang").into()),
        }
    }
}

impl Gang {
    fn min_count(&self, path: Path<'_>) -> Result<i32, Text> {
        let field = path.field("minCount");
        match self.min_count {
            None => Err(format!("{field}: is missing").into()),
            Some(count) if count < 1 => Err(format!("{field}: {count} is less than 1").into()),
            Some(count) => {
                i32::try_from(count).map_err(|_| format!("{field}: {count} is more than {}", i32::MAX).into())
            }
        }
    }
}
