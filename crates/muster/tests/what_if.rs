//! `muster simulate` with snapshots and traces, `muster snapshot`, and explanations from one, as people and scripts meet them.

use muster_api::decode;
use muster_api::snapshot::{Header, Source, write};
use muster_engine::{Attempt, AttemptResult, BrokenGang, Object, PodRef, QueuedEntity, Reservation, Section};
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time\n\
    a,1000,1024,0,0,0,60\nb,many,1024,0,0,0,60\nc,9000,1,0,0,5,60\n";
const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\nn,4000,8192,0,\n";
const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, resources: {requests: {cpu: 500m}}}]}\n";

fn object(kind: Kind, object: Value) -> Object {
    decode(kind, object.to_string().as_bytes()).expect("it can be read")
}

fn pod(name: &str, cpu: &str, node: &str) -> Object {
    object(
        Kind::Pod,
        json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1"},
            "spec": {"schedulerName": "muster", "nodeName": node, "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}),
    )
}

/// A node with two cores, one of which is taken; and a pod that needs three.
fn objects() -> Vec<Object> {
    let node = json!({"metadata": {"name": "n1", "uid": "n1", "resourceVersion": "1"},
        "status": {"allocatable": {"cpu": "2", "memory": "8Gi", "pods": "10"}}});
    vec![object(Kind::Node, node), pod("runs", "1", "n1"), pod("waits", "3", "")]
}

fn snapshot(configuration: Option<Value>, known: &muster_engine::Snapshot) -> Vec<u8> {
    let header = Header {
        taken_at: "2026-11-21T18:00:00Z".parse().expect("a time"),
        version: "0.1.0".to_owned(),
        kubernetes: KubeMinor::V1_37,
        source: Source::Scheduler,
        configuration,
        not_served: Vec::new(),
    };
    write(Vec::new(), &header, known).expect("writing to memory")
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("a file of the test");
    let known = muster_engine::Snapshot {
        objects: objects(),
        ..muster_engine::Snapshot::default()
    };
    let whole = snapshot(None, &known);
    file("snapshot.gz", &whole);
    file("short.gz", &whole[..whole.len() / 2]);
    file(
        "configured.gz",
        &snapshot(
            Some(
                json!({"componentconfig": {"apiVersion": "kubescheduler.config.k8s.io/v1",
                "kind": "KubeSchedulerConfiguration", "profiles": [{"schedulerName": "other"}]}}),
            ),
            &known,
        ),
    );
    file("pod.yaml", POD.as_bytes());
    file("pods.csv", PODS.as_bytes());
    file("nodes.csv", NODES.as_bytes());
    file(
        "kubeconfig",
        b"apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n\
        clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: u, user: {token: hush}}]\n",
    );
    folder
}

fn muster(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_muster"))
        .args(words)
        .current_dir(folder)
        .env("HOME", folder)
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .output()
        .expect("muster runs")
}

/// A line with the command, what it said on both streams, and the exit code.
fn told(folder: &Path, words: &[&str]) -> String {
    let output = muster(folder, words);
    let mut out = format!("$ muster {}\n", words.join(" "));
    for stream in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(stream);
        assert!(!text.contains("panicked") && !text.contains("hush"), "{text}");
        // How long it took is another time another.
        let lines = text.lines().filter(|line| !line.contains("pods a second"));
        lines.for_each(|line| out.extend([line, "\n"]));
    }
    writeln!(out, "=> {}", output.status.code().expect("no signal")).expect("writing to a string");
    out
}

fn check(name: &str, commands: &[&[&str]]) {
    let folder = folder();
    let all: Vec<String> = commands.iter().map(|words| told(folder.path(), words)).collect();
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, all.join("\n")) });
}

#[test]
fn what_if() {
    let from: &[&str] = &["simulate", "--from-snapshot", "snapshot.gz"];
    check(
        "what_if",
        &[
            from,
            &[from, &["--add-node", "n2,like=n1,cpu=4"]].concat(),
            &[from, &["--until-full", "-f", "pod.yaml"]].concat(),
            &[
                from,
                &[
                    "--until-full",
                    "-f",
                    "pod.yaml",
                    "--at-most=1",
                    "--remove-node=n1",
                    "--add-node=n2,cpu=4,memory=4Gi",
                ],
            ]
            .concat(),
            &[from, &["--expect-all-bound", "--cordon=n1", "-o", "json"]].concat(),
            &["simulate", "--from-snapshot", "configured.gz"],
        ],
    );
}

/// A pod that waits for itself.
fn queued(name: &str, section: Section, attempts: u32, message: &str) -> QueuedEntity {
    QueuedEntity {
        is_group: false,
        name: format!("shop/{name}").into(),
        section,
        priority: 0,
        pods: 1,
        attempts,
        waited: Duration::from_secs(90),
        backoff: Duration::from_millis(3_500),
        reason: "SchedulerError".into(),
        message: message.into(),
        tried: Vec::new(),
    }
}

/// A gang of two: one member runs, and there is no room for the other since the node that it was on is gone.
fn broken_gang() -> (Vec<Object>, QueuedEntity, BrokenGang) {
    let member = |name: &str, cpu: &str, node: &str| {
        object(
            Kind::Pod,
            json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1",
                    "labels": {"muster.dev/pod-group": "train"}, "annotations": {"muster.dev/min-count": "2"}},
                "spec": {"schedulerName": "muster", "nodeName": node, "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}),
        )
    };
    let tried = |ago: u64, result: AttemptResult, message: &str| Attempt {
        ago: Duration::from_secs(ago),
        result,
        message: message.into(),
    };
    let queued = QueuedEntity {
        is_group: true,
        name: "shop/train".into(),
        pods: 1,
        tried: vec![
            tried(4, AttemptResult::Unschedulable, "no room"),
            tried(9, AttemptResult::Error, "a bind was refused"),
        ],
        ..queued("train", Section::Unschedulable, 5, "no room")
    };
    let broken = BrokenGang {
        group: "shop/train".into(),
        lost_nodes: vec!["n2".into()],
    };
    (vec![member("w0", "100m", "n1"), member("w1", "9", "")], queued, broken)
}

/// A snapshot with a queue and a place that is held.
fn with_queue() -> Vec<u8> {
    let more = [pod("small", "500m", ""), pod("first", "4", ""), pod("held", "250m", "")];
    let known = muster_engine::Snapshot {
        objects: objects().into_iter().chain(more).collect(),
        queue: vec![
            queued("other", Section::Active, 0, ""),
            queued("first", Section::Active, 0, ""),
            queued("small", Section::Backoff, 1, "a bind was refused"),
            queued("waits", Section::Unschedulable, 3, "of another day"),
        ],
        reservations: vec![Reservation {
            pod: PodRef {
                namespace: "shop".into(),
                name: "held".into(),
                uid: "held".into(),
            },
            node: "n1".into(),
            stage: "Preparing".into(),
            deadline: Some(Duration::from_secs(60)),
        }],
        ..muster_engine::Snapshot::default()
    };
    snapshot(None, &known)
}

/// What an explanation from a file says.
fn explained(folder: &Path, file: &str, subject: &str, format: &[&str]) -> String {
    let words = ["kubectl", "explain", subject, "-n", "shop", "--from-snapshot", file];
    let output = muster(folder, &[&words[..], format].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*said), (Some(0), ""), "{subject}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn attempts_and_lost_nodes_are_told_from_a_snapshot() {
    let (members, queued, broken) = broken_gang();
    let known = muster_engine::Snapshot {
        objects: objects().into_iter().chain(members).collect(),
        queue: vec![queued],
        broken: vec![broken],
        ..muster_engine::Snapshot::default()
    };
    let folder = folder();
    std::fs::write(folder.path().join("broken.gz"), snapshot(None, &known)).expect("a file of the test");
    for subject in ["podgroup/train", "pod/w1"] {
        let json = explained(folder.path(), "broken.gz", subject, &["-o", "json"]);
        let document: Value = serde_json::from_str(&json).expect("JSON");
        let cause = document["cause"].as_str().expect("a cause");
        let broken = "pod group shop/train is broken: 1 of 2 members have a node, since node n2 is gone; ";
        assert!(cause.starts_with(broken), "{subject}: {cause}");
        assert_eq!(
            document["attempts"],
            json!([{"secondsAgo": 4, "result": "unschedulable", "message": "no room"},
                {"secondsAgo": 9, "result": "error", "message": "a bind was refused"}])
        );
        let stood = "this is how things stood at 2026-11-21T18:00:00Z: it had been tried 5 times";
        let notes = document["notes"].as_array().expect("notes");
        assert!(notes.contains(&json!(stood)), "{subject}: {notes:?}");
    }
    let text = explained(folder.path(), "broken.gz", "podgroup/train", &[]);
    let (_, attempts) = text.split_once("\nLast attempts:\n").expect("what was tried");
    assert!(
        attempts.contains("no room") && attempts.contains("a bind was refused"),
        "{text}"
    );
}

/// Where something stood is what the snapshot says, and why is found out anew.
#[test]
fn explanations_from_a_snapshot() {
    let folder = folder();
    std::fs::write(folder.path().join("queue.gz"), with_queue()).expect("a file of the test");
    let explain = |pod: &str, format: &[&str]| explained(folder.path(), "queue.gz", pod, format);
    let document = |pod: &str| -> Value {
        let document: Value = serde_json::from_str(&explain(pod, &["-o", "json"])).expect("JSON");
        assert_eq!(document["attempts"], json!([]), "what came of it is not in this one");
        document
    };
    let note = |document: &Value, words: &str| {
        let notes = document["notes"].as_array().expect("notes");
        let found = notes
            .iter()
            .any(|note| note.as_str().is_some_and(|note| note.contains(words)));
        assert!(found, "no note has {words:?}: {document:#}");
    };

    let waits = document("pod/waits");
    assert_eq!(waits["stage"], json!({"name": "WaitingForRoom"}));
    assert_eq!(
        (&waits["waitingSeconds"], &waits["reason"]),
        (&json!(90), &json!("Unschedulable"))
    );
    let cause = waits["cause"].as_str().expect("a cause");
    assert!(
        cause.starts_with("0/1 nodes are available: 1 Insufficient cpu."),
        "{cause}"
    );
    assert_eq!(waits["remedies"][0]["proved"], true);
    note(
        &waits,
        "2026-11-21T18:00:00Z: it had been tried 3 times, and the snapshot does not hold what came of it",
    );

    let first = document("pod/first");
    assert_eq!(first["stage"], json!({"name": "Queued", "ahead": 1, "ready": 2}));
    note(&first, "it had not been tried");

    // There is room for it, but it had no place, and what kept it from one is not to be found out anew.
    let small = document("pod/small");
    assert_eq!(small["stage"], json!({"name": "BackingOff", "endsInSeconds": 4}));
    assert_eq!(
        (&small["cause"], &small["reason"]),
        (&json!("a bind was refused"), &json!("SchedulerError"))
    );
    note(&small, "it finds a place");

    let held = document("pod/held");
    assert_eq!(
        held["stage"],
        json!({"name": "HoldingPlaces", "endsInSeconds": 60, "nodes": ["n1"]})
    );
    let runs = document("pod/runs");
    assert_eq!(
        (&runs["stage"]["name"], &runs["cause"]),
        (&json!("Bound"), &json!("pod shop/runs is on node n1"))
    );

    let text = explain("pod/waits", &[]);
    assert!(
        text.contains("Stage:     WaitingForRoom\n") && text.contains("Waiting:   90s\n"),
        "{text}"
    );
    assert!(explain("pod/waits", &["-o", "yaml"]).contains("kind: Explanation\n"));
}

#[test]
fn traces() {
    let trace: &[&str] = &["simulate", "--trace", "pods.csv", "--nodes", "nodes.csv"];
    let folder = folder();
    let words = [trace, &["--skip-bad-lines", "--html", "page.html", "-o", "json", "-q"]].concat();
    let output = muster(folder.path(), &words);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(
        (&report["pods"], &report["skippedLines"], &report["waiting"]),
        (&2.into(), &1.into(), &1.into())
    );
    let page = std::fs::read_to_string(folder.path().join("page.html")).expect("the page");
    assert!(page.contains("<h1>muster simulate --trace pods.csv</h1>") && page.ends_with("</html>\n"));
    check(
        "traces",
        &[
            trace,
            &[trace, &["--skip-bad-lines"]].concat(),
            &[trace, &["--html", "/nowhere/page", "--skip-bad-lines"]].concat(),
        ],
    );
}

#[test]
fn bad_input() {
    let from: &[&str] = &["simulate", "--from-snapshot"];
    let explain: &[&str] = &["kubectl", "explain", "pod/nobody", "--from-snapshot"];
    check(
        "bad_input",
        &[
            &[from, &["short.gz"]].concat(),
            &[from, &["pod.yaml"]].concat(),
            &[from, &["nowhere.gz"]].concat(),
            &[from, &["snapshot.gz", "--cordon=x"]].concat(),
            &[from, &["snapshot.gz", "--remove-node=x"]].concat(),
            &[from, &["snapshot.gz", "--add-node=n2,like=x"]].concat(),
            &[from, &["snapshot.gz", "--add-node=n2,cpu=much"]].concat(),
            &[from, &["snapshot.gz", "--drop-constraint=x:spread"]].concat(),
            &[from, &["snapshot.gz", "--drop-constraint=x:love"]].concat(),
            &[from, &["snapshot.gz", "--until-full", "-f", "nodes.csv"]].concat(),
            &[from, &["snapshot.gz", "--until-full"]].concat(),
            &["simulate", "--cordon=x", "pod.yaml"],
            &["simulate", "--trace", "pods.csv"],
            &["simulate", "--trace", "nodes.csv", "--nodes", "nodes.csv"],
            &["snapshot"],
            &["snapshot", "--from-api"],
            &["snapshot", "--server-url", "http://127.0.0.1:1"],
            &[
                "snapshot",
                "--server-url",
                "https://127.0.0.1:1",
                "--certificate-authority",
                "pod.yaml",
            ],
            &["snapshot", "--server-url", "https://127.0.0.1:1", "/nowhere/file"],
            &["snapshot", "--server-url", "https://127.0.0.1:1", "--as=jo", "-"],
            &["kubectl", "snapshot", "--from-api", "-"],
            &[explain, &["short.gz"]].concat(),
            &[explain, &["pod.yaml"]].concat(),
            &[explain, &["nowhere.gz"]].concat(),
            &[explain, &["snapshot.gz"]].concat(),
        ],
    );
    // Half a file is worse than none.
    let folder = folder();
    muster(folder.path(), &["snapshot", "--from-api", "out.gz"]);
    let left = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(left, 7, "nothing but what the test has put there");
}
