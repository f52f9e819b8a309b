//! Extenders: other processes that have a say, asked by a Muster that is configured as kube-scheduler would be.

use muster_tests::Cluster;
use muster_tests::extender::Extender;
use muster_tests::objects::pod;
use serde_json::{Value, json};

/// An extender that knows nodes by name: refuses `licensed-0`, likes `licensed-2` best, and binds.
fn licences(cluster: &Cluster) -> Extender {
    let plane = cluster.plane();
    Extender::start(move |path, question| match path {
        "/filter" => {
            let (refused, fit): (Vec<&Value>, Vec<&Value>) = question["NodeNames"]
                .as_array()
                .unwrap()
                .iter()
                .partition(|name| *name == "licensed-0");
            let failed: serde_json::Map<String, Value> = refused
                .into_iter()
                .map(|name| (name.as_str().unwrap().to_owned(), "no licence is left".into()))
                .collect();
            json!({ "NodeNames": fit, "FailedNodes": failed })
        }
        "/prioritize" => {
            let names = question["NodeNames"].as_array().unwrap().iter();
            let score = |name: &Value| json!({ "Host": name, "Score": if name == "licensed-2" { 10 } else { 1 } });
            names.map(score).collect()
        }
        "/bind" => {
            let (namespace, name) = (&question["PodNamespace"], &question["PodName"]);
            let binding = json!({
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": { "name": name, "namespace": namespace, "uid": question["PodUID"] },
                "target": { "apiVersion": "v1", "kind": "Node", "name": question["Node"] },
            });
            let path = format!(
                "/api/v1/namespaces/{}/pods/{}/binding",
                namespace.as_str().unwrap(),
                name.as_str().unwrap()
            );
            match plane.api().post(&path, &binding) {
                Ok(_) if name == "doubtful" => "this is no answer".into(),
                Ok(_) => json!({ "Error": "" }),
                Err(error) => json!({ "Error": error.to_string() }),
            }
        }
        other => panic!("nobody is configured to ask for {other}"),
    })
    .unwrap()
}

/// An extender that is sent whole nodes, and sends back those without the label `retired`.
fn retirement() -> Extender {
    Extender::start(|_, question| {
        let nodes = question["Nodes"]["items"].as_array().unwrap().iter();
        let (retired, left): (Vec<&Value>, Vec<&Value>) =
            nodes.partition(|node| node["metadata"]["labels"]["retired"] == "yes");
        let failed: serde_json::Map<String, Value> = retired
            .into_iter()
            .map(|node| {
                (
                    node["metadata"]["name"].as_str().unwrap().to_owned(),
                    "the node is retired".into(),
                )
            })
            .collect();
        json!({ "nodes": { "items": left }, "failedAndUnresolvableNodes": failed })
    })
    .unwrap()
}

#[test]
fn extenders_refuse_score_and_bind() {
    let cluster = Cluster::new("licensed");
    cluster.create_nodes(0, 3, "4").unwrap();
    cluster
        .plane()
        .create_nodes(&[cluster.node(3).cpu("4").label("retired", "yes")])
        .unwrap();
    let (licences, retirement) = (licences(&cluster), retirement());
    let flag = cluster
        .write_configuration(&json!({ "extenders": [
            { "urlPrefix": retirement.url(), "filterVerb": "judge/nodes" },
            {
                "urlPrefix": licences.url(), "filterVerb": "filter", "prioritizeVerb": "prioritize", "weight": 5,
                "bindVerb": "bind", "nodeCacheCapable": true,
            },
            { "urlPrefix": "http://127.0.0.1:1", "filterVerb": "filter", "nodeCacheCapable": true, "ignorable": true },
        ] }))
        .unwrap();
    let _muster = cluster.start_muster(&[&flag]).unwrap();
    let name = cluster.scheduler_name();
    cluster.create_pods(&[pod("web", &name, "1")]).unwrap();
    assert_eq!(cluster.wait_bound(1).unwrap()["web"], "licensed-2");
    cluster.wait_event("web", "Scheduled").unwrap();

    let judged = &retirement.asked("/judge/nodes")[0];
    assert_eq!(judged["Pod"]["metadata"]["name"], "web");
    assert_eq!(judged["Pod"]["spec"]["containers"][0]["name"], "main");
    assert_eq!(judged["Nodes"]["items"].as_array().unwrap().len(), 4);
    assert!(judged["Nodes"]["items"][0]["status"]["allocatable"]["cpu"].is_string());
    assert_eq!(
        licences.asked("/filter")[0]["NodeNames"],
        json!(["licensed-0", "licensed-1", "licensed-2"])
    );
    let bound = &licences.asked("/bind")[0];
    assert_eq!(
        (&bound["PodName"], &bound["Node"]),
        (&json!("web"), &json!("licensed-2"))
    );

    cluster.create_pods(&[pod("doubtful", &name, "1")]).unwrap();
    cluster.wait_event("doubtful", "Scheduled").unwrap();
    assert_eq!(
        licences.asked("/bind").len(),
        2,
        "the pod was read, and not bound again"
    );

    let mut picky = pod("picky", &name, "1");
    picky["spec"]["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": [
            { "key": "kubernetes.io/hostname", "operator": "In", "values": ["licensed-0", "licensed-3"] },
        ] }],
    }}});
    cluster.create_pods(&[picky]).unwrap();
    let (reason, message) = cluster.wait_condition("picky", |_| true).unwrap();
    assert_eq!(reason, "Unschedulable");
    assert!(
        message.starts_with(
            "0/4 nodes are available: 1 no licence is left, 1 the node is retired, 2 node(s) didn't match Pod's node \
             affinity/selector."
        ),
        "{message}"
    );
    // The node comes back, and the extender that saw it as a whole object sees the change.
    let back = json!({ "metadata": { "labels": { "retired": null } } });
    cluster.api().merge_patch("/api/v1/nodes/licensed-3", &back).unwrap();
    assert_eq!(cluster.wait_bound(3).unwrap()["picky"], "licensed-3");
}

#[test]
fn an_extender_that_fails_holds_pods_and_says_so() {
    let cluster = Cluster::new("failing");
    cluster.create_nodes(0, 1, "4").unwrap();
    let failing = Extender::start(|_, _| json!({ "Error": "the licence server is down" })).unwrap();
    let flag = cluster
        .write_configuration(&json!({ "extenders": [
            { "urlPrefix": failing.url(), "filterVerb": "filter", "nodeCacheCapable": true },
        ] }))
        .unwrap();
    let _muster = cluster.start_muster(&[&flag]).unwrap();
    cluster
        .create_pods(&[pod("web", &cluster.scheduler_name(), "1")])
        .unwrap();
    let (reason, message) = cluster.wait_condition("web", |_| true).unwrap();
    assert_eq!(reason, "SchedulerError");
    assert_eq!(
        message,
        format!("extender {}: the licence server is down", failing.url())
    );
    cluster.stays_bound(0).unwrap();
}
