//! `muster simulate` as people and scripts meet it: what goes where, and how it exits.

use serde_json::Value;
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
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
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

/// What comes back of the small trace of docs/examples, with these flags besides.
fn trace(flags: &[&str]) -> Output {
    let (pods, nodes) = (example("trace-pods.csv"), example("trace-nodes.csv"));
    muster(&[&["--trace", &pods, "--nodes", &nodes][..], flags].concat(), "")
}

#[test]
fn a_trace_is_reported_with_utilisation_and_waits_by_size_of_the_gang() {
    let output = trace(&["-o", "json", "--quiet"]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let counts = ["nodes", "pods", "bound", "waiting", "skippedLines"].map(|count| report[count].as_u64());
    assert_eq!(counts, [20, 29, 28, 1, 0].map(Some));

    let at = |seconds: f64| {
        let mut samples = report["samples"].as_array().expect("samples").iter();
        let later = samples.find(|sample| sample["at"].as_f64() >= Some(seconds));
        later.expect("it lasts longer")
    };
    // Of 40 GPUs `tune` has 16, `score` 8 from 300 s to 1,200 s, and then `pretrain` 32.
    let gpus = [100.0, 400.0, 3000.0].map(|seconds| at(seconds)["gpu"].as_f64());
    assert_eq!(gpus, [0.4, 0.6, 0.8].map(Some));
    // `tune` and what runs for ever, of 576 cores.
    let cpu = at(100.0)["cpu"].as_f64().expect("a share");
    assert!((cpu - 48.0 / 576.0).abs() < 1e-9, "{cpu}");
    assert_eq!((&at(1000.0)["queue"], &at(3000.0)["queue"]), (&12.into(), &1.into()));

    let waits = report["waits"].as_array().expect("waits");
    let sizes: Vec<_> = waits
        .iter()
        .map(|of| ["gangSize", "pods", "waiting"].map(|count| of[count].as_u64().expect("a count")))
        .collect();
    assert_eq!(sizes, [[1, 13, 1], [4, 8, 0], [8, 8, 0]]);
    // Single pods wait for the GPUs of `score`, whose members and those of `tune` do not wait, and `pretrain` for `tune`.
    for (of, waited) in waits.iter().zip([300, 0, 1200]) {
        let longest = of["max"].as_f64().expect("a time");
        let expected = f64::from(waited)..f64::from(waited + 30);
        assert!(expected.contains(&longest), "{of:#}");
    }
    assert_eq!(report["reasons"][0][1], 1);
    let why = report["reasons"][0][0].as_str().expect("a sentence");
    assert!(why.contains("20 Insufficient cpu"), "{why}");
}

#[test]
fn the_page_of_a_trace_plots_the_waits_by_size_of_the_gang() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("page.html");
    let output = trace(&["-o", "json", "--html", path.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (_, plot) = page
        .split_once("<h2>Waits by size of the gang</h2>")
        .expect("the plot's heading");
    let (plot, _) = plot.split_once("</table>").expect("the plot's end");
    let rows: Vec<&str> = plot.lines().filter(|line| line.starts_with("<tr><td>")).collect();
    let waits = report["waits"].as_array().expect("waits");
    assert_eq!(rows.len(), waits.len(), "{plot}");
    let seconds = |of: &Value, what: &str| of[what].as_f64().expect("a time");
    let longest = waits.iter().map(|of| seconds(of, "max")).fold(0.0, f64::max);
    for (row, of) in rows.into_iter().zip(waits) {
        let (size, pods, waiting) = (&of["gangSize"], &of["pods"], &of["waiting"]);
        let counts = format!("<tr><td>{size}</td><td>{pods}</td><td>{waiting}</td>");
        assert!(row.starts_with(&counts), "{row}");
        // The bars, the longest behind the others.
        let bars: Vec<&str> = row.split("<rect ").skip(1).collect();
        let lengths = ["max", "p90", "p50"].map(|what| format!("width=\"{:.1}\"", 160.0 * seconds(of, what) / longest));
        assert_eq!(bars.len(), lengths.len(), "{row}");
        for (bar, length) in bars.into_iter().zip(lengths) {
            assert!(bar.contains(&length), "{length} is not in {bar}");
        }
    }
}

#[test]
fn a_damaged_line_of_a_trace_is_one_sentence_with_file_and_line() {
    let whole = std::fs::read_to_string(example("trace-pods.csv")).expect("the example");
    let line = whole.lines().count() + 1;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pods.csv");
    let path = path.to_str().expect("UTF-8");
    for (damaged, problem) in [
        ("half,1000", "it has 2 cells, and the header has 13"),
        (
            "back,1000,1024,0,0,,BE,Running,0,10,20,,",
            "column deletion_time: 10 is before the pod began, at 20",
        ),
        ("web-0,1000,1024,0,0,,BE,Running,0,,,,", "\"web-0\" was there before"),
    ] {
        std::fs::write(path, format!("{whole}{damaged}\n")).expect("a file of the test");
        let output = muster(&["--trace", path, "--nodes", &example("trace-nodes.csv")], "");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        assert_eq!(said, format!("error: {path}:{line}: {problem}\n"));
    }
}
