//! Muster's own endpoints: who may read what, as the API server says; certificates and verbosity that change at run time.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use muster_tests::endpoints::Caller;
use muster_tests::objects::pod;
use muster_tests::{Cluster, Muster, PATIENCE};
use serde_json::{Value, json};

/// What is found out is forgotten quickly, so that the tests see changes.
const SHORT_MEMORY: &[&str] = &[
    "--authorization-always-allow-paths=/healthz,/readyz,/livez",
    "--authentication-token-webhook-cache-ttl=1s",
    "--authorization-webhook-cache-authorized-ttl=1s",
    "--authorization-webhook-cache-unauthorized-ttl=1s",
];
/// As it comes.
const USUAL: &[&str] = &["--authorization-always-allow-paths=/healthz,/readyz,/livez"];

/// A service account of the test's namespace; gives a token for it.
fn service_account(cluster: &Cluster, name: &str) -> String {
    let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", cluster.name());
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    cluster.api().post(&accounts, &account).unwrap();
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let answer = cluster
        .api()
        .post(&format!("{accounts}/{name}/token"), &request)
        .unwrap();
    answer["status"]["token"].as_str().unwrap().to_owned()
}

/// Lets somebody read these paths.
fn let_read(cluster: &Cluster, name: &str, subject: &Value, paths: &[&str]) {
    grant(
        cluster,
        name,
        subject,
        &json!({"nonResourceURLs": paths, "verbs": ["get"]}),
    );
}

/// Gives somebody a right, wherever it applies.
fn grant(cluster: &Cluster, name: &str, subject: &Value, rule: &Value) {
    let name = format!("{}-{name}", cluster.name());
    let group = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
        "rules": [rule],
    });
    cluster.api().post(&format!("{group}/clusterroles"), &role).unwrap();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [subject],
    });
    cluster
        .api()
        .post(&format!("{group}/clusterrolebindings"), &binding)
        .unwrap();
}

fn account(cluster: &Cluster, name: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": name, "namespace": cluster.name()})
}

/// Waits until a caller reads a path with this status; gives the body.
fn wait_for(muster: &Muster, caller: &Caller, path: &str, status: u16) -> String {
    let begun = Instant::now();
    loop {
        let (found, body) = caller.get(muster.port(), path).unwrap();
        if found == status {
            return body;
        }
        assert!(begun.elapsed() < PATIENCE, "{path} is {found} and not {status}: {body}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_token_opens_what_its_owner_may_read() {
    let cluster = Cluster::new("tokens");
    let reader = Caller::with_token(&service_account(&cluster, "reader"));
    let other = Caller::with_token(&service_account(&cluster, "other"));
    let_read(&cluster, "reader", &account(&cluster, "reader"), &["/metrics"]);
    let muster = cluster.start_muster(USUAL).unwrap();
    let port = muster.port();

    for _ in 0..5 {
        let metrics = wait_for(&muster, &reader, "/metrics", 200);
        assert!(metrics.contains("scheduler_pending_pods"));
    }
    let (status, refusal) = other.get(port, "/metrics").unwrap();
    let refusal: Value = serde_json::from_str(&refusal).unwrap();
    assert_eq!((status, &refusal["reason"]), (403, &json!("Forbidden")));
    assert_eq!(
        refusal["message"],
        "forbidden: User \"system:serviceaccount:tokens:other\" cannot get path \"/metrics\""
    );
    assert_eq!(reader.get(port, "/configz").unwrap().0, 403);
    for caller in [Caller::nobody(), Caller::with_token("made-up")] {
        let (status, refusal) = caller.get(port, "/metrics").unwrap();
        let refusal: Value = serde_json::from_str(&refusal).unwrap();
        assert_eq!((status, &refusal["kind"]), (401, &json!("Status")));
    }
    for open in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(Caller::nobody().get(port, open).unwrap().0, 200, "{open}");
    }
    assert_eq!(Caller::nobody().get(port, "/readyz/ping").unwrap().0, 401);

    // Each token was asked about once, and each question about access, too: the five above came within the time.
    let metrics = wait_for(&muster, &reader, "/metrics", 200);
    let count = |line: &str| {
        let found = metrics
            .lines()
            .find_map(|l| l.strip_prefix(line)?.trim().parse::<f64>().ok());
        found.unwrap_or_else(|| panic!("no {line} in\n{metrics}"))
    };
    assert!(count("authentication_token_cache_request_total{status=\"hit\"}") >= 4.0);
    assert!(count("apiserver_delegated_authn_request_total{code=\"201\"}") <= 4.0);
    assert!(count("apiserver_delegated_authz_request_total{code=\"201\"}") <= 4.0);
    assert!(!muster.log().contains("made-up"), "tokens are not logged");
}

/// What `muster` answers to a person who asks the Muster that runs with nothing but a token.
fn by_token(cluster: &Cluster, muster: &Muster, token: &str, words: &[&str]) -> Output {
    Command::new(muster_tests::binary().unwrap())
        .args(words)
        .arg(format!("--server-url=https://127.0.0.1:{}", muster.port()))
        .args(["--insecure-skip-tls-verify", "--token", token])
        // Muster's own has no certificate, and its token, which may read all pods, is not to be shown.
        .env("KUBECONFIG", cluster.kubeconfig())
        .output()
        .unwrap()
}

#[test]
fn commands_that_ask_muster_itself_show_the_token_that_they_are_given() {
    let cluster = Cluster::new("bearers");
    let [reader, other] = ["reader", "other"].map(|name| service_account(&cluster, name));
    let pods = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]});
    grant(&cluster, "reader", &account(&cluster, "reader"), &pods);
    let muster = cluster.start_muster(SHORT_MEMORY).unwrap();
    cluster
        .create_pods(&[pod("big", &cluster.scheduler_name(), "5")])
        .unwrap();
    cluster.wait_condition("big", |_| true).unwrap();

    let explain = ["kubectl", "explain", "pod/big", "-n", cluster.name(), "-o", "json"];
    let top = ["kubectl", "top", "-o", "json"];
    for (words, kind) in [
        (&explain[..], Some("Explanation")),
        (&top[..], Some("Overview")),
        (&["snapshot", "-"][..], None),
    ] {
        let answered = cluster.api().wait_until("whoever may is answered", PATIENCE, |_| {
            let output = by_token(&cluster, &muster, &reader, words);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            anyhow::ensure!(output.status.success(), "{words:?}: {said}");
            Ok(Some(output.stdout))
        });
        let answered = answered.unwrap();
        match kind {
            Some(kind) => {
                let answer: Value = serde_json::from_slice(&answered).unwrap();
                assert_eq!(answer["kind"], kind, "{answer:#}");
            }
            None => assert_eq!(answered[..2], [0x1f, 0x8b], "compressed by gzip"),
        }

        let refused = |token: &str| {
            let output = by_token(&cluster, &muster, token, words);
            assert!(output.stdout.is_empty(), "{words:?} printed something");
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let (code, said) = refused(&other);
        assert_eq!(code, Some(1), "{said}");
        let beginning = "Error from server (Forbidden): ";
        assert!(
            said.starts_with(beginning) && said.contains("system:serviceaccount:bearers:other"),
            "{said}"
        );
        let unknown = "error: You must be logged in to the server (Unauthorized)\n";
        assert_eq!(refused("made-up"), (Some(1), unknown.to_owned()));
    }
    let log = muster.log();
    for token in [reader.as_str(), other.as_str(), "made-up"] {
        assert!(!log.contains(token), "tokens are not logged");
    }
}

#[test]
fn a_token_that_is_revoked_opens_nothing_soon() {
    let cluster = Cluster::new("revoked");
    let reader = Caller::with_token(&service_account(&cluster, "reader"));
    let_read(&cluster, "reader", &account(&cluster, "reader"), &["/metrics"]);
    let muster = cluster.start_muster(SHORT_MEMORY).unwrap();
    wait_for(&muster, &reader, "/metrics", 200);
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/reader", cluster.name());
    cluster.api().delete(&path).unwrap();
    wait_for(&muster, &reader, "/metrics", 401);
}

#[test]
fn clients_of_the_cluster_are_known_by_their_certificates() {
    let cluster = Cluster::new("certificates");
    let admin = Caller::with_certificate(cluster.plane(), "admin");
    let scheduler = Caller::with_certificate(cluster.plane(), "kube-scheduler");
    let muster = cluster.start_muster(SHORT_MEMORY).unwrap();
    // The authorities are those that the API server names in kube-system/extension-apiserver-authentication.
    let statusz = wait_for(&muster, &admin, "/statusz", 200);
    assert!(statusz.starts_with("\nmuster statusz\n"), "{statusz}");
    let emulation = format!("Emulation version: {}\n", cluster.kube());
    assert!(statusz.contains(&emulation), "{statusz}");
    let flagz = wait_for(&muster, &admin, "/flagz", 200);
    assert!(flagz.contains(&format!("\nsecure-port={}\n", muster.port())), "{flagz}");
    let configz: Value = serde_json::from_str(&wait_for(&muster, &admin, "/configz", 200)).unwrap();
    assert_eq!(
        configz["componentconfig"]["profiles"][0]["schedulerName"],
        json!(cluster.scheduler_name())
    );

    wait_for(&muster, &scheduler, "/statusz", 403);
    let subject = json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "system:kube-scheduler"});
    let_read(&cluster, "scheduler", &subject, &["/statusz"]);
    wait_for(&muster, &scheduler, "/statusz", 200);
}

#[test]
fn a_front_proxy_speaks_for_others_and_a_client_does_not() {
    let cluster = Cluster::new("front-proxy");
    // The control plane has one authority for all: who is a front proxy is a matter of the name here.
    let authority = cluster.plane().dir().join("pki/ca.crt");
    let authority = format!("--requestheader-client-ca-file={}", authority.display());
    let mut flags = SHORT_MEMORY.to_vec();
    flags.extend([&*authority, "--requestheader-allowed-names=system:kube-scheduler"]);
    let muster = cluster.start_muster(&flags).unwrap();
    let_read(
        &cluster,
        "jane",
        &json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}),
        &["/metrics"],
    );
    let as_jane = |file: &str| Caller::with_certificate(cluster.plane(), file).saying("X-Remote-User", "jane");
    wait_for(&muster, &as_jane("kube-scheduler"), "/metrics", 200);
    wait_for(&muster, &as_jane("kube-scheduler"), "/configz", 403);
    // This one asks for itself, whatever it writes, and may not.
    let (status, refusal) = as_jane("kube-controller-manager")
        .get(muster.port(), "/metrics")
        .unwrap();
    assert!(
        status == 403 && refusal.contains("system:kube-controller-manager"),
        "{status}: {refusal}"
    );
    // A header alone is nobody.
    let alone = Caller::nobody().saying("X-Remote-User", "jane");
    assert_eq!(alone.get(muster.port(), "/metrics").unwrap().0, 401);
}

#[test]
fn a_new_certificate_is_shown_without_a_restart() {
    let cluster = Cluster::new("rotation");
    let file = |name: &str| cluster.plane().dir().join(format!("rotation.{name}"));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(file("key"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(file("crt"), made.cert.pem()).unwrap();
        Caller::nobody().trusting(made.cert.der().to_vec())
    };
    let first = renew();
    let flags = [
        format!("--tls-cert-file={}", file("crt").display()),
        format!("--tls-private-key-file={}", file("key").display()),
        "--tls-min-version=VersionTLS13".to_owned(),
    ];
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let muster = cluster.start_muster(&flags).unwrap();
    assert_eq!(first.get(muster.port(), "/livez").unwrap().0, 200);
    let second = renew();
    let begun = Instant::now();
    while second.get(muster.port(), "/livez").is_err() {
        assert!(begun.elapsed() < PATIENCE, "the new certificate is not shown");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(first.get(muster.port(), "/livez").is_err(), "the old one is gone");
}

#[test]
fn the_verbosity_is_changed_by_those_who_may() {
    let cluster = Cluster::new("verbosity");
    let admin = Caller::with_certificate(cluster.plane(), "admin");
    let scheduler = Caller::with_certificate(cluster.plane(), "kube-scheduler");
    let muster = cluster.start_muster(USUAL).unwrap();
    wait_for(&muster, &admin, "/statusz", 200);
    let is_told = || muster.log().contains("\"HTTP\" verb=\"GET\" path=\"/flagz\"");
    admin.get(muster.port(), "/flagz").unwrap();
    assert!(!is_told(), "requests are not told of at 2:\n{}", muster.log());
    let put = |caller: &Caller, level: &str| caller.ask(muster.port(), "PUT", "/debug/flags/v", level).unwrap();
    assert_eq!(put(&scheduler, "4").0, 403);
    assert_eq!(put(&Caller::nobody(), "4").0, 401);
    let (status, said) = put(&admin, "4");
    assert_eq!(
        (status, &*said),
        (200, "successfully set klog.logging.verbosity to 4\n")
    );
    admin.get(muster.port(), "/flagz").unwrap();
    let begun = Instant::now();
    while !is_told() {
        assert!(begun.elapsed() < PATIENCE, "{}", muster.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(put(&admin, "loud").0, 400);
}

#[test]
fn a_server_without_tls_is_for_reading_only() {
    let cluster = Cluster::new("plain");
    let port = muster_tests::free_port().unwrap();
    let flag = format!("--insecure-port={port}");
    let _muster = cluster.start_muster(&[&flag]).unwrap();
    let ask = |method: &str, path: &str| {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n4"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("GET", "/metrics").contains("scheduler_pending_pods"));
    assert!(ask("PUT", "/debug/flags/v").starts_with("HTTP/1.1 405 "));
}
