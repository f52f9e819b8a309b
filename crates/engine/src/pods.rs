//! What the engine keeps of each pod, and the specs that twins share.

use crate::effect::{EffectId, PodRef};
use crate::facts::PodFacts;
use crate::groups::GroupId;
use crate::preparation::DepartureId;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::compiled::CompiledSpec;
use muster_framework::labels::Labels;
use muster_framework::record::{PodScheduledCondition, PodSpec};
use muster_framework::selection::{PodIdentity, SelectionOrd};
use muster_framework::table::{Footprint, NodeOrd, NodeTable};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A pod as its ordinal among all pods. Ordinals of deleted pods are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PodId(pub(crate) u32);

/// A spec as its ordinal among the distinct ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ShapeId(pub(crate) u32);

/// What a pod is to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// Ours, without a node, and ready to be planned.
    Pending,
    /// Ours, without a node, but gated.
    Gated,
    /// Ours, without a node, but a part of its spec cannot be honoured.
    Unsupported,
    /// Another scheduler's, without a node.
    Foreign,
    /// On a node, or about to be.
    Placed,
    /// Finished well: it still counts, so that a group whose members finish one by one can be completed.
    Succeeded,
    /// Failed, or being deleted before it got a node: counts for nothing.
    Lost,
}

impl Role {
    pub(crate) const COUNT: usize = 7;
}

/// Where a pod is, or is going.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The node's name.
    pub(crate) node_name: Text,
    /// The node that is charged for it; none while that node is not known.
    pub(crate) charged: Option<NodeOrd>,
    /// The bind that brings it there, until the API server shows the pod on the node.
    pub(crate) bind: Option<Bind>,
}

/// How far a bind has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bind {
    /// What was handed out last: the bind, or a read of what became of it.
    pub(crate) effect: EffectId,
    pub(crate) stage: BindStage,
    /// What it was decided together with.
    pub(crate) departure: DepartureId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindStage {
    /// The place is taken; volumes have to be bound or made first.
    Preparing,
    /// The place is taken; too few members of the gang are ready.
    Ready,
    /// The bind waits to be handed out.
    Leaving,
    /// The bind has been handed out; no answer yet.
    Sent,
    /// Nobody knows what became of the bind, while this many lists of pods had begun. A read is to tell, or a list begun
    /// later.
    Reading {
        lists_begun: u32,
        /// The world has been told that it is bound.
        announced: bool,
    },
    /// The server said that it is bound, while this many lists of pods had begun. Only a list begun later, an event with
    /// a node, or a deletion says otherwise.
    Confirmed { lists_begun: u32 },
}

impl BindStage {
    /// Whether nothing of the bind has been told to anybody.
    pub(crate) fn is_unsent(self) -> bool {
        matches!(self, BindStage::Preparing | BindStage::Ready | BindStage::Leaving)
    }
}

/// What the pod's status ought to say about waiting, and what it says.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What it ought to say. None: nothing to say.
    pub(crate) wanted: Option<PodScheduledCondition>,
    /// What it says, as far as we know.
    pub(crate) written: Option<PodScheduledCondition>,
    /// A write is on its way, with what it writes.
    pub(crate) writing: Option<PodScheduledCondition>,
    /// When a failed write may be tried again.
    pub(crate) write_after: Time,
}

/// A report that takes no room while there is nothing to say.
#[derive(Debug, Default)]
pub(crate) struct LazyReport(Option<Box<Report>>);

impl LazyReport {
    /// Whose status says this.
    pub(crate) fn that_says(written: Option<PodScheduledCondition>) -> LazyReport {
        LazyReport(written.map(|written| {
            Box::new(Report {
                written: Some(written),
                ..Report::default()
            })
        }))
    }

    /// There is nothing to say any more.
    pub(crate) fn want_nothing(&mut self) {
        if let Some(report) = &mut self.0 {
            report.wanted = None;
        }
    }

    /// The pod has a node: nothing will ever be said again.
    pub(crate) fn end(&mut self) {
        self.0 = None;
    }
}

impl std::ops::Deref for LazyReport {
    type Target = Report;

    fn deref(&self) -> &Report {
        static NOTHING: Report = Report {
            wanted: None,
            written: None,
            writing: None,
            write_after: Time::ZERO,
        };
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl std::ops::DerefMut for LazyReport {
    fn deref_mut(&mut self) -> &mut Report {
        self.0.get_or_insert_default()
    }
}

/// A pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) record: PodFacts,
    pub(crate) shape: ShapeId,
    pub(crate) group: Option<(GroupId, Role)>,
    pub(crate) place: Option<Place>,
    /// The bind found no such pod: wait for its deletion to be seen.
    pub(crate) gone: bool,
    /// How many lists of pods had begun when it was last seen.
    pub(crate) seen: u32,
    pub(crate) report: LazyReport,
    /// What default spreading spreads it with.
    pub(crate) default_selection: DefaultSelection,
}

/// The pods that a pod belongs together with through services and its controller, as of an epoch of these.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DefaultSelection {
    /// None: not looked for, or given back.
    pub(crate) epoch: Option<std::num::NonZeroU32>,
    /// None: nothing selects the pod.
    pub(crate) selection: Option<SelectionOrd>,
}

impl Pod {
    pub(crate) fn reference(&self) -> PodRef {
        PodRef {
            namespace: self.record.namespace.clone(),
            name: self.record.name.clone(),
            uid: self.record.uid.clone(),
        }
    }

    /// What selectors see of it, in a namespace with these labels.
    pub(crate) fn identity<'a>(&'a self, namespace_labels: Option<&'a Labels>) -> PodIdentity<'a> {
        PodIdentity {
            namespace: &self.record.namespace,
            namespace_labels,
            labels: &self.record.labels,
            terminating: self.record.terminating,
        }
    }

    pub(crate) fn footprint<'a>(&'a self, namespace_labels: Option<&'a Labels>) -> Footprint<'a> {
        Footprint {
            identity: self.identity(namespace_labels),
            charge: self.record.charge(),
            spec: &self.record.spec,
        }
    }

    /// How far its bind has come, while the API server does not show it on the node.
    pub(crate) fn stage(&self) -> Option<BindStage> {
        Some(self.place.as_ref()?.bind?.stage)
    }

    pub(crate) fn is_bound(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.bind.is_none())
    }
}

/// One distinct spec.
#[derive(Debug)]
struct Shape {
    spec: Arc<PodSpec>,
    pods: u32,
    /// Made when the first of its pods is tried: pods of other schedulers never need it.
    compiled: Option<CompiledSpec>,
}

/// All distinct specs.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    shapes: Vec<Option<Shape>>,
    by_spec: FxHashMap<Arc<PodSpec>, ShapeId>,
    free: Vec<ShapeId>,
}

impl Shapes {
    /// Counts one more pod of this spec, and lets it share the spec of its twins.
    pub(crate) fn acquire(&mut self, spec: &mut Arc<PodSpec>) -> ShapeId {
        if let Some(&id) = self.by_spec.get(&**spec) {
            if let Some(shape) = &mut self.shapes[id.0 as usize] {
                shape.pods += 1;
                *spec = shape.spec.clone();
            }
            return id;
        }
        let shape = Some(Shape {
            spec: spec.clone(),
            pods: 1,
            compiled: None,
        });
        let id = match self.free.pop() {
            Some(id) => {
                self.shapes[id.0 as usize] = shape;
                id
            }
            None => {
                self.shapes.push(shape);
                ShapeId((self.shapes.len() - 1) as u32)
            }
        };
        self.by_spec.insert(spec.clone(), id);
        id
    }

    /// Counts one pod less; the spec goes with its last pod.
    pub(crate) fn release(&mut self, id: ShapeId, table: &mut NodeTable) {
        let Some(shape) = &mut self.shapes[id.0 as usize] else {
            return;
        };
        shape.pods -= 1;
        if shape.pods == 0
            && let Some(shape) = self.shapes[id.0 as usize].take()
        {
            self.by_spec.remove(&shape.spec);
            if let Some(compiled) = shape.compiled {
                compiled.release(table);
            }
            self.free.push(id);
        }
    }

    /// Makes sure that the spec is compiled against the table as it is.
    pub(crate) fn compile(&mut self, id: ShapeId, table: &mut NodeTable) {
        let Some(shape) = &mut self.shapes[id.0 as usize] else {
            return;
        };
        if let Some(stale) = shape.compiled.take_if(|compiled| compiled.is_stale(table)) {
            stale.release(table);
        }
        if shape.compiled.is_none() {
            shape.compiled = Some(CompiledSpec::compile(&shape.spec, table));
        }
    }

    /// Forgets what was compiled of a spec, if it is still there; it is compiled again when one of its pods is tried.
    pub(crate) fn discard(&mut self, id: ShapeId, table: &mut NodeTable) {
        let shape = self.shapes.get_mut(id.0 as usize).and_then(Option::as_mut);
        if let Some(compiled) = shape.and_then(|shape| shape.compiled.take()) {
            compiled.release(table);
        }
    }

    /// The compiled spec, if somebody has compiled it.
    pub(crate) fn compiled(&self, id: ShapeId) -> Option<&CompiledSpec> {
        self.shapes[id.0 as usize].as_ref()?.compiled.as_ref()
    }
}

/// All pods.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    /// Each in a place of its own: what a vector keeps in reserve would be a quarter of all.
    slots: Vec<Option<Box<Pod>>>,
    by_uid: FxHashMap<Text, PodId>,
    free: Vec<PodId>,
}

impl Pods {
    pub(crate) fn id(&self, uid: &str) -> Option<PodId> {
        self.by_uid.get(uid).copied()
    }

    pub(crate) fn get(&self, id: PodId) -> Option<&Pod> {
        self.slots.get(id.0 as usize)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, id: PodId) -> Option<&mut Pod> {
        self.slots.get_mut(id.0 as usize)?.as_deref_mut()
    }

    pub(crate) fn insert(&mut self, pod: Pod) -> PodId {
        let uid = pod.record.uid.clone();
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id.0 as usize] = Some(Box::new(pod));
                id
            }
            None => {
                self.slots.push(Some(Box::new(pod)));
                PodId((self.slots.len() - 1) as u32)
            }
        };
        self.by_uid.insert(uid, id);
        id
    }

    pub(crate) fn remove(&mut self, id: PodId) -> Option<Pod> {
        let pod = self.slots.get_mut(id.0 as usize)?.take()?;
        self.by_uid.remove(&pod.record.uid);
        self.free.push(id);
        Some(*pod)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_uid.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PodId, &Pod)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(at, pod)| Some((PodId(at as u32), pod.as_deref()?)))
    }
}
