//! A candidate for the lease: asks the API server what [`Election`] wants asked, and lets others know where it stands.
//!
//! It runs as a task of its own, with a client of its own and without a rate limit: a thousand binds on their way must not
//! keep a renewal from leaving. What it finds out it tells in two ways. The [`Fence`] says until when writes may leave; the
//! [`Leadership`] wakes the driver when there is something to do.

use crate::answer::said;
use crate::dispatcher::http_request;
use crate::exchange::{Answer as Reply, exchange};
use crate::fence::Fence;
use crate::health::Health;
use crate::leader::{Announced, Leading};
use crate::observer::{Notice, Observer};
use http::StatusCode;
use jiff::Timestamp;
use kube::Client;
use muster_api::{LeaseName, decode_lease, lease_request, status_message};
use muster_engine::Time;
use muster_engine::election::{Answer, Election, Loss, RequestKind, Standing, Timing};
use muster_framework::record::Kind;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// How a process takes part in an election.
#[derive(Debug, Clone)]
pub struct LeaseSettings {
    /// The Lease.
    pub lease: LeaseName,
    /// The name that stands in it while this process leads. No two processes may have the same, not even one after the
    /// other.
    pub identity: String,
    /// The periods.
    pub timing: Timing,
    /// Where others can ask this process while it leads: that stands in the lease with its name. None: it does not.
    pub announced: Option<Announced>,
    /// Is told who leads, whenever the lease is read or written.
    pub leading: watch::Sender<Leading>,
}

/// Kinds that a new leader lists anew before it binds anything: the one before it may have written until a moment ago.
pub(crate) fn is_listed_by_new_leaders(kind: Kind) -> bool {
    matches!(kind, Kind::Pod | Kind::Node) || kind.holds_group_policies()
}

/// What the driver is told of its leadership, and what it tells.
pub(crate) struct Leadership {
    /// Until when writes may leave.
    pub(crate) fence: Fence,
    /// Where the candidate stands; none where nothing is elected.
    pub(crate) standing: Option<watch::Receiver<Standing>>,
    /// Becomes true when there is enough to lead with: then the candidate tries for the lease.
    pub(crate) ready: watch::Sender<bool>,
    /// Counts the times at which informers are to list anew.
    pub(crate) relist: watch::Sender<u64>,
}

impl Leadership {
    /// Of a process that always leads.
    pub(crate) fn always(relist: watch::Sender<u64>) -> Leadership {
        Leadership {
            fence: Fence::none(),
            standing: None,
            ready: watch::Sender::new(false),
            relist,
        }
    }

    /// Waits until the candidate stands elsewhere; for ever where nothing is elected, or when the candidate has ended.
    pub(crate) async fn changed(&mut self) {
        let changed = match &mut self.standing {
            Some(standing) => standing.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            std::future::pending().await
        }
    }
}

/// The candidate, as whoever ends it sees it.
pub(crate) struct Campaign {
    fence: Fence,
    standing: watch::Receiver<Standing>,
    release: watch::Sender<bool>,
    task: JoinHandle<()>,
    within: Duration,
}

impl Campaign {
    /// Why the term ended, if it has.
    pub(crate) fn loss(&self) -> Loss {
        match &*self.standing.borrow() {
            Standing::Lost(loss) => loss.clone(),
            // The fence has fallen, and the candidate has not noticed yet.
            _ => Loss::NotRenewed,
        }
    }

    /// Waits until the candidate has ended; says whether that was before its part was over.
    pub(crate) async fn failed(&mut self) -> bool {
        // No standing is waited for, so this ends with the other end of the channel.
        let _ = self.standing.wait_for(|_| false).await;
        !matches!(*self.standing.borrow(), Standing::Released | Standing::Lost(_))
    }

    /// Gives the lease back, if there is one to give back: another process may lead at once. Nothing that was written in its
    /// name may be under way.
    pub(crate) async fn release(mut self) {
        if !self.fence.all_settled() {
            tracing::info!("a write has had no answer: the lease is left to expire");
            return;
        }
        self.release.send_replace(true);
        if tokio::time::timeout(self.within, &mut self.task).await.is_err() {
            tracing::warn!("the lease could not be given back in time; it expires");
        }
    }
}

/// Starts a candidate.
pub(crate) fn start(
    client: Client,
    settings: LeaseSettings,
    observer: Arc<dyn Observer>,
    health: Arc<Health>,
    relist: watch::Sender<u64>,
) -> (Leadership, Campaign) {
    let fence = Fence::of(&settings.timing);
    let (standing, standing_seen) = watch::channel(Standing::Standby);
    let (release, release_seen) = watch::channel(false);
    let (ready, ready_seen) = watch::channel(false);
    let within = settings.timing.renew_deadline();
    let seed = RandomState::new().hash_one(&settings.identity);
    let candidate = Candidate {
        client,
        election: Election::new(settings.identity.as_str().into(), settings.timing, seed),
        settings,
        observer,
        health,
        fence: fence.clone(),
        standing,
        release: release_seen,
        ready: ready_seen,
        began: Instant::now(),
        holder: String::new(),
        slow_paths: 0,
        trouble: None,
    };
    let leadership = Leadership {
        fence: fence.clone(),
        standing: Some(standing_seen.clone()),
        ready,
        relist,
    };
    let campaign = Campaign {
        fence,
        standing: standing_seen,
        release,
        task: tokio::spawn(candidate.run()),
        within,
    };
    (leadership, campaign)
}

struct Candidate {
    client: Client,
    election: Election,
    settings: LeaseSettings,
    observer: Arc<dyn Observer>,
    health: Arc<Health>,
    fence: Fence,
    standing: watch::Sender<Standing>,
    release: watch::Receiver<bool>,
    ready: watch::Receiver<bool>,
    began: Instant,
    /// Who held the lease when that was last said.
    holder: String,
    /// Counted so far.
    slow_paths: u64,
    /// What is wrong, as the log has it last.
    trouble: Option<String>,
}

impl Candidate {
    /// Takes part until the lease is lost or given back.
    async fn run(mut self) {
        tracing::info!(lease = %self.settings.lease, identity = %self.settings.identity, "a candidate for the lease");
        // Source: `Run` of kube-scheduler, which waits for its caches before it tries.
        let may_begin = tokio::select! {
            ready = self.ready.wait_for(|ready| *ready) => ready.is_ok(),
            released = self.release.wait_for(|release| *release) => released.is_ok(),
        };
        if !may_begin {
            return;
        }
        loop {
            if *self.release.borrow() {
                self.election.release();
            }
            let request = self.election.poll(self.now());
            self.publish();
            let Some(request) = request else {
                let Some(at) = self.election.next_wakeup() else { return };
                tokio::select! {
                    () = sleep_until(self.instant(at)) => {}
                    asked = self.release.changed() => if asked.is_err() { return },
                }
                continue;
            };
            let answer = self.ask(&request.kind).await;
            self.election.answered(self.now(), request.number, answer);
            self.publish();
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn instant(&self, at: Time) -> Instant {
        self.began + Duration::from_micros(at.micros())
    }

    /// Lets everybody know.
    fn publish(&mut self) {
        let until = self.election.leads_until();
        self.fence.set(until.map(|until| self.instant(until)));
        if let Some(until) = until {
            let timing = self.election.timing();
            let margin = until.since(self.now());
            self.health
                .set_lease_expiry(margin + (timing.lease_duration() - timing.renew_deadline()));
            self.observer.notice(Notice::LeaseMargin(margin));
        }
        for _ in self.slow_paths..self.election.slow_paths() {
            self.observer.notice(Notice::LeaseSlowPath);
        }
        self.slow_paths = self.election.slow_paths();
        self.say_who_leads();
        let standing = self.election.standing();
        let changed = self.standing.send_if_modified(|known| {
            let changed = known != standing;
            known.clone_from(standing);
            changed
        });
        if changed {
            self.observer.notice(Notice::Leads(until.is_some()));
            say_where_it_stands(standing, &self.settings.lease);
        }
    }

    fn say_who_leads(&mut self) {
        let holder = self.election.holder();
        if holder != self.holder {
            if !holder.is_empty() && holder != self.settings.identity {
                tracing::info!(lease = %self.settings.lease, leader = holder, "another leads; standing by");
            }
            self.holder = holder.to_owned();
        }
    }

    async fn ask(&mut self, kind: &RequestKind) -> Answer {
        let within = self.settings.timing.request_timeout();
        let contact = self.settings.announced.as_ref().map(Announced::now);
        let request = lease_request(&self.settings.lease, kind, contact.as_ref(), Timestamp::now());
        let request = http_request(&request, within);
        let answer = match exchange(&self.client, &*self.observer, request, within).await {
            Ok(reply) => self.understood(kind, &reply),
            Err(lost) => Err(lost.to_string()),
        };
        match answer {
            Ok(answer) => {
                self.trouble = None;
                answer
            }
            Err(problem) => {
                self.complain(kind, problem);
                Answer::Failed
            }
        }
    }

    /// What an answer means for the election; the error is for the log.
    fn understood(&self, kind: &RequestKind, reply: &Reply) -> Result<Answer, String> {
        match reply.status {
            status if status.is_success() => {
                let lease =
                    decode_lease(&reply.body).map_err(|problem| format!("the answer is no Lease: {problem}"))?;
                let leading = Leading::of(&lease, &self.settings.identity);
                self.settings.leading.send_replace(leading);
                Ok(Answer::Lease(lease.record))
            }
            // A proxy's page is no word of the API server.
            StatusCode::NOT_FOUND if *kind == RequestKind::Get && status_message(&reply.body).is_some() => {
                self.settings.leading.send_replace(Leading::NobodyElse);
                Ok(Answer::NotFound)
            }
            // Somebody else was faster: that is how elections go.
            StatusCode::CONFLICT => Ok(Answer::Failed),
            _ => Err(said(reply).to_string()),
        }
    }

    /// Trouble that lasts is said once.
    fn complain(&mut self, kind: &RequestKind, problem: String) {
        let verb = match kind {
            RequestKind::Get => "get",
            RequestKind::Create(_) => "create",
            RequestKind::Update { .. } => "patch",
        };
        let lease = &self.settings.lease;
        if self.trouble.as_ref() == Some(&problem) {
            tracing::debug!(%lease, verb, error = %problem, "still trouble with the lease");
        } else {
            tracing::warn!(%lease, verb, error = %problem, "trouble with the lease; trying again");
            self.trouble = Some(problem);
        }
    }
}

fn say_where_it_stands(standing: &Standing, lease: &LeaseName) {
    match standing {
        Standing::Leads => tracing::info!(target: "muster::always", %lease, "this process leads from now on"),
        Standing::Released => tracing::info!(target: "muster::always", %lease, "the lease is given back"),
        Standing::Standby | Standing::Releasing | Standing::Lost(_) => {}
    }
}

#[cfg(test)]
mod tests;
