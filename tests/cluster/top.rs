//! `kubectl muster top` against a real API server: what it says once, to whom it says it, and the live view on a terminal.

use muster_tests::aggregation::{ASKING, Aggregated, api_port, holder, passed_on};
use muster_tests::objects::pod;
use muster_tests::terminal::OnTerminal;
use muster_tests::{Cluster, Muster, PATIENCE, gang};
use muster_xtask::KubeMinor;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// `kubectl muster top` with these words, of Muster itself.
fn top(cluster: &Cluster, muster: &Muster, words: &[&str]) -> Command {
    let mut command = Command::new(muster_tests::binary().unwrap());
    command
        .args(["kubectl", "top", "--insecure-skip-tls-verify", "--server-url"])
        .arg(format!("https://127.0.0.1:{}", muster.port()))
        .args(words)
        .env("KUBECONFIG", cluster.plane().kubeconfig())
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null());
    command
}

/// What it prints, if it ends well.
fn printed(cluster: &Cluster, muster: &Muster, words: &[&str]) -> String {
    let output = top(cluster, muster, words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The name of a group in the words of this minor.
fn group(cluster: &Cluster, name: &str) -> String {
    match cluster.kube() {
        KubeMinor::V1_35 => format!("{name}/workers"),
        KubeMinor::V1_36 | KubeMinor::V1_37 => name.to_owned(),
    }
}

/// A gang whose third member has no room, one that waits for members, and a pod that is too big.
fn wait_for_room(cluster: &Cluster) {
    cluster.create_group("part", &gang(2)).unwrap();
    cluster
        .create_pods(&cluster.members_called("a", "part", 3, "900m"))
        .unwrap();
    cluster.wait_bound(2).unwrap();
    cluster.create_group("late", &gang(4)).unwrap();
    cluster
        .create_pods(&cluster.members_called("b", "late", 2, "100m"))
        .unwrap();
    cluster
        .create_pods(&[pod("big", &cluster.scheduler_name(), "5")])
        .unwrap();
    for name in ["b0", "big"] {
        cluster.wait_condition(name, |message| !message.is_empty()).unwrap();
    }
}

#[test]
fn one_answer_says_what_waits_and_what_is_placed() {
    let cluster = Cluster::new("top-once");
    cluster.create_nodes(0, 2, "1").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    wait_for_room(&cluster);
    let begun = Instant::now();
    let answer = loop {
        let answer: Value = serde_json::from_str(&printed(&cluster, &muster, &["-o", "json"])).unwrap();
        let waits = answer["groups"]["items"].as_array().unwrap().len() == 2
            && answer["pods"]["items"][0]["section"] == "unschedulable"
            && answer["counters"]["bound"].as_u64() == Some(2);
        if waits {
            break answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{answer:#}");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(
        (&answer["apiVersion"], &answer["kind"], &answer["metadata"]),
        (
            &json!("muster.dev/v1alpha1"),
            &json!("Overview"),
            &json!({"name": "current"})
        )
    );
    assert_eq!(answer["nodes"], 2);
    let of = |name: &str| {
        let name = group(&cluster, name);
        let groups = answer["groups"]["items"].as_array().unwrap().iter();
        let mut found = groups.filter(|group| group["name"] == name.as_str());
        found.next().unwrap_or_else(|| panic!("no {name} in {answer:#}"))
    };
    let counts = |group: &Value| ["bound", "withPlaces", "minCount", "members"].map(|field| group[field].as_u64());
    assert_eq!(counts(of("part")), [2, 2, 2, 3].map(Some));
    assert_eq!(counts(of("late")), [0, 0, 4, 2].map(Some));
    assert_eq!(
        (&of("late")["stage"], &of("late")["reason"]),
        (&json!("WaitingForMembers"), &json!("MembersMissing"))
    );
    assert!(of("late")["waitingSeconds"].is_u64());
    assert_eq!(answer["pods"]["items"][0]["name"], "big");
    assert!(
        answer["pods"]["items"][0]["cause"]
            .as_str()
            .unwrap()
            .contains("Insufficient cpu")
    );
    assert!(
        answer["counters"]["scheduling"]["count"].as_u64() == Some(2),
        "{answer:#}"
    );
    assert!(answer["counters"]["requests"]["count"].as_u64() > Some(0));

    // Without a terminal, the same in words.
    let text = printed(&cluster, &muster, &[]);
    assert!(!text.contains('\x1b'), "{text}");
    let late = format!("{}/{}", cluster.name(), group(&cluster, "late"));
    let row = text
        .lines()
        .find(|line| line.starts_with(&late))
        .unwrap_or_else(|| panic!("{text}"));
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[2..4], ["0/4/2", "WaitingForMembers"], "{row}");
    assert!(
        text.contains("no lease, 2 nodes") || text.contains("no lease"),
        "{text}"
    );

    let yaml = printed(&cluster, &muster, &["-o", "yaml", "-n", cluster.name()]);
    assert!(yaml.contains("kind: Overview") && !yaml.contains("counters:"), "{yaml}");
    let elsewhere = printed(&cluster, &muster, &["-o", "json", "-n", "default"]);
    let elsewhere: Value = serde_json::from_str(&elsewhere).unwrap();
    assert_eq!(elsewhere["groups"]["items"], json!([]), "{elsewhere:#}");
}

#[test]
fn on_a_terminal_it_is_watched_and_gives_the_terminal_back() {
    let cluster = Cluster::new("top-live");
    cluster.create_nodes(0, 2, "1").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    wait_for_room(&cluster);
    let mut live = OnTerminal::start(top(&cluster, &muster, &["--interval=200ms"]), 100, 30).unwrap();
    live.wait_for("PLACED/MIN/ALL", PATIENCE).unwrap();
    live.wait_for(&group(&cluster, "late"), PATIENCE).unwrap();
    assert!(!live.is_cooked().unwrap(), "keys come one by one");
    // Another pod is seen without asking.
    live.press("\t").unwrap();
    live.wait_for("BACKOFF", PATIENCE).unwrap();
    cluster
        .create_pods(&[pod("newcomer", &cluster.scheduler_name(), "6")])
        .unwrap();
    live.wait_for("newcomer", PATIENCE).unwrap();
    live.press("/newco\r\r").unwrap();
    live.wait_for("Scheduler:", PATIENCE).unwrap();
    live.wait_for("WaitingForRoom", PATIENCE).unwrap();
    // The explanation closes, and another size is another picture.
    live.press("q").unwrap();
    live.resize(160, 40).unwrap();
    live.wait_for("PLACED/MIN/ALL", PATIENCE).unwrap();
    // A server that is gone is told of, and asked again.
    muster.terminate().unwrap();
    live.wait_for("refused", PATIENCE).unwrap();
    live.press("\x1bq").unwrap();
    let status = live.wait_until_ended(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(0));
    live.wait_for("\x1b[?1049l", PATIENCE).unwrap();
    assert!(live.is_cooked().unwrap(), "as it was before");
}

#[test]
fn a_signal_gives_the_terminal_back_too() {
    let cluster = Cluster::new("top-signal");
    cluster.create_nodes(0, 1, "1").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    let mut live = OnTerminal::start(top(&cluster, &muster, &[]), 80, 24).unwrap();
    live.wait_for("PLACED/MIN/ALL", PATIENCE).unwrap();
    let killed = Command::new("kill")
        .args(["-TERM", &live.pid().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    live.wait_until_ended(PATIENCE).unwrap();
    live.wait_for("\x1b[?1049l", PATIENCE).unwrap();
    assert!(live.is_cooked().unwrap());
}

#[test]
fn who_may_list_pods_in_a_namespace_sees_that_namespace() {
    let cluster = Cluster::new("top-rights");
    cluster.create_nodes(0, 1, "1").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster
        .create_pods(&[pod("big", &cluster.scheduler_name(), "5")])
        .unwrap();
    cluster.wait_condition("big", |_| true).unwrap();
    let _registration = Aggregated::register(&cluster, &muster).unwrap();
    let reader = holder(&cluster, "reader", "view").unwrap();
    let blind = holder(&cluster, "blind", ASKING).unwrap();
    let port = api_port(&cluster).unwrap();
    let path = format!(
        "/apis/explain.muster.dev/v1alpha1/namespaces/{}/overviews/current",
        cluster.name()
    );
    let answer = passed_on(&reader, port, &path).unwrap();
    assert_eq!(answer["pods"]["items"][0]["name"], "big");
    assert_eq!(answer["metadata"]["namespace"], cluster.name());
    assert!(answer["counters"].is_null() && answer["nodes"].is_null(), "{answer:#}");

    let (status, refusal) = blind.get(port, &path).unwrap();
    assert_eq!(status, 403, "{refusal}");
    assert!(refusal.contains("cannot list resource \\\"pods\\\""), "{refusal}");
    let everywhere = "/apis/explain.muster.dev/v1alpha1/clusteroverviews/current";
    assert_eq!(reader.get(port, everywhere).unwrap().0, 403);

    // As an administrator, by the API server that the kubeconfig names.
    let mut command = Command::new(muster_tests::binary().unwrap());
    command.args(["kubectl", "top", "--once"]);
    let output = command
        .env("KUBECONFIG", cluster.plane().kubeconfig())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("{}/big", cluster.name())), "{text}");
}
