//! Puts the parts together, runs them, and ends them in the right order.

use crate::connect::Clients;
use crate::dispatcher::{Dispatcher, DispatcherSettings};
use crate::driver::{Clock, Driver, DriverSettings, Ended, Leads};
use crate::events::EventWorkers;
use crate::health::Health;
use crate::informer::{Informer, InformerSettings, Surroundings};
use crate::lease::{self, Campaign, Leadership, LeaseSettings};
use crate::observer::Observer;
use crate::questions::Questions;
use crate::recording::Recording;
use crate::wire::Json;
use muster_engine::Engine;
use muster_engine::election::Loss;
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Settings of the driver and all its parts.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Of the informers.
    pub informers: InformerSettings,
    /// Of the dispatcher.
    pub dispatcher: DispatcherSettings,
    /// Of the loop.
    pub driver: DriverSettings,
    /// By the rules of which Kubernetes minor objects are read: that of the server.
    pub minor: KubeMinor,
    /// The lease that this process must hold to do anything; none: it leads always. The engine must have been made to
    /// match ([`leads`](muster_engine::Settings::leads)).
    pub lease: Option<LeaseSettings>,
}

/// Why a scheduler ended although nobody asked it to. A new process is the way on: it takes the state from the API.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The engine's thread could not be started.
    #[error("cannot start the engine's thread")]
    Thread(#[source] std::io::Error),
    /// The engine's thread is gone: it has panicked.
    #[error("the engine has failed; this is a bug in Muster")]
    Engine,
    /// An informer is gone: it has panicked.
    #[error("an informer has failed; this is a bug in Muster")]
    Informer,
    /// The code that carried out an effect has panicked.
    #[error("the outcome of an effect is lost; this is a bug in Muster")]
    EffectLost,
    /// The candidate for the lease is gone: it has panicked.
    #[error("the candidate for the lease has failed; this is a bug in Muster")]
    Candidate,
    /// Another process may lead by now.
    #[error("leader election lost: {}", why_lost(.0))]
    LeaseLost(Loss),
}

fn why_lost(loss: &Loss) -> String {
    match loss {
        Loss::NotRenewed => "the lease could not be renewed in time".to_owned(),
        Loss::HeldBy(holder) if holder.is_empty() => "the lease was taken from us; nobody holds it".to_owned(),
        Loss::HeldBy(holder) => format!("{holder} holds the lease"),
        Loss::Gone => "the lease was deleted".to_owned(),
    }
}

/// A scheduler at work. Dropping it does not end it in order; [`Running::stop`] does.
pub struct Running {
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<Ended>,
    informers: JoinSet<()>,
    event_workers: EventWorkers,
    event_grace: Duration,
    /// None where nothing is elected, and when the lease has been given back.
    campaign: Option<Campaign>,
}

/// Starts everything; `health` is kept up to date, and `questions` are answered between turns. Must be called within a multi-threaded tokio runtime, which the network parts use.
pub fn start(
    engine: Engine,
    clients: Clients,
    settings: Settings,
    observer: Arc<dyn Observer>,
    health: &Arc<Health>,
    recording: Option<Recording>,
    questions: Questions,
) -> Result<Running, RunError> {
    let runtime = Handle::current();
    let (inputs_sender, inputs) = mpsc::channel(settings.driver.inputs_waiting.max(1));
    let relist = watch::Sender::new(0);
    let around = Surroundings {
        client: clients.watches,
        inputs: inputs_sender.clone(),
        observer: Arc::clone(&observer),
        health: Arc::clone(health),
        settings: settings.informers,
        minor: settings.minor,
        whole_nodes: clients.extenders.whole_nodes().cloned(),
        relist: relist.subscribe(),
    };
    let mut informers = JoinSet::new();
    for kind in Kind::ALL {
        informers.spawn(Informer::<Json>::new(kind, around.clone()).run());
    }
    let leads = if settings.lease.is_some() {
        Leads::NotYet
    } else {
        Leads::Always
    };
    let (leadership, campaign) = match settings.lease {
        None => (Leadership::always(relist), None),
        Some(lease) => {
            let (leadership, campaign) =
                lease::start(clients.lease, lease, Arc::clone(&observer), Arc::clone(health), relist);
            (leadership, Some(campaign))
        }
    };
    let (dispatcher, event_workers) = Dispatcher::start(
        runtime.clone(),
        (clients.writes, clients.extenders),
        inputs_sender,
        Arc::clone(&observer),
        settings.dispatcher,
        settings.minor,
        leadership.fence.clone(),
    );
    let (stop, stop_seen) = watch::channel(false);
    let driver = Driver {
        engine,
        inputs,
        questions,
        dispatcher,
        runtime,
        observer,
        health: Arc::clone(health),
        recording,
        stop: stop_seen,
        grace: settings.driver.grace,
        clock: Clock::start(),
        leadership,
        leads,
        counted: Instant::now(),
    };
    let (tell_end, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("engine".to_owned())
        // If it panics, `tell_end` is dropped, and that is seen.
        .spawn(move || tell_end.send(driver.run()))
        .map_err(RunError::Thread)?;
    Ok(Running {
        stop,
        ended,
        informers,
        event_workers,
        event_grace: settings.driver.event_grace,
        campaign,
    })
}

impl Running {
    /// Asks for the end: no further pod is tried, what was decided is carried out.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the end, writes the events that still wait, and gives the lease back if nothing is under way any more.
    /// Until it is called again it may be dropped and lose nothing.
    pub async fn ended(&mut self) -> Result<(), RunError> {
        let ended = tokio::select! {
            ended = &mut self.ended => ended.map_err(|_| RunError::Engine)?,
            // They go on for as long as the driver listens; only a panic ends one before.
            Some(_) = self.informers.join_next() => self.part_ended(RunError::Informer).await?,
            () = candidate_failed(&mut self.campaign) => self.part_ended(RunError::Candidate).await?,
        };
        self.informers.abort_all();
        match ended {
            Ended::EffectLost => return Err(RunError::EffectLost),
            Ended::LeaseLost => {
                let loss = self.campaign.as_ref().map_or(Loss::NotRenewed, Campaign::loss);
                return Err(RunError::LeaseLost(loss));
            }
            Ended::GraceUsedUp => {
                tracing::warn!("the end came before everything decided was carried out");
                // What is under way is under way in its name: it is left to expire.
                self.campaign = None;
            }
            Ended::InOrder => {}
        }
        self.event_workers.finish(self.event_grace).await;
        if let Some(campaign) = self.campaign.take() {
            campaign.release().await;
        }
        Ok(())
    }

    /// A part is gone: because the driver is, or because of a bug.
    async fn part_ended(&mut self, bug: RunError) -> Result<Ended, RunError> {
        let soon = Duration::from_secs(1);
        match tokio::time::timeout(soon, &mut self.ended).await {
            Ok(ended) => ended.map_err(|_| RunError::Engine),
            Err(_) => Err(bug),
        }
    }
}

/// Waits until the candidate has failed; for ever where there is none, or where it has ended because the lease is lost: then
/// the driver comes to its end.
async fn candidate_failed(campaign: &mut Option<Campaign>) {
    if let Some(campaign) = campaign
        && campaign.failed().await
    {
        return;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests;
