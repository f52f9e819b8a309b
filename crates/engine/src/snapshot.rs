//! Everything that an engine knows, as records again: what `muster snapshot` writes down.
//!
//! It is taken in one piece, so that it fits together: most of it is counted references, about half a microsecond a pod.
//! Spelling it out and compressing it is somebody else's work, elsewhere.

use crate::effect::PodRef;
use crate::engine::Engine;
use crate::explain::Attempt;
use crate::groups::PolicyObject;
use crate::input::Object;
use crate::observation::Section;
use crate::pods::{BindStage, Pod, PodId};
use crate::queue::{Entity, Standing};
use crate::time::Time;
use muster_framework::Text;
use muster_framework::record::{Kind, NamespaceRecord, NodeRecord};
use std::time::Duration;

/// What an engine knows at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Every object, by kind in the order of [`Kind::ALL`]. Pods stand as the engine counts them: which of a gang's members
    /// is tried first depends on it. Other kinds stand by namespace and name. Versions that the engine does not keep are 0.
    pub objects: Vec<Object>,
    /// Kinds that the cluster does not serve.
    pub not_served: Vec<Kind>,
    /// What waits: the active section first, in the order in which it is tried.
    pub queue: Vec<QueuedEntity>,
    /// Places that are held for pods whose bind no watch has confirmed, by namespace and name.
    pub reservations: Vec<Reservation>,
    /// Gangs that are broken since nodes were lost, by name.
    pub broken: Vec<BrokenGang>,
}

/// A single pod, or a pod group, that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedEntity {
    /// Whether it is a group.
    pub is_group: bool,
    /// The pod as `namespace/name`, or the group as messages name it.
    pub name: Text,
    /// Where in the queue.
    pub section: Section,
    /// Its priority.
    pub priority: i32,
    /// How many pods it stands for.
    pub pods: u32,
    /// How often it has been tried.
    pub attempts: u32,
    /// Since when it has been known.
    pub waited: Duration,
    /// How much of its backoff is left.
    pub backoff: Duration,
    /// Why it waits, in one word; empty when it has not been tried.
    pub reason: Text,
    /// Why it waits, for a person; empty likewise.
    pub message: Text,
    /// The last tries, the latest first, as far as they are remembered.
    pub tried: Vec<Attempt>,
}

/// A place that is held for a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The pod.
    pub pod: PodRef,
    /// The node.
    pub node: Text,
    /// How far its bind has come, in one word: `Preparing`, `Ready`, `Leaving`, `Sent`, `Reading`, `Confirmed`.
    pub stage: Text,
    /// After how long something is done about it; None: it needs no end.
    pub deadline: Option<Duration>,
}

/// A gang that runs below its `minCount` since it lost members with nodes. What befell these shows in the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenGang {
    /// The gang, as messages name it.
    pub group: Text,
    /// The nodes, those lost last at the end.
    pub lost_nodes: Vec<Text>,
}

impl Engine {
    /// Everything that is known now.
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let mut objects: Vec<Object> = self.small_objects().collect();
        objects.extend(self.nodes());
        objects.extend(self.pod_records());
        let place = |kind: Kind| Kind::ALL.iter().position(|other| *other == kind);
        objects.sort_by_cached_key(|object| {
            let path = (object.kind() != Kind::Pod).then(|| object.path());
            (place(object.kind()), path)
        });
        Snapshot {
            objects,
            not_served: Kind::ALL
                .into_iter()
                .filter(|kind| self.lists[*kind as usize].absent)
                .collect(),
            queue: self
                .queue
                .standings()
                .iter()
                .map(|standing| self.queued(now, standing))
                .collect(),
            reservations: self.reservations(now),
            broken: self.broken_by_lost_nodes(),
        }
    }

    fn small_objects(&self) -> impl Iterator<Item = Object> {
        let cluster = &self.cluster;
        let namespaces = cluster.namespaces.iter().map(|(name, labels, resource_version)| {
            Object::Namespace(NamespaceRecord {
                name: name.clone(),
                resource_version,
                labels: labels.clone(),
            })
        });
        let classes = cluster.priority_classes.values().cloned().map(Object::PriorityClass);
        let policies = self.groups.policy_objects().map(|object| match object {
            PolicyObject::Workload(record) => Object::Workload(record.clone()),
            PolicyObject::PodGroup(record) => Object::PodGroup(record.clone()),
        });
        let owners = cluster.owners.records().map(Object::SelectorOwner);
        let storage = cluster.table.volumes().objects().map(Object::Storage);
        namespaces.chain(classes).chain(policies).chain(owners).chain(storage)
    }

    fn nodes(&self) -> impl Iterator<Item = Object> {
        let nodes = self.cluster.nodes.iter();
        nodes.filter_map(|(name, (), resource_version)| {
            let node = self.cluster.table.by_name(name)?;
            Some(Object::Node(NodeRecord {
                resource_version,
                ..self.cluster.table.record(node)
            }))
        })
    }

    fn pod_records(&self) -> impl Iterator<Item = Object> {
        let pods = self.cluster.pods.iter();
        pods.map(|(_, pod)| Object::Pod(Box::new(pod.record.record(pod.report.written.clone()))))
    }

    fn queued(&self, now: Time, standing: &Standing) -> QueuedEntity {
        let (is_group, name, speaker) = match standing.entity {
            Entity::Pod(id) => (false, self.path_of(id), Some(id)),
            Entity::Group(id) => {
                let group = self.groups.get(id);
                let name = group.map_or_else(|| "".into(), |group| group.key.to_string().into());
                (true, name, group.and_then(|group| group.pending.first().copied()))
            }
        };
        let wanted = speaker
            .and_then(|id| self.cluster.pods.get(id))
            .and_then(|pod| pod.report.wanted.clone());
        let (reason, message) = wanted.map_or_else(
            || (Text::from(""), Text::from("")),
            |wanted| (wanted.reason, wanted.message),
        );
        QueuedEntity {
            is_group,
            name,
            section: standing.section,
            priority: standing.priority,
            pods: standing.pods,
            attempts: standing.attempts,
            waited: now.since(standing.first_enqueued),
            backoff: standing.backoff_until.since(now),
            reason,
            message,
            tried: self.queue.history.of(now, standing.entity),
        }
    }

    fn path_of(&self, id: PodId) -> Text {
        let pod = self.cluster.pods.get(id);
        pod.map_or_else(
            || "".into(),
            |pod| format!("{}/{}", pod.record.namespace, pod.record.name).into(),
        )
    }

    fn reservations(&self, now: Time) -> Vec<Reservation> {
        let pods = self.cluster.pods.iter();
        let held = pods.filter_map(|(id, pod)| self.reservation(now, id, pod));
        let mut held: Vec<_> = held.collect();
        held.sort_by(|a, b| a.pod.cmp(&b.pod));
        held
    }

    /// The place that is held for a pod whose bind no watch has confirmed.
    pub(crate) fn reservation(&self, now: Time, id: PodId, pod: &Pod) -> Option<Reservation> {
        let place = pod.place.as_ref()?;
        Some(Reservation {
            pod: pod.reference(),
            node: place.node_name.clone(),
            stage: stage_name(place.bind?.stage).into(),
            deadline: self.deadline_of(id).map(|at| at.since(now)),
        })
    }
}

fn stage_name(stage: BindStage) -> &'static str {
    match stage {
        BindStage::Preparing => "Preparing",
        BindStage::Ready => "Ready",
        BindStage::Leaving => "Leaving",
        BindStage::Sent => "Sent",
        BindStage::Reading { .. } => "Reading",
        BindStage::Confirmed { .. } => "Confirmed",
    }
}
