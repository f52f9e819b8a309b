//! Every cause of work, in one closed enum. Nothing else changes the engine.
//!
//! Inputs are plain data without interned ids: `muster-api` has a versioned codec for them, so that what an engine was
//! told can be recorded and told again.

use crate::effect::EffectId;
use muster_framework::Text;
use muster_framework::record::{
    Kind, NamespaceRecord, NodeRecord, PodGroupRecord, PodRecord, PriorityClassRecord, ResourceVersion,
    SelectorOwnerRecord, WorkloadRecord,
};
use muster_framework::volume::StorageObject;

/// One fact for the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// An object was seen: in a list, or added or changed in a watch.
    Applied(Object),
    /// An object was deleted.
    Deleted(ObjectKey),
    /// An object is there but cannot be read: what was known of it stays.
    Undecodable {
        /// Which object, as far as it could be told.
        key: ObjectKey,
        /// What is wrong, naming the field.
        error: Text,
    },
    /// A consistent list of a kind is about to be asked for. What is not in it and was known before is gone.
    ListBegun(Kind),
    /// The list has been told in full.
    ListDone(Kind),
    /// The cluster does not serve this kind: nothing of it exists.
    KindNotServed(Kind),
    /// This process leads from now on, or does not lead any more. An engine that does not lead keeps its state warm, and
    /// wants nothing done. Until told otherwise it does what [`Settings::leads`](crate::Settings::leads) says.
    ///
    /// Whoever tells it that it leads now, while it did not before, also lists pods, nodes and all served kinds of policy
    /// objects anew: lists that began before do not count any more, and nothing is tried until newer ones are done.
    Leadership {
        /// Whether it leads.
        leads: bool,
    },
    /// An effect has been carried out, or not.
    EffectDone {
        /// Which one.
        id: EffectId,
        /// What became of it.
        outcome: Outcome,
    },
}

/// An object of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A node.
    Node(NodeRecord),
    /// A pod. Boxed: a pod is much larger than the others.
    Pod(Box<PodRecord>),
    /// A namespace.
    Namespace(NamespaceRecord),
    /// A priority class.
    PriorityClass(PriorityClassRecord),
    /// A workload.
    Workload(WorkloadRecord),
    /// A pod group, of any API that has such objects.
    PodGroup(PodGroupRecord),
    /// A Service, ReplicationController, ReplicaSet or StatefulSet.
    SelectorOwner(SelectorOwnerRecord),
    /// An object of a storage kind.
    Storage(StorageObject),
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Object::Node(_) => Kind::Node,
            Object::Pod(_) => Kind::Pod,
            Object::Namespace(_) => Kind::Namespace,
            Object::PriorityClass(_) => Kind::PriorityClass,
            Object::Workload(_) => Kind::Workload,
            Object::PodGroup(group) => group.kind,
            Object::SelectorOwner(owner) => owner.kind,
            Object::Storage(object) => object.kind(),
        }
    }
}

impl Object {
    /// Its namespace, empty where its kind has none, and its name.
    pub fn path(&self) -> (Text, Text) {
        let none = || Text::from("");
        match self {
            Object::Node(node) => (none(), node.name.clone()),
            Object::Pod(pod) => (pod.namespace.clone(), pod.name.clone()),
            Object::Namespace(namespace) => (none(), namespace.name.clone()),
            Object::PriorityClass(class) => (none(), class.name.clone()),
            Object::Workload(workload) => (workload.namespace.clone(), workload.name.clone()),
            Object::PodGroup(group) => (group.namespace.clone(), group.name.clone()),
            Object::SelectorOwner(owner) => (owner.namespace.clone(), owner.name.clone()),
            Object::Storage(object) => {
                let (namespace, name, _) = object.identity();
                (namespace, name)
            }
        }
    }
}

/// Which object. Empty parts are unknown, or do not exist for the kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// Its uid. Pods are known by it.
    pub uid: Text,
    /// The version at which this was said.
    pub resource_version: ResourceVersion,
}

/// What became of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Of a bind: what the API server made of it.
    Bind(BindOutcome),
    /// Of [`EffectKind::ReadPod`](crate::EffectKind::ReadPod): what stands there.
    PodRead(PodRead),
    /// Of [`EffectKind::AskExtender`](crate::EffectKind::AskExtender): what the extender says.
    Extender(ExtenderAnswer),
    /// Of a write to a volume or a claim: it stands.
    Patched {
        /// The version that the object has now.
        resource_version: ResourceVersion,
    },
    /// Of a status write: it stands.
    Written,
    /// Of a status write: the object is gone.
    ObjectGone,
    /// Of a status write: it was refused, or lost.
    WriteFailed {
        /// What the server or the network said.
        message: Text,
    },
}

/// What became of a bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindOutcome {
    /// The pod is bound to the node that was asked for.
    Bound,
    /// The pod is gone, or another pod has its name now.
    PodGone,
    /// The server refused it for a reason other than the pod being bound: admission, conflict, quota.
    Refused {
        /// What the server said.
        message: Text,
    },
    /// The answer was lost, or says that the pod is bound without saying where: the pod has to be read.
    Unknown {
        /// What happened.
        message: Text,
    },
}

/// What an extender says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtenderAnswer {
    /// To a filter question.
    Filtered {
        /// The nodes that can take the pod.
        nodes: Vec<Text>,
        /// Others, with what stands against each.
        failed: Vec<(Text, Text)>,
        /// Others that taking pods off them would not help, likewise.
        unresolvable: Vec<(Text, Text)>,
    },
    /// To a prioritize question: nodes with their scores, 0 to 10.
    Prioritized {
        /// By node.
        scores: Vec<(Text, i64)>,
    },
    /// There is no answer, or it makes no sense.
    Failed {
        /// What happened.
        message: Text,
    },
}

/// What a consistent read of a pod found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodRead {
    /// The pod as it stands. Boxed: a pod is much larger than the other answers.
    Found(Box<PodRecord>),
    /// There is no pod with that uid.
    Gone,
    /// No answer.
    Failed {
        /// What happened.
        message: Text,
    },
}
