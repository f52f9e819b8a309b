//! `muster simulate` as people and scripts meet it: what goes where, and how it exits.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn muster(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_muster"))
        .arg("simulate")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary has been built");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that reads no standard input may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn example(name: &str) -> String {
    format!("{}/../../docs/examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

const WAITS: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c}]}\n";

#[test]
fn the_report_goes_to_the_standard_output_and_nothing_else_does() {
    let output = muster(&["-o", "json", &example("gang-waits-then-starts.yaml")], "");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(
        (&report["version"], &report["totals"]["waiting"]),
        (&1.into(), &0.into())
    );
}

#[test]
fn exit_codes_tell_what_happened() {
    assert_eq!(muster(&["-"], WAITS).status.code(), Some(0));
    assert_eq!(muster(&["--expect-all-bound", "-"], WAITS).status.code(), Some(1));
    assert_eq!(muster(&["no-such-file.yaml"], "").status.code(), Some(2));
}

#[test]
fn a_mistake_is_one_sentence_with_its_place() {
    let output = muster(
        &["-"],
        &format!("{WAITS}---\napiVersion: v1\nkind: Node\nmetadata: {{}}\n"),
    );
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "error: <stdin>, document 2, line 8: Node needs metadata.name\n");
}

#[test]
fn what_is_left_out_is_warned_of_unless_quiet() {
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\n";
    let loud = muster(&["-"], config_map);
    assert!(loud.stderr.starts_with(b"warning: <stdin>, document 1"), "{loud:?}");
    assert!(muster(&["--quiet", "-"], config_map).stderr.is_empty());
    assert_eq!(muster(&["--strict", "-"], config_map).status.code(), Some(2));
}
