//! A standby that is asked what only the leader knows: it answers as the leader does, and to nobody more.

use muster_tests::deployed::token;
use muster_tests::endpoints::Caller;
use muster_tests::objects::pod;
use muster_tests::{Cluster, Muster, PATIENCE};
use serde_json::{Value, json};
use std::process::Command;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/muster-system/leases/muster";
/// Short periods, and the lease that the role allows.
const FLAGS: [&str; 5] = [
    "--leader-elect",
    "--leader-elect-resource-namespace=muster-system",
    "--leader-elect-lease-duration=4s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=500ms",
];
const ADDRESS: &str = "--advertise-address=127.0.0.1";

fn leads(muster: &Muster) -> bool {
    muster.log().contains("this process leads from now on")
}

/// A leader and a standby with these flags more, and a pod that is too big for the only node.
fn leader_and_standby(cluster: &Cluster, more: &[&str]) -> (Muster, Muster) {
    // The test before may have killed the holder.
    let nobody = json!({ "spec": { "holderIdentity": null } });
    cluster.api().merge_patch(LEASE, &nobody).unwrap();
    cluster.create_nodes(0, 1, "1").unwrap();
    let flags = [&FLAGS, more].concat();
    let leader = cluster.start_muster(&flags).unwrap();
    let taken = |_: &_| Ok(leads(&leader).then_some(()));
    cluster.api().wait_until("the lease is taken", PATIENCE, taken).unwrap();
    cluster
        .create_pods(&[pod("big", &cluster.scheduler_name(), "5")])
        .unwrap();
    cluster.wait_condition("big", |_| true).unwrap();
    let standby = cluster.start_muster(&flags).unwrap();
    (leader, standby)
}

fn path(cluster: &Cluster, name: &str) -> String {
    let namespace = cluster.name();
    format!("/apis/explain.muster.dev/v1alpha1/namespaces/{namespace}/podexplanations/{name}")
}

/// What is answered as soon as it has this status: whose certificates are to be believed, and who leads, is known a moment
/// after a start.
fn answered(cluster: &Cluster, muster: &Muster, caller: &Caller, path: &str, wanted: u16) -> String {
    let mut last = (0, String::new());
    let answer = cluster
        .api()
        .wait_until(&format!("{path} is answered with {wanted}"), PATIENCE, |_| {
            last = caller.get(muster.port(), path)?;
            Ok((last.0 == wanted).then(|| last.1.clone()))
        });
    answer.unwrap_or_else(|error| panic!("{error:#}: {last:?}"))
}

/// An explanation without what passes with time.
fn timeless(explanation: &str) -> Value {
    let mut explanation: Value = serde_json::from_str(explanation).unwrap();
    explanation["waitingSeconds"] = Value::Null;
    explanation["stage"]["endsInSeconds"] = Value::Null;
    explanation["attempts"] = Value::Null;
    explanation
}

/// A service account of the test that may read the pods of its namespace, and no others.
fn reader(cluster: &Cluster) -> Caller {
    let namespace = cluster.name();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}});
    cluster.api().post(&cluster.path("serviceaccounts"), &account).unwrap();
    let group = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
    let version = "rbac.authorization.k8s.io/v1";
    let role = json!({"apiVersion": version, "kind": "Role", "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]});
    cluster.api().post(&format!("{group}/roles"), &role).unwrap();
    let binding = json!({"apiVersion": version, "kind": "RoleBinding", "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}]});
    cluster.api().post(&format!("{group}/rolebindings"), &binding).unwrap();
    Caller::with_token(&token(cluster.plane(), namespace, "reader").unwrap())
}

fn annotation(cluster: &Cluster, name: &str) -> Value {
    cluster.api().get(LEASE).unwrap()["metadata"]["annotations"][name].clone()
}

#[test]
fn it_gives_the_leaders_answer_and_leads_on_when_the_leader_is_lost() {
    let cluster = Cluster::new("standby-asks");
    let note = json!({ "metadata": { "annotations": { "example.com/note": "kept" } } });
    cluster.api().merge_patch(LEASE, &note).unwrap();
    let (leader, standby) = leader_and_standby(&cluster, &[ADDRESS]);
    let administrator = Caller::with_certificate(cluster.plane(), "admin");
    let address = |muster: &Muster| format!("127.0.0.1:{}", muster.port());
    assert_eq!(annotation(&cluster, "muster.dev/address"), address(&leader));

    let (plain, full) = (path(&cluster, "big"), format!("{}/full", path(&cluster, "big")));
    for path in [&plain, &full] {
        let theirs = timeless(&answered(&cluster, &leader, &administrator, path, 200));
        let passed_on = timeless(&answered(&cluster, &standby, &administrator, path, 200));
        assert_eq!(passed_on, theirs, "{path}");
        assert_eq!(passed_on["byLeader"], true);
        assert!(passed_on["cause"].as_str().unwrap().contains("Insufficient cpu"));
    }
    assert!(!leads(&standby));
    let overview = "/apis/explain.muster.dev/v1alpha1/clusteroverviews/current";
    let identity = |muster: &Muster| {
        let overview = answered(&cluster, muster, &administrator, overview, 200);
        serde_json::from_str::<Value>(&overview).unwrap()["leader"]["identity"].clone()
    };
    assert!(identity(&leader).is_string());
    assert_eq!(identity(&standby), identity(&leader));
    let absent = answered(&cluster, &standby, &administrator, &path(&cluster, "nobody"), 404);
    assert!(absent.contains("not found"), "{absent}");
    // What was passed on once is not passed on again.
    let refusal = answered(
        &cluster,
        &standby,
        &administrator,
        &format!("{plain}?forwarded=true"),
        503,
    );
    assert!(refusal.contains("this replica is a standby"), "{refusal}");

    // The standby may ask for everything; whoever asks it may not have more for that.
    let reader = reader(&cluster);
    let theirs = timeless(&answered(&cluster, &leader, &reader, &plain, 200));
    assert_eq!(timeless(&answered(&cluster, &standby, &reader, &plain, 200)), theirs);
    for path in [&full, "/debug/snapshot"] {
        answered(&cluster, &standby, &reader, path, 403);
        answered(&cluster, &standby, &Caller::nobody(), path, 401);
    }
    let (status, _) = reader
        .get(standby.port(), &plain.replace(cluster.name(), "default"))
        .unwrap();
    assert_eq!(status, 403, "pods of another namespace");

    explains_and_takes_snapshots(&cluster, &standby);

    leader.kill().unwrap();
    let taken = |_: &_| Ok(leads(&standby).then_some(()));
    cluster.api().wait_until("the standby leads", PATIENCE, taken).unwrap();
    let own = timeless(&answered(&cluster, &standby, &administrator, &plain, 200));
    assert!(
        own["byLeader"] == true && own["cause"].as_str().unwrap().contains("Insufficient cpu"),
        "{own}"
    );
    assert_eq!(annotation(&cluster, "muster.dev/address"), address(&standby));
    let port = standby.port();
    assert_eq!(standby.terminate().unwrap(), Some(0));
    let given_back = annotation(&cluster, "muster.dev/address");
    assert_eq!(given_back, Value::Null, "nobody serves on {port}");
    assert_eq!(annotation(&cluster, "example.com/note"), "kept");
}

/// The commands, at the standby's port.
fn explains_and_takes_snapshots(cluster: &Cluster, standby: &Muster) {
    let server = format!("https://127.0.0.1:{}", standby.port());
    let file = cluster.kubeconfig().with_file_name("standby.gz");
    let file = file.to_str().unwrap();
    for (words, said) in [
        (
            vec!["kubectl", "explain", "pod/big", "-n", cluster.name()],
            "Insufficient cpu",
        ),
        (vec!["snapshot", file], "1 in the queue"),
    ] {
        let mut command = Command::new(muster_tests::binary().unwrap());
        command
            .args(&words)
            .args(["--server-url", &server, "--insecure-skip-tls-verify"]);
        let output = command
            .env("KUBECONFIG", cluster.plane().kubeconfig())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(output.status.success() && text.contains(said), "{words:?}: {text}");
    }
}

#[test]
fn a_renewed_certificate_is_known_to_the_standby_soon() {
    let cluster = Cluster::new("standby-renewed");
    let file = |name: &str| cluster.kubeconfig().with_file_name(format!("standby-{name}"));
    let (certificate, key) = (file("crt"), file("key"));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    };
    renew();
    let files = [
        format!("--tls-cert-file={}", certificate.display()),
        format!("--tls-private-key-file={}", key.display()),
    ];
    let (_leader, standby) = leader_and_standby(&cluster, &[ADDRESS, &files[0], &files[1]]);
    let administrator = Caller::with_certificate(cluster.plane(), "admin");
    let path = path(&cluster, "big");
    answered(&cluster, &standby, &administrator, &path, 200);
    let before = annotation(&cluster, "muster.dev/certificate-sha256");
    renew();
    let changed = |_: &_| {
        let now = annotation(&cluster, "muster.dev/certificate-sha256");
        Ok((now != before).then_some(()))
    };
    cluster
        .api()
        .wait_until("the lease names the new one", PATIENCE, changed)
        .unwrap();
    answered(&cluster, &standby, &administrator, &path, 200);
}

#[test]
fn it_says_why_it_does_not_ask_a_leader_that_says_no_address() {
    let cluster = Cluster::new("standby-silent");
    let (_leader, standby) = leader_and_standby(&cluster, &[]);
    let administrator = Caller::with_certificate(cluster.plane(), "admin");
    assert_eq!(annotation(&cluster, "muster.dev/address"), Value::Null);
    for path in [path(&cluster, "big"), "/debug/snapshot".to_owned()] {
        let says = |_: &_| {
            let (status, body) = administrator.get(standby.port(), &path)?;
            Ok((status == 503 && body.contains("replicas do not say where they can be asked")).then_some(()))
        };
        cluster.api().wait_until("it says why", PATIENCE, says).unwrap();
    }
}
