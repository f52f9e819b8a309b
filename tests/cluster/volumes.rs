//! Claims that wait for their first consumer: bound or provisioned for the pod's node, before the pod is bound.

use muster_tests::objects::pod;
use muster_tests::storage::{VolumeController, claim, volume, waiting_class, with_claim};
use muster_tests::{Cluster, gang};
use serde_json::{Value, json};

const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";

fn create_claims(cluster: &Cluster, claims: &[Value]) {
    cluster
        .api()
        .post_all(&cluster.path("persistentvolumeclaims"), claims)
        .unwrap();
}

#[test]
fn a_claim_is_provisioned_where_its_pod_goes() {
    let cluster = Cluster::new("provisioned");
    cluster.create_nodes(0, 3, "4").unwrap();
    cluster
        .api()
        .post(CLASSES, &waiting_class("provisioned", "example.com/disks"))
        .unwrap();
    create_claims(&cluster, &[claim("data", "provisioned")]);
    let _controller = VolumeController::start(cluster.plane(), "provisioned", "provisioned");
    let _muster = cluster.start_muster(&[]).unwrap();
    cluster
        .create_pods(&[with_claim(pod("web", &cluster.scheduler_name(), "1"), "data")])
        .unwrap();
    let node = cluster.wait_bound(1).unwrap()["web"].clone();
    let claim = cluster.api().get(&cluster.path("persistentvolumeclaims/data")).unwrap();
    assert_eq!(
        claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"],
        node
    );
    assert!(claim["spec"]["volumeName"].is_string());
    // Whoever uses the claim now goes where its volume is.
    cluster
        .create_pods(&[with_claim(pod("second", &cluster.scheduler_name(), "1"), "data")])
        .unwrap();
    assert_eq!(cluster.wait_bound(2).unwrap()["second"], node);
}

#[test]
fn a_volume_that_is_there_is_reserved_and_leads_the_pod_to_its_node() {
    let cluster = Cluster::new("static");
    cluster.create_nodes(0, 3, "4").unwrap();
    let api = cluster.api();
    api.post(CLASSES, &waiting_class("static", "kubernetes.io/no-provisioner"))
        .unwrap();
    api.post(
        "/api/v1/persistentvolumes",
        &volume("static-disk", "static", "static-1"),
    )
    .unwrap();
    api.merge_patch(
        "/api/v1/persistentvolumes/static-disk/status",
        &json!({ "status": { "phase": "Available" } }),
    )
    .unwrap();
    create_claims(&cluster, &[claim("data", "static"), claim("more", "static")]);
    let _controller = VolumeController::start(cluster.plane(), "static", "nothing");
    let _muster = cluster.start_muster(&[]).unwrap();
    let name = cluster.scheduler_name();
    cluster
        .create_pods(&[with_claim(pod("web", &name, "1"), "data")])
        .unwrap();
    assert_eq!(cluster.wait_bound(1).unwrap()["web"], "static-1");
    let disk = api.get("/api/v1/persistentvolumes/static-disk").unwrap();
    assert_eq!(disk["spec"]["claimRef"]["name"], "data");
    assert_eq!(
        disk["metadata"]["annotations"]["pv.kubernetes.io/bound-by-controller"],
        "yes"
    );

    cluster
        .create_pods(&[with_claim(pod("late", &name, "1"), "more")])
        .unwrap();
    let (reason, message) = cluster.wait_condition("late", |_| true).unwrap();
    assert_eq!(reason, "Unschedulable");
    assert!(
        message.starts_with("0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind."),
        "{message}"
    );
}

#[test]
fn a_gang_with_a_claim_that_is_never_provisioned_is_not_bound_at_all() {
    let cluster = Cluster::new("unprovisioned");
    cluster.create_nodes(0, 4, "4").unwrap();
    let api = cluster.api();
    for class in ["prompt", "never"] {
        api.post(CLASSES, &waiting_class(class, "example.com/disks")).unwrap();
    }
    create_claims(
        &cluster,
        &[claim("a", "prompt"), claim("b", "prompt"), claim("c", "never")],
    );
    cluster.create_group("train", &gang(4)).unwrap();
    let _controller = VolumeController::start(cluster.plane(), "unprovisioned", "prompt");
    let flag = cluster
        .write_configuration(&json!({ "profiles": [{ "pluginConfig": [
            { "name": "VolumeBinding", "args": { "bindTimeoutSeconds": 3 } },
        ] }] }))
        .unwrap();
    let _muster = cluster.start_muster(&[&flag]).unwrap();
    let mut pods = cluster.members("train", 4, "1");
    for (pod, claim) in pods.iter_mut().zip(["a", "b", "c"]) {
        *pod = with_claim(pod.take(), claim);
    }
    cluster.create_pods(&pods).unwrap();
    for pod in ["w0", "w2", "w3"] {
        let (reason, message) = cluster.wait_condition(pod, |m| m.contains("binding volumes")).unwrap();
        assert_eq!(reason, "SchedulerError");
        assert!(message.contains("context deadline exceeded"), "{message}");
        assert_eq!(cluster.bound().unwrap().len(), 0);
    }
    let provisioned = api.get(&cluster.path("persistentvolumeclaims/a")).unwrap();
    assert!(
        provisioned["spec"]["volumeName"].is_string(),
        "what was provisioned stays"
    );
    cluster.stays_bound(0).unwrap();
}
