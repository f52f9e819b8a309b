//! What waits and what is held, at a glance: in order, counted in full, and never more than so many of each.

mod world;

use muster_engine::{EffectKind, LISTED, Overview};
use muster_framework::record::PodRecord;
use proptest::prelude::*;
use std::time::Duration;
use world::{World, gang, member, node, pod, workload};

fn overview(world: &World) -> Overview {
    of(world, None)
}

fn of(world: &World, namespace: Option<&str>) -> Overview {
    let overview = world.engine.overview(world.now, namespace);
    assert!(overview.groups.items.len() <= LISTED && overview.pods.items.len() <= LISTED);
    assert!(overview.places.items.len() <= LISTED);
    overview
}

fn within(namespace: &str, pod: PodRecord) -> PodRecord {
    PodRecord {
        namespace: namespace.into(),
        ..pod
    }
}

fn pods(overview: &Overview) -> Vec<String> {
    let pods = overview.pods.items.iter();
    pods.map(|pod| {
        let seconds = pod.waiting.as_secs();
        format!(
            "{} {} {seconds}s {} tries {}",
            pod.name,
            pod.section.name(),
            pod.attempts,
            pod.reason
        )
    })
    .collect()
}

fn groups(overview: &Overview) -> Vec<String> {
    let groups = overview.groups.items.iter();
    groups
        .map(|group| {
            let min = group.min_count.map_or("-".to_owned(), |min| min.to_string());
            let waiting = group
                .waiting
                .map_or("-".to_owned(), |waiting| format!("{}s", waiting.as_secs()));
            format!(
                "{} {} bound {} placed of {min} of {}: {} {waiting} {}",
                group.name, group.bound, group.with_places, group.members, group.stage, group.reason
            )
        })
        .collect()
}

#[test]
fn pods_that_wait_longest_come_first() {
    let mut world = World::new(&[node("n0", 1000)]);
    world.pod(pod("early", 4000));
    world.advance(Duration::from_secs(60));
    world.pod(pod("late", 4000));
    world.pod(pod("fits", 100));
    world.run();
    world.pod(pod("new", 4000));
    let overview = overview(&world);
    assert_eq!(
        pods(&overview),
        [
            "early unschedulable 60s 1 tries Unschedulable",
            "late unschedulable 0s 1 tries Unschedulable",
            "new active 0s 0 tries ",
        ]
    );
    assert_eq!((overview.pending, overview.queued[0]), ([1, 0, 2, 0], [1, 0, 2, 0]));
    assert_eq!(overview.nodes, Some(1));
    assert!(overview.pods.items[0].cause.contains("1 Insufficient cpu"));
}

#[test]
fn groups_that_wait_come_before_those_that_bind_and_those_that_rest() {
    let mut world = World::new(&[node("n0", 4000)]);
    for (name, min) in [("rests", 2), ("binds", 2), ("short", 3), ("room", 1)] {
        world.workload(workload(name, &[("w", gang(min))]));
    }
    for name in ["r0", "r1"] {
        world.pod(member(name, 1000, "rests", "w", ""));
    }
    world.run();
    world.pod(member("s0", 100, "short", "w", ""));
    world.advance(Duration::from_secs(30));
    world.pod(member("room0", 9000, "room", "w", ""));
    world.run();
    for name in ["b0", "b1"] {
        world.pod(member(name, 100, "binds", "w", ""));
    }
    let sent = world.poll();
    assert_eq!(
        sent.iter()
            .filter(|sent| matches!(sent.kind, EffectKind::Bind { .. }))
            .count(),
        2
    );
    let overview = overview(&world);
    assert_eq!(
        groups(&overview),
        [
            "short/w 0 bound 0 placed of 3 of 1: WaitingForMembers 30s MembersMissing",
            "room/w 0 bound 0 placed of 1 of 1: WaitingForRoom 0s NoRoom",
            "binds/w 0 bound 2 placed of 2 of 2: Binding - ",
            "rests/w 2 bound 2 placed of 2 of 2: Bound - ",
        ]
    );
    assert_eq!(overview.queued[1], [0, 0, 1, 1]);
    assert!(overview.groups.items[0].cause.contains("has 1 of 3 members"));
    assert_eq!(overview.pods.total, 0, "members are not told one by one");
}

#[test]
fn places_have_a_pod_a_group_and_an_end() {
    let mut world = World::new(&[node("n0", 4000)]);
    world.workload(workload("train", &[("w", gang(2))]));
    world.pod(pod("alone", 100));
    world.poll();
    world.now = world.now + Duration::from_secs(20);
    for name in ["a", "b"] {
        world.pod(member(name, 100, "train", "w", ""));
    }
    world.poll();
    let overview = overview(&world);
    let places = overview.places.items.iter().map(|place| {
        let held = &place.reservation;
        let group = place.group.as_deref().unwrap_or("-");
        format!(
            "{} for {group} on {} {} {:?}",
            held.pod.name, held.node, held.stage, held.deadline
        )
    });
    assert_eq!(
        places.collect::<Vec<_>>(),
        [
            "alone for - on n0 Sent Some(40s)",
            "a for train/w on n0 Sent Some(60s)",
            "b for train/w on n0 Sent Some(60s)",
        ]
    );
}

#[test]
fn so_many_are_listed_and_all_are_counted() {
    let mut world = World::new(&[node("n0", 100)]);
    let n = 3 * LISTED / 2;
    for at in 0..n {
        world.pod(pod(&format!("p{at}"), 4000));
        world.pod(member(&format!("m{at}"), 4000, "none", &format!("w{at}"), ""));
        world.now = world.now + Duration::from_secs(1);
    }
    world.run();
    let overview = overview(&world);
    let names = overview.pods.items.iter().map(|pod| pod.name.to_string());
    assert_eq!(
        names.collect::<Vec<_>>(),
        (0..LISTED).map(|at| format!("p{at}")).collect::<Vec<_>>()
    );
    assert_eq!((overview.pods.total, overview.pods.left_out()), (n, n - LISTED));
    assert_eq!((overview.groups.total, overview.groups.left_out()), (n, n - LISTED));
    assert_eq!(&*overview.groups.items[0].name, "none/w0");
    assert_eq!(overview.pending, [0, 0, n, n]);
    assert_eq!(overview.waiting_groups.iter().sum::<usize>(), n);
}

#[test]
fn groups_of_other_schedulers_are_not_ours_to_tell_of() {
    let mut world = World::new(&[node("n0", 1000)]);
    world.workload(workload("train", &[("w", gang(2)), ("v", gang(2))]));
    world.pod(PodRecord {
        scheduler_name: "other".into(),
        ..member("a", 100, "train", "w", "")
    });
    world.pod(member("b", 100, "train", "v", ""));
    world.run();
    let overview = overview(&world);
    assert_eq!(
        groups(&overview),
        ["train/v 0 bound 0 placed of 2 of 1: WaitingForMembers 0s MembersMissing"]
    );
    assert_eq!(
        (overview.groups.total, overview.waiting_groups.iter().sum::<usize>()),
        (1, 1)
    );
}

#[test]
fn one_namespace_is_told_of_itself_alone() {
    let mut world = World::new(&[node("n0", 1000)]);
    world.pod(within("shop", pod("ours", 4000)));
    world.pod(pod("theirs", 4000));
    world.pod(within("shop", member("m", 100, "train", "w", "")));
    world.pod(member("n", 100, "train", "w", ""));
    world.run();
    world.pod(within("shop", pod("placed", 100)));
    world.pod(pod("placed-too", 100));
    world.poll();
    let shop = of(&world, Some("shop"));
    assert_eq!(shop.nodes, None, "that is not the namespace's business");
    assert_eq!(pods(&shop), ["ours unschedulable 0s 1 tries Unschedulable"]);
    let names = |overview: &Overview| {
        let groups = overview.groups.items.iter().map(|group| group.namespace.to_string());
        let places = overview
            .places
            .items
            .iter()
            .map(|place| place.reservation.pod.namespace.to_string());
        groups.chain(places).collect::<Vec<_>>()
    };
    assert_eq!(names(&shop), ["shop", "shop"]);
    assert_eq!(
        (shop.pending, shop.waiting_groups.iter().sum::<usize>()),
        ([0, 0, 1, 1], 1)
    );
    assert_eq!(names(&overview(&world)).len(), 4);
    assert_eq!(of(&world, Some("elsewhere")).pending, [0; 4]);
}

proptest! {
    #[test]
    fn what_is_counted_is_what_the_gauges_say(
        pods in prop::collection::vec((0..3_usize, 0..4_usize, 1..3_000_i64, 0..20_u64), 0..40),
    ) {
        let mut world = World::new(&[node("n0", 2000), node("n1", 2000)]);
        world.workload(workload("g1", &[("w", gang(1))]));
        world.workload(workload("g2", &[("w", gang(4))]));
        let namespaces = ["default", "a", "b"];
        for (at, (namespace, group, cpu, seconds)) in pods.into_iter().enumerate() {
            let name = format!("p{at}");
            let made = match group {
                0 => pod(&name, cpu),
                group => member(&name, cpu, &format!("g{group}"), "w", ""),
            };
            // Some are carried out, some wait for their turn.
            world.pod(within(namespaces[namespace], made));
            if seconds > 5 {
                world.advance(Duration::from_secs(seconds));
            }
            let all = overview(&world);
            let stats = world.engine.stats();
            prop_assert_eq!((all.pending, all.queued), (stats.pending, stats.queued));
            prop_assert_eq!(all.waiting_groups, stats.waiting_groups);
            let parts = namespaces.map(|namespace| of(&world, Some(namespace)));
            let sum = |of: fn(&Overview) -> usize| parts.iter().map(of).sum::<usize>();
            prop_assert_eq!(sum(|part| part.pods.total), all.pods.total);
            prop_assert_eq!(sum(|part| part.groups.total), all.groups.total);
            prop_assert_eq!(sum(|part| part.places.total), all.places.total);
            prop_assert_eq!(sum(|part| part.pending.iter().sum()), all.pending.iter().sum::<usize>());
        }
    }
}
