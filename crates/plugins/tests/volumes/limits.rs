//! NodeVolumeLimits. Source: `pkg/scheduler/framework/plugins/nodevolumelimits/csi_test.go`.

use crate::scene::*;
use muster_framework::record::PodVolume;
use muster_framework::rules::KubeMinor;
use muster_framework::volume::{ClaimRecord, CsiNodeRecord, StorageObject, VolumeRecord, VolumeSource};

const PLUGIN: [&str; 1] = ["NodeVolumeLimits"];
const TOO_MANY: &str = "n0 Unschedulable NodeVolumeLimits: node(s) exceed max volume count";
const EBS: (&str, &str) = ("kubernetes.io/aws-ebs", "ebs.csi.aws.com");
const PORTWORX: (&str, &str) = ("kubernetes.io/portworx-volume", "pxd.portworx.com");

/// Bound claims `a`, `b`, `c` with volumes of driver `csi`, and class `wait` of that driver.
fn cluster() -> Vec<StorageObject> {
    let mut objects = vec![object(class("wait", Some(true), "csi"))];
    for name in ["a", "b", "c"] {
        objects.extend([
            object(bound(name, &format!("v{name}"))),
            object(volume(&format!("v{name}"))),
        ]);
    }
    objects.extend(["u", "w"].map(|name| object(claim(name))));
    objects
}

fn says(scene: &mut Scene, volumes: impl IntoIterator<Item = PodVolume>) -> String {
    let said = scene.judge(&PLUGIN, &pod(volumes));
    said.lines()
        .filter(|line| !line.starts_with("VolumeBinding"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn distinct_volumes_of_a_driver_are_counted_on_the_node() {
    let two = || csi_node("n0", &[("csi", Some(2)), ("other", Some(0))]);
    for (placed, wanted, fits) in [
        (vec![], vec![uses("a"), uses("b")], true),
        (vec![], vec![uses("a"), uses("b"), uses("c")], false),
        (vec![uses("a")], vec![uses("b")], true),
        (vec![uses("a"), uses("b")], vec![uses("c")], false),
        (vec![uses("a"), uses("b")], vec![uses("a")], true),
        (vec![uses("a"), uses("a")], vec![uses("b")], true),
        (vec![uses("a"), uses("gone")], vec![uses("b")], true),
        (vec![uses("a"), uses("u")], vec![uses("b")], false),
        (vec![uses("a"), uses("u")], vec![uses("u")], true),
        (vec![uses("u"), uses("w")], vec![uses("a")], false),
        (vec![ephemeral("a"), uses("b")], vec![uses("c")], false),
    ] {
        let mut scene = Scene::new(MINORS[0], &[&[]])
            .with(cluster())
            .with([object(two())])
            .with_pod(0, placed.clone());
        let expected = if fits { "n0 ok" } else { TOO_MANY };
        assert_eq!(
            says(&mut scene, wanted.clone()),
            expected,
            "{wanted:?} beside {placed:?}"
        );
    }
}

#[test]
fn without_a_limit_there_is_none() {
    for node in [None, Some(csi_node("n0", &[])), Some(csi_node("n0", &[("csi", None)]))] {
        let mut scene = Scene::new(MINORS[0], &[&[]]).with(cluster()).with(node.map(object));
        assert_eq!(says(&mut scene, [uses("a"), uses("b")]), "n0 ok");
    }
    let mut scene = Scene::new(MINORS[0], &[&[]]).with([object(csi_node("n0", &[("csi", Some(0))]))]);
    assert_eq!(says(&mut scene, []), "skip\nn0 ok");
}

#[test]
fn attachments_count_beside_what_pods_use_and_twice_when_they_are_of_the_pod_itself() {
    for (limit, attached, placed, wanted, fits) in [
        (2, vec!["va"], vec![], "b", true),
        (1, vec!["va"], vec![], "b", false),
        (2, vec!["va"], vec![uses("a")], "b", true),
        // The volume is attached, and yet counted as a new one.
        (1, vec!["va"], vec![], "a", false),
        (2, vec!["va"], vec![], "a", true),
        (1, vec!["missing"], vec![], "a", true),
        (2, vec!["va", "va"], vec![], "b", true),
    ] {
        let attachments = attached.iter().enumerate();
        let attachments = attachments.map(|(at, volume)| attachment(&format!("at{at}"), "csi", "n0", volume));
        let mut scene = Scene::new(MINORS[0], &[&[]])
            .with([object(csi_node("n0", &[("csi", Some(limit))]))])
            .with(attachments)
            .with(cluster())
            .with_pod(0, placed.clone());
        let expected = if fits { "n0 ok" } else { TOO_MANY };
        assert_eq!(
            says(&mut scene, [uses(wanted)]),
            expected,
            "{wanted} with {attached:?}, {placed:?}, {limit}"
        );
    }
}

#[test]
fn in_tree_volumes_count_where_they_are_migrated() {
    let in_tree_volume = |name: &str, (plugin, driver): (&str, &str)| VolumeRecord {
        in_tree: plugin.into(),
        source: VolumeSource::Csi {
            driver: driver.into(),
            handle: name.into(),
        },
        ..volume(name)
    };
    let migrated = |node: CsiNodeRecord| CsiNodeRecord {
        migrated_plugins: Box::new([PORTWORX.0.into()]),
        ..node
    };
    for (what, node, minor, counts) in [
        (EBS, csi_node("n0", &[(EBS.1, Some(1))]), KubeMinor::V1_35, true),
        (EBS, csi_node("n0", &[("csi", Some(1))]), KubeMinor::V1_35, false),
        (
            PORTWORX,
            csi_node("n0", &[(PORTWORX.1, Some(1))]),
            KubeMinor::V1_35,
            false,
        ),
        (
            PORTWORX,
            migrated(csi_node("n0", &[(PORTWORX.1, Some(1))])),
            KubeMinor::V1_35,
            true,
        ),
        (
            PORTWORX,
            csi_node("n0", &[(PORTWORX.1, Some(1))]),
            KubeMinor::V1_36,
            true,
        ),
    ] {
        let mut scene = Scene::new(minor, &[&[]])
            .with([
                object(node),
                object(bound("x", "v1")),
                object(in_tree_volume("v1", what)),
            ])
            .with_pod(0, [in_tree(what.0, what.1, "v2")]);
        let expected = if counts { TOO_MANY } else { "n0 ok" };
        assert_eq!(says(&mut scene, [uses("x")]), expected, "{what:?} in {minor}");
        assert_eq!(
            says(&mut scene, [in_tree(what.0, what.1, "v2")]),
            "n0 ok",
            "the same volume"
        );
        assert_eq!(says(&mut scene, [in_tree(what.0, what.1, "v3")]), expected);
    }
}

#[test]
fn claims_of_a_migrated_provisioner_count_for_its_driver() {
    let mut scene = Scene::new(MINORS[0], &[&[]]).with([
        object(csi_node("n0", &[(EBS.1, Some(1))])),
        object(class("wait", Some(true), EBS.0)),
        object(claim("u")),
        object(claim("w")),
    ]);
    assert_eq!(says(&mut scene, [uses("u")]), "n0 ok");
    assert_eq!(says(&mut scene, [uses("u"), uses("w")]), TOO_MANY);
}

#[test]
fn from_1_37_a_driver_can_keep_pods_off_nodes_that_it_is_not_on() {
    for (minor, prevents, drivers, missing) in [
        (KubeMinor::V1_36, true, Some(vec![]), false),
        (KubeMinor::V1_37, true, Some(vec![]), true),
        (KubeMinor::V1_37, true, None, true),
        (KubeMinor::V1_37, false, None, false),
        (KubeMinor::V1_37, true, Some(vec![("csi", None)]), false),
    ] {
        let node = drivers.clone().map(|drivers| object(csi_node("n0", &drivers)));
        let mut scene = Scene::new(minor, &[&[]])
            .with(cluster())
            .with(node)
            .with([csi_driver("csi", false, prevents)]);
        let expected = if missing {
            "n0 Unschedulable NodeVolumeLimits: csi CSI driver is not installed on the node"
        } else {
            "n0 ok"
        };
        assert_eq!(
            says(&mut scene, [uses("a")]),
            expected,
            "{minor} {prevents} {drivers:?}"
        );
        assert_eq!(
            says(&mut scene, [uses("u")]),
            expected,
            "for a volume that is to be made"
        );
    }
}

#[test]
fn claims_that_cannot_be_counted_are_said_of_each_node() {
    let other = ClaimRecord {
        owner_pod: "another-uid".into(),
        ..claim("e")
    };
    let own = ClaimRecord {
        owner_pod: "pod-uid".into(),
        ..claim("o")
    };
    let mut scene = Scene::new(MINORS[1], &[&[]]).with([object(other), object(own)]);
    for (wanted, expected) in [
        (
            uses("gone"),
            "n0 UnschedulableAndUnresolvable NodeVolumeLimits: looking up PVC ns/gone: persistentvolumeclaim \"gone\" not found",
        ),
        (
            ephemeral("e"),
            "n0 Error NodeVolumeLimits: running \"NodeVolumeLimits\" filter plugin: PVC ns/e was not created for pod ns/pod (pod is not owner)",
        ),
        (ephemeral("o"), "n0 ok"),
        (
            uses(""),
            "n0 Error NodeVolumeLimits: running \"NodeVolumeLimits\" filter plugin: PersistentVolumeClaim had no name",
        ),
    ] {
        assert_eq!(says(&mut scene, [wanted]), expected);
    }
}
