//! The metrics registry: upstream's names, types, labels and buckets for what exists here too, so that dashboards made
//! for kube-scheduler work; what upstream lacks stands under `muster_`.
//!
//! Label values come from closed lists, apart from the profile, which is one of the configured scheduler names.

mod batching;
mod serving;
mod slis;

use self::batching::Batching;
pub(crate) use self::serving::Serving;
pub(crate) use self::slis::Slis;
use crate::process::Process;
use muster_engine::{AttemptResult, BatchCounts, Observation, Section, Stats, WaitReason};
use muster_framework::record::Kind;
use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, exponential_buckets,
};
use std::time::Duration;

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

fn kubelet_reason(reason: &str) -> &'static str {
    let known = KUBELET_REASONS.iter().find(|known| **known == reason);
    known.copied().unwrap_or("other")
}

/// Every metric that Muster has.
pub struct Metrics {
    registry: Registry,
    process: Process,
    batching: Batching,
    serving: Serving,
    slis: Slis,
    schedule_attempts: IntCounterVec,
    attempt_duration: HistogramVec,
    algorithm_duration: Histogram,
    sli_duration: HistogramVec,
    pod_attempts: Histogram,
    podgroup_attempts: IntCounterVec,
    podgroup_attempt_duration: HistogramVec,
    podgroup_algorithm_duration: Histogram,
    podgroup_wait: Histogram,
    waiting_groups: IntGaugeVec,
    turned_away: IntCounterVec,
    pending_pods: IntGaugeVec,
    queued_entities: IntGaugeVec,
    queue_incoming: IntCounterVec,
    after_flush: IntCounter,
    cache_size: IntGaugeVec,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    undecodable: IntCounterVec,
    relists: IntCounterVec,
    watch_restarts: IntCounterVec,
    bind_failures: IntCounter,
    events_dropped: IntCounterVec,
    effects_in_flight: IntGauge,
    inputs: IntCounterVec,
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
    /// All metrics, at zero.
    pub fn new() -> Result<Metrics, MakeMetricsError> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let metrics = Metrics {
            process: Process::register(&registry)?,
            schedule_attempts: make.counters(
                "scheduler_schedule_attempts_total",
                "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, \
                 while 'error' means an internal scheduler problem.",
                &["result", "profile"],
            )?,
            attempt_duration: make.histograms(
                "scheduler_scheduling_attempt_duration_seconds",
                "Scheduling attempt latency in seconds. Here it is the decision alone: binding is asynchronous.",
                exponential_buckets(0.001, 2.0, 15)?,
                &["result", "profile"],
            )?,
            algorithm_duration: make.histogram(
                "scheduler_scheduling_algorithm_duration_seconds",
                "Scheduling algorithm latency in seconds.",
                exponential_buckets(0.001, 2.0, 15)?,
            )?,
            sli_duration: make.histograms(
                "scheduler_pod_scheduling_sli_duration_seconds",
                "E2e latency for a pod being scheduled, from the time the pod could first be tried.",
                exponential_buckets(0.01, 2.0, 20)?,
                &["attempts"],
            )?,
            pod_attempts: make.histogram(
                "scheduler_pod_scheduling_attempts",
                "Number of attempts to successfully schedule a pod.",
                exponential_buckets(1.0, 2.0, 5)?,
            )?,
            podgroup_attempts: make.counters(
                "scheduler_podgroup_schedule_attempts_total",
                "Number of attempts to schedule pod group, by the result. 'unschedulable' means a pod group could not be \
                 scheduled, while 'error' means an internal scheduler problem.",
                &["result", "profile"],
            )?,
            podgroup_attempt_duration: make.histograms(
                "scheduler_podgroup_scheduling_attempt_duration_seconds",
                "Pod group scheduling attempt latency in seconds. Here it is the decision alone: binding is asynchronous.",
                exponential_buckets(0.001, 2.0, 15)?,
                &["result", "profile"],
            )?,
            podgroup_algorithm_duration: make.histogram(
                "scheduler_podgroup_scheduling_algorithm_duration_seconds",
                "Pod group scheduling algorithm latency in seconds.",
                exponential_buckets(0.001, 2.0, 15)?,
            )?,
            podgroup_wait: make.histogram(
                "muster_podgroup_wait_seconds",
                "From the first time a member of a gang was known to the moment when enough members have places.",
                exponential_buckets(0.01, 2.0, 20)?,
            )?,
            waiting_groups: make.gauges(
                "muster_waiting_groups",
                "Number of pod groups that wait, by the reason.",
                &["reason"],
            )?,
            turned_away: make.counters(
                "muster_turned_away_total",
                "Number of pods that a kubelet turned away after they were bound, by the kubelet's reason.",
                &["reason"],
            )?,
            pending_pods: make.gauges(
                "scheduler_pending_pods",
                "Number of pending pods, by the section of the queue.",
                &["queue"],
            )?,
            queued_entities: make.gauges(
                "scheduler_queued_entities",
                "Number of queued entities, by the section of the queue: single pods, and pod groups that are tried as one.",
                &["queue", "type"],
            )?,
            queue_incoming: make.counters(
                "scheduler_queue_incoming_pods_total",
                "Number of pods added to scheduling queues by event and queue type.",
                &["queue", "event"],
            )?,
            after_flush: make.counter(
                "scheduler_pod_scheduled_after_flush_total",
                "Number of pods that were scheduled after the periodic flush had moved them: no event had.",
            )?,
            cache_size: make.gauges(
                "scheduler_cache_size",
                "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
                &["type"],
            )?,
            requests: make.counters(
                "rest_client_requests_total",
                "Number of HTTP requests, partitioned by status code and method.",
                &["code", "method"],
            )?,
            request_duration: make.histograms(
                "rest_client_request_duration_seconds",
                "Request latency in seconds. Broken down by verb.",
                vec![0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0],
                &["verb"],
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
            effects_in_flight: make.keep(IntGauge::new(
                "muster_effects_in_flight",
                "Number of effects (binds, reads, status writes) without an outcome yet.",
            )?)?,
            inputs: make.counters(
                "muster_inputs_total",
                "Number of facts that the engine was told.",
                &["kind", "input"],
            )?,
            batching: Batching::new(&make)?,
            serving: Serving::new(&make)?,
            slis: Slis::new()?,
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
        for reason in ["queue_full", "not_taken"] {
            self.events_dropped.with_label_values(&[reason]);
        }
        self.stats(&Stats::default());
    }

    /// Makes the series of these profiles.
    pub fn profiles<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            self.batching.count(name, &BatchCounts::default());
            for result in [
                AttemptResult::Scheduled,
                AttemptResult::Unschedulable,
                AttemptResult::Error,
            ] {
                self.schedule_attempts.with_label_values(&[result.name(), name]);
                self.attempt_duration.with_label_values(&[result.name(), name]);
                self.podgroup_attempts.with_label_values(&[result.name(), name]);
                self.podgroup_attempt_duration.with_label_values(&[result.name(), name]);
            }
        }
    }

    /// Counts what the engine says happened; `took` is how long the driver saw it work on it.
    pub fn observation(&self, observation: &Observation, took: Duration) {
        match observation {
            Observation::QueueIncoming { section, event, pods } => {
                self.queue_incoming
                    .with_label_values(&[section.name(), event])
                    .inc_by(u64::from(*pods));
            }
            Observation::Attempt {
                result,
                profile,
                pods,
                gang,
            } => {
                self.attempt(*result, profile, *pods, took);
                if *gang {
                    self.podgroup_attempt(*result, profile, took);
                }
            }
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
                let label = if *attempts < 15 {
                    attempts.to_string()
                } else {
                    "15+".to_owned()
                };
                self.sli_duration
                    .with_label_values(&[&label])
                    .observe(waited.as_secs_f64());
                self.pod_attempts.observe(f64::from(*attempts));
                if *after_flush {
                    self.after_flush.inc();
                }
            }
            Observation::BindFailed { .. } => self.bind_failures.inc(),
            // Counted where objects are decoded, see `undecodable`.
            Observation::Batching { profile, counts } => self.batching.count(profile, counts),
            Observation::BatchContradicted { .. } | Observation::Undecodable { .. } => {}
            // Gauges tell of those: see `stats`.
            Observation::Waiting { .. } | Observation::GroupWaiting { .. } => {}
        }
    }

    fn podgroup_attempt(&self, result: AttemptResult, profile: &str, took: Duration) {
        let labels = [result.name(), profile];
        self.podgroup_attempts.with_label_values(&labels).inc();
        self.podgroup_attempt_duration
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
        self.podgroup_algorithm_duration.observe(took.as_secs_f64());
    }

    fn attempt(&self, result: AttemptResult, profile: &str, pods: u32, took: Duration) {
        let labels = [result.name(), profile];
        self.schedule_attempts
            .with_label_values(&labels)
            .inc_by(u64::from(pods));
        // A gang is one decision however many pods it has.
        self.attempt_duration
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
        self.algorithm_duration.observe(took.as_secs_f64());
    }

    /// Sets the gauges.
    pub fn stats(&self, stats: &Stats) {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        for (section, pods) in Section::ALL.iter().zip(stats.pending) {
            self.pending_pods.with_label_values(&[section.name()]).set(gauge(pods));
        }
        for (kind, sections) in ["pod", "podgroup"].into_iter().zip(stats.queued) {
            for (section, entities) in Section::ALL.iter().zip(sections) {
                let gauge_of = self.queued_entities.with_label_values(&[section.name(), kind]);
                gauge_of.set(gauge(entities));
            }
        }
        for (reason, groups) in WaitReason::ALL.iter().zip(stats.waiting_groups) {
            self.waiting_groups
                .with_label_values(&[reason.name()])
                .set(gauge(groups));
        }
        for (what, size) in [
            ("nodes", stats.nodes),
            ("pods", stats.pods),
            ("assumed_pods", stats.assumed_pods),
        ] {
            self.cache_size.with_label_values(&[what]).set(gauge(size));
        }
        self.effects_in_flight.set(gauge(stats.in_flight));
    }

    /// Counts a fact told to the engine: of what kind, and what it says of it.
    pub fn input(&self, kind: &str, input: &str) {
        self.inputs.with_label_values(&[kind, input]).inc();
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
        let code = status.map_or_else(|| "<error>".to_owned(), |status| status.to_string());
        self.requests.with_label_values(&[&code, method]).inc();
        self.request_duration
            .with_label_values(&[method])
            .observe(took.as_secs_f64());
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
    use muster_engine::PodRef;

    fn line<'a>(text: &'a str, beginning: &str) -> &'a str {
        text.lines().find(|line| line.starts_with(beginning)).unwrap_or("")
    }

    #[test]
    fn upstream_names_and_labels() {
        let metrics = Metrics::new().unwrap();
        metrics.profiles(["muster"]);
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
    fn many_attempts_share_one_label() {
        let metrics = Metrics::new().unwrap();
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
        let text = Metrics::new().unwrap().render().unwrap();
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
