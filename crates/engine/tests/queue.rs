//! Who is woken by what. The proof that no flush is needed: after any history, once the queue has come to rest, trying
//! everything again places nobody. And the other side: how many wake-ups were of no use, where that is known.

mod world;

use muster_engine::{Engine, Object, Observation, Settings};
use muster_framework::labels::Labels;
use muster_framework::record::{
    ClaimKey, HostPort, Kind, NamespaceRecord, NamespaceScope, NodeRecord, PodAffinityTerm, PodPhase, PodRecord,
    PodVolume, PriorityClassRecord, Protocol, SelectorOwnerRecord, SpreadConstraint, WhenUnsatisfiable,
};
use muster_framework::resource::{Charge, ResourceList};
use muster_framework::selector::{LabelSelector, NodeSelectorTerm, Operator, Requirement};
use muster_framework::taint::{Taint, TaintEffect, Toleration, TolerationOperator};
use muster_framework::volume::{
    AccessModes, ClaimPhase, ClaimRecord, StorageObject, VolumeClaimRef, VolumePhase, VolumeRecord, VolumeSource,
};
use muster_plugins::args::DefaultConstraint;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use world::{World, gang, member, node, pod, settings, workload};

// ---- objects -----------------------------------------------------------------------------------------------------

fn requirement(key: &str, value: &str) -> Requirement {
    Requirement {
        key: key.into(),
        operator: Operator::In,
        values: Box::new([value.into()]),
    }
}

fn selector(app: &str) -> LabelSelector {
    LabelSelector {
        requirements: Box::new([requirement("app", app)]),
    }
}

fn term(key: &str, app: &str) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: Some(selector(app)),
        namespaces: NamespaceScope {
            names: Box::new(["default".into()]),
            selector: None,
        },
        topology_key: key.into(),
    }
}

fn hard(key: &str, app: &str) -> SpreadConstraint {
    SpreadConstraint {
        pods: term(key, app),
        max_skew: 1,
        when_unsatisfiable: WhenUnsatisfiable::DoNotSchedule,
        min_domains: None,
        honor_node_affinity: true,
        honor_node_taints: false,
    }
}

fn key(name: &str) -> ClaimKey {
    ClaimKey {
        namespace: "default".into(),
        name: name.into(),
    }
}

/// How many kinds of pods [`variant`] knows.
const KINDS: u8 = 17;

/// A pod with something that one of the plugins looks at; `app` is its label.
fn variant(mut pod: PodRecord, kind: u8, app: &str) -> PodRecord {
    let spec = Arc::make_mut(&mut pod.spec);
    match kind {
        1 => spec.node_selector = [("disk", "ssd")].into_iter().collect(),
        2 => {
            spec.tolerations = Box::new([Toleration {
                key: "gpu".into(),
                operator: TolerationOperator::Exists,
                value: "".into(),
                effect: None,
            }]);
        }
        3 => spec.spread = Box::new([hard("zone", "a")]),
        4 => {
            spec.spread = Box::new([SpreadConstraint {
                min_domains: Some(3),
                ..hard("kubernetes.io/hostname", "b")
            }]);
        }
        5 => {
            spec.spread = Box::new([SpreadConstraint {
                honor_node_taints: true,
                ..hard("zone", "b")
            }]);
        }
        6 => spec.affinity = Box::new([term("zone", "a")]),
        7 => spec.anti_affinity = Box::new([term("kubernetes.io/hostname", "a")]),
        8 => spec.anti_affinity = Box::new([term("zone", "b")]),
        9 => {
            let mut anywhere = term("zone", app);
            anywhere.namespaces = NamespaceScope {
                names: Box::default(),
                selector: Some(LabelSelector {
                    requirements: Box::new([requirement("team", "x")]),
                }),
            };
            spec.anti_affinity = Box::new([anywhere]);
        }
        10 | 11 => {
            spec.host_ports = Box::new([HostPort {
                ip: "0.0.0.0".into(),
                protocol: Protocol::Tcp,
                port: 70 + u16::from(kind),
            }]);
        }
        12..=14 => {
            spec.volumes = Box::new([PodVolume::Claim {
                claim: key(&format!("c{}", kind - 12)),
                ephemeral: false,
            }]);
        }
        15 => {
            spec.node_selector = [("disk", "ssd")].into_iter().collect();
            spec.spread = Box::new([hard("zone", "a"), hard("kubernetes.io/hostname", "b")]);
        }
        16 => {
            spec.affinity = Box::new([term("zone", "b")]);
            spec.anti_affinity = Box::new([term("kubernetes.io/hostname", "b")]);
        }
        _ => {}
    }
    pod.labels = [("app", app)].into_iter().collect();
    pod
}

fn some_node(n: u8, cpu: i64, zone: u8, closed: u8) -> NodeRecord {
    let name = format!("n{n}");
    let mut labels = vec![("kubernetes.io/hostname".to_owned(), name.clone())];
    if zone > 0 {
        labels.push(("zone".to_owned(), format!("z{zone}")));
    }
    if closed & 4 != 0 {
        labels.push(("disk".to_owned(), "ssd".to_owned()));
    }
    let taint = Taint {
        key: "gpu".into(),
        value: "".into(),
        effect: TaintEffect::NoSchedule,
    };
    NodeRecord {
        labels: labels.into_iter().collect(),
        taints: if closed & 3 == 1 { vec![taint] } else { vec![] },
        unschedulable: closed & 3 == 2,
        ..node(&name, cpu * 1000)
    }
}

/// A claim that is bound to a volume of one zone; the last one is for one pod only.
fn put_claim(world: &mut World, n: u8, zone: u8) {
    world.version += 1;
    let modes = AccessModes {
        read_write_once: n < 2,
        read_only_many: false,
        read_write_many: false,
        read_write_once_pod: n == 2,
    };
    let (name, volume) = (format!("c{n}"), format!("pv-{n}"));
    let in_zone = NodeSelectorTerm {
        match_expressions: Box::new([requirement("zone", &format!("z{zone}"))]),
        match_fields: Box::default(),
    };
    world.apply(Object::Storage(StorageObject::Volume(Box::new(VolumeRecord {
        name: volume.as_str().into(),
        uid: format!("uid-{volume}").into(),
        resource_version: world.version,
        labels: Labels::default(),
        terminating: false,
        capacity: 1,
        access_modes: modes,
        block: false,
        storage_class: "".into(),
        attributes_class: "".into(),
        node_affinity: Some(Box::new([in_zone])),
        migrated_node_affinity: None,
        claim: Some(VolumeClaimRef {
            claim: key(&name),
            uid: format!("uid-{name}").into(),
        }),
        phase: VolumePhase::Bound,
        source: VolumeSource::Other,
        in_tree: "".into(),
        bound_by_controller: true,
    }))));
    world.apply(Object::Storage(StorageObject::Claim(Box::new(ClaimRecord {
        key: key(&name),
        uid: format!("uid-{name}").into(),
        resource_version: world.version,
        terminating: false,
        owner_pod: "".into(),
        volume: volume.into(),
        storage_class: Some("".into()),
        attributes_class: "".into(),
        access_modes: modes,
        block: false,
        request: 1,
        selector: None,
        phase: ClaimPhase::Bound,
        bind_completed: true,
        selected_node: "".into(),
    }))));
}

// ---- histories ---------------------------------------------------------------------------------------------------

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
        app: bool,
    },
    Member {
        n: u8,
        gang: u8,
        cpu: i64,
        kind: u8,
        app: bool,
    },
    Foreign {
        n: u8,
        node: u8,
        kind: u8,
        app: bool,
    },
    ForeignBind {
        n: u8,
        node: u8,
    },
    Promise {
        n: u8,
        node: u8,
    },
    PodGone(u8),
    Finish(u8),
    Terminate(u8),
    Label {
        n: u8,
        app: bool,
    },
    Resize(u8),
    Gate {
        n: u8,
        gated: bool,
    },
    Workload {
        gang: u8,
        min_count: i32,
    },
    WorkloadGone(u8),
    Namespace {
        labelled: bool,
    },
    Service {
        there: bool,
    },
    Claim {
        n: u8,
        zone: u8,
    },
    ClaimGone(u8),
    PriorityClass {
        value: i32,
    },
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0u8..10;
    let kind = || 0..KINDS;
    prop_oneof![
        6 => (0u8..5, 0i64..5, 0u8..4, 0u8..8).prop_map(|(n, cpu, zone, closed)| Step::Node { n, cpu, zone, closed }),
        1 => (0u8..5).prop_map(Step::NodeGone),
        6 => (n(), 1i64..3, kind(), any::<bool>()).prop_map(|(n, cpu, kind, app)| Step::Pod { n, cpu, kind, app }),
        6 => (n(), 0u8..2, 1i64..3, kind(), any::<bool>())
            .prop_map(|(n, gang, cpu, kind, app)| Step::Member { n, gang, cpu, kind, app }),
        4 => (n(), 0u8..5, kind(), any::<bool>())
            .prop_map(|(n, node, kind, app)| Step::Foreign { n, node, kind, app }),
        1 => (n(), 0u8..5).prop_map(|(n, node)| Step::ForeignBind { n, node }),
        1 => (n(), 0u8..7).prop_map(|(n, node)| Step::Promise { n, node }),
        4 => n().prop_map(Step::PodGone),
        2 => n().prop_map(Step::Finish),
        2 => n().prop_map(Step::Terminate),
        2 => (n(), any::<bool>()).prop_map(|(n, app)| Step::Label { n, app }),
        1 => n().prop_map(Step::Resize),
        1 => (n(), any::<bool>()).prop_map(|(n, gated)| Step::Gate { n, gated }),
        3 => (0u8..2, 1i32..5).prop_map(|(gang, min_count)| Step::Workload { gang, min_count }),
        1 => (0u8..2).prop_map(Step::WorkloadGone),
        1 => any::<bool>().prop_map(|labelled| Step::Namespace { labelled }),
        1 => any::<bool>().prop_map(|there| Step::Service { there }),
        2 => (0u8..3, 1u8..4).prop_map(|(n, zone)| Step::Claim { n, zone }),
        1 => (0u8..3).prop_map(Step::ClaimGone),
        1 => (0i32..3).prop_map(|value| Step::PriorityClass { value }),
        5 => (0u16..3000).prop_map(Step::Wait),
    ]
}

fn app(first: bool) -> &'static str {
    if first { "a" } else { "b" }
}

/// Pods that state no spread constraint are spread over zones by their service: also where that is asked for hard.
fn with_hard_defaults() -> Settings {
    let mut settings = settings();
    settings.profiles[0].args.pod_topology_spread.default_constraints = vec![DefaultConstraint {
        max_skew: 1,
        topology_key: "zone".into(),
        when_unsatisfiable: WhenUnsatisfiable::DoNotSchedule,
    }];
    settings.profiles[0].args.pod_topology_spread.system_defaulted = false;
    settings
}

fn change(world: &mut World, n: u8, change: impl FnOnce(&mut PodRecord)) {
    if let Some(mut pod) = world.pods.get(&format!("p{n}")).cloned() {
        change(&mut pod);
        world.pod(pod);
    }
}

fn create(world: &mut World, pod: PodRecord) {
    if !world.pods.contains_key(&*pod.name) {
        world.pod(PodRecord {
            uid: format!("{}-{}", pod.name, world.version).into(),
            ..pod
        });
    }
}

/// What a step makes of the world; every pod's priority is left to the default class.
fn take(world: &mut World, step: &Step) {
    let name = |n: &u8| format!("p{n}");
    match step {
        Step::Node { n, cpu, zone, closed } => world.node(some_node(*n, *cpu, *zone, *closed)),
        Step::NodeGone(n) => world.delete(Kind::Node, &format!("n{n}")),
        Step::Pod { n, cpu, kind, app: a } => {
            let plain = PodRecord {
                priority: None,
                ..pod(&name(n), cpu * 1000)
            };
            create(world, variant(plain, *kind, app(*a)));
        }
        Step::Member {
            n,
            gang,
            cpu,
            kind,
            app: a,
        } => {
            let plain = member(&name(n), cpu * 1000, &format!("w{gang}"), "workers", "");
            create(world, variant(plain, *kind, app(*a)));
        }
        Step::Foreign { n, node, kind, app: a } => {
            let placed = PodRecord {
                scheduler_name: "other".into(),
                node_name: Some(format!("n{node}").into()),
                ..pod(&name(n), 1000)
            };
            create(world, variant(placed, *kind, app(*a)));
        }
        Step::ForeignBind { n, node } => change(world, *n, |pod| {
            pod.node_name.get_or_insert_with(|| format!("n{node}").into());
        }),
        Step::Promise { n, node } => change(world, *n, |pod| {
            pod.nominated_node_name = (*node < 5 && pod.node_name.is_none()).then(|| format!("n{node}").into());
        }),
        Step::PodGone(n) => {
            if world.pods.contains_key(&name(n)) {
                world.delete(Kind::Pod, &name(n));
            }
        }
        Step::Finish(n) => change(world, *n, |pod| {
            if pod.node_name.is_some() {
                pod.phase = PodPhase::Succeeded;
            }
        }),
        Step::Terminate(n) => change(world, *n, |pod| pod.terminating = true),
        Step::Label { n, app: a } => change(world, *n, |pod| {
            pod.labels = [("app", app(*a))].into_iter().collect();
        }),
        Step::Resize(n) => change(world, *n, |pod| {
            if pod.node_name.is_some() {
                pod.charge = Charge {
                    requests: ResourceList {
                        milli_cpu: 100,
                        ..ResourceList::default()
                    },
                    ..pod.charge.clone()
                };
            }
        }),
        Step::Gate { n, gated } => change(world, *n, |pod| {
            if pod.node_name.is_none() {
                pod.scheduling_gates = if *gated { Box::new(["g".into()]) } else { Box::new([]) };
            }
        }),
        Step::Workload { gang: n, min_count } => {
            world.workload(workload(&format!("w{n}"), &[("workers", gang(*min_count))]));
        }
        Step::WorkloadGone(n) => world.delete(Kind::Workload, &format!("w{n}")),
        Step::Namespace { labelled } => world.apply(Object::Namespace(NamespaceRecord {
            name: "default".into(),
            resource_version: 0,
            labels: [("team", "x")].into_iter().filter(|_| *labelled).collect(),
        })),
        Step::Service { there: true } => world.apply(Object::SelectorOwner(SelectorOwnerRecord {
            kind: Kind::Service,
            namespace: "default".into(),
            name: "s".into(),
            resource_version: 0,
            selector: Some(selector("a")),
        })),
        Step::Service { there: false } => world.input(muster_engine::Input::Deleted(muster_engine::ObjectKey {
            kind: Kind::Service,
            namespace: "default".into(),
            name: "s".into(),
            uid: "".into(),
            resource_version: 0,
        })),
        Step::Claim { n, zone } => put_claim(world, *n, *zone),
        Step::ClaimGone(n) => world.delete(Kind::PersistentVolumeClaim, &format!("c{n}")),
        Step::PriorityClass { value } => world.apply(Object::PriorityClass(PriorityClassRecord {
            name: "usual".into(),
            resource_version: 0,
            value: *value,
            global_default: true,
        })),
        Step::Wait(millis) => world.advance(Duration::from_millis(u64::from(*millis))),
    }
    world.run();
}

fn rescued(world: &World) -> Vec<&Observation> {
    let is_rescue = |o: &&Observation| matches!(o, Observation::Bound { after_flush: true, .. });
    world.observations.iter().filter(is_rescue).collect()
}

fn at_rest_nobody_is_placed_by_trying_again(settings: &Settings, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::unsynced();
    world.engine = Engine::new(settings);
    world.sync();
    for step in steps {
        take(&mut world, step);
    }
    // Long enough for every backoff, and too short for the flush of those who wait since the last step.
    world.advance(Duration::from_secs(100));
    let before: BTreeMap<String, String> = world.bound();
    let pending = world.engine.stats().pending;
    world.advance(Duration::from_secs(400));
    prop_assert_eq!(rescued(&world), Vec::<&Observation>::new());
    prop_assert_eq!(&before, &world.bound());
    prop_assert_eq!(pending, world.engine.stats().pending);
    Ok(())
}

#[test]
fn a_claim_for_one_pod_is_free_when_the_node_of_its_user_is_gone() {
    let node = |n, cpu, zone| Step::Node {
        n,
        cpu,
        zone,
        closed: 0,
    };
    let user = Step::Foreign {
        n: 2,
        node: 3,
        kind: 14,
        app: false,
    };
    let waits = Step::Pod {
        n: 0,
        cpu: 1,
        kind: 14,
        app: false,
    };
    let steps = [
        node(0, 2, 2),
        user,
        node(3, 0, 0),
        Step::Claim { n: 2, zone: 2 },
        waits,
        Step::NodeGone(3),
    ];
    at_rest_nobody_is_placed_by_trying_again(&settings(), &steps).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("MUSTER_QUEUE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000)
    ))]

    #[test]
    fn no_flush_is_ever_needed(steps in prop::collection::vec(step(), 0..60)) {
        at_rest_nobody_is_placed_by_trying_again(&settings(), &steps)?;
    }

    #[test]
    fn nor_where_pods_are_spread_by_default(steps in prop::collection::vec(step(), 0..60)) {
        at_rest_nobody_is_placed_by_trying_again(&with_hard_defaults(), &steps)?;
    }
}

// ---- precision ---------------------------------------------------------------------------------------------------

/// How many pods events have brought back.
fn woken(world: &World) -> u32 {
    let by_event = |o: &Observation| match o {
        Observation::QueueIncoming {
            section, event, pods, ..
        } => {
            let came_back = matches!(section.name(), "active" | "backoff");
            let own = matches!(
                *event,
                "UnscheduledPodAdd" | "BackoffComplete" | "PopFromBackoffQ" | "ScheduleAttemptFailure"
            );
            if came_back && !own { *pods } else { 0 }
        }
        _ => 0,
    };
    world.observations.iter().map(by_event).sum()
}

/// Five pods wait for five things. What is not theirs wakes nobody, and of those that are woken none has to wait again.
#[test]
fn an_event_wakes_those_that_it_helps_and_nobody_else() {
    let mut world = World::new(&[some_node(0, 2, 1, 0), some_node(1, 1, 2, 0)]);
    for (name, kind, app) in [("db", 10, "a"), ("lonely", 0, "b")] {
        let placed = PodRecord {
            scheduler_name: "other".into(),
            node_name: Some(if name == "db" { "n0" } else { "n1" }.into()),
            ..pod(name, 0)
        };
        world.pod(variant(placed, kind, app));
    }
    world.pod(pod("large", 5_000));
    world.pod(variant(pod("disk", 10), 1, "c"));
    world.pod(variant(pod("claim", 10), 12, "c"));
    world.pod(variant(pod("avoids", 10), 8, "c"));
    world.pod(variant(pod("company", 10), 16, "c"));
    world.node(NodeRecord {
        unschedulable: true,
        ..some_node(0, 2, 1, 0)
    });
    world.advance(Duration::from_secs(30));
    let waiting = |world: &World| world.engine.stats().pending[2];
    assert_eq!((waiting(&world), woken(&world)), (5, 0), "{:?}", world.bound());
    // A node that is too small for the large one and lacks the disk, a pod that nobody asks for, a claim of others.
    world.node(some_node(2, 1, 0, 1));
    world.pod(PodRecord {
        scheduler_name: "other".into(),
        node_name: Some("n1".into()),
        ..pod("stranger", 10)
    });
    world.delete(Kind::Pod, "stranger");
    put_claim(&mut world, 1, 1);
    world.advance(Duration::from_secs(30));
    assert_eq!((waiting(&world), woken(&world)), (5, 0));
    // A node with the disk, and in no zone: two are woken, and go.
    world.node(some_node(3, 1, 0, 4));
    world.advance(Duration::from_secs(30));
    assert_eq!((waiting(&world), woken(&world)), (3, 2), "{:?}", world.bound());
    // Room for the large one.
    world.node(some_node(4, 6, 0, 0));
    world.advance(Duration::from_secs(30));
    assert_eq!((waiting(&world), woken(&world)), (2, 3), "{:?}", world.bound());
    assert_eq!(rescued(&world), Vec::<&Observation>::new());
}
