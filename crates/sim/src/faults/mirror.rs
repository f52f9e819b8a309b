//! What a scheduler has been told, kept a second time and as simply as possible: the judge's measure of what it could
//! know.

use muster_engine::{Input, Object, ObjectKey};
use muster_framework::Text;
use muster_framework::group::{GroupKey, GroupLink, GroupPolicy};
use muster_framework::record::{Kind, NodeRecord, PodRecord, ResourceVersion, WorkloadRecord};
use muster_framework::resource::ResourceList;
use std::collections::{BTreeMap, BTreeSet};

/// A policy object by kind, namespace and name.
type PolicyKey = (Kind, Text, Text);

/// What a scheduler knows by what it was told.
#[derive(Debug, Clone, Default)]
pub(super) struct Mirror {
    /// By uid.
    pub(super) pods: BTreeMap<Text, PodRecord>,
    /// By name.
    pub(super) nodes: BTreeMap<Text, NodeRecord>,
    workloads: BTreeMap<PolicyKey, WorkloadRecord>,
    /// What the lists that are under way have named.
    named: BTreeMap<Kind, BTreeSet<(Text, Text, Text)>>,
}

impl Mirror {
    /// Takes in what the scheduler is told.
    pub(super) fn tell(&mut self, input: &Input) {
        match input {
            Input::Applied(object) => self.apply(object),
            Input::Deleted(key) => self.delete(key),
            Input::Undecodable { key, .. } => {
                let id = (key.namespace.clone(), key.name.clone(), key.uid.clone());
                if let Some(named) = self.named.get_mut(&key.kind) {
                    named.insert(id);
                }
            }
            Input::ListBegun(kind) => {
                self.named.insert(*kind, BTreeSet::new());
            }
            Input::ListDone(kind) => self.sweep(*kind),
            Input::KindNotServed(_) | Input::Leadership { .. } | Input::EffectDone { .. } => {}
        }
    }

    /// Takes in a pod, whoever tells of it.
    fn pod(&mut self, pod: &PodRecord) {
        let newer = |known: &PodRecord| known.resource_version < pod.resource_version;
        if self.pods.get(&pod.uid).is_none_or(newer) {
            self.pods.insert(pod.uid.clone(), pod.clone());
        }
    }

    /// Takes in a pod that was read; one that is known to be gone does not come back.
    pub(super) fn read(&mut self, pod: &PodRecord) {
        if self.pods.contains_key(&pod.uid) {
            self.pod(pod);
        }
    }

    fn apply(&mut self, object: &Object) {
        let (kind, id) = match object {
            Object::Pod(pod) => {
                self.pod(pod);
                (Kind::Pod, (pod.namespace.clone(), pod.name.clone(), pod.uid.clone()))
            }
            Object::Node(node) => {
                let newer = |known: &NodeRecord| known.resource_version < node.resource_version;
                if self.nodes.get(&node.name).is_none_or(newer) {
                    self.nodes.insert(node.name.clone(), node.clone());
                }
                (Kind::Node, ("".into(), node.name.clone(), "".into()))
            }
            Object::Workload(workload) => {
                let key = (Kind::Workload, workload.namespace.clone(), workload.name.clone());
                let id = (workload.namespace.clone(), workload.name.clone(), workload.uid.clone());
                self.workloads.insert(key, workload.clone());
                (Kind::Workload, id)
            }
            _ => return,
        };
        if let Some(named) = self.named.get_mut(&kind) {
            named.insert(id);
        }
    }

    fn delete(&mut self, key: &ObjectKey) {
        match key.kind {
            Kind::Pod => {
                self.pods.remove(&key.uid);
            }
            Kind::Node => {
                self.nodes.remove(&key.name);
            }
            kind => {
                self.workloads.remove(&(kind, key.namespace.clone(), key.name.clone()));
            }
        }
    }

    fn sweep(&mut self, kind: Kind) {
        let Some(named) = self.named.remove(&kind) else { return };
        match kind {
            Kind::Pod => {
                let uids: BTreeSet<&Text> = named.iter().map(|(_, _, uid)| uid).collect();
                self.pods.retain(|uid, _| uids.contains(uid));
            }
            Kind::Node => {
                let names: BTreeSet<&Text> = named.iter().map(|(_, name, _)| name).collect();
                self.nodes.retain(|name, _| names.contains(name));
            }
            kind => {
                let names: BTreeSet<(&Text, &Text)> = named.iter().map(|(space, name, _)| (space, name)).collect();
                self.workloads
                    .retain(|(of, space, name), _| *of != kind || names.contains(&(space, name)));
            }
        }
    }

    /// The key of a pod's group.
    pub(super) fn group_of(&self, uid: &str) -> Option<GroupKey> {
        let pod = self.pods.get(uid)?;
        Some(GroupKey {
            namespace: pod.namespace.clone(),
            link: pod.group.clone()?,
        })
    }

    /// The policy of a group.
    pub(super) fn policy(&self, group: &GroupKey) -> Policy {
        let GroupLink::Workload {
            workload, pod_group, ..
        } = &group.link
        else {
            return Policy::Missing;
        };
        let key = (Kind::Workload, group.namespace.clone(), workload.clone());
        let record = self.workloads.get(&key);
        let found = record.and_then(|record| record.pod_groups.iter().find(|(name, _)| name == pod_group));
        match found.map(|(_, policy)| policy) {
            Some(Ok(GroupPolicy::Gang { min_count })) => Policy::Gang((*min_count).max(1).unsigned_abs()),
            Some(Ok(GroupPolicy::Basic)) => Policy::Basic,
            Some(Err(_)) | None => Policy::Missing,
        }
    }
}

/// What is known of a group's policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// All or nothing, with this `minCount`.
    Gang(u32),
    /// One by one.
    Basic,
    /// There is none.
    Missing,
}

/// The first resource of which `used`, and `pods`, is more than a node has.
pub(super) fn shortage(node: &NodeRecord, used: &ResourceList, pods: i64) -> Option<&'static str> {
    [
        ("cpu", used.milli_cpu, node.allocatable.milli_cpu),
        ("memory", used.memory, node.allocatable.memory),
        ("pods", pods, node.allowed_pods),
    ]
    .into_iter()
    .find(|(_, used, has)| has < used)
    .map(|(name, ..)| name)
}

/// The version of a node, 0 if it is not there.
pub(super) fn version_of(node: Option<&NodeRecord>) -> ResourceVersion {
    node.map_or(0, |node| node.resource_version)
}
