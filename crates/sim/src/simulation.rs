//! The simulation: one engine, one virtual cluster, and a queue of what happens next in virtual time.

mod calls;
pub(crate) mod consequences;
mod occurrence;

use crate::admission::Refusal;
use crate::agenda::Agenda;
use crate::cluster::{Cluster, phase_name};
use crate::controllers::Controllers;
use crate::journal::{Journal, next_effect};
use crate::ledger::Ledger;
use crate::object::{Key, ObjectKind, text_at};
use crate::random::Random;
use crate::report::{self, Report};
use crate::scenario::{Action, Scenario, Timed};
use crate::timing::{Faults, Timing};
use muster_engine::{Engine, Input, Observation, Settings, Time};
use muster_framework::record::{Kind, PodPhase};
use occurrence::Occurrence;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// Virtual time ends here unless the scenario or the caller says otherwise.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// An engine that wants to be woken at a time that has passed is woken after this: virtual time must go on.
const SHORTEST_WAKEUP: Duration = Duration::from_millis(1);

/// How far a simulation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Occurrences and decisions so far: grows with every call.
    pub done: u64,
    /// The virtual time.
    pub now: Time,
    /// Pods that exist.
    pub pods: usize,
    /// Of those, pods that have a node.
    pub placed: usize,
    /// Actions of the scenario that are still to come.
    pub actions_left: usize,
}

/// What a simulation has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Instants at which something happened.
    pub instants: u64,
    /// Inputs that the engine was told.
    pub inputs: u64,
    /// Binds that were asked for.
    pub binds: u64,
    /// Binds that the API server refused.
    pub binds_refused: u64,
    /// Conditions that were written.
    pub conditions: u64,
    /// Events that were told.
    pub events: u64,
    /// Pods that were bound only because the engine looks at everything again from time to time: an event was missed.
    pub bound_after_flush: u64,
    /// Times that the engine wanted to be woken at a time that had passed, and had nothing to do when it was.
    pub idle_wakeups: u64,
}

/// A watch of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    /// Grows with every relist: events of former streams are not told any more.
    number: u64,
    /// Events that are under way.
    under_way: usize,
    /// When the latest of them arrives: events of a kind never overtake each other.
    latest: Time,
}

/// A simulated cluster with its scheduler.
#[derive(Debug)]
pub struct Simulation {
    now: Time,
    until: Time,
    patience: Duration,
    timing: Timing,
    faults: Faults,
    random: Random,
    actions: Vec<Timed>,
    actions_left: usize,
    agenda: Agenda<Occurrence>,
    streams: [Stream; Kind::ALL.len()],
    cluster: Cluster,
    controllers: Controllers,
    /// Controllers' objects that have to be looked at.
    concerned: BTreeSet<Key>,
    engine: Engine,
    /// What the engine was asked, where that is wanted.
    journal: Option<Journal>,
    /// How many schedulers there have been: a restarted one does not hear the answers of its predecessor.
    scheduler: u64,
    /// Whether the scheduler watches: it does so from its first list on.
    watching: bool,
    settings: Settings,
    ledger: Ledger,
    counters: Counters,
    done: u64,
    refusals: Vec<(Time, String)>,
    writes_in_flight: usize,
}

impl Simulation {
    /// A simulation of `scenario` by an engine with `settings`; the scenario's seed, where it has one, is taken.
    ///
    /// What the scenario has at the beginning is there before the engine starts and lists it, except for pods without a
    /// node and what makes them: they come right after, in the order in which they are written.
    pub fn new(scenario: Scenario, settings: Settings) -> Simulation {
        Simulation::with(scenario, settings, Timing::default(), Faults::default())
    }

    /// As [`Simulation::new`], with other delays and with faults.
    pub fn with(scenario: Scenario, settings: Settings, timing: Timing, faults: Faults) -> Simulation {
        let mut simulation = Simulation::before_the_beginning(scenario, settings, timing, faults);
        simulation.begin();
        simulation
    }

    /// As [`Simulation::new`], and everything that the engine is asked is kept in a [`Journal`].
    pub fn with_journal(scenario: Scenario, settings: Settings) -> Simulation {
        let (timing, faults) = (Timing::default(), Faults::default());
        let mut simulation = Simulation::before_the_beginning(scenario, settings, timing, faults);
        simulation.journal = Some(Journal::default());
        simulation.begin();
        simulation
    }

    fn before_the_beginning(scenario: Scenario, mut settings: Settings, timing: Timing, faults: Faults) -> Simulation {
        settings.seed = scenario.seed.unwrap_or(settings.seed);
        let scheduler = settings
            .scheduler_names()
            .next()
            .cloned()
            .unwrap_or_else(|| "muster".into());
        // A pod that nothing wakes is looked at again after this long at the latest.
        let patience = settings.pod_max_in_unschedulable + settings.pod_max_backoff * 2 + Duration::from_secs(60);
        Simulation {
            now: Time::ZERO,
            until: scenario.until.unwrap_or(Time::ZERO + LONGEST),
            patience,
            timing,
            faults,
            random: Random::new(settings.seed),
            actions_left: scenario.actions.len(),
            actions: scenario.actions,
            agenda: Agenda::default(),
            streams: [Stream::default(); Kind::ALL.len()],
            cluster: Cluster::new(scheduler),
            controllers: Controllers::new(settings.seed ^ 0x6d75_7374_6572),
            concerned: BTreeSet::new(),
            engine: Engine::new(&settings),
            journal: None,
            scheduler: 1,
            watching: false,
            settings,
            ledger: Ledger::default(),
            counters: Counters::default(),
            done: 0,
            refusals: Vec::new(),
            writes_in_flight: 0,
        }
    }

    fn begin(&mut self) {
        for number in 0..self.actions.len() {
            let timed = &self.actions[number];
            if timed.at == Time::ZERO && is_there_from_the_start(&timed.action) {
                self.act(number);
            } else {
                self.plan(timed.at, Occurrence::Act(number));
            }
        }
        self.settle();
        self.list_all();
    }

    fn list_all(&mut self) {
        self.watching = true;
        for kind in Kind::ALL {
            self.relist(kind);
        }
    }

    /// Ends the scheduler now, as a crash would, and starts another. What it had sent is still on its way; the new one
    /// lists the cluster when all that has arrived, as a new leader waits for its predecessor's writes.
    pub fn restart_scheduler(&mut self) {
        let bound = self.timing.write_latency + self.timing.write_jitter * 2 + SHORTEST_WAKEUP;
        self.engine = Engine::new(&self.settings);
        self.journal = self.journal.take().map(|_| Journal::default());
        self.scheduler += 1;
        self.watching = false;
        for stream in &mut self.streams {
            *stream = Stream {
                number: stream.number + 1,
                ..Stream::default()
            };
        }
        self.plan(self.now + bound, Occurrence::List);
    }

    /// Runs until nothing can change any more, or until the end of virtual time, and says what came of it.
    pub fn run(&mut self, mut progress: impl FnMut(Progress)) -> Report {
        while !self.is_at_rest() && self.next_instant().is_some_and(|next| next <= self.until) {
            self.step_telling(&mut progress);
            progress(self.progress());
        }
        if !self.is_at_rest() {
            self.now = self.until;
        }
        self.report()
    }

    /// Runs until the virtual time is `time`.
    pub fn run_until(&mut self, time: Time) {
        while self.next_instant().is_some_and(|next| next <= time) {
            self.step();
        }
        self.now = self.now.max(time);
    }

    /// Goes on to the next instant at which something happens, and does all that happens then. False when nothing is
    /// left to happen.
    pub fn step(&mut self) -> bool {
        self.step_telling(&mut |_| {})
    }

    fn step_telling(&mut self, progress: &mut impl FnMut(Progress)) -> bool {
        let Some(next) = self.next_instant() else { return false };
        self.now = next;
        self.counters.instants += 1;
        self.cluster.set_now(next);
        let mut anything = false;
        while self.agenda.next().is_some_and(|at| at <= next) {
            while let Some(occurrence) = self.agenda.pop_due(next) {
                anything = true;
                self.occur(occurrence);
                self.follow();
                self.tell_progress(progress);
            }
            // Controllers look once at all that an instant has brought, however much it is.
            self.settle();
        }
        anything |= self.let_work(next, progress);
        self.counters.idle_wakeups += u64::from(!anything);
        self.observe();
        self.ledger.close_instant(next, &self.cluster);
        true
    }

    /// Lets the scheduler work until it has nothing to do now; says whether it wanted anything.
    fn let_work(&mut self, now: Time, progress: &mut impl FnMut(Progress)) -> bool {
        if let Some(journal) = &mut self.journal {
            journal.worked(now);
        }
        let mut anything = false;
        while let Some(effect) = next_effect(&mut self.engine, now) {
            anything = true;
            if let Some(journal) = &mut self.journal {
                journal.wanted(&effect);
            }
            self.send(effect);
            self.tell_progress(progress);
        }
        anything
    }

    /// An instant may be long: thousands of pods that arrive together.
    fn tell_progress(&mut self, progress: &mut impl FnMut(Progress)) {
        self.done += 1;
        if self.done.is_multiple_of(256) {
            progress(self.progress());
        }
    }

    fn next_instant(&self) -> Option<Time> {
        let planned = self.agenda.next();
        let soonest = self.now + SHORTEST_WAKEUP;
        let wakeup = self
            .engine
            .next_wakeup()
            .map(|wakeup| if wakeup <= self.now { soonest } else { wakeup });
        match (planned, wakeup) {
            (Some(planned), Some(wakeup)) => Some(planned.min(wakeup).max(self.now)),
            (planned, wakeup) => planned.or(wakeup).map(|time| time.max(self.now)),
        }
    }

    /// Whether nothing can change any more: nothing is planned, nothing is on its way, and no pod waits, or all that
    /// wait have been looked at again since anything changed.
    pub fn is_at_rest(&self) -> bool {
        let stats = self.engine.stats();
        if self.agenda.next().is_some()
            || self.writes_in_flight != 0
            || stats.in_flight != 0
            || !self.engine.is_synced()
        {
            return false;
        }
        // A bind whose answer was lost is asked after again, after a while.
        if stats.assumed_pods != 0 {
            return false;
        }
        let none_waits = stats.pending.iter().all(|pods| *pods == 0);
        none_waits
            || self
                .engine
                .next_wakeup()
                .is_none_or(|wakeup| self.ledger.last_change + self.patience < wakeup)
    }

    fn plan(&mut self, at: Time, occurrence: Occurrence) {
        self.agenda.plan(at.max(self.now), occurrence);
    }

    fn occur(&mut self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Act(number) => self.act(number),
            Occurrence::Tell { input, kind, stream } => self.tell(input, kind, stream),
            Occurrence::Carry { effect, scheduler } => self.carry(effect, scheduler),
            Occurrence::Answer { id, outcome, scheduler } => {
                if scheduler == self.scheduler {
                    self.input(Input::EffectDone { id, outcome });
                }
            }
            Occurrence::List => self.list_all(),
            Occurrence::Start { pod, uid } => self.start(&pod, &uid),
            Occurrence::Finish { pod, uid, phase } => {
                if self.is_same(&pod, &uid) {
                    let _ = self.cluster.set_phase(&pod, phase_name(phase));
                }
            }
            Occurrence::Remove { pod, uid } => {
                if self.is_same(&pod, &uid) {
                    self.cluster.delete(&pod);
                }
            }
        }
    }

    fn is_same(&self, pod: &Key, uid: &str) -> bool {
        self.cluster.get(pod).is_some_and(|stored| &*stored.uid == uid)
    }

    fn act(&mut self, number: usize) {
        self.actions_left -= 1;
        match self.actions[number].action.clone() {
            Action::Apply(object) => {
                let _ = self.apply(object);
            }
            Action::Delete(key) => {
                if !self.delete(&key) {
                    self.refuse(Refusal::NotFound(key.to_string()).to_string());
                }
            }
            Action::Finish { pod, phase } => self.finish(&pod, phase),
            Action::Cordon { node, closed } => {
                if let Err(refusal) = self.cluster.cordon(&node, closed) {
                    self.refuse(refusal.to_string());
                }
            }
        }
    }

    fn refuse(&mut self, message: String) {
        self.refusals.push((self.now, message));
    }

    /// Applies an object now. What follows from it happens with the next step.
    ///
    /// # Errors
    /// The API server refuses it; the report will say so too.
    pub fn apply(&mut self, object: Value) -> Result<Key, Refusal> {
        let applied = self.cluster.apply(object);
        if let Err(refusal) = &applied {
            self.refuse(refusal.to_string());
        }
        self.settle();
        applied
    }

    /// Deletes an object now. Says whether it was there.
    pub fn delete(&mut self, key: &Key) -> bool {
        let there = self.end(key);
        self.settle();
        there
    }

    /// Deletes an object, a pod that runs after its grace; what follows from it is still to be settled.
    fn end(&mut self, key: &Key) -> bool {
        let runs = self.cluster.get(key).and_then(|stored| stored.pod().cloned());
        let runs = runs.filter(|pod| pod.node_name.is_some() && pod.phase == PodPhase::Active && !pod.terminating);
        match runs {
            Some(pod) if !self.timing.deletion_grace.is_zero() => {
                let removed = Occurrence::Remove {
                    pod: key.clone(),
                    uid: pod.uid,
                };
                self.plan(self.now + self.timing.deletion_grace, removed);
                self.cluster.begin_deletion(key).is_ok()
            }
            _ => self.cluster.delete(key),
        }
    }

    /// Ends a pod now.
    pub fn finish(&mut self, pod: &Key, phase: PodPhase) {
        if let Err(refusal) = self.cluster.set_phase(pod, phase_name(phase)) {
            self.refuse(refusal.to_string());
        }
        self.settle();
    }

    /// Lists a kind again and tells the engine all of it, at once, as after a watch that broke. Events of the kind that
    /// are under way are not told any more: the list has them.
    pub fn relist(&mut self, kind: Kind) {
        let stream = &mut self.streams[slot(kind)];
        *stream = Stream {
            number: stream.number + 1,
            ..Stream::default()
        };
        let Some(simulated) = ObjectKind::watched_as(kind) else {
            self.input(Input::KindNotServed(kind));
            return;
        };
        self.input(Input::ListBegun(kind));
        let records = self.cluster.list(simulated).filter_map(|stored| stored.record.clone());
        for record in records.collect::<Vec<_>>() {
            self.input(Input::Applied(record));
        }
        self.input(Input::ListDone(kind));
    }

    /// Whether the engine has been told every change of a kind.
    pub fn is_told(&self, kind: Kind) -> bool {
        self.streams[slot(kind)].under_way == 0
    }

    fn input(&mut self, input: Input) {
        self.counters.inputs += 1;
        if let Some(journal) = &mut self.journal {
            journal.handled(self.now, &input);
        }
        self.engine.handle(self.now, input);
    }

    fn tell(&mut self, input: Input, kind: Kind, number: u64) {
        let stream = &mut self.streams[slot(kind)];
        if stream.number == number {
            stream.under_way -= 1;
            self.input(input);
        }
    }

    fn delay(&mut self, delay: Duration, jitter: Duration) -> Duration {
        let most = u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX);
        if most == 0 {
            delay
        } else {
            delay + Duration::from_micros(self.random.below(most + 1))
        }
    }

    fn observe(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.observed(self.now);
        }
        for observation in self.engine.drain_observations() {
            match observation {
                Observation::Bound { after_flush: true, .. } => self.counters.bound_after_flush += 1,
                Observation::Waiting {
                    pod, reason, message, ..
                } => {
                    self.ledger.waits(self.now, &pod, &reason, &message, &self.cluster);
                }
                _ => {}
            }
        }
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// When virtual time ends.
    pub fn until(&self) -> Time {
        self.until
    }

    /// Ends virtual time at `until`.
    pub fn set_until(&mut self, until: Time) {
        self.until = until;
    }

    /// Changes what goes wrong from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// The cluster as the API server has it.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The scheduler.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What the scheduler that is running was asked, if that has been kept.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// What the engine was told when it was made.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Counts of what has been done.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What the API server refused, beside binds: when and why.
    pub fn refusals(&self) -> &[(Time, String)] {
        &self.refusals
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        Progress {
            done: self.done,
            now: self.now,
            pods: self.ledger.lives.len(),
            placed: self.ledger.placed,
            actions_left: self.actions_left,
        }
    }

    /// What has come of it so far.
    pub fn report(&self) -> Report {
        report::report(self)
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// Where the watch of a kind is kept.
fn slot(kind: Kind) -> usize {
    Kind::ALL.iter().position(|other| *other == kind).unwrap_or(0)
}

/// Whether the engine finds it when it starts. Pods that wait, and what makes pods, come afterwards: then the queue has
/// them in the order in which they were written, not by name.
fn is_there_from_the_start(action: &Action) -> bool {
    let Action::Apply(object) = action else { return false };
    match crate::scenario::key_of(object).map(|key| key.kind) {
        Some(ObjectKind::Pod) => !text_at(object, &["spec", "nodeName"]).is_empty(),
        Some(kind) => !kind.is_controller(),
        None => false,
    }
}
