//! Snapshots of a live Muster and of the API alone: what is in them, who may have them, and that a simulation and an explanation
//! from one say of each pod that waits what the live one says.

use muster_tests::deployed::token;
use muster_tests::endpoints::Caller;
use muster_tests::objects::pod;
use muster_tests::storage::{claim, waiting_class, with_claim};
use muster_tests::{Cluster, PATIENCE, gang};
use muster_xtask::api::Api;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn muster(cluster: &Cluster, words: &[&str]) -> Output {
    Command::new(muster_tests::binary().unwrap())
        .args(words)
        .env("KUBECONFIG", cluster.plane().kubeconfig())
        .output()
        .unwrap()
}

fn well(cluster: &Cluster, words: &[&str]) -> String {
    let output = muster(cluster, words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A pod that waits: its name, and of why the reason and the message.
type Waiting = (String, String, String);

/// What `muster simulate` says of the pods of the test's namespace that wait, by name.
fn waiting(cluster: &Cluster, file: &Path, more: &[&str]) -> Vec<Waiting> {
    let file = file.to_str().unwrap();
    let words = [&["simulate", "-o", "json", "--from-snapshot", file], more].concat();
    let report: Value = serde_json::from_str(&well(cluster, &words)).unwrap();
    let prefix = format!("{}/", cluster.name());
    let pods = report["pods"].as_array().unwrap().iter();
    let of_test = pods.filter_map(|pod| {
        let name = pod["pod"].as_str()?.strip_prefix(&prefix)?.to_owned();
        let said = |field: &str| pod["after"][field].as_str().unwrap_or_default().to_owned();
        pod["after"]["node"]
            .is_null()
            .then(|| (name, said("reason"), said("message")))
    });
    of_test.collect()
}

/// What is said of something, without what only holds at the moment: by the live one, or from a file.
fn explained(cluster: &Cluster, subject: &str, way: &[&str]) -> Value {
    let words = ["kubectl", "explain", subject, "-o", "json", "-n", cluster.name()];
    let said = well(cluster, &[&words[..], way].concat());
    let mut document: Value = serde_json::from_str(&said).unwrap();
    for passing in ["waitingSeconds", "attempts", "notes"] {
        document.as_object_mut().unwrap().remove(passing);
    }
    let stage = document["stage"].as_object_mut().unwrap();
    stage.remove("endsInSeconds");
    // One names them as members came, the other by the names of members.
    if let Some(nodes) = stage.get_mut("nodes").and_then(Value::as_array_mut) {
        nodes.sort_by_key(Value::to_string);
    }
    document
}

/// A file of the test.
fn file(cluster: &Cluster, name: &str) -> PathBuf {
    let name = format!("{}-{name}.gz", cluster.name());
    cluster.kubeconfig().with_file_name(name)
}

/// A snapshot that is taken in this way.
fn taken(cluster: &Cluster, live: &[&str]) -> PathBuf {
    let file = file(cluster, "live");
    let words = ["snapshot", file.to_str().unwrap()];
    well(cluster, &[&words[..], live].concat());
    file
}

/// What is said of these from the file is what the live one says.
fn compare(cluster: &Cluster, live: &[&str], file: &Path, subjects: &[&str]) {
    let recorded = ["--from-snapshot", file.to_str().unwrap()];
    for subject in subjects {
        let said = explained(cluster, subject, live);
        assert_eq!(explained(cluster, subject, &recorded), said, "{subject}");
    }
}

/// Everything in a snapshot, as text.
fn unfolded(file: &Path) -> String {
    let output = Command::new("gzip").arg("-dc").arg(file).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_simulation_and_an_explanation_say_what_the_live_one_says() {
    let cluster = Cluster::new("snapshot");
    cluster.create_nodes(0, 3, "1").unwrap();
    let live = cluster.start_muster(&[]).unwrap();
    // One that runs, one that is too big, a gang without room, one without all members, and one that is picky; with secrets.
    let mut small = pod("small", &cluster.scheduler_name(), "500m");
    small["metadata"]["annotations"] = json!({"note": "annotated-hush"});
    small["spec"]["containers"][0]["env"] = json!([{"name": "TOKEN", "value": "environment-hush"}]);
    small["spec"]["containers"][0]["args"] = json!(["--password=argument-hush"]);
    let big = pod("big", &cluster.scheduler_name(), "7");
    let mut picky = pod("picky", &cluster.scheduler_name(), "100m");
    picky["spec"]["nodeSelector"] = json!({"disk": "golden"});
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "secret-hush"}});
    cluster.api().post(&cluster.path("secrets"), &secret).unwrap();
    cluster.create_group("train", &gang(4)).unwrap();
    cluster.create_group("half", &gang(3)).unwrap();
    cluster.create_pods(&[small, big, picky]).unwrap();
    cluster.wait_bound(1).unwrap();
    cluster.create_pods(&cluster.members("train", 4, "1")).unwrap();
    cluster
        .create_pods(&cluster.members_called("h", "half", 2, "1"))
        .unwrap();
    let conditions = ["big", "picky", "w0", "w1", "w2", "w3", "h0", "h1"].map(|name| {
        let (reason, message) = cluster.wait_condition(name, |message| !message.is_empty()).unwrap();
        (name.to_owned(), reason, message)
    });
    let url = format!("https://127.0.0.1:{}", live.port());
    let live_one = ["--server-url", url.as_str(), "--insecure-skip-tls-verify"];
    let (from_live, from_api) = (taken(&cluster, &live_one), file(&cluster, "api"));
    well(
        &cluster,
        &["kubectl", "snapshot", from_api.to_str().unwrap(), "--from-api"],
    );
    let pods = ["pod/small", "pod/big", "pod/picky", "pod/w3", "pod/h0"];
    compare(&cluster, &live_one, &from_live, &pods);
    compare(&cluster, &live_one, &from_live, &["podgroup/train", "podgroup/half"]);
    // Without a queue the cause is found out all the same.
    let of_api = explained(&cluster, "pod/big", &["--from-snapshot", from_api.to_str().unwrap()]);
    let said = explained(&cluster, "pod/big", &live_one);
    assert_eq!((&of_api["stage"], &of_api["cause"]), (&said["stage"], &said["cause"]));
    for file in [&from_live, &from_api] {
        let text = unfolded(file);
        assert!(text.contains("small") && text.contains("golden"), "{text}");
        assert!(!text.contains("hush") && !text.contains("kube-root-ca"), "{text}");
    }
    assert!(unfolded(&from_live).contains("\"queued\":"));

    let mut expected = conditions.to_vec();
    expected.sort();
    assert_eq!(waiting(&cluster, &from_live, &[]), expected);
    let name = format!("--scheduler-name={}", cluster.scheduler_name());
    // The API server lists by name, whoever came first: another member may be the one that is spoken of.
    let whoever = |waiting: Vec<Waiting>| -> Vec<Waiting> {
        let each = waiting.into_iter().map(|(pod, reason, message)| {
            let message = ["w0", "w1", "w2", "w3"].iter().fold(message, |message, member| {
                message.replace(&format!("said of {member},"), "said of one,")
            });
            (pod, reason, message)
        });
        each.collect()
    };
    assert_eq!(whoever(waiting(&cluster, &from_api, &[&name])), whoever(expected));

    // What the simulation says would help, helps.
    let left = waiting(
        &cluster,
        &from_live,
        &["--add-node", "like=snapshot-0,count=4,label=disk=golden"],
    );
    let left: Vec<&str> = left.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(left, ["big", "h0", "h1"]);
}

/// A gang of two has places, and waits for a volume that nobody makes.
fn hold_places(cluster: &Cluster) {
    let api = cluster.api();
    let classes = "/apis/storage.k8s.io/v1/storageclasses";
    let class = cluster.name();
    api.post(classes, &waiting_class(class, "example.com/disks")).unwrap();
    let claims = cluster.path("persistentvolumeclaims");
    api.post(&claims, &claim("data", class)).unwrap();
    cluster.create_group("held", &gang(2)).unwrap();
    let mut members = cluster.members_called("v", "held", 2, "800m");
    members[0] = with_claim(members[0].take(), "data");
    cluster.create_pods(&members).unwrap();
    let waited = api.wait_until("the volume is asked for", PATIENCE, |api| {
        let claim = api.get(&format!("{claims}/data"))?;
        let node = &claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"];
        Ok(node.is_string().then_some(()))
    });
    waited.unwrap();
}

/// A gang of two loses a member with its node, and for the successor there is no room. Gives the nodes: that which is gone, and
/// that of the member that is left.
fn break_a_gang(cluster: &Cluster) -> [String; 2] {
    cluster.create_group("torn", &gang(2)).unwrap();
    let members = cluster.members_called("t", "torn", 2, "800m");
    cluster.create_pods(&members).unwrap();
    let bound = cluster.wait_bound(2).unwrap();
    let [lost, left] = ["t0", "t1"].map(|member| bound[member].clone());
    let api = cluster.api();
    api.delete(&format!("/api/v1/nodes/{lost}")).unwrap();
    let member = cluster.path("pods/t0");
    api.delete(&format!("{member}?gracePeriodSeconds=0")).unwrap();
    let gone = |api: &Api| Ok(api.get_if_found(&member)?.is_none().then_some(()));
    api.wait_until("the member is gone", PATIENCE, gone).unwrap();
    cluster.create_pods(&members[..1]).unwrap();
    [lost, left]
}

#[test]
fn a_broken_gang_and_places_that_are_held_are_in_a_snapshot_as_the_live_one_has_them() {
    let cluster = Cluster::new("snapshot-gangs");
    cluster.create_nodes(0, 4, "1").unwrap();
    let live = cluster.start_muster(&[]).unwrap();
    hold_places(&cluster);
    let [lost, left] = break_a_gang(&cluster);
    let (reason, message) = cluster
        .wait_condition("t0", |message| message.contains("Insufficient cpu"))
        .unwrap();
    let url = format!("https://127.0.0.1:{}", live.port());
    let live_one = ["--server-url", url.as_str(), "--insecure-skip-tls-verify"];
    let rests = |_: &_| {
        let torn = explained(&cluster, "podgroup/torn", &live_one);
        Ok((torn["stage"]["name"] == "WaitingForRoom").then_some(()))
    };
    let waited = cluster.api().wait_until("it waits for room", PATIENCE, rests);
    waited.unwrap();
    let snapshot = taken(&cluster, &live_one);
    let text = unfolded(&snapshot);
    let lines = ["{\"reservation\":", "{\"broken\":"].map(|beginning| text.matches(beginning).count());
    assert_eq!(lines, [2, 1], "{text}");
    let of_held = ["pod/v0", "pod/v1", "podgroup/held"];
    let of_torn = ["pod/t0", "pod/t1", "podgroup/torn"];
    compare(&cluster, &live_one, &snapshot, &[of_held, of_torn].concat());
    // And these are the situations that the test is about.
    let recorded = ["--from-snapshot", snapshot.to_str().unwrap()];
    let held = explained(&cluster, "podgroup/held", &recorded);
    assert_eq!(held["stage"]["name"], "HoldingPlaces", "{held:#}");
    let group = &held["group"];
    assert_eq!((&group["withPlaces"], &group["bound"]), (&json!(2), &json!(0)));
    let torn = explained(&cluster, "podgroup/torn", &recorded);
    let cause = torn["cause"].as_str().unwrap();
    let expected = format!("is broken: 1 of 2 members have a node, since node {lost} is gone");
    assert!(cause.contains(&expected), "{cause}");

    // A simulation takes nobody's place, and counts the member that is bound.
    assert_eq!(waiting(&cluster, &snapshot, &[]), [("t0".to_owned(), reason, message)]);
    let with_node = waiting(&cluster, &snapshot, &["--add-node", &format!("like={left},count=1")]);
    assert_eq!(with_node, Vec::<Waiting>::new());
}

/// Waits until a caller who asks for a snapshot is answered with this status.
fn wait_for(port: u16, caller: &Caller, wanted: u16) {
    let begun = Instant::now();
    loop {
        let (status, body) = caller.get(port, "/debug/snapshot").unwrap();
        if status == wanted {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{status} and not {wanted}: {body}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Lets the service account `reader` of the test list pods: in its own namespace, or everywhere.
fn let_list_pods(cluster: &Cluster, everywhere: bool) {
    let group = "/apis/rbac.authorization.k8s.io/v1";
    let (prefix, scope) = if everywhere {
        ("Cluster", group.to_owned())
    } else {
        ("", format!("{group}/namespaces/{}", cluster.name()))
    };
    let name = format!("{}-reader", cluster.name());
    let plural = |kind: &str| format!("{scope}/{}{kind}s", prefix.to_lowercase());
    let version = "rbac.authorization.k8s.io/v1";
    let role = json!({
        "apiVersion": version, "kind": format!("{prefix}Role"), "metadata": {"name": name},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
    });
    cluster.api().post(&plural("role"), &role).unwrap();
    let binding = json!({
        "apiVersion": version, "kind": format!("{prefix}RoleBinding"), "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": format!("{prefix}Role"), "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": cluster.name()}],
    });
    cluster.api().post(&plural("rolebinding"), &binding).unwrap();
}

#[test]
fn a_snapshot_is_for_those_who_may_list_all_pods() {
    let cluster = Cluster::new("snapshot-rights");
    let accounts = cluster.path("serviceaccounts");
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}});
    cluster.api().post(&accounts, &account).unwrap();
    let reader = Caller::with_token(&token(cluster.plane(), cluster.name(), "reader").unwrap());
    let muster = cluster
        .start_muster(&[
            "--authorization-webhook-cache-authorized-ttl=1s",
            "--authorization-webhook-cache-unauthorized-ttl=1s",
        ])
        .unwrap();
    wait_for(muster.port(), &Caller::nobody(), 401);
    wait_for(muster.port(), &reader, 403);
    let_list_pods(&cluster, false);
    std::thread::sleep(Duration::from_secs(2));
    wait_for(muster.port(), &reader, 403);
    let_list_pods(&cluster, true);
    wait_for(muster.port(), &reader, 200);
}
