//! What an engine knows, written down and told to another: nothing is lost, whatever the kind.

use muster_api::snapshot::{Header, Source, read, write};
use muster_api::{decode, paths::api_version_kind};
use muster_engine::{Engine, Input, Object, Settings, Time};
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;
use serde_json::{Value, json};

/// The smallest object of a kind that says something.
fn object(kind: Kind) -> Object {
    let (api_version, name) = api_version_kind(kind);
    let mut object = json!({
        "apiVersion": api_version, "kind": name,
        "metadata": {"name": "x", "uid": format!("uid-{name}-{api_version}"), "resourceVersion": "3", "labels": {"a": "b"}},
    });
    if kind.is_namespaced() {
        object["metadata"]["namespace"] = json!("shop");
    }
    let more = match kind {
        Kind::Node => json!({
            "spec": {"unschedulable": true, "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "1Gi", "pods": "9", "example.com/gpu": "2"},
                "images": [{"names": ["docker.io/library/web:1"], "sizeBytes": 5}]},
        }),
        Kind::Pod => json!({
            "spec": {"schedulerName": "muster", "priority": 4, "schedulingGates": [{"name": "wait"}],
                "schedulingGroup": {"podGroupName": "x"},
                "containers": [{"name": "c", "image": "web:1", "ports": [{"hostPort": 80, "containerPort": 80}],
                    "resources": {"requests": {"cpu": "1", "example.com/gpu": "1"}}}],
                "tolerations": [{"operator": "Exists"}],
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {"matchLabels": {"a": "b"}}}],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]},
            "status": {"phase": "Pending"},
        }),
        Kind::PriorityClass => json!({"value": 7, "globalDefault": true}),
        Kind::Service | Kind::ReplicationController => json!({"spec": {"selector": {"a": "b"}}}),
        Kind::ReplicaSet | Kind::StatefulSet => json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}}),
        Kind::Workload => json!({"spec": {"podGroups": [{"name": "w", "policy": {"gang": {"minCount": 2}}}]}}),
        Kind::PodGroup | Kind::PodGroupV1Alpha2 => json!({"spec": {"schedulingPolicy": {"gang": {"minCount": 2}}}}),
        Kind::CoschedulingPodGroup => json!({"spec": {"minMember": 2}}),
        Kind::PersistentVolume => json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "storageClassName": "x", "csi": {"driver": "d", "volumeHandle": "h"}}, "status": {"phase": "Available"}}),
        Kind::PersistentVolumeClaim => json!({"spec": {"resources": {"requests": {"storage": "1Gi"}},
            "accessModes": ["ReadWriteOnce"], "storageClassName": "x"}, "status": {"phase": "Pending"}}),
        Kind::StorageClass => json!({"provisioner": "d", "volumeBindingMode": "WaitForFirstConsumer"}),
        Kind::CsiNode => json!({"spec": {"drivers": [{"name": "d", "nodeID": "x", "allocatable": {"count": 3}}]}}),
        Kind::CsiDriver => json!({"spec": {"storageCapacity": true}}),
        Kind::CsiStorageCapacity => json!({"storageClassName": "x", "capacity": "1Gi",
            "nodeTopology": {"matchLabels": {"a": "b"}}}),
        Kind::VolumeAttachment => {
            json!({"spec": {"attacher": "d", "nodeName": "x", "source": {"persistentVolumeName": "x"}}})
        }
        Kind::Namespace => Value::Null,
    };
    for (field, value) in more.as_object().into_iter().flatten() {
        object[field] = value.clone();
    }
    decode(kind, object.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn settings() -> Settings {
    muster_config::Configuration::default().engine_settings(KubeMinor::V1_37)
}

fn told(objects: &[Object]) -> Engine {
    let mut engine = Engine::new(&settings());
    for kind in Kind::ALL {
        engine.handle(Time::ZERO, Input::ListBegun(kind));
        for object in objects.iter().filter(|object| object.kind() == kind) {
            engine.handle(Time::ZERO, Input::Applied(object.clone()));
        }
        engine.handle(Time::ZERO, Input::ListDone(kind));
    }
    engine
}

#[test]
fn objects_of_every_kind_come_back_as_they_were() {
    let objects: Vec<Object> = Kind::ALL.into_iter().map(object).collect();
    let mut engine = told(&objects);
    while engine.poll(Time::ZERO).is_some() {}
    let known = engine.snapshot(Time::ZERO);
    let kinds: Vec<Kind> = known.objects.iter().map(Object::kind).collect();
    assert_eq!(kinds, Kind::ALL);
    for (known, told) in known.objects.iter().zip(&objects) {
        let mut told = told.clone();
        // Of these nobody needs the version.
        if let Object::SelectorOwner(owner) = &mut told {
            owner.resource_version = 0;
        }
        assert_eq!(*known, told);
    }
    assert_eq!((known.queue.len(), known.reservations.len()), (1, 0));

    let header = Header {
        taken_at: jiff::Timestamp::UNIX_EPOCH,
        version: "0".to_owned(),
        kubernetes: KubeMinor::V1_37,
        source: Source::Scheduler,
        configuration: None,
        not_served: Vec::new(),
    };
    let read = read(&*write(Vec::new(), &header, &known).unwrap()).unwrap();
    assert_eq!(read.objects, known.objects);
    let mut other = told(&read.objects);
    while other.poll(Time::ZERO).is_some() {}
    assert_eq!(other.snapshot(Time::ZERO), known, "whoever reads it knows as much");
}
