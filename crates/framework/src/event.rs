//! Cluster events: what happened that could let a waiting pod go.

use crate::Text;
use crate::labels::Labels;
use crate::record::{Kind, PodSpec};
use crate::selection::PodIdentity;
use crate::table::NodeOrd;
use std::sync::Arc;

/// What changed of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeChanges {
    /// Some allocatable amount grew, or more pods are allowed.
    pub allocatable: bool,
    /// Labels changed.
    pub labels: bool,
    /// Taints changed.
    pub taints: bool,
    /// It was uncordoned.
    pub uncordoned: bool,
    /// It declares other features.
    pub features: bool,
}

impl NodeChanges {
    /// Whether anything that could help a waiting pod changed.
    pub fn any(self) -> bool {
        self != NodeChanges::default()
    }
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectChange {
    /// It appeared.
    Added,
    /// It is another than before, in something that plugins read.
    Updated,
    /// It is gone.
    Removed,
}

/// An object of a storage kind came, changed or went: what `Volumes::apply` and `Volumes::remove` give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageEvent {
    /// Its kind.
    pub kind: Kind,
    /// What became of it.
    pub change: ObjectChange,
    /// A hash of its namespace and name, as of [`crate::volume::key_hash`]: tells cheaply that an event is not about a
    /// pod's own claim.
    pub key_hash: u64,
    /// The node that it speaks of (CSI nodes, attachments), when that is known.
    pub node: Option<NodeOrd>,
}

/// The pod that an event is about, as it was seen: hints ask whether selectors and terms speak of it. Cloning shares all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPod {
    /// Its namespace.
    pub namespace: Text,
    /// The labels of its namespace, once that has been seen.
    pub namespace_labels: Option<Labels>,
    /// Its labels.
    pub labels: Labels,
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// Its spec.
    pub spec: Arc<PodSpec>,
}

impl EventPod {
    /// What selectors see of it.
    pub fn identity(&self) -> PodIdentity<'_> {
        PodIdentity {
            namespace: &self.namespace,
            namespace_labels: self.namespace_labels.as_ref(),
            labels: &self.labels,
            terminating: self.terminating,
        }
    }
}

/// Something that happened to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterEvent {
    /// A node appeared.
    NodeAdd(NodeOrd),
    /// A node changed.
    NodeUpdate {
        /// Which.
        node: NodeOrd,
        /// What of it.
        changes: NodeChanges,
        /// The labels that it had before.
        old_labels: Labels,
    },
    /// A node is gone.
    NodeDelete {
        /// The labels that it had.
        labels: Labels,
        /// Whether pods on it had required anti-affinity: then other nodes of its domains are freed.
        had_anti_affinity: bool,
    },
    /// A pod that was on this node, or was promised it, is gone, has finished, or was given back before it was bound.
    AssignedPodDelete {
        /// Where it was.
        node: NodeOrd,
        /// The pod.
        pod: EventPod,
    },
    /// A pod is on a node now that was not before: bound by anybody, or placed by this scheduler. Required affinity may
    /// find it, and a domain that held the fewest pods may hold more.
    AssignedPodAdd {
        /// Where it is.
        node: NodeOrd,
        /// The pod.
        pod: EventPod,
    },
    /// Selectors see a pod on this node differently: its labels changed, or it began to terminate.
    AssignedPodUpdate {
        /// Where it is.
        node: NodeOrd,
        /// As it was.
        old: EventPod,
        /// As it is.
        new: EventPod,
    },
    /// A pod on this node takes less than before.
    AssignedPodScaleDown(NodeOrd),
    /// A namespace appeared, is gone, or has other labels: terms may select other pods now.
    NamespaceUpdate,
    /// A service, or a controller that default spreading knows, appeared, is gone, or has another selector: other pods
    /// may count for spreading by default.
    SelectorOwnerUpdate,
    /// Something about storage.
    Storage(StorageEvent),
}

impl ClusterEvent {
    /// The node that the event is about, when it is about one.
    pub fn node(&self) -> Option<NodeOrd> {
        match self {
            ClusterEvent::NodeAdd(node)
            | ClusterEvent::NodeUpdate { node, .. }
            | ClusterEvent::AssignedPodDelete { node, .. }
            | ClusterEvent::AssignedPodAdd { node, .. }
            | ClusterEvent::AssignedPodUpdate { node, .. }
            | ClusterEvent::AssignedPodScaleDown(node) => Some(*node),
            ClusterEvent::Storage(event) => event.node,
            ClusterEvent::NodeDelete { .. } | ClusterEvent::NamespaceUpdate | ClusterEvent::SelectorOwnerUpdate => None,
        }
    }

    /// What kinds of event it is: a node can change in several ways at once.
    pub fn kinds(&self) -> EventKinds {
        match self {
            ClusterEvent::NodeAdd(_) => EventKinds::NODE_ADD,
            ClusterEvent::NodeUpdate { changes, .. } => changes.kinds(),
            ClusterEvent::NodeDelete { .. } => EventKinds::NODE_DELETE,
            ClusterEvent::AssignedPodDelete { .. } => EventKinds::POD_DELETE,
            ClusterEvent::AssignedPodAdd { .. } => EventKinds::POD_ADD,
            ClusterEvent::AssignedPodUpdate { .. } => EventKinds::POD_UPDATE,
            ClusterEvent::AssignedPodScaleDown(_) => EventKinds::POD_SCALE_DOWN,
            ClusterEvent::NamespaceUpdate => EventKinds::NAMESPACE,
            ClusterEvent::SelectorOwnerUpdate => EventKinds::SELECTOR_OWNER,
            ClusterEvent::Storage(_) => EventKinds::STORAGE,
        }
    }
}

/// Kinds of events, as a set: what upstream's plugins register (`EventsToRegister`), so that pods are not held against
/// events that cannot matter to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventKinds(u16);

impl EventKinds {
    /// None.
    pub const NONE: EventKinds = EventKinds(0);
    /// A node appeared.
    pub const NODE_ADD: EventKinds = EventKinds(1);
    /// Some allocatable amount of a node grew.
    pub const NODE_ALLOCATABLE: EventKinds = EventKinds(1 << 1);
    /// Labels of a node changed.
    pub const NODE_LABELS: EventKinds = EventKinds(1 << 2);
    /// Taints of a node changed.
    pub const NODE_TAINTS: EventKinds = EventKinds(1 << 3);
    /// A node was uncordoned.
    pub const NODE_UNCORDONED: EventKinds = EventKinds(1 << 4);
    /// A node declares other features.
    pub const NODE_FEATURES: EventKinds = EventKinds(1 << 5);
    /// A node is gone.
    pub const NODE_DELETE: EventKinds = EventKinds(1 << 6);
    /// [`ClusterEvent::AssignedPodAdd`].
    pub const POD_ADD: EventKinds = EventKinds(1 << 7);
    /// [`ClusterEvent::AssignedPodUpdate`].
    pub const POD_UPDATE: EventKinds = EventKinds(1 << 8);
    /// [`ClusterEvent::AssignedPodDelete`].
    pub const POD_DELETE: EventKinds = EventKinds(1 << 9);
    /// [`ClusterEvent::AssignedPodScaleDown`].
    pub const POD_SCALE_DOWN: EventKinds = EventKinds(1 << 10);
    /// [`ClusterEvent::NamespaceUpdate`].
    pub const NAMESPACE: EventKinds = EventKinds(1 << 11);
    /// [`ClusterEvent::SelectorOwnerUpdate`].
    pub const SELECTOR_OWNER: EventKinds = EventKinds(1 << 12);
    /// [`ClusterEvent::Storage`].
    pub const STORAGE: EventKinds = EventKinds(1 << 13);

    /// These and those.
    pub const fn and(self, others: EventKinds) -> EventKinds {
        EventKinds(self.0 | others.0)
    }

    /// Whether any of these is one of those.
    pub const fn meets(self, others: EventKinds) -> bool {
        self.0 & others.0 != 0
    }
}

impl NodeChanges {
    fn kinds(self) -> EventKinds {
        let of = |changed, kind| if changed { kind } else { EventKinds::NONE };
        of(self.allocatable, EventKinds::NODE_ALLOCATABLE)
            .and(of(self.labels, EventKinds::NODE_LABELS))
            .and(of(self.taints, EventKinds::NODE_TAINTS))
            .and(of(self.uncordoned, EventKinds::NODE_UNCORDONED))
            .and(of(self.features, EventKinds::NODE_FEATURES))
    }
}

/// What a plugin that rejected a pod says to an event (upstream's QueueingHint, with the node kept in view).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hint {
    /// The event cannot help.
    Skip,
    /// It can help on the event's own node and nowhere else: judge that node to know.
    OnEventNode,
    /// It can help; where is not known.
    Queue,
}
