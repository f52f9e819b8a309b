//! Gangs that are planned in turns, while the world goes on; gangs whose members are hard to fit together.

mod world;

use muster_engine::{Input, Object};
use muster_framework::record::{Kind, PodRecord};
use std::collections::BTreeMap;
use world::{World, gang, member, node, pod, workload};

/// So many that a plan of them takes several turns.
const MEMBERS: usize = 200;

/// A world with a gang of [`MEMBERS`] and room for `room` of them, in the middle of being planned.
fn in_the_middle(room: usize, min_count: i32) -> World {
    let nodes: Vec<_> = (0..room).map(|n| node(&format!("n{n}"), 1000)).collect();
    let mut world = World::new(&nodes);
    world.workload(workload("train", &[("workers", gang(min_count))]));
    for n in 0..MEMBERS {
        world.pod(member(&format!("w{n}"), 1000, "train", "workers", ""));
    }
    assert_eq!(world.engine.poll(world.now), None, "the first turn decides nothing");
    assert_eq!(
        world.engine.next_wakeup(),
        Some(muster_engine::Time::ZERO),
        "there is more to do"
    );
    assert_eq!(world.engine.check(), Ok(()));
    world
}

fn on_node(pod: PodRecord, node: &str) -> PodRecord {
    PodRecord {
        node_name: Some(node.into()),
        scheduler_name: "other".into(),
        ..pod
    }
}

/// How many pods each node has been given.
fn by_node(world: &World) -> BTreeMap<String, usize> {
    let mut nodes = BTreeMap::new();
    for node in world.bound().into_values() {
        *nodes.entry(node).or_default() += 1;
    }
    nodes
}

#[test]
fn inputs_are_folded_in_while_a_gang_is_planned() {
    let mut world = in_the_middle(MEMBERS, MEMBERS as i32);
    let mut turns = 1;
    while world.engine.poll(world.now).is_none() {
        turns += 1;
        world.pod(on_node(pod(&format!("elsewhere{turns}"), 10), "unknown"));
    }
    assert!(turns > 2, "{turns} turns");
    let mut world = in_the_middle(MEMBERS, MEMBERS as i32);
    world.run();
    assert_eq!(world.bound().len(), MEMBERS);
    assert!(by_node(&world).values().all(|pods| *pods == 1));
}

#[test]
fn a_place_that_was_taken_meanwhile_is_planned_again_elsewhere() {
    let mut world = in_the_middle(MEMBERS + 40, MEMBERS as i32);
    for n in 0..40 {
        world.pod(on_node(pod(&format!("rival{n}"), 1000), &format!("n{}", n * 6)));
    }
    world.run();
    let nodes = by_node(&world);
    assert_eq!(nodes.len(), MEMBERS, "one on each node that the others left");
    assert!((0..40).all(|n| !nodes.contains_key(&format!("n{}", n * 6))));
}

#[test]
fn a_gang_that_lost_the_room_that_it_was_planned_on_waits_whole() {
    let mut world = in_the_middle(MEMBERS, MEMBERS as i32);
    world.pod(on_node(pod("rival", 1000), "n5"));
    world.run();
    assert_eq!(world.bound().len(), 0);
    world.advance(std::time::Duration::from_secs(200));
    world.node(node("more", 1000));
    world.run();
    assert_eq!(world.bound().len(), MEMBERS);
}

#[test]
fn a_node_that_comes_while_the_gang_is_planned_is_not_missed() {
    let mut world = in_the_middle(MEMBERS - 1, MEMBERS as i32);
    // The node comes when the plan has seen nearly all members: too late for this plan.
    world.node(node("late", 1000));
    world.run();
    world.advance(std::time::Duration::from_secs(200));
    assert_eq!(world.bound().len(), MEMBERS);
    assert_eq!(world.incoming("active", "UnschedulableTimeout"), 0);
}

#[test]
fn a_node_that_goes_takes_its_places_along() {
    let mut world = in_the_middle(MEMBERS + 30, MEMBERS as i32);
    for n in 0..30 {
        world.delete(Kind::Node, &format!("n{}", n * 7));
        // Its ordinal is used again, by a node that can take nobody.
        world.node(node(&format!("tiny{n}"), 1));
    }
    world.run();
    assert_eq!(world.bound().len(), MEMBERS);
    assert!(
        by_node(&world)
            .iter()
            .all(|(node, pods)| *pods == 1 && !node.starts_with("tiny"))
    );
}

#[test]
fn members_that_go_give_their_places_up_and_late_ones_follow() {
    let mut world = in_the_middle(MEMBERS, MEMBERS as i32 - 20);
    for n in 0..20 {
        world.delete(Kind::Pod, &format!("w{}", n * 9));
    }
    for n in 0..20 {
        world.pod(member(&format!("late{n}"), 1000, "train", "workers", ""));
    }
    world.run();
    assert_eq!(world.bound().len(), MEMBERS);
}

#[test]
fn a_gang_that_loses_its_quorum_while_it_is_planned_is_held() {
    let mut world = in_the_middle(MEMBERS, MEMBERS as i32);
    world.delete(Kind::Pod, "w17");
    world.run();
    assert_eq!(world.bound().len(), 0);
    world.pod(member("w17", 1000, "train", "workers", ""));
    world.run();
    assert_eq!(world.bound().len(), MEMBERS);
}

#[test]
fn a_policy_that_changes_while_the_gang_is_planned_is_the_one_that_counts() {
    for (changed, bound) in [(Some(gang(MEMBERS as i32 + 1)), 0), (Some(gang(100)), 150), (None, 0)] {
        let mut world = in_the_middle(150, MEMBERS as i32);
        match changed {
            Some(policy) => world.workload(workload("train", &[("workers", policy)])),
            None => world.delete(Kind::Workload, "train"),
        }
        world.run();
        assert_eq!(world.bound().len(), bound, "{changed:?}");
    }
    let mut world = in_the_middle(150, MEMBERS as i32);
    world.workload(workload(
        "train",
        &[("workers", muster_framework::group::GroupPolicy::Basic)],
    ));
    world.run();
    assert_eq!(world.bound().len(), 150, "each for itself");
}

#[test]
fn a_group_that_goes_while_it_is_planned_leaves_no_trace() {
    let mut world = in_the_middle(MEMBERS, MEMBERS as i32);
    for n in 0..MEMBERS {
        world.delete(Kind::Pod, &format!("w{n}"));
    }
    world.pod(pod("single", 1000));
    world.run();
    assert_eq!(world.bound().len(), 1);
}

#[test]
fn nothing_is_planned_by_who_does_not_lead() {
    let mut world = in_the_middle(MEMBERS, MEMBERS as i32);
    world.input(Input::Leadership { leads: false });
    assert!(world.poll().is_empty());
    assert_eq!(world.engine.stats().pending[0], MEMBERS, "active, to be tried later");
    world.input(Input::Leadership { leads: true });
    // A leader decides nothing before it has listed everything anew.
    let pods: Vec<PodRecord> = world.pods.values().cloned().collect();
    for kind in Kind::ALL {
        world.input(Input::ListBegun(kind));
        match kind {
            Kind::Node => (0..MEMBERS).for_each(|n| world.node(node(&format!("n{n}"), 1000))),
            Kind::Workload => world.workload(workload("train", &[("workers", gang(MEMBERS as i32))])),
            Kind::Pod => pods
                .iter()
                .for_each(|pod| world.apply(Object::Pod(Box::new(pod.clone())))),
            _ => {}
        }
        world.input(Input::ListDone(kind));
    }
    world.run();
    assert_eq!(world.bound().len(), MEMBERS);
}

#[test]
fn nothing_is_planned_by_an_engine_that_was_stopped() {
    let mut world = in_the_middle(MEMBERS, MEMBERS as i32);
    world.engine.stop();
    assert!(world.poll().is_empty());
    assert_eq!(world.engine.stats().pending[0], MEMBERS);
}
