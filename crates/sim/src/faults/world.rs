//! The world: a virtual API server, the schedulers, and what happens next, in virtual time.

use super::chaos::{Chaos, FaultId, Strike, subject};
use super::judge::{Breach, Judge, Rule};
use super::leases;
use super::plan::{Planned, plan};
use super::process::Process;
use super::profile::{Excuse, FaultKind, Profile};
use super::watches::{Course, History, Watch, slot};
use crate::agenda::Agenda;
use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::object::Key;
use crate::simulation::consequences::concerned;
use muster_engine::election::{Answer, Election, LeaseRecord, Request};
use muster_engine::{Effect, EffectId, EffectKind, Input, Object, Observation, Outcome, Settings, Time};
use muster_framework::Text;
use muster_framework::record::{Kind, PodPhase};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Nothing but timers for so long is rest: longer than the scheduler leaves anything alone.
const REST: Duration = Duration::from_secs(11 * 60);
/// By then the world has to be at rest.
const DEADLINE: Duration = Duration::from_secs(3 * 3600);
/// An engine that says that there is more to do, so often in a row without an effect, is given time.
const IDLE_POLLS: u32 = 16;
/// The farthest that a clock leaps in all: not so far that a flush could be taken for a missed event.
const FARTHEST_LEAP: Duration = Duration::from_secs(200);

/// One thing that is to happen.
#[derive(Debug, Clone)]
pub(super) enum Occurrence {
    /// Somebody does what the plan says.
    Act(usize),
    /// A watch event arrives.
    Tell { watch: Watch, index: usize },
    /// A broken watch is taken up again.
    Reconnect(Watch),
    /// A list reaches the API server.
    ListRead(Watch),
    /// A list that failed is asked for again.
    ListAgain(Watch),
    /// A list arrives.
    ListTold {
        watch: Watch,
        objects: Vec<Object>,
        upto: usize,
    },
    /// A write or a read reaches the API server.
    Carry {
        process: usize,
        incarnation: u64,
        effect: Effect,
    },
    /// A write that was given up is done after all.
    StoreLate { process: usize, kind: EffectKind },
    /// An answer reaches the scheduler.
    Answer {
        process: usize,
        incarnation: u64,
        id: EffectId,
        about: Option<Text>,
        outcome: Outcome,
    },
    /// The scheduler does a unit of work.
    Poll { process: usize, incarnation: u64 },
    /// A candidate looks what there is to do in its election.
    Elect { process: usize, incarnation: u64 },
    /// A request about the lease reaches the API server.
    LeaseAsked {
        process: usize,
        incarnation: u64,
        request: Request,
    },
    /// Its answer reaches the candidate.
    LeaseTold {
        process: usize,
        incarnation: u64,
        number: u64,
        answer: Answer,
    },
    /// A crashed scheduler starts again.
    Restart(usize),
    /// A kubelet takes a pod in, or turns it away.
    Start { pod: Key, uid: Text },
    /// A pod ends.
    Finish { pod: Key, uid: Text, phase: PodPhase },
    /// A pod's grace is over, or its node is gone.
    Remove { pod: Key, uid: Text },
    /// From now on nothing goes wrong.
    Calm,
}

/// What makes a world: the seed, and for one that has been shrunk what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The seed.
    pub seed: u64,
    /// If given, only these acts of the plan are done, by number.
    pub acts: Option<BTreeSet<usize>>,
    /// If given, only these faults strike.
    pub faults: Option<BTreeSet<FaultId>>,
}

impl Script {
    /// All that the seed has.
    pub fn of(seed: u64) -> Script {
        Script {
            seed,
            acts: None,
            faults: None,
        }
    }
}

/// A virtual cluster and its schedulers, among faults.
#[derive(Debug)]
pub struct World {
    pub(super) now: Time,
    pub(super) settings: Settings,
    pub(super) chaos: Chaos,
    pub(super) plan: Vec<Planned>,
    pub(super) agenda: Agenda<Occurrence>,
    pub(super) cluster: Cluster,
    controllers: Controllers,
    concerned: BTreeSet<Key>,
    pub(super) histories: [History; Kind::ALL.len()],
    pub(super) processes: Vec<Process>,
    pub(super) lease: Option<LeaseRecord>,
    pub(super) lease_version: u64,
    pub(super) judge: Judge,
    /// Processes whose engine has changed since the judge looked.
    touched: BTreeSet<usize>,
    /// When something last happened that is no mere timer.
    last_event: Time,
    calm_at: Time,
    counts: BTreeMap<FaultKind, u64>,
    acts_done: BTreeSet<usize>,
    binds: u64,
    trace: Option<Vec<(Time, String)>>,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, profile: &Profile, settings: &Settings) -> World {
        World::of(&Script::of(seed), profile, settings, false)
    }

    /// The world of a script; it keeps a trace if it is to.
    pub fn of(script: &Script, profile: &Profile, settings: &Settings, tracing: bool) -> World {
        let mut settings = settings.clone();
        settings.seed = script.seed;
        // So short that gangs are evicted while faults strike.
        settings.gangs.broken_grace = Duration::from_secs(4);
        let ours = settings.scheduler_names().next().cloned();
        let mut world = World {
            now: Time::ZERO,
            chaos: Chaos::new(script.seed, profile.clone(), script.faults.clone()),
            plan: plan(script.seed, profile),
            agenda: Agenda::default(),
            cluster: Cluster::new(ours.unwrap_or_else(|| "muster".into())),
            controllers: Controllers::new(script.seed ^ 0x6661_756c_7473),
            concerned: BTreeSet::new(),
            histories: Default::default(),
            processes: (0..1 + script.seed % profile.schedulers)
                .map(|number| Process::new(format!("muster-{number}"), &settings))
                .collect(),
            settings,
            lease: None,
            lease_version: 0,
            judge: Judge::default(),
            touched: BTreeSet::new(),
            last_event: Time::ZERO,
            calm_at: Time(profile.calm_after_millis * 1000),
            counts: BTreeMap::new(),
            acts_done: BTreeSet::new(),
            binds: 0,
            trace: tracing.then(Vec::new),
        };
        for (number, planned) in world.plan.iter().enumerate() {
            let wanted = script.acts.as_ref().is_none_or(|acts| acts.contains(&number));
            if wanted {
                world.agenda.plan(planned.at, Occurrence::Act(number));
            }
        }
        world.agenda.plan(world.calm_at, Occurrence::Calm);
        world.settle();
        for process in 0..world.processes.len() {
            let start = Duration::from_millis(world.chaos.between(subject(&["start"]), 0, 1500));
            world.agenda.plan(Time::ZERO + start, Occurrence::Restart(process));
        }
        world
    }

    /// Runs until the world is at rest, and looks whether all is as it must be.
    ///
    /// # Errors
    /// Something is not.
    pub fn run(&mut self) -> Result<(), Breach> {
        while !self.is_at_rest() {
            if self.calm_at + DEADLINE < self.now {
                let breach = self.no_rest();
                self.note(|_| format!("BREACH: {breach}"));
                return Err(breach);
            }
            if let Err(breach) = self.step() {
                self.note(|_| format!("BREACH: {breach}"));
                return Err(breach);
            }
        }
        self.note(|_| "at rest".to_owned());
        self.judge_rest().inspect_err(|breach| {
            self.note(|_| format!("BREACH: {breach}"));
        })
    }

    /// Lets the next thing happen, and looks whether all is as it must be.
    fn step(&mut self) -> Result<(), Breach> {
        let Some(next) = self.agenda.next() else {
            return Err(self.no_rest());
        };
        self.now = next;
        self.cluster.set_now(next);
        if let Some(occurrence) = self.agenda.pop_due(next) {
            self.occur(occurrence);
            self.settle();
        }
        self.judge_touched()
    }

    fn is_at_rest(&self) -> bool {
        self.chaos.is_quiet() && (self.agenda.next().is_none() || self.last_event + REST < self.now)
    }

    fn no_rest(&self) -> Breach {
        let stats: Vec<_> = self.processes.iter().map(|process| process.engine.stats()).collect();
        Breach::new(Rule::NoRest, format!("it does not come to rest: {stats:?}"))
    }

    fn occur(&mut self, occurrence: Occurrence) {
        if let Some(until) = self.stands_still(&occurrence) {
            return self.agenda.plan(until, occurrence);
        }
        // A leader renews for ever.
        let is_routine = matches!(
            occurrence,
            Occurrence::Poll { .. }
                | Occurrence::Elect { .. }
                | Occurrence::LeaseAsked { .. }
                | Occurrence::LeaseTold { .. }
        );
        if !is_routine {
            self.last_event = self.now;
        }
        match occurrence {
            Occurrence::Act(number) => {
                self.acts_done.insert(number);
                self.act(number);
            }
            Occurrence::Tell { watch, index } => self.tell(watch, index),
            Occurrence::Reconnect(watch) => self.reconnect(watch),
            Occurrence::ListRead(watch) => self.list_read(watch),
            Occurrence::ListAgain(watch) => self.list_again(watch),
            Occurrence::ListTold { watch, objects, upto } => self.list_told(watch, objects, upto),
            Occurrence::Carry {
                process,
                incarnation,
                effect,
            } => self.carry(process, incarnation, effect),
            Occurrence::StoreLate { process, kind } => self.store_late(process, &kind),
            Occurrence::Answer {
                process,
                incarnation,
                id,
                about,
                outcome,
            } => self.answer(process, incarnation, id, about, outcome),
            Occurrence::Poll { process, incarnation } => self.poll(process, incarnation),
            Occurrence::Elect { process, incarnation } => self.elect_when_due(process, incarnation),
            Occurrence::LeaseAsked {
                process,
                incarnation,
                request,
            } => self.lease_asked(process, incarnation, request),
            Occurrence::LeaseTold {
                process,
                incarnation,
                number,
                answer,
            } => {
                self.lease_told(process, incarnation, number, answer);
            }
            Occurrence::Restart(process) => self.start_process(process),
            Occurrence::Start { pod, uid } => self.kubelet_takes(&pod, &uid),
            Occurrence::Finish { pod, uid, phase } => self.pod_ends(&pod, &uid, phase),
            Occurrence::Remove { pod, uid } => self.pod_removed(&pod, &uid),
            Occurrence::Calm => self.calm(),
        }
    }

    /// Until when the process that something is addressed to stands still, if it does, or how long it waits for what was
    /// sent before it.
    fn stands_still(&self, occurrence: &Occurrence) -> Option<Time> {
        let process = match occurrence {
            Occurrence::Tell { watch, .. }
            | Occurrence::Reconnect(watch)
            | Occurrence::ListAgain(watch)
            | Occurrence::ListTold { watch, .. } => watch.process,
            Occurrence::Answer { process, .. }
            | Occurrence::Poll { process, .. }
            | Occurrence::Elect { process, .. }
            | Occurrence::LeaseTold { process, .. } => *process,
            _ => return None,
        };
        let process = &self.processes[process];
        if !process.alive {
            // Nobody waits there.
            return None;
        }
        if self.now < process.paused_until {
            return Some(process.paused_until);
        }
        let Occurrence::Tell { watch, index } = occurrence else {
            return None;
        };
        let stream = &process.streams[slot(watch.kind)];
        let is_early =
            process.incarnation == watch.incarnation && stream.number == watch.number && stream.told < *index;
        is_early.then_some(self.now)
    }

    /// Lets everything follow from the cluster's changes until nothing more does.
    pub(super) fn settle(&mut self) {
        loop {
            let changes = self.cluster.drain_changes();
            if changes.is_empty() {
                let Some(owner) = self.concerned.pop_first() else {
                    return;
                };
                if let Err(refusal) = self.controllers.reconcile(&mut self.cluster, &owner) {
                    self.note(|_| format!("{owner}: {refusal}"));
                }
                continue;
            }
            for change in changes {
                self.publish(&change);
                self.kubelet(&change);
                self.concerned.extend(concerned(&change, &self.cluster));
            }
        }
    }

    fn calm(&mut self) {
        self.note(|_| "── from here on nothing goes wrong".to_owned());
        self.chaos.quiet();
        for process in 0..self.processes.len() {
            for kind in Kind::ALL {
                let stream = &self.processes[process].streams[slot(kind)];
                let listed = matches!(stream.course, Course::Watching | Course::Broken);
                if stream.blemished && listed && self.processes[process].alive {
                    self.list(process, kind);
                }
            }
        }
    }

    // ---- processes -------------------------------------------------------------------------------------------------

    fn start_process(&mut self, process: usize) {
        let alone = self.processes.len() == 1;
        let mut settings = self.settings.clone();
        settings.leads = alone;
        self.processes[process].start(self.now, &settings);
        self.note(|world| format!("{} starts", world.processes[process].label()));
        if !alone {
            let of = &mut self.processes[process];
            let seed = subject(&[&of.label()]) ^ settings.seed;
            of.election = Some(Election::new(of.label().into(), leases::timing(), seed));
            let incarnation = of.incarnation;
            self.agenda.plan(self.now, Occurrence::Elect { process, incarnation });
        }
        for kind in Kind::ALL {
            self.list(process, kind);
        }
    }

    /// Ends a process; another takes its place when all its writes have arrived.
    pub(super) fn crash(&mut self, process: usize) {
        self.note(|world| format!("{} CRASHES", world.processes[process].label()));
        let away = self
            .chaos
            .between(subject(&[&self.processes[process].name, "away"]), 10, 3000);
        let of = &mut self.processes[process];
        of.alive = false;
        of.poll_at = None;
        of.taken.clear();
        of.leads = false;
        self.touched.remove(&process);
        let at = (self.now + Duration::from_millis(away)).max(of.last_arrival + Duration::from_millis(1));
        self.agenda.plan(at, Occurrence::Restart(process));
    }

    /// Tells an engine something.
    pub(super) fn input(&mut self, process: usize, input: Input) {
        let of = &mut self.processes[process];
        of.told(self.now, &input);
        let clock = of.clock(self.now);
        of.engine.handle(clock, input);
        of.idle_polls = 0;
        self.touched.insert(process);
        let soon = self.now + Duration::from_micros(10);
        self.plan_poll(process, soon);
    }

    fn plan_poll(&mut self, process: usize, at: Time) {
        let of = &mut self.processes[process];
        if of.poll_at.is_none_or(|planned| at < planned) {
            of.poll_at = Some(at);
            let incarnation = of.incarnation;
            self.agenda.plan(at, Occurrence::Poll { process, incarnation });
        }
    }

    fn poll(&mut self, process: usize, incarnation: u64) {
        let of = &mut self.processes[process];
        let due = of.poll_at.is_some_and(|at| at <= self.now);
        if !of.alive || of.incarnation != incarnation || !due {
            return;
        }
        of.poll_at = None;
        // Whoever has lost the lease meanwhile does nothing any more.
        self.follow_election(process);
        if !self.processes[process].alive {
            return;
        }
        self.note_half_bound(process);
        let of = &mut self.processes[process];
        let clock = of.clock(self.now);
        let effect = of.engine.poll(clock);
        self.touched.insert(process);
        let pause = match &effect {
            Some(_) => Duration::from_micros(self.chaos.between(subject(&["poll"]), 20, 200)),
            None => Duration::from_micros(20),
        };
        let of = &mut self.processes[process];
        of.idle_polls = if effect.is_some() { 0 } else { of.idle_polls + 1 };
        let wakeup = of.engine.next_wakeup();
        match wakeup {
            Some(wakeup) if of.clock(self.now) < wakeup => {
                let at = of.when(self.now, wakeup);
                self.plan_poll(process, at);
            }
            Some(_) if of.idle_polls < IDLE_POLLS => self.plan_poll(process, self.now + pause),
            Some(_) => self.plan_poll(process, self.now + Duration::from_millis(100)),
            None => {}
        }
        if let Some(effect) = effect {
            self.last_event = self.now;
            self.handed_out(process, effect);
        }
    }

    /// An engine has handed out an effect: what becomes of it, and of the process.
    fn handed_out(&mut self, process: usize, effect: Effect) {
        if self.judge_effect(process, &effect.kind).is_err() {
            return;
        }
        let (what, whom) = named(&effect.kind);
        if !matches!(effect.kind, EffectKind::Event { .. }) {
            self.note(|world| format!("{} {}", world.processes[process].label(), told(&effect.kind)));
        }
        let subject = subject(&[&self.processes[process].name, what, &whom]);
        if self.chaos.strikes(self.now, FaultKind::CrashWithEffect, subject) {
            return self.crash(process);
        }
        self.binds += u64::from(matches!(effect.kind, EffectKind::Bind { .. }));
        self.send(process, effect);
        if self.chaos.strikes(self.now, FaultKind::CrashAfterEffect, subject) {
            return self.crash(process);
        }
        if self.chaos.strikes(self.now, FaultKind::Pause, subject) {
            let pause = Duration::from_millis(self.chaos.between(subject, 20, 6000));
            self.note(|world| format!("{} stands still for {pause:?}", world.processes[process].label()));
            self.processes[process].paused_until = self.now + pause;
        }
        if self.processes.len() == 1 && self.chaos.strikes(self.now, FaultKind::ClockJump, subject) {
            self.jump(process, subject);
        }
    }

    fn jump(&mut self, process: usize, subject: u64) {
        let leap = Duration::from_secs(self.chaos.between(subject, 1, 90));
        let of = &mut self.processes[process];
        if FARTHEST_LEAP < of.leapt() + leap {
            return;
        }
        of.jump(leap);
        self.note(|world| format!("the clock of {} leaps by {leap:?}", world.processes[process].label()));
        self.plan_poll(process, self.now);
    }

    /// What the engines said of themselves.
    pub(super) fn observe(&mut self, process: usize) -> Result<(), Breach> {
        for observation in self.processes[process].engine.drain_observations() {
            if let Observation::Bound {
                after_flush: true, pod, ..
            } = observation
            {
                let detail = format!("{pod} was bound only because everything is tried again from time to time");
                return Err(Breach::new(Rule::RescuedByFlush, detail));
            }
        }
        Ok(())
    }

    fn judge_touched(&mut self) -> Result<(), Breach> {
        if let Some(breach) = self.judge.found.take() {
            return Err(breach);
        }
        while let Some(process) = self.touched.pop_first() {
            if self.processes[process].alive {
                self.observe(process)?;
                self.judge_step(process)?;
            }
        }
        Ok(())
    }

    // ---- what came of it -------------------------------------------------------------------------------------------

    pub(super) fn note(&mut self, line: impl FnOnce(&World) -> String) {
        if self.trace.is_some() {
            let line = line(self);
            let now = self.now;
            self.trace.iter_mut().for_each(|trace| trace.push((now, line.clone())));
        }
    }

    /// What happened, a line each; empty if it was not kept.
    pub fn trace(&self) -> String {
        let lines = self.trace.iter().flatten();
        lines
            .map(|(at, line)| format!("{:>10}  {line}\n", at.to_string()))
            .collect()
    }

    /// Counts a fault that is part of the plan, or that is noticed and not made.
    pub(super) fn counted(&mut self, kind: FaultKind) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Faults so far, by kind.
    pub fn faults(&self) -> BTreeMap<FaultKind, u64> {
        let mut counts = self.counts.clone();
        for strike in &self.chaos.struck {
            *counts.entry(strike.id.kind).or_default() += 1;
        }
        counts
    }

    /// What would have been wrong but for a fault, by excuse.
    pub fn excuses(&self) -> &BTreeMap<Excuse, u64> {
        &self.judge.excuses
    }

    /// The faults that struck.
    pub fn struck(&self) -> &[Strike] {
        &self.chaos.struck
    }

    /// The numbers of the acts that were done.
    pub fn acts_done(&self) -> &BTreeSet<usize> {
        &self.acts_done
    }

    /// Binds that were handed out.
    pub fn binds(&self) -> u64 {
        self.binds
    }
}

/// What an effect is, and whom it is about, in one word each.
pub(super) fn named(kind: &EffectKind) -> (&'static str, String) {
    match kind {
        EffectKind::Bind { pod, .. } => ("bind", pod.to_string()),
        EffectKind::ReadPod { pod } => ("read", pod.to_string()),
        EffectKind::PodCondition { pod, .. } => ("condition", pod.to_string()),
        EffectKind::Evict { pod } => ("evict", pod.to_string()),
        EffectKind::GroupStatus { group, .. } => ("status", group.to_string()),
        EffectKind::Event { regarding, .. } => ("event", regarding.to_string()),
        EffectKind::ReserveVolume { pod, .. } | EffectKind::SelectNode { pod, .. } => ("volume", pod.to_string()),
        EffectKind::AskExtender { pod, .. } => ("ask", pod.to_string()),
    }
}

fn told(kind: &EffectKind) -> String {
    match kind {
        EffectKind::Bind { pod, node, .. } => format!("binds {pod} to {node}"),
        EffectKind::PodCondition {
            pod, reason, message, ..
        } => format!("says of {pod}: {reason}: {message}"),
        EffectKind::GroupStatus { group, status, .. } => format!("says of {group}: {status:?}"),
        kind => {
            let (what, whom) = named(kind);
            format!("{what}s {whom}")
        }
    }
}
