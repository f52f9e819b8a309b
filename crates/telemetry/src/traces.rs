//! OpenTelemetry traces of what became of pods and gangs, made after the fact from what the driver reports.
//!
//! ```text
//! Scheduling                      one trace for each pod: from when it could first be tried until it is bound
//! ├─ Attempt
//! └─ Bind request
//!
//! Scheduling pod group            one trace for each gang: until the last member of a commit is bound
//! ├─ Attempt                      … at the group as a whole
//! └─ Scheduling                   … one for each member
//!    └─ Bind request
//! ```
//!
//! What a trace and the span of a pod are called follows from the uid, so spans go out as they end, and nothing is kept for a
//! pod that waits; one that is deleted before has attempts without a root. Whether it is sampled follows from the uid, too:
//! another Muster that takes over goes on with the same traces.

mod export;
mod members;

pub use self::export::{Collector, Exporting, StartTracesError};

use self::export::Outlet;
use self::members::{Members, Membership};
use crate::metrics::Metrics;
use muster_engine::{Observation, PodRef};
use muster_framework::Text;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};
use ring::digest::{SHA256, digest};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Makes spans, and puts them out to be exported.
pub struct Traces {
    outlet: Outlet,
    sampling_rate_per_million: u32,
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
    members: Mutex<Members>,
}

/// Where a span stands: its trace, and its own name there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    trace: TraceId,
    span: SpanId,
}

/// What a span says, but for where it stands.
struct Said {
    name: &'static str,
    kind: SpanKind,
    began: SystemTime,
    attributes: Vec<KeyValue>,
    /// What went wrong.
    error: Option<Text>,
}

impl Traces {
    /// Begins to export to this collector. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The collector's URL cannot be used.
    pub fn start(
        collector: Collector,
        sampling_rate_per_million: u32,
        metrics: Arc<Metrics>,
    ) -> Result<(Traces, Exporting), StartTracesError> {
        let (outlet, exporting) = export::start(collector, metrics)?;
        Ok((Traces::new(outlet, sampling_rate_per_million), exporting))
    }

    fn new(outlet: Outlet, sampling_rate_per_million: u32) -> Traces {
        Traces {
            outlet,
            sampling_rate_per_million,
            ids: RandomIdGenerator::default(),
            scope: InstrumentationScope::builder("muster")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            members: Mutex::default(),
        }
    }

    /// The engine says that something happened; `took` is how long the driver saw it work on it.
    pub fn observation(&self, observation: &Observation, took: Duration) {
        match observation {
            Observation::Tried {
                pods,
                group,
                profile,
                refused,
            } => self.tried(pods, group.as_ref(), profile, refused.as_ref(), took),
            Observation::GroupCommitted {
                group, members, waited, ..
            } => {
                self.members().committed(group, *members, ago(*waited));
            }
            Observation::Bound {
                pod,
                node,
                attempts,
                waited,
                ..
            } => self.bound(pod, node, *attempts, *waited),
            _ => {}
        }
    }

    /// The API server has answered the request to bind this pod, or has not in time: after so long, and so many tries
    /// besides the first one.
    pub fn bind_request(&self, pod: &PodRef, node: &str, took: Duration, status: Option<u16>, retries: u32) {
        let Some((point, _)) = self.point_of(pod) else { return };
        let mut attributes = about(pod);
        attributes.extend([
            KeyValue::new("k8s.node.name", node.to_owned()),
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("http.request.resend_count", i64::from(retries)),
        ]);
        let error = match status {
            Some(status) => {
                attributes.push(KeyValue::new("http.response.status_code", i64::from(status)));
                (status >= 400).then(|| format!("HTTP {status}").into())
            }
            None => Some("no answer".into()),
        };
        let said = Said {
            name: "Bind request",
            kind: SpanKind::Client,
            began: ago(took),
            attributes,
            error,
        };
        self.put(self.below(point), point.span, said);
    }

    fn tried(&self, pods: &[PodRef], group: Option<&Text>, profile: &Text, refused: Option<&Text>, took: Duration) {
        let Some(first) = pods.first() else { return };
        let point = match group {
            // The same pods may be members of a group of the same name that was deleted and made anew: it is another one.
            Some(group) => self
                .members()
                .tried(group, pods, || self.sampled(&format!("{group} {}", first.uid))),
            None => self.sampled(&first.uid),
        };
        let Some(point) = point else { return };
        let mut attributes = match group {
            Some(group) => vec![
                KeyValue::new("muster.pod_group", Arc::clone(group)),
                KeyValue::new("muster.members", pods.len() as i64),
            ],
            None => about(first),
        };
        attributes.push(KeyValue::new("muster.profile", Arc::clone(profile)));
        let result = if refused.is_some() {
            "unschedulable"
        } else {
            "scheduled"
        };
        attributes.push(KeyValue::new("result", result));
        let said = Said {
            name: "Attempt",
            kind: SpanKind::Internal,
            began: ago(took),
            attributes,
            error: refused.cloned(),
        };
        self.put(self.below(point), point.span, said);
    }

    fn bound(&self, pod: &PodRef, node: &Text, attempts: u32, waited: Duration) {
        if let Some((point, parent)) = self.point_of(pod) {
            let mut attributes = about(pod);
            attributes.extend([
                KeyValue::new("k8s.node.name", Arc::clone(node)),
                KeyValue::new("muster.attempts", i64::from(attempts)),
                KeyValue::new("result", "scheduled"),
            ]);
            let said = Said {
                name: "Scheduling",
                kind: SpanKind::Internal,
                began: ago(waited),
                attributes,
                error: None,
            };
            self.put(point, parent, said);
        }
        let gone = self.members().bound(&pod.uid);
        if let Some((group, point, commit)) = gone {
            let said = Said {
                name: "Scheduling pod group",
                kind: SpanKind::Internal,
                began: commit.began,
                attributes: vec![
                    KeyValue::new("muster.pod_group", group),
                    KeyValue::new("muster.members", i64::from(commit.members)),
                    KeyValue::new("result", "scheduled"),
                ],
                error: None,
            };
            self.put(point, SpanId::INVALID, said);
        }
    }

    /// Where the span of this pod stands, and its parent; none if it is not sampled. A member is sampled with its gang.
    fn point_of(&self, pod: &PodRef) -> Option<(Point, SpanId)> {
        match self.members().membership(&pod.uid) {
            Membership::None => Some((self.sampled(&pod.uid)?, SpanId::INVALID)),
            Membership::NotSampled => None,
            Membership::Sampled(gang) => {
                let (own, _) = point_and_lot(&pod.uid);
                let point = Point {
                    trace: gang.trace,
                    ..own
                };
                Some((point, gang.span))
            }
        }
    }

    /// Where the root of this name stands; none if it is not sampled.
    fn sampled(&self, name: &str) -> Option<Point> {
        let (point, lot) = point_and_lot(name);
        (lot < self.sampling_rate_per_million).then_some(point)
    }

    /// A place for a new span below this one.
    fn below(&self, parent: Point) -> Point {
        Point {
            span: self.ids.new_span_id(),
            ..parent
        }
    }

    /// Puts out a span that ends now.
    fn put(&self, at: Point, parent: SpanId, said: Said) {
        let context = SpanContext::new(at.trace, at.span, TraceFlags::SAMPLED, false, TraceState::NONE);
        self.outlet.put(SpanData {
            span_context: context,
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: said.kind,
            name: Cow::Borrowed(said.name),
            start_time: said.began,
            end_time: SystemTime::now(),
            attributes: said.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: said
                .error
                .map_or(Status::Unset, |error| Status::error(error.to_string())),
            instrumentation_scope: self.scope.clone(),
        });
    }

    /// Every change is whole before anything could panic.
    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What everybody would call the span of this name, and a number below a million that is as good as drawn by lot.
fn point_and_lot(name: &str) -> (Point, u32) {
    let digest = digest(&SHA256, name.as_bytes());
    let bytes = |from: usize| -> [u8; 8] { std::array::from_fn(|i| digest.as_ref()[from + i]) };
    let trace: [u8; 16] = std::array::from_fn(|i| digest.as_ref()[i]);
    let point = Point {
        trace: TraceId::from_bytes(trace),
        span: SpanId::from_bytes(bytes(16)),
    };
    (point, (u64::from_be_bytes(bytes(24)) % 1_000_000) as u32)
}

/// OpenTelemetry's own words for a pod.
fn about(pod: &PodRef) -> Vec<KeyValue> {
    vec![
        KeyValue::new("k8s.namespace.name", Arc::clone(&pod.namespace)),
        KeyValue::new("k8s.pod.name", Arc::clone(&pod.name)),
        KeyValue::new("k8s.pod.uid", Arc::clone(&pod.uid)),
    ]
}

fn ago(duration: Duration) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(duration).unwrap_or(now)
}

#[cfg(test)]
mod tests;
