//! Pod groups in every dialect that the minor which runs can have: its own, the coscheduling CRD, and plain labels. Each
//! waits with a reason, is placed whole, and has its status written as its API wants it.

use muster_tests::objects::{COSCHEDULING_CRD, CRDS, coscheduling_crd, pod};
use muster_tests::{Cluster, PATIENCE, gang};
use muster_xtask::KubeMinor;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a kind may take to be found that was not there at the start: Muster looks once a minute.
const FOUND_WITHIN: Duration = Duration::from_secs(150);

/// The CRD, for as long as a test needs it.
pub(crate) struct Crd<'c>(&'c Cluster);

impl Crd<'_> {
    pub(crate) fn install(cluster: &Cluster) -> Crd<'_> {
        // One that is being deleted stands in the way for a while.
        let made = cluster.api().wait_until("the CRD is made", PATIENCE, |api| {
            api.post(CRDS, &coscheduling_crd()).map(Some)
        });
        made.unwrap();
        let crd = Crd(cluster);
        let served = cluster.api().wait_until("the CRD is served", PATIENCE, |api| {
            api.get_if_found("/apis/scheduling.x-k8s.io/v1alpha1/podgroups")
        });
        served.unwrap();
        crd
    }

    /// The path of the test's groups.
    pub(crate) fn groups_of(cluster: &Cluster) -> String {
        format!(
            "/apis/scheduling.x-k8s.io/v1alpha1/namespaces/{}/podgroups",
            cluster.name()
        )
    }
}

impl Drop for Crd<'_> {
    /// The tests that follow must not find the kind.
    fn drop(&mut self) {
        if let Err(error) = self.0.api().delete(&format!("{CRDS}/{COSCHEDULING_CRD}")) {
            eprintln!("deleting the CRD: {error:#}");
        }
    }
}

/// Pods that ask for one CPU each and carry these labels and annotations.
fn labelled(cluster: &Cluster, names: &[&str], labels: &Value, annotations: &Value) -> Vec<Value> {
    let pods = names.iter().map(|name| {
        let mut pod = pod(name, &cluster.scheduler_name(), "1");
        pod["metadata"]["labels"] = labels.clone();
        pod["metadata"]["annotations"] = annotations.clone();
        pod
    });
    pods.collect()
}

/// Waits until this pod is held for want of members, and an event tells how many there are.
fn wait_for_members(cluster: &Cluster, pod: &str, count: &str) {
    let (reason, message) = cluster
        .wait_condition(pod, |message| message.contains("waiting for minCount pods"))
        .unwrap();
    assert_eq!(reason, "NotReadyForScheduling", "{message}");
    let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", cluster.name());
    let told = cluster
        .api()
        .wait_until(&format!("an event tells of {count} members"), PATIENCE, |api| {
            let events = api.get(&path)?["items"].as_array().cloned().unwrap_or_default();
            let tells = |event: &Value| event["note"].as_str().is_some_and(|note| note.contains(count));
            Ok(events.iter().any(tells).then_some(()))
        });
    told.unwrap();
}

/// The condition by which the minor's own objects say whether their group is scheduled; none in 1.35.
fn condition_type(kube: KubeMinor) -> Option<&'static str> {
    match kube {
        KubeMinor::V1_35 => None,
        KubeMinor::V1_36 => Some("PodGroupScheduled"),
        KubeMinor::V1_37 => Some("PodGroupInitiallyScheduled"),
    }
}

/// Waits until the group's condition has this status; gives the condition.
fn wait_group_condition(cluster: &Cluster, group: &str, status: &str) -> Option<Value> {
    let wanted = condition_type(cluster.kube())?;
    let path = format!("{}/{group}", cluster.group_policies());
    let found = cluster
        .api()
        .wait_until(&format!("{wanted} of {group} is {status}"), PATIENCE, |api| {
            let group = api.get(&path)?;
            let conditions = group["status"]["conditions"].as_array().cloned().unwrap_or_default();
            Ok(conditions
                .into_iter()
                .find(|c| c["type"] == wanted && c["status"] == status))
        });
    Some(found.unwrap())
}

/// Waits until the status of a group of the CRD is accepted; gives it.
fn wait_phase(cluster: &Cluster, path: &str, phase: &str) -> Value {
    let waited = cluster
        .api()
        .wait_until(&format!("{path} is {phase}"), PATIENCE, |api| {
            Ok(Some(api.get(path)?["status"].take()).filter(|status| status["phase"] == phase))
        });
    waited.unwrap()
}

#[test]
fn the_minors_own_groups_wait_with_a_reason_go_whole_and_say_so_for_good() {
    let cluster = Cluster::new("dialect-own");
    cluster.create_nodes(0, 1, "2").unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(3)).unwrap();
    let members = cluster.members("train", 3, "1");
    cluster.create_pods(&members[..2]).unwrap();
    wait_for_members(&cluster, "w1", "2 of 3");

    cluster.create_pods(&members[2..]).unwrap();
    let (reason, _) = cluster
        .wait_condition("w2", |m| m.contains("nodes are available"))
        .unwrap();
    assert_eq!(reason, "Unschedulable");
    cluster.stays_bound(0).unwrap();
    let waits = wait_group_condition(&cluster, "train", "False");
    if let Some(condition) = &waits {
        assert!(condition["lastTransitionTime"].is_string(), "{condition}");
        assert_ne!(condition["message"], "", "{condition}");
    }

    cluster.create_nodes(1, 1, "1").unwrap();
    cluster.wait_bound(3).unwrap();
    let said = wait_group_condition(&cluster, "train", "True");
    assert!(
        said.iter().all(|condition| condition["reason"] == "Scheduled"),
        "{said:?}"
    );
    // True is the last word, even where members go.
    cluster.api().delete(&format!("{}/w0", cluster.path("pods"))).unwrap();
    cluster.api().delete(&format!("{}/w1", cluster.path("pods"))).unwrap();
    cluster.stays_bound(1).unwrap();
    let still = wait_group_condition(&cluster, "train", "True");
    let since = |condition: &Option<Value>| condition.as_ref().map(|c| c["lastTransitionTime"].clone());
    assert_eq!(since(&still), since(&said));
}

#[test]
fn a_lower_min_count_lets_the_gang_go() {
    let cluster = Cluster::new("dialect-min-count");
    if cluster.kube() != KubeMinor::V1_37 {
        // Before, no policy can be changed: the API server refuses, and there is nothing to see.
        return;
    }
    cluster.create_nodes(0, 1, "2").unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(3)).unwrap();
    cluster.create_pods(&cluster.members("train", 2, "1")).unwrap();
    wait_for_members(&cluster, "w1", "2 of 3");
    let fewer = json!({"spec": {"schedulingPolicy": {"gang": {"minCount": 2}}}});
    let path = format!("{}/train", cluster.group_policies());
    cluster.api().merge_patch(&path, &fewer).unwrap();
    cluster.wait_bound(2).unwrap();
    wait_group_condition(&cluster, "train", "True");
}

#[test]
fn a_group_of_the_coscheduling_crd_is_held_until_its_kind_is_served_and_has_its_phase() {
    let cluster = Cluster::new("dialect-crd");
    cluster.create_nodes(0, 1, "2").unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    let labels = json!({"scheduling.x-k8s.io/pod-group": "train"});
    let create = |names: &[&str]| {
        let pods = labelled(&cluster, names, &labels, &json!({}));
        cluster.create_pods(&pods).unwrap();
    };
    create(&["c0", "c1"]);
    let (reason, message) = cluster
        .wait_condition("c1", |m| m.contains("scheduling.x-k8s.io"))
        .unwrap();
    assert_eq!(reason, "NotReadyForScheduling", "{message}");
    assert!(message.contains("does not serve"), "{message}");

    let _crd = Crd::install(&cluster);
    let group = json!({
        "apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup",
        "metadata": {"name": "train"}, "spec": {"minMember": 3},
    });
    cluster.api().post(&Crd::groups_of(&cluster), &group).unwrap();
    let path = format!("{}/c1", cluster.path("pods"));
    let found = cluster
        .api()
        .wait_until("the group is found, and short of a member", FOUND_WITHIN, |api| {
            let text = api.get(&path)?["status"]["conditions"].to_string();
            Ok(text.contains("waiting for minCount pods").then_some(()))
        });
    found.unwrap();
    wait_for_members(&cluster, "c1", "2 of 3");
    let path = format!("{}/train", Crd::groups_of(&cluster));
    wait_phase(&cluster, &path, "Pending");
    create(&["c2"]);
    cluster
        .wait_condition("c2", |m| m.contains("nodes are available"))
        .unwrap();
    cluster.stays_bound(0).unwrap();
    wait_phase(&cluster, &path, "Scheduling");

    cluster.create_nodes(1, 1, "1").unwrap();
    cluster.wait_bound(3).unwrap();
    // The nodes' pods run, so that the group does.
    let status = wait_phase(&cluster, &path, "Running");
    assert_eq!(status["failed"], 0, "{status}");
}

#[test]
fn a_group_by_labels_needs_no_object() {
    let cluster = Cluster::new("dialect-labels");
    cluster.create_nodes(0, 1, "2").unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    let labels = json!({"muster.dev/pod-group": "train"});
    let create = |names: &[&str], labels: &Value, annotations: Value| {
        let pods = labelled(&cluster, names, labels, &annotations);
        cluster.create_pods(&pods).unwrap();
    };
    let three = || json!({"muster.dev/min-count": "3"});
    create(&["l0", "l1"], &labels, three());
    wait_for_members(&cluster, "l1", "2 of 3");
    create(&["l2"], &labels, three());
    cluster
        .wait_condition("l2", |m| m.contains("nodes are available"))
        .unwrap();
    cluster.stays_bound(0).unwrap();
    cluster.create_nodes(1, 1, "1").unwrap();
    cluster.wait_bound(3).unwrap();
    // A count that is none holds its own group, and says where it stands.
    let odd = json!({"muster.dev/pod-group": "odd"});
    create(&["o0"], &odd, json!({"muster.dev/min-count": "many"}));
    cluster
        .wait_condition("o0", |m| m.contains("metadata.annotations[muster.dev/min-count]"))
        .unwrap();
}
