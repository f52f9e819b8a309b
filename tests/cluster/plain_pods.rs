//! Single pods: bound with their event, or waiting with a reason.

use muster_tests::Cluster;
use muster_tests::objects::pod;
use serde_json::json;

#[test]
fn a_plain_pod_is_bound_and_has_its_event() {
    let cluster = Cluster::new("plain");
    cluster.create_nodes(0, 2, "4").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster
        .create_pods(&[pod("web", &cluster.scheduler_name(), "1")])
        .unwrap();
    let node = cluster.wait_bound(1).unwrap()["web"].clone();
    let event = cluster.wait_event("web", "Scheduled").unwrap();
    assert_eq!(event["note"], format!("Successfully assigned plain/web to {node}"));
    assert_eq!(event["type"], "Normal");
    assert_eq!(event["action"], "Binding");
    assert_eq!(event["reportingController"], cluster.scheduler_name());
    let metrics = muster.metrics().unwrap();
    assert_eq!(
        metrics.sum("scheduler_schedule_attempts_total", &[r#"result="scheduled""#]),
        1.0
    );
    assert_eq!(metrics.sum("scheduler_cache_size", &[r#"type="nodes""#]), 2.0);
}

#[test]
fn a_pod_that_fits_nowhere_says_upstreams_sentence_and_counts_that_add_up() {
    let cluster = Cluster::new("nowhere");
    cluster.create_nodes(0, 3, "1").unwrap();
    let tainted = cluster.node(3).cpu("16").taint("dedicated", "gpu", "NoSchedule");
    cluster
        .plane()
        .create_nodes(&[tainted, cluster.node(4).cpu("16").label("disk", "hdd")])
        .unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    let mut big = pod("big", &cluster.scheduler_name(), "8");
    big["spec"]["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "disk", "operator": "NotIn", "values": ["hdd"] }] }],
    }}});
    cluster.create_pods(&[big]).unwrap();
    let (reason, message) = cluster.wait_condition("big", |_| true).unwrap();
    assert_eq!(reason, "Unschedulable");
    assert_eq!(
        message,
        "0/5 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated \
         taint(s), 3 Insufficient cpu. Nodes by the first plugin that rejects them: 1 TaintToleration, 1 NodeAffinity, \
         3 NodeResourcesFit."
    );
    let (_, table) = message.split_once("rejects them: ").unwrap();
    let counts: Vec<u32> = table
        .split(", ")
        .map(|part| part.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(counts.iter().sum::<u32>(), 5);
    let event = cluster.wait_event("big", "FailedScheduling").unwrap();
    assert_eq!(
        (event["type"].as_str(), event["note"].as_str()),
        (Some("Warning"), Some(&*message))
    );
    cluster.stays_bound(0).unwrap();
    // Upstream's own way out: the taint goes, and the pod with it.
    let untaint = json!({ "spec": { "taints": null } });
    cluster.api().merge_patch("/api/v1/nodes/nowhere-3", &untaint).unwrap();
    assert_eq!(cluster.wait_bound(1).unwrap()["big"], "nowhere-3");
}

#[test]
fn everybodys_pods_take_room_and_only_ours_are_touched() {
    let cluster = Cluster::new("coexist");
    cluster.create_nodes(0, 1, "2").unwrap();
    let mut foreign = pod("foreign", "somebody-else", "1500m");
    foreign["spec"]["nodeName"] = "coexist-0".into();
    cluster
        .create_pods(&[foreign, pod("unclaimed", "somebody-else", "1m")])
        .unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    let name = cluster.scheduler_name();
    cluster
        .create_pods(&[pod("large", &name, "1"), pod("small", &name, "100m")])
        .unwrap();
    let bound = cluster.wait_bound(2).unwrap();
    assert_eq!(bound.keys().collect::<Vec<_>>(), ["foreign", "small"]);
    let (_, message) = cluster.wait_condition("large", |_| true).unwrap();
    assert!(
        message.starts_with("0/1 nodes are available: 1 Insufficient cpu."),
        "{message}"
    );
    cluster
        .api()
        .delete(&format!("{}/foreign", cluster.path("pods")))
        .unwrap();
    assert!(cluster.wait_bound(2).unwrap().contains_key("large"));
}

#[test]
fn what_is_not_supported_waits_and_names_the_field() {
    let cluster = Cluster::new("unsupported");
    cluster.create_nodes(0, 2, "4").unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    let name = cluster.scheduler_name();
    let mut device = pod("device", &name, "1");
    device["spec"]["resourceClaims"] = json!([{ "name": "gpu", "resourceClaimName": "gpu" }]);
    let mut harmless = pod("harmless", &name, "1");
    harmless["spec"]["volumes"] =
        json!([{ "name": "a", "emptyDir": {} }, { "name": "b", "configMap": { "name": "x" } }]);
    cluster.create_pods(&[device, harmless]).unwrap();
    assert!(cluster.wait_bound(1).unwrap().contains_key("harmless"));
    let (reason, message) = cluster.wait_condition("device", |_| true).unwrap();
    assert_eq!(reason, "NotReadyForScheduling");
    assert!(message.contains("spec.resourceClaims"), "{message}");
    cluster.stays_bound(1).unwrap();
}

#[test]
fn company_zones_and_claims_that_are_missing_bar_as_upstream_says() {
    let cluster = Cluster::new("company");
    let zoned = |n: usize, zone: &str| cluster.node(n).cpu("4").zone(zone);
    cluster.plane().create_nodes(&[zoned(0, "a"), zoned(1, "b")]).unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    let with = |pod_name: &str, app: &str, field: &str, value: serde_json::Value| {
        let mut pod = pod(pod_name, &cluster.scheduler_name(), "1");
        pod["metadata"]["labels"] = json!({ "app": app });
        pod["spec"][field] = value;
        pod
    };
    let alone = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "alone" } } },
    ] } });
    let alone = |n: usize| with(&format!("alone-{n}"), "alone", "affinity", alone.clone());
    cluster.create_pods(&[alone(0), alone(1)]).unwrap();
    let bound = cluster.wait_bound(2).unwrap();
    assert_ne!(bound["alone-0"], bound["alone-1"]);
    let spread = json!([{ "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": { "app": "spread" } } }]);
    let spread = |n: usize| {
        with(
            &format!("spread-{n}"),
            "spread",
            "topologySpreadConstraints",
            spread.clone(),
        )
    };
    cluster.create_pods(&[spread(0), spread(1)]).unwrap();
    let bound = cluster.wait_bound(4).unwrap();
    assert_ne!(bound["spread-0"], bound["spread-1"]);
    let claim = json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "nowhere" } }]);
    cluster
        .create_pods(&[alone(2), with("claim", "claim", "volumes", claim)])
        .unwrap();
    for (pod, said) in [
        ("alone-2", "2 node(s) didn't match pod anti-affinity rules."),
        ("claim", "persistentvolumeclaim \"nowhere\" not found."),
    ] {
        let (reason, message) = cluster.wait_condition(pod, |_| true).unwrap();
        assert_eq!(reason, "Unschedulable");
        assert!(
            message.starts_with(&format!("0/2 nodes are available: {said}")),
            "{message}"
        );
    }
    cluster.stays_bound(4).unwrap();
}

#[test]
fn anti_affinity_of_a_running_pod_bars_a_plain_one() {
    let cluster = Cluster::new("barred");
    cluster.create_nodes(0, 1, "4").unwrap();
    let mut lonely = pod("lonely", "somebody-else", "1");
    lonely["spec"]["nodeName"] = "barred-0".into();
    lonely["spec"]["affinity"] = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "web" } } },
    ]}});
    cluster.create_pods(&[lonely]).unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    let mut web = pod("web", &cluster.scheduler_name(), "1");
    web["metadata"]["labels"] = json!({ "app": "web" });
    cluster
        .create_pods(&[web, pod("other", &cluster.scheduler_name(), "1")])
        .unwrap();
    let (_, message) = cluster.wait_condition("web", |_| true).unwrap();
    assert!(
        message.starts_with("0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.")
    );
    cluster.wait_bound(2).unwrap();
    cluster
        .api()
        .delete(&format!("{}/lonely", cluster.path("pods")))
        .unwrap();
    let bound = cluster.wait_bound(2).unwrap();
    assert_eq!(bound.keys().collect::<Vec<_>>(), ["other", "web"]);
}

#[test]
fn a_gated_pod_goes_when_its_gate_is_taken_off() {
    let cluster = Cluster::new("gated");
    cluster.create_nodes(0, 1, "4").unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    let mut gated = pod("gated", &cluster.scheduler_name(), "1");
    gated["spec"]["schedulingGates"] = json!([{ "name": "example.com/quota" }]);
    cluster.create_pods(&[gated]).unwrap();
    let (reason, _) = cluster.wait_condition("gated", |_| true).unwrap();
    assert_eq!(
        reason, "SchedulingGated",
        "written by the API server, and left alone by us"
    );
    cluster.stays_bound(0).unwrap();
    let ungate = json!({ "spec": { "schedulingGates": null } });
    cluster
        .api()
        .merge_patch(&format!("{}/gated", cluster.path("pods")), &ungate)
        .unwrap();
    cluster.wait_bound(1).unwrap();
}
