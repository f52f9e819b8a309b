//! OpenTelemetry traces at a collector, from a Muster that is configured to bring them there.

use muster_tests::collector::Collector;
use muster_tests::objects::pod;
use muster_tests::{Cluster, PATIENCE, gang};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;

/// The flag of a configuration that traces everything.
fn traced(cluster: &Cluster, endpoint: &str) -> String {
    let tracing = json!({ "endpoint": endpoint, "samplingRatePerMillion": 1_000_000 });
    cluster
        .write_muster_configuration(&json!({ "tracing": tracing }))
        .unwrap()
}

/// An attribute in words; empty if the span has none of this name.
fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(AnyValue::StringValue(text)) => text.clone(),
        Some(AnyValue::IntValue(number)) => number.to_string(),
        Some(other) => panic!("{key} is {other:?}"),
        None => String::new(),
    }
}

/// Waits until all is there that was begun: so many traces, each with its root; gives the spans.
fn wait_roots(cluster: &Cluster, collector: &Collector, n_roots: usize) -> Vec<Span> {
    let spans = cluster
        .api()
        .wait_until(&format!("{n_roots} traces have arrived"), PATIENCE, |_| {
            let spans = collector.spans()?;
            let roots = spans.iter().filter(|span| span.parent_span_id.is_empty()).count();
            Ok((roots == n_roots).then_some(spans))
        });
    spans.unwrap()
}

/// The spans of this name below one.
fn below<'a>(spans: &'a [Span], parent: &Span, name: &str) -> Vec<&'a Span> {
    let children = spans.iter().filter(|span| span.parent_span_id == parent.span_id);
    let named: Vec<&Span> = children.filter(|span| span.name == name).collect();
    for span in &named {
        assert_eq!(span.trace_id, parent.trace_id, "{span:?}");
    }
    named
}

/// The bind of one pod, below its span.
fn assert_bound(spans: &[Span], of_pod: &Span) {
    let binds = below(spans, of_pod, "Bind request");
    let [bind] = binds[..] else { panic!("{binds:?}") };
    assert_eq!(attribute(bind, "http.response.status_code"), "201");
    assert_eq!(attribute(bind, "k8s.pod.name"), attribute(of_pod, "k8s.pod.name"));
    assert_eq!(attribute(bind, "k8s.node.name"), attribute(of_pod, "k8s.node.name"));
    assert!(bind.start_time_unix_nano <= bind.end_time_unix_nano, "{bind:?}");
}

#[test]
fn a_gang_that_waits_and_a_pod_that_does_not_are_traces_at_the_collector() {
    let cluster = Cluster::new("traced");
    let collector = Collector::start().unwrap();
    let _muster = cluster.start_muster(&[&traced(&cluster, &collector.url())]).unwrap();
    cluster.create_nodes(0, 1, "2").unwrap();
    cluster.create_group("train", &gang(3)).unwrap();
    cluster.create_pods(&cluster.members("train", 3, "1")).unwrap();
    cluster
        .wait_condition("w0", |why| why.contains("Insufficient cpu"))
        .unwrap();
    cluster.create_nodes(1, 1, "2").unwrap();
    cluster.wait_bound(3).unwrap();
    let alone = pod("alone", &cluster.scheduler_name(), "1");
    cluster.create_pods(&[alone]).unwrap();
    cluster.wait_bound(4).unwrap();

    let spans = wait_roots(&cluster, &collector, 2);
    let root = |name: &str| {
        let mut roots = spans.iter().filter(|span| span.parent_span_id.is_empty());
        roots.find(|span| span.name == name).unwrap()
    };
    let group = root("Scheduling pod group");
    assert!(attribute(group, "muster.pod_group").starts_with("traced/"), "{group:?}");
    assert_eq!(attribute(group, "muster.members"), "3");
    let attempts = below(&spans, group, "Attempt");
    let refused: Vec<_> = attempts
        .iter()
        .filter(|attempt| attribute(attempt, "result") == "unschedulable")
        .collect();
    assert!(!refused.is_empty() && refused.len() < attempts.len(), "{attempts:?}");
    let why = &refused[0].status.as_ref().unwrap().message;
    assert!(why.contains("Insufficient cpu"), "{why}");
    let members = below(&spans, group, "Scheduling");
    let mut names: Vec<String> = members.iter().map(|member| attribute(member, "k8s.pod.name")).collect();
    names.sort();
    assert_eq!(names, ["w0", "w1", "w2"]);
    for member in members {
        assert_bound(&spans, member);
    }

    let alone = root("Scheduling");
    assert_eq!(attribute(alone, "k8s.pod.name"), "alone");
    assert_eq!(attribute(alone, "k8s.namespace.name"), "traced");
    assert_eq!(below(&spans, alone, "Attempt").len(), 1);
    assert_bound(&spans, alone);
    assert_ne!(alone.trace_id, group.trace_id);
}

#[test]
fn a_collector_that_is_away_holds_up_nobody() {
    let cluster = Cluster::new("untraced");
    // Nobody listens where somebody did until now.
    let away = Collector::start().unwrap().url();
    let muster = cluster.start_muster(&[&traced(&cluster, &away)]).unwrap();
    cluster.create_nodes(0, 2, "8").unwrap();
    let pods: Vec<_> = (0..8)
        .map(|n| pod(&format!("p{n}"), &cluster.scheduler_name(), "1"))
        .collect();
    cluster.create_pods(&pods).unwrap();
    cluster.wait_bound(8).unwrap();
    let dropped = cluster.api().wait_until("dropped spans are counted", PATIENCE, |_| {
        Ok((muster
            .metrics()?
            .sum("muster_trace_spans_dropped_total", &["reason=\"not_taken\""])
            > 0.0)
            .then_some(()))
    });
    dropped.unwrap();
    assert_eq!(muster.terminate().unwrap(), Some(0));
}
