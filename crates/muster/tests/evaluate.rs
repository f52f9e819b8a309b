//! `muster evaluate` as people and programs meet it: tables, answers a line, and what becomes of mistakes.

use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};

fn muster(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_muster"))
        .arg("evaluate")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary has been built");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    // Answers come while cases go.
    let writing = std::thread::spawn(move || {
        // A command that reads no standard input may be gone already.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("it ends");
    writing.join().expect("it has been written");
    output
}

/// Standard output, after the standard error where there is some.
fn said(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{err}{}{out}", if err.is_empty() { "" } else { "\n" })
}

fn example(name: &str) -> String {
    format!("{}/../../docs/examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The answers to cases, which are lines.
fn answers(arguments: &[&str], lines: &str) -> Vec<Value> {
    let output = muster(&[arguments, &["--format", "cases"]].concat(), lines.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8(output.stdout).expect("it is UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect()
}

fn node(name: &str, cpu: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}}})
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]}})
}

fn case() -> Value {
    let mut running = pod("old", "1");
    running["spec"]["nodeName"] = json!("half");
    json!({"id": "a", "objects": [node("half", "2"), running, node("big", "4"), node("small", "500m")], "pod": pod("new", "1")})
}

#[test]
fn tables_say_where_and_why() {
    for name in ["evaluate-where", "evaluate-nowhere", "evaluate-spread"] {
        let output = muster(&["--kube", "1.35", &example(&format!("{name}.yaml"))], b"");
        assert_eq!(output.status.code(), Some(0));
        insta::assert_snapshot!(name, said(&output));
    }
}

#[test]
fn a_pod_is_judged_as_if_it_were_nowhere_yet() {
    let output = muster(&["--pod", "web-1", "-o", "json", &example("evaluate-where.yaml")], b"");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(
        (&answer["id"], &answer["nodes"]["east-1"]),
        (&json!("default/web-1"), &json!({"ok": true}))
    );
    let output = muster(&["--pod", "shop/x", &example("evaluate-where.yaml")], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("there is no Pod shop/x"), "{}", said(&output));
}

#[test]
fn many_nodes_are_counted_by_their_reasons_unless_all_are_wanted() {
    let mut manifests: Vec<Value> = (0..300)
        .map(|n| node(&format!("n-{n:03}"), if n < 40 { "4" } else { "100m" }))
        .collect();
    for (n, manifest) in manifests.iter_mut().enumerate().skip(250) {
        manifest["spec"] = json!({"taints": [{"key": "k", "effect": "NoSchedule"}]});
        manifest["metadata"]["labels"] = json!({"n": n.to_string()});
    }
    manifests.push(pod("p", "1"));
    let text: String = manifests.iter().map(|manifest| format!("---\n{manifest}\n")).collect();
    let output = muster(&["--kube", "1.36"], text.as_bytes());
    insta::assert_snapshot!("many_nodes", said(&output));
    let all = muster(&["--kube", "1.36", "--all"], text.as_bytes());
    assert!(said(&all).lines().count() > 300);
}

#[test]
fn a_case_is_answered_in_full() {
    let answers = answers(&["--kube", "1.35"], &case().to_string());
    insta::assert_json_snapshot!("a_case", answers);
}

#[test]
fn the_first_line_tells_cases_from_manifests() {
    let cases = format!("\n  \n{}\n", case());
    assert!(muster(&[], cases.as_bytes()).stdout.starts_with(b"{\"id\":\"a\","));
    let manifest = muster(&[], node("n", "1").to_string().as_bytes());
    assert_eq!(manifest.status.code(), Some(2));
    assert!(
        said(&manifest).contains("there is no pod to judge"),
        "{}",
        said(&manifest)
    );
    let refused = muster(&["--all"], cases.as_bytes());
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_bad_case_is_answered_with_its_place_and_the_next_is_judged() {
    let change = |change: fn(&mut Value)| {
        let mut case = case();
        change(&mut case);
        case.to_string()
    };
    let lines = [
        r#"{"id": "cut off", "objects": [{"apiVersion": "v1""#.to_owned(),
        "not JSON at all".to_owned(),
        "[null, [], {}]".to_owned(),
        change(|case| case["confg"] = json!({})),
        change(|case| case["objects"] = json!(7)),
        change(|case| case["objects"][0]["kind"] = json!("Nod")),
        change(|case| case["objects"][0] = json!([])),
        change(|case| case["objects"][0]["metadata"]["name"] = json!("")),
        change(|case| case["objects"][0]["spec"] = json!({"taints": [{"key": 5}]})),
        change(|case| case["objects"][0]["metadata"]["name"] = json!("big")),
        change(|case| case["pod"] = Value::Null),
        change(|case| case["pod"]["kind"] = json!("Node")),
        change(|case| case["pod"]["spec"]["containers"] = json!("main")),
        change(|case| case["config"] = json!({"profils": []})),
        String::new(),
        change(|case| case["id"] = json!({"any": [1]})),
    ];
    let answers = answers(&["--kube", "1.35"], &lines.join("\n"));
    let told: Vec<String> = answers
        .iter()
        .map(|answer| format!("{}: {}", answer["id"], answer["error"]))
        .collect();
    insta::assert_snapshot!("bad_cases", told.join("\n"));
    let last = answers.last().unwrap();
    assert_eq!(last["nodes"]["big"], json!({"ok": true}));
}

#[test]
fn what_muster_cannot_honour_is_refused_before_it_is_tried() {
    let mut case = case();
    case["pod"]["spec"]["tolerations"] = json!([{"key": "k", "operator": "Perhaps"}]);
    let answers = answers(&[], &case.to_string());
    let refusal = &answers[0]["preenqueue"];
    assert_eq!(
        (&refusal["plugin"], &refusal["code"]),
        (&json!("Muster"), &json!("UnschedulableAndUnresolvable"))
    );
    assert!(
        refusal["reasons"][0]
            .as_str()
            .unwrap()
            .contains("tolerations[0].operator"),
        "{refusal}"
    );
    assert_eq!(answers[0]["nodes"], json!({}));
}

#[test]
fn a_case_may_state_its_own_profile() {
    let mut case = case();
    case["config"] = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "profiles": [{"plugins": {"multiPoint": {"disabled": [{"name": "NodeResourcesFit"}]}}}]});
    let answers = answers(&[], &case.to_string());
    assert_eq!(answers[0]["error"], Value::Null);
    assert_eq!(answers[0]["nodes"]["small"], json!({"ok": true}));
    assert_eq!(answers[0]["scores"]["small"]["raw"].get("NodeResourcesFit"), None);
}

#[test]
fn an_answer_comes_before_the_next_case_is_asked() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_muster"))
        .arg("evaluate")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary has been built");
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut answers = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    for _ in 0..3 {
        writeln!(stdin, "{}", case()).unwrap();
        let answer = answers.next().expect("an answer").unwrap();
        assert!(answer.contains("\"error\":null"), "{answer}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success() && answers.next().is_none());
}

#[test]
fn mistakes_in_manifests_are_named_with_their_place() {
    let twice = format!("---\n{}\n---\n{}\n", node("n", "1"), node("n", "2"));
    let class = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  priorityClassName: high\n";
    let taints = "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nspec:\n  taints:\n  - key: 5\n";
    let cases: [(&str, &str); 6] = [
        (&twice, "document 2, line 4: Node n is there already"),
        (class, "line 5: Pod default/p: there is no PriorityClass high"),
        (taints, "line 6: Node n: spec.taints[0]"),
        ("- a\n", "not an object with apiVersion and kind"),
        ("kind: Node\n", "an object needs apiVersion and kind"),
        ("", "there is no pod to judge"),
    ];
    for (text, expected) in cases {
        let output = muster(&[], text.as_bytes());
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: <stdin>") && said.contains(expected), "{said}");
    }
    assert_eq!(muster(&["no-such-file"], b"").status.code(), Some(2));
    assert_eq!(muster(&["--kube", "1.34"], b"").status.code(), Some(2));
    assert_eq!(muster(&["--config", "no-such-file"], b"").status.code(), Some(2));
}

/// Any JSON, with words that mean something here.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("kind"),
        Just("apiVersion"),
        Just("metadata"),
        Just("name"),
        Just("uid"),
        Just("namespace"),
        Just("spec"),
        Just("status"),
        Just("containers"),
        Just("taints"),
        Just("nodeName"),
        Just("id"),
        Just("objects"),
        Just("pod"),
        Just("config"),
        Just("v1"),
        Just("Node"),
        Just("Pod"),
        Just("items"),
        Just("List"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..5).prop_map(|entries| entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

/// A line of input: garbage, JSON, or a case with a piece of garbage in it.
fn any_line() -> impl Strategy<Value = String> {
    let within = prop::sample::select(vec![
        "/objects/0",
        "/objects/0/metadata",
        "/objects/0/metadata/name",
        "/objects/0/status",
        "/objects/1/spec",
        "/objects/1/metadata",
        "/pod",
        "/pod/metadata",
        "/pod/spec",
        "/pod/spec/containers/0",
        "/id",
        "/objects",
    ]);
    let changed = (within, any_json()).prop_map(|(place, garbage)| {
        let mut case = case();
        if let Some(value) = case.pointer_mut(place) {
            *value = garbage;
        }
        case.to_string()
    });
    let cut = any::<prop::sample::Index>().prop_map(|at| {
        let text = case().to_string();
        text[..at.index(text.len())].to_owned()
    });
    prop_oneof![
        "[^\n]{1,40}",
        any_json().prop_map(|value| value.to_string()),
        any_json().prop_map(|value| json!({"id": 1, "objects": [value.clone()], "pod": value}).to_string()),
        changed,
        cut,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn garbage_is_answered_line_by_line(lines in prop::collection::vec(any_line(), 1..60)) {
        let asked = lines.iter().filter(|line| !line.trim_matches(|c: char| c.is_ascii_whitespace()).is_empty()).count();
        let output = muster(&["--format", "cases"], lines.join("\n").as_bytes());
        prop_assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        prop_assert_eq!(text.lines().count(), asked);
        for line in text.lines() {
            prop_assert!(serde_json::from_str::<Value>(line).is_ok(), "{}", line);
        }
    }

    #[test]
    fn garbage_for_manifests_is_a_mistake_and_no_panic(value in any_json(), text in ".{0,60}") {
        for input in [value.to_string(), text, format!("{case}\n---\n{value}", case = case()["pod"])] {
            let output = muster(&["--format", "manifests"], input.as_bytes());
            prop_assert!(matches!(output.status.code(), Some(0 | 2)), "{}", said(&output));
        }
    }
}
