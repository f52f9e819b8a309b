//! VolumeRestrictions. Source: `pkg/scheduler/framework/plugins/volumerestrictions/volume_restrictions_test.go`.

use crate::scene::*;
use muster_framework::record::PodVolume;
use muster_framework::volume::{AccessModes, ClaimRecord};

const PLUGIN: [&str; 1] = ["VolumeRestrictions"];
const NO_DISK: &str = "Unschedulable VolumeRestrictions: node(s) had no available disk";
const IN_USE: &str = "Unschedulable VolumeRestrictions: node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";

fn gce(name: &str, read_only: bool) -> PodVolume {
    PodVolume::GcePersistentDisk {
        name: name.into(),
        read_only,
    }
}

fn aws(id: &str, read_only: bool) -> PodVolume {
    PodVolume::AwsElasticBlockStore {
        id: id.into(),
        read_only,
    }
}

fn iscsi(iqn: &str, read_only: bool) -> PodVolume {
    PodVolume::Iscsi {
        iqn: iqn.into(),
        read_only,
    }
}

fn rbd(monitors: &[&str], pool: &str, image: &str, read_only: bool) -> PodVolume {
    PodVolume::Rbd {
        monitors: monitors.iter().map(|monitor| (*monitor).into()).collect(),
        pool: pool.into(),
        image: image.into(),
        read_only,
    }
}

fn one_pod_only(name: &str) -> ClaimRecord {
    ClaimRecord {
        access_modes: AccessModes {
            read_write_once_pod: true,
            ..AccessModes::default()
        },
        ..bound(name, "v")
    }
}

#[test]
fn disks_exclude_each_other_unless_both_only_read() {
    for (wanted, used, conflict) in [
        (gce("a", false), gce("a", false), true),
        (gce("a", true), gce("a", false), true),
        (gce("a", true), gce("a", true), false),
        (gce("a", false), gce("b", false), false),
        (aws("a", true), aws("a", true), true),
        (aws("a", false), aws("b", false), false),
        (aws("a", false), gce("a", false), false),
        (iscsi("a", false), iscsi("a", true), true),
        (iscsi("a", true), iscsi("a", true), false),
        (rbd(&["m", "n"], "p", "i", false), rbd(&["n"], "p", "i", true), true),
        (rbd(&["m"], "p", "i", false), rbd(&["n"], "p", "i", false), false),
        (rbd(&["m"], "p", "i", false), rbd(&["m"], "q", "i", false), false),
        (rbd(&["m"], "p", "i", true), rbd(&["m"], "p", "i", true), false),
    ] {
        let mut scene = Scene::new(MINORS[0], &[&[], &[]]).with_pod(1, [used.clone()]);
        let on_n1 = if conflict { NO_DISK } else { "ok" };
        let said = scene.judge(&PLUGIN, &pod([wanted.clone()]));
        assert_eq!(said, format!("n0 ok\nn1 {on_n1}"), "{wanted:?} beside {used:?}");
    }
}

#[test]
fn a_claim_for_one_pod_bars_all_nodes_while_it_is_in_use_anywhere() {
    let objects = || [object(one_pod_only("a")), object(bound("b", "v"))];
    for (used, wanted, expected) in [
        (uses("a"), uses("a"), format!("n0 {IN_USE}\nn1 {IN_USE}")),
        (uses("b"), uses("b"), "skip\nn0 ok\nn1 ok".to_owned()),
        (uses("b"), uses("a"), "skip\nn0 ok\nn1 ok".to_owned()),
        // Claims of ephemeral volumes are nobody else's.
        (ephemeral("a"), uses("a"), "skip\nn0 ok\nn1 ok".to_owned()),
        (uses("a"), ephemeral("a"), "skip\nn0 ok\nn1 ok".to_owned()),
    ] {
        let mut scene = Scene::new(MINORS[0], &[&[], &[]])
            .with(objects())
            .with_pod(1, [used.clone()]);
        assert_eq!(
            scene.judge(&PLUGIN, &pod([wanted.clone()])),
            expected,
            "{wanted:?} beside {used:?}"
        );
    }
}

#[test]
fn a_disk_is_blamed_before_a_claim() {
    let mut scene = Scene::new(MINORS[0], &[&[], &[]])
        .with([object(one_pod_only("a"))])
        .with_pod(1, [uses("a"), gce("d", false)]);
    let said = scene.judge(&PLUGIN, &pod([uses("a"), gce("d", false)]));
    assert_eq!(said, format!("n0 {IN_USE}\nn1 {NO_DISK}"));
}

#[test]
fn a_claim_that_is_not_there_bars_the_pod() {
    let mut scene = Scene::new(MINORS[0], &[&[]]);
    let said = scene.judge(&PLUGIN, &pod([gce("d", false), uses("a")]));
    assert_eq!(
        said,
        "UnschedulableAndUnresolvable VolumeRestrictions: persistentvolumeclaim \"a\" not found"
    );
    assert_eq!(scene.judge(&PLUGIN, &pod([ephemeral("a")])), "skip\nn0 ok");
    assert_eq!(scene.judge(&PLUGIN, &pod([])), "skip\nn0 ok");
}
