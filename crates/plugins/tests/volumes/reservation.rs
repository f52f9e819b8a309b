//! Assumed bindings: who sees them, when they end, and how far they have come.
//! Source: `volumeBinder.{AssumePodVolumes,RevertAssumedPodVolumes,checkBindings}` and `passive_assume_cache.go`.

use crate::scene::*;
use muster_framework::Text;
use muster_framework::record::{ClaimKey, Kind};
use muster_framework::volume::{
    BindingState, Bindings, ClaimRecord, Provision, StaticBinding, StorageObject, VolumeRecord,
};

const PLUGIN: [&str; 1] = ["VolumeBinding"];
const NOT_FOUND: &str =
    "n0 UnschedulableAndUnresolvable VolumeBinding: node(s) didn't find available persistent volumes to bind";

/// One node, claims `a` and `b`, one volume, and no way to make another.
fn scene() -> Scene {
    Scene::new(MINORS[0], &[&[("zone", "a")]]).with([
        object(claim("a")),
        object(claim("b")),
        object(class("wait", Some(true), "")),
        object(volume("v")),
    ])
}

fn binding(volume: &str, claim: &str) -> Bindings {
    Bindings {
        node: "n0".into(),
        volumes: vec![StaticBinding {
            volume: volume.into(),
            volume_version: 1,
            claim: key(claim),
            claim_uid: format!("{claim}-uid").into(),
            claim_version: 1,
            write: true,
            mark_bound_by_controller: true,
        }],
        provision: vec![],
    }
}

fn provision(claim: &str) -> Bindings {
    Bindings {
        node: "n0".into(),
        volumes: vec![],
        provision: vec![Provision {
            claim: key(claim),
            claim_version: 1,
            write: true,
        }],
    }
}

fn owner() -> Text {
    "owner".into()
}

fn can_be_bound(scene: &mut Scene, claim: &str) -> bool {
    match &*scene.judge(&PLUGIN, &pod([uses(claim)])) {
        "n0 ok" => true,
        NOT_FOUND => false,
        other => panic!("{other}"),
    }
}

fn show(scene: &mut Scene, shown: StorageObject) {
    scene.table.volumes_mut().apply(shown);
}

#[test]
fn an_assumed_volume_is_the_claims_own_and_nobody_elses() {
    let mut scene = scene();
    assert!(can_be_bound(&mut scene, "a") && can_be_bound(&mut scene, "b"));
    scene.table.volumes_mut().assume(&owner(), binding("v", "a"));
    assert!(can_be_bound(&mut scene, "a") && !can_be_bound(&mut scene, "b"));
    let freed = scene.table.volumes_mut().forget("owner");
    assert_eq!(
        freed.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [Kind::PersistentVolume]
    );
    assert!(can_be_bound(&mut scene, "a") && can_be_bound(&mut scene, "b"));
    assert!(scene.table.volumes_mut().forget("owner").is_empty());
}

#[test]
fn what_was_written_stays_assumed_until_the_watch_shows_it() {
    let mut scene = scene();
    scene.table.volumes_mut().assume(&owner(), binding("v", "a"));
    scene.table.volumes_mut().volume_written("owner", "v", 5);
    assert!(scene.table.volumes_mut().forget("owner").is_empty());
    assert!(!can_be_bound(&mut scene, "b"), "it is written after all");
    let shown = |resource_version, claim| VolumeRecord {
        resource_version,
        claim,
        ..volume("v")
    };
    show(&mut scene, object(shown(4, None)));
    assert!(!can_be_bound(&mut scene, "b"), "older than what was written");
    show(&mut scene, object(shown(6, None)));
    assert!(can_be_bound(&mut scene, "b"), "the watch knows better");
}

#[test]
fn the_watch_overrides_what_is_assumed_and_not_written() {
    let mut scene = scene();
    scene.table.volumes_mut().assume(&owner(), binding("v", "a"));
    show(&mut scene, object(volume("v")));
    assert!(!can_be_bound(&mut scene, "b"), "the same version again");
    let newer = VolumeRecord {
        resource_version: 2,
        ..volume("v")
    };
    show(&mut scene, object(newer));
    assert!(can_be_bound(&mut scene, "b"));
    scene.table.volumes_mut().assume(&owner(), binding("v", "a"));
    scene.table.volumes_mut().remove(Kind::PersistentVolume, "", "v");
    show(&mut scene, object(volume("v")));
    assert!(can_be_bound(&mut scene, "b"), "it was another volume of that name");
}

#[test]
fn two_pods_that_rely_on_one_claim_do_not_free_it_for_each_other() {
    let mut scene = scene();
    scene.table.volumes_mut().assume(&owner(), binding("v", "a"));
    scene.table.volumes_mut().assume(&"second".into(), binding("v", "a"));
    assert!(scene.table.volumes_mut().forget("owner").is_empty());
    assert!(!can_be_bound(&mut scene, "b"));
    assert_eq!(scene.table.volumes_mut().forget("second").len(), 1);
    assert!(can_be_bound(&mut scene, "b"));
}

#[test]
fn a_claim_that_is_assumed_to_be_made_on_a_node_goes_nowhere_else() {
    let mut scene =
        Scene::new(MINORS[0], &[&[], &[]]).with([object(claim("a")), object(class("wait", Some(true), "csi"))]);
    scene.table.volumes_mut().assume(&owner(), provision("a"));
    let said = scene.judge(&PLUGIN, &pod([uses("a")]));
    assert!(said.starts_with("n0 ok\nn1 Unschedulable"), "{said}");
    let unchanged = ClaimRecord {
        resource_version: 2,
        ..claim("a")
    };
    show(&mut scene, object(unchanged));
    assert_eq!(scene.judge(&PLUGIN, &pod([uses("a")])), "n0 ok\nn1 ok");
}

fn failed(why: &str) -> BindingState {
    BindingState::Failed(why.into())
}

#[test]
fn a_binding_is_done_when_the_claim_is_bound_to_a_volume_that_fits() {
    let written = || VolumeRecord {
        resource_version: 5,
        claim: reserved_for("a", "a-uid"),
        ..volume("v")
    };
    let unfit = VolumeRecord {
        node_affinity: Some(only_on("zone", &["b"])),
        ..written()
    };
    let reset = VolumeRecord {
        claim: None,
        resource_version: 6,
        ..volume("v")
    };
    let done = || object(bound("a", "v"));
    for (shown, expected) in [
        (vec![], BindingState::Waiting),
        (vec![done()], BindingState::Waiting),
        (vec![object(written())], BindingState::Waiting),
        (vec![object(written()), done()], BindingState::Done),
        (
            vec![object(unfit), done()],
            failed("pv \"v\" node affinity doesn't match node \"n0\": no matching NodeSelectorTerms"),
        ),
        (vec![object(reset), done()], failed("ClaimRef got reset for pv \"v\"")),
    ] {
        let mut scene = scene();
        scene.table.volumes_mut().assume(&owner(), binding("v", "a"));
        assert_eq!(
            scene.table.binding_state("owner"),
            BindingState::Waiting,
            "not written yet"
        );
        scene.table.volumes_mut().volume_written("owner", "v", 5);
        shown.into_iter().for_each(|shown| show(&mut scene, shown));
        assert_eq!(scene.table.binding_state("owner"), expected);
    }
    let mut scene = scene();
    scene.table.volumes_mut().assume(&owner(), binding("v", "a"));
    scene.table.volumes_mut().volume_written("owner", "v", 5);
    let gone = |scene: &mut Scene, kind, namespace, name| scene.table.volumes_mut().remove(kind, namespace, name);
    gone(&mut scene, Kind::PersistentVolume, "", "v");
    assert_eq!(
        scene.table.binding_state("owner"),
        failed("failed to check binding: persistentvolumes \"v\" not found")
    );
    show(&mut scene, object(written()));
    gone(&mut scene, Kind::PersistentVolumeClaim, "ns", "a");
    assert_eq!(
        scene.table.binding_state("owner"),
        failed("failed to check binding: persistentvolumeclaims \"ns/a\" not found")
    );
    assert_eq!(scene.table.binding_state("nobody"), BindingState::Done);
}

#[test]
fn a_volume_is_made_when_the_claim_keeps_its_node_and_gets_one_that_fits() {
    let selected = |node: &str| ClaimRecord {
        resource_version: 5,
        selected_node: node.into(),
        ..claim("a")
    };
    let done = || ClaimRecord {
        resource_version: 6,
        selected_node: "n0".into(),
        ..bound("a", "made")
    };
    let unfit = VolumeRecord {
        node_affinity: Some(only_on("zone", &["b"])),
        ..volume("made")
    };
    for (shown, expected) in [
        (vec![], BindingState::Waiting),
        (vec![object(selected("n0"))], BindingState::Waiting),
        (vec![object(selected(""))], failed("provisioning failed for PVC \"a\"")),
        (
            vec![object(selected("n7"))],
            failed("provisioning failed for PVC \"a\""),
        ),
        (vec![object(done())], BindingState::Waiting),
        (vec![object(done()), object(volume("made"))], BindingState::Done),
        (
            vec![object(done()), object(unfit)],
            failed("pv \"made\" node affinity doesn't match node \"n0\": no matching NodeSelectorTerms"),
        ),
    ] {
        let mut scene = scene();
        scene.table.volumes_mut().assume(&owner(), provision("a"));
        assert_eq!(
            scene.table.binding_state("owner"),
            BindingState::Waiting,
            "not written yet"
        );
        let a: ClaimKey = key("a");
        scene.table.volumes_mut().claim_written("owner", &a, 5);
        shown.into_iter().for_each(|shown| show(&mut scene, shown));
        assert_eq!(scene.table.binding_state("owner"), expected);
    }
}
