//! The manifests of `deploy/` hold together: they parse, the embedded configuration loads, and Muster's role is as small
//! as promised. That an API server takes them, and that they suffice, is for the cluster tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use muster_config::{Configuration, load};
use serde_json::{Value, json};

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/manifests")
}

fn objects_of(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(manifests().join(file)).expect(file);
    assert!(text.starts_with("# "), "{file} says what it is");
    serde_saphyr::from_multiple(&text).expect(file)
}

fn files() -> BTreeSet<String> {
    let entries = fs::read_dir(manifests()).expect("the folder");
    entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect()
}

/// The only object of this kind.
fn object(kind: &str) -> Value {
    let mut found: Vec<Value> = files()
        .iter()
        .flat_map(|file| objects_of(file))
        .filter(|o| o["kind"] == kind)
        .collect();
    assert_eq!(found.len(), 1, "{kind}");
    found.remove(0)
}

fn strings(value: &Value) -> BTreeSet<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| item.as_str().expect("a string"))
        .collect()
}

#[test]
fn kustomize_knows_every_file() {
    let kustomization = object("Kustomization");
    let mut listed: BTreeSet<String> = strings(&kustomization["resources"])
        .into_iter()
        .map(str::to_owned)
        .collect();
    listed.insert("kustomization.yaml".to_owned());
    assert_eq!(listed, files());
}

#[test]
fn every_object_has_a_name_and_its_namespace() {
    for object in files()
        .iter()
        .flat_map(|file| objects_of(file))
        .filter(|o| o["kind"] != "Kustomization")
    {
        let in_namespace = matches!(
            object["kind"].as_str(),
            Some("ServiceAccount" | "ConfigMap" | "Deployment" | "PodDisruptionBudget" | "Role" | "RoleBinding")
        );
        let (name, namespace) = if object["kind"] == "Namespace" {
            ("muster-system", "")
        } else {
            ("muster", "muster-system")
        };
        assert_eq!(object["metadata"]["name"], name, "{object}");
        assert_eq!(object["metadata"]["namespace"] == namespace, in_namespace, "{object}");
        assert_eq!(
            object["metadata"]["labels"]["app.kubernetes.io/name"], "muster",
            "{object}"
        );
    }
}

#[test]
fn the_embedded_configuration_is_the_default() {
    let config = object("ConfigMap");
    let loaded = load(config["data"]["muster.yaml"].as_str().expect("text")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded, Configuration::default());
}

#[test]
fn the_role_is_least_privilege() {
    let role = object("ClusterRole");
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().expect("rules") {
        assert!(rule.get("nonResourceURLs").is_none(), "{rule}");
        for group in strings(&rule["apiGroups"]) {
            for resource in strings(&rule["resources"]) {
                let verbs = strings(&rule["verbs"]).into_iter().collect::<Vec<_>>().join(",");
                assert!(
                    granted.insert(format!("{group}/{resource}: {verbs}")),
                    "{resource} twice"
                );
            }
        }
    }
    for grant in &granted {
        assert!(!grant.contains('*') && !grant.contains("secrets"), "{grant}");
        assert!(
            !["delete", "deletecollection", "update", "impersonate", "escalate"]
                .iter()
                .any(|v| grant.contains(v)),
            "{grant}"
        );
    }
    let expected = [
        "/namespaces: list,watch",
        "/nodes: list,watch",
        "/persistentvolumeclaims: get,list,patch,watch",
        "/persistentvolumes: get,list,patch,watch",
        "/pods/binding: create",
        "/pods/eviction: create",
        "/pods/status: patch",
        "/pods: get,list,watch",
        "/replicationcontrollers: get,list,watch",
        "/services: get,list,watch",
        "apps/replicasets: get,list,watch",
        "apps/statefulsets: get,list,watch",
        "events.k8s.io/events: create,patch",
        "scheduling.k8s.io/podgroups/status: patch",
        "scheduling.k8s.io/podgroups: list,watch",
        "scheduling.k8s.io/priorityclasses: list,watch",
        "scheduling.k8s.io/workloads: list,watch",
        "scheduling.x-k8s.io/podgroups/status: patch",
        "scheduling.x-k8s.io/podgroups: list,watch",
        "storage.k8s.io/csidrivers: get,list,watch",
        "storage.k8s.io/csinodes: get,list,watch",
        "storage.k8s.io/csistoragecapacities: get,list,watch",
        "storage.k8s.io/storageclasses: get,list,watch",
        "storage.k8s.io/volumeattachments: get,list,watch",
    ];
    assert_eq!(granted.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn the_lease_and_no_other_may_be_read_and_renewed() {
    let lease = Configuration::default().leader_election.name;
    let rule = |verbs: Value| json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs});
    let mut named = rule(json!(["get", "patch"]));
    named["resourceNames"] = json!([lease]);
    assert_eq!(object("Role")["rules"], json!([rule(json!(["create"])), named]));
    let binding = object("RoleBinding");
    assert_eq!(binding["roleRef"]["name"], "muster");
    assert_eq!(binding["subjects"], object("ClusterRoleBinding")["subjects"]);
}

#[test]
fn role_and_priority_are_given_to_the_service_account_and_nobody_else() {
    let account = json!({"name": "muster", "namespace": "muster-system"});
    let binding = object("ClusterRoleBinding");
    assert_eq!(
        binding["subjects"],
        json!([{"kind": "ServiceAccount", "name": "muster", "namespace": "muster-system"}])
    );
    assert_eq!(binding["roleRef"]["name"], "muster");
    let schema = object("FlowSchema");
    assert_eq!(
        schema["spec"]["rules"][0]["subjects"],
        json!([{"kind": "ServiceAccount", "serviceAccount": account}])
    );
    assert_eq!(object("ServiceAccount")["metadata"]["name"], "muster");
    assert_eq!(
        object("Deployment")["spec"]["template"]["spec"]["serviceAccountName"],
        "muster"
    );
}

#[test]
fn the_deployment_runs_two_replicas_of_an_unprivileged_muster() {
    let deployment = object("Deployment");
    let spec = &deployment["spec"];
    assert_eq!(
        (&spec["replicas"], &spec["strategy"]),
        (&json!(2), &json!({"type": "RollingUpdate"}))
    );
    assert_eq!(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]);
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["schedulerName"], "default-scheduler");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    let expected = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(container["securityContext"], expected);
    assert_eq!(container["ports"], json!([{"name": "https", "containerPort": 10259}]));
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(
            container[probe]["httpGet"],
            json!({"path": path, "port": "https", "scheme": "HTTPS"})
        );
    }
}

#[test]
fn the_deployment_reads_the_config_map() {
    let deployment = object("Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let config = object("ConfigMap");
    assert_eq!(
        pod["volumes"],
        json!([{"name": "config", "configMap": {"name": config["metadata"]["name"]}}])
    );
    let mount = &pod["containers"][0]["volumeMounts"][0];
    assert_eq!(mount["name"], "config");
    let file = config["data"]
        .as_object()
        .and_then(|data| data.keys().next())
        .expect("a file");
    let path = format!("--config={}/{file}", mount["mountPath"].as_str().expect("a path"));
    assert_eq!(pod["containers"][0]["args"], json!(["run", path]));
}
