//! Gangs that lost a member for good, and plans that others spoil: what is kept, what is evicted, what is placed anew.

use std::collections::BTreeMap;

use muster_tests::objects::pod;
use muster_tests::storage::{VolumeController, claim, waiting_class, with_claim};
use muster_tests::{Cluster, PATIENCE, gang};
use serde_json::{Value, json};

const N_MEMBERS: usize = 4;

/// A gang that fills its nodes, all of it bound and told to run: nobody asks a disruption budget about pods that do not.
fn running_gang(cluster: &Cluster, annotations: &Value) -> BTreeMap<String, String> {
    cluster.create_nodes(0, N_MEMBERS, "1").unwrap();
    let mut group = cluster.kube().group_policy("train", &gang(N_MEMBERS as i32));
    group["metadata"]["annotations"] = annotations.clone();
    cluster.api().post(&cluster.group_policies(), &group).unwrap();
    create_members(cluster, "w", N_MEMBERS);
    let bound = cluster.wait_bound(N_MEMBERS).unwrap();
    for pod in bound.keys() {
        let status = format!("{}/{pod}/status", cluster.path("pods"));
        let runs = json!({ "status": { "phase": "Running" } });
        cluster.api().merge_patch(&status, &runs).unwrap();
    }
    bound
}

fn create_members(cluster: &Cluster, prefix: &str, n_members: usize) {
    let mut members = cluster.members_called(prefix, "train", n_members, "1");
    for member in &mut members {
        member["metadata"]["labels"] = json!({ "app": "train" });
    }
    cluster.create_pods(&members).unwrap();
}

/// A node goes, and what ran there with it; another member is made, for which there is no room.
fn lose_a_member(cluster: &Cluster, bound: &BTreeMap<String, String>) -> String {
    let (pod, node) = bound.iter().next().unwrap();
    cluster.api().delete(&format!("/api/v1/nodes/{node}")).unwrap();
    cluster
        .api()
        .delete(&format!("{}/{pod}", cluster.path("pods")))
        .unwrap();
    create_members(cluster, "again", 1);
    pod.clone()
}

fn wait_until_none_of(cluster: &Cluster, old: &BTreeMap<String, String>) {
    let gone = cluster
        .api()
        .wait_until("what was left of the gang is gone", PATIENCE, |_| {
            let now = cluster.bound()?;
            Ok((!old.keys().any(|pod| now.contains_key(pod))).then_some(()))
        });
    gone.unwrap();
}

#[test]
fn a_gang_that_asks_for_it_is_evicted_and_starts_anew_as_a_whole() {
    let cluster = Cluster::new("evicted");
    let flag = cluster
        .write_muster_configuration(&json!({ "gangs": { "brokenGrace": "1s" } }))
        .unwrap();
    let _muster = cluster.start_muster(&[&flag]).unwrap();
    let bound = running_gang(&cluster, &json!({ "muster.dev/when-broken": "evict" }));
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "train" },
        "spec": { "minAvailable": "100%", "selector": { "matchLabels": { "app": "train" } } },
    });
    let budgets = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", cluster.name());
    cluster.api().post(&budgets, &budget).unwrap();
    lose_a_member(&cluster, &bound);
    cluster.wait_event("train", "GangBroken").unwrap();
    let told = cluster.wait_event("train", "GangEvicted").unwrap();
    assert!(
        told["note"]
            .as_str()
            .is_some_and(|note| note.contains("has places for 3 of the 4 members")),
        "{told}"
    );
    // The budget holds, and is asked again.
    cluster.stays_bound(N_MEMBERS - 1).unwrap();
    cluster.api().delete(&format!("{budgets}/train")).unwrap();
    wait_until_none_of(&cluster, &bound);
    create_members(&cluster, "anew", N_MEMBERS - 1);
    cluster.stays_bound(0).unwrap();
    cluster.create_nodes(N_MEMBERS, 1, "1").unwrap();
    let anew = cluster.wait_bound(N_MEMBERS).unwrap();
    assert!(bound.keys().all(|old| !anew.contains_key(old)), "{bound:?} {anew:?}");
}

#[test]
fn a_gang_that_asks_for_nothing_keeps_what_is_bound() {
    let cluster = Cluster::new("kept");
    let flag = cluster
        .write_muster_configuration(&json!({ "gangs": { "brokenGrace": "1s" } }))
        .unwrap();
    let _muster = cluster.start_muster(&[&flag]).unwrap();
    let mut bound = running_gang(&cluster, &json!({}));
    bound.remove(&lose_a_member(&cluster, &bound));
    cluster.wait_event("train", "GangBroken").unwrap();
    cluster.stays_bound(N_MEMBERS - 1).unwrap();
    cluster.create_nodes(N_MEMBERS, 1, "1").unwrap();
    let whole = cluster.wait_bound(N_MEMBERS).unwrap();
    assert!(bound.keys().all(|pod| whole.contains_key(pod)), "{bound:?} {whole:?}");
}

#[test]
fn a_member_that_an_admission_policy_refuses_says_why_and_the_gang_ends_whole() {
    let cluster = Cluster::new("refused-by-policy");
    cluster.create_nodes(0, N_MEMBERS, "1").unwrap();
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    let bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "no-w3" },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                // What a failed test leaves behind must not reach others.
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": cluster.name() } },
                "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/binding"],
                }],
            },
            "validations": [{ "expression": "object.metadata.name != 'w3'", "message": "w3 is not wanted here" }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "no-w3" },
        "spec": { "policyName": "no-w3", "validationActions": ["Deny"] },
    });
    cluster.api().post(policies, &policy).unwrap();
    cluster.api().post(bindings, &binding).unwrap();
    wait_until_refused(&cluster);
    let muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(N_MEMBERS as i32)).unwrap();
    cluster.create_pods(&cluster.members("train", N_MEMBERS, "1")).unwrap();
    cluster
        .wait_condition("w3", |message| message.contains("w3 is not wanted here"))
        .unwrap();
    cluster.stays_bound(N_MEMBERS - 1).unwrap();
    cluster.api().delete(&format!("{bindings}/no-w3")).unwrap();
    cluster.api().delete(&format!("{policies}/no-w3")).unwrap();
    cluster.wait_bound(N_MEMBERS).unwrap();
    assert_eq!(muster.rescued_by_flush().unwrap(), 0.0);
}

/// The API server takes a moment to know of a policy.
fn wait_until_refused(cluster: &Cluster) {
    let probe = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": { "name": "w3" }, "target": { "kind": "Node", "name": "nowhere" },
    });
    let path = format!("{}/w3/binding?dryRun=All", cluster.path("pods"));
    cluster.create_pods(&[pod("w3", "nobody", "1")]).unwrap();
    let refused = cluster.api().wait_until("the policy is in force", PATIENCE, |_| {
        let answer = cluster.api().post(&path, &probe);
        Ok(answer
            .is_err_and(|error| format!("{error:#}").contains("not wanted"))
            .then_some(()))
    });
    refused.unwrap();
    cluster.api().delete(&format!("{}/w3", cluster.path("pods"))).unwrap();
}

#[test]
fn a_place_that_a_rival_takes_while_the_gang_waits_for_volumes_is_found_elsewhere() {
    let cluster = Cluster::new("overtaken");
    cluster.create_nodes(0, 2, "1").unwrap();
    let classes = "/apis/storage.k8s.io/v1/storageclasses";
    cluster
        .api()
        .post(classes, &waiting_class("late", "example.com/disks"))
        .unwrap();
    let claims = cluster.path("persistentvolumeclaims");
    cluster.api().post_all(&claims, &[claim("data", "late")]).unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(2)).unwrap();
    let mut members = cluster.members("train", 2, "1");
    members[0] = with_claim(members[0].take(), "data");
    cluster.create_pods(&members).unwrap();
    let claimed = cluster.api().wait_until("w0 has a place", PATIENCE, |api| {
        let claim = api.get(&format!("{claims}/data"))?;
        let node = &claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"];
        Ok(node.as_str().map(str::to_owned))
    });
    // The other place is w1's: it waits only for the volume of w0.
    let claimed = claimed.unwrap();
    let other = ["overtaken-0", "overtaken-1"].into_iter().find(|node| *node != claimed);
    let other = other.unwrap();
    cluster.create_pods(&[pod("rival", "rival", "1")]).unwrap();
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": { "name": "rival" }, "target": { "kind": "Node", "name": other },
    });
    let path = format!("{}/rival/binding", cluster.path("pods"));
    cluster.api().post(&path, &binding).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let _controller = VolumeController::start(cluster.plane(), "overtaken", "late");
    // There is no other place: nothing of the gang is bound, though the volume is there.
    cluster
        .wait_condition("w1", |m| m.contains("Insufficient cpu"))
        .unwrap();
    cluster.stays_bound(1).unwrap();
    cluster.create_nodes(2, 1, "1").unwrap();
    let bound = cluster.wait_bound(3).unwrap();
    assert_eq!(bound["w0"], claimed, "where its volume is");
    assert_eq!(bound["w1"], "overtaken-2");
}
