//! What goes wrong between the engine and the API server: refusals, lost answers, restarts, stale and repeated news.

mod world;

use muster_engine::{
    BindOutcome, Effect, EffectKind, Input, Object, ObjectKey, Observation, Outcome, PodRead, PodState,
};
use muster_framework::record::{Kind, PodRecord};
use proptest::prelude::*;
use std::time::Duration;
use world::{World, gang, member, node, pod, workload};

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
fn a_lost_answer_that_was_no_bind_is_tried_again_after_a_backoff() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("a", 1000));
    let bind = binds(&world.poll()).remove(0);
    world.done(bind.id, unknown());
    let read = reads(&world.poll()).remove(0);
    world.done(read.id, Outcome::PodRead(PodRead::Failed { message: "503".into() }));
    assert!(world.poll().is_empty());
    world.now = world.now + Duration::from_secs(1);
    let read = reads(&world.poll()).remove(0);
    let found = Box::new(world.pods["a"].clone());
    world.done(read.id, Outcome::PodRead(PodRead::Found(found)));
    assert_eq!(world.engine.stats().assumed_pods, 0);
    world.run();
    assert_eq!(world.condition("a").unwrap().0, "SchedulerError");
    world.advance(Duration::from_secs(1));
    assert_eq!(world.bound()["a"], "n1");
}

#[test]
fn a_refused_member_is_tried_again_and_the_gang_ends_whole() {
    let mut world = World::new(&[node("n1", 2000)]);
    world.workload(workload("train", &[("workers", gang(2))]));
    world.pod(member("w0", 1000, "train", "workers", ""));
    world.pod(member("w1", 1000, "train", "workers", ""));
    let mut both = binds(&world.poll());
    assert_eq!(both.len(), 2);
    let refused = both.pop().unwrap();
    world.done(
        refused.id,
        Outcome::Bind(BindOutcome::Refused {
            message: "admission says no".into(),
        }),
    );
    world.carry_out(both.pop().unwrap());
    world.run();
    assert_eq!(world.bound().len(), 1);
    world.advance(Duration::from_secs(2));
    assert_eq!(world.bound().len(), 2);
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
    Node { n: u8, cpu: i64 },
    NodeGone(u8),
    Pod { n: u8, cpu: i64 },
    Member { n: u8, gang: u8, cpu: i64 },
    PodGone(u8),
    Workload { gang: u8, min_count: i32 },
    WorkloadGone(u8),
    Work(u8),
    Outcome { at: u8, what: u8 },
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..5, 0i64..4).prop_map(|(n, cpu)| Step::Node { n, cpu }),
        (0u8..5).prop_map(Step::NodeGone),
        (0u8..12, 1i64..3).prop_map(|(n, cpu)| Step::Pod { n, cpu }),
        (0u8..12, 0u8..3, 1i64..3).prop_map(|(n, gang, cpu)| Step::Member { n, gang, cpu }),
        (0u8..12).prop_map(Step::PodGone),
        (0u8..3, 1i32..4).prop_map(|(gang, min_count)| Step::Workload { gang, min_count }),
        (0u8..3).prop_map(Step::WorkloadGone),
        (0u8..10).prop_map(Step::Work),
        (any::<u8>(), 0u8..5).prop_map(|(at, what)| Step::Outcome { at, what }),
        (0u16..5000).prop_map(Step::Wait),
    ]
}

/// Plays a history; gives every effect in order. Every input and every pause is followed by a check of the books.
fn play(steps: &[Step]) -> Vec<Effect> {
    let mut world = World::new(&[]);
    let mut open: Vec<Effect> = vec![];
    let mut all = vec![];
    for step in steps {
        match step {
            Step::Node { n, cpu } => world.node(node(&format!("n{n}"), *cpu)),
            Step::NodeGone(n) => world.delete(Kind::Node, &format!("n{n}")),
            Step::Pod { n, cpu } => create(&mut world, pod(&format!("p{n}"), *cpu)),
            Step::Member { n, gang, cpu } => {
                create(&mut world, member(&format!("p{n}"), *cpu, &format!("g{gang}"), "w", ""));
            }
            Step::PodGone(n) => world.delete(Kind::Pod, &format!("p{n}")),
            Step::Workload { gang: n, min_count } => {
                world.workload(workload(&format!("g{n}"), &[("w", gang(*min_count))]))
            }
            Step::WorkloadGone(n) => world.delete(Kind::Workload, &format!("g{n}")),
            Step::Work(polls) => {
                let effects: Vec<Effect> = (0..*polls).filter_map(|_| world.engine.poll(world.now)).collect();
                open.extend(effects.iter().cloned());
                all.extend(effects);
                world.engine.check().unwrap();
            }
            Step::Outcome { at, what } if !open.is_empty() => {
                let effect = open.remove(usize::from(*at) % open.len());
                answer(&mut world, effect, *what);
            }
            Step::Outcome { .. } => {}
            Step::Wait(millis) => world.now = world.now + Duration::from_millis(u64::from(*millis)),
        }
    }
    // A healthy end: everything is answered, and everything comes to rest.
    for effect in open.drain(..) {
        answer(&mut world, effect, 0);
    }
    for _ in 0..200 {
        let effects = world.poll();
        if effects.is_empty() {
            break;
        }
        all.extend(effects.iter().cloned());
        effects.into_iter().for_each(|effect| answer(&mut world, effect, 0));
    }
    assert_eq!(world.engine.stats().in_flight, 0, "every effect has been answered");
    assert_eq!(world.engine.stats().assumed_pods, 0, "every bind has an end");
    assert_all_or_nothing(&world);
    all
}

/// Creates a pod under a name that is free; a pod that is there stays as it is.
fn create(world: &mut World, pod: PodRecord) {
    if !world.pods.contains_key(&*pod.name) {
        let uid = format!("{}-{}", pod.name, world.effects.len() + world.pods.len()).into();
        world.pod(PodRecord { uid, ..pod });
    }
}

/// Answers an effect: 0 as a healthy server would, otherwise with a fault.
fn answer(world: &mut World, effect: Effect, what: u8) {
    let current = |world: &World, name: &str, uid: &str| world.pods.get(name).filter(|pod| &*pod.uid == uid).cloned();
    match &effect.kind {
        EffectKind::Bind { pod, node } => {
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
        EffectKind::PodCondition { .. } => {
            let outcome = if what == 1 {
                Outcome::WriteFailed { message: "no".into() }
            } else {
                Outcome::Written
            };
            world.done(effect.id, outcome);
        }
        EffectKind::Event { .. } => {}
    }
}

/// At rest, no pod is between two places.
fn assert_all_or_nothing(world: &World) {
    for status in world.engine.pods() {
        assert!(!matches!(status.state, PodState::Binding { .. }), "{status:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_history_keeps_the_books_and_happens_the_same_way_twice(steps in prop::collection::vec(step(), 0..80)) {
        prop_assert_eq!(play(&steps), play(&steps));
    }
}
