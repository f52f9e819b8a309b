//! VolumeZone. Source: `pkg/scheduler/framework/plugins/volumezone/volume_zone_test.go`.

use crate::scene::*;
use muster_framework::volume::VolumeRecord;

const PLUGIN: [&str; 1] = ["VolumeZone"];
const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";
const BETA_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
const CONFLICT: &str = "UnschedulableAndUnresolvable VolumeZone: node(s) had no available volume zone";

#[test]
fn a_node_in_a_zone_takes_volumes_of_that_zone() {
    let no = CONFLICT;
    for (volume_label, node_labels, expected) in [
        ((ZONE, "a"), &[(ZONE, "a")][..], "ok"),
        ((ZONE, "a"), &[(ZONE, "b")], no),
        ((ZONE, "a__b"), &[(ZONE, "b")], "ok"),
        ((ZONE, "a__ b"), &[(ZONE, "b")], "ok"),
        ((ZONE, "a"), &[], "ok"),
        ((ZONE, "a"), &[("else", "b")], "ok"),
        ((ZONE, "a"), &[(REGION, "r")], no),
        ((BETA_ZONE, "a"), &[(ZONE, "a")], "ok"),
        ((BETA_ZONE, "a"), &[(ZONE, "b")], no),
        ((BETA_ZONE, "a"), &[(BETA_ZONE, "a"), (ZONE, "b")], "ok"),
        ((ZONE, "a"), &[(BETA_ZONE, "a")], no),
        ((REGION, "r"), &[(REGION, "r"), (ZONE, "b")], "ok"),
    ] {
        let labelled = VolumeRecord {
            labels: [volume_label].into_iter().collect(),
            ..volume("v")
        };
        let mut scene = Scene::new(MINORS[0], &[node_labels]).with([object(labelled), object(bound("a", "v"))]);
        let said = scene.judge(&PLUGIN, &pod([uses("a")]));
        assert_eq!(said, format!("n0 {expected}"), "{volume_label:?} on {node_labels:?}");
    }
}

#[test]
fn what_cannot_be_judged_is_said_of_the_pod() {
    let no_class = muster_framework::volume::ClaimRecord {
        storage_class: None,
        ..claim("a")
    };
    let unlabelled = || [object(bound("a", "v")), object(volume("v"))];
    let odd_label = VolumeRecord {
        labels: [(ZONE, "a__")].into_iter().collect(),
        ..volume("v")
    };
    for (objects, expected) in [
        (vec![], "persistentvolumeclaim \"a\" not found"),
        (vec![object(bound("a", "v"))], "persistentvolume \"v\" not found"),
        (
            vec![object(no_class)],
            "PersistentVolumeClaim had no pv name and storageClass name",
        ),
        (
            vec![object(claim("a"))],
            "storageclass.storage.k8s.io \"wait\" not found",
        ),
        (
            vec![object(claim("a")), object(class("wait", None, "csi"))],
            "VolumeBindingMode not set for StorageClass \"wait\"",
        ),
        (
            vec![object(claim("a")), object(class("wait", Some(false), "csi"))],
            "PersistentVolume had no name",
        ),
        (vec![object(claim("a")), object(class("wait", Some(true), "csi"))], ""),
        (unlabelled().into(), ""),
        (vec![object(bound("a", "v")), object(odd_label)], ""),
    ] {
        let mut scene = Scene::new(MINORS[2], &[&[(ZONE, "a")]]).with(objects);
        let said = scene.judge(&PLUGIN, &pod([uses("a")]));
        let expected = match expected {
            "" => "skip\nn0 ok\nVolumeBinding [0]".to_owned(),
            why => format!("UnschedulableAndUnresolvable VolumeZone: {why}"),
        };
        assert_eq!(said, expected);
    }
}
