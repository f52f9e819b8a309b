//! What `/livez` and `/readyz` say of a running scheduler.

use muster_framework::record::Kind;
use muster_kube::Health;
use muster_telemetry::serving::Check;
use std::sync::Arc;
use std::time::Duration;

/// An engine that has not turned for so long is taken for dead; upstream's watchdog has the same patience.
const ENGINE_PATIENCE: Duration = Duration::from_secs(20);

/// A leader that could not renew its lease has ended long before it has been over for so long. Source:
/// `NewLeaderHealthzAdaptor` in `cmd/kube-scheduler/app/options/options.go`.
const LEASE_PATIENCE: Duration = Duration::from_secs(20);

/// Answers probes from what the driver and the informers note down.
pub(crate) struct Probes(pub(crate) Arc<Health>);

impl muster_telemetry::serving::Health for Probes {
    fn live(&self) -> Vec<Check> {
        let silent = self.0.last_tick_ago();
        let stuck = (silent >= ENGINE_PATIENCE).then(|| format!("the engine has not turned for {}s", silent.as_secs()));
        let over = self.0.lease_expired_ago();
        let leaderless = (over > LEASE_PATIENCE).then(|| {
            format!(
                "the lease has been over for {}s, and this process has not ended",
                over.as_secs()
            )
        });
        vec![
            Check::new("ping", None),
            Check::new("engine-turns", stuck),
            Check::new("leaderElection", leaderless),
        ]
    }

    fn ready(&self) -> Vec<Check> {
        let unless = |well: bool, problem: &str| (!well).then(|| problem.to_owned());
        let informers = Kind::ALL.into_iter().map(|kind| {
            let problem = unless(
                self.0.is_listed(kind),
                "not listed yet; the log says why if it takes long",
            );
            Check::new(format!("informer-sync-{}", kind.name()), problem)
        });
        let mut checks = vec![Check::new("ping", None)];
        checks.extend(informers);
        checks.push(Check::new(
            "engine-sync",
            unless(self.0.is_engine_synced(), "the engine waits for the informers"),
        ));
        checks.push(Check::new(
            "shutdown",
            unless(!self.0.is_stopping(), "the end has been asked for"),
        ));
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_telemetry::serving::Health as _;

    #[test]
    fn a_new_scheduler_lives_but_is_not_ready() {
        let probes = Probes(Arc::new(Health::default()));
        assert!(probes.live().iter().all(|check| check.problem.is_none()));
        let missing: Vec<_> = probes
            .ready()
            .into_iter()
            .filter(|c| c.problem.is_some())
            .map(|c| c.name)
            .collect();
        let informers = Kind::ALL.map(|kind| format!("informer-sync-{}", kind.name()));
        assert_eq!(missing, [&informers[..], &["engine-sync".to_owned()]].concat());
    }
}
