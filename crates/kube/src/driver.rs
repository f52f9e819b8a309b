//! The loop that owns the engine, on a thread of its own.
//!
//! One turn: fold what has arrived, let the engine work while the dispatcher has room, report, then sleep until there is
//! an input, a free slot, or a time that the engine named. Turns are a little apart: under load each folds all that came
//! meanwhile, instead of the thread being woken for every answer and every watch event.
//!
//! **No deadlock.** There is one bounded channel, into this thread. Informers and the dispatcher's tasks wait when it is
//! full; this thread never waits for them. It takes from the channel without condition; it hands effects over without
//! blocking, because it asks the engine for one only while the dispatcher has room for any; and events that find no room
//! are dropped. So whoever waits for this thread waits for a bounded turn.

use crate::dispatcher::Dispatcher;
use crate::health::Health;
use crate::lease::Leadership;
use crate::observer::Observer;
use crate::questions::{Asked, NoAnswer, Questions};
use crate::recording::Recording;
use muster_engine::{Census, Engine, Input, Observation, Time};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

/// Inputs folded before the engine may work again: a first list of 150,000 pods must not hide a dead engine from probes.
const INPUTS_PER_TURN: usize = 4096;
/// How long the engine may work before inputs are looked at again.
const WORK_PER_TURN: Duration = Duration::from_millis(5);
/// How far apart turns begin that inputs or free slots ask for. What comes after a rest is not held up. Little beside what
/// a bind takes: the server is kept busy by the others that are on their way.
const BETWEEN_TURNS: Duration = Duration::from_millis(1);
/// How far apart what takes longer to count is counted. Nobody scrapes metrics more often.
const BETWEEN_CENSUSES: Duration = Duration::from_secs(1);
/// The longest sleep: the thread shows that it is alive.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// The shortest sleep when the engine had nothing to do: a wake-up in the past must not make this a busy loop.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// Times of the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverSettings {
    /// Inputs that may wait for the engine.
    pub inputs_waiting: usize,
    /// After the end was asked for: how long what was decided may take.
    pub grace: Duration,
    /// After that: how long the events may take that still wait.
    pub event_grace: Duration,
}

impl Default for DriverSettings {
    fn default() -> DriverSettings {
        DriverSettings {
            inputs_waiting: 16_384,
            grace: Duration::from_secs(20),
            event_grace: Duration::from_secs(2),
        }
    }
}

/// Why the loop ended, if not because it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was asked to, and everything in flight is answered.
    InOrder,
    /// It was asked to, and something in flight was not answered in time.
    GraceUsedUp,
    /// An effect will never be answered: only a new start gets the state right again.
    EffectLost,
    /// The lease is lost, and all that was under way is answered or has had its time.
    LeaseLost,
}

/// The loop and what it needs.
pub(crate) struct Driver {
    pub(crate) engine: Engine,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) questions: Questions,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) runtime: Handle,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) health: Arc<Health>,
    pub(crate) recording: Option<Recording>,
    /// Becomes true when the end is asked for.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) grace: Duration,
    pub(crate) clock: Clock,
    pub(crate) leadership: Leadership,
    /// What the engine knows of it.
    pub(crate) leads: Leads,
    /// When the last census was taken.
    pub(crate) counted: Instant,
}

/// What the engine has been told of its leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leads {
    /// That it leads since it was made.
    Always,
    /// Nothing: it waits to be told.
    NotYet,
    /// That it leads.
    Yes,
    /// That it does not lead any more; since when.
    NoMore(Instant),
}

/// Monotonic time as the engine counts it.
#[derive(Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// How a turn of the engine's work ended.
#[derive(Debug, PartialEq, Eq)]
enum Work {
    /// Nothing is left to do now.
    Done,
    /// The dispatcher is full.
    NoRoom,
    /// There may be more.
    More,
}

/// What ended a sleep.
enum Next {
    Input(Input),
    Asked(Asked),
    Turn,
}

/// What a turn did.
struct Turn {
    inputs: usize,
    effects: usize,
    work: Work,
}

impl Driver {
    /// Turns until the end.
    pub(crate) fn run(mut self) -> Ended {
        let mut stop_by: Option<Instant> = None;
        loop {
            self.health.tick();
            if stop_by.is_none() && *self.stop.borrow_and_update() {
                self.engine.stop();
                self.health.set_stopping();
                stop_by = Some(Instant::now() + self.grace);
            }
            let begun = Instant::now();
            // Asked before the turn: every outcome of what was in flight is then among the inputs of the turn.
            let idle = self.dispatcher.is_idle();
            let turn = self.turn();
            if self.dispatcher.has_lost_one() {
                return Ended::EffectLost;
            }
            if let Leads::NoMore(since) = self.leads
                && (idle || since.elapsed() >= self.leadership.fence.longest_write())
            {
                return Ended::LeaseLost;
            }
            if let Some(stop_by) = stop_by {
                if idle && turn.inputs < INPUTS_PER_TURN && turn.effects == 0 && turn.work == Work::Done {
                    return Ended::InOrder;
                }
                if Instant::now() >= stop_by {
                    return Ended::GraceUsedUp;
                }
            }
            self.sleep_after(&turn, begun);
        }
    }

    fn turn(&mut self) -> Turn {
        let inputs = self.fold();
        self.follow_leadership();
        let (work, effects) = self.work();
        // One a turn: whoever asks much waits, and decisions do not.
        if let Some(asked) = self.questions.next_now() {
            self.answer(asked);
        }
        if self.engine.is_synced() {
            self.health.set_engine_synced();
            self.leadership
                .ready
                .send_if_modified(|ready| !std::mem::replace(ready, true));
        }
        self.observer.stats(&self.engine.stats());
        self.count();
        Turn { inputs, effects, work }
    }

    /// Counts what is not counted at each turn. Whoever does not lead tries nobody, and knows of no wait.
    fn count(&mut self) {
        if self.counted.elapsed() < BETWEEN_CENSUSES {
            return;
        }
        let census = match self.leads {
            Leads::Always | Leads::Yes => self.engine.census(self.clock.now()),
            Leads::NotYet | Leads::NoMore(_) => Census::default(),
        };
        self.observer.census(&census);
        self.counted = Instant::now();
    }

    /// Tells the engine when this process begins to lead, and when it does so no more. The clock says the latter, whether
    /// or not the candidate for the lease has come to know it.
    fn follow_leadership(&mut self) {
        let stands = self.leadership.fence.stands();
        match self.leads {
            // Whoever is about to end takes nothing over.
            Leads::NotYet if stands && !*self.stop.borrow() => {
                self.leads = Leads::Yes;
                self.tell(Input::Leadership { leads: true });
                // Only now: a list counts if it begins after the engine leads.
                self.leadership.relist.send_modify(|times| *times += 1);
            }
            Leads::Yes if !stands => {
                self.leads = Leads::NoMore(Instant::now());
                self.health.set_stopping();
                tracing::error!("leader election lost: nothing more is bound, and this process ends");
                self.tell(Input::Leadership { leads: false });
            }
            _ => {}
        }
    }

    /// Tells the engine what has arrived.
    fn fold(&mut self) -> usize {
        let mut folded = 0;
        while folded < INPUTS_PER_TURN
            && let Ok(input) = self.inputs.try_recv()
        {
            self.tell(input);
            folded += 1;
        }
        self.report(Duration::ZERO);
        folded
    }

    fn tell(&mut self, input: Input) {
        let now = self.clock.now();
        self.observer.input(&input);
        if let Some(recording) = &mut self.recording {
            recording.write(now, &input);
        }
        self.engine.handle(now, input);
    }

    fn answer(&mut self, asked: Asked) {
        let now = self.clock.now();
        let able = self.is_able_to_answer();
        // Whoever asked may have lost patience.
        match asked {
            Asked::Explain { subject, reply } => {
                let _ = reply.send(able.map(|()| self.engine.explain(now, &subject)));
            }
            Asked::Snapshot { reply } => {
                let _ = reply.send(able.map(|()| self.engine.snapshot(now)));
            }
            Asked::Overview { namespace, reply } => {
                let _ = reply.send(able.map(|()| self.engine.overview(now, namespace.as_deref())));
            }
        }
    }

    /// Only a leader tries pods, and what has not been listed cannot be told from what is not there.
    fn is_able_to_answer(&self) -> Result<(), NoAnswer> {
        if !matches!(self.leads, Leads::Always | Leads::Yes) {
            Err(NoAnswer::NotLeading)
        } else if !self.engine.is_synced() {
            Err(NoAnswer::NotSynced)
        } else {
            Ok(())
        }
    }

    /// Lets the engine work, and hands over what it decides.
    fn work(&mut self) -> (Work, usize) {
        let begun = Instant::now();
        let mut effects = 0;
        // A decision may take several polls: it is measured from the first one.
        let mut deciding = Duration::ZERO;
        while self.dispatcher.has_room() {
            if !self.leadership.fence.stands() && self.leads == Leads::Yes {
                // The next turn tells the engine.
                return (Work::More, effects);
            }
            let poll = Instant::now();
            let effect = self.engine.poll(self.clock.now());
            deciding += poll.elapsed();
            if self.report(deciding) {
                deciding = Duration::ZERO;
            }
            match effect {
                Some(effect) => self.dispatcher.carry_out(effect),
                // Work may need no effect: a turn at a plan, a pod whose reason to wait is known. A wake-up in the past that
                // leads to nothing ends with the turn.
                None if begun.elapsed() < WORK_PER_TURN && self.is_wanted_now() => continue,
                None => return (Work::Done, effects),
            }
            effects += 1;
            if begun.elapsed() >= WORK_PER_TURN {
                return (Work::More, effects);
            }
        }
        (Work::NoRoom, effects)
    }

    /// Whether the engine has work although no input has come.
    fn is_wanted_now(&self) -> bool {
        self.engine.next_wakeup().is_some_and(|at| at <= self.clock.now())
    }

    /// Passes on what the engine tells of itself; says whether a decision was among it.
    fn report(&mut self, took: Duration) -> bool {
        let mut decided = false;
        for observation in self.engine.drain_observations() {
            decided |= matches!(observation, Observation::Attempt { .. });
            self.observer.observation(&observation, took);
        }
        decided
    }

    fn sleep_after(&mut self, turn: &Turn, begun: Instant) {
        if turn.work == Work::More || turn.inputs == INPUTS_PER_TURN {
            return;
        }
        std::thread::sleep(BETWEEN_TURNS.saturating_sub(begun.elapsed()));
        let longest = match self.engine.next_wakeup() {
            // Time alone does not help while there is no room.
            Some(at) if turn.work == Work::Done => at.since(self.clock.now()).clamp(SHORTEST_SLEEP, LONGEST_SLEEP),
            _ => LONGEST_SLEEP,
        };
        if let Some(recording) = &mut self.recording {
            recording.pause();
        }
        let (inputs, dispatcher, stop) = (&mut self.inputs, &self.dispatcher, &mut self.stop);
        let questions = &mut self.questions;
        let leadership = &mut self.leadership;
        let stopping = *stop.borrow();
        let next = self.runtime.block_on(async {
            tokio::select! {
                // Whoever could still send has gone only when everything ends: then time alone wakes.
                Some(input) = inputs.recv() => Next::Input(input),
                Some(asked) = questions.next() => Next::Asked(asked),
                () = dispatcher.freed() => Next::Turn,
                () = leadership.changed() => Next::Turn,
                Ok(()) = stop.changed(), if !stopping => Next::Turn,
                () = tokio::time::sleep(longest) => Next::Turn,
            }
        });
        match next {
            Next::Input(input) => self.tell(input),
            Next::Asked(asked) => self.answer(asked),
            Next::Turn => {}
        }
    }
}
