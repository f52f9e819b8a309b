//! Events, as Kubernetes shows them to people: written by a few workers from a bounded queue, never in the way of a bind.
//!
//! Of two alike that wait the newer one is written alone (`event_backlog`). An event is a courtesy. One that finds no room, or that the server does not take, is counted and forgotten: what a pod
//! waits for also stands in its condition, which is written again until it stands.

use crate::event_backlog::{EventBacklog, NoRoom};
use crate::exchange::exchange;
use crate::fence::Fence;
use crate::observer::{Notice, Observer};
use crate::rate_limit::RateLimit;
use jiff::Timestamp;
use kube::Client;
use muster_api::write::{self, EventText, Method};
use muster_engine::{Regarding, Severity};
use muster_framework::Text;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// An event that waits to be written.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) regarding: Regarding,
    pub(crate) reporting_controller: Text,
    pub(crate) severity: Severity,
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) note: Text,
}

/// Where events are put. The workers end when it is dropped and the queue is empty.
pub(crate) struct EventQueue(Arc<Desk>);

/// The workers' end of it.
pub(crate) struct EventWorkers(JoinSet<()>);

/// What the workers need.
struct Desk {
    backlog: Mutex<EventBacklog>,
    /// There is something to do, or nothing more will come.
    called: Notify,
    /// Nothing more will come.
    closed: AtomicBool,
    client: Client,
    observer: Arc<dyn Observer>,
    limit: Option<RateLimit>,
    fence: Fence,
    timeout: Duration,
    reporting_instance: String,
    /// Makes names unique: begins at the time of the start, so that two runs do not meet.
    serial: AtomicU64,
    complained: AtomicBool,
}

/// How events are written.
pub(crate) struct EventSettings {
    pub(crate) queue: usize,
    pub(crate) workers: usize,
    pub(crate) timeout: Duration,
    pub(crate) reporting_instance: String,
    pub(crate) limit: Option<RateLimit>,
    pub(crate) fence: Fence,
}

/// Starts the workers.
pub(crate) fn start(
    runtime: &Handle,
    client: Client,
    observer: Arc<dyn Observer>,
    settings: EventSettings,
) -> (EventQueue, EventWorkers) {
    let begun = u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or_default();
    let desk = Arc::new(Desk {
        backlog: Mutex::new(EventBacklog::new(settings.queue)),
        called: Notify::new(),
        closed: AtomicBool::new(false),
        client,
        observer,
        limit: settings.limit,
        fence: settings.fence,
        timeout: settings.timeout,
        reporting_instance: settings.reporting_instance,
        serial: AtomicU64::new(begun),
        complained: AtomicBool::new(false),
    });
    let mut workers = JoinSet::new();
    for _ in 0..settings.workers.max(1) {
        workers.spawn_on(work(Arc::clone(&desk)), runtime);
    }
    (EventQueue(desk), EventWorkers(workers))
}

impl EventQueue {
    /// Puts an event in the queue; drops it if there is no room. Never blocks.
    pub(crate) fn put(&self, event: Event) {
        let put = self.0.backlog().put(Timestamp::now(), event);
        match put {
            Ok(()) => self.0.called.notify_one(),
            Err(NoRoom) => self.0.observer.notice(Notice::EventWithoutRoom),
        }
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.called.notify_waiters();
    }
}

impl EventWorkers {
    /// Waits until the queue is written, but not longer than this. The [`EventQueue`] must be gone.
    pub(crate) async fn finish(&mut self, within: Duration) {
        let all = async { while self.0.join_next().await.is_some() {} };
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::debug!("some events were not written before the end");
        }
    }
}

async fn work(desk: Arc<Desk>) {
    loop {
        // Made before it is looked whether there is anything: a call in between is heard.
        let called = desk.called.notified();
        let closed = desk.closed.load(Ordering::Acquire);
        let next = desk.backlog().take();
        match next {
            Some((at, event)) => desk.write(at, &event).await,
            None if closed => return,
            None => called.await,
        }
    }
}

impl Desk {
    /// Every change is whole before anything could panic.
    fn backlog(&self) -> MutexGuard<'_, EventBacklog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, at: Timestamp, event: &Event) {
        if let Some(limit) = &self.limit {
            limit.take(Method::Post.name(), &*self.observer).await;
        }
        let Some(longest) = self.fence.write_timeout() else {
            self.observer.notice(Notice::EventNotTaken);
            return;
        };
        let within = self.timeout.min(longest);
        let suffix = format!("{:x}", self.serial.fetch_add(1, Ordering::Relaxed));
        let text = EventText {
            reporting_controller: &event.reporting_controller,
            severity: event.severity,
            reason: event.reason,
            action: event.action,
            note: &event.note,
        };
        let request = write::event(&event.regarding, text, &self.reporting_instance, &suffix, at);
        let request = crate::dispatcher::http_request(&request, within);
        let problem = match exchange(&self.client, &*self.observer, request, within).await {
            Ok(answer) if answer.status.is_success() => return,
            Ok(answer) => crate::answer::said(&answer).to_string(),
            Err(lost) => lost.to_string(),
        };
        self.observer.notice(Notice::EventNotTaken);
        if self.complained.swap(true, Ordering::Relaxed) {
            tracing::debug!(object = %event.regarding, error = %problem, "an event was not taken");
        } else {
            tracing::warn!(object = %event.regarding, error = %problem, "an event was not taken; further ones are only counted");
        }
    }
}
