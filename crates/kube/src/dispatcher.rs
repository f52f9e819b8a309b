//! Carries out what the engine decides, and tells it what became of it.
//!
//! Everything is bounded: so many binds and reads at once (as many as the server bears, see `bind_window`), so many status
//! writes at once and waiting, so many events waiting. The driver asks for an effect only while there is [room](Dispatcher::has_room); then taking it never blocks.
//! Every effect that is answered at all is answered exactly once.

use crate::answer;
use crate::bind_window::BindWindow;
use crate::events::{self, Event, EventQueue, EventSettings, EventWorkers};
use crate::exchange::{Answer, Lost, exchange};
use crate::extender::{Extenders, without_managed_fields};
use crate::fence::Fence;
use crate::observer::{BindRequest, Observer};
use crate::rate_limit::{Rate, RateLimit};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use muster_api::write::{self, AsSeen, Method};
use muster_engine::{
    BindOutcome, Effect, EffectId, EffectKind, ExtenderAnswer, ExtenderVerb, GroupRef, Input, Outcome, PodRead, PodRef,
};
use muster_framework::Text;
use muster_framework::group::GroupStatus;
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};

/// The wait after a 429 that does not say how long.
const UNSTATED_RETRY_AFTER: Duration = Duration::from_secs(1);
/// The shortest wait after a 429, whatever it says.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(100);
/// What becomes of a write when this process does not lead any more.
const NOT_SENT: &str = "not sent: this process does not lead any more";
/// How long the pod of a question may be read: less than the engine's patience beyond an extender's own time-out.
const POD_READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Sizes and times of the dispatcher.
#[derive(Debug, Clone, PartialEq)]
pub struct DispatcherSettings {
    /// The most binds and reads on their way at once. How many there are within it depends on how the server answers.
    pub binds_in_flight: usize,
    /// Questions to extenders on their way at once. While there are so many nothing else is decided: no question waits
    /// longer than the extender takes.
    pub questions_in_flight: usize,
    /// Status writes on their way at once.
    pub status_writes_in_flight: usize,
    /// Status writes that may wait for their turn, so that they do not hold up binds.
    pub status_writes_waiting: usize,
    /// How long a bind, a read or a status write may take, tries after a 429 included.
    pub request_timeout: Duration,
    /// Events that may wait.
    pub events_waiting: usize,
    /// Events on their way at once.
    pub events_in_flight: usize,
    /// How long the writing of an event may take.
    pub event_timeout: Duration,
    /// A limit on requests: one for binds, reads and status writes together, and one of the same size for events.
    pub rate: Option<Rate>,
    /// Who reports events: the scheduler's name and the host's.
    pub reporting_instance: String,
}

impl Default for DispatcherSettings {
    fn default() -> DispatcherSettings {
        DispatcherSettings {
            binds_in_flight: 64,
            questions_in_flight: 32,
            status_writes_in_flight: 16,
            status_writes_waiting: 1024,
            request_timeout: Duration::from_secs(10),
            events_waiting: 16_384,
            events_in_flight: 4,
            event_timeout: Duration::from_secs(5),
            rate: None,
            reporting_instance: "muster".to_owned(),
        }
    }
}

/// Carries out effects. Owned by the driver.
pub(crate) struct Dispatcher {
    runtime: Handle,
    desk: Arc<Desk>,
    events: EventQueue,
    /// Has as many permits as there may be binds at the most; the window says how many of them may be used.
    binds: Arc<Semaphore>,
    binds_max: usize,
    questions: Arc<Semaphore>,
    status_writes: Arc<Semaphore>,
}

/// What the tasks share.
struct Desk {
    client: Client,
    extenders: Extenders,
    inputs: mpsc::Sender<Input>,
    observer: Arc<dyn Observer>,
    limit: Option<RateLimit>,
    /// Whether a write may leave, and how long it may take.
    fence: Fence,
    request_timeout: Duration,
    /// By whose rules a pod that is read back is read.
    minor: KubeMinor,
    bind_window: Mutex<BindWindow>,
    /// Of the status writes that were taken, so many go at once; the others wait here in their order.
    status_writes_at_once: Semaphore,
    in_flight: AtomicUsize,
    /// A slot came free.
    freed: Notify,
    /// An effect was taken and will never be answered: a bug.
    lost_one: AtomicBool,
}

/// The place of an effect that is being carried out; given back when dropped.
struct Slot {
    desk: Arc<Desk>,
    permit: Option<OwnedSemaphorePermit>,
    /// Whether the end waits for it: after the engine has stopped, what an extender says is of no use.
    in_flight: bool,
    answered: bool,
}

impl Slot {
    /// Tells the engine the outcome, and only then gives the slot back: whoever finds no effect in flight finds every
    /// outcome in the channel.
    async fn tell(mut self, outcome: Input) {
        // If nobody listens any more, nobody misses it.
        let _ = self.desk.inputs.send(outcome).await;
        self.answered = true;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.answered {
            self.desk.lost_one.store(true, Ordering::Relaxed);
        }
        // Before the call, or the driver could look, find no room, and wait for a call that has come already.
        drop(self.permit.take());
        if self.in_flight {
            self.desk.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
        self.desk.freed.notify_one();
    }
}

impl Dispatcher {
    pub(crate) fn start(
        runtime: Handle,
        (client, extenders): (Client, Extenders),
        inputs: mpsc::Sender<Input>,
        observer: Arc<dyn Observer>,
        settings: DispatcherSettings,
        minor: KubeMinor,
        fence: Fence,
    ) -> (Dispatcher, EventWorkers) {
        let event_settings = EventSettings {
            queue: settings.events_waiting,
            workers: settings.events_in_flight,
            timeout: settings.event_timeout,
            reporting_instance: settings.reporting_instance,
            limit: settings.rate.and_then(RateLimit::new),
            fence: fence.clone(),
        };
        let (events, workers) = events::start(&runtime, client.clone(), Arc::clone(&observer), event_settings);
        let writes_at_once = settings.status_writes_in_flight.max(1);
        let binds_max = settings.binds_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let desk = Arc::new(Desk {
            client,
            extenders,
            inputs,
            observer,
            limit: settings.rate.and_then(RateLimit::new),
            fence,
            request_timeout: settings.request_timeout,
            minor,
            bind_window: Mutex::new(BindWindow::new(binds_max)),
            status_writes_at_once: Semaphore::new(writes_at_once),
            in_flight: AtomicUsize::new(0),
            freed: Notify::new(),
            lost_one: AtomicBool::new(false),
        });
        let binds = Arc::new(Semaphore::new(binds_max));
        let questions = Arc::new(Semaphore::new(settings.questions_in_flight.max(1)));
        let status_writes = Arc::new(Semaphore::new(writes_at_once + settings.status_writes_waiting));
        (
            Dispatcher {
                runtime,
                desk,
                events,
                binds,
                binds_max,
                questions,
                status_writes,
            },
            workers,
        )
    }

    /// Whether any effect, whatever it is, can be taken now. Only the owner takes effects, so this stays true until it
    /// does.
    pub(crate) fn has_room(&self) -> bool {
        let slots = [&self.questions, &self.status_writes];
        let on_their_way = self.binds_max - self.binds.available_permits();
        on_their_way < self.desk.bind_window().limit() && slots.iter().all(|slots| slots.available_permits() > 0)
    }

    /// Waits until a slot came free since the last call.
    pub(crate) async fn freed(&self) {
        self.desk.freed.notified().await;
    }

    /// Whether every effect that was taken has been answered, events and questions aside.
    pub(crate) fn is_idle(&self) -> bool {
        self.desk.in_flight.load(Ordering::Acquire) == 0
    }

    /// Whether an effect will never be answered, because the code that carried it out is broken.
    pub(crate) fn has_lost_one(&self) -> bool {
        self.desk.lost_one.load(Ordering::Relaxed)
    }

    /// Takes an effect. Never blocks.
    pub(crate) fn carry_out(&self, effect: Effect) {
        let id = effect.id;
        match effect.kind {
            EffectKind::Bind { pod, node, by } => {
                let desk = Arc::clone(&self.desk);
                let on_their_way = self.binds_max - self.binds.available_permits() + 1;
                self.answer(id, &self.binds, async move {
                    desk.bind(&pod, &node, by, on_their_way).await
                });
            }
            EffectKind::ReserveVolume {
                pod: _,
                volume,
                volume_version,
                claim,
                claim_uid,
                claim_version,
                mark_bound_by_controller,
            } => {
                let request = write::bind_volume(
                    &volume,
                    AsSeen::version(volume_version),
                    &claim,
                    AsSeen {
                        uid: &claim_uid,
                        resource_version: claim_version,
                    },
                    mark_bound_by_controller,
                );
                let desk = Arc::clone(&self.desk);
                let patch = async move { desk.patch(Kind::PersistentVolume, &request).await };
                self.answer(id, &self.binds, patch);
            }
            EffectKind::SelectNode {
                pod: _,
                claim,
                claim_version,
                node,
            } => {
                let request = write::select_node(&claim, AsSeen::version(claim_version), &node);
                let desk = Arc::clone(&self.desk);
                let patch = async move { desk.patch(Kind::PersistentVolumeClaim, &request).await };
                self.answer(id, &self.binds, patch);
            }
            EffectKind::AskExtender {
                extender,
                verb,
                pod,
                nodes,
            } => {
                let desk = Arc::clone(&self.desk);
                self.answer_question(id, async move { desk.question(extender, verb, &pod, &nodes).await });
            }
            EffectKind::ReadPod { pod } => {
                let desk = Arc::clone(&self.desk);
                self.answer(id, &self.binds, async move { desk.read(&pod).await });
            }
            EffectKind::PodCondition {
                pod,
                observed_generation,
                reason,
                message,
            } => {
                let desk = Arc::clone(&self.desk);
                let write = async move { desk.write_condition(&pod, observed_generation, &reason, &message).await };
                self.answer(id, &self.status_writes, write);
            }
            EffectKind::GroupStatus {
                group,
                observed_generation,
                status,
                turns,
            } => {
                let desk = Arc::clone(&self.desk);
                let write = async move { desk.write_group(&group, observed_generation, &status, turns).await };
                self.answer(id, &self.status_writes, write);
            }
            EffectKind::Evict { pod } => {
                let desk = Arc::clone(&self.desk);
                self.answer(id, &self.status_writes, async move { desk.evict(&pod).await });
            }
            EffectKind::Event {
                regarding,
                reporting_controller,
                severity,
                reason,
                action,
                note,
            } => {
                self.events.put(Event {
                    regarding,
                    reporting_controller,
                    severity,
                    reason,
                    action,
                    note,
                });
            }
        }
    }

    /// Runs `work` in a slot of this sort, and tells the engine its outcome.
    fn answer(&self, id: EffectId, slots: &Arc<Semaphore>, work: impl Future<Output = Outcome> + Send + 'static) {
        self.desk.in_flight.fetch_add(1, Ordering::AcqRel);
        self.run(id, self.slot(slots, true), work);
    }

    /// Likewise for a question to an extender.
    fn answer_question(&self, id: EffectId, work: impl Future<Output = Outcome> + Send + 'static) {
        self.run(id, self.slot(&self.questions, false), work);
    }

    fn slot(&self, slots: &Arc<Semaphore>, in_flight: bool) -> Slot {
        Slot {
            desk: Arc::clone(&self.desk),
            // The driver has seen that there is room. Had it not, one effect too many would be on its way, no harm done.
            permit: Arc::clone(slots).try_acquire_owned().ok(),
            in_flight,
            answered: false,
        }
    }

    fn run(&self, id: EffectId, slot: Slot, work: impl Future<Output = Outcome> + Send + 'static) {
        self.runtime.spawn(async move {
            let outcome = work.await;
            slot.tell(Input::EffectDone { id, outcome }).await;
        });
    }
}

impl Desk {
    /// Source for extenders that may be ignored: `extendersBinding` in `pkg/scheduler/schedule_one.go`. Had it bound the
    /// pod after all, the second bind would be refused, and the pod read.
    async fn bind(&self, pod: &PodRef, node: &str, by: Option<u32>, on_their_way: usize) -> Outcome {
        if let Some(extender) = by
            && let Some(outcome) = self.bind_by(extender, pod, node).await
        {
            return Outcome::Bind(outcome);
        }
        let (begun, mut retries) = (Instant::now(), 0);
        let request = write::bind(pod, node);
        let answer = self.ask_counting(&request, self.request_timeout, &mut retries).await;
        self.observer.bind_request(&BindRequest {
            pod,
            node,
            took: begun.elapsed(),
            status: answer.as_ref().ok().map(|answer| answer.status.as_u16()),
            retries,
        });
        match &answer {
            Ok(answer) if answer.status.is_success() => self.bind_window().answered(on_their_way),
            Ok(answer) if is_overload(answer.status) => self.bind_window().overloaded(),
            // A refusal says nothing about how busy the server is.
            Ok(_) => {}
            Err(_) => self.bind_window().overloaded(),
        }
        Outcome::Bind(answer::of_bind(pod, answer))
    }

    /// Every change is whole before anything could panic.
    fn bind_window(&self) -> MutexGuard<'_, BindWindow> {
        self.bind_window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has an extender bind a pod. None: it could not, and it may be done without.
    async fn bind_by(&self, extender: u32, pod: &PodRef, node: &str) -> Option<BindOutcome> {
        let unknown = |message: String| {
            Some(BindOutcome::Unknown {
                message: message.into(),
            })
        };
        let Some(longest) = self.fence.write_timeout() else {
            return unknown(NOT_SENT.to_owned());
        };
        let outcome = timeout(longest, self.extenders.bind(extender, pod, node)).await;
        let outcome = outcome.unwrap_or_else(|_| unknown(format!("no answer within {}s", longest.as_secs_f32())));
        if matches!(outcome, Some(BindOutcome::Unknown { .. })) {
            self.fence.unanswered();
        }
        outcome
    }

    async fn question(&self, extender: u32, verb: ExtenderVerb, pod: &PodRef, nodes: &[Text]) -> Outcome {
        Outcome::Extender(match self.pod_object(pod).await {
            Ok(object) => self.extenders.ask(extender, verb, &object, nodes).await,
            Err(message) => ExtenderAnswer::Failed { message },
        })
    }

    /// A pod as the API server has it. It is read for every question: no memory is kept for pods that wait, and a read is
    /// little beside the question itself.
    async fn pod_object(&self, pod: &PodRef) -> Result<Bytes, Text> {
        let answer = self.ask_within(&write::get_pod(pod), POD_READ_TIMEOUT).await;
        let body = answer
            .as_ref()
            .map_or_else(|_| Bytes::new(), |answer| answer.body.clone());
        match answer::of_read(pod, self.minor, answer) {
            PodRead::Found(_) => Ok(without_managed_fields(&body)),
            PodRead::Gone => Err("the pod is gone".into()),
            PodRead::Failed { message } => Err(format!("the pod cannot be read for it: {message}").into()),
        }
    }

    async fn patch(&self, kind: Kind, request: &write::Request) -> Outcome {
        answer::of_patch(kind, self.ask(request).await)
    }

    async fn read(&self, pod: &PodRef) -> Outcome {
        Outcome::PodRead(answer::of_read(pod, self.minor, self.ask(&write::get_pod(pod)).await))
    }

    async fn write_condition(&self, pod: &PodRef, generation: i64, reason: &str, message: &str) -> Outcome {
        // Never closed, so that this only waits.
        let _turn = self.status_writes_at_once.acquire().await;
        let request = write::pod_condition(pod, generation, reason, message, Timestamp::now());
        answer::of_pod_write(pod, self.ask(&request).await)
    }

    async fn write_group(&self, group: &GroupRef, generation: i64, status: &GroupStatus, turns: bool) -> Outcome {
        let _turn = self.status_writes_at_once.acquire().await;
        let turned = turns.then(Timestamp::now);
        match write::group_status(group, generation, status, turned) {
            Some(request) => answer::of_group_write(group, self.ask(&request).await),
            None => Outcome::WriteFailed {
                message: format!("the status of a {} does not say this", group.kind.name()).into(),
            },
        }
    }

    /// Asks once: a 429 may come from a disruption budget, which does not change as fast as a busy server.
    async fn evict(&self, pod: &PodRef) -> Outcome {
        let _turn = self.status_writes_at_once.acquire().await;
        answer::of_pod_write(pod, self.ask_once(&write::evict(pod), self.request_timeout).await)
    }

    /// Sends a request; sends it again while the server says that it is too busy and there is time left. Nothing else
    /// is sent again: after a 429 alone it is certain that nothing was done. A write is not sent, not even again, when this
    /// process does not lead any more; and the server, too, is told how long it may take.
    async fn ask(&self, request: &write::Request) -> Result<Answer, Lost> {
        self.ask_within(request, self.request_timeout).await
    }

    async fn ask_within(&self, request: &write::Request, within: Duration) -> Result<Answer, Lost> {
        self.ask_counting(request, within, &mut 0).await
    }

    /// Likewise; counts how often it was sent again.
    async fn ask_counting(
        &self,
        request: &write::Request,
        within: Duration,
        retries: &mut u32,
    ) -> Result<Answer, Lost> {
        self.wait_for_limit(request).await;
        let deadline = Instant::now() + within;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let answer = self.send(request, rest).await?;
            if answer.status != StatusCode::TOO_MANY_REQUESTS {
                return Ok(answer);
            }
            self.bind_window().overloaded();
            let wait = answer.retry_after.unwrap_or(UNSTATED_RETRY_AFTER).max(MIN_RETRY_AFTER);
            if Instant::now() + wait >= deadline {
                return Ok(answer);
            }
            sleep(wait).await;
            *retries += 1;
        }
    }

    /// Sends a request, whatever the answer.
    async fn ask_once(&self, request: &write::Request, within: Duration) -> Result<Answer, Lost> {
        self.wait_for_limit(request).await;
        self.send(request, within).await
    }

    async fn wait_for_limit(&self, request: &write::Request) {
        if let Some(limit) = &self.limit {
            limit.take(request.method.name(), &*self.observer).await;
        }
    }

    /// Sends a request once.
    async fn send(&self, request: &write::Request, within: Duration) -> Result<Answer, Lost> {
        if request.method == Method::Get {
            return exchange(&self.client, &*self.observer, http_request(request, within), within).await;
        }
        let longest = self.fence.write_timeout().ok_or_else(|| Lost(NOT_SENT.to_owned()))?;
        let within = within.min(longest);
        let answer = exchange(&self.client, &*self.observer, http_request(request, within), within).await;
        if answer.is_err() {
            self.fence.unanswered();
        }
        answer
    }
}

/// Whether the server, or what stands before it, says that it has too much to do.
fn is_overload(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

/// A request as the HTTP client takes it. A write that the server has not carried out within the time is not to be
/// carried out at all. Source: `WithRequestDeadline` of `k8s.io/apiserver`.
pub(crate) fn http_request(request: &write::Request, within: Duration) -> Request<Body> {
    let mut http = Request::new(Body::from(request.body.clone()));
    *http.method_mut() = match request.method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Patch => http::Method::PATCH,
    };
    // Paths are built from escaped names; were one ill-formed, the server would say so.
    let uri = match request.method {
        Method::Get => request.path.parse(),
        // Zero would be no limit.
        Method::Post | Method::Patch => format!("{}?timeout={}ms", request.path, within.as_millis().max(1)).parse(),
    };
    *http.uri_mut() = uri.unwrap_or_default();
    let headers = http.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if !request.content_type.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(request.content_type));
    }
    http
}

#[cfg(test)]
mod tests;
