//! VolumeBinding, from PreFilter to Score. Source: `pkg/scheduler/framework/plugins/volumebinding/{volume_binding,binder}_test.go`.

use crate::scene::*;
use muster_framework::rules::KubeMinor;
use muster_framework::selector::{NodeSelectorTerm, Operator, Requirement};
use muster_framework::volume::{ClaimPhase, ClaimRecord, CsiNodeRecord, StorageClassRecord, VolumeRecord};
use muster_plugins::args::ShapePoint;

const PLUGIN: [&str; 1] = ["VolumeBinding"];
const UAU: &str = "UnschedulableAndUnresolvable VolumeBinding";
const NODE: &str = "node(s) didn't match PersistentVolume's node affinity";
const BIND: &str = "node(s) didn't find available persistent volumes to bind";
const SPACE: &str = "node(s) did not have enough free storage";
const NO_VOLUME: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

#[test]
fn what_is_wrong_with_claims_is_said_of_the_pod() {
    let lost = ClaimRecord {
        phase: ClaimPhase::Lost,
        ..bound("a", "v")
    };
    let deleting = ClaimRecord {
        terminating: true,
        ..bound("a", "v")
    };
    let prebound = ClaimRecord {
        volume: "v".into(),
        ..claim("a")
    };
    let no_class = ClaimRecord {
        storage_class: None,
        ..claim("a")
    };
    let waits = || object(class("wait", Some(true), "csi"));
    let unbound = "pod has unbound immediate PersistentVolumeClaims";
    for (objects, wanted, expected) in [
        (vec![], uses("a"), "persistentvolumeclaim \"a\" not found"),
        (
            vec![],
            ephemeral("a"),
            "waiting for ephemeral volume controller to create the persistentvolumeclaim \"a\"",
        ),
        (
            vec![object(lost)],
            uses("a"),
            "persistentvolumeclaim \"a\" bound to non-existent persistentvolume \"v\"",
        ),
        (
            vec![object(deleting)],
            uses("a"),
            "persistentvolumeclaim \"a\" is being deleted",
        ),
        (
            vec![object(bound("a", "v"))],
            ephemeral("a"),
            "PVC ns/a was not created for pod ns/pod (pod is not owner)",
        ),
        (vec![object(claim("a"))], uses("a"), unbound),
        (vec![object(no_class)], uses("a"), unbound),
        (
            vec![object(claim("a")), object(class("wait", Some(false), "csi"))],
            uses("a"),
            unbound,
        ),
        (vec![object(prebound), waits()], uses("a"), unbound),
    ] {
        let mut scene = Scene::new(MINORS[0], &[&[]]).with(objects);
        assert_eq!(scene.judge(&PLUGIN, &pod([wanted])), format!("{UAU}: {expected}"));
    }
    let mut scene = Scene::new(MINORS[0], &[&[]]).with([object(claim("a")), object(class("wait", None, "csi"))]);
    assert_eq!(
        scene.judge(&PLUGIN, &pod([uses("a")])),
        "Error VolumeBinding: running PreFilter plugin \"VolumeBinding\": VolumeBindingMode not set for StorageClass \"wait\""
    );
}

#[test]
fn bound_claims_must_be_usable_on_the_node() {
    let on_a = |name: &str| VolumeRecord {
        node_affinity: Some(only_on("zone", &["a"])),
        ..volume(name)
    };
    let by_field = VolumeRecord {
        node_affinity: Some(Box::new([NodeSelectorTerm {
            match_expressions: Box::default(),
            match_fields: Box::new([Requirement {
                key: "metadata.name".into(),
                operator: Operator::In,
                values: Box::new(["n1".into()]),
            }]),
        }])),
        ..volume("v")
    };
    let claims = || [object(bound("a", "v")), object(bound("b", "w"))];
    for (objects, on_n1) in [
        (vec![object(on_a("v")), object(volume("w"))], NODE),
        (vec![object(volume("v")), object(volume("w"))], "ok"),
        (vec![object(volume("w"))], NO_VOLUME),
        // The first claim in the way decides.
        (vec![object(on_a("v"))], NODE),
        (vec![object(on_a("w"))], NO_VOLUME),
        // Upstream shows the terms no name of a node.
        (vec![object(by_field), object(volume("w"))], "ok"),
    ] {
        let mut scene = Scene::new(MINORS[0], &[&[("zone", "b")]]).with(claims()).with(objects);
        let expected = if on_n1 == "ok" {
            "n0 ok".to_owned()
        } else {
            format!("n0 {UAU}: {on_n1}")
        };
        assert_eq!(scene.judge(&PLUGIN, &pod([uses("a"), uses("b")])), expected);
    }
}

#[test]
fn the_topology_of_an_in_tree_volume_is_translated_where_the_node_has_migrated_it() {
    let disk = VolumeRecord {
        in_tree: "kubernetes.io/gce-pd".into(),
        node_affinity: Some(only_on("topology.kubernetes.io/zone", &["a"])),
        migrated_node_affinity: Some(only_on("topology.gke.io/zone", &["a"])),
        ..volume("v")
    };
    let migrated = CsiNodeRecord {
        migrated_plugins: Box::new(["kubernetes.io/gce-pd".into()]),
        ..csi_node("n1", &[])
    };
    let labels = [("topology.kubernetes.io/zone", "a")];
    let mut scene =
        Scene::new(MINORS[0], &[&labels, &labels]).with([object(disk), object(migrated), object(bound("a", "v"))]);
    assert_eq!(
        scene.judge(&PLUGIN, &pod([uses("a")])),
        format!("n0 ok\nn1 {UAU}: {NODE}")
    );
}

#[test]
fn volumes_are_made_where_the_class_and_its_capacity_allow() {
    let in_zone = |zone: &str| StorageClassRecord {
        allowed_topologies: only_on("zone", &[zone]),
        ..class("wait", Some(true), "csi")
    };
    let plain = || object(class("wait", Some(true), "csi"));
    let tracks = || csi_driver("csi", true, false);
    let anywhere = || Some(requires("zone", &["a", "b"]));
    let no = |why: &str| format!("n0 {UAU}: {why}");
    for (objects, expected) in [
        (vec![plain()], "n0 ok".to_owned()),
        (
            vec![object(class("wait", Some(true), "kubernetes.io/no-provisioner"))],
            no(BIND),
        ),
        (vec![object(class("wait", Some(true), ""))], no(BIND)),
        (vec![object(in_zone("a"))], "n0 ok".to_owned()),
        (vec![object(in_zone("b"))], no(BIND)),
        (vec![plain(), csi_driver("csi", false, false)], "n0 ok".to_owned()),
        (vec![plain(), tracks()], no(SPACE)),
        (
            vec![plain(), tracks(), capacity("c", anywhere(), 10, None)],
            "n0 ok".to_owned(),
        ),
        (vec![plain(), tracks(), capacity("c", anywhere(), 9, None)], no(SPACE)),
        (
            vec![plain(), tracks(), capacity("c", anywhere(), 10, Some(9))],
            no(SPACE),
        ),
        (
            vec![plain(), tracks(), capacity("c", anywhere(), 1, Some(10))],
            "n0 ok".to_owned(),
        ),
        (
            vec![
                plain(),
                tracks(),
                capacity("c", Some(requires("zone", &["b"])), 10, None),
            ],
            no(SPACE),
        ),
        (vec![plain(), tracks(), capacity("c", None, 10, None)], no(SPACE)),
    ] {
        let mut scene = Scene::new(MINORS[0], &[&[("zone", "a")]])
            .with([object(claim("a"))])
            .with(objects);
        assert_eq!(scene.judge(&PLUGIN, &pod([uses("a")])), expected);
    }
}

#[test]
fn several_reasons_stand_together() {
    let elsewhere = VolumeRecord {
        node_affinity: Some(only_on("zone", &["b"])),
        ..volume("v")
    };
    let no_provisioner = class("wait", Some(true), "kubernetes.io/no-provisioner");
    let mut scene = Scene::new(MINORS[0], &[&[]]).with([
        object(bound("a", "v")),
        object(elsewhere),
        object(claim("u")),
        object(no_provisioner),
        object(bound("g", "gone")),
    ]);
    let said = scene.judge(&PLUGIN, &pod([uses("a"), uses("u")]));
    assert_eq!(said, format!("n0 {UAU}: {NODE} + {BIND}"));
    let said = scene.judge(&PLUGIN, &pod([uses("g"), uses("u")]));
    assert_eq!(said, format!("n0 {UAU}: {BIND} + {NO_VOLUME}"));
}

#[test]
fn a_claim_whose_node_is_selected_goes_nowhere_else() {
    let selected = ClaimRecord {
        selected_node: "n1".into(),
        ..claim("a")
    };
    let mut scene = Scene::new(MINORS[0], &[&[], &[]]).with([
        object(selected),
        object(class("wait", Some(true), "csi")),
        // Not even by a volume that is there.
        object(volume("v")),
    ]);
    assert_eq!(
        scene.judge(&PLUGIN, &pod([uses("a")])),
        format!("n0 {UAU}: {BIND}\nn1 ok")
    );
}

#[test]
fn from_1_37_nodes_are_scored_by_what_is_taken_from_them() {
    let on = |node: &str, name: &str, size| VolumeRecord {
        node_affinity: Some(only_on("host", &[node])),
        capacity: size,
        ..volume(name)
    };
    let nodes: [&[(&str, &str)]; 3] = [&[("host", "n0")], &[("host", "n1")], &[("host", "n2")]];
    let objects = || {
        [
            object(claim("a")),
            object(claim("b")),
            object(class("wait", Some(true), "csi")),
            csi_driver("csi", true, false),
            object(on("n0", "v0", 20)),
            object(on("n1", "v1", 10)),
            capacity("c1", Some(requires("host", &["n1"])), 40, None),
            capacity("c2", Some(requires("host", &["n2"])), 40, None),
        ]
    };
    let scores = |minor, shape: &[(i64, i64)], wanted: &[&str]| {
        let mut scene = Scene::new(minor, &nodes).with(objects());
        let point = |(utilization, score): &(i64, i64)| ShapePoint {
            utilization: *utilization,
            score: *score,
        };
        scene.shape = shape.iter().map(point).collect();
        let said = scene.judge(&PLUGIN, &pod(wanted.iter().map(|name| uses(name))));
        said.lines().last().map(str::to_owned)
    };
    let scored = |what: &str| Some(format!("VolumeBinding {what}"));
    assert_eq!(scores(KubeMinor::V1_36, &[], &["a"]), Some("n2 ok".to_owned()));
    // Volumes that are there, or the capacity that the volume is made from.
    assert_eq!(scores(KubeMinor::V1_37, &[], &["a"]), scored("[50, 0, 75]"));
    assert_eq!(
        scores(KubeMinor::V1_37, &[(0, 0), (100, 10)], &["a"]),
        scored("[50, 100, 25]")
    );
    // n0 has no capacity for the second; on n1 the volume that is there counts alone; claims share a capacity.
    assert_eq!(scores(KubeMinor::V1_37, &[], &["a", "b"]), scored("[0, 50]"));
    // A pod without volumes is scored too.
    assert_eq!(scores(KubeMinor::V1_37, &[], &[]), scored("[0, 0, 0]"));
}
