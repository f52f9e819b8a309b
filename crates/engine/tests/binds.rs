//! From the plan to the bound gang: binds leave in turns, wait for each other's volumes, are read back, and follow who leads.

mod world;

use muster_engine::{BindOutcome, Effect, EffectId, EffectKind, Engine, Input, Object, Outcome, Settings};
use muster_framework::record::{Kind, PodRecord};
use std::time::Duration;
use world::{World, gang, member, node, pod, settings, workload};

fn bind_of(effect: &Effect) -> Option<(EffectId, &str, &str)> {
    match &effect.kind {
        EffectKind::Bind { pod, node, .. } => Some((effect.id, &*pod.name, &**node)),
        _ => None,
    }
}

/// The binds among effects: number, pod, node.
fn binds(effects: &[Effect]) -> Vec<(EffectId, &str, &str)> {
    effects.iter().filter_map(bind_of).collect()
}

fn train(world: &mut World, members: usize, min_count: i32) {
    world.workload(workload("train", &[("workers", gang(min_count))]));
    for n in 0..members {
        world.pod(member(&format!("w{n}"), 1000, "train", "workers", ""));
    }
}

fn standby() -> Settings {
    Settings {
        leads: false,
        ..settings()
    }
}

fn lead(world: &mut World, leads: bool) {
    world.input(Input::Leadership { leads });
}

/// A consistent list of pods and nodes, as the API has them.
fn relist(world: &mut World, nodes: &[&str]) {
    world.input(Input::ListBegun(Kind::Node));
    nodes.iter().for_each(|name| world.node(node(name, 1000)));
    world.input(Input::ListDone(Kind::Node));
    relist_pods(world);
    for kind in Kind::ALL.into_iter().filter(|kind| kind.holds_group_policies()) {
        world.input(Input::ListBegun(kind));
        if kind == Kind::Workload {
            world.workload(workload("train", &[("workers", gang(2))]));
        }
        world.input(Input::ListDone(kind));
    }
}

fn relist_pods(world: &mut World) {
    world.input(Input::ListBegun(Kind::Pod));
    let pods: Vec<PodRecord> = world.pods.values().cloned().collect();
    for pod in pods {
        world.apply(Object::Pod(Box::new(pod)));
    }
    world.input(Input::ListDone(Kind::Pod));
}

/// What comes out when the gang has been planned, however many turns that takes.
fn first_effect(world: &mut World) -> Effect {
    let mut polled = (0..1000).filter_map(|_| world.engine.poll(world.now));
    polled.next().unwrap()
}

// ---- turns -------------------------------------------------------------------------------------------------------

#[test]
fn single_pods_leave_while_a_large_gang_is_going_out() {
    let mut big = node("n1", 10_000_000);
    big.allowed_pods = 5000;
    let mut world = World::new(&[big]);
    train(&mut world, 1000, 1000);
    let first = first_effect(&mut world);
    assert!(bind_of(&first).is_some());
    for n in 0..10 {
        world.pod(pod(&format!("single{n}"), 1));
    }
    let next: Vec<Effect> = (0..40).filter_map(|_| world.engine.poll(world.now)).collect();
    let singles = binds(&next)
        .iter()
        .filter(|(_, pod, _)| pod.starts_with("single"))
        .count();
    assert_eq!(singles, 10, "they take turns with the gang");
    assert_eq!(next.len(), 40, "and the gang goes on");
    let rest = world.poll();
    assert_eq!(binds(&rest).len(), 1010 - 41);
    let names = [std::slice::from_ref(&first), &next, &rest].concat();
    let gang: Vec<&str> = binds(&names)
        .iter()
        .map(|(_, pod, _)| *pod)
        .filter(|pod| pod.starts_with('w'))
        .collect();
    assert_eq!(
        gang,
        (0..1000).map(|n| format!("w{n}")).collect::<Vec<_>>(),
        "in the order of the plan"
    );
}

#[test]
fn nothing_more_is_decided_while_very_much_waits_to_be_handed_out() {
    let mut big = node("n1", 100_000_000);
    big.allowed_pods = 5000;
    let mut world = World::new(&[big]);
    train(&mut world, 1500, 1500);
    let first = first_effect(&mut world);
    assert!(bind_of(&first).is_some());
    world.pod(pod("single", 1));
    let mut before = 0;
    while world.engine.stats().pending[0] == 1 {
        before += usize::from(world.engine.poll(world.now).is_some());
    }
    assert!((400..600).contains(&before), "{before} binds of the gang left first");
}

// ---- leadership --------------------------------------------------------------------------------------------------

#[test]
fn a_standby_learns_everything_and_wants_nothing() {
    let mut world = World::unsynced();
    world.engine = Engine::new(&standby());
    world.node(node("n1", 1000));
    world.pod(pod("a", 1000));
    world.pod(pod("huge", 5000));
    world.sync();
    assert_eq!(world.poll(), []);
    world.now = world.now + Duration::from_secs(1000);
    assert_eq!(world.poll(), []);
    assert_eq!(world.engine.next_wakeup(), None);
    assert_eq!(world.engine.stats().pending, [2, 0, 0, 0], "the queue is warm");
    lead(&mut world, true);
    assert_eq!(world.poll(), [], "the lists began before");
    assert!(!world.engine.is_synced());
    relist(&mut world, &["n1"]);
    world.run();
    assert_eq!(world.bound()["a"], "n1");
    assert!(world.condition("huge").is_some());
}

#[test]
fn a_list_begun_before_the_take_over_does_not_count() {
    let mut world = World::unsynced();
    world.engine = Engine::new(&standby());
    world.node(node("n1", 1000));
    world.pod(pod("a", 1000));
    world.sync();
    world.input(Input::ListBegun(Kind::Pod));
    lead(&mut world, true);
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Pod) {
        world.input(Input::ListBegun(kind));
        if kind == Kind::Node {
            world.node(node("n1", 1000));
        }
        world.input(Input::ListDone(kind));
    }
    world.apply(Object::Pod(Box::new(world.pods["a"].clone())));
    world.input(Input::ListDone(Kind::Pod));
    assert_eq!(world.poll(), []);
    relist_pods(&mut world);
    assert_eq!(binds(&world.poll()).len(), 1);
}

#[test]
fn whoever_takes_over_completes_gangs_that_the_other_leader_left_in_halves_first() {
    let mut world = World::unsynced();
    world.engine = Engine::new(&standby());
    let nodes = ["n1", "n2"];
    nodes.iter().for_each(|name| world.node(node(name, 1000)));
    world.pod(PodRecord {
        priority: Some(1_000_000),
        ..pod("urgent", 1000)
    });
    train(&mut world, 2, 2);
    world.sync();
    // The other leader binds one member, then goes.
    world.pod(PodRecord {
        node_name: Some("n1".into()),
        ..world.pods["w0"].clone()
    });
    lead(&mut world, true);
    relist(&mut world, &nodes);
    let effects = world.poll();
    assert_eq!(
        binds(&effects).iter().map(|(_, pod, _)| *pod).collect::<Vec<_>>(),
        ["w1"]
    );
}

#[test]
fn stepping_down_drops_what_has_not_been_handed_out_and_keeps_the_place_of_what_has() {
    let nodes = ["n1", "n2"];
    let mut world = World::new(&nodes.map(|name| node(name, 1000)));
    train(&mut world, 2, 2);
    let sent = world.engine.poll(world.now).unwrap();
    let (id, name, _) = bind_of(&sent).unwrap();
    lead(&mut world, false);
    assert_eq!(world.poll(), []);
    let stats = world.engine.stats();
    assert_eq!(
        (stats.assumed_pods, stats.in_flight),
        (1, 1),
        "the bind that is out may still happen"
    );
    world.done(
        id,
        Outcome::Bind(BindOutcome::Unknown {
            message: "this process does not lead".into(),
        }),
    );
    assert_eq!(world.poll(), [], "a standby does not read");
    assert_eq!(world.engine.stats().assumed_pods, 1, "nobody knows yet");
    lead(&mut world, true);
    let mut late = world.pods[name].clone();
    late.node_name = Some("n1".into());
    world.pods.insert(name.to_owned(), late);
    relist(&mut world, &nodes);
    world.run();
    assert_eq!(world.bound().len(), 2, "{:?}", world.bound());
    assert_eq!(world.engine.stats().in_flight, 0);
}

#[test]
fn a_bind_that_was_out_when_leadership_was_lost_and_never_happened_is_found_by_the_list() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("a", 1000));
    let sent = world.engine.poll(world.now).unwrap();
    lead(&mut world, false);
    world.done(sent.id, Outcome::Bind(BindOutcome::Unknown { message: "cut".into() }));
    lead(&mut world, true);
    relist(&mut world, &["n1"]);
    world.run();
    assert_eq!(world.bound()["a"], "n1");
    assert_eq!(world.engine.stats().assumed_pods, 0);
}

#[test]
fn leadership_may_come_and_go_at_every_effect() {
    let nodes = ["n1", "n2", "n3"];
    for cut in 0..12 {
        let mut world = World::new(&nodes.map(|name| node(name, 1000)));
        train(&mut world, 2, 2);
        world.pod(pod("a", 1000));
        for _ in 0..cut {
            if let Some(effect) = world.engine.poll(world.now) {
                world.carry_out(effect);
            }
        }
        let open: Vec<Effect> = (0..cut % 3).filter_map(|_| world.engine.poll(world.now)).collect();
        lead(&mut world, false);
        assert_eq!(world.poll(), []);
        open.into_iter().for_each(|effect| world.carry_out(effect));
        lead(&mut world, true);
        relist(&mut world, &nodes);
        world.run();
        assert_eq!(world.bound().len(), 3, "cut at {cut}: {:?}", world.bound());
        assert_eq!(world.engine.stats().in_flight, 0);
    }
}
