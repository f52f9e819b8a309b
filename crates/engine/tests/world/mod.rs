//! A hand-driven world around an engine: objects go in, effects come out, and the test decides what becomes of them.

#![allow(dead_code, reason = "each test binary uses its own part of it")]

use muster_engine::{
    BindOutcome, Effect, EffectKind, Engine, Input, Object, ObjectKey, Observation, Outcome, PodRead, PodState,
    Regarding, Settings, Time, WaitReason,
};
use muster_framework::Text;
use muster_framework::group::{GroupLink, GroupPolicy, GroupStatus};
use muster_framework::labels::Labels;
use muster_framework::record::{
    Kind, NamespaceScope, NodeRecord, PodAffinityTerm, PodGroupRecord, PodPhase, PodRecord, PodSpec, SpreadConstraint,
    WhenUnsatisfiable, WorkloadRecord,
};
use muster_framework::resource::{Charge, ResourceList};
use muster_framework::rules::KubeMinor;
use muster_framework::selector::{LabelSelector, Operator, Requirement};
use muster_plugins::ProfileSpec;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn settings() -> Settings {
    Settings {
        profiles: vec![ProfileSpec::default_for("muster", KubeMinor::V1_35)],
        kube: KubeMinor::V1_35,
        extenders: vec![],
        seed: 7,
        pod_initial_backoff: Duration::from_secs(1),
        pod_max_backoff: Duration::from_secs(10),
        pod_max_in_unschedulable: Duration::from_secs(300),
        leads: true,
        gangs: muster_engine::GangSettings::default(),
        batching: muster_engine::BatchSettings::default(),
    }
}

pub(crate) fn node(name: &str, milli_cpu: i64) -> NodeRecord {
    NodeRecord {
        name: name.into(),
        resource_version: 0,
        labels: [("kubernetes.io/hostname", name)].into_iter().collect(),
        taints: vec![],
        unschedulable: false,
        allocatable: ResourceList {
            milli_cpu,
            memory: 1 << 34,
            ..ResourceList::default()
        },
        allowed_pods: 110,
        images: Box::default(),
        declared_features: Box::default(),
    }
}

pub(crate) fn pod(name: &str, milli_cpu: i64) -> PodRecord {
    let requests = ResourceList {
        milli_cpu,
        ..ResourceList::default()
    };
    let charge = Charge {
        requests,
        scoring_milli_cpu: milli_cpu,
        scoring_memory: 200 << 20,
    };
    PodRecord {
        uid: format!("uid-{name}").into(),
        namespace: "default".into(),
        name: name.into(),
        resource_version: 0,
        generation: 1,
        labels: Labels::default(),
        scheduler_name: "muster".into(),
        node_name: None,
        nominated_node_name: None,
        phase: PodPhase::Active,
        terminating: false,
        priority: Some(0),
        priority_class_name: None,
        scheduling_gates: Box::new([]),
        group: None,
        group_terms: None,
        running: false,
        turned_away: None,
        controller: None,
        spec: Arc::new(PodSpec {
            charge: charge.clone(),
            ..PodSpec::default()
        }),
        charge,
        condition: None,
    }
}

pub(crate) fn member(name: &str, milli_cpu: i64, workload: &str, group: &str, key: &str) -> PodRecord {
    let link = GroupLink::Workload {
        workload: workload.into(),
        pod_group: group.into(),
        replica_key: key.into(),
    };
    PodRecord {
        group: Some(link),
        ..pod(name, milli_cpu)
    }
}

pub(crate) fn workload(name: &str, groups: &[(&str, GroupPolicy)]) -> WorkloadRecord {
    WorkloadRecord {
        namespace: "default".into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
        resource_version: 0,
        pod_groups: groups
            .iter()
            .map(|(name, policy)| (Text::from(*name), Ok(*policy)))
            .collect(),
        when_broken: None,
    }
}

/// A pod with another link.
pub(crate) fn linked(name: &str, milli_cpu: i64, link: GroupLink) -> PodRecord {
    PodRecord {
        group: Some(link),
        ..pod(name, milli_cpu)
    }
}

pub(crate) fn pod_group(kind: Kind, name: &str, policy: GroupPolicy) -> PodGroupRecord {
    PodGroupRecord {
        kind,
        namespace: "default".into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
        resource_version: 0,
        generation: 0,
        policy: Ok(policy),
        when_broken: None,
        priority: None,
        terminating: false,
        unsupported: Box::new([]),
        status: None,
    }
}

pub(crate) fn gang(min_count: i32) -> GroupPolicy {
    GroupPolicy::Gang { min_count }
}

/// The engine, the clock, and what has come out so far.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Time,
    /// Pods by name as the API has them.
    pub(crate) pods: BTreeMap<String, PodRecord>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) observations: Vec<Observation>,
    /// How many changes of pods there were: the version of the last.
    pub(crate) version: u64,
}

impl World {
    /// A synced world with these nodes.
    pub(crate) fn new(nodes: &[NodeRecord]) -> World {
        let mut world = World::unsynced();
        for node in nodes {
            world.apply(Object::Node(node.clone()));
        }
        world.sync();
        world
    }

    pub(crate) fn unsynced() -> World {
        World {
            engine: Engine::new(&settings()),
            now: Time::ZERO,
            pods: BTreeMap::new(),
            effects: vec![],
            observations: vec![],
            version: 0,
        }
    }

    pub(crate) fn sync(&mut self) {
        for kind in Kind::ALL {
            self.engine.handle(self.now, Input::ListDone(kind));
        }
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        assert_eq!(self.engine.check(), Ok(()));
    }

    pub(crate) fn apply(&mut self, object: Object) {
        self.input(Input::Applied(object));
    }

    pub(crate) fn node(&mut self, node: NodeRecord) {
        self.apply(Object::Node(node));
    }

    pub(crate) fn workload(&mut self, workload: WorkloadRecord) {
        self.apply(Object::Workload(workload));
    }

    /// Creates or changes a pod in the API, and tells the engine.
    pub(crate) fn pod(&mut self, pod: PodRecord) {
        self.version += 1;
        let pod = PodRecord {
            resource_version: self.version,
            ..pod
        };
        self.pods.insert(pod.name.to_string(), pod.clone());
        self.apply(Object::Pod(Box::new(pod)));
    }

    pub(crate) fn delete(&mut self, kind: Kind, name: &str) {
        let uid = self.pods.get(name).map_or(Text::from(""), |pod| pod.uid.clone());
        if kind == Kind::Pod {
            self.pods.remove(name);
        }
        let namespace = if matches!(kind, Kind::Pod | Kind::Workload | Kind::PersistentVolumeClaim) {
            "default"
        } else {
            ""
        };
        let key = ObjectKey {
            kind,
            namespace: namespace.into(),
            name: name.into(),
            uid,
            resource_version: 0,
        };
        self.input(Input::Deleted(key));
    }

    /// Lets the engine work until it rests at this moment; gives the effects, undone.
    pub(crate) fn poll(&mut self) -> Vec<Effect> {
        let mut effects = vec![];
        for _ in 0..100_000 {
            match self.engine.poll(self.now) {
                Some(effect) => effects.push(effect),
                None if self.engine.next_wakeup().is_none_or(|at| at > self.now) => {
                    assert_eq!(self.engine.check(), Ok(()));
                    self.observations.extend(self.engine.drain_observations());
                    return effects;
                }
                None => {}
            }
        }
        panic!("the engine does not come to rest");
    }

    /// Polls, carries everything out as a healthy API server would, and goes on until nothing more happens.
    pub(crate) fn run(&mut self) {
        loop {
            let effects = self.poll();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.carry_out(effect);
            }
        }
    }

    /// Lets time pass, in the engine's own steps.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.run();
            match self.engine.next_wakeup() {
                Some(at) if at <= end => self.now = at.max(self.now),
                _ => break,
            }
        }
        self.now = end;
        self.run();
    }

    pub(crate) fn carry_out(&mut self, effect: Effect) {
        self.effects.push(effect.clone());
        match effect.kind {
            EffectKind::Bind { pod, node, .. } => {
                self.done(effect.id, Outcome::Bind(BindOutcome::Bound));
                let mut record = self.pods[&*pod.name].clone();
                record.node_name = Some(node);
                self.pod(record);
            }
            EffectKind::PodCondition { .. } | EffectKind::GroupStatus { .. } | EffectKind::Evict { .. } => {
                self.done(effect.id, Outcome::Written);
            }
            EffectKind::ReserveVolume { volume_version, .. } => self.done(
                effect.id,
                Outcome::Patched {
                    resource_version: volume_version + 1,
                },
            ),
            EffectKind::SelectNode { claim_version, .. } => self.done(
                effect.id,
                Outcome::Patched {
                    resource_version: claim_version + 1,
                },
            ),
            EffectKind::ReadPod { pod } => {
                let found = self.pods.get(&*pod.name).filter(|found| found.uid == pod.uid);
                let read = found.map_or(PodRead::Gone, |found| PodRead::Found(Box::new(found.clone())));
                self.done(effect.id, Outcome::PodRead(read));
            }
            EffectKind::AskExtender { .. } | EffectKind::Event { .. } => {}
        }
    }

    pub(crate) fn done(&mut self, id: muster_engine::EffectId, outcome: Outcome) {
        self.input(Input::EffectDone { id, outcome });
    }

    /// The nodes of the pods that are bound, by pod.
    pub(crate) fn bound(&self) -> BTreeMap<String, String> {
        let all = self.engine.pods().into_iter();
        all.filter_map(|status| match status.state {
            PodState::Bound { node } => Some((status.pod.name.to_string(), node.to_string())),
            _ => None,
        })
        .collect()
    }

    /// Reason and message of the last condition written to a pod.
    pub(crate) fn condition(&self, name: &str) -> Option<(String, String)> {
        self.effects.iter().rev().find_map(|effect| match &effect.kind {
            EffectKind::PodCondition {
                pod, reason, message, ..
            } if &*pod.name == name => Some((reason.to_string(), message.to_string())),
            _ => None,
        })
    }

    /// The events about groups, in order: reason, object and note.
    pub(crate) fn group_events(&self) -> Vec<String> {
        let of_group = |effect: &Effect| match &effect.kind {
            EffectKind::Event {
                regarding: Regarding::Group(group),
                reason,
                note,
                ..
            } => Some(format!("{reason} of {} {group}: {note}", group.kind.name())),
            _ => None,
        };
        self.effects.iter().filter_map(of_group).collect()
    }

    /// The statuses of groups that were written, in order.
    pub(crate) fn group_statuses(&self) -> Vec<String> {
        let of_group = |effect: &Effect| match &effect.kind {
            EffectKind::GroupStatus { group, status, .. } => Some(match status {
                GroupStatus::Condition {
                    scheduled,
                    reason,
                    message,
                } => format!("{} {group}: {scheduled} {reason}: {message}", group.kind.name()),
                GroupStatus::Phase {
                    phase,
                    running,
                    succeeded,
                    failed,
                } => format!(
                    "{} {group}: {phase:?}, {running} run, {succeeded} succeeded, {failed} failed",
                    group.kind.name()
                ),
            }),
            _ => None,
        };
        self.effects.iter().filter_map(of_group).collect()
    }

    /// The groups that wait, by reason.
    pub(crate) fn waiting_groups(&self) -> Vec<(&'static str, usize)> {
        let counts = self.engine.stats().waiting_groups;
        let all = WaitReason::ALL.iter().zip(counts);
        all.filter(|(_, n)| *n > 0)
            .map(|(reason, n)| (reason.name(), n))
            .collect()
    }

    /// How many pods entered a section because of an event.
    pub(crate) fn incoming(&self, section: &str, event: &str) -> u32 {
        let matching = |o: &Observation| match o {
            Observation::QueueIncoming {
                section: s,
                event: e,
                pods,
                ..
            } if s.name() == section && *e == event => *pods,
            _ => 0,
        };
        self.observations.iter().map(matching).sum()
    }
}

/// Pods of an application, in the domains of a key.
pub(crate) fn pods_of(app: &str, topology_key: &str) -> PodAffinityTerm {
    let requirement = Requirement {
        key: "app".into(),
        operator: Operator::In,
        values: Box::new([app.into()]),
    };
    PodAffinityTerm {
        selector: Some(LabelSelector {
            requirements: Box::new([requirement]),
        }),
        namespaces: NamespaceScope {
            names: Box::new(["default".into()]),
            selector: None,
        },
        topology_key: topology_key.into(),
    }
}

/// As many of these pods in one domain as in another, or one more.
pub(crate) fn spread_hard(pods: PodAffinityTerm) -> SpreadConstraint {
    SpreadConstraint {
        pods,
        max_skew: 1,
        when_unsatisfiable: WhenUnsatisfiable::DoNotSchedule,
        min_domains: None,
        honor_node_affinity: true,
        honor_node_taints: false,
    }
}
