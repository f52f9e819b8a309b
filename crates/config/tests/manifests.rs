//! The manifests of `deploy/` hold together: they parse, the embedded configuration loads, and Muster's roles are as small
//! as promised. That an API server takes them, that they suffice, and that no rule is too many, is for the cluster tests;
//! that the chart says the same, for `cargo xtask deploy check`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use muster_config::{Configuration, load};
use serde_json::{Value, json};

fn objects() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/muster.yaml");
    let text = fs::read_to_string(path).expect("deploy/muster.yaml");
    serde_saphyr::from_multiple(&text).expect("YAML")
}

/// The only object of this kind and name.
fn object(kind: &str, name: &str) -> Value {
    let mut found = objects();
    found.retain(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    assert_eq!(found.len(), 1, "{kind} {name}");
    found.remove(0)
}

fn config_map() -> Value {
    let mut found = objects();
    found.retain(|object| object["kind"] == "ConfigMap");
    assert_eq!(found.len(), 1);
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

/// Muster's service account, as bindings name it.
fn muster() -> Value {
    json!([{ "kind": "ServiceAccount", "name": "muster", "namespace": "muster-system" }])
}

/// What the roles of this kind allow that are bound to Muster, as `group/resource: verbs`.
fn granted(binding_kind: &str) -> Vec<String> {
    let objects = objects();
    let mut granted = BTreeSet::new();
    for binding in objects.iter().filter(|object| object["kind"] == binding_kind) {
        assert_eq!(binding["subjects"], muster(), "{binding}");
        let reference = &binding["roleRef"];
        let role = objects.iter().find(|role| {
            role["kind"] == reference["kind"]
                && role["metadata"]["name"] == reference["name"]
                && role["metadata"]["namespace"] == binding["metadata"]["namespace"]
        });
        for rule in role.expect("a role of ours")["rules"].as_array().expect("rules") {
            assert!(rule.get("nonResourceURLs").is_none(), "{rule}");
            for group in strings(&rule["apiGroups"]) {
                for resource in strings(&rule["resources"]) {
                    for verb in strings(&rule["verbs"]) {
                        assert!(
                            granted.insert(format!("{group}/{resource}: {verb}")),
                            "{verb} {resource} twice"
                        );
                    }
                }
            }
        }
    }
    granted.into_iter().collect()
}

#[test]
fn every_object_belongs_to_muster_and_is_where_it_should_be() {
    for object in objects() {
        let kind = object["kind"].as_str().expect("a kind");
        let cluster_wide = ["Namespace", "ClusterRole", "ClusterRoleBinding", "FlowSchema"].contains(&kind);
        let expected = match (cluster_wide, &object["metadata"]["name"]) {
            (true, _) => Value::Null,
            // Who may read how clients are authenticated is said where that stands.
            (false, name) if name == "muster-authentication-reader" => "kube-system".into(),
            (false, _) => "muster-system".into(),
        };
        assert_eq!(object["metadata"]["namespace"], expected, "{object}");
        for label in ["name", "instance"] {
            let label = format!("app.kubernetes.io/{label}");
            assert_eq!(object["metadata"]["labels"][label], "muster", "{object}");
        }
    }
}

#[test]
fn the_embedded_configuration_is_the_default() {
    let config = config_map();
    let loaded = load(config["data"]["muster.yaml"].as_str().expect("text")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded, Configuration::default());
}

#[test]
fn the_roles_are_least_privilege() {
    let expected = [
        "/namespaces: list",
        "/namespaces: watch",
        "/nodes: list",
        "/nodes: watch",
        "/persistentvolumeclaims: list",
        "/persistentvolumeclaims: patch",
        "/persistentvolumeclaims: watch",
        "/persistentvolumes: list",
        "/persistentvolumes: patch",
        "/persistentvolumes: watch",
        "/pods/binding: create",
        "/pods/eviction: create",
        "/pods/status: patch",
        "/pods: get",
        "/pods: list",
        "/pods: watch",
        "/replicationcontrollers: list",
        "/replicationcontrollers: watch",
        "/services: list",
        "/services: watch",
        "apps/replicasets: list",
        "apps/replicasets: watch",
        "apps/statefulsets: list",
        "apps/statefulsets: watch",
        "authentication.k8s.io/tokenreviews: create",
        "authorization.k8s.io/subjectaccessreviews: create",
        "events.k8s.io/events: create",
        "scheduling.k8s.io/podgroups/status: patch",
        "scheduling.k8s.io/podgroups: list",
        "scheduling.k8s.io/podgroups: watch",
        "scheduling.k8s.io/priorityclasses: list",
        "scheduling.k8s.io/priorityclasses: watch",
        "scheduling.k8s.io/workloads: list",
        "scheduling.k8s.io/workloads: watch",
        "scheduling.x-k8s.io/podgroups/status: patch",
        "scheduling.x-k8s.io/podgroups: list",
        "scheduling.x-k8s.io/podgroups: watch",
        "storage.k8s.io/csidrivers: list",
        "storage.k8s.io/csidrivers: watch",
        "storage.k8s.io/csinodes: list",
        "storage.k8s.io/csinodes: watch",
        "storage.k8s.io/csistoragecapacities: list",
        "storage.k8s.io/csistoragecapacities: watch",
        "storage.k8s.io/storageclasses: list",
        "storage.k8s.io/storageclasses: watch",
        "storage.k8s.io/volumeattachments: list",
        "storage.k8s.io/volumeattachments: watch",
    ];
    assert_eq!(granted("ClusterRoleBinding"), expected);
}

#[test]
fn objects_that_are_named_and_no_others_may_be_read_and_renewed() {
    let expected = [
        "/configmaps: get",
        "coordination.k8s.io/leases: get",
        "coordination.k8s.io/leases: patch",
    ];
    assert_eq!(granted("RoleBinding"), expected);
    let read = &object("Role", "muster-authentication-reader")["rules"][0]["resourceNames"];
    assert_eq!(*read, json!(["extension-apiserver-authentication"]));
    let lease = Configuration::default().leader_election.name;
    assert_eq!(object("Role", "muster")["rules"][0]["resourceNames"], json!([lease]));
    // It may not be made, so it is there, and says nothing about who holds it.
    assert!(object("Lease", &lease).get("spec").is_none());
}

#[test]
fn requests_have_the_priority_of_kube_schedulers() {
    let account = json!({ "name": "muster", "namespace": "muster-system" });
    // Source: `SuggestedFlowSchemaKubeScheduler` and `SuggestedFlowSchemaSystemLeaderElection` in
    // k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap/default.go.
    for (name, level) in [
        ("muster", "workload-high"),
        ("muster-leader-election", "leader-election"),
    ] {
        let schema = object("FlowSchema", name);
        assert_eq!(schema["spec"]["priorityLevelConfiguration"]["name"], level);
        assert_eq!(
            schema["spec"]["rules"][0]["subjects"],
            json!([{ "kind": "ServiceAccount", "serviceAccount": account }])
        );
    }
}

#[test]
fn the_deployment_runs_two_replicas_of_an_unprivileged_muster() {
    let deployment = object("Deployment", "muster");
    let spec = &deployment["spec"];
    assert_eq!(spec["replicas"], 2);
    let labels = &spec["template"]["metadata"]["labels"];
    assert_eq!(&spec["selector"]["matchLabels"], labels);
    for (kind, selector) in [
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
        ("Service", "/spec/selector"),
    ] {
        assert_eq!(object(kind, "muster").pointer(selector), Some(labels), "{kind}");
    }
    let pod = &spec["template"]["spec"];
    assert_eq!(
        pod["serviceAccountName"],
        object("ServiceAccount", "muster")["metadata"]["name"]
    );
    assert_eq!(pod["schedulerName"], "default-scheduler");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    let expected = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    });
    assert_eq!(container["securityContext"], expected);
    assert_eq!(container["ports"], json!([{ "name": "https", "containerPort": 10259 }]));
    for (probe, path) in [
        ("startupProbe", "/livez"),
        ("livenessProbe", "/livez"),
        ("readinessProbe", "/readyz"),
    ] {
        assert_eq!(
            container[probe]["httpGet"],
            json!({ "path": path, "port": "https", "scheme": "HTTPS" })
        );
    }
}

#[test]
fn the_deployment_reads_the_config_map() {
    let deployment = object("Deployment", "muster");
    let pod = &deployment["spec"]["template"]["spec"];
    let config = config_map();
    assert_eq!(
        pod["volumes"],
        json!([{ "name": "config", "configMap": { "name": config["metadata"]["name"] } }])
    );
    let mount = &pod["containers"][0]["volumeMounts"][0];
    assert_eq!(mount["name"], "config");
    let file = config["data"]
        .as_object()
        .and_then(|data| data.keys().next())
        .expect("a file");
    let path = format!("--config={}/{file}", mount["mountPath"].as_str().expect("a path"));
    assert_eq!(pod["containers"][0]["args"][1], path);
}
