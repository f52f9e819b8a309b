//! Volumes in the engine: written before the bind, waited for with an end, and a gang departs as a whole or not at all.

mod world;

use muster_engine::{EffectKind, Object, Outcome, Stage, Subject};
use muster_framework::labels::Labels;
use muster_framework::record::{ClaimKey, Kind, PodRecord, PodVolume};
use muster_framework::volume::{
    AccessModes, ClaimPhase, ClaimRecord, StorageClassRecord, StorageObject, VolumeClaimRef, VolumePhase, VolumeRecord,
    VolumeSource,
};
use std::sync::Arc;
use std::time::Duration;
use world::{World, gang, member, node, pod, workload};

const MODES: AccessModes = AccessModes {
    read_write_once: true,
    read_only_many: false,
    read_write_many: false,
    read_write_once_pod: false,
};

fn key(name: &str) -> ClaimKey {
    ClaimKey {
        namespace: "default".into(),
        name: name.into(),
    }
}

fn class(name: &str, provisioner: &str) -> Object {
    Object::Storage(StorageObject::Class(StorageClassRecord {
        name: name.into(),
        resource_version: 1,
        provisioner: provisioner.into(),
        wait_for_first_consumer: Some(true),
        allowed_topologies: Box::default(),
    }))
}

fn claim(name: &str, class: &str) -> ClaimRecord {
    ClaimRecord {
        key: key(name),
        uid: format!("uid-{name}").into(),
        resource_version: 10,
        terminating: false,
        owner_pod: "".into(),
        volume: "".into(),
        storage_class: Some(class.into()),
        attributes_class: "".into(),
        access_modes: MODES,
        block: false,
        request: 1 << 30,
        selector: None,
        phase: ClaimPhase::Pending,
        bind_completed: false,
        selected_node: "".into(),
    }
}

fn volume(name: &str, class: &str) -> VolumeRecord {
    VolumeRecord {
        name: name.into(),
        uid: format!("uid-{name}").into(),
        resource_version: 20,
        labels: Labels::default(),
        terminating: false,
        capacity: 1 << 30,
        access_modes: MODES,
        block: false,
        storage_class: class.into(),
        attributes_class: "".into(),
        node_affinity: None,
        migrated_node_affinity: None,
        claim: None,
        phase: VolumePhase::Available,
        source: VolumeSource::Other,
        in_tree: "".into(),
        bound_by_controller: false,
    }
}

fn put_claim(world: &mut World, claim: ClaimRecord) {
    world.apply(Object::Storage(StorageObject::Claim(Box::new(claim))));
}

fn put_volume(world: &mut World, volume: VolumeRecord) {
    world.apply(Object::Storage(StorageObject::Volume(Box::new(volume))));
}

/// The volume controller's part: a volume that is bound to the claim, and the claim that is bound to it.
fn bind_claim(world: &mut World, name: &str, class: &str, version: u64) {
    let volume_name = format!("pv-{name}");
    put_volume(
        world,
        VolumeRecord {
            resource_version: version,
            phase: VolumePhase::Bound,
            claim: Some(VolumeClaimRef {
                claim: key(name),
                uid: format!("uid-{name}").into(),
            }),
            ..volume(&volume_name, class)
        },
    );
    put_claim(
        world,
        ClaimRecord {
            resource_version: version + 1,
            volume: volume_name.into(),
            phase: ClaimPhase::Bound,
            bind_completed: true,
            selected_node: "n1".into(),
            ..claim(name, class)
        },
    );
}

fn with_claim(mut pod: PodRecord, claim: &str) -> PodRecord {
    Arc::make_mut(&mut pod.spec).volumes = Box::new([PodVolume::Claim {
        claim: key(claim),
        ephemeral: false,
    }]);
    pod
}

fn binds(world: &World) -> usize {
    let is_bind = |kind: &EffectKind| matches!(kind, EffectKind::Bind { .. });
    world.effects.iter().filter(|effect| is_bind(&effect.kind)).count()
}

#[test]
fn a_claim_is_told_its_node_and_the_pod_is_bound_when_the_volume_is_there() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("fast", "csi.example.com"));
    put_claim(&mut world, claim("data", "fast"));
    world.pod(with_claim(pod("web", 100), "data"));
    world.run();
    let told: Vec<String> = world
        .effects
        .iter()
        .filter_map(|effect| match &effect.kind {
            EffectKind::SelectNode {
                claim,
                claim_version,
                node,
                ..
            } => Some(format!("{}@{claim_version} {node}", claim.name)),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["data@10 n1"]);
    assert_eq!(binds(&world), 0, "there is no volume yet");
    put_claim(
        &mut world,
        ClaimRecord {
            resource_version: 11,
            selected_node: "n1".into(),
            ..claim("data", "fast")
        },
    );
    world.advance(Duration::from_secs(60));
    assert_eq!(binds(&world), 0);
    bind_claim(&mut world, "data", "fast", 30);
    world.run();
    assert_eq!(world.bound()["web"], "n1");
}

#[test]
fn a_volume_that_is_never_made_ends_the_wait_and_the_place_is_given_back() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("fast", "csi.example.com"));
    put_claim(&mut world, claim("data", "fast"));
    world.pod(with_claim(pod("web", 800), "data"));
    world.run();
    world.advance(Duration::from_secs(599));
    assert!(
        world.condition("web").is_none(),
        "it waits for as long as bindTimeoutSeconds says"
    );
    world.advance(Duration::from_millis(1500));
    let (reason, message) = world.condition("web").expect("it is told");
    assert_eq!(
        (&*reason, &*message),
        ("SchedulerError", "binding volumes: context deadline exceeded")
    );
    assert_eq!(binds(&world), 0);
    // The room is free for others until it is tried again.
    world.pod(pod("other", 800));
    world.run();
    assert_eq!(world.bound()["other"], "n1");
}

#[test]
fn a_volume_that_somebody_else_took_fails_the_attempt() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("local", "kubernetes.io/no-provisioner"));
    put_volume(&mut world, volume("pv1", "local"));
    put_claim(&mut world, claim("data", "local"));
    world.pod(with_claim(pod("web", 100), "data"));
    let effects = world.poll();
    let [effect] = &effects[..] else { panic!("{effects:?}") };
    let EffectKind::ReserveVolume {
        volume, volume_version, ..
    } = &effect.kind
    else {
        panic!("{effect:?}")
    };
    assert_eq!((&**volume, *volume_version), ("pv1", 20));
    let message = "the object has been modified".into();
    world.done(effect.id, Outcome::WriteFailed { message });
    world.run();
    let (reason, message) = world.condition("web").expect("it is told");
    assert_eq!(reason, "SchedulerError");
    assert_eq!(
        message,
        "binding volumes: writing persistentvolume \"pv1\": the object has been modified"
    );
    assert_eq!(binds(&world), 0);
}

#[test]
fn members_of_a_gang_take_different_volumes() {
    let mut world = World::new(&[node("n1", 1000), node("n2", 1000)]);
    world.apply(class("local", "kubernetes.io/no-provisioner"));
    put_volume(&mut world, volume("pv1", "local"));
    put_volume(&mut world, volume("pv2", "local"));
    world.workload(workload("train", &[("w", gang(2))]));
    for n in ["a", "b"] {
        put_claim(&mut world, claim(n, "local"));
        world.pod(with_claim(member(n, 100, "train", "w", ""), n));
    }
    world.run();
    let mut taken: Vec<String> = world
        .effects
        .iter()
        .filter_map(|effect| match &effect.kind {
            EffectKind::ReserveVolume { volume, .. } => Some(volume.to_string()),
            _ => None,
        })
        .collect();
    taken.sort();
    assert_eq!(taken, ["pv1", "pv2"]);
}

#[test]
fn a_gang_with_a_volume_that_is_never_made_binds_none_of_its_members() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("fast", "csi.example.com"));
    world.workload(workload("train", &[("w", gang(3))]));
    for n in ["a", "b"] {
        put_claim(&mut world, claim(n, "fast"));
        world.pod(with_claim(member(n, 100, "train", "w", ""), n));
    }
    world.pod(member("c", 100, "train", "w", ""));
    world.run();
    bind_claim(&mut world, "a", "fast", 30);
    world.run();
    assert_eq!(binds(&world), 0, "c needs no volume and a has its own, but b has none");
    world.advance(Duration::from_secs(601));
    assert_eq!(binds(&world), 0);
    for name in ["a", "b", "c"] {
        assert_eq!(world.condition(name).expect("it is told").0, "SchedulerError", "{name}");
    }
    bind_claim(&mut world, "b", "fast", 40);
    world.advance(Duration::from_secs(20));
    assert_eq!(world.bound().len(), 3, "with the last volume all of it goes");
}

/// The stage, the reason and the cause of pods `a` and `b`, and of their gang.
fn explained(world: &mut World) -> [(Stage, String, String); 3] {
    let pod = |name: &str| Subject::Pod {
        namespace: "default".into(),
        name: name.into(),
    };
    let gang = Subject::Group {
        namespace: "default".into(),
        name: "train/w".into(),
    };
    [pod("a"), pod("b"), gang].map(|subject| {
        let said = world.engine.explain(world.now, &subject).expect("it is there");
        (said.stage, said.reason.to_string(), said.cause)
    })
}

#[test]
fn an_explanation_says_until_when_places_are_held_and_where_binds_are_on_their_way() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("fast", "csi.example.com"));
    world.workload(workload("train", &[("w", gang(2))]));
    put_claim(&mut world, claim("a", "fast"));
    world.pod(with_claim(member("a", 100, "train", "w", ""), "a"));
    world.pod(member("b", 100, "train", "w", ""));
    world.advance(Duration::from_secs(20));
    let on = |members: usize| vec!["n1".into(); members];
    let holding = |members: usize| Stage::HoldingPlaces {
        nodes: on(members),
        ends_in: Some(Duration::from_secs(580)),
    };
    let waits = "waits for volumes before any is bound";
    let told = |reason: &str, cause: String| (reason.to_owned(), cause);
    let [a, b, gang] = explained(&mut world);
    assert_eq!(a.0, holding(1));
    assert_eq!((a.1, a.2), told("", format!("pod default/a has places, and {waits}")));
    assert_eq!(b.0, holding(1));
    assert_eq!(gang.0, holding(2));
    let cause = format!("pod group default/train/w has places for its members, and {waits}: 2 are not bound yet");
    assert_eq!((gang.1, gang.2), told("Preparing", cause));

    bind_claim(&mut world, "a", "fast", 30);
    let binds = world.poll();
    let binding = |members: usize| Stage::Binding { nodes: on(members) };
    let [a, b, gang] = explained(&mut world);
    assert_eq!([a.0, b.0, gang.0], [binding(1), binding(1), binding(2)]);
    assert_eq!(
        (gang.1, gang.2),
        told("", "pod group default/train/w is being bound".to_owned())
    );

    binds.into_iter().for_each(|effect| world.carry_out(effect));
    world.run();
    let [a, _, gang] = explained(&mut world);
    assert_eq!(
        a.0,
        Stage::Bound {
            node: Some("n1".into())
        }
    );
    assert_eq!(gang.0, Stage::Bound { node: None });
}

#[test]
fn a_gang_that_loses_a_member_while_it_waits_for_volumes_does_not_go_short() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("fast", "csi.example.com"));
    world.workload(workload("train", &[("w", gang(2))]));
    put_claim(&mut world, claim("a", "fast"));
    world.pod(with_claim(member("a", 100, "train", "w", ""), "a"));
    world.pod(member("b", 100, "train", "w", ""));
    world.run();
    world.delete(Kind::Pod, "b");
    bind_claim(&mut world, "a", "fast", 30);
    world.advance(Duration::from_secs(30));
    assert_eq!(binds(&world), 0);
    world.pod(member("c", 100, "train", "w", ""));
    world.advance(Duration::from_secs(30));
    assert_eq!(world.bound().len(), 2);
}

#[test]
fn a_place_that_somebody_else_takes_while_volumes_are_waited_for_is_found_elsewhere_or_the_gang_waits() {
    let mut world = World::new(&[node("n1", 200), node("n2", 100)]);
    world.apply(class("fast", "csi.example.com"));
    world.workload(workload("train", &[("w", gang(2))]));
    put_claim(&mut world, claim("a", "fast"));
    world.pod(with_claim(member("a", 200, "train", "w", ""), "a"));
    world.pod(member("b", 100, "train", "w", ""));
    world.run();
    let mut rival = pod("rival", 100);
    rival.scheduler_name = "other".into();
    rival.node_name = Some("n2".into());
    world.pod(rival);
    bind_claim(&mut world, "a", "fast", 30);
    world.run();
    assert_eq!(binds(&world), 0, "b has nowhere to go");
    let (reason, message) = world.condition("b").expect("it is told");
    assert_eq!(reason, "Unschedulable");
    assert!(message.contains("Insufficient cpu"), "{message}");
    world.apply(Object::Node(node("n3", 100)));
    world.advance(Duration::from_secs(30));
    assert_eq!(world.bound()["b"], "n3");
    assert_eq!(binds(&world), 2);
}

#[test]
fn a_node_that_is_cordoned_while_volumes_are_waited_for_is_left() {
    let mut world = World::new(&[node("n1", 100)]);
    world.apply(class("fast", "csi.example.com"));
    put_claim(&mut world, claim("a", "fast"));
    world.pod(with_claim(pod("a", 100), "a"));
    world.run();
    let mut cordoned = node("n1", 100);
    (cordoned.unschedulable, cordoned.resource_version) = (true, 2);
    world.apply(Object::Node(cordoned));
    bind_claim(&mut world, "a", "fast", 30);
    world.run();
    assert_eq!(binds(&world), 0);
}

#[test]
fn a_gang_that_loses_the_member_it_waits_for_does_not_go_short() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("fast", "csi.example.com"));
    world.workload(workload("train", &[("w", gang(3))]));
    put_claim(&mut world, claim("a", "fast"));
    world.pod(with_claim(member("a", 100, "train", "w", ""), "a"));
    world.pod(member("b", 100, "train", "w", ""));
    world.pod(member("c", 100, "train", "w", ""));
    world.run();
    world.delete(Kind::Pod, "a");
    world.advance(Duration::from_secs(30));
    assert_eq!(binds(&world), 0);
}

#[test]
fn a_gang_leaves_as_soon_as_enough_are_ready_and_the_others_follow() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("fast", "csi.example.com"));
    world.workload(workload("train", &[("w", gang(3))]));
    put_claim(&mut world, claim("a", "fast"));
    world.pod(with_claim(member("a", 100, "train", "w", ""), "a"));
    world.pod(member("b", 100, "train", "w", ""));
    world.pod(member("c", 100, "train", "w", ""));
    world.run();
    assert_eq!(binds(&world), 0, "three have places, and two are ready");
    world.pod(member("late", 100, "train", "w", ""));
    world.run();
    assert_eq!(world.bound().keys().collect::<Vec<_>>(), ["b", "c", "late"]);
    world.pod(member("later", 100, "train", "w", ""));
    world.run();
    assert_eq!(world.bound().len(), 4, "a gang that is whole waits for nobody");
    bind_claim(&mut world, "a", "fast", 30);
    world.run();
    assert_eq!(world.bound().len(), 5);
}

#[test]
fn an_extra_whose_volume_is_never_made_takes_only_itself_back() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("fast", "csi.example.com"));
    world.workload(workload("train", &[("w", gang(2))]));
    for n in ["a", "b"] {
        put_claim(&mut world, claim(n, "fast"));
        world.pod(with_claim(member(n, 100, "train", "w", ""), n));
    }
    put_claim(&mut world, claim("c", "fast"));
    world.pod(with_claim(member("c", 100, "train", "w", ""), "c"));
    world.run();
    bind_claim(&mut world, "a", "fast", 30);
    world.run();
    assert_eq!(binds(&world), 0);
    bind_claim(&mut world, "b", "fast", 40);
    world.run();
    assert_eq!(world.bound().keys().collect::<Vec<_>>(), ["a", "b"]);
    world.advance(Duration::from_secs(601));
    assert_eq!(world.bound().len(), 2);
    assert_eq!(world.condition("c").expect("it is told").0, "SchedulerError");
    assert!(world.condition("a").is_none());
}

/// The claim has its node already, and its volume cannot be used there: known at once.
#[test]
fn a_member_that_fails_at_once_takes_its_gang_back_in_one_piece() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("fast", "csi.example.com"));
    world.workload(workload("train", &[("w", gang(2))]));
    let reserved = VolumeRecord {
        claim: Some(VolumeClaimRef {
            claim: key("a"),
            uid: "uid-a".into(),
        }),
        bound_by_controller: true,
        ..volume("pv", "fast")
    };
    put_volume(&mut world, reserved);
    put_claim(&mut world, claim("a", "fast"));
    world.pod(with_claim(member("a", 200, "train", "w", ""), "a"));
    put_claim(&mut world, claim("b", "fast"));
    world.pod(with_claim(member("b", 100, "train", "w", ""), "b"));
    world.run();
    assert_eq!(binds(&world), 0);
    world.delete(Kind::PersistentVolume, "pv");
    world.advance(Duration::from_secs(700));
    assert_eq!(binds(&world), 0);
    bind_claim(&mut world, "a", "fast", 40);
    bind_claim(&mut world, "b", "fast", 50);
    world.advance(Duration::from_secs(700));
    assert_eq!(world.bound().len(), 2);
}

#[test]
fn members_whose_gang_is_none_any_more_are_tried_again_one_by_one() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("fast", "csi.example.com"));
    world.workload(workload("train", &[("w", gang(2))]));
    put_claim(&mut world, claim("a", "fast"));
    world.pod(with_claim(member("a", 100, "train", "w", ""), "a"));
    world.pod(member("b", 100, "train", "w", ""));
    world.run();
    world.workload(workload("train", &[("w", muster_framework::group::GroupPolicy::Basic)]));
    world.delete(Kind::PersistentVolumeClaim, "a");
    world.advance(Duration::from_secs(30));
    assert_eq!(world.bound().keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_pod_that_is_being_deleted_does_not_wait_for_volumes() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("fast", "csi.example.com"));
    put_claim(&mut world, claim("data", "fast"));
    world.pod(with_claim(pod("web", 800), "data"));
    world.run();
    world.pod(PodRecord {
        terminating: true,
        ..world.pods["web"].clone()
    });
    world.pod(pod("other", 800));
    world.run();
    assert_eq!(world.bound().keys().collect::<Vec<_>>(), ["other"]);
    assert_eq!(world.engine.next_wakeup(), None, "nothing is left of it");
}

#[test]
fn members_that_wait_for_a_volume_of_another_say_what_is_wrong_with_it() {
    let mut world = World::new(&[node("n1", 1000)]);
    world.apply(class("fast", "csi.example.com"));
    world.workload(workload("train", &[("w", gang(2))]));
    put_claim(&mut world, claim("b", "fast"));
    // Its wait begins with the place, that of the other with the answer to the write: it ends first, or at the same time.
    world.pod(member("a", 100, "train", "w", ""));
    world.pod(with_claim(member("b", 100, "train", "w", ""), "b"));
    world.run();
    world.advance(Duration::from_secs(601));
    for member in ["a", "b"] {
        let (reason, message) = world.condition(member).expect("it is told");
        assert_eq!(
            (&*reason, &*message),
            ("SchedulerError", "binding volumes: context deadline exceeded"),
            "{member}"
        );
    }
    assert_eq!(binds(&world), 0);
}
