//! Follows the objects of one kind: a consistent list, read as it arrives, then a watch from where the list stands.
//!
//! Written by hand because the engine wants what client libraries hide (that a consistent list is about to begin, and
//! that it has ended) and no store of whole objects.

use crate::answer::said;
use crate::backoff::Backoff;
use crate::error_text::error_text;
use crate::exchange::{Answer, Lost, exchange, head};
use crate::health::Health;
use crate::lease::is_listed_by_new_leaders;
use crate::observer::{Notice, Observer};
use crate::query::escaped;
use crate::standing_complaint::StandingComplaint;
use crate::whole_nodes::WholeNodes;
use crate::wire::{Cutter, Encoding, ListCutter, Shell, WireError};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use muster_api::envelope::{EventType, WatchEvent};
use muster_api::paths::list_path;
use muster_api::status_message;
use muster_engine::{Input, Object};
use muster_framework::record::{Kind, ResourceVersion};
use muster_framework::rules::KubeMinor;
use muster_framework::volume::StorageObject;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

/// A watch that lasted this long was a good one, even if it said nothing.
const GOOD_WATCH: Duration = Duration::from_secs(5);

/// Times and sizes of informers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InformerSettings {
    /// How long an answer may take to begin, and a list to go on.
    pub request_timeout: Duration,
    /// When the server is asked to end a watch. Each kind gets a little less than the one before, so that they do not
    /// all begin anew at once.
    pub watch_timeout: Duration,
    /// A watch that says nothing for so long is dead. The server sends a bookmark about once a minute.
    pub watch_silence: Duration,
    /// How often to look again for a kind that was not served.
    pub look_again: Duration,
    /// The first wait after a failure.
    pub first_backoff: Duration,
    /// The longest wait after failures.
    pub max_backoff: Duration,
}

impl Default for InformerSettings {
    fn default() -> InformerSettings {
        InformerSettings {
            request_timeout: Duration::from_secs(60),
            watch_timeout: Duration::from_secs(290),
            watch_silence: Duration::from_secs(90),
            look_again: Duration::from_secs(60),
            first_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(30),
        }
    }
}

/// What all informers share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) client: Client,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) health: Arc<Health>,
    pub(crate) settings: InformerSettings,
    /// By whose rules objects are read.
    pub(crate) minor: KubeMinor,
    /// Where nodes are kept as they are, if somebody needs that.
    pub(crate) whole_nodes: Option<Arc<WholeNodes>>,
    /// Changes when this process has begun to lead: what a list begun before says may be older than what the last leader
    /// has written.
    pub(crate) relist: watch::Receiver<u64>,
}

/// Follows one kind.
pub(crate) struct Informer<E> {
    kind: Kind,
    around: Surroundings,
    backoff: Backoff,
    complaint: StandingComplaint,
    /// The engine has been told that the kind is not served, and nothing else since.
    told_not_served: bool,
    encoding: PhantomData<E>,
}

/// What an informer does next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Ask whether the server knows the kind at all.
    Discover,
    /// List everything.
    List,
    /// Watch from here.
    Watch(Position),
}

/// Up to where the changes of a kind have been told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    /// As the list said: a server may use any text.
    listed: String,
    /// As the last change or bookmark said; 0 if there was none yet.
    seen: ResourceVersion,
}

impl Position {
    fn advance(&mut self, version: ResourceVersion) {
        if version > 0 {
            self.seen = version;
        }
    }

    fn query_value(&self) -> String {
        if self.seen > 0 {
            self.seen.to_string()
        } else {
            escaped(&self.listed)
        }
    }
}

/// Why a step was not finished.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// Nobody listens any more: the scheduler ends.
    Closed,
    /// The server does not know the kind.
    NotServed,
    /// The position, or the rest of the list, is too old for the server: list anew.
    Expired,
    /// Something is wrong with what was received, so that only a new list is to be trusted.
    Garbled(String),
    /// Something else; the same step may work later.
    Trouble(String),
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Failure {
        Failure::Trouble(lost.0)
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Failure {
        Failure::Garbled(error.to_string())
    }
}

impl<E: Encoding> Informer<E> {
    pub(crate) fn new(kind: Kind, around: Surroundings) -> Informer<E> {
        let backoff = Backoff::new(around.settings.first_backoff, around.settings.max_backoff);
        let complaint = StandingComplaint::none(kind);
        Informer {
            kind,
            around,
            backoff,
            complaint,
            told_not_served: false,
            encoding: PhantomData,
        }
    }

    /// Follows the kind until nobody listens.
    pub(crate) async fn run(mut self) {
        let mut relist = self.around.relist.clone();
        let mut step = self.first_step();
        loop {
            let next = tokio::select! {
                biased;
                // Whatever it is at, it drops: the new list tells all that the rest would have told.
                Ok(()) = relist.changed(), if is_listed_by_new_leaders(self.kind) => {
                    self.told_not_served = false;
                    Some(self.first_step())
                }
                next = self.step(step) => next,
            };
            step = match next {
                Some(next) => next,
                None => return,
            }
        }
    }

    fn first_step(&self) -> Step {
        if self.kind.holds_group_policies() {
            Step::Discover
        } else {
            Step::List
        }
    }

    /// Does a step and says which is next; none if nobody listens any more.
    async fn step(&mut self, step: Step) -> Option<Step> {
        match step {
            Step::Discover => match self.discover().await {
                Ok(()) => Some(Step::List),
                Err(failure) => self.after(failure, Step::Discover).await,
            },
            Step::List => match self.list().await {
                Ok(position) => Some(Step::Watch(position)),
                Err(failure) => self.after(failure, Step::List).await,
            },
            Step::Watch(mut position) => {
                let ended = self.watch(&mut position).await;
                self.around.observer.notice(Notice::WatchRestart(self.kind));
                match ended {
                    Ok(()) => Some(Step::Watch(position)),
                    Err(failure) => self.after(failure, Step::Watch(position)).await,
                }
            }
        }
    }

    /// Waits as long as a failure deserves, and says how to go on.
    async fn after(&mut self, failure: Failure, failed: Step) -> Option<Step> {
        let next = match failure {
            Failure::Closed => return None,
            Failure::NotServed if self.kind.holds_group_policies() => {
                self.tell_not_served().await.ok()?;
                sleep(self.around.settings.look_again).await;
                return Some(Step::Discover);
            }
            Failure::NotServed => {
                self.complaint
                    .raise(&format!("the API server does not know {}", list_path(self.kind)));
                Step::List
            }
            Failure::Expired => {
                tracing::debug!(
                    kind = self.kind.name(),
                    "the API server has forgotten where we were; listing anew"
                );
                Step::List
            }
            Failure::Garbled(problem) => {
                self.complaint.raise(&problem);
                Step::List
            }
            Failure::Trouble(problem) => {
                self.complaint.raise(&problem);
                failed
            }
        };
        sleep(self.backoff.after_failure()).await;
        Some(next)
    }

    async fn tell_not_served(&mut self) -> Result<(), Failure> {
        if !self.told_not_served {
            tracing::info!(
                kind = self.kind.name(),
                "the API server does not serve this kind; looking again later"
            );
            self.tell(Input::KindNotServed(self.kind)).await?;
            self.told_not_served = true;
            self.around.health.set_listed(self.kind);
        }
        self.complaint.settle();
        self.backoff.reset();
        Ok(())
    }

    /// Asks the kind's group whether it has the kind. Everybody who is authenticated may ask, so a missing permission to
    /// list is not mistaken for a missing kind, nor the reverse.
    async fn discover(&mut self) -> Result<(), Failure> {
        let (group, resource) = list_path(self.kind).rsplit_once('/').unwrap_or_default();
        let answer = self.get(group.to_owned(), "application/json").await?;
        match answer.status {
            StatusCode::OK if lists_resource(&answer.body, resource) => Ok(()),
            StatusCode::OK | StatusCode::NOT_FOUND => Err(Failure::NotServed),
            _ => Err(Failure::Trouble(format!("cannot discover {group}: {}", said(&answer)))),
        }
    }

    /// Tells every object there is, and says from where to watch.
    ///
    /// No resource version is stated: the list is then at least as new as anything that was answered before it began. Nor is
    /// a limit: pages would come from etcd, and a whole list comes from the server's cache.
    async fn list(&mut self) -> Result<Position, Failure> {
        self.around.observer.notice(Notice::Relist(self.kind));
        self.tell(Input::ListBegun(self.kind)).await?;
        if let Some(whole) = self.whole_nodes() {
            whole.list_begun();
        }
        let (mut objects, mut shell) = self.list_part(None).await?;
        // A server may part a list that nobody asked it to part.
        while let Some(token) = shell.continue_token.take() {
            let (more, rest) = self.list_part(Some(&token)).await?;
            objects += more;
            shell = rest;
        }
        self.tell(Input::ListDone(self.kind)).await?;
        if let Some(whole) = self.whole_nodes() {
            whole.list_done();
        }
        self.told_not_served = false;
        self.around.health.set_listed(self.kind);
        self.around.observer.notice(Notice::Heard(self.kind));
        tracing::debug!(kind = self.kind.name(), objects, "listed");
        self.complaint.settle();
        Ok(Position {
            listed: shell.resource_version,
            seen: 0,
        })
    }

    /// Tells the objects of a list as they arrive, and says how many they were.
    async fn list_part(&self, token: Option<&str>) -> Result<(usize, Shell), Failure> {
        let mut body = self.open("list", self.list_uri(token)).await?;
        let mut cutter = E::ListCutter::default();
        let mut objects = 0;
        while let Some(bytes) = next_piece(&mut body, "list", self.around.settings.request_timeout).await? {
            cutter.push(&bytes)?;
            while let Some(object) = cutter.cut()? {
                self.tell_object(&object).await?;
                objects += 1;
            }
        }
        Ok((objects, cutter.end()?))
    }

    /// Tells what changes, and how far it got; ends well when the server ends it in order.
    async fn watch(&mut self, position: &mut Position) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut body = self.open("watch", self.watch_uri(position)).await?;
        let mut cutter = E::Cutter::default();
        let mut frames = 0_usize;
        while let Some(bytes) = next_piece(&mut body, "watch", self.around.settings.watch_silence).await? {
            cutter.push(&bytes)?;
            self.around.observer.notice(Notice::Heard(self.kind));
            while let Some(frame) = cutter.cut() {
                self.tell_frame(&E::frame(&frame)?, position).await?;
                frames += 1;
                self.backoff.reset();
                self.complaint.settle();
            }
        }
        if frames == 0 && begun.elapsed() < GOOD_WATCH {
            return Err(Failure::Trouble("the watch ended as soon as it had begun".to_owned()));
        }
        Ok(())
    }

    /// Asks for a list or a watch, and reads no more than the head of the answer.
    async fn open(&self, verb: &str, uri: String) -> Result<Body, Failure> {
        let request = get_request(uri, E::ACCEPT);
        let around = &self.around;
        let response = head(
            &around.client,
            &*around.observer,
            request,
            around.settings.request_timeout,
        )
        .await?;
        let (parts, body) = response.into_parts();
        if parts.status == StatusCode::OK {
            return Ok(body);
        }
        let body = timeout(around.settings.request_timeout, body.collect_bytes())
            .await
            .ok()
            .and_then(Result::ok);
        let answer = Answer {
            status: parts.status,
            retry_after: None,
            body: body.unwrap_or_default(),
        };
        Err(self.refusal(verb, &answer))
    }

    async fn tell_frame(&self, frame: &WatchEvent<'_>, position: &mut Position) -> Result<(), Failure> {
        match frame.event_type {
            EventType::Added | EventType::Modified => position.advance(self.tell_object(frame.object).await?),
            EventType::Deleted => {
                let key = E::key(self.kind, frame.object);
                position.advance(key.resource_version);
                if let Some(whole) = self.whole_nodes() {
                    whole.remove(&key.name);
                }
                self.tell(Input::Deleted(key)).await?;
            }
            EventType::Bookmark => position.advance(E::key(self.kind, frame.object).resource_version),
            EventType::Error => return Err(watch_error(frame.object)),
        }
        Ok(())
    }

    /// Tells an object, legible or not, and says its version.
    async fn tell_object(&self, bytes: &[u8]) -> Result<ResourceVersion, Failure> {
        let (version, input) = match E::decode(self.around.minor, self.kind, bytes) {
            Ok(object) => (resource_version(&object), Input::Applied(object)),
            Err(error) => {
                self.around.observer.notice(Notice::Undecodable(self.kind));
                tracing::warn!(%error, "an object cannot be read; what was known of it stays");
                let what = if error.field.is_empty() {
                    error.problem
                } else {
                    format!("{}: {}", error.field, error.problem)
                };
                (
                    error.key.resource_version,
                    Input::Undecodable {
                        key: error.key,
                        error: what.into(),
                    },
                )
            }
        };
        if let Some(whole) = self.whole_nodes() {
            match &input {
                Input::Applied(Object::Node(node)) => whole.put(node.name.clone(), bytes),
                Input::Undecodable { key, .. } => whole.put(key.name.clone(), bytes),
                _ => {}
            }
        }
        self.tell(input).await?;
        Ok(version)
    }

    /// Where this informer keeps objects besides telling them.
    fn whole_nodes(&self) -> Option<&WholeNodes> {
        self.around.whole_nodes.as_deref().filter(|_| self.kind == Kind::Node)
    }

    async fn tell(&self, input: Input) -> Result<(), Failure> {
        self.around.inputs.send(input).await.map_err(|_| Failure::Closed)
    }

    async fn get(&self, uri: String, accept: &'static str) -> Result<Answer, Failure> {
        let around = &self.around;
        let request = get_request(uri, accept);
        Ok(exchange(
            &around.client,
            &*around.observer,
            request,
            around.settings.request_timeout,
        )
        .await?)
    }

    fn list_uri(&self, token: Option<&str>) -> String {
        let path = list_path(self.kind);
        match token {
            None => path.to_owned(),
            Some(token) => format!("{path}?continue={}", escaped(token)),
        }
    }

    fn watch_uri(&self, position: &Position) -> String {
        let offset = Kind::ALL.iter().position(|kind| *kind == self.kind).unwrap_or(0) as u64 * 7;
        let seconds = self
            .around
            .settings
            .watch_timeout
            .as_secs()
            .saturating_sub(offset)
            .max(1);
        format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={}",
            list_path(self.kind),
            position.query_value()
        )
    }

    /// What it means that the server answers a list or a watch with something else than 200.
    fn refusal(&self, verb: &str, answer: &Answer) -> Failure {
        match answer.status {
            StatusCode::GONE => Failure::Expired,
            StatusCode::NOT_FOUND => Failure::NotServed,
            StatusCode::FORBIDDEN => Failure::Trouble(forbidden(self.kind, verb, answer)),
            StatusCode::UNAUTHORIZED => Failure::Trouble(format!(
                "the API server does not accept our credentials: {}",
                said(answer)
            )),
            // It does not like where we want to begin, most likely.
            StatusCode::BAD_REQUEST => Failure::Garbled(format!("cannot {verb}: {}", said(answer))),
            _ => Failure::Trouble(format!("cannot {verb}: {}", said(answer))),
        }
    }
}

/// What arrives next of a list or a watch; None when it has ended in order.
async fn next_piece(body: &mut Body, verb: &str, silence: Duration) -> Result<Option<Bytes>, Failure> {
    loop {
        match timeout(silence, body.frame()).await {
            Ok(Some(Ok(piece))) => {
                if let Ok(bytes) = piece.into_data() {
                    return Ok(Some(bytes));
                }
            }
            Ok(Some(Err(error))) => {
                return Err(Failure::Trouble(format!(
                    "the {verb} broke off: {}",
                    error_text(&error)
                )));
            }
            Ok(None) => return Ok(None),
            Err(_) => {
                let silence = silence.as_secs_f32();
                return Err(Failure::Trouble(format!("the {verb} said nothing for {silence}s")));
            }
        }
    }
}

fn get_request(uri: String, accept: &'static str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    // Paths are constants and query values are escaped; were one ill-formed, the server would say so.
    *request.uri_mut() = uri.parse().unwrap_or_default();
    request
        .headers_mut()
        .insert(header::ACCEPT, header::HeaderValue::from_static(accept));
    // From 1.37 on servers compress watches event by event, which delays and gains little.
    request
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("identity"));
    request
}

/// Says which permission is missing, in the words of a role's rule.
fn forbidden(kind: Kind, verb: &str, answer: &Answer) -> String {
    let path = list_path(kind);
    let (group_path, resource) = path.rsplit_once('/').unwrap_or_default();
    // `/apis/<group>/<version>`, or `/api/v1` for the group without a name.
    let group = group_path
        .strip_prefix("/apis/")
        .and_then(|rest| rest.split('/').next())
        .unwrap_or("");
    format!(
        "forbidden: our role lacks verb {verb:?} on resource {resource:?} of API group {group:?}: {}",
        said(answer)
    )
}

/// Whether a group's list of resources has this one.
fn lists_resource(body: &Bytes, resource: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Resources {
        #[serde(default)]
        resources: Vec<Named>,
    }
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    serde_json::from_slice::<Resources>(body).is_ok_and(|list| list.resources.iter().any(|r| r.name == resource))
}

/// What an `ERROR` frame means.
fn watch_error(status: &[u8]) -> Failure {
    let status = status_message(status);
    let expired = status
        .as_ref()
        .is_some_and(|s| s.code == 410 || s.reason == "Expired" || s.reason == "Gone");
    match status {
        _ if expired => Failure::Expired,
        Some(status) => Failure::Garbled(format!("the watch ended: {} ({})", status.message, status.code)),
        None => Failure::Garbled("the watch ended with an error that is not a status".to_owned()),
    }
}

fn resource_version(object: &Object) -> ResourceVersion {
    match object {
        Object::Node(node) => node.resource_version,
        Object::Pod(pod) => pod.resource_version,
        Object::Namespace(namespace) => namespace.resource_version,
        Object::PriorityClass(class) => class.resource_version,
        Object::Workload(workload) => workload.resource_version,
        Object::PodGroup(group) => group.resource_version,
        Object::SelectorOwner(owner) => owner.resource_version,
        Object::Storage(StorageObject::Volume(volume)) => volume.resource_version,
        Object::Storage(StorageObject::Claim(claim)) => claim.resource_version,
        Object::Storage(StorageObject::Class(class)) => class.resource_version,
        Object::Storage(StorageObject::CsiNode(node)) => node.resource_version,
        Object::Storage(StorageObject::CsiDriver(driver)) => driver.resource_version,
        Object::Storage(StorageObject::Capacity(capacity)) => capacity.resource_version,
        Object::Storage(StorageObject::Attachment(attachment)) => attachment.resource_version,
    }
}

#[cfg(test)]
mod tests;
