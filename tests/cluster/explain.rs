//! `kubectl muster explain` as a new user would try it: ten prepared situations, each of which names its true cause in the
//! first sentence and a remedy that works when it is applied; and the way through the API server, which says who asks.

use muster_tests::aggregation::{ASKING, Aggregated, api_port, holder, passed_on};
use muster_tests::objects::pod;
use muster_tests::{Cluster, Muster, PATIENCE, gang};
use muster_xtask::KubeMinor;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

/// What `kubectl muster explain` says of something, asked of Muster itself: what it prints, or what it complains of.
fn asked(cluster: &Cluster, muster: &Muster, subject: &str, more: &[&str]) -> Result<String, String> {
    let server = format!("https://127.0.0.1:{}", muster.port());
    let mut command = Command::new(muster_tests::binary().unwrap());
    command
        .args(["kubectl", "explain", subject, "-n", cluster.name()])
        .args(["--server-url", &server, "--insecure-skip-tls-verify"])
        .args(more);
    let output = command
        .env("KUBECONFIG", cluster.plane().kubeconfig())
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

/// The first sentence: the cause, without how far a plan came and when it is tried again.
fn first_sentence(cause: &str) -> &str {
    cause.split(". ").next().unwrap()
}

/// The first sentence of the cause in the text that people read.
fn first_sentence_in(text: &str) -> &str {
    let cause = text.lines().find_map(|line| line.strip_prefix("Cause:"));
    let cause = cause.unwrap_or_else(|| panic!("no cause in {text}"));
    first_sentence(cause.trim_start())
}

/// What is said of something as soon as its cause begins so or has these words in its first sentence: to machines, and in the
/// same words to people.
fn explained(cluster: &Cluster, muster: &Muster, subject: &str, cause: &str) -> Value {
    let begun = Instant::now();
    loop {
        let problem = match asked(cluster, muster, subject, &["-o", "json"]) {
            Ok(said) => {
                let explanation: Value = serde_json::from_str(&said).unwrap();
                let sentence = first_sentence(explanation["cause"].as_str().unwrap());
                let text = asked(cluster, muster, subject, &[]).unwrap();
                match (sentence.contains(cause), first_sentence_in(&text)) {
                    (true, told) if told == sentence => return explanation,
                    (true, told) => format!("the cause is {sentence:?}, and {told:?} as text"),
                    (false, _) => format!("the cause is {sentence:?} and not {cause:?}"),
                }
            }
            Err(complaint) => complaint,
        };
        assert!(begun.elapsed() < PATIENCE, "{subject} is not explained: {problem}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The proved remedy that is one change of this type.
fn remedy<'a>(explanation: &'a Value, kind: &str) -> &'a Value {
    let remedies = explanation["remedies"].as_array().unwrap();
    let alone = remedies
        .iter()
        .filter(|remedy| remedy["changes"].as_array().unwrap().len() == 1);
    let mut found = alone.filter(|remedy| remedy["changes"][0]["type"] == kind);
    let found = found.next().unwrap_or_else(|| panic!("no {kind} in {explanation:#}"));
    assert_eq!(found["proved"], true, "{found:#}");
    &found["changes"][0]
}

/// The subject of a group in the words of this minor.
fn group(cluster: &Cluster, name: &str) -> String {
    match cluster.kube() {
        KubeMinor::V1_35 => format!("podgroup/{name}/workers"),
        KubeMinor::V1_36 | KubeMinor::V1_37 => format!("podgroup/{name}"),
    }
}

fn own_pod(cluster: &Cluster, name: &str, cpu: &str) -> Value {
    pod(name, &cluster.scheduler_name(), cpu)
}

fn request(pod: &mut Value) -> &mut Value {
    &mut pod["spec"]["containers"][0]["resources"]["requests"]["cpu"]
}

/// Makes a pod anew, changed: specs of pods stay as they are.
fn replace(cluster: &Cluster, pod: &Value) {
    delete(cluster, pod["metadata"]["name"].as_str().unwrap());
    cluster.create_pods(std::slice::from_ref(pod)).unwrap();
}

fn delete(cluster: &Cluster, name: &str) {
    let path = format!("{}/{name}", cluster.path("pods"));
    cluster.api().delete(&path).unwrap();
    let gone = |_: &_| Ok(cluster.api().get_if_found(&path)?.is_none().then_some(()));
    cluster.api().wait_until("the pod is gone", PATIENCE, gone).unwrap();
}

/// Ends the pods of a change.
fn end(cluster: &Cluster, change: &Value) {
    for pod in change["pods"].as_array().unwrap() {
        let (namespace, name) = pod.as_str().unwrap().split_once('/').unwrap();
        assert_eq!(namespace, cluster.name());
        delete(cluster, name);
    }
}

#[test]
fn a_member_is_missing() {
    let cluster = Cluster::new("explain-missing");
    cluster.create_nodes(0, 1, "4").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(2)).unwrap();
    let members = cluster.members("train", 2, "1");
    cluster.create_pods(&members[..1]).unwrap();
    let explanation = explained(&cluster, &muster, &group(&cluster, "train"), "has 1 of 2 members");
    assert_eq!(explanation["stage"]["name"], "WaitingForMembers");
    let change = remedy(&explanation, "AddMembers");
    assert_eq!((&change["count"], &change["like"]), (&json!(1), &json!("w0")));
    cluster.create_pods(&members[1..]).unwrap();
    cluster.wait_bound(2).unwrap();
    let explanation = explained(&cluster, &muster, "pod/w0", "is on node explain-missing-0");
    assert_eq!(explanation["stage"]["name"], "Bound");
}

#[test]
fn a_member_is_gated() {
    let cluster = Cluster::new("explain-gated");
    cluster.create_nodes(0, 1, "4").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(2)).unwrap();
    let mut members = cluster.members("train", 2, "1");
    members[1]["spec"]["schedulingGates"] = json!([{ "name": "example.com/quota" }]);
    cluster.create_pods(&members).unwrap();
    let explanation = explained(
        &cluster,
        &muster,
        &group(&cluster, "train"),
        "gated by example.com/quota",
    );
    assert!(explanation["cause"].as_str().unwrap().contains("w1"), "{explanation:#}");
    let change = remedy(&explanation, "Ungate");
    assert_eq!(
        (&change["pods"], &change["gates"]),
        (&json!(["w1"]), &json!(["example.com/quota"]))
    );
    let lifted = json!({"spec": {"schedulingGates": null}});
    cluster
        .api()
        .merge_patch(&format!("{}/w1", cluster.path("pods")), &lifted)
        .unwrap();
    cluster.wait_bound(2).unwrap();
}

#[test]
fn too_big_for_any_node() {
    let cluster = Cluster::new("explain-big");
    cluster.create_nodes(0, 2, "2").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    let mut big = own_pod(&cluster, "big", "5");
    cluster.create_pods(std::slice::from_ref(&big)).unwrap();
    let explanation = explained(&cluster, &muster, "pod/big", "2 Insufficient cpu");
    let change = remedy(&explanation, "LowerRequest");
    assert_eq!((&change["from"], &change["to"]), (&json!("5000m"), &json!("2000m")));
    *request(&mut big) = change["to"].clone();
    replace(&cluster, &big);
    cluster.wait_bound(1).unwrap();
}

#[test]
fn a_taint() {
    let cluster = Cluster::new("explain-taint");
    cluster.create_nodes(0, 1, "2").unwrap();
    let node = format!("/api/v1/nodes/{}-0", cluster.name());
    let taints = |taints: Value| {
        cluster
            .api()
            .merge_patch(&node, &json!({"spec": {"taints": taints}}))
            .unwrap()
    };
    taints(json!([{"key": "dedicated", "value": "ml", "effect": "NoSchedule"}]));
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_pods(&[own_pod(&cluster, "web", "1")]).unwrap();
    let explanation = explained(&cluster, &muster, "pod/web", "1 node(s) had untolerated taint(s)");
    let change = remedy(&explanation, "RemoveTaint");
    assert_eq!(
        (&change["node"], &change["taint"]),
        (&json!("explain-taint-0"), &json!("dedicated=ml:NoSchedule"))
    );
    assert_eq!(remedy(&explanation, "Tolerate")["taint"], change["taint"]);
    taints(Value::Null);
    cluster.wait_bound(1).unwrap();
}

/// Two pods that cannot be together on the only node; the end of the first lets the second go.
fn first_is_in_the_way(name: &str, cause: &str, rule: impl Fn(&str, &mut Value)) {
    let cluster = Cluster::new(name);
    cluster.create_nodes(0, 1, "4").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    let [first, second] = ["first", "second"].map(|name| {
        let mut pod = own_pod(&cluster, name, "1");
        pod["metadata"]["labels"] = json!({"app": "web"});
        rule(name, &mut pod["spec"]);
        pod
    });
    cluster.create_pods(&[first]).unwrap();
    cluster.wait_bound(1).unwrap();
    cluster.create_pods(&[second]).unwrap();
    let explanation = explained(&cluster, &muster, "pod/second", cause);
    let change = remedy(&explanation, "End");
    assert_eq!(change["pods"], json!([format!("{}/first", cluster.name())]));
    assert!(remedy(&explanation, "Drop")["field"].is_string());
    end(&cluster, change);
    let bound = cluster.wait_bound(1).unwrap();
    assert!(bound.contains_key("second"), "{bound:?}");
}

#[test]
fn anti_affinity() {
    first_is_in_the_way("explain-anti", "didn't match pod anti-affinity rules", |name, spec| {
        // A rule of the first would bar the second, whatever the second does without.
        if name == "first" {
            return;
        }
        spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}]}});
    });
}

#[test]
fn a_host_port() {
    first_is_in_the_way(
        "explain-port",
        "didn't have free ports for the requested pod ports",
        |_, spec| {
            spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 8080}]);
        },
    );
}

#[test]
fn a_spread_constraint() {
    let cluster = Cluster::new("explain-spread");
    cluster.create_nodes(0, 1, "4").unwrap();
    cluster.create_nodes(1, 1, "100m").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    let [first, mut second] = ["first", "second"].map(|name| {
        let mut pod = own_pod(&cluster, name, "1");
        pod["metadata"]["labels"] = json!({"app": "web"});
        pod["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]);
        pod
    });
    cluster.create_pods(&[first]).unwrap();
    cluster.wait_bound(1).unwrap();
    cluster.create_pods(std::slice::from_ref(&second)).unwrap();
    let cause = "1 node(s) didn't match pod topology spread constraints";
    let explanation = explained(&cluster, &muster, "pod/second", cause);
    let change = remedy(&explanation, "Drop");
    assert_eq!(change["field"], "its hard spread constraint by kubernetes.io/hostname");
    second["spec"]["topologySpreadConstraints"] = Value::Null;
    replace(&cluster, &second);
    cluster.wait_bound(2).unwrap();
}

#[test]
fn the_places_of_another_gang() {
    let cluster = Cluster::new("explain-gangs");
    cluster.create_nodes(0, 2, "1").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    for name in ["first", "second"] {
        cluster.create_group(name, &gang(2)).unwrap();
    }
    cluster
        .create_pods(&cluster.members_called("a", "first", 2, "800m"))
        .unwrap();
    cluster.wait_bound(2).unwrap();
    cluster
        .create_pods(&cluster.members_called("b", "second", 2, "800m"))
        .unwrap();
    let first = cluster.kube().group_name(cluster.name(), "first");
    let cause = format!(
        "there would be room without the places of pod group {first}: 0/2 nodes are available: 2 Insufficient cpu"
    );
    let explanation = explained(&cluster, &muster, &group(&cluster, "second"), &cause);
    assert_eq!(explanation["reason"], "NoRoom");
    let change = remedy(&explanation, "End");
    assert_eq!(change["gangs"], json!([first]));
    end(&cluster, change);
    let bound = cluster.wait_bound(2).unwrap();
    assert_eq!(bound.keys().collect::<Vec<_>>(), ["b0", "b1"]);
}

#[test]
fn a_missing_workload() {
    let cluster = Cluster::new("explain-policy");
    cluster.create_nodes(0, 1, "4").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_pods(&cluster.members("train", 2, "1")).unwrap();
    let cause = "\"train\" to appear in scheduling queue";
    let explanation = explained(&cluster, &muster, "pod/w0", cause);
    assert_eq!(explanation["stage"], json!({"name": "Held", "by": "PolicyMissing"}));
    // What it asks for is what is made.
    let missing = match cluster.kube() {
        KubeMinor::V1_35 => r#"Workload explain-policy/train with the pod group "workers""#,
        KubeMinor::V1_36 | KubeMinor::V1_37 => "PodGroup explain-policy/train",
    };
    assert_eq!(remedy(&explanation, "CreatePolicy")["object"], missing);
    cluster.create_group("train", &gang(2)).unwrap();
    cluster.wait_bound(2).unwrap();
}

#[test]
fn a_node_is_lost() {
    let cluster = Cluster::new("explain-lost");
    cluster.create_nodes(0, 2, "1").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(2)).unwrap();
    let mut members = cluster.members("train", 2, "800m");
    cluster.create_pods(&members).unwrap();
    let lost = cluster.wait_bound(2).unwrap()["w0"].clone();
    cluster.plane().delete_node(&lost).unwrap();
    // Whoever made it makes another one.
    replace(&cluster, &members[0]);
    let cause = format!("is broken: 1 of 2 members have a node, since node {lost} is gone");
    let explanation = explained(&cluster, &muster, &group(&cluster, "train"), &cause);
    let change = remedy(&explanation, "LowerRequest");
    *request(&mut members[0]) = change["to"].clone();
    replace(&cluster, &members[0]);
    cluster.wait_bound(2).unwrap();
}

// ---- through the API server --------------------------------------------------------------------------------------

#[test]
fn the_api_server_passes_questions_on_and_says_whose_they_are() {
    let cluster = Cluster::new("explain-api");
    cluster.create_nodes(0, 1, "1").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_pods(&[own_pod(&cluster, "big", "5")]).unwrap();
    cluster.wait_condition("big", |_| true).unwrap();
    let _registration = Aggregated::register(&cluster, &muster).unwrap();

    // The chart's role lets viewers ask, and they may read pods; who has that role alone may not.
    let reader = holder(&cluster, "reader", "view").unwrap();
    let blind = holder(&cluster, "blind", ASKING).unwrap();
    let port = api_port(&cluster).unwrap();
    let path = format!(
        "/apis/explain.muster.dev/v1alpha1/namespaces/{}/podexplanations/big",
        cluster.name()
    );
    let explanation = passed_on(&reader, port, &path).unwrap();
    assert_eq!(
        (&explanation["kind"], &explanation["apiVersion"]),
        (&json!("Explanation"), &json!("muster.dev/v1alpha1"))
    );
    assert!(explanation["cause"].as_str().unwrap().contains("Insufficient cpu"));

    // Who may ask, but may not read the pod, is known to Muster for who they are.
    let (status, refusal) = blind.get(port, &path).unwrap();
    let who = format!("system:serviceaccount:{}:blind", cluster.name());
    assert_eq!(status, 403, "{refusal}");
    assert!(
        refusal.contains(&who) && refusal.contains("cannot get resource \\\"pods\\\""),
        "{refusal}"
    );
    // The names of pods elsewhere are for those who may list these.
    let (status, refusal) = reader.get(port, &format!("{path}/full")).unwrap();
    assert_eq!(status, 403, "{refusal}");

    let mut command = Command::new(muster_tests::binary().unwrap());
    command.args(["kubectl", "explain", "pod/big", "-n", cluster.name()]);
    let output = command
        .env("KUBECONFIG", cluster.plane().kubeconfig())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("What would help") && text.contains("WaitingForRoom"),
        "{text}"
    );
}
