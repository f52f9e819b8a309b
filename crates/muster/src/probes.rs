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
    use crate::serving::about;
    use muster_config::Configuration;
    use muster_telemetry::serving::{Health as _, Limits, Pages, Routes, Server};
    use muster_telemetry::{Metrics, Verbosity};
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
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

    /// Serves what the probes say to anybody, at this address.
    async fn serve(health: &Arc<Health>) -> SocketAddr {
        let pages = Pages::new(
            Arc::new(Metrics::new(&[]).unwrap()),
            Arc::new(Probes(Arc::clone(health))),
            Arc::new(about(&Configuration::default()).unwrap()),
            Verbosity::new(0),
            Arc::<[Arc<dyn Routes>; 0]>::new([]),
        );
        let at = ([127, 0, 0, 1], 0).into();
        let server = Server::listen_insecurely(at, &pages, Limits::default()).await.unwrap();
        let address = server.address().unwrap();
        tokio::spawn(server.run());
        address
    }

    /// Status and body of an answer. Time stands still meanwhile: a thread is waited for.
    async fn get(address: SocketAddr, path: &'static str) -> (u16, String) {
        let asked = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = asked.await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_over_a_connection_hears_500_while_it_does_not_live() {
        let health = Arc::new(Health::default());
        let address = serve(&health).await;
        let well = (200, "ok".to_owned());
        health.tick();
        assert_eq!(get(address, "/livez").await, well);

        // Nothing ticks.
        advance(ENGINE_PATIENCE).await;
        let checks = "[+]ping ok\n[-]engine-turns failed: reason withheld\n[+]leaderElection ok\n";
        for (path, name) in [("/livez", "livez"), ("/healthz", "healthz")] {
            let failed = (500, format!("{checks}{name} check failed\n"));
            assert_eq!(get(address, path).await, failed);
        }
        let (status, why) = get(address, "/livez/engine-turns").await;
        let silent = "internal server error: the engine has not turned for ";
        assert!(status == 500 && why.starts_with(silent), "{status}: {why}");
        health.tick();
        assert_eq!(get(address, "/livez").await, well);

        // Nobody renews the lease, and the process lives on.
        let lasts = Duration::from_secs(15);
        health.set_lease_expiry(lasts);
        advance(lasts + LEASE_PATIENCE + MOMENT).await;
        health.tick();
        let checks = "[+]ping ok\n[+]engine-turns ok\n[-]leaderElection failed: reason withheld\n";
        let failed = (500, format!("{checks}livez check failed\n"));
        assert_eq!(get(address, "/livez").await, failed);
        let (status, why) = get(address, "/livez/leaderElection").await;
        let over = "internal server error: the lease has been over for ";
        assert!(status == 500 && why.starts_with(over), "{status}: {why}");
        health.set_lease_expiry(lasts);
        assert_eq!(get(address, "/livez").await, well);
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
