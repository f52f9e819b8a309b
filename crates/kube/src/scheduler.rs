//! Puts the parts together, runs them, and ends them in the right order.

use crate::connect::Clients;
use crate::dispatcher::{Dispatcher, DispatcherSettings};
use crate::driver::{Clock, Driver, DriverSettings, Ended};
use crate::events::EventWorkers;
use crate::health::Health;
use crate::informer::{Informer, InformerSettings, Surroundings};
use crate::observer::Observer;
use crate::recording::Recording;
use crate::wire::Json;
use muster_engine::Engine;
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Settings of the driver and all its parts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// Of the informers.
    pub informers: InformerSettings,
    /// Of the dispatcher.
    pub dispatcher: DispatcherSettings,
    /// Of the loop.
    pub driver: DriverSettings,
    /// By the rules of which Kubernetes minor objects are read: that of the server.
    pub minor: KubeMinor,
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
}

/// A scheduler at work. Dropping it does not end it in order; [`Running::stop`] does.
pub struct Running {
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<Ended>,
    informers: JoinSet<()>,
    event_workers: EventWorkers,
    event_grace: Duration,
}

/// Starts everything; `health` is kept up to date. Must be called within a multi-threaded tokio runtime, which the network parts use.
pub fn start(
    engine: Engine,
    clients: Clients,
    settings: Settings,
    observer: Arc<dyn Observer>,
    health: &Arc<Health>,
    recording: Option<Recording>,
) -> Result<Running, RunError> {
    let runtime = Handle::current();
    let (inputs_sender, inputs) = mpsc::channel(settings.driver.inputs_waiting.max(1));
    let around = Surroundings {
        client: clients.watches,
        inputs: inputs_sender.clone(),
        observer: Arc::clone(&observer),
        health: Arc::clone(health),
        settings: settings.informers,
        minor: settings.minor,
        whole_nodes: clients.extenders.whole_nodes().cloned(),
    };
    let mut informers = JoinSet::new();
    for kind in Kind::ALL {
        informers.spawn(Informer::<Json>::new(kind, around.clone()).run());
    }
    let (dispatcher, event_workers) = Dispatcher::start(
        runtime.clone(),
        (clients.writes, clients.extenders),
        inputs_sender,
        Arc::clone(&observer),
        settings.dispatcher,
        settings.minor,
    );
    let (stop, stop_seen) = watch::channel(false);
    let driver = Driver {
        engine,
        inputs,
        dispatcher,
        runtime,
        observer,
        health: Arc::clone(health),
        recording,
        stop: stop_seen,
        grace: settings.driver.grace,
        clock: Clock::start(),
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
    })
}

impl Running {
    /// Asks for the end: no further pod is tried, what was decided is carried out.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the end, and writes the events that still wait. Until it is called again it may be dropped and lose
    /// nothing.
    pub async fn ended(&mut self) -> Result<(), RunError> {
        let ended = tokio::select! {
            ended = &mut self.ended => ended.map_err(|_| RunError::Engine)?,
            // They go on for as long as the driver listens; only a panic ends one before.
            Some(_) = self.informers.join_next() => self.informer_ended().await?,
        };
        self.informers.abort_all();
        match ended {
            Ended::EffectLost => return Err(RunError::EffectLost),
            Ended::GraceUsedUp => tracing::warn!("the end came before everything decided was carried out"),
            Ended::InOrder => {}
        }
        self.event_workers.finish(self.event_grace).await;
        Ok(())
    }

    /// An informer is gone: because the driver is, or because of a bug.
    async fn informer_ended(&mut self) -> Result<Ended, RunError> {
        let soon = Duration::from_secs(1);
        match tokio::time::timeout(soon, &mut self.ended).await {
            Ok(ended) => ended.map_err(|_| RunError::Engine),
            Err(_) => Err(RunError::Informer),
        }
    }
}

#[cfg(test)]
mod tests;
