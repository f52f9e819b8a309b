//! Cluster events: what happened that could let a waiting pod go.

use crate::record::Kind;
use crate::table::NodeOrd;

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

/// Something that happened to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterEvent {
    /// A node appeared.
    NodeAdd(NodeOrd),
    /// A node changed.
    NodeUpdate(NodeOrd, NodeChanges),
    /// A node is gone.
    NodeDelete {
        /// Whether pods on it had required anti-affinity: then other nodes of its domains are freed.
        had_anti_affinity: bool,
    },
    /// A pod that was on this node is gone, has finished, or was given back before it was bound.
    AssignedPodDelete {
        /// Where it was.
        node: NodeOrd,
        /// Whether it had required anti-affinity: then other nodes of its domains are freed too.
        had_anti_affinity: bool,
    },
    /// A pod is on this node now that was not before: bound by anybody, or placed by this scheduler. Required affinity
    /// may find it, and a domain that held the fewest pods may hold more.
    AssignedPodAdd(NodeOrd),
    /// Selectors see a pod on this node differently: its labels changed, or it began to terminate.
    AssignedPodUpdate(NodeOrd),
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
    pub fn node(self) -> Option<NodeOrd> {
        match self {
            ClusterEvent::NodeAdd(node)
            | ClusterEvent::NodeUpdate(node, _)
            | ClusterEvent::AssignedPodDelete { node, .. }
            | ClusterEvent::AssignedPodAdd(node)
            | ClusterEvent::AssignedPodUpdate(node)
            | ClusterEvent::AssignedPodScaleDown(node) => Some(node),
            ClusterEvent::Storage(event) => event.node,
            ClusterEvent::NodeDelete { .. } | ClusterEvent::NamespaceUpdate | ClusterEvent::SelectorOwnerUpdate => None,
        }
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
