//! Bad input, as its reader sees it: one sentence with the place, and an exit code of docs/cli.md.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const HEADER: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).expect("a file of the test");
}

/// The files that the commands name.
fn files(folder: &Path) {
    write(folder, "broken.yaml", format!("{HEADER}profiles: [\n").as_bytes());
    write(
        folder,
        "wrong.yaml",
        format!("{HEADER}parallelism: 0\nclientConnection: {{qps: fast}}\nx: 1\n").as_bytes(),
    );
    write(folder, "latin1.yaml", b"apiVersion: v1\nkind: \xe4\n");
    write(
        folder,
        "pod.yaml",
        b"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: 7}\n",
    );
    write(
        folder,
        "upstream.yaml",
        format!("{HEADER}profiles: [{{plugins: {{permit: {{enabled: [{{name: Coscheduling}}]}}}}}}]\n").as_bytes(),
    );
    write(
        folder,
        "kubeconfig",
        b"apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n\
          clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: u, user: {token: hush}}]\n",
    );
    write(folder, "torn", b"users: [{name: u, user: {token: hush}]\n");
}

/// A line with the command, the exit code, and what it said on both streams.
fn told(folder: &Path, words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_muster"))
        .args(words)
        .current_dir(folder)
        .env("HOME", folder)
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .expect("muster runs");
    let mut out = format!("$ muster {}\n", words.join(" "));
    for stream in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(stream);
        assert!(!text.contains("panicked") && !text.contains("hush"), "{text}");
        // Lines of the log have times in them.
        let is_log = |line: &&str| line.starts_with("I1") || line.starts_with("I0");
        text.lines()
            .filter(|line| !is_log(line))
            .for_each(|line| out.extend([line, "\n"]));
    }
    writeln!(out, "=> {}", output.status.code().expect("no signal")).expect("writing to a string");
    out
}

fn all(commands: &[&[&str]]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    files(folder.path());
    commands
        .iter()
        .map(|words| told(folder.path(), words))
        .collect::<Vec<_>>()
        .join("\n")
}

fn snapshot(name: &str, commands: &[&[&str]]) {
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, all(commands)) });
}

#[test]
fn configurations() {
    snapshot(
        "configurations",
        &[
            &["config", "validate", "wrong.yaml"],
            &["config", "validate", "wrong.yaml", "-o", "json"],
            &["config", "validate", "broken.yaml"],
            &["config", "validate", "latin1.yaml"],
            &["config", "validate", "nowhere.yaml"],
            &["config", "validate", "-"],
            &["config", "validate", "pod.yaml"],
            &["config", "print", "wrong.yaml"],
            &["config", "convert", "pod.yaml"],
            &["config", "convert", "upstream.yaml", "--changes"],
            &["run", "--config=wrong.yaml"],
            &["run", "--config=nowhere.yaml"],
            &["simulate", "--config=wrong.yaml", "pod.yaml"],
        ],
    );
}

#[test]
fn flags() {
    snapshot(
        "flags",
        &[
            &["run", "--no-such-flag"],
            &["run", "--v=much"],
            &["run", "--leader-elect-lease-duration=soon"],
            &["run", "--leader-elect-lease-duration=1s"],
            &["run", "--feature-gates=NoSuchGate=true"],
            &["run", "--master=http://x"],
            &["run", "--kube-api-burst=7"],
            &["completion"],
            &["completion", "tcsh"],
            &["nonsense"],
        ],
    );
}

#[test]
fn ways_to_the_api_server() {
    snapshot(
        "ways_to_the_api_server",
        &[
            &["run", "--secure-port=0"],
            &["run", "--secure-port=0", "--kubeconfig=nowhere"],
            &["run", "--secure-port=0", "--kubeconfig=torn"],
            &["kubectl", "get", "gangs"],
            &["kubectl", "get", "gangs", "--kubeconfig=nowhere"],
            &["kubectl", "get", "gangs", "--kubeconfig=torn"],
            &["kubectl", "get", "gangs", "--kubeconfig=kubeconfig"],
            &["kubectl", "get", "gangs", "--kubeconfig=kubeconfig", "--context=x"],
            &["kubectl", "get", "gangs", "--kubeconfig=kubeconfig", "--cluster=x"],
            &["kubectl", "get", "gangs", "--kubeconfig=kubeconfig", "--user=x"],
            &["kubectl", "version", "--kubeconfig=kubeconfig"],
            &["kubectl", "explain", "pod/a", "--kubeconfig=kubeconfig"],
            &[
                "kubectl",
                "explain",
                "pod/a",
                "--kubeconfig=kubeconfig",
                "--server-url=https://127.0.0.1:2",
            ],
            &["kubectl", "top", "--kubeconfig=kubeconfig"],
            &[
                "kubectl",
                "top",
                "--kubeconfig=kubeconfig",
                "--server-url=https://127.0.0.1:2",
            ],
            &[
                "snapshot",
                "--kubeconfig=kubeconfig",
                "--server-url=https://127.0.0.1:2",
            ],
            &["snapshot", "--kubeconfig=nowhere", "--from-api"],
            &["kubectl", "get", "gangs", "-l", "a=b=c"],
            &["kubectl", "get", "pods"],
        ],
    );
}

#[test]
fn scenarios() {
    snapshot(
        "scenarios",
        &[
            &["simulate", "pod.yaml"],
            &["simulate", "latin1.yaml"],
            &["simulate", "nowhere.yaml"],
            &["simulate", "pod.yaml", "--until=later"],
        ],
    );
}
