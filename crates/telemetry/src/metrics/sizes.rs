//! How much there is and waits: gauges that are set from what the engine counts.

use super::Maker;
use muster_engine::{Census, Section, Stats, WaitReason};
use prometheus::{Gauge, IntGauge, IntGaugeVec};

/// The gauges of sizes and waits.
pub(super) struct Sizes {
    pending: [IntGauge; Section::ALL.len()],
    /// Pods, then pod groups, by section.
    queued: [[IntGauge; Section::ALL.len()]; 2],
    waiting_groups: [IntGauge; WaitReason::ALL.len()],
    /// Nodes, pods, assumed pods.
    cache: [IntGauge; 3],
    effects_in_flight: IntGauge,
    unschedulable: IntGaugeVec,
    longest_active: Gauge,
    longest_group_wait: Gauge,
    quorum_gap: IntGauge,
}

impl Sizes {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Sizes> {
        let pending = make.gauges(
            "scheduler_pending_pods",
            "Number of pending pods, by the section of the queue.",
            &["queue"],
        )?;
        let queued = make.gauges(
            "scheduler_queued_entities",
            "Number of queued entities, by the section of the queue: single pods, and pod groups that are tried as one.",
            &["queue", "type"],
        )?;
        let waiting_groups = make.gauges(
            "muster_waiting_groups",
            "Number of pod groups that wait, by the reason.",
            &["reason"],
        )?;
        let cache = make.gauges(
            "scheduler_cache_size",
            "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
            &["type"],
        )?;
        let in_section = |kind| Section::ALL.map(|section| queued.with_label_values(&[section.name(), kind]));
        Ok(Sizes {
            pending: Section::ALL.map(|section| pending.with_label_values(&[section.name()])),
            queued: ["pod", "podgroup"].map(in_section),
            waiting_groups: WaitReason::ALL.map(|reason| waiting_groups.with_label_values(&[reason.name()])),
            cache: ["nodes", "pods", "assumed_pods"].map(|what| cache.with_label_values(&[what])),
            effects_in_flight: make.keep(IntGauge::new(
                "muster_effects_in_flight",
                "Number of effects (binds, reads, status writes) without an outcome yet.",
            )?)?,
            unschedulable: make.gauges(
                "scheduler_unschedulable_pods",
                "The number of unschedulable pods broken down by plugin name. A pod counts for each plugin that rejected \
                 nodes for it, so it has a meaning only when broken down by plugin.",
                &["plugin", "profile"],
            )?,
            longest_active: make.keep(Gauge::new(
                "muster_queue_longest_active_seconds",
                "How long the pod or pod group has been ready to be tried that has been so longest; 0 on a standby.",
            )?)?,
            longest_group_wait: make.keep(Gauge::new(
                "muster_podgroup_longest_wait_seconds",
                "How long a member of the pod group has been known that waits longest for its places; 0 on a standby.",
            )?)?,
            quorum_gap: make.keep(IntGauge::new(
                "muster_quorum_gap_members",
                "Number of members that gangs lack to have as many as must start together; 0 on a standby.",
            )?)?,
        })
    }

    /// Sets what is told at each turn.
    pub(super) fn set(&self, stats: &Stats) {
        set(&self.pending, stats.pending);
        for (gauges, sections) in self.queued.iter().zip(stats.queued) {
            set(gauges, sections);
        }
        set(&self.waiting_groups, stats.waiting_groups);
        set(&self.cache, [stats.nodes, stats.pods, stats.assumed_pods]);
        self.effects_in_flight.set(gauge(stats.in_flight));
    }

    /// Sets what is counted now and then.
    pub(super) fn set_census(&self, census: &Census) {
        for ((profile, plugin), pods) in &census.unschedulable {
            self.unschedulable
                .with_label_values(&[*plugin, profile])
                .set(gauge(*pods));
        }
        self.longest_active.set(census.longest_active.as_secs_f64());
        self.longest_group_wait.set(census.longest_group_wait.as_secs_f64());
        self.quorum_gap
            .set(i64::try_from(census.quorum_gap).unwrap_or(i64::MAX));
    }
}

fn set<const N: usize>(gauges: &[IntGauge; N], values: [usize; N]) {
    for (of, value) in gauges.iter().zip(values) {
        of.set(gauge(value));
    }
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
