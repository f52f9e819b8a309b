//! Claims in all their states, the volumes and classes behind them, limits of drivers, and disks named in the pod.

use serde_json::{Value, json};

use super::cluster::{HOSTNAME, ZONE, ZONES};
use super::dice::Dice;
use super::{Draft, append, metadata, text, text_map};

const DRIVER: &str = "csi.example.com";
const OTHER_DRIVER: &str = "other.csi.example.com";
const GCE_DRIVER: &str = "pd.csi.storage.gke.io";
const DRIVERS: [&str; 3] = [DRIVER, OTHER_DRIVER, GCE_DRIVER];

/// The minor from which on a driver can ask to keep pods away from nodes without it.
const DRIVER_MAY_BE_NEEDED: u32 = 36;

/// The minor from which on the scheduler scores by the room that drivers have.
const CAPACITY_COUNTS: u32 = 37;

/// Binds at once.
const IMMEDIATE: &str = "immediate";
/// Waits for a consumer, and then provisions.
const LATE: &str = "late";
/// Waits for a consumer, and provisions nothing.
const LOCAL: &str = "local";

const OLD_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
const VOLUME_SIZES: [&str; 8] = ["1Gi", "5Gi", "10G", "20Gi", "100Gi", "2e9", "7Gi", "50G"];
const CLAIM_SIZES: [&str; 5] = ["1Gi", "0.5Gi", "5Gi", "3e9", "20Gi"];

/// Claims that are bound, wait, are lost, or missing.
pub(super) fn add_claims(draft: &mut Draft) {
    add_classes(draft);
    if draft.dice.percent(70) {
        let publishes = draft.dice.percent(80);
        add_driver(draft, publishes);
        add_capacities(draft);
    }
    add_free_volumes(draft);
    for number in 0..draft.dice.pick(&[1, 1, 1, 1, 2, 3]) {
        if draft.dice.percent(15) {
            add_ephemeral_claim(draft, number);
        } else {
            add_claim(draft, number);
        }
    }
}

fn has(draft: &Draft, kind: &str) -> bool {
    draft.others.iter().any(|object| object["kind"] == kind)
}

fn add_classes(draft: &mut Draft) {
    // Two themes need them.
    if has(draft, "StorageClass") {
        return;
    }
    let dice = &mut draft.dice;
    for (name, provisioner, mode) in [
        (IMMEDIATE, DRIVER, "Immediate"),
        (LATE, DRIVER, "WaitForFirstConsumer"),
        (LOCAL, "kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
    ] {
        let mut class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata(name, None),
            "provisioner": provisioner, "volumeBindingMode": mode, "reclaimPolicy": "Delete",
        });
        if name == LATE && dice.percent(40) {
            for _ in 0..dice.range(1..=2) {
                let mut expressions = vec![json!({"key": ZONE, "values": dice.at_least_one(&ZONES, 40)})];
                if dice.percent(25) {
                    expressions.push(json!({"key": "rack", "values": ["k1"]}));
                }
                append(
                    &mut class,
                    "allowedTopologies",
                    json!({"matchLabelExpressions": expressions}),
                );
            }
        }
        draft.others.push(class);
    }
}

/// How much room the driver has where. No two with enough room for a claim reach the same node: upstream scores by the
/// one that it comes upon first, which may be any.
fn add_capacities(draft: &mut Draft) {
    let everywhere = json!({});
    let mut places = match draft.dice.below(6) {
        0 => vec![],
        1 => vec![everywhere.clone()],
        _ => {
            let zones = draft.dice.at_least_one(&ZONES, 60).into_iter();
            zones
                .map(|zone| json!({"matchLabels": text_map([(ZONE, zone)])}))
                .collect()
        }
    };
    // Without a topology it is nowhere.
    if draft.dice.percent(20) {
        places.push(Value::Null);
    }
    let full = places.len();
    if draft.dice.percent(30) {
        places.push(everywhere);
    }
    for (number, place) in places.into_iter().enumerate() {
        let mut capacity = capacity(draft, number, number >= full);
        if !place.is_null() {
            capacity["nodeTopology"] = place;
        }
        draft.others.push(capacity);
    }
}

fn capacity(draft: &mut Draft, number: usize, is_full: bool) -> Value {
    let dice = &mut draft.dice;
    let mut capacity = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSIStorageCapacity",
        "metadata": metadata(&format!("capacity-{number}"), Some("storage")),
        "storageClassName": dice.pick(&[LATE, LATE, LATE, IMMEDIATE]),
    });
    let room = dice.pick(&["2Gi", "8Gi", "20Gi", "50Gi", "1Ti", "999999999999999m"]);
    let is_known = dice.percent(85);
    if is_full {
        capacity["capacity"] = json!("0");
        return capacity;
    }
    // Where the room counts for the score, upstream panics when only the size of a volume is known.
    let (has_most, most) = (dice.percent(30), dice.pick(&["1Gi", "6Gi", "1Ti"]));
    if is_known || has_most && CAPACITY_COUNTS <= draft.minor {
        capacity["capacity"] = json!(room);
    }
    if has_most {
        capacity["maximumVolumeSize"] = json!(most);
    }
    capacity
}

fn add_driver(draft: &mut Draft, publishes_capacity: bool) {
    if has(draft, "CSIDriver") {
        return;
    }
    let mut spec = json!({"attachRequired": true, "storageCapacity": publishes_capacity});
    let (is_said, is_needed) = (draft.dice.percent(30), draft.dice.percent(70));
    if is_said && draft.minor >= DRIVER_MAY_BE_NEEDED {
        spec["preventPodSchedulingIfMissing"] = json!(is_needed);
    }
    draft.others.push(
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": metadata(DRIVER, None), "spec": spec}),
    );
}

/// Volumes that no claim has yet, of different sizes: of two equal ones upstream may take either.
fn add_free_volumes(draft: &mut Draft) {
    let first_size = draft.dice.below(VOLUME_SIZES.len());
    let one_on_each_node = draft.dice.percent(40);
    let count = if one_on_each_node {
        draft.nodes.len()
    } else {
        draft.dice.below(VOLUME_SIZES.len())
    };
    for number in 0..count {
        let mut volume = free_volume(&mut draft.dice, number);
        volume["spec"]["capacity"] = json!({"storage": VOLUME_SIZES[(first_size + number) % VOLUME_SIZES.len()]});
        if one_on_each_node && draft.dice.percent(90) {
            make_local(&mut volume, &format!("n{}", number + 1));
        }
        draft.others.push(volume);
    }
}

/// A disk of one node, as those that provision local volumes make them.
fn make_local(volume: &mut Value, node: &str) {
    if let Some(spec) = volume["spec"].as_object_mut() {
        spec.remove("csi");
    }
    volume["spec"]["local"] = json!({"path": "/data"});
    volume["spec"]["storageClassName"] = json!(LOCAL);
    volume["spec"]["accessModes"] = json!(["ReadWriteOnce"]);
    volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [node]}]},
    ]}});
}

/// A volume that no claim has yet, or one that is kept for a claim.
fn free_volume(dice: &mut Dice, number: usize) -> Value {
    let class = dice.pick(&[LATE, LATE, LOCAL, LOCAL, LOCAL, IMMEDIATE, ""]);
    let mut volume = volume(dice, &format!("free-{number}"), class);
    // No two are kept for the same claim.
    let keeper = match number {
        0 => Some("claim-0"),
        1 => Some("claim-9"),
        _ => None,
    };
    if let Some(keeper) = keeper.filter(|_| dice.percent(30)) {
        volume["spec"]["claimRef"] =
            json!({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": "default", "name": keeper});
    }
    if dice.percent(10) {
        volume["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        volume["metadata"]["finalizers"] = json!(["kubernetes.io/pv-protection"]);
    }
    volume["status"] = json!({"phase": dice.pick(&["Available", "Available", "Available", "Released"])});
    volume
}

fn volume(dice: &mut Dice, name: &str, class: &str) -> Value {
    let mut metadata = metadata(name, None);
    let mut labels = json!({});
    if dice.percent(40) {
        labels[dice.pick(&[ZONE, OLD_ZONE])] = json!(dice.pick(&["z1", "z2", "z3", "z1__z2"]));
    }
    if dice.percent(30) {
        labels["speed"] = json!(dice.pick(&["fast", "slow"]));
    }
    metadata["labels"] = labels;
    let mut spec = json!({
        "accessModes": dice.pick(&[&["ReadWriteOnce"][..], &["ReadWriteOnce", "ReadOnlyMany"], &["ReadWriteOncePod"]]),
        "capacity": {"storage": dice.pick(&VOLUME_SIZES)},
        "persistentVolumeReclaimPolicy": "Retain",
        "volumeMode": if dice.percent(90) { "Filesystem" } else { "Block" },
    });
    if !class.is_empty() {
        spec["storageClassName"] = json!(class);
    }
    if class == LOCAL {
        spec["local"] = json!({"path": "/data"});
        spec["nodeAffinity"] = volume_affinity(dice);
    } else {
        let driver = dice.pick(&DRIVERS[..2]);
        spec["csi"] = json!({"driver": driver, "volumeHandle": format!("handle-{name}")});
        if dice.percent(50) {
            spec["nodeAffinity"] = volume_affinity(dice);
        }
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec})
}

fn volume_affinity(dice: &mut Dice) -> Value {
    let mut terms = Vec::new();
    for _ in 0..dice.range(1..=2) {
        let requirement = match dice.below(4) {
            0 => json!({"key": HOSTNAME, "operator": "In", "values": dice.at_least_one(&["n1", "n2", "n3"], 40)}),
            1 => json!({"key": "rack", "operator": "NotIn", "values": ["k1"]}),
            _ => json!({"key": ZONE, "operator": "In", "values": dice.at_least_one(&ZONES, 40)}),
        };
        terms.push(json!({"matchExpressions": [requirement]}));
    }
    json!({"required": {"nodeSelectorTerms": terms}})
}

fn claim(dice: &mut Dice, name: &str, namespace: &str) -> Value {
    let modes = dice.pick(&[
        "ReadWriteOnce",
        "ReadWriteOnce",
        "ReadWriteOnce",
        "ReadWriteOnce",
        "ReadOnlyMany",
        "ReadWriteOncePod",
    ]);
    let mut spec = json!({
        "accessModes": [modes],
        "resources": {"requests": {"storage": dice.pick(&CLAIM_SIZES)}},
        "volumeMode": if dice.percent(92) { "Filesystem" } else { "Block" },
    });
    if dice.percent(10) {
        spec["selector"] = json!({"matchLabels": {"speed": "fast"}});
    }
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata(name, Some(namespace)), "spec": spec,
        "status": {"phase": "Pending"},
    })
}

/// Adds a claim in some state, and the pod's wish for it.
fn add_claim(draft: &mut Draft, number: usize) {
    let namespace = text(&draft.pod, "/metadata/namespace").to_owned();
    let name = format!("claim-{number}");
    let wish = json!({"name": format!("v{number}"), "persistentVolumeClaim": {"claimName": name}});
    append(&mut draft.pod["spec"], "volumes", wish.clone());
    let mut claim = claim(&mut draft.dice, &name, &namespace);
    let is_exclusive = claim["spec"]["accessModes"][0] == "ReadWriteOncePod";
    if draft.dice.percent(if is_exclusive { 50 } else { 10 }) {
        // Somebody else has it already: of account when it is for one pod alone.
        let at = draft.dice.below(draft.pods.len());
        if let Some(other) = draft.pods.get_mut(at) {
            other["metadata"]["namespace"] = json!(namespace);
            append(&mut other["spec"], "volumes", wish);
        }
    }
    if draft.dice.percent(5) {
        return; // It is missing.
    }
    give_state(draft, &mut claim, &name);
    draft.others.push(claim);
}

/// Mostly the states in which a pod can be placed.
fn give_state(draft: &mut Draft, claim: &mut Value, name: &str) {
    let dice = &mut draft.dice;
    match dice.below(24) {
        0 => claim["spec"]["storageClassName"] = json!(IMMEDIATE),
        1 => claim["spec"]["storageClassName"] = json!(dice.pick(&["", "unknown"])),
        2 => {
            claim["spec"]["storageClassName"] = json!(LATE);
            claim["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            claim["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
        }
        3 => {
            claim["status"]["phase"] = json!("Lost");
            claim["spec"]["storageClassName"] = json!(LATE);
            bind(claim, "gone");
        }
        4 => bind_without_volume(dice, claim),
        5 => {
            // Chosen by its user, and not yet bound.
            claim["spec"]["storageClassName"] = json!(dice.pick(&[LATE, LOCAL]));
            claim["spec"]["volumeName"] = json!("free-0");
        }
        6..=7 => {
            claim["spec"]["storageClassName"] = json!(LATE);
            let node = dice.pick(&["n1", "n2", "gone"]);
            claim["metadata"]["annotations"] = json!({"volume.kubernetes.io/selected-node": node});
        }
        8..=11 => claim["spec"]["storageClassName"] = json!(LATE),
        12..=15 => claim["spec"]["storageClassName"] = json!(LOCAL),
        _ => {
            let class = dice.pick(&[IMMEDIATE, LATE, LOCAL]);
            let volume = bound_volume(dice, claim, name, class);
            draft.others.push(volume);
        }
    }
}

fn bind_without_volume(dice: &mut Dice, claim: &mut Value) {
    claim["spec"]["storageClassName"] = json!(dice.pick(&[LATE, IMMEDIATE]));
    bind(claim, "gone");
}

fn bind(claim: &mut Value, volume: &str) {
    claim["spec"]["volumeName"] = json!(volume);
    claim["metadata"]["annotations"] = json!({"pv.kubernetes.io/bind-completed": "yes"});
    if claim["status"]["phase"] != "Lost" {
        claim["status"]["phase"] = json!("Bound");
    }
}

/// Binds the claim to a volume of its own.
fn bound_volume(dice: &mut Dice, claim: &mut Value, name: &str, class: &str) -> Value {
    let namespace = text(claim, "/metadata/namespace").to_owned();
    let volume_name = format!("volume-{namespace}-{name}");
    let mut volume = volume(dice, &volume_name, class);
    if class != LOCAL && dice.percent(10) {
        if let Some(spec) = volume["spec"].as_object_mut() {
            spec.remove("csi");
        }
        volume["spec"]["gcePersistentDisk"] = json!({"pdName": format!("disk-{name}"), "fsType": "ext4"});
        // A disk in several zones is translated by their names, which then have to be like those of its cloud.
        if let Some(labels) = volume["metadata"]["labels"].as_object_mut() {
            for zones in labels.values_mut().filter(|zones| *zones == "z1__z2") {
                *zones = json!("us-central1-a__us-central1-b");
            }
        }
    }
    volume["spec"]["claimRef"] = json!({
        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": namespace, "name": name,
        "uid": claim["metadata"]["uid"],
    });
    volume["status"] = json!({"phase": "Bound"});
    claim["spec"]["storageClassName"] = json!(class);
    bind(claim, &volume_name);
    volume
}

/// A claim that lives and dies with the pod; its controller may not have made it yet, or another pod may own it.
fn add_ephemeral_claim(draft: &mut Draft, number: usize) {
    let namespace = text(&draft.pod, "/metadata/namespace").to_owned();
    let volume_name = format!("scratch{number}");
    let name = format!("{}-{volume_name}", text(&draft.pod, "/metadata/name"));
    let mut claim = claim(&mut draft.dice, &name, &namespace);
    let template = claim["spec"].clone();
    append(
        &mut draft.pod["spec"],
        "volumes",
        json!({"name": volume_name, "ephemeral": {"volumeClaimTemplate": {"spec": template}}}),
    );
    if draft.dice.percent(15) {
        return;
    }
    let uid = if draft.dice.percent(85) {
        draft.pod["metadata"]["uid"].clone()
    } else {
        json!("uid-of-another")
    };
    claim["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "Pod", "name": text(&draft.pod, "/metadata/name"), "uid": uid, "controller": true,
        "blockOwnerDeletion": true,
    }]);
    give_state(draft, &mut claim, &name);
    draft.others.push(claim);
}

/// Drivers that attach only so many volumes to a node, and nodes that have some already.
pub(super) fn add_limits(draft: &mut Draft) {
    add_classes(draft);
    let names: Vec<String> = draft
        .nodes
        .iter()
        .map(|node| text(node, "/metadata/name").to_owned())
        .collect();
    for name in &names {
        if draft.dice.percent(85) {
            let csi_node = csi_node(&mut draft.dice, name);
            draft.others.push(csi_node);
        }
    }
    if draft.dice.percent(50) {
        add_driver(draft, false);
    }
    for number in 0..draft.dice.range(1..=2) {
        add_limited_claim(draft, number);
    }
    add_attachments(draft, &names);
}

fn csi_node(dice: &mut Dice, name: &str) -> Value {
    let mut drivers = Vec::new();
    for driver in dice.some(&DRIVERS, 70) {
        let mut entry = json!({"name": driver, "nodeID": name, "topologyKeys": null});
        if dice.percent(85) {
            entry["allocatable"] = json!({"count": dice.pick(&[0, 1, 1, 2, 3])});
        }
        drivers.push(entry);
    }
    let mut metadata = metadata(name, None);
    if dice.percent(40) {
        let plugins = dice.pick(&["kubernetes.io/gce-pd", "kubernetes.io/aws-ebs,kubernetes.io/gce-pd", ""]);
        metadata["annotations"] = json!({"storage.alpha.kubernetes.io/migrated-plugins": plugins});
    }
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": metadata, "spec": {"drivers": drivers},
    })
}

/// A claim for the pod, and others like it for the pods that run, one of which may share it.
fn add_limited_claim(draft: &mut Draft, number: usize) {
    let name = format!("limited-{number}");
    let namespace = text(&draft.pod, "/metadata/namespace").to_owned();
    let mut made = limited_claim(&mut draft.dice, &name, &namespace);
    draft.others.append(&mut made);
    let wish = |name: &str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
    append(&mut draft.pod["spec"], "volumes", wish(&name));
    for at in 0..draft.pods.len() {
        if !draft.dice.percent(40) {
            continue;
        }
        let pod_namespace = text(&draft.pods[at], "/metadata/namespace").to_owned();
        if draft.dice.percent(20) && pod_namespace == namespace {
            append(&mut draft.pods[at]["spec"], "volumes", wish(&name));
            continue;
        }
        let own = format!("limited-{number}-{}", text(&draft.pods[at], "/metadata/name"));
        let mut made = limited_claim(&mut draft.dice, &own, &pod_namespace);
        draft.others.append(&mut made);
        append(&mut draft.pods[at]["spec"], "volumes", wish(&own));
    }
}

/// A claim that a driver serves, with its volume if it is bound.
fn limited_claim(dice: &mut Dice, name: &str, namespace: &str) -> Vec<Value> {
    let mut claim = claim(dice, name, namespace);
    // Most are not for one pod alone here: that is another rule's business.
    if dice.percent(90) {
        claim["spec"]["accessModes"] = json!(["ReadWriteMany"]);
    }
    if dice.percent(20) {
        claim["spec"]["storageClassName"] = json!(LATE);
        return vec![claim];
    }
    let mut volume = bound_volume(dice, &mut claim, name, LATE);
    // Where it can be reached is another rule's business too.
    if dice.percent(80) {
        if let Some(spec) = volume["spec"].as_object_mut() {
            spec.remove("nodeAffinity");
        }
        volume["metadata"]["labels"] = json!({});
    }
    vec![claim, volume]
}

/// Volumes that are attached already, with or without a pod that uses them.
fn add_attachments(draft: &mut Draft, nodes: &[String]) {
    let volumes: Vec<String> = draft
        .others
        .iter()
        .filter(|object| object["kind"] == "PersistentVolume" && object["spec"]["csi"].is_object())
        .map(|volume| text(volume, "/metadata/name").to_owned())
        .collect();
    for (number, node) in nodes.iter().enumerate() {
        if !draft.dice.percent(40) {
            continue;
        }
        let volume = match volumes.len() {
            0 => "gone",
            count => &volumes[draft.dice.below(count)],
        };
        let attached = draft.dice.percent(90);
        draft.others.push(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment",
            "metadata": metadata(&format!("attachment-{number}"), None),
            "spec": {
                "attacher": draft.dice.pick(&DRIVERS[..2]), "nodeName": node,
                "source": {"persistentVolumeName": volume},
            },
            "status": {"attached": attached},
        }));
    }
}

/// Disks that pods name themselves, which two pods on a node may not both have.
pub(super) fn add_inline_disks(draft: &mut Draft) {
    draft.each_pod(55, |dice, pod| {
        for number in 0..dice.range(1..=2) {
            let mut volume = inline_disk(dice);
            volume["name"] = json!(format!("disk-{number}"));
            append(&mut pod["spec"], "volumes", volume);
        }
    });
}

fn inline_disk(dice: &mut Dice) -> Value {
    let is_read_only = dice.percent(50);
    let mut source = match dice.below(4) {
        0 => json!({"gcePersistentDisk": {"pdName": dice.pick(&["a", "b"])}}),
        1 => json!({"awsElasticBlockStore": {"volumeID": dice.pick(&["vol-a", "vol-b"])}}),
        2 => json!({"iscsi": {
            "targetPortal": dice.pick(&["10.0.0.1:3260", "10.0.0.2:3260"]),
            "iqn": dice.pick(&["iqn.2001-04.com.example:a", "iqn.2001-04.com.example:b"]),
            "lun": dice.pick(&[0, 1]),
            "iscsiInterface": "default",
        }}),
        _ => json!({"rbd": {
            "monitors": dice.at_least_one(&["10.0.0.1:6789", "10.0.0.2:6789"], 50),
            "image": dice.pick(&["a", "b"]), "pool": dice.pick(&["rbd", "rbd", "other"]),
            "user": "admin", "keyring": "/etc/ceph/keyring",
        }}),
    };
    if is_read_only {
        for details in source.as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
            details["readOnly"] = json!(true);
        }
    }
    source
}
