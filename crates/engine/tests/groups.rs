//! Pod groups in every dialect: who waits for what, what is said of it and where, and what is no longer said.

mod world;

use muster_engine::{EffectKind, Engine, Input, Object, Observation, Outcome, Settings, Time};
use muster_framework::group::{GroupLink, GroupPolicy, GroupStatus, GroupTerms};
use muster_framework::record::{Kind, PodGroupRecord, PodPhase, PodRecord, Unsupported};
use std::collections::BTreeSet;
use std::time::Duration;
use world::{World, gang, linked, member, node, pod, pod_group, settings, workload};

fn of_pod_group(name: &str, milli_cpu: i64) -> PodRecord {
    linked(name, milli_cpu, GroupLink::PodGroup { name: "train".into() })
}

fn of_crd(name: &str, milli_cpu: i64) -> PodRecord {
    linked(name, milli_cpu, GroupLink::Coscheduling { name: "train".into() })
}

fn of_labels(name: &str, milli_cpu: i64, group: &str, min_count: i32) -> PodRecord {
    PodRecord {
        group_terms: Some(GroupTerms {
            policy: Ok(gang(min_count)),
            when_broken: None,
        }),
        ..linked(name, milli_cpu, GroupLink::Labels { name: group.into() })
    }
}

/// A world whose API server serves what 1.37 does.
fn world_1_37(milli_cpu: &[i64]) -> World {
    let nodes: Vec<_> = milli_cpu
        .iter()
        .enumerate()
        .map(|(n, cpu)| node(&format!("n{n}"), *cpu))
        .collect();
    let mut world = World::new(&nodes);
    for kind in [Kind::Workload, Kind::PodGroupV1Alpha2] {
        world.input(Input::KindNotServed(kind));
    }
    world
}

fn pod_groups(world: &mut World, min_count: i32) {
    world.apply(Object::PodGroup(pod_group(Kind::PodGroup, "train", gang(min_count))));
}

fn gated(pod: PodRecord) -> PodRecord {
    PodRecord {
        scheduling_gates: Box::new(["example.com/quota".into()]),
        ..pod
    }
}

/// Everything that was said of groups, and of one pod.
fn said(world: &World, pod: &str) -> String {
    let condition = world.condition(pod).map_or_else(
        || "says nothing".to_owned(),
        |(reason, message)| format!("{reason}: {message}"),
    );
    let mut lines: Vec<String> = world
        .group_events()
        .iter()
        .map(|line| format!("event: {line}"))
        .collect();
    lines.extend(world.group_statuses().iter().map(|line| format!("status: {line}")));
    lines.push(format!("{pod}: {condition}"));
    lines.push(format!("waiting: {:?}", world.waiting_groups()));
    lines.join("\n")
}

const SOON: Duration = Duration::from_secs(2);
const LATER: Duration = Duration::from_secs(6);

// ---- the dialects ------------------------------------------------------------------------------------------------

#[test]
fn a_gang_of_1_37_waits_for_members_then_for_room_then_goes() {
    let mut world = world_1_37(&[1000]);
    pod_groups(&mut world, 2);
    world.pod(of_pod_group("a", 1000));
    world.advance(LATER);
    world.pod(of_pod_group("b", 1000));
    world.run();
    assert_eq!(world.bound().len(), 0);
    insta::assert_snapshot!(said(&world, "a"));
    world.node(node("n9", 1000));
    world.advance(LATER);
    assert_eq!(world.bound().len(), 2);
    insta::assert_snapshot!(said(&world, "a"));
}

#[test]
fn the_crd_has_its_phase() {
    let mut world = World::new(&[node("n1", 2000)]);
    world.apply(Object::PodGroup(pod_group(
        Kind::CoschedulingPodGroup,
        "train",
        gang(2),
    )));
    world.pod(of_crd("a", 1000));
    world.advance(LATER);
    world.pod(of_crd("b", 1000));
    world.advance(SOON);
    assert_eq!(world.bound().len(), 2);
    for name in ["a", "b"] {
        let pod = PodRecord {
            running: true,
            ..world.pods[name].clone()
        };
        world.pod(pod);
    }
    world.advance(SOON);
    for name in ["a", "b"] {
        let pod = PodRecord {
            running: false,
            phase: PodPhase::Succeeded,
            ..world.pods[name].clone()
        };
        world.pod(pod);
    }
    world.advance(SOON);
    insta::assert_snapshot!(said(&world, "a"));
}

#[test]
fn members_state_the_policy_themselves_where_there_is_no_object() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(of_labels("a", 1000, "train", 2));
    world.advance(LATER);
    assert_eq!(world.waiting_groups(), [("MembersMissing", 1)]);
    world.pod(of_labels("b", 1000, "train", 2));
    world.run();
    assert!(world.bound().is_empty());
    let events = world.effects.iter().filter_map(|effect| match &effect.kind {
        EffectKind::Event { regarding, reason, .. } => Some(format!("{reason} of {regarding}")),
        _ => None,
    });
    assert_eq!(
        events.collect::<Vec<_>>(),
        ["MembersMissing of default/a", "FailedScheduling of default/a"]
    );
    world.node(node("n2", 1000));
    world.advance(SOON);
    assert_eq!(world.bound().len(), 2);
}

#[test]
fn members_that_state_different_minima_wait_and_both_are_named() {
    let mut world = World::new(&[node("n1", 4000)]);
    world.pod(of_labels("a", 1, "train", 2));
    world.pod(of_labels("b", 1, "train", 3));
    world.pod(of_labels("c", 1, "train", 2));
    world.advance(SOON);
    assert!(world.bound().is_empty());
    insta::assert_snapshot!(world.condition("a").unwrap().1, @"pod group default/train: annotation muster.dev/min-count: all members must state the same, got 2 and 3");
    assert_eq!(world.waiting_groups(), [("PolicyInvalid", 1)]);
    world.pod(of_labels("b", 1, "train", 2));
    world.run();
    assert_eq!(world.bound().len(), 3);
}

#[test]
fn a_pod_whose_label_changes_leaves_one_gang_and_joins_the_other() {
    let mut world = World::new(&[node("n1", 4000)]);
    world.pod(of_labels("a", 1, "one", 2));
    world.pod(of_labels("b", 1, "two", 2));
    world.run();
    assert!(world.bound().is_empty());
    world.pod(of_labels("b", 1, "one", 2));
    world.run();
    assert_eq!(world.bound().len(), 2);
    // Also when it has a node: the other gang counts it from now on, and the first does no more.
    let moved = PodRecord {
        group: Some(GroupLink::Labels { name: "two".into() }),
        ..world.pods["b"].clone()
    };
    world.pod(moved);
    world.pod(of_labels("c", 1, "two", 2));
    world.run();
    assert_eq!(world.bound().len(), 3, "b and c are two");
    world.advance(LATER);
    assert_eq!(world.waiting_groups(), [("Broken", 1)], "a is alone");
    // And it may leave for no gang at all.
    let free = PodRecord {
        group: None,
        group_terms: None,
        ..of_labels("d", 1, "three", 9)
    };
    world.pod(of_labels("d", 1, "three", 9));
    world.run();
    world.pod(free);
    world.run();
    assert!(world.bound().contains_key("d"));
}

#[test]
fn the_newer_of_two_objects_holds_the_policy() {
    let mut world = World::new(&[node("n1", 4000)]);
    world.apply(Object::PodGroup(pod_group(Kind::PodGroupV1Alpha2, "train", gang(1))));
    world.apply(Object::PodGroup(pod_group(Kind::PodGroup, "train", gang(2))));
    world.pod(of_pod_group("a", 1));
    world.run();
    assert!(world.bound().is_empty());
    world.pod(of_pod_group("b", 1));
    world.run();
    assert_eq!(world.bound().len(), 2);
}

// ---- holds -------------------------------------------------------------------------------------------------------

#[test]
fn a_kind_that_is_not_served_is_said_and_then_that_the_object_is_missing() {
    let mut world = World::new(&[node("n1", 4000)]);
    for kind in [Kind::PodGroup, Kind::PodGroupV1Alpha2, Kind::CoschedulingPodGroup] {
        world.input(Input::KindNotServed(kind));
    }
    world.pod(of_pod_group("a", 1));
    world.pod(of_crd("b", 1));
    world.advance(SOON);
    insta::assert_snapshot!(world.condition("a").unwrap().1, @"pod group default/train: this cluster does not serve PodGroup objects of scheduling.k8s.io/v1beta1 or v1alpha2, so it cannot be found");
    insta::assert_snapshot!(world.condition("b").unwrap().1, @"pod group default/train: this cluster does not serve PodGroup objects of scheduling.x-k8s.io/v1alpha1, so it cannot be found");
    world.input(Input::ListBegun(Kind::PodGroup));
    world.input(Input::ListDone(Kind::PodGroup));
    world.advance(SOON);
    insta::assert_snapshot!(world.condition("a").unwrap().1, @r#"waiting for pods's pod group "train" to appear in scheduling queue"#);
    assert_eq!(world.waiting_groups(), [("KindNotServed", 1), ("PolicyMissing", 1)]);
}

#[test]
fn what_cannot_be_honoured_and_what_makes_no_sense_holds_the_group_and_names_the_field() {
    let mut world = world_1_37(&[4000]);
    let unsupported = Unsupported {
        field: "spec.schedulingConstraints.topology".into(),
        problem: "not yet".into(),
    };
    let whole = pod_group(Kind::PodGroup, "train", gang(1));
    world.apply(Object::PodGroup(PodGroupRecord {
        resource_version: 1,
        unsupported: Box::new([unsupported]),
        ..whole.clone()
    }));
    world.pod(of_pod_group("a", 1));
    world.advance(SOON);
    world.apply(Object::PodGroup(PodGroupRecord {
        resource_version: 2,
        when_broken: Some(Err(
            "annotation muster.dev/when-broken: unknown value \"explode\"".into()
        )),
        ..whole.clone()
    }));
    world.advance(SOON);
    insta::assert_snapshot!(said(&world, "a"));
    world.apply(Object::PodGroup(PodGroupRecord {
        resource_version: 3,
        ..whole
    }));
    world.run();
    assert_eq!(world.bound().len(), 1);
}

#[test]
fn members_of_two_schedulers_hold_the_group_in_every_dialect() {
    let foreign = |pod: PodRecord| PodRecord {
        scheduler_name: "other".into(),
        ..pod
    };
    let mut world = world_1_37(&[4000]);
    pod_groups(&mut world, 2);
    world.apply(Object::PodGroup(pod_group(
        Kind::CoschedulingPodGroup,
        "train",
        gang(2),
    )));
    for at in ["a", "b"] {
        world.pod(of_pod_group(&format!("pg-{at}"), 1));
        world.pod(of_crd(&format!("crd-{at}"), 1));
        world.pod(of_labels(&format!("labels-{at}"), 1, "train", 2));
        if at == "a" {
            world.pod(foreign(of_pod_group("pg-x", 1)));
            world.pod(foreign(of_crd("crd-x", 1)));
            world.pod(foreign(of_labels("labels-x", 1, "train", 2)));
        }
    }
    world.advance(SOON);
    assert!(world.bound().is_empty());
    assert_eq!(world.waiting_groups(), [("MixedSchedulers", 3)]);
    insta::assert_snapshot!(said(&world, "pg-a"));
    // Its scheduler places it. What has a node counts, and 1.37 alone still objects.
    for name in ["pg-x", "crd-x", "labels-x"] {
        let placed = PodRecord {
            node_name: Some("n0".into()),
            ..world.pods[name].clone()
        };
        world.pod(placed);
    }
    world.run();
    assert_eq!(
        world.bound().keys().collect::<Vec<_>>(),
        ["crd-a", "crd-b", "labels-a", "labels-b"]
    );
    world.delete(Kind::Pod, "pg-x");
    world.run();
    assert_eq!(world.bound().len(), 6);
}

#[test]
fn a_basic_group_of_two_schedulers_is_held_only_where_upstream_does() {
    let mut world = World::new(&[node("n1", 4000)]);
    world.apply(Object::PodGroup(pod_group(Kind::PodGroup, "train", GroupPolicy::Basic)));
    world.workload(workload("serve", &[("w", GroupPolicy::Basic)]));
    for (name, scheduler) in [("a", "muster"), ("b", "other")] {
        world.pod(PodRecord {
            scheduler_name: scheduler.into(),
            ..of_pod_group(name, 1)
        });
        world.pod(PodRecord {
            scheduler_name: scheduler.into(),
            ..member(&format!("w-{name}"), 1, "serve", "w", "")
        });
    }
    world.run();
    // The first was alone when it was tried.
    assert_eq!(world.bound().keys().collect::<Vec<_>>(), ["w-a"]);
}

#[test]
fn priorities_of_1_37_must_be_that_of_the_group() {
    let mut world = world_1_37(&[4000]);
    world.apply(Object::PodGroup(PodGroupRecord {
        priority: Some(10),
        ..pod_group(Kind::PodGroup, "train", gang(1))
    }));
    world.pod(PodRecord {
        priority: Some(10),
        ..of_pod_group("a", 1)
    });
    world.pod(PodRecord {
        priority: Some(5),
        ..of_pod_group("b", 1)
    });
    world.advance(SOON);
    assert!(world.bound().is_empty());
    insta::assert_snapshot!(said(&world, "a"));
    world.delete(Kind::Pod, "b");
    world.run();
    assert_eq!(world.bound().len(), 1);
}

#[test]
fn the_priority_of_the_object_decides_who_is_first() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(Object::PodGroup(PodGroupRecord {
        priority: Some(10),
        ..pod_group(Kind::PodGroupV1Alpha2, "train", gang(1))
    }));
    world.pod(PodRecord {
        priority: Some(5),
        ..pod("single", 1000)
    });
    world.pod(of_pod_group("a", 1000));
    world.run();
    assert_eq!(world.bound().keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_gated_member_holds_all_that_wait_in_1_37_and_nobody_else_before() {
    let mut world = world_1_37(&[8000]);
    pod_groups(&mut world, 2);
    world.apply(Object::PodGroup(pod_group(
        Kind::CoschedulingPodGroup,
        "train",
        gang(2),
    )));
    for name in ["a", "b"] {
        world.pod(gated(of_pod_group("g1", 1)));
        world.pod(gated(of_pod_group("g2", 1)));
        world.pod(of_pod_group(name, 1));
        world.pod(gated(of_crd("crd-g", 1)));
        world.pod(of_crd(&format!("crd-{name}"), 1));
    }
    world.advance(LATER);
    assert_eq!(world.bound().keys().collect::<Vec<_>>(), ["crd-a", "crd-b"]);
    insta::assert_snapshot!(said(&world, "a"));
    world.pod(of_pod_group("g1", 1));
    world.run();
    assert_eq!(world.bound().len(), 2);
    world.pod(of_pod_group("g2", 1));
    world.run();
    assert_eq!(world.bound().len(), 6);
    // A late member waits for a gated one; who has a node keeps it.
    world.pod(gated(of_pod_group("late-g", 1)));
    world.pod(of_pod_group("late", 1));
    world.run();
    assert_eq!(world.bound().len(), 6);
    assert_eq!(world.waiting_groups(), [("MemberGated", 1)]);
}

#[test]
fn a_gated_member_holds_a_basic_group_of_1_37_too() {
    let mut world = world_1_37(&[4000]);
    world.apply(Object::PodGroup(pod_group(Kind::PodGroup, "train", GroupPolicy::Basic)));
    let mut first = of_pod_group("a", 9000);
    world.pod(first.clone());
    world.run();
    world.pod(gated(of_pod_group("g", 1)));
    world.pod(of_pod_group("b", 1));
    world.run();
    assert!(world.bound().is_empty());
    first.uid = "uid-g".into();
    world.pod(of_pod_group("g", 1));
    world.run();
    assert_eq!(world.bound().keys().collect::<Vec<_>>(), ["b", "g"]);
}

#[test]
fn a_group_whose_object_is_being_deleted_is_still_scheduled() {
    let mut world = world_1_37(&[4000]);
    world.apply(Object::PodGroup(PodGroupRecord {
        terminating: true,
        ..pod_group(Kind::PodGroup, "train", gang(1))
    }));
    world.pod(of_pod_group("a", 1));
    world.run();
    assert_eq!(world.bound().len(), 1);
}

#[test]
fn succeeded_members_count_or_not_as_the_settings_say() {
    for (succeeded_count, bound) in [(true, 1), (false, 0)] {
        let mut settings: Settings = settings();
        settings.gangs.succeeded_count = succeeded_count;
        let mut world = World::unsynced();
        world.engine = Engine::new(&settings);
        world.node(node("n1", 1000));
        world.sync();
        world.workload(workload("train", &[("w", gang(2))]));
        world.pod(PodRecord {
            phase: PodPhase::Succeeded,
            ..member("a", 1, "train", "w", "")
        });
        world.pod(member("b", 1, "train", "w", ""));
        world.run();
        assert_eq!(world.bound().len(), bound, "{succeeded_count}");
    }
}

// ---- policies that change ----------------------------------------------------------------------------------------

#[test]
fn a_lower_minimum_wakes_and_a_higher_one_unbinds_nobody() {
    let mut world = world_1_37(&[2000]);
    pod_groups(&mut world, 3);
    for name in ["a", "b", "c"] {
        world.pod(of_pod_group(name, 1000));
    }
    world.run();
    assert!(world.bound().is_empty());
    world.apply(Object::PodGroup(PodGroupRecord {
        resource_version: 1,
        ..pod_group(Kind::PodGroup, "train", gang(2))
    }));
    world.run();
    assert_eq!(world.bound().len(), 2);
    world.delete(Kind::Pod, "c");
    world.apply(Object::PodGroup(PodGroupRecord {
        resource_version: 2,
        ..pod_group(Kind::PodGroup, "train", gang(8))
    }));
    world.advance(LATER);
    assert_eq!(world.bound().len(), 2);
    assert_eq!(world.waiting_groups(), [], "nobody waits, and nobody was lost");
    // Once a member is lost, it is broken.
    let lost = world.bound().keys().next().cloned().unwrap();
    world.delete(Kind::Pod, &lost);
    world.advance(LATER);
    assert_eq!(world.waiting_groups(), [("Broken", 1)]);
}

#[test]
fn an_object_made_anew_under_the_same_name_is_obeyed_and_told_anew() {
    let mut world = world_1_37(&[4000]);
    pod_groups(&mut world, 1);
    world.pod(of_pod_group("a", 1));
    world.run();
    assert_eq!(world.bound().len(), 1);
    world.apply(Object::PodGroup(PodGroupRecord {
        uid: "another".into(),
        resource_version: 5,
        ..pod_group(Kind::PodGroup, "train", gang(3))
    }));
    world.pod(of_pod_group("b", 1));
    world.advance(LATER);
    assert_eq!(world.bound().len(), 1);
    insta::assert_snapshot!(said(&world, "b"));
}

// ---- what is written, and how often ------------------------------------------------------------------------------

#[test]
fn what_was_scheduled_once_is_never_called_unscheduled() {
    let mut world = world_1_37(&[1000]);
    world.apply(Object::PodGroup(PodGroupRecord {
        status: Some(GroupStatus::Condition {
            scheduled: true,
            reason: "Scheduled".into(),
            message: "".into(),
        }),
        ..pod_group(Kind::PodGroup, "train", gang(2))
    }));
    world.pod(of_pod_group("a", 1000));
    world.pod(of_pod_group("b", 1000));
    world.advance(LATER);
    assert!(world.bound().is_empty());
    assert_eq!(world.group_statuses(), [""; 0]);
    assert_eq!(world.group_events().len(), 1);
}

#[test]
fn our_own_status_wakes_nobody() {
    let mut world = world_1_37(&[1000]);
    pod_groups(&mut world, 2);
    world.pod(of_pod_group("a", 1000));
    world.pod(of_pod_group("b", 1000));
    world.run();
    world.observations.clear();
    world.apply(Object::PodGroup(PodGroupRecord {
        resource_version: 7,
        status: Some(GroupStatus::Condition {
            scheduled: false,
            reason: "Unschedulable".into(),
            message: "seen".into(),
        }),
        ..pod_group(Kind::PodGroup, "train", gang(2))
    }));
    world.advance(Duration::from_secs(30));
    let incoming = |o: &&Observation| matches!(o, Observation::QueueIncoming { .. });
    assert_eq!(world.observations.iter().filter(incoming).count(), 0);
    assert_eq!(world.group_statuses().len(), 1, "another's word is not fought");
}

#[test]
fn a_status_that_is_refused_is_written_again_later_and_only_the_last_word() {
    let mut world = world_1_37(&[1000]);
    pod_groups(&mut world, 2);
    world.pod(of_pod_group("a", 1000));
    world.pod(of_pod_group("b", 1000));
    let mut writes = vec![];
    for _ in 0..40 {
        for effect in world.poll() {
            if matches!(effect.kind, EffectKind::GroupStatus { .. }) {
                writes.push(world.now);
                let message = "429 Too Many Requests".into();
                world.done(effect.id, Outcome::WriteFailed { message });
            }
        }
        match world.engine.next_wakeup() {
            Some(at) if at < Time(600_000_000) => world.now = at.max(world.now),
            _ => break,
        }
    }
    let rests: Vec<u64> = writes.windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
    assert_eq!(rests[..8], [1, 2, 4, 8, 16, 32, 60, 60], "{rests:?}");
}

#[test]
fn numbers_that_change_are_told_at_a_slow_pace() {
    let mut world = world_1_37(&[1000]);
    pod_groups(&mut world, 300);
    for n in 0..200 {
        world.pod(of_pod_group(&format!("w{n}"), 1));
        world.advance(Duration::from_secs(1));
    }
    assert_eq!(world.group_events().len(), 1);
    let statuses = world.group_statuses();
    assert_eq!(statuses.len(), 4, "{statuses:#?}");
    let last = statuses.last().unwrap();
    assert!(last.contains(" of 300 members"), "{last}");
}

#[test]
fn members_say_unschedulable_only_while_enough_of_them_exist() {
    let mut world = world_1_37(&[1000]);
    pod_groups(&mut world, 2);
    world.pod(of_pod_group("a", 1000));
    world.pod(of_pod_group("b", 1000));
    world.run();
    assert_eq!(world.condition("a").unwrap().0, "Unschedulable");
    world.delete(Kind::Pod, "b");
    world.advance(LATER);
    assert_eq!(world.condition("a").unwrap().0, "NotReadyForScheduling");
    insta::assert_snapshot!(said(&world, "a"));
}

#[test]
fn a_member_that_comes_late_is_told_what_the_others_were_told() {
    let mut world = world_1_37(&[1000]);
    pod_groups(&mut world, 9);
    world.pod(of_pod_group("a", 1));
    world.advance(LATER);
    world.pod(of_pod_group("b", 1));
    world.run();
    assert_eq!(world.condition("b"), world.condition("a"));
}

#[test]
fn a_refused_bind_is_said_of_the_group() {
    let mut world = world_1_37(&[2000]);
    pod_groups(&mut world, 2);
    world.pod(of_pod_group("a", 1000));
    world.pod(of_pod_group("b", 1000));
    for effect in world.poll() {
        match &effect.kind {
            EffectKind::Bind { pod, .. } if &*pod.name == "a" => world.done(
                effect.id,
                Outcome::Bind(muster_engine::BindOutcome::Refused {
                    message: "admission webhook denied the request".into(),
                }),
            ),
            _ => world.carry_out(effect),
        }
    }
    // Not before it has been tried again, and again.
    for _ in 0..40 {
        for effect in world.poll() {
            match &effect.kind {
                EffectKind::Bind { .. } => {
                    let message = "admission webhook denied the request".into();
                    world.done(
                        effect.id,
                        Outcome::Bind(muster_engine::BindOutcome::Refused { message }),
                    );
                }
                _ => world.carry_out(effect),
            }
        }
        match world.engine.next_wakeup() {
            Some(at) if at <= Time(10_000_000) => world.now = at.max(world.now),
            _ => break,
        }
    }
    insta::assert_snapshot!(said(&world, "a"));
}

#[test]
fn a_kubelet_that_turns_a_member_away_is_named() {
    let mut world = world_1_37(&[2000]);
    pod_groups(&mut world, 2);
    world.pod(of_pod_group("a", 1000));
    world.pod(of_pod_group("b", 1000));
    world.run();
    let away = PodRecord {
        phase: PodPhase::Failed,
        turned_away: Some("OutOfcpu".into()),
        ..world.pods["a"].clone()
    };
    world.pod(away.clone());
    world.pod(away);
    world.advance(LATER);
    let told = |o: &&Observation| matches!(o, Observation::TurnedAway { reason, .. } if &**reason == "OutOfcpu");
    assert_eq!(world.observations.iter().filter(told).count(), 1, "once");
    insta::assert_snapshot!(said(&world, "b"));
}

#[test]
fn a_commit_is_observed_with_the_time_that_it_took() {
    let mut world = world_1_37(&[2000]);
    pod_groups(&mut world, 2);
    world.pod(of_pod_group("a", 1000));
    world.advance(Duration::from_secs(3));
    world.pod(of_pod_group("b", 1000));
    world.run();
    let committed = world.observations.iter().find_map(|o| match o {
        Observation::GroupCommitted {
            group, members, waited, ..
        } => Some((group.to_string(), *members, waited.as_secs())),
        _ => None,
    });
    assert_eq!(committed, Some(("default/train".to_owned(), 2, 3)));
}

#[test]
fn who_was_tried_is_told_by_name_where_somebody_wants_to_know() {
    for wanted in [false, true] {
        let mut world = world_1_37(&[2000]);
        if wanted {
            world.engine.name_attempts();
        }
        pod_groups(&mut world, 2);
        world.pod(of_pod_group("a", 1000));
        world.pod(of_pod_group("b", 1500));
        world.run();
        world.node(node("n1", 2000));
        world.advance(LATER);
        world.pod(pod("alone", 9000));
        world.run();
        let told = world.observations.iter().filter_map(|o| match o {
            Observation::Tried {
                pods, group, refused, ..
            } => {
                // In the order in which they were tried: what is told is who.
                let names: BTreeSet<_> = pods.iter().map(|pod| &*pod.name).collect();
                Some((Vec::from_iter(names).join(" "), group.as_deref(), refused.is_some()))
            }
            _ => None,
        });
        let group = Some("default/train");
        let (both, alone) = ("a b".to_owned(), "alone".to_owned());
        let expected = [(both.clone(), group, true), (both, group, false), (alone, None, true)];
        let expected = if wanted { &expected[..] } else { &[] };
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn who_does_not_lead_tells_nothing_and_says_it_all_when_it_leads() {
    let mut world = world_1_37(&[1000]);
    world.input(Input::Leadership { leads: false });
    pod_groups(&mut world, 9);
    world.pod(of_pod_group("a", 1));
    world.advance(Duration::from_secs(600));
    assert_eq!(world.effects, []);
    assert!(
        world.engine.next_wakeup().is_none_or(|at| at > world.now),
        "no timer is left behind"
    );
    world.input(Input::Leadership { leads: true });
    world.advance(LATER);
    assert_eq!(world.effects, [], "what it knows may be old: it lists anew");
    for kind in Kind::ALL {
        world.input(Input::ListBegun(kind));
    }
    world.node(node("n0", 1000));
    pod_groups(&mut world, 9);
    world.pod(of_pod_group("a", 1));
    world.sync();
    world.advance(LATER);
    insta::assert_snapshot!(said(&world, "a"));
}
