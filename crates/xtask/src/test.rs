//! `cargo xtask test`: the one command that runs everything, up to the tests against a real control plane.

use std::path::PathBuf;
use std::process::Command;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;

use crate::bench::check;
use crate::binaries::{self, Program};
use crate::control_plane::Options;
use crate::deploy;
use crate::kube_minor::{KubeMinor, MINOR_VARIABLE};
use crate::lint;
use crate::manifest::text;
use crate::oracle;
use crate::simulate_faults;
use crate::steps::{cargo, output, run as run_command, step};

/// The package with the tests that need several crates, and its test target that needs a control plane.
const TESTS_PACKAGE: &str = "muster-tests";
const CLUSTER_TESTS: &str = "cluster";

/// The environment variable that tells the cluster tests where the scheduler is that they test.
const BINARY_VARIABLE: &str = "MUSTER_TEST_BINARY";

/// The oldest and the newest: what changed in between differs in one of them.
const ORACLE_MINORS: [KubeMinor; 2] = [KubeMinor::V1_35, KubeMinor::V1_37];

/// Other minors, against which a part of the cluster tests runs as well: what speaks of pod groups, of faults and of changes of
/// the leader, the rights to what 1.35 does not serve, and pages about a minor. The rest asks the same of every minor, and
/// costs minutes; so does building a control plane of 1.36, which is left to be done by hand (docs/testing.md).
const ALSO: [(KubeMinor, &[&str]); 1] = [(
    KubeMinor::V1_37,
    &[
        "book::",
        "broken::",
        "cli::",
        "dialects::",
        "explain::",
        "gangs::",
        "leader::",
        "permissions::",
        "proxy::",
        "restarts::",
        "top::",
        "traces::",
    ],
)];

/// Where property tests begin to draw lots, unless whoever runs this says otherwise. A change is judged by the same cases as the
/// one before; `cargo test` draws others each time.
const SEED_VARIABLE: &str = "PROPTEST_RNG_SEED";
const SEED: &str = "1";

/// What to leave out, and against which Kubernetes to test.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave out the tests that need Go: those against a real control plane, and those against upstream's own plugins.
    #[arg(long)]
    no_cluster: bool,
    /// The Kubernetes minor of the cluster tests: 1.35, 1.36 or 1.37.
    #[arg(long, default_value_t)]
    kube: KubeMinor,
    /// More arguments for each `cargo test`.
    #[arg(last = true)]
    cargo_args: Vec<String>,
}

/// Runs the steps in order; the first that fails ends it.
pub fn run(args: &Args) -> Result<()> {
    // Cargo and Go share the processors meanwhile. If a step fails before it is joined, its build ends with us.
    let go_programs = (!args.no_cluster).then(|| build_go_programs(args.kube));
    lint::run(&lint::Args::default())?;
    step("tests of the crates", || {
        // To the end even if one fails: whoever mends it wants to know of all.
        let mut command = cargo(&[
            "test",
            "--quiet",
            "--workspace",
            "--no-fail-fast",
            "--exclude",
            TESTS_PACKAGE,
        ]);
        if std::env::var_os(SEED_VARIABLE).is_none() {
            command.env(SEED_VARIABLE, SEED);
        }
        run_command(command.args(&args.cargo_args))
    })?;
    step("instructions counted", || check::run(&check::Args::default()))?;
    step("worlds of faults", simulate_faults::run_fixed_seeds)?;
    step("tests across the crates", || test_across_crates(args))?;
    let Some(go_programs) = go_programs else {
        eprintln!("!! The tests against a real control plane and upstream's own plugins were LEFT OUT (--no-cluster).");
        return Ok(());
    };
    let binary = step("build of muster", build_muster)?;
    step("build of the control plane, Helm and upstream's oracles", || {
        go_programs
            .join()
            .map_err(|_| anyhow!("the thread that builds the Go programs panicked"))?
    })?;
    step("what deploy/ says", || deploy::check(args.kube))?;
    for kube in ORACLE_MINORS {
        step(
            &format!("Muster against upstream's plugins of Kubernetes {kube}"),
            || oracle::run(&oracle::Args::random_cases(kube)),
        )?;
    }
    let against_cluster = |kube: KubeMinor, package: &str, test: &str, only: &[&str]| {
        let mut command = cargo(&["test", "--package", package, "--test", test]);
        command
            .args(&args.cargo_args)
            .env(MINOR_VARIABLE, kube.to_string())
            .env(BINARY_VARIABLE, &binary);
        if !only.is_empty() {
            // Our own filters come after those that were given, and any of them chooses a test.
            if !args.cargo_args.iter().any(|arg| arg == "--") {
                command.arg("--");
            }
            command.args(only);
        }
        run_command(&mut command)
    };
    step("tests of the control plane itself", || {
        against_cluster(args.kube, "muster-xtask", "control_plane", &[])
    })?;
    step(&format!("tests against a real control plane of {}", args.kube), || {
        against_cluster(args.kube, TESTS_PACKAGE, CLUSTER_TESTS, &[])
    })?;
    for (kube, tests) in also(args.kube) {
        step(&format!("what else {kube} is asked: {}", tests.join(" ")), || {
            against_cluster(kube, TESTS_PACKAGE, CLUSTER_TESTS, tests)
        })?;
    }
    Ok(())
}

/// The minors that are tested besides this one, and by what.
fn also(kube: KubeMinor) -> impl Iterator<Item = (KubeMinor, &'static [&'static str])> {
    ALSO.into_iter().filter(move |(minor, _)| *minor != kube)
}

fn build_go_programs(kube: KubeMinor) -> JoinHandle<Result<()>> {
    let programs = Options::default().programs();
    thread::spawn(move || {
        for program in deploy::PROGRAMS.into_iter().chain([Program::Kubectl]) {
            binaries::ensure(program, kube)?;
        }
        // The cluster tests ask the oracle of their own minor.
        for minor in ORACLE_MINORS.into_iter().chain([kube]) {
            binaries::ensure_oracle(minor)?;
        }
        // Metrics of kube-scheduler are held against Muster's, and pages of docs/ tell of it; all pages are typed with kubectl.
        let more = [Program::KubeScheduler, Program::Kubectl];
        for minor in also(kube).map(|(minor, _)| minor).chain([kube]) {
            for program in programs.iter().chain(&more) {
                binaries::ensure(*program, minor)?;
            }
        }
        Ok(())
    })
}

/// Everything in the tests package but the cluster tests: cargo can name targets, but not leave one out.
fn test_across_crates(args: &Args) -> Result<()> {
    let metadata = output(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata = serde_json::from_str(&metadata).context("reading what `cargo metadata` says")?;
    let mut command = cargo(&["test", "--quiet", "--package", TESTS_PACKAGE, "--lib"]);
    for target in test_targets(&metadata).iter().filter(|target| *target != CLUSTER_TESTS) {
        command.args(["--test", target]);
    }
    run_command(command.args(&args.cargo_args))
}

/// The names of the tests package's test targets.
fn test_targets(metadata: &Value) -> Vec<String> {
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    list(metadata, "packages")
        .iter()
        .filter(|package| text(package, "/name").is_ok_and(|name| name == TESTS_PACKAGE))
        .flat_map(|package| list(package, "targets"))
        .filter(|target| list(target, "kind").iter().any(|kind| kind == "test"))
        .filter_map(|target| text(&target, "/name").map(str::to_owned).ok())
        .collect()
}

/// Builds the scheduler as the tests run it, and tells where it is.
pub fn build_muster() -> Result<PathBuf> {
    build_binary("muster", cargo(&["build", "--bin", "muster"]))
}

/// Builds one binary with a cargo command, and tells where it is.
pub(crate) fn build_binary(name: &str, mut command: Command) -> Result<PathBuf> {
    executable(&built(&mut command)?, name)
}

/// Builds with a cargo command; gives cargo's messages, as JSON, one a line.
pub(crate) fn built(command: &mut Command) -> Result<String> {
    command
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(std::process::Stdio::inherit());
    output(command)
}

/// Where a binary is, by the messages of cargo.
pub(crate) fn executable(messages: &str, name: &str) -> Result<PathBuf> {
    let mut messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let binary = messages
        .find(|message| message["target"]["name"] == name && message["executable"].is_string())
        .with_context(|| format!("cargo told of no binary {name}"))?;
    text(&binary, "/executable").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_test_targets_of_the_tests_package_count() {
        let metadata = json!({"packages": [
            {"name": "muster-engine", "targets": [{"kind": ["test"], "name": "other"}]},
            {"name": TESTS_PACKAGE, "targets": [
                {"kind": ["lib"], "name": "muster_tests"},
                {"kind": ["test"], "name": "cluster"},
                {"kind": ["test"], "name": "oracle"},
            ]},
        ]});
        assert_eq!(test_targets(&metadata), ["cluster", "oracle"]);
    }

    #[test]
    fn the_binary_is_where_cargo_says() {
        let messages = r#"
{"reason": "compiler-artifact", "target": {"name": "muster"}, "executable": null}
{"reason": "compiler-artifact", "target": {"name": "other"}, "executable": "/t/other"}
{"reason": "compiler-artifact", "target": {"name": "muster"}, "executable": "/t/muster"}
{"reason": "build-finished", "success": true}
"#;
        assert_eq!(executable(messages, "muster").unwrap(), PathBuf::from("/t/muster"));
        assert!(executable(messages, "absent").is_err());
    }
}
