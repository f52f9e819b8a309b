//! Gangs that are planned in turns, while the world goes on; gangs whose members are hard to fit together.

mod world;

use muster_engine::{Input, Object, Stage, Subject};
use muster_framework::record::{Kind, NamespaceScope, NodeRecord, PodAffinityTerm, PodRecord, PodSpec};
use muster_framework::resource::{Charge, ResourceList};
use muster_framework::selector::{LabelSelector, Operator, Requirement};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
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
fn a_question_in_the_middle_is_answered_and_changes_nothing() {
    let mut world = in_the_middle(MEMBERS, MEMBERS as i32);
    let namespace = || "default".into();
    let gang = Subject::Group {
        namespace: namespace(),
        name: "train/workers".into(),
    };
    let member = Subject::Pod {
        namespace: namespace(),
        name: "w7".into(),
    };
    for (subject, cause) in [
        (gang, "pod group default/train/workers is being planned"),
        (member, "pod default/w7 is being planned"),
    ] {
        let said = world.engine.explain(world.now, &subject).expect("it is there");
        assert_eq!((said.stage, &*said.cause), (Stage::Planning, cause));
    }
    let mut unasked = in_the_middle(MEMBERS, MEMBERS as i32);
    world.run();
    unasked.run();
    assert_eq!(world.bound(), unasked.bound());
    assert_eq!(world.bound().len(), MEMBERS);
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

// ---- members that are hard to fit together -----------------------------------------------------------------------

/// A gang of members with these requests, all needed, on nodes of these sizes.
fn gang_of(nodes: &[i64], requests: &[i64], min_count: i32) -> World {
    let nodes: Vec<_> = nodes
        .iter()
        .enumerate()
        .map(|(at, cpu)| node(&format!("n{at}"), *cpu))
        .collect();
    let mut world = World::new(&nodes);
    world.workload(workload("train", &[("workers", gang(min_count))]));
    for (at, cpu) in requests.iter().enumerate() {
        world.pod(member(&format!("w{at}"), *cpu, "train", "workers", ""));
    }
    world.run();
    world
}

#[test]
fn a_profile_that_spreads_does_not_strand_the_members_that_come_last() {
    let world = gang_of(&[6, 6], &[3, 3, 2, 2, 2], 5);
    assert_eq!(world.bound().len(), 5);
    // Filling the fullest node is no answer either here: only trying all ways is.
    let world = gang_of(&[10, 10, 10], &[6, 5, 5, 4, 4, 3, 3], 7);
    assert_eq!(world.bound().len(), 7);
}

#[test]
fn a_member_beyond_the_minimum_does_not_take_the_room_of_the_others() {
    let world = gang_of(&[4], &[4, 1, 1, 1, 1], 4);
    assert_eq!(world.bound().len(), 4);
    let world = gang_of(&[4, 3, 3], &[4, 4, 1, 1, 3, 3, 3], 4);
    assert!(world.bound().len() >= 4);
}

const NOT_PROVED: &str = "That there is no way to place them is not proved";

#[test]
fn what_is_proved_and_what_is_not_is_said() {
    let world = gang_of(&[6, 6], &[4, 4, 4], 3);
    insta::assert_snapshot!(world.condition("w0").unwrap().1, @"0/2 nodes are available: 2 Insufficient cpu. Nodes by the first plugin that rejects them: 2 NodeResourcesFit. That is said of w2, counting the places of the others. Pod group default/train/workers goes as a whole: 2 of the 3 members that it needs would have a place. 1 member like it has no place: the nearest node lacks 2m cpu, and 2 node(s) could take one if the rest of the group had none.");
    // Three of one size and three of another: there is room, but not in the right pieces.
    let world = gang_of(&[6, 6], &[4, 4, 3], 3);
    assert!(!world.condition("w0").unwrap().1.contains(NOT_PROVED));
    // Forty different sizes on ten nodes that they fill to the last bit: nobody can try all ways.
    let requests: Vec<i64> = (0..40).map(|n| 1000 + 37 * n % 97).collect();
    let room = requests.iter().sum::<i64>();
    let mut nodes = [room / 10; 10];
    nodes[0] += room % 10;
    let world = gang_of(&nodes, &requests, 40);
    assert!(
        world.condition("w0").unwrap().1.contains(NOT_PROVED),
        "{:?}",
        world.condition("w0")
    );
    assert_eq!(world.bound().len(), 0);
}

/// A small gang on a few nodes.
#[derive(Debug, Clone)]
struct Instance {
    /// CPU, memory, an extended resource, and the zone.
    nodes: Vec<([i64; 3], u8)>,
    members: Vec<SmallMember>,
    min_count: usize,
}

#[derive(Debug, Clone)]
struct SmallMember {
    requests: [i64; 3],
    app: u8,
    /// No such pods in its zone (true) or on its node.
    apart_from: Option<(u8, bool)>,
    /// Such pods in its zone (true) or on its node.
    together_with: Option<(u8, bool)>,
}

const APPS: [&str; 2] = ["red", "blue"];
const ZONES: [&str; 2] = ["a", "b"];

fn term(app: u8, by_zone: bool) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: Some(LabelSelector {
            requirements: Box::new([Requirement {
                key: "app".into(),
                operator: Operator::In,
                values: Box::new([APPS[app as usize].into()]),
            }]),
        }),
        namespaces: NamespaceScope {
            names: Box::new(["default".into()]),
            selector: None,
        },
        topology_key: if by_zone { "zone" } else { "kubernetes.io/hostname" }.into(),
    }
}

impl Instance {
    /// What the engine makes of it.
    fn run(&self) -> World {
        let resources = |amounts: [i64; 3]| ResourceList {
            milli_cpu: amounts[0],
            memory: amounts[1],
            scalars: [("example.com/gpu".into(), amounts[2])]
                .into_iter()
                .filter(|(_, n)| *n > 0)
                .collect(),
            ..ResourceList::default()
        };
        let nodes: Vec<NodeRecord> = self
            .nodes
            .iter()
            .enumerate()
            .map(|(at, (amounts, zone))| {
                let name = format!("n{at}");
                NodeRecord {
                    labels: [("kubernetes.io/hostname", &*name), ("zone", ZONES[*zone as usize])]
                        .into_iter()
                        .collect(),
                    allocatable: resources(*amounts),
                    ..node(&name, 0)
                }
            })
            .collect();
        let mut world = World::new(&nodes);
        world.workload(workload("train", &[("workers", gang(self.min_count as i32))]));
        for (at, small) in self.members.iter().enumerate() {
            let pod = member(&format!("w{at}"), 0, "train", "workers", "");
            let charge = Charge {
                requests: resources(small.requests),
                scoring_milli_cpu: small.requests[0],
                scoring_memory: small.requests[1],
            };
            let terms =
                |wanted: Option<(u8, bool)>| wanted.map(|(app, by_zone)| term(app, by_zone)).into_iter().collect();
            world.pod(PodRecord {
                labels: [("app", APPS[small.app as usize])].into_iter().collect(),
                spec: Arc::new(PodSpec {
                    charge: charge.clone(),
                    affinity: terms(small.together_with),
                    anti_affinity: terms(small.apart_from),
                    ..PodSpec::default()
                }),
                charge,
                ..pod
            });
        }
        world.run();
        world
    }

    fn same_domain(&self, one: usize, other: usize, by_zone: bool) -> bool {
        if by_zone {
            self.nodes[one].1 == self.nodes[other].1
        } else {
            one == other
        }
    }

    /// Whether the node can take the member when the others are where `at` says.
    fn takes(&self, at: &[Option<usize>], member: usize, node: usize) -> bool {
        let placed = || {
            at.iter()
                .enumerate()
                .filter_map(|(m, node)| Some((&self.members[m], (*node)?)))
        };
        let small = &self.members[member];
        let fits = (0..3).all(|r| {
            let used: i64 = placed().filter(|(_, on)| *on == node).map(|(m, _)| m.requests[r]).sum();
            small.requests[r] == 0 || used + small.requests[r] <= self.nodes[node].0[r]
        });
        let is_apart = small
            .apart_from
            .is_none_or(|(app, by_zone)| placed().all(|(m, on)| m.app != app || !self.same_domain(on, node, by_zone)));
        let bars_nobody = placed().all(|(m, on)| {
            m.apart_from
                .is_none_or(|(app, by_zone)| app != small.app || !self.same_domain(on, node, by_zone))
        });
        let has_company = small.together_with.is_none_or(|(app, by_zone)| {
            let company = placed().any(|(m, on)| m.app == app && self.same_domain(on, node, by_zone));
            company || (app == small.app && placed().all(|(m, _)| m.app != app))
        });
        fits && is_apart && bars_nobody && has_company
    }

    /// Whether members can be placed, one after the other in any order, until there are enough: every way is tried.
    fn is_possible(&self) -> bool {
        let mut seen = HashSet::new();
        let mut open = vec![vec![None; self.members.len()]];
        while let Some(at) = open.pop() {
            if at.iter().flatten().count() >= self.min_count {
                return true;
            }
            for member in (0..self.members.len()).filter(|member| at[*member].is_none()) {
                for node in (0..self.nodes.len()).filter(|node| self.takes(&at, member, *node)) {
                    let mut next = at.clone();
                    next[member] = Some(node);
                    if seen.insert(next.clone()) {
                        open.push(next);
                    }
                }
            }
        }
        false
    }

    /// Whether what is bound could have been placed in some order.
    fn could_be(&self, bound: &BTreeMap<String, String>) -> bool {
        let mut at: Vec<Option<usize>> = vec![None; self.members.len()];
        let index = |name: &str| name[1..].parse::<usize>().expect("names end with their index");
        let open: Vec<(usize, usize)> = bound.iter().map(|(pod, node)| (index(pod), index(node))).collect();
        self.some_order(&mut at, &open)
    }

    fn some_order(&self, at: &mut Vec<Option<usize>>, open: &[(usize, usize)]) -> bool {
        let mut left = open.iter().filter(|(member, _)| at[*member].is_none()).peekable();
        if left.peek().is_none() {
            return true;
        }
        let left: Vec<_> = left.copied().collect();
        left.into_iter().any(|(member, node)| {
            self.takes(at, member, node) && {
                at[member] = Some(node);
                let possible = self.some_order(at, open);
                at[member] = None;
                possible
            }
        })
    }
}

fn instances() -> impl Strategy<Value = Instance> {
    let amounts = || [0..7i64, 0..5i64, 0..3i64];
    let wish = |weight: u32| prop::option::weighted(f64::from(weight) / 100.0, (0..2u8, any::<bool>()));
    let terms = prop_oneof![Just(1u32), Just(30u32)];
    terms.prop_flat_map(move |weight| {
        let member = ([0..5i64, 0..4i64, 0..2i64], 0..2u8, wish(weight), wish(weight)).prop_map(|parts| SmallMember {
            requests: parts.0,
            app: parts.1,
            apart_from: parts.2,
            together_with: parts.3,
        });
        let nodes = prop::collection::vec((amounts(), 0..2u8), 1..=4);
        (nodes, prop::collection::vec(member, 1..=6), 1..=6usize).prop_map(|(nodes, members, min_count)| Instance {
            nodes,
            min_count: min_count.min(members.len()),
            members,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What trying all ways finds possible is placed, and what it does not is said to be impossible.
    #[test]
    fn small_gangs_go_exactly_when_there_is_a_way(instance in instances()) {
        let world = instance.run();
        let bound = world.bound();
        prop_assert!(instance.could_be(&bound), "no order allows {:?}", bound);
        prop_assert!(bound.is_empty() || bound.len() >= instance.min_count, "{} bound", bound.len());
        prop_assert_eq!(instance.is_possible(), !bound.is_empty());
        if bound.is_empty() {
            let message = world.condition("w0").unwrap().1;
            prop_assert!(!message.contains(NOT_PROVED), "{}", message);
        }
    }
}
