//! What goes wrong between the engine and the API server: refusals, lost answers, restarts, stale and repeated news.

mod world;

use muster_engine::{
    BindOutcome, Effect, EffectKind, Engine, ExtenderAnswer, ExtenderSettings, ExtenderVerb, Input, Object, ObjectKey,
    Observation, Outcome, PodRead, PodState, Settings,
};
use muster_framework::Text;
use muster_framework::group::GroupLink;
use muster_framework::record::{
    ClaimKey, Kind, NamespaceRecord, NamespaceScope, NodeRecord, PodAffinityTerm, PodPhase, PodRecord, PodSpec,
    PodVolume, SpreadConstraint,
};
use muster_framework::selector::{LabelSelector, Operator, Requirement};
use muster_framework::taint::{Taint, TaintEffect};
use muster_framework::volume::{
    AccessModes, ClaimPhase, ClaimRecord, StorageClassRecord, StorageObject, VolumeClaimRef, VolumePhase, VolumeRecord,
    VolumeSource,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use world::{World, gang, member, node, pod, pods_of, settings, spread_hard, workload};

fn binds(effects: &[Effect]) -> Vec<Effect> {
    effects
        .iter()
        .filter(|effect| matches!(effect.kind, EffectKind::Bind { .. }))
        .cloned()
        .collect()
}

fn reads(effects: &[Effect]) -> Vec<Effect> {
    effects
        .iter()
        .filter(|effect| matches!(effect.kind, EffectKind::ReadPod { .. }))
        .cloned()
        .collect()
}

fn unknown() -> Outcome {
    Outcome::Bind(BindOutcome::Unknown {
        message: "connection reset".into(),
    })
}

#[test]
fn a_lost_answer_is_read_back_and_found_bound() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("a", 1000));
    let bind = binds(&world.poll()).remove(0);
    world.done(bind.id, unknown());
    let read = reads(&world.poll()).remove(0);
    assert_eq!(
        world.engine.stats().assumed_pods,
        1,
        "the place is kept until it is known"
    );
    let found = PodRecord {
        node_name: Some("n1".into()),
        resource_version: 9,
        ..world.pods["a"].clone()
    };
    world.done(read.id, Outcome::PodRead(PodRead::Found(Box::new(found))));
    world.run();
    assert_eq!(world.bound()["a"], "n1");
    let bound = world
        .observations
        .iter()
        .filter(|o| matches!(o, Observation::Bound { .. }))
        .count();
    assert_eq!(bound, 1);
}

#[test]
fn a_lost_answer_that_was_no_bind_is_tried_again_at_once_and_at_last_after_a_backoff() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("a", 1000));
    for _ in 0..3 {
        let bind = binds(&world.poll()).remove(0);
        world.done(bind.id, unknown());
        let read = reads(&world.poll()).remove(0);
        world.done(read.id, Outcome::PodRead(PodRead::Failed { message: "503".into() }));
        assert!(world.poll().is_empty());
        assert_eq!(world.engine.stats().assumed_pods, 1, "nobody knows where it is");
        world.now = world.now + Duration::from_secs(1);
        let read = reads(&world.poll()).remove(0);
        let found = Box::new(world.pods["a"].clone());
        world.done(read.id, Outcome::PodRead(PodRead::Found(found)));
        assert_eq!(world.engine.stats().assumed_pods, 0);
    }
    world.run();
    let (reason, message) = world.condition("a").unwrap();
    assert_eq!(reason, "SchedulerError");
    insta::assert_snapshot!(message, @"the pod could not be bound: connection reset");
    world.advance(Duration::from_secs(1));
    assert_eq!(world.bound()["a"], "n1");
}

#[test]
fn a_refused_member_is_tried_again_at_once_and_the_gang_ends_whole() {
    let mut world = World::new(&[node("n1", 2000)]);
    world.workload(workload("train", &[("workers", gang(2))]));
    world.pod(member("w0", 1000, "train", "workers", ""));
    world.pod(member("w1", 1000, "train", "workers", ""));
    let mut both = binds(&world.poll());
    assert_eq!(both.len(), 2);
    world.done(both.pop().unwrap().id, refused());
    world.carry_out(both.pop().unwrap());
    assert_eq!(reads(&world.poll()).len(), 1, "even a refusal is looked into");
    assert_eq!(world.bound().len(), 1);
    let read = world.engine.stats().in_flight;
    assert_eq!(read, 1);
    world.advance(Duration::from_secs(61));
    assert_eq!(world.bound().len(), 2, "a read that is never answered is asked again");
}

#[test]
fn a_pod_that_is_gone_gives_its_place_back() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("a", 1000));
    let bind = binds(&world.poll()).remove(0);
    world.pod(pod("b", 1000));
    world.run();
    assert!(world.bound().is_empty());
    world.done(bind.id, Outcome::Bind(BindOutcome::PodGone));
    world.run();
    assert_eq!(world.bound().keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn another_schedulers_bind_wins_over_our_plan() {
    let mut world = World::new(&[node("n1", 1000), node("n2", 1000)]);
    world.pod(pod("a", 1000));
    let bind = binds(&world.poll()).remove(0);
    let EffectKind::Bind { node: planned, .. } = &bind.kind else {
        unreachable!()
    };
    let other = if &**planned == "n1" { "n2" } else { "n1" };
    world.pod(PodRecord {
        node_name: Some(other.into()),
        ..world.pods["a"].clone()
    });
    world.done(bind.id, unknown());
    world.run();
    assert_eq!(world.bound()["a"], other);
    world.pod(pod("b", 1000));
    world.run();
    assert_eq!(world.bound()["b"], **planned);
}

#[test]
fn a_bind_that_we_know_of_is_not_forgotten_because_of_old_news_but_a_later_list_counts() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("a", 1000));
    let bind = binds(&world.poll()).remove(0);
    world.done(bind.id, Outcome::Bind(BindOutcome::Bound));
    // The watch lags: a label change from before the bind arrives now.
    world.pod(PodRecord {
        labels: [("x", "y")].into_iter().collect(),
        ..world.pods["a"].clone()
    });
    world.run();
    assert_eq!(world.engine.stats().assumed_pods, 1);
    // A consistent list begun after the outcome shows it without a node: somebody restored the cluster from a backup.
    world.input(Input::ListBegun(Kind::Pod));
    world.pod(world.pods["a"].clone());
    world.input(Input::ListDone(Kind::Pod));
    assert_eq!(binds(&world.poll()).len(), 1, "it is placed again");
}

#[test]
fn news_never_go_back() {
    let mut world = World::new(&[node("n1", 1000)]);
    let bound = PodRecord {
        node_name: Some("n1".into()),
        resource_version: 5,
        ..pod("a", 1000)
    };
    world.apply(Object::Pod(Box::new(bound.clone())));
    world.apply(Object::Pod(Box::new(PodRecord {
        node_name: None,
        resource_version: 4,
        ..bound
    })));
    assert!(world.poll().is_empty());
    assert_eq!(world.bound()["a"], "n1");
}

#[test]
fn after_a_restart_a_half_bound_gang_is_completed_ahead_of_all_priorities() {
    let mut world = World::unsynced();
    world.node(node("n1", 2000));
    world.pod(PodRecord {
        priority: Some(1_000_000),
        ..pod("urgent", 1000)
    });
    world.workload(workload("train", &[("workers", gang(2))]));
    let bound = PodRecord {
        node_name: Some("n1".into()),
        ..member("w0", 1000, "train", "workers", "")
    };
    world.pod(bound);
    world.pod(member("w1", 1000, "train", "workers", ""));
    world.sync();
    world.run();
    assert_eq!(world.bound().keys().collect::<Vec<_>>(), ["w0", "w1"]);
}

#[test]
fn what_a_list_does_not_name_is_gone_and_what_cannot_be_read_is_not() {
    let mut world = World::new(&[node("n1", 1000), node("n2", 1000)]);
    world.pod(pod("a", 1000));
    world.pod(pod("b", 1000));
    world.run();
    for kind in [Kind::Pod, Kind::Node] {
        world.input(Input::ListBegun(kind));
    }
    let key = |kind, name: &str, uid: &str| ObjectKey {
        kind,
        namespace: "default".into(),
        name: name.into(),
        uid: uid.into(),
        resource_version: 0,
    };
    let error = "spec: expected an object".into();
    world.input(Input::Undecodable {
        key: key(Kind::Pod, "a", "uid-a"),
        error,
    });
    world.node(node("n1", 1000));
    world.node(node("n2", 1000));
    for kind in [Kind::Pod, Kind::Node] {
        world.input(Input::ListDone(kind));
    }
    assert_eq!(world.bound().keys().collect::<Vec<_>>(), ["a"]);
    world.poll();
    assert!(
        world
            .observations
            .iter()
            .any(|o| matches!(o, Observation::Undecodable { object, .. } if &**object == "default/a"))
    );
}

#[test]
fn pods_on_a_node_that_is_not_known_yet_are_charged_when_it_appears() {
    let mut world = World::new(&[]);
    world.pod(PodRecord {
        node_name: Some("n1".into()),
        ..pod("early", 800)
    });
    world.pod(pod("late", 500));
    world.node(node("n1", 1000));
    world.run();
    assert_eq!(world.bound().keys().collect::<Vec<_>>(), ["early"]);
    world.delete(Kind::Node, "n1");
    world.node(node("n1", 2000));
    world.run();
    assert_eq!(world.bound().len(), 2);
}

fn refused() -> Outcome {
    Outcome::Bind(BindOutcome::Refused { message: "no".into() })
}

#[test]
fn a_pod_that_is_being_deleted_is_not_tried_again_when_its_bind_is_refused() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("a", 1000));
    let bind = binds(&world.poll()).remove(0);
    world.pod(PodRecord {
        terminating: true,
        ..world.pods["a"].clone()
    });
    world.done(bind.id, refused());
    world.advance(Duration::from_secs(60));
    assert!(binds(&world.effects).is_empty());
    assert_eq!(world.engine.stats().pending, [0; 4]);
}

#[test]
fn a_member_whose_bind_is_refused_waits_for_its_group_when_that_has_lost_its_workload() {
    let mut world = World::new(&[node("n1", 2000)]);
    world.workload(workload("train", &[("workers", gang(2))]));
    for n in 0..2 {
        world.pod(member(&format!("w{n}"), 1000, "train", "workers", ""));
    }
    let both = binds(&world.poll());
    world.delete(Kind::Workload, "train");
    for bind in both {
        world.done(bind.id, refused());
    }
    world.advance(Duration::from_secs(60));
    assert!(world.bound().is_empty(), "{:?}", world.bound());
    assert_eq!(world.engine.stats().pending, [0, 0, 0, 2]);
    world.workload(workload("train", &[("workers", gang(2))]));
    world.advance(Duration::from_secs(60));
    assert_eq!(world.bound().len(), 2);
}

// ---- random histories --------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Step {
    Node {
        n: u8,
        cpu: i64,
        zone: u8,
        closed: u8,
    },
    NodeGone(u8),
    Pod {
        n: u8,
        cpu: i64,
        kind: u8,
    },
    Member {
        n: u8,
        gang: u8,
        cpu: i64,
        kind: u8,
    },
    /// Another scheduler's pod on a node, that bars all pods of labelled namespaces from its zone.
    Lonely {
        n: u8,
        node: u8,
    },
    Namespace {
        labelled: bool,
    },
    Gate {
        n: u8,
        gated: bool,
    },
    Finish {
        n: u8,
        succeeded: bool,
    },
    ForeignBind {
        n: u8,
        node: u8,
    },
    PodGone(u8),
    Workload {
        gang: u8,
        min_count: i32,
    },
    WorkloadGone(u8),
    /// A list of pods from which this one is missing, or of nothing new.
    Relist {
        without: u8,
    },
    RelistNodes {
        without: u8,
    },
    /// A claim that is bound when a pod with it has been given a node.
    Claim(u8),
    ClaimGone(u8),
    /// The volume controller makes the volume of a claim whose node is known.
    Provision(u8),
    /// Another pod, or none, has been promised a node.
    Promise {
        n: u8,
        node: u8,
    },
    Restart,
    /// This process leads no more, or again: then everything is listed.
    Lead(bool),
    Work(u8),
    Outcome {
        at: u8,
        what: u8,
    },
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..5, 0i64..4, 0u8..3, 0u8..8).prop_map(|(n, cpu, zone, closed)| Step::Node { n, cpu, zone, closed }),
        1 => (0u8..5).prop_map(Step::NodeGone),
        3 => (0u8..12, 1i64..3, 0u8..16).prop_map(|(n, cpu, kind)| Step::Pod { n, cpu, kind }),
        4 => (0u8..12, 0u8..3, 1i64..3, 0u8..16).prop_map(|(n, gang, cpu, kind)| Step::Member { n, gang, cpu, kind }),
        1 => (0u8..12, 0u8..5).prop_map(|(n, node)| Step::Lonely { n, node }),
        1 => any::<bool>().prop_map(|labelled| Step::Namespace { labelled }),
        1 => (0u8..12, any::<bool>()).prop_map(|(n, gated)| Step::Gate { n, gated }),
        1 => (0u8..12, any::<bool>()).prop_map(|(n, succeeded)| Step::Finish { n, succeeded }),
        1 => (0u8..12, 0u8..5).prop_map(|(n, node)| Step::ForeignBind { n, node }),
        2 => (0u8..12).prop_map(Step::PodGone),
        2 => (0u8..3, 1i32..4).prop_map(|(gang, min_count)| Step::Workload { gang, min_count }),
        1 => (0u8..3).prop_map(Step::WorkloadGone),
        1 => (0u8..24).prop_map(|without| Step::Relist { without }),
        1 => (0u8..10).prop_map(|without| Step::RelistNodes { without }),
        2 => (0u8..3).prop_map(Step::Claim),
        1 => (0u8..3).prop_map(Step::ClaimGone),
        2 => (0u8..3).prop_map(Step::Provision),
        1 => (0u8..12, 0u8..8).prop_map(|(n, node)| Step::Promise { n, node }),
        1 => Just(Step::Restart),
        2 => any::<bool>().prop_map(Step::Lead),
        6 => (0u8..10).prop_map(Step::Work),
        4 => (any::<u8>(), 0u8..5).prop_map(|(at, what)| Step::Outcome { at, what }),
        2 => (0u16..5000).prop_map(Step::Wait),
    ]
}

/// What the API holds besides pods, which the world keeps.
#[derive(Default)]
struct Api {
    nodes: BTreeMap<String, NodeRecord>,
    workloads: BTreeMap<String, i32>,
    labelled: bool,
    claims: BTreeMap<String, ClaimRecord>,
    open: Vec<Effect>,
    all: Vec<Effect>,
    /// Something other than our own decisions may have left a gang in halves.
    excused: bool,
    stands_by: bool,
}

/// Plays a history; gives every effect in order. Every input and every pause is followed by a check of the books.
fn play(steps: &[Step]) -> Vec<Effect> {
    let mut world = World::unsynced();
    world.engine = Engine::new(&with_extender());
    world.apply(class());
    world.sync();
    let mut api = Api::default();
    for step in steps {
        api.excused |= matches!(
            step,
            Step::Finish { .. }
                | Step::ForeignBind { .. }
                | Step::PodGone(_)
                | Step::Workload { .. }
                | Step::Relist { .. }
                | Step::Restart
                | Step::Lead(false)
                | Step::Outcome { what: 1..=3, .. }
        ) && !world.pods.is_empty();
        api.play(&mut world, step);
    }
    api.lead(&mut world, true);
    // A healthy end: everything is answered, and everything comes to rest, long before any flush.
    api.rest(&mut world);
    for _ in 0..60 {
        world.now = world.now + Duration::from_secs(1);
        api.rest(&mut world);
    }
    assert_eq!(world.engine.stats().in_flight, 0, "every effect has been answered");
    assert_eq!(world.engine.stats().assumed_pods, 0, "every bind has an end");
    assert_all_or_nothing(&world);
    api.assert_nobody_waits_in_vain(&world);
    let before = api.all.len();
    let mut fresh = World::unsynced();
    fresh.engine = Engine::new(&with_extender());
    (fresh.now, fresh.pods, fresh.version) = (world.now, world.pods.clone(), world.version);
    Kind::ALL.into_iter().for_each(|kind| api.list(&mut fresh, kind));
    api.rest(&mut fresh);
    let more = binds(&api.all[before..]);
    // Which node the first members of a gang prefer decides whether there is company for the others: that may change with
    // scores alone, which wake nobody.
    let needs_company = |pod: &PodRecord| !(pod.spec.affinity.is_empty() && pod.spec.spread.is_empty());
    let planned_greedily = |pod: &PodRecord| pod.group.is_some() && needs_company(pod);
    assert!(
        more.is_empty() || world.pods.values().any(planned_greedily),
        "an engine that starts now would bind more: {more:?}"
    );
    api.all
}

impl Api {
    fn play(&mut self, world: &mut World, step: &Step) {
        match step {
            Step::Node { n, cpu, zone, closed } => self.node(world, *n, *cpu, *zone, *closed),
            Step::NodeGone(n) => {
                self.nodes.remove(&format!("n{n}"));
                world.delete(Kind::Node, &format!("n{n}"));
            }
            Step::Pod { n, cpu, kind } => create(world, variant(pod(&format!("p{n}"), *cpu), *kind)),
            Step::Member { n, gang, cpu, kind } => {
                let pod = member(&format!("p{n}"), *cpu, &format!("g{gang}"), "w", "");
                create(world, variant(pod, *kind));
            }
            Step::Lonely { n, node } => create(world, lonely(&format!("p{n}"), &format!("n{node}"))),
            Step::Namespace { labelled } => {
                self.labelled = *labelled;
                world.apply(namespace(*labelled));
            }
            Step::Gate { n, gated } => change(world, *n, |pod| {
                pod.scheduling_gates = if *gated { Box::new(["g".into()]) } else { Box::new([]) };
            }),
            Step::Finish { n, succeeded } => change(world, *n, |pod| {
                pod.phase = if *succeeded {
                    PodPhase::Succeeded
                } else {
                    PodPhase::Failed
                };
            }),
            Step::ForeignBind { n, node } => change(world, *n, |pod| {
                pod.node_name.get_or_insert_with(|| format!("n{node}").into());
            }),
            Step::PodGone(n) => world.delete(Kind::Pod, &format!("p{n}")),
            Step::Workload { gang: n, min_count } => {
                self.workloads.insert(format!("g{n}"), *min_count);
                world.workload(workload(&format!("g{n}"), &[("w", gang(*min_count))]));
            }
            Step::WorkloadGone(n) => {
                self.workloads.remove(&format!("g{n}"));
                world.delete(Kind::Workload, &format!("g{n}"));
            }
            Step::Relist { without } => {
                world.pods.remove(&format!("p{without}"));
                self.list(world, Kind::Pod);
            }
            Step::RelistNodes { without } => {
                self.nodes.remove(&format!("n{without}"));
                self.list(world, Kind::Node);
            }
            Step::Claim(n) => {
                let name = format!("c{n}");
                if !self.claims.contains_key(&name) {
                    world.version += 1;
                    self.claims.insert(name.clone(), claim(&name, world.version));
                    self.tell_claim(world, &name);
                }
            }
            Step::ClaimGone(n) => {
                self.claims.remove(&format!("c{n}"));
                world.delete(Kind::PersistentVolumeClaim, &format!("c{n}"));
                world.delete(Kind::PersistentVolume, &format!("pv-c{n}"));
            }
            Step::Provision(n) => self.provision(world, &format!("c{n}")),
            Step::Promise { n, node } => change(world, *n, |pod| {
                pod.nominated_node_name = Some(format!("n{node}").into()).filter(|_| *node < 5);
            }),
            Step::Restart => {
                world.engine = Engine::new(&with_extender());
                self.open.clear();
                self.stands_by = false;
                Kind::ALL.into_iter().for_each(|kind| self.list(world, kind));
            }
            Step::Lead(leads) => self.lead(world, *leads),
            Step::Work(polls) => {
                let effects: Vec<Effect> = (0..*polls).filter_map(|_| world.engine.poll(world.now)).collect();
                self.open.extend(effects.iter().cloned());
                self.all.extend(effects);
                assert_eq!(world.engine.check(), Ok(()));
            }
            Step::Outcome { at, what } if !self.open.is_empty() => {
                let effect = self.open.remove(usize::from(*at) % self.open.len());
                self.answer(world, effect, *what);
            }
            Step::Outcome { .. } => {}
            Step::Wait(millis) => world.now = world.now + Duration::from_millis(u64::from(*millis)),
        }
    }

    fn lead(&mut self, world: &mut World, leads: bool) {
        world.input(Input::Leadership { leads });
        if leads && self.stands_by {
            Kind::ALL.into_iter().for_each(|kind| self.list(world, kind));
        }
        self.stands_by = !leads;
        if self.stands_by {
            assert_eq!(world.engine.poll(world.now), None, "a standby wants nothing");
        }
    }

    fn node(&mut self, world: &mut World, n: u8, cpu: i64, zone: u8, closed: u8) {
        let taint = Taint {
            key: "t".into(),
            value: "".into(),
            effect: TaintEffect::NoSchedule,
        };
        let record = NodeRecord {
            labels: [("zone", zone.to_string())].into_iter().filter(|_| zone > 0).collect(),
            unschedulable: closed == 1,
            taints: Some(taint).filter(|_| closed == 2).into_iter().collect(),
            ..node(&format!("n{n}"), cpu)
        };
        let mut record = record;
        record.allocatable.scalars = vec![(MANAGED.into(), 100)];
        self.nodes.insert(record.name.to_string(), record.clone());
        world.node(record);
    }

    /// A consistent list of a kind, told in full.
    fn list(&self, world: &mut World, kind: Kind) {
        world.input(Input::ListBegun(kind));
        let objects: Vec<Object> = match kind {
            Kind::Node => self.nodes.values().cloned().map(Object::Node).collect(),
            Kind::Pod => world
                .pods
                .values()
                .map(|pod| Object::Pod(Box::new(pod.clone())))
                .collect(),
            Kind::Namespace => vec![namespace(self.labelled)],
            Kind::PriorityClass => vec![],
            Kind::Workload => {
                let each = |(name, min): (&String, &i32)| Object::Workload(workload(name, &[("w", gang(*min))]));
                self.workloads.iter().map(each).collect()
            }
            Kind::StorageClass => vec![class()],
            Kind::PersistentVolume => self.claims.values().filter_map(volume_of).collect(),
            Kind::PersistentVolumeClaim => self.claims.values().map(claim_object).collect(),
            _ => vec![],
        };
        objects.into_iter().for_each(|object| world.apply(object));
        world.input(Input::ListDone(kind));
    }

    /// Answers all that is open as a healthy server would, until nothing more comes.
    fn rest(&mut self, world: &mut World) {
        loop {
            for effect in std::mem::take(&mut self.open) {
                self.answer(world, effect, 0);
            }
            let names: Vec<String> = self.claims.keys().cloned().collect();
            names.iter().for_each(|name| self.provision(world, name));
            let effects = world.poll();
            if effects.is_empty() {
                return;
            }
            self.all.extend(effects.iter().cloned());
            self.open = effects;
        }
    }
}

// ---- volumes and extenders ---------------------------------------------------------------------------------------

/// A resource that an extender has a say in.
const MANAGED: &str = "example.com/managed";

fn with_extender() -> Settings {
    let extender = ExtenderSettings {
        name: "http://e".into(),
        filters: true,
        prioritizes: true,
        binds: false,
        weight: 1,
        ignorable: false,
        managed_resources: vec![MANAGED.into()],
        timeout: Duration::from_secs(5),
    };
    Settings {
        extenders: vec![extender],
        ..settings()
    }
}

const MODES: AccessModes = AccessModes {
    read_write_once: true,
    read_only_many: false,
    read_write_many: false,
    read_write_once_pod: false,
};

fn class() -> Object {
    Object::Storage(StorageObject::Class(StorageClassRecord {
        name: "fast".into(),
        resource_version: 1,
        provisioner: "csi.example.com".into(),
        wait_for_first_consumer: Some(true),
        allowed_topologies: Box::default(),
    }))
}

fn claim(name: &str, version: u64) -> ClaimRecord {
    ClaimRecord {
        key: ClaimKey {
            namespace: "default".into(),
            name: name.into(),
        },
        uid: format!("uid-{name}-{version}").into(),
        resource_version: version,
        terminating: false,
        owner_pod: "".into(),
        volume: "".into(),
        storage_class: Some("fast".into()),
        attributes_class: "".into(),
        access_modes: MODES,
        block: false,
        request: 1 << 30,
        selector: None,
        phase: ClaimPhase::Pending,
        bind_completed: false,
        selected_node: "".into(),
    }
}

fn claim_object(claim: &ClaimRecord) -> Object {
    Object::Storage(StorageObject::Claim(Box::new(claim.clone())))
}

/// The volume that was made for a claim.
fn volume_of(claim: &ClaimRecord) -> Option<Object> {
    (!claim.volume.is_empty()).then(|| {
        Object::Storage(StorageObject::Volume(Box::new(VolumeRecord {
            name: claim.volume.clone(),
            uid: format!("uid-{}", claim.volume).into(),
            resource_version: claim.resource_version,
            labels: Default::default(),
            terminating: false,
            capacity: 1 << 30,
            access_modes: MODES,
            block: false,
            storage_class: "fast".into(),
            attributes_class: "".into(),
            node_affinity: None,
            migrated_node_affinity: None,
            claim: Some(VolumeClaimRef {
                claim: claim.key.clone(),
                uid: claim.uid.clone(),
            }),
            phase: VolumePhase::Bound,
            source: VolumeSource::Other,
            in_tree: "".into(),
            bound_by_controller: true,
        })))
    })
}

impl Api {
    fn tell_claim(&self, world: &mut World, name: &str) {
        if let Some(claim) = self.claims.get(name) {
            volume_of(claim).into_iter().for_each(|volume| world.apply(volume));
            world.apply(claim_object(claim));
        }
    }

    /// Makes the volume of a claim that knows its node; a node that is gone is chosen anew.
    fn provision(&mut self, world: &mut World, name: &str) {
        let Some(claim) = self.claims.get_mut(name) else { return };
        if claim.selected_node.is_empty() || claim.bind_completed {
            return;
        }
        world.version += 1;
        claim.resource_version = world.version;
        if self.nodes.contains_key(&*claim.selected_node) {
            claim.volume = format!("pv-{name}").into();
            claim.phase = ClaimPhase::Bound;
            claim.bind_completed = true;
        } else {
            claim.selected_node = "".into();
        }
        self.tell_claim(world, name);
    }

    fn answer(&mut self, world: &mut World, effect: Effect, what: u8) {
        match &effect.kind {
            EffectKind::SelectNode {
                claim: key,
                claim_version,
                node,
                ..
            } => {
                let current = self.claims.get_mut(&*key.name);
                let Some(claim) = current.filter(|claim| claim.resource_version == *claim_version && what != 1) else {
                    let message = "conflict".into();
                    return world.done(effect.id, Outcome::WriteFailed { message });
                };
                world.version += 1;
                let resource_version = world.version;
                (claim.selected_node, claim.resource_version) = (node.clone(), resource_version);
                if what == 4 {
                    self.tell_claim(world, &key.name);
                    world.done(effect.id, Outcome::Patched { resource_version });
                } else {
                    world.done(effect.id, Outcome::Patched { resource_version });
                    self.tell_claim(world, &key.name);
                }
            }
            EffectKind::AskExtender { verb, nodes, .. } => {
                let answer = match verb {
                    _ if what == 1 => ExtenderAnswer::Failed { message: "no".into() },
                    ExtenderVerb::Filter => ExtenderAnswer::Filtered {
                        nodes: nodes.iter().filter(|name| &***name != "n4").cloned().collect(),
                        failed: vec![],
                        unresolvable: vec![],
                    },
                    ExtenderVerb::Prioritize => ExtenderAnswer::Prioritized { scores: vec![] },
                };
                world.done(effect.id, Outcome::Extender(answer));
            }
            _ => answer(world, effect, what),
        }
    }
}

/// Whether the oracle below knows where the pod could go.
fn is_plain(pod: &PodRecord) -> bool {
    let spec = &pod.spec;
    spec.affinity.is_empty()
        && spec.spread.is_empty()
        && spec.volumes.is_empty()
        && spec.charge.requests.scalars.is_empty()
}

// ---- the oracle: what the API holds, judged without any of the engine's own code ----------------------------------

impl Api {
    fn free(&self, world: &World, node: &NodeRecord) -> i64 {
        let on = |pod: &&PodRecord| pod.phase == PodPhase::Active && pod.node_name.as_ref() == Some(&node.name);
        let used: i64 = world
            .pods
            .values()
            .filter(on)
            .map(|pod| pod.charge.requests.milli_cpu)
            .sum();
        node.allocatable.milli_cpu - used
    }

    /// How many pods like this one the cluster has room for.
    fn room(&self, world: &World, pod: &PodRecord) -> i64 {
        let zone = |node: &NodeRecord| node.labels.get("zone").cloned();
        let barred: Vec<Text> = world
            .pods
            .values()
            .filter(|other| self.labelled && !other.spec.anti_affinity.is_empty() && other.phase == PodPhase::Active)
            .filter_map(|other| zone(self.nodes.get(&**other.node_name.as_ref()?)?))
            .collect();
        let open = |node: &&NodeRecord| {
            !node.unschedulable
                && node.taints.is_empty()
                && pod
                    .spec
                    .node_selector
                    .iter()
                    .all(|(key, value)| node.labels.get(key) == Some(value))
                && zone(node).is_none_or(|zone| !barred.contains(&zone))
        };
        let fits = |node: &NodeRecord| (self.free(world, node) / pod.charge.requests.milli_cpu).max(0);
        self.nodes.values().filter(open).map(fits).sum()
    }

    fn assert_nobody_waits_in_vain(&self, world: &World) {
        let waits = |pod: &PodRecord| {
            pod.phase == PodPhase::Active && pod.node_name.is_none() && pod.scheduling_gates.is_empty()
        };
        if world
            .pods
            .values()
            .any(|pod| waits(pod) && pod.nominated_node_name.is_some())
        {
            return;
        }
        for pod in world
            .pods
            .values()
            .filter(|pod| pod.group.is_none() && waits(pod) && is_plain(pod))
        {
            assert_eq!(self.room(world, pod), 0, "{} waits although it could go", pod.name);
        }
        for (name, min_count) in &self.workloads {
            let members = || {
                let of = |pod: &&PodRecord| matches!(&pod.group, Some(GroupLink::Workload { workload, .. }) if **workload == **name);
                world.pods.values().filter(of)
            };
            let placed = members()
                .filter(|p| p.phase == PodPhase::Active && p.node_name.is_some())
                .count();
            let succeeded = members().filter(|p| p.phase == PodPhase::Succeeded).count();
            let pending: Vec<&PodRecord> = members().filter(|pod| waits(pod)).collect();
            let needed = (*min_count - (placed + succeeded) as i32).max(1);
            let twins = pending.iter().all(|pod| pod.spec == pending[0].spec);
            let plain = pending.iter().all(|pod| is_plain(pod));
            if plain && pending.len() as i32 >= needed && (twins || needed == 1) {
                let room = pending.iter().map(|pod| self.room(world, pod)).max().unwrap_or(0);
                assert!(room < i64::from(needed), "gang {name} waits although it could go");
            }
            assert!(
                self.excused || placed == 0 || placed as i32 >= *min_count,
                "gang {name} is half bound by our own decision"
            );
        }
    }
}

fn namespace(labelled: bool) -> Object {
    Object::Namespace(NamespaceRecord {
        name: "default".into(),
        resource_version: 0,
        labels: [("team", "x")].into_iter().filter(|_| labelled).collect(),
    })
}

fn lonely(name: &str, node: &str) -> PodRecord {
    let requirement = Requirement {
        key: "team".into(),
        operator: Operator::Exists,
        values: Box::new([]),
    };
    let labelled = LabelSelector {
        requirements: Box::new([requirement]),
    };
    let term = PodAffinityTerm {
        selector: Some(LabelSelector::default()),
        namespaces: NamespaceScope {
            names: Box::new([]),
            selector: Some(labelled),
        },
        topology_key: "zone".into(),
    };
    let plain = pod(name, 1);
    let spec = PodSpec {
        anti_affinity: Box::new([term]),
        ..(*plain.spec).clone()
    };
    PodRecord {
        scheduler_name: "other".into(),
        node_name: Some(node.into()),
        spec: Arc::new(spec),
        ..plain
    }
}

/// Most pods are plain; some choose a zone, are gated, or more urgent.
fn variant(pod: PodRecord, kind: u8) -> PodRecord {
    match kind {
        1 | 2 => {
            let spec = PodSpec {
                node_selector: [("zone", kind.to_string())].into_iter().collect(),
                ..(*pod.spec).clone()
            };
            PodRecord {
                spec: Arc::new(spec),
                ..pod
            }
        }
        3 => PodRecord {
            scheduling_gates: Box::new(["g".into()]),
            ..pod
        },
        4 => PodRecord {
            priority: Some(5),
            ..pod
        },
        8..=10 => {
            let mut pod = pod;
            Arc::make_mut(&mut pod.spec).volumes = Box::new([PodVolume::Claim {
                claim: ClaimKey {
                    namespace: "default".into(),
                    name: format!("c{}", kind - 8).into(),
                },
                ephemeral: false,
            }]);
            pod
        }
        11 => {
            let mut pod = pod;
            pod.charge.requests.scalars = vec![(MANAGED.into(), 1)];
            Arc::make_mut(&mut pod.spec).charge = pod.charge.clone();
            pod
        }
        12 => {
            let term = company();
            let mut pod = pod;
            Arc::make_mut(&mut pod.spec).affinity = Box::new([term]);
            pod
        }
        14 => {
            let mut pod = pod;
            Arc::make_mut(&mut pod.spec).spread = Box::new([spread()]);
            PodRecord {
                labels: [("app", "lead")].into_iter().collect(),
                ..pod
            }
        }
        13 => PodRecord {
            labels: [("app", "lead")].into_iter().collect(),
            ..pod
        },
        _ => pod,
    }
}

/// Another pod of the application `lead`, in the same zone.
fn company() -> PodAffinityTerm {
    pods_of("lead", "zone")
}

/// As many in one zone as in another, or one more.
fn spread() -> SpreadConstraint {
    spread_hard(company())
}

/// Creates a pod under a name that is free; a pod that is there stays as it is.
fn create(world: &mut World, pod: PodRecord) {
    if !world.pods.contains_key(&*pod.name) {
        let uid = format!("{}-{}", pod.name, world.version).into();
        world.pod(PodRecord { uid, ..pod });
    }
}

fn change(world: &mut World, n: u8, change: impl FnOnce(&mut PodRecord)) {
    if let Some(mut pod) = world.pods.get(&format!("p{n}")).cloned() {
        change(&mut pod);
        world.pod(pod);
    }
}

/// Answers an effect: 0 as a healthy server would, otherwise with a fault.
fn answer(world: &mut World, effect: Effect, what: u8) {
    let current = |world: &World, name: &str, uid: &str| world.pods.get(name).filter(|pod| &*pod.uid == uid).cloned();
    match &effect.kind {
        EffectKind::Bind { pod, node, .. } => {
            let Some(mut record) = current(world, &pod.name, &pod.uid) else {
                return world.done(effect.id, Outcome::Bind(BindOutcome::PodGone));
            };
            match what {
                1 => world.done(effect.id, Outcome::Bind(BindOutcome::Refused { message: "no".into() })),
                2 => world.done(effect.id, unknown()),
                _ => {
                    record.node_name = Some(node.clone());
                    let outcome = if what == 3 {
                        unknown()
                    } else {
                        Outcome::Bind(BindOutcome::Bound)
                    };
                    if what == 4 {
                        world.pod(record);
                        world.done(effect.id, outcome);
                    } else {
                        world.done(effect.id, outcome);
                        world.pod(record);
                    }
                }
            }
        }
        EffectKind::ReadPod { pod } => {
            let read = match current(world, &pod.name, &pod.uid) {
                Some(_) if what == 1 => PodRead::Failed { message: "no".into() },
                Some(record) => PodRead::Found(Box::new(record)),
                None => PodRead::Gone,
            };
            world.done(effect.id, Outcome::PodRead(read));
        }
        EffectKind::PodCondition { .. } | EffectKind::GroupStatus { .. } | EffectKind::Evict { .. } => {
            let outcome = if what == 1 {
                Outcome::WriteFailed { message: "no".into() }
            } else {
                Outcome::Written
            };
            world.done(effect.id, outcome);
        }
        EffectKind::Event { .. } => {}
        EffectKind::ReserveVolume { .. } | EffectKind::SelectNode { .. } | EffectKind::AskExtender { .. } => {
            unreachable!("answered by what keeps claims and extenders")
        }
    }
}

/// At rest, no pod is between two places.
fn assert_all_or_nothing(world: &World) {
    for status in world.engine.pods() {
        assert!(!matches!(status.state, PodState::Binding { .. }), "{status:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_history_keeps_the_books_and_happens_the_same_way_twice(steps in prop::collection::vec(step(), 0..140)) {
        prop_assert_eq!(play(&steps), play(&steps));
    }
}

#[test]
fn room_that_comes_while_an_extender_is_asked_about_a_member_is_not_missed() {
    let node = |n, cpu| Step::Node {
        n,
        cpu,
        zone: 0,
        closed: 3,
    };
    let member = |n, cpu, kind| Step::Member { n, gang: 0, cpu, kind };
    let steps = [
        node(0, 0),
        Step::Workload { gang: 0, min_count: 2 },
        Step::Pod { n: 1, cpu: 1, kind: 0 },
        member(2, 1, 4),
        member(3, 2, 11),
        node(4, 2),
        Step::Work(2),
        node(0, 2),
    ];
    play(&steps);
}
