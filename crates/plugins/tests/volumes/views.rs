//! Properties: judging on base ⊕ delta equals judging with the delta applied; the order in which objects and pods come
//! means nothing; taking off is the exact reverse of putting on.

use crate::scene::*;
use muster_framework::Text;
use muster_framework::compiled::CompiledSpec;
use muster_framework::labels::Labels;
use muster_framework::record::PodVolume;
use muster_framework::rules::KubeMinor;
use muster_framework::table::NodeOrd;
use muster_framework::view::{Delta, View};
use muster_framework::volume::{
    AccessModes, Bindings, ClaimRecord, StorageObject, VolumePhase, VolumeRecord, VolumeSource,
};
use muster_plugins::volume_binding::plan_bindings;
use proptest::prelude::*;
use proptest::sample::select;

const NODES: [&[(&str, &str)]; 3] = [
    &[("host", "n0"), ("topology.kubernetes.io/zone", "a")],
    &[("host", "n1"), ("topology.kubernetes.io/zone", "b")],
    &[("host", "n2")],
];
const CLAIMS: [&str; 4] = ["c0", "c1", "c2", "c3"];
const VOLUMES: [&str; 4] = ["v0", "v1", "v2", "v3"];
const CLASSES: [&str; 2] = ["wait", "now"];

fn any_claim() -> impl Strategy<Value = ClaimRecord> {
    (
        select(&CLAIMS[..]),
        prop::option::weighted(0.4, select(&VOLUMES[..])),
        select(&CLASSES[..]),
        any::<bool>(),
        1..3i64,
        prop::option::weighted(0.1, select(vec!["n0", "n1"])),
        prop::bool::weighted(0.7),
    )
        .prop_map(|(name, volume, class, one_pod, request, selected, own)| ClaimRecord {
            volume: volume.unwrap_or("").into(),
            bind_completed: volume.is_some(),
            // Mostly a class that waits, or the pod is never looked at.
            storage_class: Some(
                if volume.is_none() && request == 1 {
                    "wait"
                } else {
                    class
                }
                .into(),
            ),
            access_modes: AccessModes {
                read_write_once: !one_pod,
                read_write_once_pod: one_pod,
                ..AccessModes::default()
            },
            request,
            selected_node: selected.unwrap_or("").into(),
            owner_pod: if own { "pod-uid" } else { "" }.into(),
            ..claim(name)
        })
}

fn any_volume() -> impl Strategy<Value = VolumeRecord> {
    (
        select(&VOLUMES[..]),
        prop::option::of(select(vec!["n0", "n1", "n2"])),
        prop::option::weighted(0.3, select(vec!["a", "b", "a__b"])),
        prop::option::weighted(0.4, select(&CLAIMS[..])),
        1..4i64,
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(name, host, zone, claim, capacity, one_pod, in_tree)| VolumeRecord {
            node_affinity: host.map(|host| only_on("host", &[host])),
            labels: zone
                .map(|zone| ("topology.kubernetes.io/zone", zone))
                .into_iter()
                .collect(),
            phase: if claim.is_some() {
                VolumePhase::Bound
            } else {
                VolumePhase::Available
            },
            claim: claim.and_then(|claim| reserved_for(claim, "")),
            capacity,
            access_modes: AccessModes {
                read_write_once: true,
                read_write_once_pod: one_pod,
                ..AccessModes::default()
            },
            in_tree: if in_tree { "kubernetes.io/aws-ebs" } else { "" }.into(),
            source: VolumeSource::Csi {
                driver: "csi".into(),
                handle: name.into(),
            },
            ..volume(name)
        })
}

fn any_object() -> impl Strategy<Value = StorageObject> {
    let nodes = || select(vec!["n0", "n1", "n2"]);
    prop_oneof![
        4 => any_claim().prop_map(object),
        4 => any_volume().prop_map(object),
        1 => (select(&CLASSES[..]), select(vec!["csi", "kubernetes.io/aws-ebs", ""]))
            .prop_map(|(name, provisioner)| object(class(name, Some(name == "wait"), provisioner))),
        2 => (nodes(), prop::option::of(0..3i64)).prop_map(|(node, limit)| object(csi_node(node, &[("csi", limit)]))),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(tracks, prevents)| csi_driver("csi", tracks, prevents)),
        1 => (nodes(), 0..4i64).prop_map(|(node, size)| capacity(node, Some(requires("host", &[node])), size, None)),
        1 => (nodes(), select(&VOLUMES[..]))
            .prop_map(|(node, volume)| attachment(&format!("{node}-{volume}"), "csi", node, volume)),
    ]
}

fn any_pod() -> impl Strategy<Value = Pod> {
    let volume = prop_oneof![
        4 => select(&CLAIMS[..]).prop_map(uses),
        1 => select(&CLAIMS[..]).prop_map(ephemeral),
        1 => any::<bool>().prop_map(|read_only| PodVolume::GcePersistentDisk { name: "d".into(), read_only }),
        1 => select(&VOLUMES[..]).prop_map(|handle| in_tree("kubernetes.io/aws-ebs", "csi", handle)),
    ];
    prop::collection::vec(volume, 0..3).prop_map(pod)
}

/// The classes are mostly there, so that pods come as far as to be judged.
fn base_objects() -> Vec<StorageObject> {
    let classes = CLASSES.map(|name| object(class(name, Some(name == "wait"), "csi")));
    classes
        .into_iter()
        .chain(CLAIMS.map(|name| object(claim(name))))
        .collect()
}

fn key_of(object: &StorageObject) -> (String, Text, Text) {
    let (namespace, name, _) = object.identity();
    (format!("{:?}", object.kind()), namespace, name)
}

fn remove(scene: &mut Scene, object: &StorageObject) {
    let (namespace, name, _) = object.identity();
    scene.table.volumes_mut().remove(object.kind(), &namespace, &name);
}

/// The last of each name.
fn distinct(objects: Vec<StorageObject>) -> Vec<StorageObject> {
    let mut kept: Vec<StorageObject> = Vec::new();
    for object in base_objects().into_iter().chain(objects) {
        kept.retain(|other| key_of(other) != key_of(&object));
        kept.push(object);
    }
    kept
}

/// What each pod of a plan takes, decided on the plan so far.
fn plan(scene: &mut Scene, delta: &mut Delta, added: &[(NodeOrd, Pod)]) -> Vec<Bindings> {
    let labels = Labels::default();
    let compiled: Vec<CompiledSpec> = added
        .iter()
        .map(|(_, pod)| CompiledSpec::compile(&pod.spec, &mut scene.table))
        .collect();
    let mut all = Vec::new();
    for (at, ((node, pod), compiled)) in added.iter().zip(&compiled).enumerate() {
        let pod = to_place(pod, compiled, &labels);
        let bindings = plan_bindings(&pod, &View::new(&scene.table, delta), *node);
        delta.add(&scene.table, *node, &pod);
        delta.assume(&format!("owner {at}").into(), &bindings);
        all.push(bindings);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_view_equals_the_base_with_the_delta_applied(
        objects in prop::collection::vec(any_object(), 0..16),
        placed in prop::collection::vec((any_pod(), 0..3u32, any::<bool>()), 0..5),
        added in prop::collection::vec((any_pod(), 0..3u32), 0..4),
        incoming in any_pod(),
        minor in select(&MINORS[..]),
    ) {
        let mut scene = Scene::new(minor, &NODES).with(distinct(objects));
        placed.iter().for_each(|(pod, node, _)| place(&mut scene.table, NodeOrd(*node), pod));
        let added: Vec<(NodeOrd, Pod)> = added.into_iter().map(|(pod, node)| (NodeOrd(node), pod)).collect();
        let labels = Labels::default();
        let untouched = scene.judge(&ALL, &incoming);

        let mut delta = Delta::default();
        let removed = || placed.iter().filter(|(_, _, removed)| *removed);
        removed().for_each(|(pod, node, _)| delta.remove(&scene.table, NodeOrd(*node), footprint(pod, &labels)));
        let bindings = plan(&mut scene, &mut delta, &added);
        let on_view: Vec<String> = ALL.iter().map(|plugin| scene.judge_on(&[plugin], &incoming, &delta)).collect();

        removed().for_each(|(pod, node, _)| take_off(&mut scene.table, NodeOrd(*node), pod));
        added.iter().for_each(|(node, pod)| place(&mut scene.table, *node, pod));
        for (at, bindings) in bindings.into_iter().enumerate() {
            scene.table.volumes_mut().assume(&format!("owner {at}").into(), bindings);
        }
        let applied: Vec<String> = ALL.iter().map(|plugin| scene.judge(&[plugin], &incoming)).collect();
        prop_assert_eq!(on_view, applied);

        for at in 0..added.len() {
            scene.table.volumes_mut().forget(&format!("owner {at}"));
        }
        added.iter().for_each(|(node, pod)| take_off(&mut scene.table, *node, pod));
        removed().for_each(|(pod, node, _)| place(&mut scene.table, NodeOrd(*node), pod));
        prop_assert_eq!(untouched, scene.judge(&ALL, &incoming));
    }

    #[test]
    fn the_order_in_which_things_come_means_nothing(
        objects in prop::collection::vec(any_object(), 0..16),
        passing in prop::collection::vec(any_object(), 0..8),
        placed in prop::collection::vec((any_pod(), 0..3u32), 0..5),
        gone in prop::collection::vec((any_pod(), 0..3u32), 0..3),
        incoming in any_pod(),
        minor in select(&MINORS[..]),
    ) {
        let objects = distinct(objects);
        let mut first = Scene::new(minor, &NODES).with(objects.clone());
        placed.iter().for_each(|(pod, node)| place(&mut first.table, NodeOrd(*node), pod));

        // Pods before everything else, other objects of the same and other names meanwhile, and everything backwards.
        let mut second = Scene::new(minor, &NODES).with(passing.clone());
        gone.iter().chain(&placed).for_each(|(pod, node)| place(&mut second.table, NodeOrd(*node), pod));
        passing.iter().for_each(|object| remove(&mut second, object));
        second = second.with(passing.clone()).with(objects.iter().rev().cloned());
        gone.iter().for_each(|(pod, node)| take_off(&mut second.table, NodeOrd(*node), pod));
        let stays = |object: &&StorageObject| objects.iter().any(|kept| key_of(kept) == key_of(object));
        passing.iter().filter(|object| !stays(object)).for_each(|object| remove(&mut second, object));
        for plugin in ALL {
            prop_assert_eq!(first.judge(&[plugin], &incoming), second.judge(&[plugin], &incoming));
        }

        // Nothing is left of what has gone, in whatever order it goes.
        objects.iter().for_each(|object| remove(&mut second, object));
        placed.iter().for_each(|(pod, node)| take_off(&mut second.table, NodeOrd(*node), pod));
        prop_assert!(second.table.volumes().is_empty(), "{:?}", second.table.volumes());
        placed.iter().for_each(|(pod, node)| take_off(&mut first.table, NodeOrd(*node), pod));
        objects.iter().for_each(|object| remove(&mut first, object));
        prop_assert!(first.table.volumes().is_empty(), "{:?}", first.table.volumes());
    }
}

/// The generator is of use only when pods come as far as to be judged in each of the ways.
#[test]
fn verdicts_of_all_kinds_are_generated() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let strategy = (
        prop::collection::vec(any_object(), 0..16),
        prop::collection::vec((any_pod(), 0..3u32), 0..5),
        any_pod(),
    );
    let mut seen = String::new();
    for _ in 0..3000 {
        let (objects, placed, incoming) = strategy.new_tree(&mut runner).expect("a value").current();
        let mut scene = Scene::new(KubeMinor::V1_37, &NODES).with(distinct(objects));
        placed
            .iter()
            .for_each(|(pod, node)| place(&mut scene.table, NodeOrd(*node), pod));
        ALL.iter().for_each(|plugin| seen += &scene.judge(&[plugin], &incoming));
    }
    for expected in [
        "no available disk",
        "ReadWriteOncePod",
        "max volume count",
        "not installed",
        "node affinity",
        "available persistent volumes",
        "free storage",
        "non-existent pv",
        "volume zone",
        "unbound immediate",
        "not owner",
    ] {
        assert!(seen.contains(expected), "no case says: {expected}");
    }
}
