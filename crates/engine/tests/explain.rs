//! What is said of pods and groups that wait, and that every remedy which is offered as proved works when it is applied.

mod world;

use muster_engine::{BrokenGang, Change, Explanation, Input, Object, Stage, Subject};
use muster_framework::Text;
use muster_framework::group::{GroupLink, GroupPolicy, GroupTerms};
use muster_framework::labels::Labels;
use muster_framework::record::{
    HostPort, Kind, NamespaceScope, NodeRecord, PodAffinityTerm, PodPhase, PodRecord, PodSpec, Protocol,
    SpreadConstraint, Unsupported, WhenUnsatisfiable,
};
use muster_framework::selector::{LabelSelector, Operator, Requirement};
use muster_framework::taint::{Taint, TaintEffect, Toleration, TolerationOperator};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use world::{World, gang, linked, member, node, pod, workload};

fn subject(name: &str) -> Subject {
    Subject::Pod {
        namespace: "default".into(),
        name: name.into(),
    }
}

fn group(name: &str) -> Subject {
    Subject::Group {
        namespace: "default".into(),
        name: name.into(),
    }
}

fn explain(world: &mut World, subject: &Subject) -> Explanation {
    let explanation = world.engine.explain(world.now, subject).expect("it is there");
    assert_eq!(world.engine.check(), Ok(()));
    explanation
}

/// An explanation in lines.
fn lines(explanation: &Explanation) -> String {
    let mut out = format!(
        "{}: {}\n{}: {}\n",
        explanation.subject,
        explanation.stage.name(),
        explanation.reason,
        explanation.cause_in_full()
    );
    if let Some(quorum) = &explanation.quorum {
        let min = quorum.min_count.map_or("?".to_owned(), |min| min.to_string());
        let _ = writeln!(
            out,
            "quorum: {}/{min} members, {} missing, {} with places, {} bound; gated {:?}, without place {:?}",
            quorum.members, quorum.missing, quorum.with_places, quorum.bound, quorum.gated, quorum.without_place
        );
    }
    if let Some(nodes) = &explanation.nodes {
        let _ = writeln!(
            out,
            "nodes for {} (beside {} others): {}/{}",
            nodes.pod, nodes.counting_others, nodes.feasible, nodes.nodes
        );
        for rejected in &nodes.rejected {
            let _ = writeln!(out, "  {} {} {:?}", rejected.nodes, rejected.plugin, rejected.reasons);
        }
    }
    for near in &explanation.nearest {
        let _ = writeln!(out, "near: {} {:?}", near.node, near.lacks);
    }
    for remedy in &explanation.remedies {
        let proved = if remedy.proved { "proved" } else { "needed" };
        let _ = writeln!(out, "{proved}: {}", remedy.text());
    }
    for attempt in &explanation.attempts {
        let _ = writeln!(
            out,
            "{:?} ago: {}: {}",
            attempt.ago,
            attempt.result.name(),
            attempt.message
        );
    }
    for note in &explanation.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out
}

fn with_spec(mut pod: PodRecord, change: impl FnOnce(&mut PodSpec)) -> PodRecord {
    change(Arc::make_mut(&mut pod.spec));
    pod
}

fn on(node: &str, pod: PodRecord) -> PodRecord {
    PodRecord {
        node_name: Some(node.into()),
        ..pod
    }
}

fn labelled(app: &str, pod: PodRecord) -> PodRecord {
    PodRecord {
        labels: [("app", app)].into_iter().collect(),
        ..pod
    }
}

fn term(app: &str) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: Some(LabelSelector {
            requirements: Box::new([Requirement {
                key: "app".into(),
                operator: Operator::In,
                values: Box::new([app.into()]),
            }]),
        }),
        namespaces: NamespaceScope {
            names: Box::new(["default".into()]),
            selector: None,
        },
        topology_key: "kubernetes.io/hostname".into(),
    }
}

fn spread(app: &str) -> SpreadConstraint {
    SpreadConstraint {
        pods: term(app),
        max_skew: 1,
        when_unsatisfiable: WhenUnsatisfiable::DoNotSchedule,
        min_domains: None,
        honor_node_affinity: true,
        honor_node_taints: false,
    }
}

fn port(port: u16) -> Box<[HostPort]> {
    Box::new([HostPort {
        ip: "0.0.0.0".into(),
        protocol: Protocol::Tcp,
        port,
    }])
}

fn tainted(node: NodeRecord) -> NodeRecord {
    NodeRecord {
        taints: vec![Taint {
            key: "dedicated".into(),
            value: "ml".into(),
            effect: TaintEffect::NoSchedule,
        }],
        ..node
    }
}

fn gated(pod: PodRecord) -> PodRecord {
    PodRecord {
        scheduling_gates: Box::new(["example.com/quota".into()]),
        ..pod
    }
}

// ---- stages ------------------------------------------------------------------------------------------------------

#[test]
fn what_is_not_there_is_not_explained() {
    let mut world = World::new(&[node("n1", 1000)]);
    assert_eq!(world.engine.explain(world.now, &subject("a")), None);
    assert_eq!(world.engine.explain(world.now, &group("train")), None);
}

#[test]
fn stages_of_single_pods() {
    let mut world = World::new(&[node("n1", 1000)]);
    let stage = |world: &mut World, name: &str| explain(world, &subject(name)).stage;
    world.pod(PodRecord {
        scheduler_name: "other".into(),
        ..pod("foreign", 1)
    });
    world.pod(gated(pod("gated", 1)));
    world.pod(with_spec(pod("claims", 1), |spec| {
        spec.unsupported = Box::new([Unsupported {
            field: "spec.resourceClaims".into(),
            problem: "is not supported".into(),
        }]);
    }));
    world.pod(pod("big", 5000));
    world.pod(pod("small", 100));
    assert_eq!(stage(&mut world, "small"), Stage::Queued { ahead: 1, of: 2 });
    world.run();
    assert_eq!(stage(&mut world, "foreign"), Stage::OtherScheduler);
    assert_eq!(
        stage(&mut world, "small"),
        Stage::Bound {
            node: Some("n1".into())
        }
    );
    let tried_again_in = Some(Duration::from_secs(300));
    assert_eq!(stage(&mut world, "big"), Stage::WaitingForRoom { tried_again_in });
    insta::assert_snapshot!("gated_pod", lines(&explain(&mut world, &subject("gated"))));
    insta::assert_snapshot!("unsupported_pod", lines(&explain(&mut world, &subject("claims"))));
    // Something that could help happens before the backoff has passed.
    world.node(node("n2", 6000));
    assert!(matches!(stage(&mut world, "big"), Stage::BackingOff { .. }));
}

#[test]
fn a_bind_on_its_way() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("a", 100));
    world.poll();
    let nodes = vec!["n1".into()];
    assert_eq!(explain(&mut world, &subject("a")).stage, Stage::Binding { nodes });
}

#[test]
fn what_has_ended_or_is_ending_waits_for_nothing() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("job", 100));
    world.pod(pod("big", 5000));
    world.run();
    assert!(explain(&mut world, &subject("big")).stage.waits());
    world.pod(PodRecord {
        phase: PodPhase::Succeeded,
        ..world.pods["job"].clone()
    });
    world.pod(PodRecord {
        terminating: true,
        ..world.pods["big"].clone()
    });
    world.run();
    for (name, stage, cause) in [
        ("job", Stage::Finished, "pod default/job has finished"),
        ("big", Stage::Ending, "pod default/big is being deleted"),
    ] {
        let said = explain(&mut world, &subject(name));
        assert_eq!((said.stage, &*said.cause, &*said.reason), (stage, cause, ""));
        assert_eq!((said.waiting, said.nodes, said.remedies), (None, None, vec![]));
    }
}

// ---- the ten situations ------------------------------------------------------------------------------------------

#[test]
fn a_member_is_missing() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.workload(workload("train", &[("workers", gang(2))]));
    world.pod(member("a", 500, "train", "workers", ""));
    world.run();
    insta::assert_snapshot!(lines(&explain(&mut world, &group("train/workers"))));
    assert_eq!(explain(&mut world, &subject("a")).stage, Stage::WaitingForMembers);
    // The workload alone will do.
    assert_eq!(explain(&mut world, &group("train")).subject, group("train/workers"));
}

#[test]
fn all_members_are_missing() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.workload(workload(
        "train",
        &[("workers", gang(2)), ("drivers", GroupPolicy::Basic)],
    ));
    world.run();
    insta::assert_snapshot!(lines(&explain(&mut world, &group("train/workers"))));
    assert_eq!(explain(&mut world, &group("train/drivers")).stage, Stage::OneByOne);
    // Either could be meant.
    assert_eq!(world.engine.explain(world.now, &group("train")), None);
    world.pod(member("a", 500, "train", "workers", ""));
    world.run();
    assert_eq!(explain(&mut world, &group("train/workers")).notes, Vec::<String>::new());
}

#[test]
fn a_member_is_missing_and_there_would_be_no_room_for_it() {
    let mut world = World::new(&[node("n1", 600)]);
    world.workload(workload("train", &[("workers", gang(2))]));
    world.pod(member("a", 500, "train", "workers", ""));
    world.run();
    insta::assert_snapshot!(lines(&explain(&mut world, &group("train"))));
}

#[test]
fn a_member_is_gated() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.workload(workload("train", &[("workers", gang(2))]));
    world.pod(member("a", 500, "train", "workers", ""));
    world.pod(gated(member("b", 500, "train", "workers", "")));
    world.run();
    insta::assert_snapshot!(lines(&explain(&mut world, &group("train"))));
}

#[test]
fn too_big_for_any_node() {
    let mut world = World::new(&[node("n1", 1000), node("n2", 4000)]);
    world.pod(pod("big", 5000));
    world.run();
    insta::assert_snapshot!(lines(&explain(&mut world, &subject("big"))));
}

#[test]
fn a_taint() {
    let mut world = World::new(&[tainted(node("n1", 1000)), node("n2", 100)]);
    world.pod(pod("a", 500));
    world.run();
    insta::assert_snapshot!(lines(&explain(&mut world, &subject("a"))));
}

#[test]
fn anti_affinity() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(on("n1", labelled("web", pod("old", 100))));
    let anti = |spec: &mut PodSpec| spec.anti_affinity = Box::new([term("web")]);
    world.pod(with_spec(labelled("web", pod("new", 100)), anti));
    world.run();
    insta::assert_snapshot!(lines(&explain(&mut world, &subject("new"))));
}

#[test]
fn a_host_port() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(on("n1", with_spec(pod("old", 100), |spec| spec.host_ports = port(80))));
    world.pod(with_spec(pod("new", 100), |spec| spec.host_ports = port(80)));
    world.run();
    insta::assert_snapshot!(lines(&explain(&mut world, &subject("new"))));
}

#[test]
fn a_spread_constraint() {
    let mut world = World::new(&[node("n1", 1000), node("n2", 50)]);
    world.pod(on("n1", labelled("web", pod("old", 100))));
    world.pod(with_spec(labelled("web", pod("new", 100)), |spec| {
        spec.spread = Box::new([spread("web")]);
    }));
    world.run();
    insta::assert_snapshot!(lines(&explain(&mut world, &subject("new"))));
}

#[test]
fn the_places_of_another_gang() {
    let mut world = World::new(&[node("n1", 1000), node("n2", 1000)]);
    world.workload(workload("first", &[("workers", gang(2))]));
    world.workload(workload("second", &[("workers", gang(2))]));
    for name in ["a", "b"] {
        world.pod(member(name, 800, "first", "workers", ""));
    }
    world.run();
    for name in ["c", "d"] {
        world.pod(member(name, 800, "second", "workers", ""));
    }
    world.run();
    insta::assert_snapshot!(lines(&explain(&mut world, &group("second"))));
}

#[test]
fn a_missing_workload() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(member("a", 500, "train", "workers", ""));
    world.run();
    insta::assert_snapshot!(lines(&explain(&mut world, &subject("a"))));
}

/// A gang that has lost a member with its node, and finds no place for the next one; and the node.
fn gang_that_lost_a_node() -> (World, String) {
    let mut world = World::new(&[node("n1", 1000), node("n2", 1000)]);
    world.workload(workload("train", &[("workers", gang(2))]));
    for name in ["a", "b"] {
        world.pod(member(name, 800, "train", "workers", ""));
    }
    world.run();
    let lost = world.bound()["a"].clone();
    world.delete(Kind::Node, &lost);
    world.delete(Kind::Pod, "a");
    world.pod(PodRecord {
        uid: "uid-a-again".into(),
        ..member("a", 800, "train", "workers", "")
    });
    world.advance(Duration::from_secs(2));
    (world, lost)
}

#[test]
fn a_node_is_lost() {
    let (mut world, _) = gang_that_lost_a_node();
    insta::assert_snapshot!(lines(&explain(&mut world, &group("train"))));
}

/// What cannot be found out anew from objects is in a snapshot.
#[test]
fn attempts_and_lost_nodes_are_in_a_snapshot() {
    let (mut world, lost) = gang_that_lost_a_node();
    let known = world.engine.snapshot(world.now);
    let broken = BrokenGang {
        group: "default/train/workers".into(),
        lost_nodes: vec![lost.into()],
    };
    assert_eq!(known.broken, [broken]);
    let attempts = explain(&mut world, &group("train")).attempts;
    assert!(!attempts.is_empty());
    assert_eq!(known.queue[0].tried, attempts);

    world.node(node("n3", 1000));
    world.advance(Duration::from_secs(30));
    assert!(world.bound().contains_key("a"));
    let known = world.engine.snapshot(world.now);
    assert_eq!((known.broken.len(), known.queue.len()), (0, 0));
}

#[test]
fn who_is_told_of_lost_nodes_names_them() {
    let (world, lost) = gang_that_lost_a_node();
    let known = world.engine.snapshot(world.now);
    let mut other = World::unsynced();
    for object in known.objects {
        other.apply(object);
    }
    other.sync();
    other.run();
    let broken = "pod group default/train/workers is broken: 1 of 2 members have a node";
    let cause = explain(&mut other, &group("train")).cause;
    assert!(cause.starts_with(&format!("{broken}; ")), "{cause}");
    other.engine.remember_lost_nodes(other.now, &known.broken);
    let cause = explain(&mut other, &group("train")).cause;
    assert!(
        cause.starts_with(&format!("{broken}, since node {lost} is gone; ")),
        "{cause}"
    );
}

#[test]
fn a_node_is_unreachable() {
    let mut world = World::new(&[node("n1", 1000), node("n2", 1000)]);
    world.workload(workload("train", &[("workers", gang(2))]));
    for name in ["a", "b"] {
        world.pod(member(name, 800, "train", "workers", ""));
    }
    world.run();
    let lost = world.bound()["a"].clone();
    let unreachable = Taint {
        key: "node.kubernetes.io/unreachable".into(),
        value: "".into(),
        effect: TaintEffect::NoExecute,
    };
    world.node(NodeRecord {
        taints: vec![unreachable],
        ..node(&lost, 1000)
    });
    // Its eviction has begun, and nobody there can end it.
    world.pod(PodRecord {
        terminating: true,
        ..world.pods["a"].clone()
    });
    world.pod(member("again", 800, "train", "workers", ""));
    world.advance(Duration::from_secs(2));
    let broken = "pod group default/train/workers is broken: 1 of 2 members have a node";
    let cause = explain(&mut world, &group("train")).cause;
    assert!(
        cause.starts_with(&format!("{broken}, since node {lost} is unreachable; 0/2 nodes")),
        "{cause}"
    );
    // When it is well again, it is not to blame any more.
    world.node(node(&lost, 1000));
    let cause = explain(&mut world, &group("train")).cause;
    assert!(cause.starts_with(&format!("{broken}; ")), "{cause}");
}

#[test]
fn a_node_that_goes_long_after_a_member_is_not_to_blame() {
    for (between, is_to_blame) in [(1, true), (60, false)] {
        let mut world = World::new(&[node("n1", 1000), node("n2", 1000)]);
        world.workload(workload("train", &[("workers", gang(2))]));
        for name in ["a", "b"] {
            world.pod(member(name, 800, "train", "workers", ""));
        }
        world.run();
        let left = world.bound()["a"].clone();
        // Somebody deletes it; then the node has nothing to do, or was on its way out already.
        world.delete(Kind::Pod, "a");
        world.advance(Duration::from_secs(between));
        world.delete(Kind::Node, &left);
        world.pod(member("again", 800, "train", "workers", ""));
        world.advance(Duration::from_secs(2));
        let cause = explain(&mut world, &group("train")).cause;
        assert_eq!(
            cause.contains(&format!("since node {left} is gone")),
            is_to_blame,
            "{cause}"
        );
    }
}

#[test]
fn a_gang_lacks_room_for_one_and_the_others_are_counted() {
    let mut world = World::new(&[node("n1", 1000), node("n2", 1000)]);
    world.workload(workload("train", &[("workers", gang(3))]));
    for name in ["a", "b", "c"] {
        world.pod(member(name, 600, "train", "workers", ""));
    }
    world.run();
    insta::assert_snapshot!(lines(&explain(&mut world, &group("train"))));
}

#[test]
fn attempts_are_remembered_until_the_pod_goes() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(pod("a", 2000));
    world.run();
    world.advance(Duration::from_secs(300));
    let attempts = explain(&mut world, &subject("a")).attempts;
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert!(attempts[0].ago < attempts[1].ago);
    world.delete(Kind::Pod, "a");
    world.pod(pod("a", 500));
    assert!(explain(&mut world, &subject("a")).attempts.is_empty());
}

#[test]
fn labels_that_a_node_lacks_are_named() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.pod(with_spec(pod("a", 500), |spec| {
        spec.node_selector = [("disk", "ssd")].into_iter().collect();
    }));
    world.run();
    let explanation = explain(&mut world, &subject("a"));
    let offered: Vec<String> = explanation.remedies.iter().map(muster_engine::Remedy::text).collect();
    assert_eq!(
        offered,
        [
            "node n1 gets the label disk=ssd",
            "pod a does without its node selector and node affinity"
        ]
    );
}

#[test]
fn members_of_the_label_dialect_are_found_by_their_label() {
    let mut world = World::new(&[node("n1", 1000)]);
    let link = GroupLink::Labels { name: "plain".into() };
    world.pod(PodRecord {
        group_terms: Some(GroupTerms {
            policy: Ok(gang(2)),
            when_broken: None,
        }),
        ..linked("a", 100, link)
    });
    world.run();
    let explanation = explain(&mut world, &group("plain"));
    assert_eq!(
        (explanation.stage, &*explanation.reason),
        (Stage::WaitingForMembers, "MembersMissing")
    );
}

// ---- every remedy that is offered works --------------------------------------------------------------------------

/// A small cluster and who waits in it: one pod, or a gang.
#[derive(Debug, Clone)]
struct Scenario {
    nodes: Vec<NodeRecord>,
    placed: Vec<PodRecord>,
    waiting: Vec<PodRecord>,
    min_count: Option<i32>,
}

impl Scenario {
    fn world(&self) -> World {
        let mut world = World::new(&self.nodes);
        if let Some(min_count) = self.min_count {
            world.workload(workload("train", &[("workers", GroupPolicy::Gang { min_count })]));
        }
        for pod in self.placed.iter().chain(&self.waiting) {
            world.pod(pod.clone());
        }
        world.run();
        world
    }

    fn subject(&self) -> Subject {
        match self.min_count {
            Some(_) => group("train"),
            None => subject(&self.waiting[0].name),
        }
    }

    fn goes(&self) -> bool {
        let bound = self.world().bound();
        let placed = self.waiting.iter().filter(|pod| bound.contains_key(&*pod.name)).count();
        placed >= self.min_count.map_or(1, |min| min as usize)
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::LowerRequest { pod, resource, to, .. } => {
                assert_eq!(&**resource, "cpu");
                let to = to.trim_end_matches('m').parse().expect("thousandths");
                self.edit(pod, |spec| spec.charge.requests.milli_cpu = to);
            }
            Change::Tolerate { pod, .. } => self.edit(pod, |spec| {
                spec.tolerations = Box::new([Toleration {
                    key: "dedicated".into(),
                    operator: TolerationOperator::Exists,
                    value: "".into(),
                    effect: None,
                }]);
            }),
            Change::Drop { pod, field, .. } => self.edit(pod, |spec| match &**field {
                "its host ports" => spec.host_ports = Box::default(),
                "its node selector and node affinity" => spec.node_selector = Labels::default(),
                field if field.contains("anti-affinity") => spec.anti_affinity = Box::default(),
                field if field.contains("spread") => spec.spread = Box::default(),
                field => panic!("unknown field {field}"),
            }),
            Change::RemoveTaint { node, .. } => self.node(node).taints.clear(),
            Change::Uncordon { node } => self.node(node).unschedulable = false,
            Change::Label { node, key, value } => {
                let node = self.node(node);
                let added = [(key.clone(), value.clone())];
                let labels = node.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
                node.labels = labels.chain(added).collect();
            }
            Change::Enlarge { node, by, .. } => {
                let by: i64 = by.trim_end_matches('m').parse().expect("thousandths");
                self.node(node).allocatable.milli_cpu += by;
            }
            Change::End { pods, .. } => {
                let ends = |pod: &PodRecord| pods.contains(&Text::from(format!("default/{}", pod.name)));
                self.placed.retain(|pod| !ends(pod));
            }
            Change::AddMembers { count, like, .. } => {
                let like = self
                    .waiting
                    .iter()
                    .find(|pod| pod.name == *like)
                    .expect("a member")
                    .clone();
                for at in 0..*count {
                    self.waiting.push(PodRecord {
                        name: format!("more-{at}").into(),
                        uid: format!("uid-more-{at}").into(),
                        ..like.clone()
                    });
                }
            }
            Change::LowerMinCount { to, .. } => self.min_count = Some(*to as i32),
            Change::Ungate { pods, .. } => {
                for pod in self.waiting.iter_mut().filter(|pod| pods.contains(&pod.name)) {
                    pod.scheduling_gates = Box::default();
                }
            }
            change => panic!("not in these scenarios: {change:?}"),
        }
    }

    fn node(&mut self, name: &str) -> &mut NodeRecord {
        self.nodes
            .iter_mut()
            .find(|node| *node.name == *name)
            .expect("the node")
    }

    /// Changes a pod and its twins.
    fn edit(&mut self, name: &str, change: impl Fn(&mut PodSpec)) {
        let named = self.waiting.iter().find(|pod| *pod.name == *name).expect("the pod");
        let (spec, labels) = (named.spec.clone(), named.labels.clone());
        for pod in self
            .waiting
            .iter_mut()
            .filter(|pod| pod.spec == spec && pod.labels == labels)
        {
            change(Arc::make_mut(&mut pod.spec));
            pod.charge = pod.spec.charge.clone();
        }
    }
}

fn some_node(at: usize) -> impl Strategy<Value = NodeRecord> {
    (
        1..5i64,
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.3),
    )
        .prop_map(move |(cores, has_taint, cordoned, has_disk)| {
            let name = format!("n{at}");
            let mut node = node(&name, cores * 1000);
            node.unschedulable = cordoned;
            if has_disk {
                node.labels = [("kubernetes.io/hostname", &*name), ("disk", "ssd")]
                    .into_iter()
                    .collect();
            }
            if has_taint { tainted(node) } else { node }
        })
}

/// What pods may ask of nodes and of each other.
fn some_spec(pod: PodRecord, [ports, anti, spreads, selects]: [bool; 4]) -> PodRecord {
    with_spec(labelled("web", pod), |spec| {
        if ports {
            spec.host_ports = port(80);
        }
        if anti {
            spec.anti_affinity = Box::new([term("web")]);
        }
        if spreads {
            spec.spread = Box::new([spread("web")]);
        }
        if selects {
            spec.node_selector = [("disk", "ssd")].into_iter().collect();
        }
    })
}

fn some_scenario() -> impl Strategy<Value = Scenario> {
    let nodes = (1..5usize).prop_flat_map(|n| (0..n).map(some_node).collect::<Vec<_>>());
    let rarely = || prop::array::uniform4(prop::bool::weighted(0.2));
    let placed = prop::collection::vec((any::<prop::sample::Index>(), 1..20i64, 0..3i32, rarely()), 0..6);
    let members = prop::collection::vec((1..45i64, prop::bool::weighted(0.1)), 1..4);
    let gang = prop::option::of(1..5i32);
    (nodes, placed, members, rarely(), gang).prop_map(|(nodes, placed, members, rules, min_count)| {
        let placed = placed
            .into_iter()
            .enumerate()
            .map(|(at, (index, tenths, priority, rules))| {
                let node = index.get(&nodes).name.clone();
                let pod = some_spec(pod(&format!("p{at}"), tenths * 100), rules);
                on(
                    &node,
                    PodRecord {
                        priority: Some(priority),
                        ..pod
                    },
                )
            });
        let placed = placed.collect();
        let members = if min_count.is_some() {
            &members[..]
        } else {
            &members[..1]
        };
        let waiting = members.iter().enumerate().map(|(at, (tenths, is_gated))| {
            let name = format!("w{at}");
            let pod = match min_count {
                Some(_) => member(&name, tenths * 100, "train", "workers", ""),
                None => pod(&name, tenths * 100),
            };
            let pod = some_spec(pod, rules);
            if *is_gated { gated(pod) } else { pod }
        });
        Scenario {
            waiting: waiting.collect(),
            nodes,
            placed,
            min_count,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_remedy_works_when_it_is_applied(scenario in some_scenario()) {
        let mut world = scenario.world();
        let explanation = explain(&mut world, &scenario.subject());
        if !explanation.stage.waits() {
            return Ok(());
        }
        for remedy in explanation.remedies.iter().filter(|remedy| remedy.proved) {
            let mut changed = scenario.clone();
            remedy.changes.iter().for_each(|change| changed.apply(change));
            prop_assert!(changed.goes(), "{} of\n{}", remedy.text(), lines(&explanation));
        }
    }

    #[test]
    fn nobody_notices_that_somebody_asked(scenario in some_scenario()) {
        let play = |asks: bool| {
            let mut world = scenario.world();
            for step in 0..3 {
                if asks {
                    explain(&mut world, &scenario.subject());
                }
                world.node(node(&format!("late-{step}"), 1500));
                world.pod(pod(&format!("late-{step}"), 700));
                if asks {
                    explain(&mut world, &scenario.subject());
                }
                world.advance(Duration::from_secs(4));
            }
            world.effects
        };
        prop_assert_eq!(play(true), play(false));
    }
}

#[test]
fn a_standby_says_so_and_what_is_not_listed_is_not_known() {
    let mut world = World::unsynced();
    world.apply(Object::Node(node("n1", 1000)));
    world.pod(pod("a", 100));
    world.input(Input::Leadership { leads: false });
    let notes = explain(&mut world, &subject("a")).notes;
    assert_eq!(notes.len(), 2, "{notes:?}");
}
