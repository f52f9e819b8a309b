//! Extenders: asked by effects, heard by inputs; nothing waits in place, and every question has an end.

mod world;

use muster_engine::{Effect, EffectKind, Engine, ExtenderAnswer, ExtenderSettings, ExtenderVerb, Input, Outcome};
use muster_framework::Text;
use muster_framework::record::{Kind, PodRecord};
use std::time::Duration;
use world::{World, gang, member, node, pod, settings, workload};

fn extender(name: &str) -> ExtenderSettings {
    ExtenderSettings {
        name: name.into(),
        filters: true,
        prioritizes: false,
        binds: false,
        weight: 1,
        ignorable: false,
        managed_resources: vec![],
        timeout: Duration::from_secs(5),
    }
}

fn world_with(extenders: Vec<ExtenderSettings>, nodes: usize) -> World {
    let mut world = World::unsynced();
    world.engine = Engine::new(&muster_engine::Settings {
        extenders,
        ..settings()
    });
    for n in 1..=nodes {
        world.node(node(&format!("n{n}"), 1000));
    }
    world.sync();
    world
}

/// Questions that came out since the last call, in order.
fn questions(world: &mut World) -> Vec<(muster_engine::EffectId, u32, ExtenderVerb, Vec<String>)> {
    world.run();
    let effects: Vec<Effect> = std::mem::take(&mut world.effects);
    effects
        .into_iter()
        .filter_map(|effect| match effect.kind {
            EffectKind::AskExtender {
                extender, verb, nodes, ..
            } => Some((
                effect.id,
                extender,
                verb,
                nodes.iter().map(ToString::to_string).collect(),
            )),
            _ => None,
        })
        .collect()
}

fn filtered(nodes: &[&str], failed: &[(&str, &str)]) -> Outcome {
    Outcome::Extender(ExtenderAnswer::Filtered {
        nodes: nodes.iter().map(|name| Text::from(*name)).collect(),
        failed: failed
            .iter()
            .map(|(name, why)| (Text::from(*name), Text::from(*why)))
            .collect(),
        unresolvable: vec![],
    })
}

fn failed() -> Outcome {
    Outcome::Extender(ExtenderAnswer::Failed {
        message: "connection refused".into(),
    })
}

#[test]
fn filters_are_asked_one_after_the_other_and_only_what_all_leave_is_chosen() {
    let mut world = world_with(vec![extender("http://a"), extender("http://b")], 3);
    world.pod(pod("web", 100));
    let asked = questions(&mut world);
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0].1, &asked[0].3[..]),
        (0, &["n1".to_owned(), "n2".into(), "n3".into()][..])
    );
    world.done(asked[0].0, filtered(&["n2", "n3"], &[("n1", "full")]));
    let asked = questions(&mut world);
    assert_eq!((asked[0].1, &asked[0].3[..]), (1, &["n2".to_owned(), "n3".into()][..]));
    assert!(world.bound().is_empty(), "it is not bound before everybody has spoken");
    world.done(asked[0].0, filtered(&["n3"], &[]));
    world.run();
    assert_eq!(world.bound()["web"], "n3");
}

#[test]
fn scores_of_extenders_count_ten_times_their_weight() {
    let scorer = ExtenderSettings {
        filters: false,
        prioritizes: true,
        weight: 20,
        ..extender("http://s")
    };
    let mut world = world_with(vec![scorer], 3);
    world.pod(PodRecord {
        node_name: Some("n2".into()),
        scheduler_name: "other".into(),
        ..pod("there", 500)
    });
    world.pod(pod("web", 100));
    let asked = questions(&mut world);
    assert_eq!(asked[0].2, ExtenderVerb::Prioritize);
    let scores = vec![("n2".into(), 10), ("n1".into(), 0)];
    world.done(asked[0].0, Outcome::Extender(ExtenderAnswer::Prioritized { scores }));
    world.run();
    assert_eq!(world.bound()["web"], "n2", "although it is the fullest");
}

#[test]
fn an_extender_that_fails_is_an_error_unless_it_may_be_ignored() {
    let mut world = world_with(vec![extender("http://a")], 1);
    world.pod(pod("web", 100));
    let asked = questions(&mut world);
    world.done(asked[0].0, failed());
    world.run();
    let (reason, message) = world.condition("web").expect("it is told");
    assert_eq!(reason, "SchedulerError");
    assert_eq!(message, "extender http://a: connection refused");
    world.advance(Duration::from_secs(2));
    let asked = questions(&mut world);
    assert_eq!(asked.len(), 1, "it is asked again after a backoff");

    let ignorable = ExtenderSettings {
        ignorable: true,
        ..extender("http://a")
    };
    let mut world = world_with(vec![ignorable], 1);
    world.pod(pod("web", 100));
    let asked = questions(&mut world);
    world.done(asked[0].0, failed());
    world.run();
    assert_eq!(world.bound()["web"], "n1");
}

#[test]
fn a_question_that_nobody_answers_has_an_end() {
    let mut world = world_with(vec![extender("http://a")], 1);
    world.pod(pod("web", 100));
    assert_eq!(questions(&mut world).len(), 1);
    world.advance(Duration::from_secs(10));
    let (reason, message) = world.condition("web").expect("it is told");
    assert_eq!(
        (&*reason, &*message),
        ("SchedulerError", "extender http://a: no answer came in time")
    );
}

#[test]
fn an_answer_is_held_against_what_has_changed_since() {
    let mut world = world_with(vec![extender("http://a")], 2);
    world.pod(pod("web", 800));
    let asked = questions(&mut world);
    // While the extender thinks, somebody takes the room on n1, and n3 appears.
    world.pod(PodRecord {
        node_name: Some("n1".into()),
        scheduler_name: "other".into(),
        ..pod("rival", 800)
    });
    world.node(node("n3", 1000));
    world.done(asked[0].0, filtered(&["n1"], &[("n2", "no")]));
    let asked = questions(&mut world);
    assert_eq!(
        asked.len(),
        1,
        "nothing is left of what was asked about: it is asked about what is there now"
    );
    assert_eq!(asked[0].3, ["n2", "n3"]);
    world.done(asked[0].0, filtered(&["n3"], &[("n2", "no")]));
    world.run();
    assert_eq!(world.bound()["web"], "n3");
}

#[test]
fn what_extenders_reject_is_said_and_any_event_may_change_their_mind() {
    let mut world = world_with(vec![extender("http://a")], 1);
    world.pod(pod("web", 100));
    let asked = questions(&mut world);
    world.done(asked[0].0, filtered(&[], &[("n1", "no licence left")]));
    world.run();
    let (reason, message) = world.condition("web").expect("it is told");
    assert_eq!(reason, "Unschedulable");
    assert_eq!(
        message,
        "0/1 nodes are available: 1 no licence left. Nodes by the first plugin that rejects them: 1 Extender."
    );
    world.pod(PodRecord {
        node_name: Some("n1".into()),
        scheduler_name: "other".into(),
        ..pod("x", 1)
    });
    world.delete(Kind::Pod, "x");
    world.advance(Duration::from_secs(2));
    assert_eq!(questions(&mut world).len(), 1);
}

#[test]
fn only_pods_that_ask_for_its_resources_concern_an_extender_and_it_binds_them() {
    let binder = ExtenderSettings {
        filters: false,
        binds: true,
        managed_resources: vec!["example.com/gpu".into()],
        ..extender("http://g")
    };
    let mut world = World::unsynced();
    world.engine = Engine::new(&muster_engine::Settings {
        extenders: vec![binder],
        ..settings()
    });
    let mut with_gpu = node("n1", 1000);
    with_gpu.allocatable.scalars = vec![("example.com/gpu".into(), 4)];
    world.node(with_gpu);
    world.sync();
    world.pod(pod("plain", 100));
    let mut gpu = pod("gpu", 100);
    gpu.charge.requests.scalars = vec![("example.com/gpu".into(), 1)];
    std::sync::Arc::make_mut(&mut gpu.spec).charge = gpu.charge.clone();
    world.pod(gpu);
    world.run();
    let by: Vec<(String, Option<u32>)> = world
        .effects
        .iter()
        .filter_map(|effect| match &effect.kind {
            EffectKind::Bind { pod, by, .. } => Some((pod.name.to_string(), *by)),
            _ => None,
        })
        .collect();
    assert_eq!(by, [("plain".to_owned(), None), ("gpu".to_owned(), Some(0))]);
}

#[test]
fn twins_of_a_gang_are_asked_about_once() {
    let mut world = world_with(vec![extender("http://a")], 4);
    world.workload(workload("train", &[("w", gang(3))]));
    for n in 0..3 {
        world.pod(member(&format!("m{n}"), 400, "train", "w", ""));
    }
    let asked = questions(&mut world);
    assert_eq!(asked.len(), 1);
    world.done(asked[0].0, filtered(&["n1", "n2"], &[]));
    world.run();
    let bound = world.bound();
    assert_eq!(bound.len(), 3);
    assert!(bound.values().all(|node| node == "n1" || node == "n2"), "{bound:?}");
}

#[test]
fn a_pod_that_goes_while_an_extender_thinks_leaves_nothing_behind() {
    let mut world = world_with(vec![extender("http://a")], 1);
    world.pod(pod("web", 100));
    let asked = questions(&mut world);
    world.delete(Kind::Pod, "web");
    world.input(Input::EffectDone {
        id: asked[0].0,
        outcome: filtered(&["n1"], &[]),
    });
    world.run();
    assert_eq!(world.engine.stats().in_flight, 0);
    assert!(world.bound().is_empty());
}

/// Changes a pod in the API.
fn change(world: &mut World, name: &str, change: impl FnOnce(&mut PodRecord)) {
    let mut pod = world.pods[name].clone();
    change(&mut pod);
    world.pod(pod);
}

#[test]
fn answers_about_a_pod_that_is_on_a_node_by_now_do_not_place_it_again() {
    for answer in [filtered(&["n2"], &[]), failed()] {
        let mut world = world_with(vec![extender("http://a")], 2);
        world.pod(pod("web", 100));
        let asked = questions(&mut world);
        change(&mut world, "web", |pod| pod.node_name = Some("n1".into()));
        world.done(asked[0].0, answer);
        world.advance(Duration::from_secs(60));
        assert_eq!(world.bound()["web"], "n1");
        assert_eq!(world.engine.stats().pending, [0; 4]);
        assert_eq!(world.engine.stats().in_flight, 0);
    }
}

#[test]
fn answers_about_a_pod_that_is_gated_by_now_do_not_let_it_go() {
    for answer in [filtered(&["n1"], &[]), failed()] {
        let mut world = world_with(vec![extender("http://a")], 1);
        world.pod(pod("web", 100));
        let asked = questions(&mut world);
        change(&mut world, "web", |pod| pod.scheduling_gates = Box::new(["g".into()]));
        world.done(asked[0].0, answer);
        world.advance(Duration::from_secs(60));
        assert_eq!(world.engine.stats().pending, [0, 0, 0, 1]);
        change(&mut world, "web", |pod| pod.scheduling_gates = Box::new([]));
        assert_eq!(
            questions(&mut world).len(),
            1,
            "what was said before has been forgotten"
        );
    }
}

#[test]
fn a_pod_that_changes_while_an_extender_thinks_is_asked_about_anew() {
    let mut world = world_with(vec![extender("http://a")], 2);
    world.pod(pod("web", 100));
    let before = questions(&mut world);
    change(&mut world, "web", |pod| {
        pod.labels = [("app", "web")].into_iter().collect();
    });
    let after = questions(&mut world);
    assert_eq!(after.len(), 1);
    world.done(before[0].0, filtered(&["n1"], &[]));
    world.run();
    assert!(world.bound().is_empty());
    world.done(after[0].0, filtered(&["n2"], &[]));
    world.run();
    assert_eq!(world.bound()["web"], "n2");
}

#[test]
fn a_member_that_needs_the_company_of_its_gang_is_asked_about_nodes_that_fit_only_then() {
    let mut world = world_with(vec![extender("http://a")], 2);
    world.workload(workload("train", &[("w", gang(2))]));
    let term = muster_framework::record::PodAffinityTerm {
        selector: Some(muster_framework::selector::LabelSelector {
            requirements: Box::new([muster_framework::selector::Requirement {
                key: "app".into(),
                operator: muster_framework::selector::Operator::In,
                values: Box::new(["lead".into()]),
            }]),
        }),
        namespaces: muster_framework::record::NamespaceScope {
            names: Box::new(["default".into()]),
            selector: None,
        },
        topology_key: "kubernetes.io/hostname".into(),
    };
    let mut lead = member("lead", 500, "train", "w", "");
    lead.labels = [("app", "lead")].into_iter().collect();
    let mut follower = member("follower", 400, "train", "w", "");
    std::sync::Arc::make_mut(&mut follower.spec).affinity = Box::new([term]);
    world.pod(lead);
    world.pod(follower);
    let mut n_asked = 0;
    for _ in 0..4 {
        for (id, _, _, nodes) in questions(&mut world) {
            n_asked += 1;
            let left: Vec<&str> = nodes.iter().map(String::as_str).filter(|name| *name == "n2").collect();
            world.done(id, filtered(&left, &[]));
        }
    }
    let bound = world.bound();
    assert_eq!((n_asked, bound.len()), (2, 2), "{bound:?}");
    assert!(
        bound.values().all(|node| node == "n2"),
        "extenders have a say in both: {bound:?}"
    );
}

#[test]
fn a_gang_is_asked_about_nodes_that_came_while_extenders_thought() {
    let mut world = world_with(vec![extender("http://a")], 1);
    world.workload(workload("train", &[("w", gang(2))]));
    for n in 0..2 {
        world.pod(member(&format!("m{n}"), 600, "train", "w", ""));
    }
    let asked = questions(&mut world);
    world.node(node("n2", 1000));
    world.done(asked[0].0, filtered(&["n1"], &[]));
    let asked = questions(&mut world);
    assert_eq!(asked.len(), 1, "no event will come that could help");
    assert_eq!(asked[0].3, ["n1", "n2"]);
    world.done(asked[0].0, filtered(&["n1", "n2"], &[]));
    world.run();
    assert_eq!(world.bound().len(), 2);
}

#[test]
fn members_that_stay_behind_are_asked_about_nodes_that_came_while_extenders_thought() {
    let mut world = world_with(vec![extender("http://a")], 1);
    world.workload(workload("train", &[("w", gang(1))]));
    for n in 0..2 {
        world.pod(member(&format!("m{n}"), 600, "train", "w", ""));
    }
    let asked = questions(&mut world);
    world.node(node("n2", 1000));
    world.done(asked[0].0, filtered(&["n1"], &[]));
    let asked = questions(&mut world);
    assert_eq!(world.bound().len(), 1);
    world.done(asked[0].0, filtered(&["n2"], &[]));
    world.run();
    assert_eq!(world.bound().len(), 2);
}

#[test]
fn a_member_that_nothing_fitted_is_not_given_a_node_that_extenders_were_never_asked_about() {
    // Planned in several turns: the one that needs a GPU comes last, and its node comes in between.
    const MEMBERS: usize = 200;
    let asked = ExtenderSettings {
        managed_resources: vec!["example.com/gpu".into()],
        ..extender("http://g")
    };
    let mut world = world_with(vec![asked], MEMBERS);
    world.workload(workload("train", &[("w", gang(MEMBERS as i32 + 1))]));
    for n in 0..MEMBERS {
        let mut plain = member(&format!("m{n}"), 1000, "train", "w", "");
        plain.priority = Some(1);
        world.pod(plain);
    }
    let mut gpu = member("gpu", 100, "train", "w", "");
    gpu.charge.requests.scalars = vec![("example.com/gpu".into(), 1)];
    std::sync::Arc::make_mut(&mut gpu.spec).charge = gpu.charge.clone();
    world.pod(gpu);
    assert_eq!(
        world.engine.poll(world.now),
        None,
        "the first turn decides nothing, and asks nothing"
    );
    let mut late = node("late", 1000);
    late.allocatable.scalars = vec![("example.com/gpu".into(), 4)];
    world.node(late);
    let asked = questions(&mut world);
    assert_eq!(world.bound().len(), 0);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].3, ["late"]);
    world.done(asked[0].0, filtered(&["late"], &[]));
    world.run();
    assert_eq!(world.bound().len(), MEMBERS + 1);
}

// ---- whoever takes over ------------------------------------------------------------------------------------------

/// Two gangs of two of which one member each is bound, and an urgent pod, found by an engine that has just been started.
/// Extenders are asked about the members of the first gang only.
fn found_half_bound() -> World {
    let mut world = World::unsynced();
    let asked = ExtenderSettings {
        managed_resources: vec!["example.com/asked".into()],
        ..extender("http://a")
    };
    world.engine = Engine::new(&muster_engine::Settings {
        extenders: vec![asked],
        ..settings()
    });
    for n in 1..=5 {
        let mut node = node(&format!("n{n}"), 1000);
        node.allocatable.scalars = vec![("example.com/asked".into(), 1)];
        world.node(node);
    }
    for (at, name) in ["asked", "plain"].into_iter().enumerate() {
        world.workload(workload(name, &[("workers", gang(2))]));
        world.pod(PodRecord {
            node_name: Some(format!("n{}", at + 1).into()),
            ..member(&format!("{name}0"), 1000, name, "workers", "")
        });
    }
    let mut open = member("asked1", 1000, "asked", "workers", "");
    let mut spec = (*open.spec).clone();
    spec.charge.requests.scalars = vec![("example.com/asked".into(), 1)];
    open.spec = std::sync::Arc::new(spec);
    open.priority = Some(10);
    world.pod(open);
    world.pod(member("plain1", 1000, "plain", "workers", ""));
    world.pod(PodRecord {
        priority: Some(1_000_000),
        ..pod("urgent", 1000)
    });
    world.sync();
    world
}

#[test]
fn nothing_is_planned_before_extenders_have_spoken_of_gangs_that_were_found_half_bound() {
    let mut world = found_half_bound();
    let asked = questions(&mut world);
    assert_eq!(asked.len(), 1);
    assert!(
        world.bound().contains_key("plain1"),
        "other such gangs need not wait: {:?}",
        world.bound()
    );
    assert!(!world.bound().contains_key("urgent"), "all else does");
    assert!(
        world.engine.next_wakeup() > Some(world.now),
        "and costs nothing meanwhile"
    );
    world.done(asked[0].0, filtered(&["n3", "n4", "n5"], &[]));
    world.run();
    assert!(world.bound().contains_key("asked1"), "{:?}", world.bound());
    assert!(world.bound().contains_key("urgent"), "{:?}", world.bound());
}

#[test]
fn an_extender_that_does_not_answer_holds_the_others_up_until_its_time_is_over() {
    let mut world = found_half_bound();
    assert_eq!(questions(&mut world).len(), 1);
    world.advance(Duration::from_secs(4));
    assert!(!world.bound().contains_key("urgent"));
    world.advance(Duration::from_secs(6));
    assert!(world.bound().contains_key("urgent"), "{:?}", world.bound());
    assert!(!world.bound().contains_key("asked1"));
}
