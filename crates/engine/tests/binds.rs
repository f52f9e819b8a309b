//! From the plan to the bound gang: binds leave in turns, wait for each other's volumes, are read back, and follow who leads.

mod world;

use muster_engine::{
    BindOutcome, Effect, EffectId, EffectKind, Engine, GangSettings, Input, Object, Outcome, Settings,
};
use muster_framework::group::{GroupLink, GroupPolicy, GroupTerms, WhenBroken};
use muster_framework::record::{Kind, NodeRecord, PodPhase, PodRecord};
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
    polled.next().expect("the gang is planned within so many turns")
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
    assert_eq!(world.engine.stats().queued, [[2, 0, 0, 0], [0; 4]]);
    train(&mut world, 3, 3);
    assert_eq!(
        world.engine.stats().queued,
        [[2, 0, 0, 0], [1, 0, 0, 0]],
        "a gang is one"
    );
    (0..3).for_each(|n| world.delete(Kind::Pod, &format!("w{n}")));
    assert_eq!(world.engine.stats().queued, [[2, 0, 0, 0], [0; 4]]);
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

// ---- outcomes ----------------------------------------------------------------------------------------------------

fn refuse(world: &mut World, id: EffectId) {
    let message = "admission says no".into();
    world.done(id, Outcome::Bind(BindOutcome::Refused { message }));
}

#[test]
fn a_member_whose_bind_is_refused_goes_elsewhere_at_once_and_the_others_keep_their_places() {
    let mut world = World::new(&["n1", "n2", "n3"].map(|name| node(name, 1000)));
    train(&mut world, 2, 2);
    let effects = world.poll();
    let both: Vec<_> = binds(&effects)
        .into_iter()
        .map(|(id, _, node)| (id, node.to_owned()))
        .collect();
    assert_eq!(both.len(), 2);
    refuse(&mut world, both[0].0);
    world.carry_out(effects.into_iter().find(|effect| effect.id == both[1].0).unwrap());
    world.run();
    assert_eq!(world.bound().len(), 2);
    assert!(
        !world.bound().values().any(|node| *node == both[0].1),
        "{:?}",
        world.bound()
    );
    assert_eq!(world.condition("w0"), None, "nobody had to wait");
}

#[test]
fn a_gang_whose_refused_member_finds_no_other_place_takes_back_what_has_not_left() {
    let mut world = World::new(&["a", "b", "c", "d", "e", "f"].map(|name| node(name, 1000)));
    train(&mut world, 6, 6);
    let first = first_effect(&mut world);
    let (id, _, on) = bind_of(&first).expect("a bind");
    assert_eq!(world.engine.stats().assumed_pods, 6, "five wait to be handed out");
    world.node(NodeRecord {
        unschedulable: true,
        ..node(on, 1000)
    });
    refuse(&mut world, id);
    // The pod is read: it is on no node. Until that is known others leave.
    let mut left = 0;
    loop {
        let effect = first_effect(&mut world);
        let is_read = matches!(effect.kind, EffectKind::ReadPod { .. });
        left += usize::from(bind_of(&effect).is_some());
        world.carry_out(effect);
        if is_read {
            break;
        }
    }
    assert!(left < 5, "some are there to be taken back");
    let effects = world.poll();
    assert_eq!(binds(&effects), [], "there is no place for the sixth");
    assert_eq!(world.engine.stats().assumed_pods, 0, "nobody keeps a place");
    assert_eq!(world.bound().len(), left);
    for effect in effects {
        world.carry_out(effect);
    }
    world.node(node("g", 1000));
    world.advance(Duration::from_secs(30));
    assert_eq!(world.bound().len(), 6, "with room elsewhere it goes whole");
}

#[test]
fn a_confirmed_bind_that_no_watch_shows_is_read_back() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("a", 1000));
    let sent = world.engine.poll(world.now).unwrap();
    world.done(sent.id, Outcome::Bind(BindOutcome::Bound));
    let told = world.poll().len();
    assert_eq!(told, 1, "the event");
    let mut bound = world.pods["a"].clone();
    (bound.node_name, bound.resource_version) = (Some("n1".into()), 99);
    world.pods.insert("a".to_owned(), bound);
    world.now = world.now + Duration::from_secs(29);
    assert_eq!(world.poll(), []);
    world.now = world.now + Duration::from_secs(1);
    world.run();
    assert_eq!(world.bound()["a"], "n1");
    let events = world
        .effects
        .iter()
        .filter(|effect| matches!(effect.kind, EffectKind::Event { .. }))
        .count();
    assert_eq!(events, 0, "it is not announced twice");
    assert_eq!(world.engine.stats().assumed_pods, 0);
}

#[test]
fn a_list_that_began_before_a_bind_was_confirmed_does_not_undo_it() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("a", 1000));
    let sent = world.engine.poll(world.now).unwrap();
    world.input(Input::ListBegun(Kind::Pod));
    world.done(sent.id, Outcome::Bind(BindOutcome::Bound));
    world.apply(Object::Pod(Box::new(world.pods["a"].clone())));
    world.input(Input::ListDone(Kind::Pod));
    assert_eq!(world.engine.stats().assumed_pods, 1, "the list is older than the bind");
    assert!(binds(&world.poll()).is_empty());
}

#[test]
fn the_answer_to_an_older_question_does_not_speak_of_a_newer_bind() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("a", 1000));
    let unknown = || Outcome::Bind(BindOutcome::Unknown { message: "cut".into() });
    let first = world.engine.poll(world.now).unwrap();
    world.done(first.id, unknown());
    let old_read = world.engine.poll(world.now).unwrap();
    // A list is faster than the read, and the pod is bound again.
    relist_pods(&mut world);
    let second = world.engine.poll(world.now).unwrap();
    assert!(bind_of(&second).is_some());
    world.done(second.id, unknown());
    let new_read = world.engine.poll(world.now).unwrap();
    world.carry_out(old_read);
    assert_eq!(world.engine.stats().assumed_pods, 1, "that was before the second bind");
    let mut bound = world.pods["a"].clone();
    (bound.node_name, bound.resource_version) = (Some("n1".into()), 99);
    world.pods.insert("a".to_owned(), bound);
    world.carry_out(new_read);
    assert_eq!(world.bound()["a"], "n1");
}

#[test]
fn nobody_is_sent_to_a_node_that_is_gone() {
    let mut world = World::new(&["n1", "n2"].map(|name| node(name, 1000)));
    train(&mut world, 2, 2);
    let sent = world.engine.poll(world.now).unwrap();
    let (_, _, first) = bind_of(&sent).unwrap();
    let other = if first == "n1" { "n2" } else { "n1" };
    world.delete(Kind::Node, other);
    let rest = world.poll();
    assert!(binds(&rest).is_empty(), "{rest:?}");
    world.node(node("n3", 1000));
    world.carry_out(sent);
    world.advance(Duration::from_secs(20));
    assert_eq!(world.bound().len(), 2);
}

// ---- broken gangs ------------------------------------------------------------------------------------------------

/// A gang of two, of which one is bound and the other finds no room.
fn broken(when_broken: WhenBroken) -> World {
    let mut world = World::unsynced();
    world.engine = Engine::new(&Settings {
        gangs: GangSettings {
            when_broken,
            ..GangSettings::default()
        },
        ..settings()
    });
    world.node(node("n1", 1000));
    world.sync();
    world.workload(workload("train", &[("workers", gang(2))]));
    world.pod(PodRecord {
        node_name: Some("n1".into()),
        ..member("w0", 1000, "train", "workers", "")
    });
    world.pod(member("w1", 1000, "train", "workers", ""));
    world
}

fn evictions(effects: &[Effect]) -> Vec<(EffectId, &str)> {
    let eviction = |effect: &Effect| matches!(&effect.kind, EffectKind::Evict { .. });
    let evictions = effects.iter().filter(|effect| eviction(effect));
    evictions
        .filter_map(|effect| match &effect.kind {
            EffectKind::Evict { pod } => Some((effect.id, &*pod.name)),
            _ => None,
        })
        .collect()
}

#[test]
fn what_is_bound_of_a_broken_gang_stays_and_the_world_is_told() {
    let mut world = broken(WhenBroken::Keep);
    world.advance(Duration::from_secs(600));
    assert!(evictions(&world.effects).is_empty());
    let notes: Vec<&str> = world
        .effects
        .iter()
        .filter_map(|effect| match &effect.kind {
            EffectKind::Event {
                reason: "GangBroken",
                note,
                ..
            } => Some(&**note),
            _ => None,
        })
        .collect();
    insta::assert_debug_snapshot!(notes, @r#"
    [
        "pod group default/train/workers is broken: 1 of 2 members have a node; 0/1 nodes are available: 1 Insufficient cpu. Nodes by the first plugin that rejects them: 1 NodeResourcesFit. That is said of w1. Pod group default/train/workers goes as a whole: 1 of the 2 members that it needs would have a place (1 have it already). 1 member like it has no place: the nearest node lacks 1000m cpu, and 0 node(s) could take one if the rest of the group had none.",
    ]
    "#);
    world.node(node("n2", 1000));
    world.run();
    assert_eq!(world.bound().len(), 2);
}

#[test]
fn members_of_a_broken_gang_are_evicted_when_the_grace_is_over_until_it_is_whole() {
    let mut world = broken(WhenBroken::Evict);
    world.advance(Duration::from_secs(59));
    assert!(evictions(&world.effects).is_empty(), "replacements may still come");
    world.now = world.now + Duration::from_secs(1);
    let mut rounds = 0;
    for _ in 0..200 {
        let effects = world.poll();
        let evicted: Vec<EffectId> = evictions(&effects).iter().map(|(id, _)| *id).collect();
        for id in evicted {
            rounds += 1;
            let message = "429: it would violate the pod's disruption budget".into();
            world.done(id, Outcome::WriteFailed { message });
        }
        world.now = world.now + Duration::from_secs(1);
    }
    assert!((5..10).contains(&rounds), "ever more rarely: {rounds}");
    world.node(node("n2", 1000));
    world.run();
    assert_eq!(world.bound().len(), 2);
    world.advance(Duration::from_secs(600));
    assert!(evictions(&world.effects).is_empty(), "it is whole");
}

fn labelled(name: &str, when_broken: WhenBroken) -> PodRecord {
    PodRecord {
        group: Some(GroupLink::Labels { name: "train".into() }),
        group_terms: Some(GroupTerms {
            policy: Ok(GroupPolicy::Gang { min_count: 3 }),
            when_broken: Some(when_broken),
        }),
        ..pod(name, 1000)
    }
}

/// Two members bound, the third is refused wherever it goes: by the group's labels dialect, which says what becomes of it.
fn third_is_refused(when_broken: WhenBroken) -> (World, Vec<String>) {
    let mut world = World::new(&["n1", "n2", "n3", "n4"].map(|name| node(name, 1000)));
    for (name, node) in [("w0", Some("n1")), ("w1", Some("n2")), ("w2", None)] {
        world.pod(PodRecord {
            node_name: node.map(Into::into),
            ..labelled(name, when_broken)
        });
    }
    let mut evicted = Vec::new();
    // It takes the server a while to refuse a bind, so that mostly one is on its way.
    let mut open = None;
    for second in 0..90 {
        if let Some((id, _)) = open.take_if(|(_, answered)| *answered == second) {
            refuse(&mut world, id);
        }
        loop {
            let effects = world.poll();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                match &effect.kind {
                    EffectKind::Bind { .. } => open = Some((effect.id, second + 7)),
                    EffectKind::Evict { pod } => evicted.push(pod.name.to_string()),
                    EffectKind::Event { .. } => {}
                    _ => world.carry_out(effect),
                }
            }
        }
        world.now = world.now + Duration::from_secs(1);
    }
    (world, evicted)
}

#[test]
fn a_replacement_whose_binds_fail_again_and_again_does_not_put_off_the_end_of_the_grace() {
    let (world, evicted) = third_is_refused(WhenBroken::Evict);
    assert_eq!(evicted, ["w0", "w1"], "the annotation overrides the default");
    assert_eq!(world.bound().len(), 2, "and nothing has been bound");
    let (_, evicted) = third_is_refused(WhenBroken::Keep);
    assert!(evicted.is_empty());
}

#[test]
fn a_gang_that_was_whole_in_between_has_the_grace_anew() {
    let mut world = broken(WhenBroken::Evict);
    world.advance(Duration::from_secs(30));
    world.node(node("n2", 1000));
    world.advance(Duration::from_secs(10));
    assert_eq!(world.bound().len(), 2);
    world.delete(Kind::Node, "n2");
    world.delete(Kind::Pod, "w1");
    world.pod(member("w2", 1000, "train", "workers", ""));
    world.advance(Duration::from_secs(59));
    assert!(evictions(&world.effects).is_empty(), "replacements may still come");
    world.advance(Duration::from_secs(1));
    let evicted: Vec<&str> = evictions(&world.effects).into_iter().map(|(_, name)| name).collect();
    assert_eq!(evicted, ["w0"]);
}

#[test]
fn a_member_that_is_being_deleted_is_not_evicted() {
    let mut world = broken(WhenBroken::Evict);
    world.pod(PodRecord {
        terminating: true,
        ..world.pods["w0"].clone()
    });
    world.advance(Duration::from_secs(600));
    assert!(evictions(&world.effects).is_empty());
}

#[test]
fn a_replacement_does_not_go_where_a_kubelet_turned_its_gang_away() {
    let mut world = World::new(&["n1", "n2"].map(|name| node(name, 1000)));
    train(&mut world, 1, 1);
    world.run();
    let first = world.bound()["w0"].clone();
    world.pod(PodRecord {
        phase: PodPhase::Failed,
        turned_away: Some("OutOfcpu".into()),
        ..world.pods["w0"].clone()
    });
    world.pod(member("w1", 1000, "train", "workers", ""));
    world.run();
    assert_ne!(world.bound()["w1"], first);
    world.delete(Kind::Pod, "w1");
    world.advance(Duration::from_secs(61));
    world.delete(Kind::Node, if first == "n1" { "n2" } else { "n1" });
    world.pod(member("w2", 1000, "train", "workers", ""));
    world.run();
    assert_eq!(world.bound()["w2"], first, "it is a preference, and it passes");
}
