//! That cases are the same for ever, valid where it is easily seen, and of all kinds.

use std::collections::BTreeSet;

use super::*;

const KINDS: [&str; 14] = [
    "CSIDriver",
    "CSINode",
    "CSIStorageCapacity",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "ReplicaSet",
    "ReplicationController",
    "Service",
    "StatefulSet",
    "StorageClass",
    "VolumeAttachment",
];

fn cases() -> impl Iterator<Item = Case> {
    (0..3000).map(|index| generate(11, index, 37))
}

#[test]
fn the_same_seed_and_number_give_the_same_case() {
    for index in 0..200 {
        assert_eq!(generate(5, index, 35), generate(5, index, 35));
    }
    assert_ne!(generate(5, 1, 35).pod, generate(6, 1, 35).pod);
}

#[test]
fn minors_share_their_objects() {
    for index in 0..500 {
        let (mut old, mut new) = (generate(5, index, 35), generate(5, index, 37));
        // What drivers say is not the same in all.
        for case in [&mut old, &mut new] {
            let is_same = |kind: &str| kind != "CSIDriver" && kind != "CSIStorageCapacity";
            case.objects.retain(|object| is_same(text(object, "/kind")));
        }
        assert_eq!(old.objects, new.objects);
        assert_eq!(old.pod, new.pod);
    }
}

#[test]
fn every_kind_of_object_comes_up() {
    let seen: BTreeSet<String> = cases()
        .flat_map(|case| case.objects)
        .map(|object| text(&object, "/kind").to_owned())
        .collect();
    assert_eq!(seen, KINDS.map(str::to_owned).into());
}

#[test]
fn names_are_unique_within_their_kind_and_namespace() {
    for case in cases() {
        let mut seen = BTreeSet::new();
        for object in &case.objects {
            let key = (
                text(object, "/kind").to_owned(),
                text(object, "/metadata/namespace").to_owned(),
                text(object, "/metadata/name").to_owned(),
            );
            assert!(seen.insert(key.clone()), "{} holds {key:?} twice", case.id);
        }
    }
}

#[test]
fn a_pod_names_each_volume_and_each_container_once() {
    for case in cases() {
        for pod in case.objects_of("Pod").chain([&case.pod]) {
            let mut containers = Vec::new();
            for list in ["containers", "initContainers"] {
                containers.extend(pod["spec"][list].as_array().into_iter().flatten());
            }
            let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten().collect();
            for named in [containers, volumes] {
                let names: Vec<&str> = named.iter().map(|item| text(item, "/name")).collect();
                let unique: BTreeSet<&&str> = names.iter().collect();
                assert_eq!(names.len(), unique.len(), "{}: {names:?}", case.id);
            }
        }
    }
}

#[test]
fn a_pod_is_either_on_a_node_of_the_cluster_or_in_the_queue() {
    for case in cases() {
        let nodes: BTreeSet<&str> = case
            .objects_of("Node")
            .map(|node| text(node, "/metadata/name"))
            .collect();
        for pod in case.objects_of("Pod") {
            let runs_on = text(pod, "/spec/nodeName");
            let nominated = text(pod, "/status/nominatedNodeName");
            assert!(runs_on.is_empty() != nominated.is_empty(), "{}", case.id);
            assert!(nodes.contains(runs_on) || nodes.contains(nominated), "{}", case.id);
        }
        let is_gated = case.pod["spec"]["schedulingGates"].is_array();
        assert!(!is_gated || case.pod["spec"]["nodeName"].is_null(), "{}", case.id);
    }
}

#[test]
fn a_limit_has_a_request_that_does_not_exceed_it() {
    for case in cases() {
        for pod in case.objects_of("Pod").chain([&case.pod]) {
            for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
                for (name, limit) in container["resources"]["limits"].as_object().into_iter().flatten() {
                    assert_eq!(&container["resources"]["requests"][name], limit, "{}", case.id);
                }
            }
        }
    }
}

#[test]
fn a_shape_for_storage_is_given_only_where_it_is_taken() {
    let shapes = |minor| {
        (0..3000)
            .filter_map(|index| generate(11, index, minor).config)
            .filter(|config| {
                config
                    .to_string()
                    .contains("bindTimeoutSeconds\":600,\"kind\":\"VolumeBindingArgs\",\"shape")
            })
            .count()
    };
    assert_eq!(shapes(36), 0);
    assert_ne!(shapes(37), 0);
}
