//! The metrics registry: upstream's names, types, labels and buckets for what exists here too, so that dashboards made
//! for kube-scheduler work; what upstream lacks stands under `muster_`.
//!
//! Label values come from closed lists, apart from the profile, which is one of the configured scheduler names.

mod attempts;
mod batching;
mod counted;
mod kept;
mod requests;
mod serving;
mod sizes;
mod slis;

use self::attempts::Attempts;
pub use self::counted::{Counted, Distribution};
use self::kept::{Kept, KeptByWord};
use self::requests::Requests;
pub(crate) use self::serving::Serving;
use self::sizes::Sizes;
pub(crate) use self::slis::Slis;
use crate::process::Process;
use muster_engine::{Census, Input, Observation, PlaceStage, Section, Stats};
use muster_framework::record::Kind;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder, exponential_buckets,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The metrics could not be made: two of one name, or an ill-formed name. A mistake in this file.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the metrics")]
pub struct MakeMetricsError(#[from] prometheus::Error);

/// What kubelets say when they turn a pod away; what is not among these, such as the name of a resource that somebody made
/// up, is `other`. Sources: `pkg/kubelet/lifecycle` and `pkg/kubelet/cm`.
const KUBELET_REASONS: [&str; 14] = [
    "OutOfcpu",
    "OutOfmemory",
    "OutOfpods",
    "OutOfephemeral-storage",
    "UnexpectedAdmissionError",
    "TopologyAffinityError",
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "NodeShutdown",
    "Evicted",
    "AppArmor",
    "PodOSNotSupported",
    "other",
];

/// Pods that took as many attempts, or more, share a label. Source: `getAttemptsLabel` in `pkg/scheduler/schedule_one.go`.
const MOST_ATTEMPTS: u32 = 15;
/// What is said of objects to the engine.
const INPUTS: [&str; 6] = [
    "applied",
    "deleted",
    "undecodable",
    "list_begun",
    "list_done",
    "not_served",
];

/// The series of an event that brings pods into a section of the queue.
struct Incoming {
    pods: IntCounter,
    /// Single pods, and pod groups.
    entities: [IntCounter; 2],
}

fn kubelet_reason(reason: &str) -> &'static str {
    let known = KUBELET_REASONS.iter().find(|known| **known == reason);
    known.copied().unwrap_or("other")
}

/// Every metric that Muster has.
pub struct Metrics {
    registry: Registry,
    process: Process,
    attempts: Attempts,
    sizes: Sizes,
    requests: Requests,
    serving: Serving,
    slis: Slis,
    sli_duration: HistogramVec,
    sli_durations: Kept<Histogram, { MOST_ATTEMPTS as usize }>,
    pod_attempts: Histogram,
    podgroup_wait: Histogram,
    turned_away: IntCounterVec,
    queue_incoming: IntCounterVec,
    queue_incoming_entities: IntCounterVec,
    incoming: [KeptByWord<Incoming>; Section::ALL.len()],
    after_flush: IntCounter,
    undecodable: IntCounterVec,
    relists: IntCounterVec,
    watch_restarts: IntCounterVec,
    bind_failures: IntCounter,
    events_dropped: IntCounterVec,
    spans_dropped: IntCounterVec,
    inputs: IntCounterVec,
    effects_done: IntCounter,
    inputs_by_kind: [Kept<IntCounter, { INPUTS.len() }>; Kind::ALL.len()],
    heard: GaugeVec,
    heard_by_kind: Kept<Gauge, { Kind::ALL.len() }>,
    places_overdue: IntCounterVec,
    leads: IntGaugeVec,
    lease_slow_paths: IntCounterVec,
    lease_margin: Gauge,
}

/// Makes collectors and registers each.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn keep<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.keep(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: Vec<f64>) -> prometheus::Result<Histogram> {
        self.keep(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: Vec<f64>,
        labels: &[&str],
    ) -> prometheus::Result<HistogramVec> {
        self.keep(HistogramVec::new(
            HistogramOpts::new(name, help).buckets(buckets),
            labels,
        )?)
    }
}

impl Metrics {
    /// All metrics, at zero, for a scheduler with these profiles.
    pub fn new(profiles: &[&str]) -> Result<Metrics, MakeMetricsError> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let inputs = make.counters(
            "muster_inputs_total",
            "Number of facts that the engine was told.",
            &["kind", "input"],
        )?;
        let about = make.gauges(
            "muster_build_info",
            "Always 1: its label says which version of Muster this is.",
            &["version"],
        )?;
        about.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let process = Process::register(&registry)?;
        let metrics = Metrics {
            sli_duration: make.histograms(
                "scheduler_pod_scheduling_sli_duration_seconds",
                "E2e latency for a pod being scheduled, from the time the pod could first be tried.",
                exponential_buckets(0.01, 2.0, 20)?,
                &["attempts"],
            )?,
            sli_durations: Kept::none(),
            pod_attempts: make.histogram(
                "scheduler_pod_scheduling_attempts",
                "Number of attempts to successfully schedule a pod.",
                exponential_buckets(1.0, 2.0, 5)?,
            )?,
            podgroup_wait: make.histogram(
                "muster_podgroup_wait_seconds",
                "From the first time a member of a gang was known to the moment when enough members have places.",
                exponential_buckets(0.01, 2.0, 20)?,
            )?,
            turned_away: make.counters(
                "muster_turned_away_total",
                "Number of pods that a kubelet turned away after they were bound, by the kubelet's reason.",
                &["reason"],
            )?,
            queue_incoming: make.counters(
                "scheduler_queue_incoming_pods_total",
                "Number of pods added to scheduling queues by event and queue type.",
                &["queue", "event"],
            )?,
            queue_incoming_entities: make.counters(
                "scheduler_queue_incoming_entities_total",
                "Number of entities added to scheduling queues by event, queue type and entity type: single pods, and pod \
                 groups that are tried as one.",
                &["queue", "event", "type"],
            )?,
            incoming: std::array::from_fn(|_| KeptByWord::none()),
            after_flush: make.counter(
                "scheduler_pod_scheduled_after_flush_total",
                "Number of pods that were scheduled after the periodic flush had moved them: no event had.",
            )?,
            undecodable: make.counters(
                "muster_undecodable_objects_total",
                "Number of times an object was seen that could not be read; its former state was kept.",
                &["kind"],
            )?,
            relists: make.counters(
                "muster_relists_total",
                "Number of lists begun, the first one included.",
                &["kind"],
            )?,
            leads: make.gauges(
                "leader_election_master_status",
                "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates \
                 master. 'name' is the string used to identify the lease. Please make sure to group by name.",
                &["name"],
            )?,
            lease_slow_paths: make.counters(
                "leader_election_slowpath_total",
                "Total number of slow path exercised in renewing leader leases. 'name' is the string used to identify \
                 the lease. Please make sure to group by name.",
                &["name"],
            )?,
            lease_margin: make.keep(Gauge::new(
                "muster_lease_margin_seconds",
                "How long the leader could still write when it last tried to renew its lease; 0 where none is held.",
            )?)?,
            watch_restarts: make.counters(
                "muster_watch_restarts_total",
                "Number of watches that ended and were begun again where they had ended.",
                &["kind"],
            )?,
            bind_failures: make.counter(
                "muster_bind_failures_total",
                "Number of binds that were refused, or whose answer was lost.",
            )?,
            events_dropped: make.counters(
                "muster_events_dropped_total",
                "Number of events that were not written: the queue was full, or the server did not take them.",
                &["reason"],
            )?,
            spans_dropped: make.counters(
                "muster_trace_spans_dropped_total",
                "Number of spans that were not exported: the queue was full, or the collector did not take them.",
                &["reason"],
            )?,
            effects_done: inputs.with_label_values(&["Effect", "done"]),
            inputs,
            inputs_by_kind: std::array::from_fn(|_| Kept::none()),
            heard: make.keep(GaugeVec::new(
                Opts::new(
                    "muster_watch_heard_timestamp_seconds",
                    "When the API server last told of objects of this kind, or that nothing had changed, since unix epoch.",
                ),
                &["kind"],
            )?)?,
            heard_by_kind: Kept::none(),
            places_overdue: make.counters(
                "muster_reservations_overdue_total",
                "Number of times that a pod had held a place without being bound for longer than it may, by what it waited for.",
                &["stage"],
            )?,
            attempts: Attempts::new(&make, profiles)?,
            sizes: Sizes::new(&make)?,
            requests: Requests::new(&make)?,
            serving: Serving::new(&make)?,
            slis: Slis::new(&process)?,
            process,
            registry: registry.clone(),
        };
        metrics.begin();
        Ok(metrics)
    }

    /// Makes the series whose labels are known: a rate over a counter that is not there yet misses its first step.
    fn begin(&self) {
        for kind in Kind::ALL {
            for family in [&self.undecodable, &self.relists, &self.watch_restarts] {
                family.with_label_values(&[kind.name()]);
            }
        }
        for reason in KUBELET_REASONS {
            self.turned_away.with_label_values(&[reason]);
        }
        for stage in PlaceStage::ALL {
            self.places_overdue.with_label_values(&[stage.name()]);
        }
        for reason in ["queue_full", "not_taken"] {
            self.events_dropped.with_label_values(&[reason]);
            self.spans_dropped.with_label_values(&[reason]);
        }
        self.stats(&Stats::default());
    }

    /// Counts what the engine says happened; `took` is how long the driver saw it work on it.
    pub fn observation(&self, observation: &Observation, took: Duration) {
        match observation {
            Observation::QueueIncoming {
                section,
                event,
                pods,
                group,
            } => self.incoming(*section, event, *pods, *group),
            Observation::Attempt {
                result,
                profile,
                pods,
                gang,
            } => self.attempts.count(*result, profile, *pods, *gang, took),
            Observation::GroupCommitted { waited, .. } => self.podgroup_wait.observe(waited.as_secs_f64()),
            Observation::TurnedAway { reason, .. } => {
                self.turned_away.with_label_values(&[kubelet_reason(reason)]).inc();
            }
            Observation::Bound {
                attempts,
                waited,
                after_flush,
                ..
            } => {
                self.bound_after(*attempts).observe(waited.as_secs_f64());
                self.pod_attempts.observe(f64::from(*attempts));
                if *after_flush {
                    self.after_flush.inc();
                }
            }
            Observation::BindFailed { .. } => self.bind_failures.inc(),
            Observation::Batching { profile, counts } => self.attempts.batching(profile, counts),
            Observation::PlaceOverdue { stage, .. } => self.places_overdue.with_label_values(&[stage.name()]).inc(),
            // Counted where objects are decoded, see `undecodable`, and with what batching did.
            Observation::BatchContradicted { .. } | Observation::Undecodable { .. } => {}
            // Gauges tell of those: see `stats`.
            Observation::Waiting { .. } | Observation::GroupWaiting { .. } => {}
            // The same attempts with names, for traces.
            Observation::Tried { .. } => {}
        }
    }

    /// Spans were not exported; `reason` is `queue_full` or `not_taken`.
    pub(crate) fn spans_dropped(&self, reason: &'static str, spans: usize) {
        self.spans_dropped.with_label_values(&[reason]).inc_by(spans as u64);
    }

    fn incoming(&self, section: Section, event: &'static str, pods: u32, group: bool) {
        let make = || {
            // Upstream keeps those that are gated among the unschedulable ones, and tells them apart in other metrics only.
            let queue = match section {
                Section::Gated => Section::Unschedulable.name(),
                _ => section.name(),
            };
            let of = |kind| [queue, event, kind];
            Incoming {
                pods: self.queue_incoming.with_label_values(&[queue, event]),
                entities: ["pod", "podgroup"].map(|kind| self.queue_incoming_entities.with_label_values(&of(kind))),
            }
        };
        self.incoming[section as usize].with(event, make, |incoming| {
            incoming.pods.inc_by(u64::from(pods));
            incoming.entities[usize::from(group)].inc();
        });
    }

    fn bound_after(&self, attempts: u32) -> &Histogram {
        let many = attempts >= MOST_ATTEMPTS;
        let label = || {
            if many {
                format!("{MOST_ATTEMPTS}+")
            } else {
                attempts.to_string()
            }
        };
        // From 1 on: the last stands for all from there on.
        let at = attempts.clamp(1, MOST_ATTEMPTS) - 1;
        let make = || self.sli_duration.with_label_values(&[&label()]);
        self.sli_durations.at(at as usize, make)
    }

    /// Sets the gauges of what is there and waits.
    pub fn stats(&self, stats: &Stats) {
        self.sizes.set(stats);
    }

    /// Sets the gauges of what takes longer to count.
    pub fn census(&self, census: &Census) {
        self.sizes.set_census(census);
    }

    /// Counts a fact told to the engine: of what kind, and what it says of it.
    pub fn input(&self, input: &Input) {
        let (kind, what) = match input {
            Input::Applied(object) => (object.kind(), 0),
            Input::Deleted(key) => (key.kind, 1),
            Input::Undecodable { key, .. } => (key.kind, 2),
            Input::ListBegun(kind) => (*kind, 3),
            Input::ListDone(kind) => (*kind, 4),
            Input::KindNotServed(kind) => (*kind, 5),
            Input::Leadership { .. } => return self.inputs.with_label_values(&["Lease", "leadership"]).inc(),
            Input::EffectDone { .. } => return self.effects_done.inc(),
        };
        let make = || self.inputs.with_label_values(&[kind.name(), INPUTS[what]]);
        self.inputs_by_kind[kind as usize].at(what, make).inc();
    }

    /// The API server has just told of this kind, if only that nothing has changed.
    pub fn heard(&self, kind: Kind) {
        let make = || self.heard.with_label_values(&[kind.name()]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.heard_by_kind.at(kind as usize, make).set(now.as_secs_f64());
    }

    /// All requests go to this API server, by host and port.
    pub fn api_server(&self, host: &str) {
        self.requests.go_to(host);
    }

    /// Counts an object that could not be read.
    pub fn undecodable(&self, kind: Kind) {
        self.undecodable.with_label_values(&[kind.name()]).inc();
    }

    /// Counts a list that began.
    pub fn relist(&self, kind: Kind) {
        self.relists.with_label_values(&[kind.name()]).inc();
    }

    /// Counts a watch that is begun again.
    pub fn watch_restart(&self, kind: Kind) {
        self.watch_restarts.with_label_values(&[kind.name()]).inc();
    }

    /// Whether this process leads, by the lease of this name. It appears with the first call.
    pub fn leads(&self, lease: &str, leads: bool) {
        self.leads.with_label_values(&[lease]).set(leads.into());
    }

    /// Counts a renewal of the lease of this name that needed a read before.
    pub fn lease_slow_path(&self, lease: &str) {
        self.lease_slow_paths.with_label_values(&[lease]).inc();
    }

    /// How long this process may still act on the last renewal of its lease.
    pub fn lease_margin(&self, margin: Duration) {
        self.lease_margin.set(margin.as_secs_f64());
    }

    /// Counts an event that had no room in the queue.
    pub fn event_without_room(&self) {
        self.events_dropped.with_label_values(&["queue_full"]).inc();
    }

    /// Counts an event that the server did not take.
    pub fn event_not_taken(&self) {
        self.events_dropped.with_label_values(&["not_taken"]).inc();
    }

    /// Counts a request to the API server; no status means that no answer came.
    pub fn request(&self, method: &str, status: Option<u16>, took: Duration) {
        self.requests.count(method, status, took);
    }

    /// Counts how long a request had to wait before it was sent, where requests are limited.
    pub fn rate_limited(&self, method: &str, waited: Duration) {
        self.requests.rate_limited(method, waited);
    }

    /// What the server counts of its own callers.
    pub(crate) fn serving(&self) -> Serving {
        self.serving.clone()
    }

    /// What health checks said.
    pub(crate) fn slis(&self) -> &Slis {
        &self.slis
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> Result<String, MakeMetricsError> {
        self.process.refresh();
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_engine::{AttemptResult, PodRef};

    fn line<'a>(text: &'a str, beginning: &str) -> &'a str {
        text.lines().find(|line| line.starts_with(beginning)).unwrap_or("")
    }

    #[test]
    fn upstream_names_and_labels() {
        let metrics = Metrics::new(&["muster"]).unwrap();
        metrics.observation(
            &Observation::Attempt {
                result: AttemptResult::Scheduled,
                profile: "muster".into(),
                pods: 3,
                gang: true,
            },
            Duration::from_micros(1500),
        );
        metrics.stats(&Stats {
            nodes: 5,
            pending: [1, 2, 3, 4],
            queued: [[1, 2, 3, 4], [5, 6, 7, 8]],
            ..Stats::default()
        });
        let text = metrics.render().unwrap();
        let attempts = r#"scheduler_schedule_attempts_total{profile="muster",result="scheduled"}"#;
        assert_eq!(line(&text, attempts), format!("{attempts} 3"));
        let bucket =
            r#"scheduler_scheduling_attempt_duration_seconds_bucket{profile="muster",result="scheduled",le="0.002"}"#;
        assert_eq!(line(&text, bucket), format!("{bucket} 1"));
        assert_eq!(
            line(&text, "scheduler_pending_pods{queue=\"gated\"}"),
            "scheduler_pending_pods{queue=\"gated\"} 4"
        );
        assert_eq!(
            line(&text, "scheduler_queued_entities{queue=\"backoff\",type=\"podgroup\"}"),
            "scheduler_queued_entities{queue=\"backoff\",type=\"podgroup\"} 6"
        );
        assert_eq!(
            line(&text, "scheduler_cache_size{type=\"nodes\"}"),
            "scheduler_cache_size{type=\"nodes\"} 5"
        );
        assert_ne!(line(&text, "process_resident_memory_bytes"), "");
    }

    #[test]
    fn whoever_comes_counts_as_a_pod_and_as_an_entity() {
        let metrics = Metrics::new(&[]).unwrap();
        for (section, group, pods) in [
            (Section::Active, true, 8),
            (Section::Active, true, 4),
            (Section::Gated, false, 1),
        ] {
            let incoming = Observation::QueueIncoming {
                section,
                event: "UnscheduledPodAdd",
                pods,
                group,
            };
            metrics.observation(&incoming, Duration::ZERO);
        }
        let text = metrics.render().unwrap();
        for expected in [
            r#"scheduler_queue_incoming_pods_total{event="UnscheduledPodAdd",queue="active"} 12"#,
            r#"scheduler_queue_incoming_pods_total{event="UnscheduledPodAdd",queue="unschedulable"} 1"#,
            r#"scheduler_queue_incoming_entities_total{event="UnscheduledPodAdd",queue="active",type="podgroup"} 2"#,
            r#"scheduler_queue_incoming_entities_total{event="UnscheduledPodAdd",queue="unschedulable",type="pod"} 1"#,
        ] {
            assert_eq!(line(&text, expected), expected);
        }
    }

    #[test]
    fn requests_are_counted_by_the_server_that_they_go_to() {
        let metrics = Metrics::new(&[]).unwrap();
        metrics.api_server("10.96.0.1:443");
        for status in [Some(201), Some(201), Some(503), None] {
            metrics.request("POST", status, Duration::from_millis(30));
        }
        metrics.request("PROPFIND", Some(200), Duration::ZERO);
        assert!(!metrics.render().unwrap().contains("rate_limiter"), "there is no limit");
        metrics.rate_limited("PATCH", Duration::from_millis(300));
        let text = metrics.render().unwrap();
        for expected in [
            r#"rest_client_requests_total{code="201",host="10.96.0.1:443",method="POST"} 2"#,
            r#"rest_client_requests_total{code="503",host="10.96.0.1:443",method="POST"} 1"#,
            r#"rest_client_requests_total{code="<error>",host="10.96.0.1:443",method="POST"} 1"#,
            r#"rest_client_requests_total{code="200",host="10.96.0.1:443",method="OTHER"} 1"#,
            r#"rest_client_request_duration_seconds_bucket{host="10.96.0.1:443",verb="POST",le="0.1"} 4"#,
            r#"rest_client_rate_limiter_duration_seconds_bucket{host="10.96.0.1:443",verb="PATCH",le="0.25"} 0"#,
            r#"rest_client_rate_limiter_duration_seconds_bucket{host="10.96.0.1:443",verb="PATCH",le="0.5"} 1"#,
        ] {
            assert_eq!(line(&text, expected), expected);
        }
    }

    #[test]
    fn many_attempts_share_one_label() {
        let metrics = Metrics::new(&[]).unwrap();
        for attempts in [14, 15, 400] {
            let pod = PodRef {
                namespace: "a".into(),
                name: "b".into(),
                uid: "c".into(),
            };
            let waited = Duration::from_secs(1);
            let bound = Observation::Bound {
                pod,
                node: "n".into(),
                attempts,
                waited,
                after_flush: true,
                with_group: false,
            };
            metrics.observation(&bound, Duration::ZERO);
        }
        let text = metrics.render().unwrap();
        let count =
            |attempts: &str| format!("scheduler_pod_scheduling_sli_duration_seconds_count{{attempts=\"{attempts}\"}}");
        assert_eq!(line(&text, &count("14")), format!("{} 1", count("14")));
        assert_eq!(line(&text, &count("15+")), format!("{} 2", count("15+")));
        assert_eq!(
            line(&text, "scheduler_pod_scheduled_after_flush_total"),
            "scheduler_pod_scheduled_after_flush_total 3"
        );
    }

    #[test]
    fn known_series_begin_at_zero() {
        let text = Metrics::new(&[]).unwrap().render().unwrap();
        for beginning in [
            "muster_relists_total{kind=\"Workload\"} 0",
            "muster_watch_restarts_total{kind=\"Pod\"} 0",
            "muster_events_dropped_total{reason=\"queue_full\"} 0",
            "muster_bind_failures_total 0",
            "muster_effects_in_flight 0",
        ] {
            assert_ne!(line(&text, beginning), "", "{beginning} is missing");
        }
    }
}
