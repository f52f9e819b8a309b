//! The command line against a real API server: `kubectl muster get gangs` and `version`, and what users read when the way to
//! the server is wrong.

use muster_tests::{Cluster, PATIENCE, gang, tokens};
use muster_xtask::KubeMinor;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

/// `kubectl muster` with these words, as an administrator.
fn kubectl_muster(cluster: &Cluster, words: &[&str]) -> Output {
    command(cluster, words).output().unwrap()
}

fn command(cluster: &Cluster, words: &[&str]) -> Command {
    let mut command = Command::new(muster_tests::binary().unwrap());
    command.arg("kubectl").args(words);
    command
        .env("KUBECONFIG", cluster.plane().kubeconfig())
        .env_remove("NO_COLOR");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What it printed, if it ended well.
fn printed(cluster: &Cluster, words: &[&str]) -> String {
    let output = kubectl_muster(cluster, words);
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Exit code, and the line on the standard error.
fn failed(output: &Output) -> (Option<i32>, String) {
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 1, "one sentence, and no panic: {said}");
    (output.status.code(), said.trim_end().to_owned())
}

#[test]
fn gangs_are_listed_and_watched() {
    let cluster = Cluster::new("cli-gangs");
    cluster.create_nodes(0, 2, "1").unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(3)).unwrap();
    cluster.create_pods(&cluster.members("train", 3, "1")).unwrap();
    cluster
        .wait_condition("w0", |message| message.contains("nodes are available"))
        .unwrap();
    let (name, dialect) = match cluster.kube() {
        KubeMinor::V1_35 => ("train/workers", "Workload"),
        KubeMinor::V1_36 => ("train", "PodGroup/v1alpha2"),
        KubeMinor::V1_37 => ("train", "PodGroup/v1beta1"),
    };

    let namespace = ["-n", cluster.name()];
    let table = printed(&cluster, &[&["get", "gangs"], &namespace[..]].concat());
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows[0],
        ["NAME", "DIALECT", "MIN", "MEMBERS", "BOUND", "STATUS", "REASON", "AGE"]
    );
    assert_eq!(rows[1][..6], [name, dialect, "3", "3", "0", "Waiting"], "{table}");
    assert!(!rows[1][6].is_empty() && !table.contains('\x1b'), "{table}");
    let everywhere = printed(&cluster, &["get", "gangs", "-A", "--no-headers", "-o", "wide"]);
    assert!(
        everywhere.starts_with(cluster.name()) && everywhere.contains("Insufficient cpu"),
        "{everywhere}"
    );

    // The watch shows how the room comes.
    let mut watching = command(
        &cluster,
        &[&["get", "gangs", "train", "-w", "-o", "json"], &namespace[..]].concat(),
    );
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let (sender, scheduled) = mpsc::channel();
    std::thread::spawn(move || {
        let found = lines
            .map_while(Result::ok)
            .any(|line| line.contains("\"status\": \"Scheduled\""));
        // Whoever waited may have given up.
        let _ = sender.send(found);
    });
    cluster.create_nodes(2, 1, "1").unwrap();
    cluster.wait_bound(3).unwrap();
    let seen = scheduled.recv_timeout(PATIENCE);
    watching.kill().unwrap();
    watching.wait().unwrap();
    assert_eq!(seen, Ok(true));

    let json = printed(
        &cluster,
        &[&["get", "gangs", "train", "-o", "json"], &namespace[..]].concat(),
    );
    let list: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&"GangList".into(), &"muster.dev/v1alpha1".into())
    );
    assert_eq!(
        (&list["items"][0]["bound"], &list["items"][0]["status"]),
        (&3.into(), &"Scheduled".into())
    );
    let names = printed(
        &cluster,
        &[&["get", "gang", "-o", "name", "-l", "!absent"], &namespace[..]].concat(),
    );
    assert!(names.ends_with(".scheduling.k8s.io/train\n"), "{names}");

    let nothing = kubectl_muster(&cluster, &[&["get", "gangs", "-l", "no=such"], &namespace[..]].concat());
    let expected = format!("No resources found in {} namespace.", cluster.name());
    assert_eq!(failed(&nothing), (Some(0), expected));
    let missing = kubectl_muster(&cluster, &[&["get", "gangs", "nobody"], &namespace[..]].concat());
    assert_eq!(
        failed(&missing),
        (
            Some(1),
            "Error from server (NotFound): gangs \"nobody\" not found".to_owned()
        )
    );
}

#[test]
fn versions_of_all_that_takes_part() {
    let cluster = Cluster::new("cli-version");
    let text = printed(&cluster, &["version"]);
    let version = cluster.api().get("/version").unwrap()["gitVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(text.contains(&format!("Kubernetes Version: {version}\n")), "{text}");
    assert!(text.starts_with("Client Version: "), "{text}");
    assert!(!printed(&cluster, &["version", "--client"]).contains("Kubernetes"));
}

#[test]
fn a_wrong_way_to_the_server_is_one_sentence() {
    let cluster = Cluster::new("cli-wrong");
    let muster = cluster.kubeconfig();
    let expired = tokens::expired(muster, &cluster.plane().dir().join("pki/service-accounts.key")).unwrap();
    let ask = |kubeconfig: &std::path::Path, words: &[&str]| {
        let flag = format!("--kubeconfig={}", kubeconfig.display());
        failed(&kubectl_muster(
            &cluster,
            &[&["get", "gangs", flag.as_str()], words].concat(),
        ))
    };

    assert_eq!(
        ask(&expired, &[]),
        (
            Some(1),
            "error: You must be logged in to the server (Unauthorized)".to_owned()
        )
    );
    let (code, said) = failed(&kubectl_muster(
        &cluster,
        &["version", "-v=0", "--kubeconfig", expired.to_str().unwrap()],
    ));
    assert_eq!(
        (code, said.as_str()),
        (Some(1), "error: You must be logged in to the server (Unauthorized)")
    );
    assert_eq!(
        ask(muster, &["--context=x"]),
        (Some(2), "error: context \"x\" does not exist".to_owned())
    );

    // The scheduler itself ends, and says why.
    let run = Command::new(muster_tests::binary().unwrap())
        .args(["run", "--secure-port=0", "--kubeconfig=/nowhere/config"])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(2));
    // Lines of the log come before.
    let said = text(&run.stderr);
    let said = said.lines().last().unwrap_or_default();
    assert!(
        said.starts_with("error: cannot use the kubeconfig /nowhere/config: "),
        "{said}"
    );
}

#[test]
fn a_user_without_permission_is_told_what_is_missing() {
    let cluster = Cluster::new("cli-forbidden");
    let account = json!({"metadata": {"name": "nobody"}});
    let accounts = cluster.path("serviceaccounts");
    cluster.api().post(&accounts, &account).unwrap();
    let nobody = cluster
        .plane()
        .service_account_kubeconfig(cluster.name(), "nobody")
        .unwrap();
    let flag = format!("--kubeconfig={}", nobody.display());
    let (code, said) = failed(&kubectl_muster(
        &cluster,
        &["get", "gangs", "-n", cluster.name(), &flag],
    ));
    assert_eq!(code, Some(1));
    assert!(said.starts_with("Error from server (Forbidden): "), "{said}");
    assert!(
        said.contains("is forbidden: User ") && said.contains("cannot list resource"),
        "{said}"
    );
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let cluster = Cluster::new("cli-away");
    let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let url = cluster.plane().server_url();
    let path = cluster.kubeconfig().with_extension("away");
    std::fs::write(&path, text.replace(url, "https://127.0.0.1:1")).unwrap();
    let flag = format!("--kubeconfig={}", path.display());
    assert_eq!(
        failed(&kubectl_muster(&cluster, &["version", &flag])),
        (
            Some(1),
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?".to_owned()
        )
    );
    // TLS is checked: the authority of another cluster is not believed.
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let authority = path.with_extension("crt");
    std::fs::write(&authority, other.cert.pem()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["clusters"][0]["cluster"]["certificate-authority"] = authority.to_str().unwrap().into();
    std::fs::write(&path, config.to_string()).unwrap();
    let (code, said) = failed(&kubectl_muster(&cluster, &["version", &flag]));
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("Unable to connect to the server: ") && said.contains("certificate"),
        "{said}"
    );
}
