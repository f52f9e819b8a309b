//! Pod groups: of Kubernetes 1.36 and 1.37, and of the coscheduling CRD.

use super::group_policy::{Policy, gang_of};
use super::intern::intern;
use super::json::{List, Str, Struct};
use super::path::{Path, Problems};
use super::placement::Skipped;
use super::{Fault, kube_object};
use crate::group_names::{condition_type, phase_named};
use muster_framework::Text;
use muster_framework::group::{GroupPolicy, GroupStatus};
use muster_framework::record::{Kind, PodGroupRecord};
use serde::Deserialize;

kube_object! {
    /// A PodGroup of any of the three APIs.
    PodGroup {
        #[serde(borrow)]
        spec: Struct<PodGroupSpec<'a>>,
        #[serde(borrow)]
        status: Struct<Status<'a>>,
    }
}

/// The fields of all three. What only tells whom preemption may take (`disruptionMode`, `preemptionPolicy`), how long the
/// plugin of the CRD waits (`scheduleTimeoutSeconds`), or what a group of its size needs at the least (`minResources`: the
/// plan finds out exactly) changes nothing for Muster.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PodGroupSpec<'a> {
    scheduling_policy: Struct<Policy>,
    scheduling_constraints: Struct<Constraints>,
    resource_claims: List<Skipped>,
    #[serde(borrow)]
    parent_composite_pod_group_name: Str<'a>,
    priority: Option<i32>,
    /// Of the CRD.
    min_member: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Constraints {
    topology: List<Skipped>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status<'a> {
    #[serde(borrow)]
    conditions: List<Struct<Condition<'a>>>,
    #[serde(borrow)]
    phase: Str<'a>,
    running: Option<i64>,
    succeeded: Option<i64>,
    failed: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition<'a> {
    #[serde(borrow)]
    r#type: Str<'a>,
    #[serde(borrow)]
    status: Str<'a>,
    #[serde(borrow)]
    reason: Str<'a>,
    #[serde(borrow)]
    message: Str<'a>,
}

impl PodGroup<'_> {
    pub(super) fn record(&self, kind: Kind) -> Result<PodGroupRecord, Fault> {
        let metadata = &self.metadata;
        if metadata.uid.is_empty() {
            return Err(Fault::new("metadata.uid", "is missing"));
        }
        let problems = Problems::default();
        let (policy, status) = if kind == Kind::CoschedulingPodGroup {
            (self.spec.coscheduling_policy(), self.status.in_phase())
        } else {
            self.spec.note_unsupported(&problems);
            let policy = self.spec.scheduling_policy.read(Path::Root("spec.schedulingPolicy"));
            (policy, self.status.condition(kind))
        };
        Ok(PodGroupRecord {
            kind,
            namespace: metadata.namespace(),
            name: Text::from(&*metadata.name),
            uid: Text::from(&*metadata.uid),
            resource_version: metadata.version(),
            generation: metadata.generation.unwrap_or(0),
            policy,
            when_broken: metadata.annotations.when_broken(),
            priority: self.spec.priority,
            terminating: metadata.deletion_timestamp.is_some(),
            unsupported: problems.into_list(),
            status,
        })
    }
}

impl PodGroupSpec<'_> {
    /// To the plugin of the CRD, none is the same as 0, and nobody waits for others.
    /// Source: `PodGroupManager.PreFilter` and `Permit` of scheduler-plugins.
    fn coscheduling_policy(&self) -> Result<GroupPolicy, Text> {
        match self.min_member.unwrap_or(0) {
            0 => Ok(GroupPolicy::Basic),
            count => gang_of(count, "spec.minMember"),
        }
    }

    /// Notes what is in order, but beyond Muster.
    fn note_unsupported(&self, problems: &Problems) {
        if !self.parent_composite_pod_group_name.is_empty() {
            problems.add(
                Path::Root("spec.parentCompositePodGroupName"),
                "composite pod groups are not supported yet",
            );
        }
        if !self.scheduling_constraints.topology.is_empty() {
            problems.add(
                Path::Root("spec.schedulingConstraints.topology"),
                "topology constraints of pod groups are not supported yet",
            );
        }
        if !self.resource_claims.is_empty() {
            problems.add(
                Path::Root("spec.resourceClaims"),
                "devices by resource claims (dynamic resource allocation) are not supported yet",
            );
        }
    }
}

impl Status<'_> {
    fn condition(&self, kind: Kind) -> Option<GroupStatus> {
        let wanted = condition_type(kind)?;
        let condition = self.conditions.iter().find(|c| *c.r#type == *wanted)?;
        let scheduled = match &*condition.status {
            "True" => true,
            "False" => false,
            // As good as none: it is still to be said.
            _ => return None,
        };
        Some(GroupStatus::Condition {
            scheduled,
            reason: intern(&condition.reason),
            message: Text::from(&*condition.message),
        })
    }

    fn in_phase(&self) -> Option<GroupStatus> {
        // What nobody can have counted differs from every count, so that it is written anew.
        let count = |stated: Option<i64>| u32::try_from(stated.unwrap_or(0)).unwrap_or(u32::MAX);
        Some(GroupStatus::Phase {
            phase: phase_named(&self.phase)?,
            running: count(self.running),
            succeeded: count(self.succeeded),
            failed: count(self.failed),
        })
    }
}
