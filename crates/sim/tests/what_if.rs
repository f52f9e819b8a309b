//! What-if on snapshots: edits, capacity, and that equal questions get equal answers.

use muster_api::decode;
use muster_api::snapshot::{Header, Snapshot, Source as From};
use muster_engine::{Object, PodRef, Reservation, Settings};
use muster_framework::Text;
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;
use muster_sim::Source;
use muster_sim::what_if::{Capacity, Comparison, Edit, Play, SnapshotNote, Unit, World};
use serde_json::{Value, json};

fn object(kind: Kind, object: &Value) -> Object {
    decode(kind, object.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn node(name: &str, cpu: &str) -> Object {
    object(
        Kind::Node,
        &json!({"metadata": {"name": name, "uid": name, "resourceVersion": "1",
                "labels": {"kubernetes.io/hostname": name, "zone": "a"}},
            "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}}}),
    )
}

fn pod(name: &str, node: Option<&str>, more: &Value) -> Object {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "2", "labels": {"app": "web"}},
        "spec": {"schedulerName": "muster", "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
    });
    if let Some(node) = node {
        pod["spec"]["nodeName"] = json!(node);
    }
    for (field, value) in more.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    object(Kind::Pod, &pod)
}

fn apart() -> Value {
    json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}]}}})
}

fn snapshot() -> Snapshot {
    Snapshot {
        header: Header {
            taken_at: jiff::Timestamp::UNIX_EPOCH,
            version: "0".to_owned(),
            kubernetes: KubeMinor::V1_37,
            source: From::Api,
            configuration: None,
            not_served: vec![Kind::Workload, Kind::CoschedulingPodGroup, Kind::PodGroupV1Alpha2],
        },
        objects: vec![
            node("n1", "2"),
            node("n2", "2"),
            pod("a", Some("n1"), &json!({})),
            pod("b", Some("n2"), &json!({})),
            pod(
                "big",
                None,
                &json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "3"}}}]}),
            ),
            pod("held", None, &json!({})),
            pod("picky", None, &apart()),
        ],
        queue: Vec::new(),
        reservations: vec![Reservation {
            pod: PodRef {
                namespace: "shop".into(),
                name: "held".into(),
                uid: "held".into(),
            },
            node: "n2".into(),
            stage: "Sent".into(),
            deadline: None,
        }],
        broken: Vec::new(),
    }
}

fn settings() -> Settings {
    muster_config::Configuration::default().engine_settings(KubeMinor::V1_37)
}

fn settled(world: &World) -> Play {
    let mut play = Play::new(world, &settings());
    play.settle();
    play
}

fn compared(edits: &[Edit]) -> Comparison {
    let schedulers: [Text; 1] = ["muster".into()];
    let snapshot = snapshot();
    let note = SnapshotNote::of(&snapshot.header);
    let mut world = World::of(snapshot);
    let before = settled(&world);
    let made = edits
        .iter()
        .map(|edit| world.edit(edit, &schedulers).expect("it is there"))
        .collect();
    let after = settled(&world);
    let waited = ["shop/big", "shop/picky"].map(str::to_owned);
    Comparison::of(note, 0, made, &waited, &before, &after)
}

#[test]
fn without_edits_it_says_what_would_be() {
    insta::assert_snapshot!(compared(&[]).table());
}

#[test]
fn edits_are_told_with_what_they_change() {
    let edits = [
        Edit::AddNodes("like=n1,count=2,cpu=4,label=zone=b".parse().unwrap()),
        Edit::RemoveNode("n2".into()),
        Edit::Cordon("n1".into()),
        Edit::drop_constraint("shop/picky:anti-affinity").unwrap(),
    ];
    let comparison = compared(&edits);
    assert_eq!((comparison.before.waiting, comparison.after.waiting), (2, 0));
    insta::assert_snapshot!(comparison.table());
    // Equal questions, equal answers.
    assert_eq!(compared(&edits), comparison);
    insta::assert_json_snapshot!(comparison);
}

#[test]
fn what_is_not_there_cannot_be_edited() {
    let mut world = World::of(snapshot());
    let said: Vec<String> = [
        Edit::Cordon("x".into()),
        Edit::RemoveNode("x".into()),
        Edit::AddNodes("y,like=x".parse().unwrap()),
        Edit::AddNodes("n1,cpu=1".parse().unwrap()),
        Edit::drop_constraint("shop/x:spread").unwrap(),
    ]
    .iter()
    .map(|edit| world.edit(edit, &[]).unwrap_err())
    .collect();
    insta::assert_snapshot!(said.join("\n"));
    assert_eq!(world, World::of(snapshot()), "nothing is half done");
}

fn unit(text: &str) -> Unit {
    let source = Source {
        name: "unit.yaml".to_owned(),
        text: text.to_owned(),
    };
    Unit::load(&source, &["muster".into()]).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn so_many_more_fit() {
    let world = World::of(snapshot());
    // n1 has one core left, n2 none.
    let small = unit(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, resources: {requests: {cpu: 250m}}}]}\n",
    );
    let capacity = Capacity::of(&mut settled(&world), &small, 100, |_| {});
    assert_eq!(
        (capacity.fits, capacity.limit_reached, &*capacity.reason),
        (4, false, "Unschedulable")
    );
    assert!(capacity.message.contains("2 Insufficient cpu"), "{}", capacity.message);
    let limited = Capacity::of(&mut settled(&world), &small, 3, |_| {});
    assert_eq!((limited.fits, limited.limit_reached), (3, true));
}

#[test]
fn so_many_more_whole_gangs_fit() {
    let world = World::of(snapshot());
    let gang = unit(
        "apiVersion: scheduling.k8s.io/v1beta1\nkind: PodGroup\nmetadata: {name: g}\nspec: {schedulingPolicy: {gang: {minCount: 3}}}\n---\n\
         apiVersion: sim.muster.dev/v1alpha1\nkind: Generate\ncount: 3\ntemplate: {apiVersion: v1, kind: Pod, metadata: {name: 'm-{i}'}, \
         spec: {schedulingGroup: {podGroupName: g}, containers: [{name: c, resources: {requests: {cpu: 200m}}}]}}\n",
    );
    let capacity = Capacity::of(&mut settled(&world), &gang, 100, |_| {});
    // Five members fit on what is left of n1: one gang, and not two.
    assert_eq!((capacity.fits, capacity.pods_each), (1, 3));
    assert!(capacity.message.contains("Insufficient cpu"), "{}", capacity.message);
}

#[test]
fn a_unit_is_pods_and_their_groups() {
    let wrong = |text: &str| {
        let source = Source {
            name: "unit.yaml".to_owned(),
            text: text.to_owned(),
        };
        Unit::load(&source, &["muster".into()]).unwrap_err().to_string()
    };
    let cases = [
        wrong(""),
        wrong("apiVersion: v1\nkind: Node\nmetadata: {name: n}\n"),
        wrong("apiVersion: v1\nkind: Pod\nmetadata: {}\n"),
        wrong(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {schedulerName: other, containers: [{name: c}]}\n",
        ),
        wrong("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: 7}\n"),
    ];
    insta::assert_snapshot!(cases.join("\n"));
}
