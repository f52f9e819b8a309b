//! Which volume a claim finds. Source: `k8s.io/component-helpers/storage/volume.FindMatchingVolume` and its tests.

use crate::scene::*;
use muster_framework::compiled::CompiledSpec;
use muster_framework::labels::Labels;
use muster_framework::selector::LabelSelector;
use muster_framework::table::NodeOrd;
use muster_framework::view::{Delta, View};
use muster_framework::volume::{AccessModes, Bindings, ClaimRecord, VolumePhase, VolumeRecord};
use muster_plugins::volume_binding::plan_bindings;

fn plan(scene: &mut Scene, pod: &Pod, node: u32) -> Bindings {
    let compiled = CompiledSpec::compile(&pod.spec, &mut scene.table);
    let (labels, delta) = (Labels::default(), Delta::default());
    plan_bindings(
        &to_place(pod, &compiled, &labels),
        &View::new(&scene.table, &delta),
        NodeOrd(node),
    )
}

/// Which volume claim `a` finds on a node with `zone: a`, or `made`.
fn found(claim: ClaimRecord, volumes: impl IntoIterator<Item = VolumeRecord>) -> String {
    let mut scene = Scene::new(MINORS[0], &[&[("zone", "a")]])
        .with([object(claim), object(class("wait", Some(true), "csi"))])
        .with(volumes.into_iter().map(object));
    let plan = plan(&mut scene, &pod([uses("a")]), 0);
    match (&plan.volumes[..], &plan.provision[..]) {
        ([binding], []) => binding.volume.to_string(),
        ([], [_]) => "made".to_owned(),
        other => panic!("{other:?}"),
    }
}

fn sized(name: &str, capacity: i64) -> VolumeRecord {
    VolumeRecord {
        capacity,
        ..volume(name)
    }
}

#[test]
fn the_smallest_that_is_large_enough() {
    let volumes = || {
        [
            sized("large", 30),
            sized("fits", 12),
            sized("small", 9),
            sized("also", 12),
        ]
    };
    assert_eq!(found(claim("a"), volumes()), "also", "of equals the first by name");
    assert_eq!(found(claim("a"), [sized("small", 9)]), "made");
}

#[test]
fn what_keeps_a_volume_from_a_claim() {
    type Change = fn(&mut VolumeRecord);
    let changes: [(&str, Change); 11] = [
        ("no difference", |_| {}),
        ("another class", |v| v.storage_class = "other".into()),
        ("a block device", |v| v.block = true),
        ("other attributes", |v| v.attributes_class = "fast".into()),
        ("being deleted", |v| v.terminating = true),
        ("not available yet", |v| v.phase = VolumePhase::Pending),
        ("elsewhere", |v| v.node_affinity = Some(only_on("zone", &["b"]))),
        ("other modes", |v| v.access_modes = AccessModes::default()),
        ("for another claim", |v| v.claim = reserved_for("b", "")),
        ("for an older claim of the name", |v| v.claim = reserved_for("a", "old")),
        ("too small", |v| v.capacity = 1),
    ];
    for (what, change) in changes {
        let mut changed = volume("v");
        change(&mut changed);
        let expected = if what == "no difference" { "v" } else { "made" };
        assert_eq!(found(claim("a"), [changed]), expected, "{what}");
    }
}

#[test]
fn a_selector_is_asked() {
    let chooses = ClaimRecord {
        selector: Some(LabelSelector {
            requirements: Box::new([requires("disk", &["ssd"])]),
        }),
        ..claim("a")
    };
    let ssd = VolumeRecord {
        labels: [("disk", "ssd")].into_iter().collect(),
        capacity: 50,
        ..volume("ssd")
    };
    assert_eq!(found(chooses.clone(), [volume("plain"), ssd]), "ssd");
    assert_eq!(found(chooses, [volume("plain")]), "made");
}

#[test]
fn a_volume_reserved_for_the_claim_goes_before_all_and_only_where_it_is() {
    let reserved = |uid: &str| VolumeRecord {
        claim: reserved_for("a", uid),
        capacity: 50,
        phase: VolumePhase::Pending,
        ..volume("reserved")
    };
    assert_eq!(found(claim("a"), [volume("v"), reserved("")]), "reserved");
    assert_eq!(found(claim("a"), [volume("v"), reserved("a-uid")]), "reserved");
    let elsewhere = VolumeRecord {
        node_affinity: Some(only_on("zone", &["b"])),
        ..reserved("")
    };
    assert_eq!(
        found(claim("a"), [volume("v"), elsewhere]),
        "made",
        "not the other volume"
    );
    let too_small = VolumeRecord {
        capacity: 1,
        ..reserved("")
    };
    assert_eq!(found(claim("a"), [volume("v"), too_small]), "v");
}

#[test]
fn claims_of_a_pod_take_different_volumes_smallest_first() {
    let large = ClaimRecord {
        request: 20,
        ..claim("large")
    };
    let mut scene = Scene::new(MINORS[0], &[&[]])
        .with([
            object(large),
            object(claim("small")),
            object(class("wait", Some(true), "")),
        ])
        .with([object(sized("v15", 15)), object(sized("v25", 25))]);
    let plan = plan(&mut scene, &pod([uses("large"), uses("small")]), 0);
    let pairs: Vec<(&str, &str)> = plan.volumes.iter().map(|b| (&*b.claim.name, &*b.volume)).collect();
    assert_eq!(pairs, [("small", "v15"), ("large", "v25")]);
}

#[test]
fn what_has_to_be_written() {
    let user_reserved = VolumeRecord {
        claim: reserved_for("a", ""),
        ..volume("v")
    };
    let complete = VolumeRecord {
        claim: reserved_for("a", "a-uid"),
        ..volume("v")
    };
    for (volume, write, mark) in [
        (volume("v"), true, true),
        (user_reserved, true, false),
        (complete, false, false),
    ] {
        let mut scene = Scene::new(MINORS[0], &[&[]]).with([
            object(claim("a")),
            object(class("wait", Some(true), "")),
            object(volume),
        ]);
        let plan = plan(&mut scene, &pod([uses("a")]), 0);
        let binding = &plan.volumes[0];
        assert_eq!((binding.write, binding.mark_bound_by_controller), (write, mark));
        assert_eq!((&*binding.claim_uid, &*plan.node), ("a-uid", "n0"));
    }
}
