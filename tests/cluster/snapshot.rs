//! Snapshots of a live Muster and of the API alone: what is in them, who may have them, and that a simulation and an explanation
//! from one say of each pod that waits what the live one says.

use muster_tests::deployed::token;
use muster_tests::endpoints::Caller;
use muster_tests::objects::pod;
use muster_tests::{Cluster, PATIENCE, gang};
use serde_json::{Value, json};
use std::path::Path;
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
    document["stage"].as_object_mut().unwrap().remove("endsInSeconds");
    document
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
    let file = |name: &str| {
        cluster
            .kubeconfig()
            .with_file_name(format!("{}-{name}.gz", cluster.name()))
    };
    let (from_live, from_api) = (file("live"), file("api"));
    let url = format!("https://127.0.0.1:{}", live.port());
    well(
        &cluster,
        &[
            "snapshot",
            from_live.to_str().unwrap(),
            "--server-url",
            &url,
            "--insecure-skip-tls-verify",
        ],
    );
    well(
        &cluster,
        &["kubectl", "snapshot", from_api.to_str().unwrap(), "--from-api"],
    );
    let live_one = ["--server-url", url.as_str(), "--insecure-skip-tls-verify"];
    let recorded = ["--from-snapshot", from_live.to_str().unwrap()];
    let groups = ["podgroup/train", "podgroup/half"];
    for subject in ["pod/small", "pod/big", "pod/picky", "pod/w3", "pod/h0"]
        .iter()
        .chain(&groups)
    {
        let said = explained(&cluster, subject, &live_one);
        assert_eq!(explained(&cluster, subject, &recorded), said, "{subject}");
    }
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
