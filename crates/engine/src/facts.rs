//! What the engine keeps of a pod's record: there are tens of thousands of pods, most of them on a node and of no concern
//! any more, so what only few have lies aside.

use muster_framework::Text;
use muster_framework::group::{GroupLink, GroupTerms};
use muster_framework::labels::Labels;
use muster_framework::plugin::PodToEnqueue;
use muster_framework::record::{ControllerRef, PodPhase, PodRecord, PodScheduledCondition, PodSpec, ResourceVersion};
use muster_framework::resource::Charge;
use std::sync::Arc;

/// What is kept of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodFacts {
    pub(crate) uid: Text,
    pub(crate) namespace: Text,
    pub(crate) name: Text,
    pub(crate) resource_version: ResourceVersion,
    pub(crate) generation: i64,
    pub(crate) labels: Labels,
    pub(crate) scheduler_name: Text,
    pub(crate) node_name: Option<Text>,
    pub(crate) phase: PodPhase,
    pub(crate) terminating: bool,
    pub(crate) running: bool,
    pub(crate) priority: Option<i32>,
    pub(crate) spec: Arc<PodSpec>,
    /// None: what the spec asks for.
    charge: Option<Box<Charge>>,
    rare: Option<Box<RareFacts>>,
}

/// What few pods have, or none any more once they run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct RareFacts {
    nominated_node_name: Option<Text>,
    priority_class_name: Option<Text>,
    scheduling_gates: Box<[Text]>,
    group: Option<GroupLink>,
    group_terms: Option<GroupTerms>,
    turned_away: Option<Text>,
    controller: Option<ControllerRef>,
}

impl PodFacts {
    /// Takes a record apart; its condition is given back, for it changes all the time.
    pub(crate) fn of(record: PodRecord) -> (PodFacts, Option<PodScheduledCondition>) {
        let placed = record.node_name.is_some();
        let rare = RareFacts {
            group: record.group,
            group_terms: record.group_terms,
            turned_away: record.turned_away,
            // What decides when and where a pod is tried is of no use once it has a node.
            nominated_node_name: record.nominated_node_name.filter(|_| !placed),
            controller: record.controller.filter(|_| !placed),
            priority_class_name: record.priority_class_name.filter(|_| record.priority.is_none()),
            scheduling_gates: record.scheduling_gates,
        };
        let facts = PodFacts {
            uid: record.uid,
            namespace: record.namespace,
            name: record.name,
            resource_version: record.resource_version,
            generation: record.generation,
            labels: record.labels,
            scheduler_name: record.scheduler_name,
            node_name: record.node_name,
            phase: record.phase,
            terminating: record.terminating,
            running: record.running,
            priority: record.priority,
            charge: (record.charge != record.spec.charge).then(|| Box::new(record.charge)),
            spec: record.spec,
            rare: (rare != RareFacts::default()).then(|| Box::new(rare)),
        };
        (facts, record.condition)
    }

    /// The record again, as far as it has been kept, with this condition.
    pub(crate) fn record(&self, condition: Option<PodScheduledCondition>) -> PodRecord {
        PodRecord {
            uid: self.uid.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            resource_version: self.resource_version,
            generation: self.generation,
            labels: self.labels.clone(),
            scheduler_name: self.scheduler_name.clone(),
            node_name: self.node_name.clone(),
            nominated_node_name: self.nominated_node_name().cloned(),
            phase: self.phase,
            terminating: self.terminating,
            running: self.running,
            turned_away: self.turned_away().cloned(),
            priority: self.priority,
            priority_class_name: self.priority_class_name().cloned(),
            scheduling_gates: self.scheduling_gates().into(),
            group: self.group().cloned(),
            group_terms: self.group_terms().cloned(),
            controller: self.controller().cloned(),
            spec: Arc::clone(&self.spec),
            charge: self.charge().clone(),
            condition,
        }
    }

    /// What it takes from its node now.
    pub(crate) fn charge(&self) -> &Charge {
        self.charge.as_deref().unwrap_or(&self.spec.charge)
    }

    /// `status.nominatedNodeName`, while it has no node.
    pub(crate) fn nominated_node_name(&self) -> Option<&Text> {
        self.rare.as_ref()?.nominated_node_name.as_ref()
    }

    /// Forgets the node that it has been promised.
    pub(crate) fn forget_promise(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.nominated_node_name = None;
        }
    }

    /// `spec.priorityClassName`, where its priority is not filled in.
    pub(crate) fn priority_class_name(&self) -> Option<&Text> {
        self.rare.as_ref()?.priority_class_name.as_ref()
    }

    /// Names of its scheduling gates.
    pub(crate) fn scheduling_gates(&self) -> &[Text] {
        self.rare.as_ref().map_or(&[], |rare| &rare.scheduling_gates)
    }

    /// The pod group that it belongs to.
    pub(crate) fn group(&self) -> Option<&GroupLink> {
        self.rare.as_ref()?.group.as_ref()
    }

    /// What it states of its group's policy itself.
    pub(crate) fn group_terms(&self) -> Option<&GroupTerms> {
        self.rare.as_ref()?.group_terms.as_ref()
    }

    /// Why the kubelet turned it away, if it did.
    pub(crate) fn turned_away(&self) -> Option<&Text> {
        self.rare.as_ref()?.turned_away.as_ref()
    }

    /// The controller that made it, while it has no node.
    pub(crate) fn controller(&self) -> Option<&ControllerRef> {
        self.rare.as_ref()?.controller.as_ref()
    }

    /// It, as plugins see it before it is queued.
    pub(crate) fn to_enqueue(&self) -> PodToEnqueue<'_> {
        PodToEnqueue {
            scheduling_gates: self.scheduling_gates(),
        }
    }
}
