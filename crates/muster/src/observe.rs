//! What the scheduler reports, made into metrics, log lines and traces. At the default verbosity, one line for each decision:
//! a gang is decided about as a whole, and what becomes of its members is detail.

use muster_engine::{Census, Input, Observation, Stats};
use muster_kube::{BindRequest, Notice, Observer};
use muster_telemetry::{Metrics, Traces};
use std::sync::Arc;
use std::time::Duration;

/// Counts and logs.
pub(crate) struct Observe {
    pub(crate) metrics: Arc<Metrics>,
    /// The name of the lease, as metrics have it.
    pub(crate) lease: String,
    /// Where traces are wanted.
    pub(crate) traces: Option<Traces>,
}

impl Observer for Observe {
    fn observation(&self, observation: &Observation, took: Duration) {
        self.metrics.observation(observation, took);
        log(observation);
        if let Some(traces) = &self.traces {
            traces.observation(observation, took);
        }
    }

    fn stats(&self, stats: &Stats) {
        self.metrics.stats(stats);
    }

    fn census(&self, census: &Census) {
        self.metrics.census(census);
    }

    fn input(&self, input: &Input) {
        self.metrics.input(input);
    }

    fn notice(&self, notice: Notice) {
        match notice {
            Notice::Heard(kind) => self.metrics.heard(kind),
            Notice::Relist(kind) => self.metrics.relist(kind),
            Notice::WatchRestart(kind) => self.metrics.watch_restart(kind),
            Notice::Undecodable(kind) => self.metrics.undecodable(kind),
            Notice::EventWithoutRoom => self.metrics.event_without_room(),
            Notice::EventNotTaken => self.metrics.event_not_taken(),
            Notice::Leads(leads) => {
                self.metrics.leads(&self.lease, leads);
                if !leads {
                    self.metrics.lease_margin(Duration::ZERO);
                }
            }
            Notice::LeaseMargin(margin) => self.metrics.lease_margin(margin),
            Notice::LeaseSlowPath => self.metrics.lease_slow_path(&self.lease),
            Notice::RateLimited { method, waited } => self.metrics.rate_limited(method, waited),
            Notice::Request { method, status, took } => self.metrics.request(method, status, took),
        }
    }

    fn bind_request(&self, request: &BindRequest<'_>) {
        if let Some(traces) = &self.traces {
            let BindRequest {
                pod,
                node,
                took,
                status,
                retries,
            } = *request;
            traces.bind_request(pod, node, took, status, retries);
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn log(observation: &Observation) {
    match observation {
        Observation::Bound {
            pod,
            node,
            attempts,
            waited,
            with_group,
            ..
        } => {
            let waited_ms = milliseconds(*waited);
            if *with_group {
                tracing::debug!(%pod, %node, attempts, waited_ms, "bound");
            } else {
                tracing::info!(%pod, %node, attempts, waited_ms, "bound");
            }
        }
        Observation::Waiting {
            pod,
            reason,
            message,
            with_group: true,
        } => tracing::debug!(%pod, %reason, why = %message, "waits"),
        Observation::Waiting {
            pod, reason, message, ..
        } => tracing::info!(%pod, %reason, why = %message, "waits"),
        Observation::GroupWaiting { group, reason, message } => {
            tracing::info!(%group, reason = reason.name(), why = %message, "the pod group waits");
        }
        Observation::GroupCommitted {
            group,
            members,
            without_place,
            waited,
        } => {
            let waited_ms = milliseconds(*waited);
            tracing::info!(%group, members, without_place, waited_ms, "the pod group goes");
        }
        Observation::TurnedAway { pod, node, reason } => {
            tracing::warn!(%pod, %node, %reason, "a kubelet turned away a pod that was bound");
        }
        Observation::BindFailed { pod, node, message } => {
            tracing::warn!(%pod, %node, error = %message, "a bind was refused, or its answer lost");
        }
        Observation::PlaceOverdue { pod, stage } => {
            tracing::warn!(%pod, stage = stage.name(), "a pod has held its place for too long without being bound");
        }
        Observation::BatchContradicted { message } => {
            tracing::error!(%message, "a verdict on twins was wrong, and has been dropped: please report this");
        }
        // The informer that could not read it has said so; who was tried is for traces.
        Observation::Undecodable { .. } | Observation::Tried { .. } => {}
        Observation::Attempt { .. } | Observation::QueueIncoming { .. } | Observation::Batching { .. } => {
            tracing::trace!(?observation, "observed");
        }
    }
}
