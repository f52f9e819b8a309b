//! Pod groups, in the words of the minor that runs: all or nothing, one by one, and held with a reason.

use std::collections::BTreeSet;

use muster_tests::objects::pod;
use muster_tests::{Cluster, Muster, PATIENCE, gang};
use muster_xtask::KubeMinor;
use serde_json::json;

#[test]
fn a_gang_of_eight_with_room_for_seven_waits_whole_and_is_woken_by_the_node() {
    let cluster = Cluster::new("gang");
    cluster.create_nodes(0, 7, "1").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(8)).unwrap();
    cluster.create_pods(&cluster.members("train", 8, "1")).unwrap();
    let (reason, message) = cluster
        .wait_condition("w0", |m| m.contains("nodes are available"))
        .unwrap();
    assert_eq!(reason, "Unschedulable");
    assert!(
        message.starts_with("0/7 nodes are available: 7 Insufficient cpu."),
        "{message}"
    );
    assert!(
        message.contains("7 of the 8 members that it needs would have a place"),
        "{message}"
    );
    cluster.stays_bound(0).unwrap();

    cluster.create_nodes(7, 1, "1").unwrap();
    let bound = cluster.wait_bound(8).unwrap();
    let nodes: BTreeSet<&String> = bound.values().collect();
    assert_eq!(nodes.len(), 8, "one on each node");
    let metrics = muster.metrics().unwrap();
    let active = |event: &str| {
        let event = format!(r#"event="{event}""#);
        metrics.sum("scheduler_queue_incoming_pods_total", &[r#"queue="active""#, &event])
            + metrics.sum("scheduler_queue_incoming_pods_total", &[r#"queue="backoff""#, &event])
    };
    assert_eq!(active("NodeAdd"), 8.0, "the event woke the gang");
    assert_eq!(
        active("BackoffComplete") + active("UnschedulableTimeout"),
        0.0,
        "and nothing else did"
    );
    assert_eq!(muster.rescued_by_flush().unwrap(), 0.0);
}

#[test]
fn two_replicas_are_two_gangs() {
    let cluster = Cluster::new("replicas");
    cluster.create_nodes(0, 1, "3").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    // In 1.35 both have the policy of one Workload; later each has a PodGroup of its own.
    let replica = |key: &str| match cluster.kube() {
        KubeMinor::V1_35 => "train".to_owned(),
        KubeMinor::V1_36 | KubeMinor::V1_37 => format!("train-{key}"),
    };
    let members = |key: &str| {
        let mut members = cluster.members_called(&format!("{key}-"), &replica(key), 2, "1");
        for pod in &mut members {
            if pod["spec"]["workloadRef"].is_object() {
                pod["spec"]["workloadRef"]["podGroupReplicaKey"] = key.into();
            }
        }
        members
    };
    for group in BTreeSet::from([replica("a"), replica("b")]) {
        cluster.create_group(&group, &gang(2)).unwrap();
    }
    cluster.create_pods(&members("a")).unwrap();
    let first = cluster.wait_bound(2).unwrap();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["a-0", "a-1"]);
    cluster.create_pods(&members("b")).unwrap();
    let mut second = cluster.kube().group_name("replicas", &replica("b"));
    if cluster.kube() == KubeMinor::V1_35 {
        second += "[b]";
    }
    cluster
        .wait_condition("b-0", |m| m.contains(&format!("Pod group {second}")))
        .unwrap();
    cluster.stays_bound(2).unwrap();
    cluster.create_nodes(1, 1, "1").unwrap();
    cluster.wait_bound(4).unwrap();
    assert_eq!(muster.rescued_by_flush().unwrap(), 0.0);
}

#[test]
fn a_basic_group_goes_one_by_one() {
    let cluster = Cluster::new("basic");
    cluster.create_nodes(0, 1, "2").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("serve", &json!({ "basic": {} })).unwrap();
    cluster.create_pods(&cluster.members("serve", 3, "1")).unwrap();
    cluster.wait_bound(2).unwrap();
    cluster.stays_bound(2).unwrap();
    assert_eq!(muster.rescued_by_flush().unwrap(), 0.0);
}

#[test]
fn a_missing_policy_object_holds_its_pods_and_lets_them_go_when_it_appears() {
    let cluster = Cluster::new("missing");
    cluster.create_nodes(0, 1, "4").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_pods(&cluster.members("train", 2, "1")).unwrap();
    let (reason, message) = cluster.wait_condition("w1", |_| true).unwrap();
    assert_eq!(reason, "NotReadyForScheduling");
    let kind = match cluster.kube() {
        KubeMinor::V1_35 => "workload",
        KubeMinor::V1_36 | KubeMinor::V1_37 => "pod group",
    };
    assert_eq!(
        message,
        format!("waiting for pods's {kind} \"train\" to appear in scheduling queue")
    );
    cluster.stays_bound(0).unwrap();

    if cluster.kube() == KubeMinor::V1_35 {
        // A Workload without the pod group, and then one with it: the list of groups cannot be changed, only made anew.
        let mut workload = cluster.kube().group_policy("train", &gang(1));
        workload["spec"]["podGroups"][0]["name"] = "leaders".into();
        cluster.api().post(&cluster.group_policies(), &workload).unwrap();
        let (_, message) = cluster.wait_condition("w1", |m| m.contains("doesn't exist")).unwrap();
        assert_eq!(message, r#"pod group "workers" doesn't exist for a workload "train""#);
        let path = format!("{}/train", cluster.group_policies());
        cluster.api().delete(&path).unwrap();
    }
    cluster.create_group("train", &gang(2)).unwrap();
    cluster.wait_bound(2).unwrap();
    assert_eq!(muster.rescued_by_flush().unwrap(), 0.0);
}

#[test]
fn an_absurd_min_count_waits_with_the_numbers() {
    let cluster = Cluster::new("absurd");
    cluster.create_nodes(0, 1, "4").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(i32::MAX)).unwrap();
    cluster.create_pods(&cluster.members("train", 3, "1")).unwrap();
    let group = cluster.kube().group_name("absurd", "train");
    let short = "waiting for minCount pods from a gang to appear in scheduling queue";
    // The pods say what does not change as members arrive; the numbers stand with the group.
    let (reason, message) = cluster.wait_condition("w2", |_| true).unwrap();
    assert_eq!(reason, "NotReadyForScheduling");
    assert_eq!(message, format!("{short}: see pod group {group}"));
    let told = cluster.wait_event("train", "MembersMissing").unwrap();
    assert_eq!(
        told["note"],
        format!("{short}: pod group {group} has 3 of 2147483647 members")
    );
    // It is nobody else's trouble.
    cluster
        .create_pods(&[pod("plain", &cluster.scheduler_name(), "1")])
        .unwrap();
    assert!(cluster.wait_bound(1).unwrap().contains_key("plain"));
    assert_eq!(muster.rescued_by_flush().unwrap(), 0.0);
}

#[test]
fn a_job_becomes_a_gang_and_its_late_replacement_goes_at_once() {
    let cluster = Cluster::new("job");
    cluster.create_nodes(0, 4, "1").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(4)).unwrap();
    let template = cluster
        .kube()
        .member_of(pod("x", &cluster.scheduler_name(), "1"), "train");
    let mut spec = template["spec"].clone();
    spec["restartPolicy"] = "Never".into();
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "train" },
        "spec": { "completionMode": "Indexed", "parallelism": 4, "completions": 4, "template": { "spec": spec } },
    });
    let jobs = format!("/apis/batch/v1/namespaces/{}/jobs", cluster.name());
    cluster.api().post(&jobs, &job).unwrap();
    let bound = cluster.wait_bound(4).unwrap();
    let victim = bound.keys().next().unwrap().clone();
    cluster
        .api()
        .delete(&format!("{}/{victim}", cluster.path("pods")))
        .unwrap();
    let replaced = cluster
        .api()
        .wait_until("the member is replaced", muster_tests::PATIENCE, |_| {
            Ok(Some(cluster.bound()?).filter(|now| now.len() == 4 && !now.contains_key(&victim)))
        });
    replaced.unwrap();
    assert_eq!(muster.rescued_by_flush().unwrap(), 0.0);
}

/// What the scheduler has decided as its log says it: of each line the message and whom it is about, in order.
fn decisions(muster: &Muster) -> Vec<String> {
    let log = muster.log();
    let lines = log.lines().filter(|line| line.contains(" observe.rs:"));
    let decided = lines.map(|line| {
        let mut quoted = line.split('"');
        let (message, about) = (quoted.nth(1).unwrap(), quoted.nth(1).unwrap());
        format!("{message}: {about}")
    });
    let mut decided: Vec<String> = decided.collect();
    decided.sort();
    decided
}

#[test]
fn each_decision_is_one_line_of_the_log_whatever_the_size_of_the_gang() {
    let cluster = Cluster::new("gang-lines");
    cluster.create_nodes(0, 4, "1").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(3)).unwrap();
    cluster.create_group("wait", &gang(2)).unwrap();
    cluster.create_pods(&cluster.members("train", 3, "1")).unwrap();
    cluster.wait_bound(3).unwrap();
    let single = |name: &str| [pod(name, &cluster.scheduler_name(), "1")];
    cluster.create_pods(&single("single")).unwrap();
    cluster.wait_bound(4).unwrap();
    cluster.create_pods(&single("late")).unwrap();
    cluster
        .wait_condition("late", |m| m.contains("Insufficient cpu"))
        .unwrap();
    cluster
        .create_pods(&cluster.members_called("x", "wait", 2, "1"))
        .unwrap();
    for member in ["x0", "x1"] {
        cluster
            .wait_condition(member, |m| m.contains("Insufficient cpu"))
            .unwrap();
    }
    // Whatever is said of the others is said by then.
    cluster.create_pods(&single("last")).unwrap();
    cluster.wait_condition("last", |_| true).unwrap();
    let name = cluster.name();
    let group = |group: &str| cluster.kube().group_name(name, group);
    let expected = [
        format!("bound: {name}/single"),
        format!("the pod group goes: {}", group("train")),
        format!("the pod group waits: {}", group("wait")),
        format!("waits: {name}/last"),
        format!("waits: {name}/late"),
    ];
    // What the API server shows may be said a little later.
    let told = |_: &_| Ok((expected.len() <= decisions(&muster).len()).then_some(()));
    cluster.api().wait_until("all of it is said", PATIENCE, told).unwrap();
    assert_eq!(decisions(&muster), expected, "{}", muster.log());
}
