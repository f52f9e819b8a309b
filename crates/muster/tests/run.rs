//! `muster run` as a process: exit codes, and one sentence instead of a backtrace.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

/// A kubeconfig without mistakes; nobody answers at the address.
const USABLE_KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{name: c, cluster: {server: \"http://127.0.0.1:1\"}}]\n\
    users: [{name: u, user: {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n";

/// Runs the binary; gives its exit code and the last line on stderr.
fn muster(args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_muster"))
        .args(args)
        // As if outside of any cluster, wherever the test runs.
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env_remove("KUBERNETES_SERVICE_PORT")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    (
        output.status.code().expect("an exit code"),
        stderr.lines().last().unwrap_or_default().to_owned(),
    )
}

#[test]
fn what_the_user_has_to_put_right_exits_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let config = file(
        "config.yaml",
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles: 7\n",
    );
    let extender = file(
        "extender.yaml",
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nextenders: [{urlPrefix: \
         \"https://licences\", filterVerb: filter, tlsConfig: {caFile: /nowhere}}]\n",
    );
    let kubeconfig = file("kubeconfig", "users: [{name: u, user: {token: hush}]\n");
    let usable = file("usable", USABLE_KUBECONFIG);
    for (args, said) in [
        (
            &["run", "--config=/nowhere"][..],
            "error: --config: cannot read /nowhere: ",
        ),
        (
            &["run", "--config", &config],
            &format!("error: --config: {config}: invalid configuration: .profiles: "),
        ),
        (
            &["run", "--kubeconfig", &kubeconfig],
            &format!("error: cannot use the kubeconfig {kubeconfig}: "),
        ),
        (
            &["run"],
            "error: no kubeconfig is given (--kubeconfig), and this is no pod with a service account: ",
        ),
        (
            &["run", "--kubeconfig", &usable, "--config", &extender],
            "error: cannot make a client for the extender https://licences: caFile /nowhere: ",
        ),
        (
            &["run", "--kubeconfig", &usable, "--record=/nowhere/file"],
            "error: cannot record to /nowhere/file: ",
        ),
        (
            &[
                "run",
                "--kubeconfig",
                &usable,
                "--tls-cert-file=/nowhere",
                "--tls-private-key-file=/nowhere",
            ],
            "error: cannot read a certificate from /nowhere: ",
        ),
    ] {
        let (code, line) = muster(args);
        assert!(
            code == 2 && line.starts_with(said) && !line.contains("hush"),
            "{args:?}: {code}: {line}"
        );
    }
    assert_eq!(muster(&["run", "--no-such-flag"]).0, 2);
}

#[test]
fn what_fails_around_it_exits_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--secure-port={}", taken.local_addr().unwrap().port());
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::write(&kubeconfig, USABLE_KUBECONFIG).unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    let (code, line) = muster(&["run", "--kubeconfig", kubeconfig, "--bind-address=127.0.0.1", &port]);
    assert!(
        code == 1 && line.starts_with("error: cannot listen on 127.0.0.1:"),
        "{code}: {line}"
    );
}

/// Runs it where nobody answers until it has logged a line with this, and then asks it to end; gives all lines until then.
fn log_until(flags: &[&str], said: &str) -> Vec<String> {
    look_after(flags, said, || ()).0
}

/// Likewise, and looks at something before it is asked to end.
fn look_after<T>(flags: &[&str], said: &str, look: impl FnOnce() -> T) -> (Vec<String>, T) {
    let directory = tempfile::tempdir().expect("a folder");
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::write(&kubeconfig, USABLE_KUBECONFIG).expect("a file");
    let mut child = Command::new(env!("CARGO_BIN_EXE_muster"))
        .args([
            "run",
            "--secure-port=0",
            "--kubeconfig",
            kubeconfig.to_str().expect("UTF-8"),
        ])
        .args(flags)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.contains(said)) {
        lines.push(log.next().expect("it says it before it ends").expect("UTF-8"));
    }
    let seen = look();
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    (lines, seen)
}

const NOBODY_ANSWERS: &str = "cannot ask the API server for its version; trying again";

#[test]
fn it_ends_in_order_while_nobody_answers() {
    let lines = log_until(&[], NOBODY_ANSWERS);
    let line = lines.last().unwrap();
    let is_clear = line.starts_with('W') && line.contains("server=\"127.0.0.1:1\"") && line.contains("refused");
    assert!(is_clear, "{line}");
}

#[test]
fn without_tls_it_serves_this_machine_alone_unless_it_is_told_otherwise() {
    let everywhere = "--insecure-bind-address=0.0.0.0";
    for (flag, to_whom, is_elsewhere) in [(None, "to this machine", false), (Some(everywhere), "to anybody", true)] {
        let port = free_port();
        let with_port = format!("--insecure-port={port}");
        let flags: Vec<&str> = flag.into_iter().chain([&*with_port]).collect();
        // Whoever listens on the loopback address is not at its neighbour, which is this machine's, too.
        let reach = || ["127.0.0.1", "127.0.0.2"].map(|address| TcpStream::connect((address, port)).is_ok());
        let (lines, reached) = look_after(&flags, NOBODY_ANSWERS, reach);
        assert_eq!(reached, [true, is_elsewhere], "{flag:?}: {lines:?}");
        let said = format!("serving without TLS, {to_whom}");
        assert!(lines.iter().any(|line| line.contains(&said)), "{said}: {lines:?}");
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

#[test]
fn lines_for_machines_have_the_keys_of_kubernetes() {
    for line in log_until(&["--logging-format=json"], NOBODY_ANSWERS) {
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(
            said["ts"].is_f64() && said["caller"].is_string() && said["msg"].is_string(),
            "{line}"
        );
        assert!(
            said["v"].is_u64() != said["level"].is_string(),
            "a level or a verbosity: {line}"
        );
    }
}

#[test]
fn the_version_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_muster"))
        .arg("version")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        concat!("muster ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
