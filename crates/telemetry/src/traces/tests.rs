//! Tests of spans and their export: by an exporter that keeps them, and by collectors over HTTP, good and bad.

use super::export::start_with;
use super::*;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::trace::InMemorySpanExporter;
use prost::Message;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(10);
const ALL: u32 = 1_000_000;

/// Traces that end in memory.
struct Kept {
    traces: Traces,
    exporting: Exporting,
    exporter: InMemorySpanExporter,
}

impl Kept {
    fn begin(sampling_rate_per_million: u32) -> Kept {
        let exporter = InMemorySpanExporter::default();
        let (outlet, exporting) = start_with(exporter.clone(), "memory".to_owned(), metrics(), 1 << 16);
        Kept {
            traces: Traces::new(outlet, sampling_rate_per_million),
            exporting,
            exporter,
        }
    }

    async fn spans(self) -> Vec<SpanData> {
        self.exporting.finish(PATIENCE).await;
        self.exporter.get_finished_spans().unwrap()
    }
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(&[]).unwrap())
}

fn pod(name: &str) -> PodRef {
    PodRef {
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
    }
}

fn tried(names: &[&str], group: Option<&str>, refused: Option<&str>) -> Observation {
    Observation::Tried {
        pods: names.iter().map(|name| pod(name)).collect(),
        group: group.map(Text::from),
        profile: "muster".into(),
        refused: refused.map(Text::from),
    }
}

fn bound(name: &str, attempts: u32, waited: Duration) -> Observation {
    Observation::Bound {
        pod: pod(name),
        node: "n1".into(),
        attempts,
        waited,
        after_flush: false,
        with_group: false,
    }
}

/// A span in words: its name, what went wrong, and some of its attributes.
fn words(span: &SpanData) -> String {
    let shown = [
        "k8s.pod.name",
        "muster.members",
        "muster.attempts",
        "http.response.status_code",
        "result",
    ];
    let mut words = span.name.to_string();
    for attribute in &span.attributes {
        if shown.contains(&attribute.key.as_str()) {
            words += &format!(" {}", attribute.value);
        }
    }
    if let Status::Error { description } = &span.status {
        words += &format!(" ({description})");
    }
    words
}

/// A span's own name and its parent's.
fn ids(span: &SpanData) -> (SpanId, SpanId) {
    (span.span_context.span_id(), span.parent_span_id)
}

fn length(span: &SpanData) -> Duration {
    span.end_time.duration_since(span.start_time).unwrap()
}

#[tokio::test]
async fn a_pod_that_fits_at_its_second_attempt() {
    let kept = Kept::begin(ALL);
    let said = [
        tried(&["a"], None, Some("0/1 nodes are available")),
        tried(&["a"], None, None),
        bound("a", 2, Duration::from_secs(3)),
    ];
    for observation in &said[..2] {
        kept.traces.observation(observation, Duration::from_millis(5));
    }
    kept.traces
        .bind_request(&pod("a"), "n1", Duration::from_millis(20), Some(201), 1);
    kept.traces.observation(&said[2], Duration::ZERO);
    let spans = kept.spans().await;
    assert_eq!(
        spans.iter().map(words).collect::<Vec<_>>(),
        [
            "Attempt a unschedulable (0/1 nodes are available)",
            "Attempt a scheduled",
            "Bind request a 201",
            "Scheduling a 2 scheduled"
        ]
    );
    let (root, parent) = ids(&spans[3]);
    assert_eq!(parent, SpanId::INVALID);
    for (span, least) in spans.iter().zip([5, 5, 20, 3000]) {
        assert_eq!(span.span_context.trace_id(), spans[3].span_context.trace_id());
        assert!(ids(span) == (root, parent) || ids(span).1 == root, "{span:?}");
        assert!(length(span) >= Duration::from_millis(least), "{span:?}");
    }
}

#[tokio::test]
async fn a_gang_is_one_trace_that_ends_with_its_last_bind() {
    let kept = Kept::begin(ALL);
    let group = Some("shop/train");
    let tell = |observation| kept.traces.observation(&observation, Duration::from_millis(1));
    tell(tried(&["a", "b"], group, Some("no room for 2")));
    tell(tried(&["a", "b"], group, None));
    tell(Observation::GroupCommitted {
        group: "shop/train".into(),
        members: 2,
        without_place: 0,
        waited: Duration::from_secs(7),
    });
    for name in ["a", "b"] {
        kept.traces
            .bind_request(&pod(name), "n1", Duration::from_millis(2), Some(201), 0);
        tell(bound(name, 2, Duration::from_secs(7)));
    }
    let spans = kept.spans().await;
    assert_eq!(
        spans.iter().map(words).collect::<Vec<_>>(),
        [
            "Attempt 2 unschedulable (no room for 2)",
            "Attempt 2 scheduled",
            "Bind request a 201",
            "Scheduling a 2 scheduled",
            "Bind request b 201",
            "Scheduling b 2 scheduled",
            "Scheduling pod group 2 scheduled"
        ]
    );
    let root = &spans[6];
    assert!(length(root) >= Duration::from_secs(7));
    assert_eq!(ids(root).1, SpanId::INVALID);
    for span in &spans {
        assert_eq!(span.span_context.trace_id(), root.span_context.trace_id());
    }
    let parents: Vec<_> = spans[..6].iter().map(|span| ids(span).1).collect();
    let (gang, a, b) = (ids(root).0, ids(&spans[3]).0, ids(&spans[5]).0);
    assert_eq!(parents, [gang, gang, a, gang, b, gang]);
}

#[tokio::test]
async fn a_bind_that_is_refused_or_not_answered_is_an_error() {
    let kept = Kept::begin(ALL);
    for status in [Some(409), None] {
        kept.traces.bind_request(&pod("a"), "n1", Duration::ZERO, status, 0);
    }
    let spans = kept.spans().await;
    let words: Vec<_> = spans.iter().map(words).collect();
    assert_eq!(words, ["Bind request a 409 (HTTP 409)", "Bind request a (no answer)"]);
}

/// Of which of many pods there is a trace.
async fn sampled(sampling_rate_per_million: u32) -> Vec<TraceId> {
    let kept = Kept::begin(sampling_rate_per_million);
    for n in 0..2000 {
        let name = n.to_string();
        kept.traces.observation(&tried(&[&name], None, None), Duration::ZERO);
        kept.traces
            .observation(&bound(&name, 1, Duration::ZERO), Duration::ZERO);
    }
    let spans = kept.spans().await;
    spans.iter().map(|span| span.span_context.trace_id()).collect()
}

#[tokio::test]
async fn so_many_are_sampled_as_asked_for_and_always_the_same_as_wholes() {
    assert_eq!((sampled(0).await.len(), sampled(ALL).await.len()), (0, 4000));
    let tenth = sampled(100_000).await;
    assert!((300..500).contains(&tenth.len()), "{} spans of 4000", tenth.len());
    assert!(
        tenth.chunks(2).all(|trace| trace[0] == trace[1]),
        "attempt and root go together"
    );
    assert_eq!(sampled(100_000).await, tenth);
}

#[tokio::test]
async fn members_are_sampled_with_their_gang() {
    let kept = Kept::begin(500_000);
    for gang in 0..100 {
        let (name, members) = (format!("shop/{gang}"), [format!("{gang}-a"), format!("{gang}-b")]);
        let names: Vec<_> = members.iter().map(String::as_str).collect();
        kept.traces
            .observation(&tried(&names, Some(&name), None), Duration::ZERO);
        for name in names {
            kept.traces.observation(&bound(name, 1, Duration::ZERO), Duration::ZERO);
        }
    }
    let spans = kept.spans().await;
    assert!((90..210).contains(&spans.len()), "{} of 300", spans.len());
    for trace in spans.chunks(3) {
        let ids: Vec<_> = trace.iter().map(|span| span.span_context.trace_id()).collect();
        assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
}

/// What a collector was sent: the path, the type of the content, and the content.
type Sent = (String, String, Bytes);

/// A collector that answers with this status; its URL, and what it is sent.
async fn collector(status: u16) -> (String, mpsc::UnboundedReceiver<Sent>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (sender, sent) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let sender = sender.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let kind = request.headers()[http::header::CONTENT_TYPE]
                        .to_str()
                        .unwrap()
                        .to_owned();
                    let body = request.into_body().collect().await?.to_bytes();
                    sender.send((path, kind, body)).unwrap();
                    let mut answer = http::Response::new(Full::<Bytes>::default());
                    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
                    Ok::<_, hyper::Error>(answer)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, sent)
}

fn to(url: &str, metrics: &Arc<Metrics>) -> (Traces, Exporting) {
    let collector = Collector::new(url, "here", HttpConnector::new());
    Traces::start(collector, ALL, Arc::clone(metrics)).unwrap()
}

fn dropped(metrics: &Metrics, reason: &str) -> usize {
    let page = metrics.render().unwrap();
    let series = format!("muster_trace_spans_dropped_total{{reason=\"{reason}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&series));
    line.expect("the series").parse().unwrap()
}

#[tokio::test]
async fn a_collector_is_sent_protobuf_that_says_who_sends_it() {
    let (url, mut sent) = collector(200).await;
    let metrics = metrics();
    let (traces, exporting) = to(&url, &metrics);
    traces.observation(&bound("a", 1, Duration::from_secs(1)), Duration::ZERO);
    exporting.finish(PATIENCE).await;
    let (path, kind, body) = sent.recv().await.unwrap();
    assert_eq!((&*path, &*kind), ("/v1/traces", "application/x-protobuf"));
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let resource = format!("{:?}", request.resource_spans[0].resource);
    for said in [
        "service.name",
        "\"muster\"",
        "service.instance.id",
        "\"here\"",
        "service.version",
    ] {
        assert!(resource.contains(said), "{said} is not in {resource}");
    }
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(
        (&*span.name, span.trace_id.len(), span.parent_span_id.len()),
        ("Scheduling", 16, 0)
    );
    assert!(span.end_time_unix_nano - span.start_time_unix_nano >= 1_000_000_000);
    assert_eq!(
        (dropped(&metrics, "queue_full"), dropped(&metrics, "not_taken")),
        (0, 0)
    );
}

#[tokio::test]
async fn what_a_collector_does_not_take_is_counted() {
    let (url, mut sent) = collector(400).await;
    let metrics = metrics();
    let (traces, exporting) = to(&url, &metrics);
    for name in ["a", "b", "c"] {
        traces.observation(&bound(name, 1, Duration::ZERO), Duration::ZERO);
    }
    exporting.finish(PATIENCE).await;
    assert!(sent.recv().await.is_some());
    assert_eq!(dropped(&metrics, "not_taken"), 3);
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_nobody() {
    // It takes connections, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let metrics = metrics();
    let (traces, exporting) = to(&format!("http://{}/v1/traces", silent.local_addr().unwrap()), &metrics);
    for n in 0..40_000 {
        traces.observation(&bound(&n.to_string(), 1, Duration::ZERO), Duration::ZERO);
        if n % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(
        dropped(&metrics, "queue_full") > 20_000,
        "there is an end to what waits"
    );
    let begun = Instant::now();
    exporting.finish(Duration::from_millis(100)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "the end waits no longer than it may"
    );
}

#[tokio::test]
async fn after_the_end_spans_are_dropped() {
    let metrics = metrics();
    let (outlet, exporting) = start_with(
        InMemorySpanExporter::default(),
        "memory".to_owned(),
        Arc::clone(&metrics),
        8,
    );
    exporting.finish(PATIENCE).await;
    let traces = Traces::new(outlet, ALL);
    traces.observation(&bound("a", 1, Duration::ZERO), Duration::ZERO);
    assert_eq!(dropped(&metrics, "queue_full"), 1);
}

#[tokio::test]
async fn what_is_no_url_is_refused() {
    let collector = Collector::new("http://[", "here", HttpConnector::new());
    let error = Traces::start(collector, ALL, metrics()).err().expect("an error");
    assert_eq!(error.to_string(), "cannot export traces to http://[");
}
