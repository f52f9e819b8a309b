//! What is counted now and then: who waits, for which plugin, and how long already.

mod world;

use muster_engine::{Census, Input, Object};
use muster_framework::record::Kind;
use std::time::Duration;
use world::{World, gang, linked, node, pod, pod_group};

fn census(world: &World) -> Census {
    world.engine.census(world.now)
}

fn unschedulable(world: &World, plugin: &str) -> usize {
    census(world).unschedulable[&("muster".into(), plugin)]
}

#[test]
fn pods_count_for_each_plugin_that_rejected_nodes_for_them() {
    let mut tainted = node("n1", 8000);
    tainted.unschedulable = true;
    let mut world = World::new(&[node("n0", 1000), tainted]);
    assert_eq!(
        unschedulable(&world, "NodeResourcesFit"),
        0,
        "known before anybody waits"
    );
    for name in ["a", "b"] {
        world.pod(pod(name, 4000));
    }
    world.run();
    for (plugin, waiting) in [("NodeResourcesFit", 2), ("NodeUnschedulable", 2), ("NodeAffinity", 0)] {
        assert_eq!(unschedulable(&world, plugin), waiting, "{plugin}");
    }
    world.node(node("n2", 8000));
    world.advance(Duration::from_secs(20));
    assert_eq!(unschedulable(&world, "NodeResourcesFit"), 0);
    assert_eq!(world.bound().len(), 2);
}

#[test]
fn whoever_is_ready_and_not_tried_is_seen() {
    let mut world = World::new(&[node("n0", 1000)]);
    world.pod(pod("a", 100));
    world.now = world.now + Duration::from_secs(7);
    assert_eq!(census(&world).longest_active, Duration::from_secs(7));
    world.run();
    assert_eq!(census(&world).longest_active, Duration::ZERO);
}

#[test]
fn gangs_are_seen_by_what_they_lack_and_how_long() {
    let mut world = World::new(&[node("n0", 1000)]);
    for kind in [Kind::Workload, Kind::PodGroupV1Alpha2] {
        world.input(Input::KindNotServed(kind));
    }
    world.apply(Object::PodGroup(pod_group(Kind::PodGroup, "train", gang(5))));
    let link = || muster_framework::group::GroupLink::PodGroup { name: "train".into() };
    for name in ["a", "b"] {
        world.pod(linked(name, 100, link()));
    }
    world.run();
    world.advance(Duration::from_secs(60));
    let found = census(&world);
    assert_eq!(
        (found.quorum_gap, found.longest_group_wait),
        (3, Duration::from_secs(60))
    );
    for name in ["c", "d", "e"] {
        world.pod(linked(name, 100, link()));
    }
    world.run();
    let found = census(&world);
    assert_eq!((found.quorum_gap, found.longest_group_wait), (0, Duration::ZERO));
}
