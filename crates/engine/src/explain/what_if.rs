//! What-ifs: would it go, if a pod asked for less, or others ended? Judged by the pipeline that decides, on deltas.
//!
//! Pods in a what-if are *stand-ins*: copies of a pod, perhaps with another spec, that no queue knows. A stand-in stands for
//! all its twins. At the end they are forgotten, with all that was compiled for them, and what the pipeline knows of twins
//! is put back as it was.
//!
//! What all of it may cost is a number of judgements of a node, as many as a few turns of planning make.

use crate::batch::Batches;
use crate::engine::Engine;
use crate::plan::{Plan, Wish};
use crate::pods::{DefaultSelection, LazyReport, Pod, PodId, ShapeId};
use muster_framework::labels::Labels;
use muster_framework::node_set::NodeSet;
use muster_framework::record::PodSpec;
use muster_framework::resource::{ResourceList, ResourceOrd};
use muster_framework::table::NodeTable;
use muster_framework::taint::{Taint, Toleration, TolerationOperator};
use muster_framework::view::Delta;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Judgements of a node that one explanation may take.
const BUDGET: u64 = 2_000_000;
/// What a twin costs that is placed by the verdict on those before it, as a part of what all nodes cost.
const TWIN: u64 = 16;

/// A change of a pod's spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    /// It asks for so much of a resource.
    Request(ResourceOrd, i64),
    Tolerate(Taint),
    /// Neither a node selector nor a required node affinity.
    NoNodeRules,
    NoHostPorts,
    /// Without this term of its required anti-affinity.
    NoAntiAffinity(usize),
    /// Without this term of its required affinity.
    NoAffinity(usize),
    /// Without this spread constraint.
    NoSpread(usize),
}

/// Members of a kind that want places.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// One of them.
    pub(super) member: PodId,
    /// All that there are, in their order; of those that do not exist yet there is none.
    pub(super) members: Vec<PodId>,
    /// Who stands for them all.
    pub(super) stand_in: PodId,
    pub(super) count: u32,
    /// Another stand-in that may go to these nodes, if the first finds no place.
    pub(super) elsewhere: Option<(PodId, NodeSet)>,
}

impl Wanted {
    /// The member that comes after so many.
    pub(super) fn nth(&self, n: u32) -> PodId {
        self.members.get(n as usize).copied().unwrap_or(self.member)
    }
}

#[derive(Debug)]
struct StandIn {
    id: PodId,
    shape: ShapeId,
    was_compiled: bool,
}

/// How far a greedy pass came.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) plan: Plan,
    /// Places by index of the wanted.
    pub(super) placed: Vec<u32>,
}

/// What-ifs on an engine.
pub(super) struct WhatIf<'e> {
    pub(super) engine: &'e mut Engine,
    stand_ins: Vec<StandIn>,
    /// Pods that wait and have been promised a node: that is not in their own way.
    promised: Vec<PodId>,
    batches: Option<Batches>,
    left: u64,
}

impl<'e> WhatIf<'e> {
    /// About these pods, which have no place.
    pub(super) fn about(engine: &'e mut Engine, pods: &[PodId]) -> WhatIf<'e> {
        let batches = Some(engine.pipeline.put_batches_aside());
        let promised = pods
            .iter()
            .copied()
            .filter(|pod| engine.cluster.promised_to(*pod).is_some());
        let promised: Vec<PodId> = promised.collect();
        promised.iter().for_each(|pod| engine.cluster.unindex_nomination(*pod));
        WhatIf {
            engine,
            stand_ins: Vec::new(),
            promised,
            batches,
            left: BUDGET,
        }
    }

    /// Whether everything has been spent: then nothing more can be proved.
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Takes so many judgements of all nodes. False: there are not so many left, and none is from now on.
    pub(super) fn spend(&mut self, passes: u64) -> bool {
        let cost = passes * self.engine.cluster.table.len().max(1) as u64;
        self.left = self.left.saturating_sub(cost);
        self.left > 0
    }

    /// A copy of a pod with another spec. None: there is no such pod.
    pub(super) fn stand_in(&mut self, of: PodId, edits: &[Edit]) -> Option<PodId> {
        let cluster = &mut self.engine.cluster;
        let mut record = cluster.pods.get(of)?.record.clone();
        record.uid = format!("{}?{}", record.uid, self.stand_ins.len()).into();
        record.forget_promise();
        if !edits.is_empty() {
            let spec = Arc::make_mut(&mut record.spec);
            edits.iter().for_each(|edit| edit.apply(spec, &cluster.table));
            drop_marked(spec, edits);
        }
        let shape = cluster.acquire_shape(&mut record);
        let was_compiled = cluster.shapes.compiled(shape).is_some();
        let id = cluster.pods.insert(Pod {
            record,
            shape,
            group: None,
            place: None,
            gone: false,
            seen: 0,
            report: LazyReport::default(),
            default_selection: DefaultSelection::default(),
        });
        cluster.compile(id);
        self.stand_ins.push(StandIn {
            id,
            shape,
            was_compiled,
        });
        Some(id)
    }

    /// These pods by kinds, in the order in which a gang is planned: higher priority first, then the hardest to place.
    pub(super) fn wanted(&mut self, pods: &[PodId]) -> Vec<Wanted> {
        let mut kinds: BTreeMap<(ShapeId, Labels, i32), Vec<PodId>> = BTreeMap::new();
        for id in pods {
            let Some(pod) = self.engine.cluster.pods.get(*id) else {
                continue;
            };
            let key = (
                pod.shape,
                self.labels_that_matter(pod),
                self.engine.cluster.priority(&pod.record),
            );
            kinds.entry(key).or_default().push(*id);
        }
        let mut wanted: Vec<_> = Vec::new();
        for ((_, _, priority), members) in kinds {
            let member = members[0];
            let Some(stand_in) = self.stand_in(member, &[]) else {
                continue;
            };
            let hardness = self.stand_ins.last().map_or(0, |last| self.engine.hardness(last.shape));
            let of_kind = Wanted {
                member,
                stand_in,
                count: members.len() as u32,
                members,
                elsewhere: None,
            };
            wanted.push(((Reverse(priority), Reverse(hardness), member), of_kind));
        }
        wanted.sort_by_key(|(key, _)| *key);
        wanted.into_iter().map(|(_, of_kind)| of_kind).collect()
    }

    /// The labels that make twins differ: as when a gang is planned, and where the pod's own rules look at any, which are
    /// not known to the table before it is tried.
    fn labels_that_matter(&self, pod: &Pod) -> Labels {
        let spec = &pod.record.spec;
        let looks = !spec.affinity.is_empty() || !spec.anti_affinity.is_empty() || !spec.spread.is_empty();
        match looks {
            true => pod.record.labels.clone(),
            false => self.engine.selected_labels(&pod.record.labels),
        }
    }

    /// Whether two pods are twins.
    pub(super) fn are_twins(&self, one: PodId, other: PodId) -> bool {
        let key = |id| {
            let pod = self.engine.cluster.pods.get(id)?;
            Some((pod.shape, self.labels_that_matter(pod)))
        };
        key(one).is_some() && key(one) == key(other)
    }

    /// Whether so many of the wanted find places on top of a delta. What cannot be afforded is not known to go.
    pub(super) fn goes(&mut self, base: &Delta, wanted: &[Wanted], required: u32) -> bool {
        [false, true].into_iter().any(|packing| {
            let outcome = self.pass(base, wanted, packing);
            outcome.is_some_and(|outcome| outcome.placed.iter().sum::<u32>() >= required)
        })
    }

    /// Gives each of the wanted the best node on top of those before it. None: that cannot be afforded.
    pub(super) fn pass(&mut self, base: &Delta, wanted: &[Wanted], packing: bool) -> Option<Outcome> {
        let mut outcome = Outcome {
            plan: Plan {
                delta: base.clone(),
                ..Plan::default()
            },
            placed: vec![0; wanted.len()],
        };
        // Members may bring each other company: those that failed are tried again while others find places.
        loop {
            let before = outcome.plan.places.len();
            for (at, of_kind) in wanted.iter().enumerate() {
                while outcome.placed[at] < of_kind.count {
                    let is_first = outcome.placed[at] == 0;
                    if !self.spend_on_member(is_first) {
                        return None;
                    }
                    if !self.place(of_kind, packing, &mut outcome.plan) {
                        break;
                    }
                    outcome.placed[at] += 1;
                }
            }
            let complete = wanted
                .iter()
                .zip(&outcome.placed)
                .all(|(kind, placed)| kind.count == *placed);
            if complete || outcome.plan.places.len() == before {
                return Some(outcome);
            }
        }
    }

    fn spend_on_member(&mut self, is_first: bool) -> bool {
        let nodes = self.engine.cluster.table.len() as u64;
        let cost = if is_first { nodes } else { nodes / TWIN } + 1;
        self.left = self.left.saturating_sub(cost);
        self.left > 0
    }

    fn place(&mut self, of_kind: &Wanted, packing: bool, plan: &mut Plan) -> bool {
        let wish = Wish {
            packing,
            ..Wish::of(of_kind.stand_in, of_kind.stand_in)
        };
        if self.engine.plan_member(wish, plan) {
            return true;
        }
        let Some((other, within)) = &of_kind.elsewhere else {
            return false;
        };
        let wish = Wish {
            packing,
            within: Some(within),
            ..Wish::of(*other, *other)
        };
        self.engine.plan_member(wish, plan)
    }

    /// A delta without these pods, which have places.
    pub(super) fn without(&self, pods: &[PodId]) -> Delta {
        let mut delta = Delta::default();
        let cluster = &self.engine.cluster;
        for pod in pods.iter().filter_map(|pod| cluster.pods.get(*pod)) {
            if let Some(node) = pod.place.as_ref().and_then(|place| place.charged) {
                let namespace = cluster.namespaces.get(&pod.record.namespace);
                delta.remove(&cluster.table, node, pod.footprint(namespace));
            }
        }
        delta
    }
}

impl Drop for WhatIf<'_> {
    fn drop(&mut self) {
        let cluster = &mut self.engine.cluster;
        // In reverse: ordinals are given out again as if these had never been.
        let last_first = self.stand_ins.iter().rev();
        last_first.for_each(|stand_in| cluster.forget(stand_in.id));
        for stand_in in self.stand_ins.iter().filter(|stand_in| !stand_in.was_compiled) {
            cluster.shapes.discard(stand_in.shape, &mut cluster.table);
        }
        self.promised.iter().for_each(|pod| cluster.index_nomination(*pod));
        if let Some(batches) = self.batches.take() {
            self.engine.pipeline.bring_back(batches);
        }
    }
}

impl Edit {
    fn apply(&self, spec: &mut PodSpec, table: &NodeTable) {
        match self {
            Edit::Request(resource, amount) => set_request(&mut spec.charge.requests, table, *resource, *amount),
            Edit::Tolerate(taint) => {
                let toleration = Toleration {
                    key: taint.key.clone(),
                    operator: TolerationOperator::Equal,
                    value: taint.value.clone(),
                    effect: Some(taint.effect),
                };
                spec.tolerations = spec.tolerations.iter().cloned().chain([toleration]).collect();
            }
            Edit::NoNodeRules => {
                spec.node_selector = Labels::default();
                spec.node_affinity = None;
            }
            Edit::NoHostPorts => spec.host_ports = Box::default(),
            // Terms are known by their index: they are dropped together, see `drop_marked`.
            Edit::NoAntiAffinity(_) | Edit::NoAffinity(_) | Edit::NoSpread(_) => {}
        }
    }
}

fn drop_marked(spec: &mut PodSpec, edits: &[Edit]) {
    fn without<T: Clone>(all: &mut Box<[T]>, is_dropped: impl Fn(usize) -> bool) {
        let kept = all.iter().enumerate().filter(|(at, _)| !is_dropped(*at));
        *all = kept.map(|(_, item)| item.clone()).collect();
    }
    without(&mut spec.anti_affinity, |at| edits.contains(&Edit::NoAntiAffinity(at)));
    without(&mut spec.affinity, |at| edits.contains(&Edit::NoAffinity(at)));
    without(&mut spec.spread, |at| edits.contains(&Edit::NoSpread(at)));
}

fn set_request(requests: &mut ResourceList, table: &NodeTable, resource: ResourceOrd, amount: i64) {
    match resource {
        ResourceOrd::CPU => requests.milli_cpu = amount,
        ResourceOrd::MEMORY => requests.memory = amount,
        ResourceOrd::EPHEMERAL_STORAGE => requests.ephemeral_storage = amount,
        ResourceOrd::PODS => {}
        _ => {
            let name = table.resource_name(resource);
            let of_name = requests.scalars.iter_mut().find(|(scalar, _)| **scalar == *name);
            if let Some((_, requested)) = of_name {
                *requested = amount;
            }
        }
    }
}
