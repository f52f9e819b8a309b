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
    use tokio::time::advance;

    const MOMENT: Duration = Duration::from_millis(1);

    /// What fails, by its name and why.
    fn failing(checks: Vec<Check>) -> Vec<String> {
        let failing = checks
            .into_iter()
            .filter_map(|check| Some((check.name, check.problem?)));
        failing.map(|(name, problem)| format!("{name}: {problem}")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_has_not_turned_for_long_does_not_live_and_one_that_turns_again_does() {
        let health = Arc::new(Health::default());
        let probes = Probes(Arc::clone(&health));
        health.tick();
        advance(ENGINE_PATIENCE - MOMENT).await;
        assert_eq!(failing(probes.live()), [""; 0]);
        advance(MOMENT).await;
        assert_eq!(
            failing(probes.live()),
            ["engine-turns: the engine has not turned for 20s"]
        );
        health.tick();
        assert_eq!(failing(probes.live()), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_whose_lease_has_been_over_for_long_does_not_live() {
        let health = Arc::new(Health::default());
        let probes = Probes(Arc::clone(&health));
        let lasts = Duration::from_secs(15);
        health.set_lease_expiry(lasts);
        advance(lasts + LEASE_PATIENCE).await;
        // The engine is well meanwhile, and one that has never led has no lease that could be over.
        health.tick();
        assert_eq!(failing(probes.live()), [""; 0]);
        advance(MOMENT).await;
        let over = "leaderElection: the lease has been over for 20s, and this process has not ended";
        assert_eq!(failing(probes.live()), [over]);
        health.set_lease_expiry(lasts);
        assert_eq!(failing(probes.live()), [""; 0]);
    }

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
