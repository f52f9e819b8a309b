//! Who leads: the rules of client-go's leader election over one Lease, as a state machine without a clock or a network.
//!
//! Whoever drives it gives the time with every call, sends the [`Request`]s that [`Election::poll`] gives out, and tells
//! their [`Answer`]s. So the same code elects among processes and among simulated ones in virtual time.
//!
//! The rules, after `k8s.io/client-go/tools/leaderelection` (`tryAcquireOrRenew`, `renew`, `release`):
//!
//! * A candidate never compares the holder's timestamps with a clock of its own. It notes *when it saw the lease change*
//!   on its own monotonic clock, and takes the lease when it has not seen it change for as long as the lease says.
//! * Every write replaces exactly the version that was read: of two that try at once the server takes one.
//! * A write without an answer may have happened. So after any failure the lease is read, and only a *later* write that
//!   succeeds counts: if our own name is in it by then, that write renews instead of taking.
//!
//! Three things are stricter than upstream, since what is at stake is not one leader's name but what it writes:
//!
//! * **The fence.** A term lasts from a renewal that succeeded for [`Timing::renew_deadline`], counted from when the
//!   renewal was *sent*. Nothing may leave after it ([`Election::leads_until`]), and whatever left before it has a time-out
//!   of [`Timing::write_timeout`], so that all is settled before another can take the lease. (Upstream counts from when
//!   the next try began, and does not bound the writes.)
//! * A term that has ended is over for good ([`Standing::Lost`]): when the fence has fallen, when another's name is in the
//!   lease, and when the lease is gone, since nobody knows who led in between. (Upstream goes on in the last case.)
//! * Any write to the lease counts as a change, not only one to the record of the election.

use crate::time::Time;
use muster_framework::Text;
use std::time::Duration;

/// How much longer than stated a candidate may wait between two looks, in tenths. Source: `JitterFactor` of client-go.
const JITTER_TENTHS: u32 = 12;
/// The duration, in seconds, that a released lease states. Source: `LeaderElector.release`.
const RELEASED_SECONDS: u32 = 1;
/// The shortest time-out of a request about the lease. Source: `resourcelock.NewFromKubeconfig`.
const REQUEST_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// The three periods of an election, in order: see [`Timing::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    lease_duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
}

impl Default for Timing {
    /// As upstream: 15 s, 10 s, 2 s.
    fn default() -> Timing {
        Timing {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Why three periods do not make an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimingError {
    /// The lease must last longer than a leader tries to renew it.
    LeaseNotLonger,
    /// A leader must have the time for more than one try: `renewDeadline > 1.2 * retryPeriod`.
    DeadlineNotLonger,
    /// The retry period must not be zero.
    NoRetryPeriod,
}

impl Timing {
    /// Periods that satisfy upstream's conditions. Source: `leaderelection.NewLeaderElector`.
    ///
    /// # Errors
    /// Which condition is not met.
    pub fn new(
        lease_duration: Duration,
        renew_deadline: Duration,
        retry_period: Duration,
    ) -> Result<Timing, TimingError> {
        if retry_period.is_zero() {
            return Err(TimingError::NoRetryPeriod);
        }
        if renew_deadline <= retry_period * JITTER_TENTHS / 10 {
            return Err(TimingError::DeadlineNotLonger);
        }
        if lease_duration <= renew_deadline {
            return Err(TimingError::LeaseNotLonger);
        }
        Ok(Timing {
            lease_duration,
            renew_deadline,
            retry_period,
        })
    }

    /// How long others wait for a change of the lease before one of them takes it.
    pub fn lease_duration(&self) -> Duration {
        self.lease_duration
    }

    /// How long a leader acts on a renewal.
    pub fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// The pause between two renewals; a candidate waits up to 2.2 times as long between two looks.
    pub fn retry_period(&self) -> Duration {
        self.retry_period
    }

    /// How long a write of the leader may take: nine tenths of what lies between the fence and the end of the lease. The
    /// last tenth is for clocks that do not run equally fast, and for timers that fire late.
    pub fn write_timeout(&self) -> Duration {
        (self.lease_duration - self.renew_deadline) * 9 / 10
    }

    /// How long a request about the lease may take: a second one must be possible within the deadline.
    pub fn request_timeout(&self) -> Duration {
        (self.renew_deadline / 2).max(REQUEST_TIMEOUT_MIN.min(self.renew_deadline))
    }

    /// What the lease states, in whole seconds. Rounded up: others had better wait too long.
    fn lease_seconds(&self) -> u32 {
        // The API has an int32 for it.
        let longest = i32::MAX.unsigned_abs();
        u32::try_from(self.lease_duration.as_micros().div_ceil(1_000_000))
            .map_or(longest, |seconds| seconds.min(longest))
    }
}

/// A Lease as the server has it, as far as an election is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRecord {
    /// `metadata.resourceVersion`, a word of the server's.
    pub version: Text,
    /// `spec.holderIdentity`; empty: nobody holds it.
    pub holder: Text,
    /// `spec.leaseDurationSeconds`. None: it is not stated, and our own holds.
    pub duration: Option<Duration>,
    /// `spec.acquireTime`, as it was written; empty: not stated. It is kept, never read.
    pub acquired: Text,
    /// `spec.leaseTransitions`.
    pub transitions: i32,
}

/// What is to stand in a Lease. Whoever sends it adds `renewTime`: the time of day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseWrite {
    /// `spec.holderIdentity`.
    pub holder: Text,
    /// `spec.leaseDurationSeconds`.
    pub duration_seconds: u32,
    /// `spec.acquireTime`, as it stood; None: the time of day.
    pub acquired: Option<Text>,
    /// `spec.leaseTransitions`.
    pub transitions: i32,
}

/// Something to ask of the server. One at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its number, to tell the answer under. An answer to any but the last one asked is overheard.
    pub number: u64,
    /// What to ask.
    pub kind: RequestKind,
}

/// What to ask of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestKind {
    /// Read the lease, from the store and not from a cache.
    Get,
    /// Create the lease; refused if there is one.
    Create(LeaseWrite),
    /// Replace what the lease says; refused unless it has still this version.
    Update {
        /// The version.
        version: Text,
        /// What it is to say.
        write: LeaseWrite,
    },
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The lease as it was read, or as it stands after the write.
    Lease(LeaseRecord),
    /// There is no such lease.
    NotFound,
    /// A write was refused, or there is no answer. Whether it happened need not be known.
    Failed,
}

/// Where a candidate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Somebody else leads, or nobody.
    Standby,
    /// It leads, until the fence of the last renewal: [`Election::leads_until`].
    Leads,
    /// It has led, and gives the lease back.
    Releasing,
    /// It has given the lease back, or had none to give. Nothing more is asked.
    Released,
    /// It has led, and does so no more. Nothing more is asked.
    Lost(Loss),
}

/// Why a term has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// No renewal succeeded in time.
    NotRenewed,
    /// Another holds the lease; empty: nobody, though we did not release it.
    HeldBy(Text),
    /// The lease is gone.
    Gone,
}

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Renew, on the version that stood there last.
    Renew,
    /// See what stands there.
    Look,
    /// Take the lease, or renew it, on what was just seen.
    Take,
    /// Give it back.
    Release,
}

/// A request without an answer.
#[derive(Debug, Clone, Copy)]
struct Asked {
    purpose: Purpose,
    at: Time,
}

/// The lease as it was seen last.
#[derive(Debug, Clone)]
struct Seen {
    record: LeaseRecord,
    /// When it was first seen in this version.
    at: Time,
}

/// One candidate's part in an election.
#[derive(Debug)]
pub struct Election {
    identity: Text,
    timing: Timing,
    standing: Standing,
    seen: Option<Seen>,
    /// When the last renewal that succeeded was sent.
    renewed: Time,
    asked: Option<Asked>,
    /// How many requests there were.
    number: u64,
    /// When to begin the next try.
    next_try: Time,
    /// To be asked next, in the same try.
    next: Option<Purpose>,
    random: u64,
    slow_paths: u64,
    /// It tried once to give the lease back, and does not know whether that stands.
    released_in_vain: bool,
}

// ---- the surface for drivers -------------------------------------------------------------------------------------

impl Election {
    /// A candidate that looks at the lease at once. No two candidates may have the same `identity`, not even one after
    /// the other; `seed` spreads the looks of candidates that begin at the same time.
    pub fn new(identity: Text, timing: Timing, seed: u64) -> Election {
        Election {
            identity,
            timing,
            standing: Standing::Standby,
            seen: None,
            renewed: Time::ZERO,
            asked: None,
            number: 0,
            next_try: Time::ZERO,
            next: None,
            random: seed,
            slow_paths: 0,
            released_in_vain: false,
        }
    }

    /// Notes the time, and gives the request to be sent now, if there is one.
    pub fn poll(&mut self, now: Time) -> Option<Request> {
        self.pass_to(now);
        if self.asked.is_some() || self.is_over() {
            return None;
        }
        let purpose = match self.next.take() {
            Some(purpose) => purpose,
            None if now < self.next_try => return None,
            None if self.standing == Standing::Leads => Purpose::Renew,
            None => Purpose::Look,
        };
        let kind = self.request(purpose);
        self.asked = Some(Asked { purpose, at: now });
        self.number += 1;
        Some(Request {
            number: self.number,
            kind,
        })
    }

    /// Takes the answer to a request.
    pub fn answered(&mut self, now: Time, number: u64, answer: Answer) {
        self.pass_to(now);
        if number != self.number || self.is_over() {
            return;
        }
        let Some(asked) = self.asked.take() else { return };
        match (asked.purpose, answer) {
            (Purpose::Look, Answer::Lease(record)) => self.saw(now, record),
            (Purpose::Look, Answer::NotFound) => self.saw_nothing(),
            (Purpose::Renew | Purpose::Take, Answer::Lease(record)) => self.renewed(now, asked.at, record),
            (Purpose::Release, Answer::Lease(_)) => self.standing = Standing::Released,
            (purpose, _) => self.failed(now, purpose),
        }
    }

    /// When [`Election::poll`] may have work although no answer came; none when nothing more is asked.
    pub fn next_wakeup(&self) -> Option<Time> {
        if self.is_over() {
            return None;
        }
        let work = match (&self.asked, self.next) {
            (Some(asked), _) => asked.at + self.timing.request_timeout(),
            (None, Some(_)) => Time::ZERO,
            (None, None) => self.next_try,
        };
        Some(self.leads_until().map_or(work, |fence| fence.min(work)))
    }

    /// Gives the lease back. The caller sees to it that nothing that was done in its name is still under way.
    pub fn release(&mut self) {
        match self.standing {
            Standing::Leads => {
                self.standing = Standing::Releasing;
                self.next = Some(Purpose::Release);
            }
            Standing::Standby => self.standing = Standing::Released,
            Standing::Releasing | Standing::Released | Standing::Lost(_) => {}
        }
    }

    /// Where it stands, as of the last call that told the time.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// While it leads: the fence. From this moment on nothing may leave that only a leader may send.
    pub fn leads_until(&self) -> Option<Time> {
        (self.standing == Standing::Leads).then(|| self.renewed + self.timing.renew_deadline)
    }

    /// Whether it leads at this moment, whatever the last call said.
    pub fn leads(&self, now: Time) -> bool {
        self.leads_until().is_some_and(|fence| now < fence)
    }

    /// Who holds the lease, as it was seen last; empty: nobody, or it was not seen yet.
    pub fn holder(&self) -> &str {
        self.seen.as_ref().map_or("", |seen| &seen.record.holder)
    }

    /// How often a leader had to read the lease before it could renew it.
    pub fn slow_paths(&self) -> u64 {
        self.slow_paths
    }

    /// The periods.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }
}

// ---- what happens ------------------------------------------------------------------------------------------------

impl Election {
    fn is_over(&self) -> bool {
        matches!(self.standing, Standing::Released | Standing::Lost(_))
    }

    /// What the passing of time alone brings about: the fence falls, a request counts as lost.
    fn pass_to(&mut self, now: Time) {
        if self.leads_until().is_some_and(|fence| fence <= now) {
            self.lose(Loss::NotRenewed);
        }
        if let Some(asked) = self.asked
            && asked.at + self.timing.request_timeout() <= now
            && !self.is_over()
        {
            self.asked = None;
            self.failed(now, asked.purpose);
        }
    }

    fn lose(&mut self, loss: Loss) {
        self.standing = match self.standing {
            Standing::Releasing => Standing::Released,
            _ => Standing::Lost(loss),
        };
    }

    /// The lease was read.
    fn saw(&mut self, now: Time, record: LeaseRecord) {
        let ours = record.holder == self.identity;
        let holder = record.holder.clone();
        self.note(now, record);
        match self.standing {
            Standing::Leads if !ours => self.lose(Loss::HeldBy(holder)),
            Standing::Releasing if !ours => self.standing = Standing::Released,
            Standing::Releasing => self.next = Some(Purpose::Release),
            Standing::Leads => {
                self.slow_paths += 1;
                self.next = Some(Purpose::Take);
            }
            _ if ours || holder.is_empty() || self.has_expired(now) => self.next = Some(Purpose::Take),
            _ => self.wait(now),
        }
    }

    fn saw_nothing(&mut self) {
        match self.standing {
            Standing::Standby => {
                self.seen = None;
                self.next = Some(Purpose::Take);
            }
            _ => self.lose(Loss::Gone),
        }
    }

    /// A write of ours stands.
    fn renewed(&mut self, now: Time, sent: Time, record: LeaseRecord) {
        self.note(now, record);
        self.renewed = sent;
        match self.standing {
            // Asked to end while it was on its way.
            Standing::Releasing => self.next = Some(Purpose::Release),
            _ => {
                self.standing = Standing::Leads;
                self.next_try = now + self.timing.retry_period;
            }
        }
    }

    /// A request was refused or lost.
    fn failed(&mut self, now: Time, purpose: Purpose) {
        match (purpose, &self.standing) {
            // It may stand nevertheless, or have been refused because an earlier one stands.
            (Purpose::Renew, _) => self.next = Some(Purpose::Look),
            (Purpose::Release, _) if !self.released_in_vain => {
                self.released_in_vain = true;
                self.next = Some(Purpose::Look);
            }
            // Then it expires by itself.
            (_, Standing::Releasing) => self.standing = Standing::Released,
            (Purpose::Look | Purpose::Take | Purpose::Release, _) => self.wait(now),
        }
    }

    /// Until the next try. Source: `wait.JitterUntil` for candidates, `wait.PollUntilContextTimeout` for the leader.
    fn wait(&mut self, now: Time) {
        let period = self.timing.retry_period;
        let jitter = match self.standing {
            Standing::Leads => Duration::ZERO,
            _ => period * JITTER_TENTHS / 10 * self.thousandth() / 1000,
        };
        self.next_try = now + period + jitter;
    }

    /// Notes what stands in the lease, and when that was new.
    fn note(&mut self, now: Time, record: LeaseRecord) {
        let at = match &self.seen {
            Some(seen) if seen.record.version == record.version => seen.at,
            _ => now,
        };
        self.seen = Some(Seen { record, at });
    }

    /// Whether the lease has not changed for as long as it says.
    fn has_expired(&self, now: Time) -> bool {
        self.seen.as_ref().is_none_or(|seen| {
            let duration = seen.record.duration.unwrap_or(self.timing.lease_duration);
            seen.at + duration <= now
        })
    }

    fn request(&self, purpose: Purpose) -> RequestKind {
        let seen = match (purpose, &self.seen) {
            (Purpose::Look, _) => return RequestKind::Get,
            (_, None) => return RequestKind::Create(self.claim(None, 0)),
            (_, Some(seen)) => &seen.record,
        };
        let ours = seen.holder == self.identity;
        let write = match purpose {
            Purpose::Release => LeaseWrite {
                holder: Text::from(""),
                duration_seconds: RELEASED_SECONDS,
                acquired: None,
                transitions: seen.transitions,
            },
            _ if ours => self.claim(
                Some(seen.acquired.clone()).filter(|acquired| !acquired.is_empty()),
                seen.transitions,
            ),
            _ => self.claim(None, seen.transitions.saturating_add(1)),
        };
        RequestKind::Update {
            version: seen.version.clone(),
            write,
        }
    }

    fn claim(&self, acquired: Option<Text>, transitions: i32) -> LeaseWrite {
        LeaseWrite {
            holder: self.identity.clone(),
            duration_seconds: self.timing.lease_seconds(),
            acquired,
            transitions,
        }
    }

    /// A number below 1000: splitmix64, which needs no more than a counter.
    fn thousandth(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % 1000) as u32
    }
}

#[cfg(test)]
mod tests;
