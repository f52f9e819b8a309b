//! What a scheduler was asked, call by call, so that it can be asked the same again without the simulation around it.
//!
//! The engine is deterministic: another one that is asked the same wants the same. So what the engine costs can be
//! measured by itself, with one look at a clock before and one after.

use muster_engine::{AttemptResult, Effect, EffectKind, Engine, Input, Observation, Settings, Time};
use serde::Serialize;
use std::ops::AddAssign;
use std::time::Duration;

/// So many polls in a row may want nothing before time has to go on: a wake-up in the past must not stop the clock.
const IDLE_POLLS: u32 = 100_000;

/// Everything that one scheduler was asked, and everything that it wanted.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    calls: Vec<Call>,
    effects: Vec<Effect>,
}

#[derive(Debug, Clone)]
enum Call {
    Handle(Time, Input),
    /// Polled until there was nothing to do at this time.
    Work(Time),
    Observe(Time),
}

impl Call {
    fn at(&self) -> Time {
        match self {
            Call::Handle(at, _) | Call::Work(at) | Call::Observe(at) => *at,
        }
    }
}

/// What came of asking the same again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// By the clock that was given, before the time from which on is measured.
    pub before: Duration,
    /// From then on.
    pub measured: Duration,
    /// What was done from then on.
    pub counts: Counts,
}

/// What an engine did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Inputs that it was told.
    pub inputs: u64,
    /// Pods that it tried, alone or as members of a gang: the decisions.
    pub decisions: u64,
    /// Of those, pods for which there was a place.
    pub scheduled: u64,
    /// Of those, pods for which there was none.
    pub unschedulable: u64,
    /// Binds that it wanted.
    pub binds: u64,
    /// Other effects: conditions, events, statuses of groups.
    pub other_effects: u64,
}

impl AddAssign<&Observation> for Counts {
    fn add_assign(&mut self, observation: &Observation) {
        let Observation::Attempt { result, pods, .. } = observation else {
            return;
        };
        let pods = u64::from(*pods);
        self.decisions += pods;
        match result {
            AttemptResult::Scheduled => self.scheduled += pods,
            AttemptResult::Unschedulable => self.unschedulable += pods,
            AttemptResult::Error => {}
        }
    }
}

/// An engine that was asked the same wanted something else: it is not deterministic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("effect {number} differs when the engine is asked the same again: first {first}, then {then}")]
pub struct Diverged {
    /// Which effect, counted from 0.
    pub number: usize,
    /// What was wanted first.
    pub first: String,
    /// What was wanted then.
    pub then: String,
}

impl Journal {
    pub(crate) fn handled(&mut self, now: Time, input: &Input) {
        self.calls.push(Call::Handle(now, input.clone()));
    }

    pub(crate) fn worked(&mut self, now: Time) {
        self.calls.push(Call::Work(now));
    }

    pub(crate) fn wanted(&mut self, effect: &Effect) {
        self.effects.push(effect.clone());
    }

    pub(crate) fn observed(&mut self, now: Time) {
        self.calls.push(Call::Observe(now));
    }

    /// Asks an engine with `settings` the same, and looks at `clock` at the beginning, at the first call that is not
    /// before `from`, and at the end.
    ///
    /// # Errors
    /// It wants something else.
    pub fn replay(&self, settings: &Settings, from: Time, clock: impl Fn() -> Duration) -> Result<Replayed, Diverged> {
        let mut before = self.calls.clone();
        let measured = before.split_off(before.partition_point(|call| call.at() < from));
        let n_inputs = measured.iter().filter(|call| matches!(call, Call::Handle(..))).count();
        let mut engine = Engine::new(settings);
        let mut heard = Heard {
            effects: Vec::with_capacity(self.effects.len()),
            observations: Vec::with_capacity(self.calls.len()),
        };
        let begin = clock();
        play(&mut engine, before, &mut heard);
        let [n_effects, n_observations] = [heard.effects.len(), heard.observations.len()];
        let half_way = clock();
        play(&mut engine, measured, &mut heard);
        let end = clock();
        self.compare(&heard.effects)?;
        let mut counts = Counts {
            inputs: n_inputs as u64,
            ..Counts::default()
        };
        for observation in heard.observations[n_observations..].iter().flatten() {
            counts += observation;
        }
        let is_bind = |effect: &&Effect| matches!(effect.kind, EffectKind::Bind { .. });
        let effects = &heard.effects[n_effects..];
        counts.binds = effects.iter().filter(is_bind).count() as u64;
        counts.other_effects = effects.len() as u64 - counts.binds;
        Ok(Replayed {
            before: half_way.saturating_sub(begin),
            measured: end.saturating_sub(half_way),
            counts,
        })
    }

    fn compare(&self, effects: &[Effect]) -> Result<(), Diverged> {
        let describe = |effect: Option<&Effect>| effect.map_or("nothing".to_owned(), |effect| format!("{effect:?}"));
        let longer = self.effects.len().max(effects.len());
        match (0..longer).find(|at| self.effects.get(*at) != effects.get(*at)) {
            None => Ok(()),
            Some(number) => Err(Diverged {
                number,
                first: describe(self.effects.get(number)),
                then: describe(effects.get(number)),
            }),
        }
    }
}

/// What a replay hears, kept to be looked at afterwards.
struct Heard {
    effects: Vec<Effect>,
    observations: Vec<Vec<Observation>>,
}

fn play(engine: &mut Engine, calls: Vec<Call>, heard: &mut Heard) {
    for call in calls {
        match call {
            Call::Handle(now, input) => engine.handle(now, input),
            Call::Work(now) => {
                while let Some(effect) = next_effect(engine, now) {
                    heard.effects.push(effect);
                }
            }
            Call::Observe(_) => heard.observations.push(engine.drain_observations()),
        }
    }
}

/// The next thing that the scheduler wants; none when it has nothing to do now. Work may need no effect: a turn at a plan,
/// a pod whose reason to wait is known.
pub(crate) fn next_effect(engine: &mut Engine, now: Time) -> Option<Effect> {
    for _ in 0..IDLE_POLLS {
        let effect = engine.poll(now);
        if effect.is_some() || engine.next_wakeup().is_none_or(|at| now < at) {
            return effect;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Source;
    use crate::simulation::Simulation;
    use crate::workload::Workload;

    const TEXT: &str = include_str!("../../../benches/workloads/basic.yaml");

    fn played() -> (Simulation, Workload) {
        let source = Source {
            name: "basic.yaml".to_owned(),
            text: TEXT.to_owned(),
        };
        let wanted = crate::Wanted {
            size: Some("20Nodes".to_owned()),
            ..crate::Wanted::default()
        };
        let workload = Workload::load(&source, wanted).unwrap();
        let settings =
            muster_config::Configuration::default().engine_settings(muster_framework::rules::KubeMinor::default());
        let mut simulation = Simulation::with_journal(workload.scenario.clone(), settings);
        simulation.run_until(workload.until);
        (simulation, workload)
    }

    #[test]
    fn another_engine_does_the_same_and_only_what_is_measured_counts() {
        let (simulation, workload) = played();
        workload.check(&simulation).unwrap();
        let journal = simulation.journal().unwrap();
        let replay = |from| {
            journal
                .replay(simulation.settings(), from, || Duration::ZERO)
                .unwrap()
                .counts
        };
        let [whole, measured] = [replay(Time::ZERO), replay(workload.from)];
        let [initial, measured_pods] = ["initial", "measured"].map(|name| workload.size.parameters[name]);
        assert_eq!(
            (whole.decisions, whole.binds),
            (initial + measured_pods, initial + measured_pods)
        );
        assert_eq!(
            (measured.decisions, measured.scheduled, measured.binds),
            (measured_pods, measured_pods, measured_pods)
        );
    }

    #[test]
    fn what_differs_is_noticed() {
        let (simulation, workload) = played();
        let mut journal = simulation.journal().unwrap().clone();
        journal.effects.swap(0, 1);
        let result = journal.replay(simulation.settings(), workload.from, || Duration::ZERO);
        assert_eq!(result.map_err(|diverged| diverged.number), Err(0));
        let mut journal = simulation.journal().unwrap().clone();
        journal
            .calls
            .retain(|call| !matches!(call, Call::Work(at) if workload.from <= *at));
        assert!(
            journal
                .replay(simulation.settings(), workload.from, || Duration::ZERO)
                .is_err()
        );
    }
}
