//! Why something waits is said in many places: an explanation, the conditions of pods and of the group's object, an event,
//! and a metric's label. The words are the same; where a place has a word of its own, it is the one in the table here
//! (docs/explain.md has it, too).

mod world;

use muster_engine::{Effect, EffectKind, Explanation, Input, Object, Severity, Subject};
use muster_framework::Text;
use muster_framework::group::{GroupLink, GroupStatus};
use muster_framework::record::{Kind, PodRecord};
use std::collections::BTreeSet;
use std::time::Duration;
use world::{World, gang, linked, node, pod, pod_group};

/// Two members of a pod group that needs both, and the word of each place for why `a` waits.
struct Situation {
    name: &'static str,
    /// Whether the group's object is there.
    has_object: bool,
    nodes: &'static [i64],
    /// What `b` is like; None: there is no such pod.
    other: Option<fn(PodRecord) -> PodRecord>,
    /// The label of `muster_waiting_groups`, and the reason in the group's explanation.
    label: &'static str,
    /// The reason of the event.
    event: &'static str,
    /// The reason of conditions, and in the pod's explanation.
    condition: &'static str,
    /// What pods say, if it is not what is said of the group: members come and go, and do not have to say it anew each time.
    of_pods: Option<&'static str>,
}

const USUAL: Situation = Situation {
    name: "",
    has_object: true,
    nodes: &[2000],
    other: Some(|pod| pod),
    label: "",
    event: "",
    condition: "NotReadyForScheduling",
    of_pods: None,
};

const SITUATIONS: [Situation; 6] = [
    Situation {
        name: "no object",
        has_object: false,
        label: "PolicyMissing",
        event: "PolicyMissing",
        ..USUAL
    },
    Situation {
        name: "too few members",
        other: None,
        label: "MembersMissing",
        event: "MembersMissing",
        of_pods: Some(
            "waiting for minCount pods from a gang to appear in scheduling queue: see pod group default/train",
        ),
        ..USUAL
    },
    Situation {
        name: "a gated member",
        other: Some(|pod| PodRecord {
            scheduling_gates: Box::new(["example.com/quota".into()]),
            ..pod
        }),
        label: "MemberGated",
        event: "MemberGated",
        of_pods: Some("pod group default/train waits for its gated members"),
        ..USUAL
    },
    Situation {
        name: "two schedulers",
        other: Some(|pod| PodRecord {
            scheduler_name: "other".into(),
            ..pod
        }),
        label: "MixedSchedulers",
        event: "MixedSchedulers",
        condition: "SchedulerError",
        of_pods: Some("members of pod group default/train name different schedulers"),
        ..USUAL
    },
    Situation {
        name: "no room",
        nodes: &[1000],
        label: "NoRoom",
        event: "FailedScheduling",
        condition: "Unschedulable",
        ..USUAL
    },
    Situation {
        name: "a broken gang",
        nodes: &[1000],
        other: Some(|pod| PodRecord {
            node_name: Some("n0".into()),
            ..pod
        }),
        label: "Broken",
        event: "GangBroken",
        condition: "Unschedulable",
        ..USUAL
    },
];

impl Situation {
    /// A world in which it has lasted long enough to be told.
    fn world(&self) -> World {
        let nodes = self.nodes.iter().enumerate();
        let nodes: Vec<_> = nodes.map(|(n, cpu)| node(&format!("n{n}"), *cpu)).collect();
        let mut world = World::new(&nodes);
        for kind in [Kind::Workload, Kind::PodGroupV1Alpha2] {
            world.input(Input::KindNotServed(kind));
        }
        if self.has_object {
            world.apply(Object::PodGroup(pod_group(Kind::PodGroup, "train", gang(2))));
        }
        let member = |name: &str| linked(name, 1000, GroupLink::PodGroup { name: "train".into() });
        if let Some(other) = self.other {
            world.pod(other(member("b")));
        }
        world.pod(member("a"));
        world.advance(Duration::from_secs(6));
        world
    }
}

fn explain(world: &mut World, subject: Subject) -> Explanation {
    world.engine.explain(world.now, &subject).expect("it is there")
}

fn of_pod(name: &str) -> Subject {
    Subject::Pod {
        namespace: "default".into(),
        name: name.into(),
    }
}

fn of_group() -> Subject {
    Subject::Group {
        namespace: "default".into(),
        name: "train".into(),
    }
}

/// The reasons that an explanation says conditions and events have.
fn elsewhere(said: &Explanation) -> (&str, &str) {
    (&said.condition_reason, &said.event_reason)
}

/// The events that warn: reason and note.
fn warnings(world: &World) -> Vec<(String, String)> {
    let warning = |effect: &Effect| match &effect.kind {
        EffectKind::Event {
            severity: Severity::Warning,
            reason,
            note,
            ..
        } => Some(((*reason).to_owned(), note.to_string())),
        _ => None,
    };
    world.effects.iter().filter_map(warning).collect()
}

/// The last condition of the group's object: reason and message.
fn condition_of_group(world: &World) -> Option<(String, String)> {
    world.effects.iter().rev().find_map(|effect| match &effect.kind {
        EffectKind::GroupStatus {
            status: GroupStatus::Condition { reason, message, .. },
            ..
        } => Some((reason.to_string(), message.to_string())),
        _ => None,
    })
}

#[test]
fn a_group_is_told_of_in_the_same_words_everywhere() {
    for situation in SITUATIONS {
        let name = situation.name;
        let mut world = situation.world();
        let group = explain(&mut world, of_group());
        assert_eq!(&*group.reason, situation.label, "{name}");
        assert_eq!(elsewhere(&group), (situation.condition, situation.event), "{name}");
        assert_eq!(world.waiting_groups(), [(situation.label, 1)], "{name}");
        assert_eq!(
            warnings(&world),
            [(situation.event.to_owned(), group.cause.clone())],
            "{name}"
        );
        let of_object = (situation.condition.to_owned(), group.cause.clone());
        assert_eq!(
            condition_of_group(&world),
            situation.has_object.then_some(of_object),
            "{name}"
        );
    }
}

#[test]
fn members_have_the_word_of_conditions_and_the_cause_of_their_group() {
    for situation in SITUATIONS {
        let name = situation.name;
        let mut world = situation.world();
        let (group, member) = (explain(&mut world, of_group()), explain(&mut world, of_pod("a")));
        assert_eq!(member.cause, group.cause, "{name}");
        assert_eq!(elsewhere(&member), (situation.condition, situation.event), "{name}");
        let (reason, message) = world.condition("a").expect("it is told");
        assert_eq!(
            (&*reason, &*member.reason),
            (situation.condition, situation.condition),
            "{name}"
        );
        match (situation.of_pods, situation.label) {
            (Some(words), _) => assert_eq!(message, words, "{name}"),
            // That it is broken is said of the group.
            (None, "Broken") => {
                let broken = "pod group default/train is broken: 1 of 2 members have a node; ";
                assert_eq!(format!("{broken}{message}"), group.cause, "{name}");
            }
            (None, _) => assert_eq!(message, group.cause, "{name}"),
        }
    }
}

#[test]
fn a_pod_is_told_of_in_the_same_words_everywhere_and_its_plugins_are_those_of_the_metric() {
    let mut cordoned = node("n1", 8000);
    cordoned.unschedulable = true;
    let mut world = World::new(&[node("n0", 1000), cordoned]);
    world.pod(pod("a", 4000));
    world.run();
    let said = explain(&mut world, of_pod("a"));
    let condition = (said.reason.to_string(), said.cause.clone());
    assert_eq!(&*said.reason, "Unschedulable");
    assert_eq!(elsewhere(&said), ("Unschedulable", "FailedScheduling"));
    assert_eq!(world.condition("a"), Some(condition));
    assert_eq!(warnings(&world), [("FailedScheduling".to_owned(), said.cause.clone())]);
    let rejected = said.nodes.expect("nodes were looked at").rejected;
    let rejected: BTreeSet<Text> = rejected.into_iter().map(|rejected| rejected.plugin).collect();
    let census = world.engine.census(world.now);
    let counted = census.unschedulable.iter().filter(|(_, pods)| **pods > 0);
    let counted: BTreeSet<Text> = counted.map(|((_, plugin), _)| Text::from(*plugin)).collect();
    assert_eq!(rejected, counted);
    for plugin in rejected {
        assert!(said.cause.contains(&*plugin), "{plugin}: {}", said.cause);
    }
}
