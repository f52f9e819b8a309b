//! A history: what happens in a random cluster, step by step, all of it from a seed; and what is wrong with it, if anything.

use crate::acts::act;
use crate::cluster::Cluster;
use crate::tally::Tally;
use crate::world::World;
use muster_engine::BatchSettings;
use muster_framework::rules::KubeMinor;
use muster_oracle::Dice;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How many steps a history has.
const STEPS: usize = 50;
/// One history of so many is also run without checks and without batching.
const COMPARED: u64 = 4;

/// The minors whose rules are followed in turn.
const MINORS: [KubeMinor; 3] = [KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37];

/// A history, by its seed and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    seed: u64,
    index: u64,
    /// The steps that are taken. Each has dice of its own, so that leaving one out leaves the others nearly as they were.
    steps: Vec<usize>,
}

/// What was wrong with a history.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The history.
    pub history: History,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let History { seed, index, steps } = &self.history;
        let problem = &self.problem;
        write!(
            f,
            "seed {seed}, history {index}, {} steps {steps:?}: {problem}",
            steps.len()
        )
    }
}

/// How decisions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// By verdicts, each of which is held against a full pass.
    Checked,
    /// By verdicts.
    Unchecked,
    /// By full passes.
    Unbatched,
}

impl Mode {
    fn settings(self) -> BatchSettings {
        BatchSettings {
            enabled: self != Mode::Unbatched,
            check_every: u32::from(self == Mode::Checked),
        }
    }
}

impl History {
    /// The history of that number.
    pub fn new(seed: u64, index: u64) -> History {
        History {
            seed,
            index,
            steps: (0..STEPS).collect(),
        }
    }

    fn minor(&self) -> KubeMinor {
        MINORS[(self.index % 3) as usize]
    }

    /// Runs it.
    ///
    /// # Errors
    /// A verdict was contradicted, something else than without batching was done, the books do not balance, or the engine
    /// panicked.
    pub fn run(&self) -> Result<Tally, Failure> {
        let failed = |(step, problem): (usize, String)| Failure {
            history: History {
                steps: self.steps.iter().copied().filter(|at| *at <= step).collect(),
                ..self.clone()
            },
            problem,
        };
        let (checked, tally) = self.play(Mode::Checked).map_err(failed)?;
        if self.index.is_multiple_of(COMPARED) {
            let (unchecked, _) = self.play(Mode::Unchecked).map_err(failed)?;
            let (unbatched, _) = self.play(Mode::Unbatched).map_err(failed)?;
            for (name, other) in [("with verdicts", &unchecked), ("with checked verdicts", &checked)] {
                let traces = unbatched.iter().zip(other);
                if let Some(at) = traces.into_iter().position(|(a, b)| a != b) {
                    let problem = format!("{name} the engine wants something else than without");
                    return Err(failed((self.steps[at], problem)));
                }
            }
        }
        Ok(tally)
    }

    /// What the engine has wanted up to the end of each step, as hashes, and what was counted. If it fails: in which step,
    /// and why.
    fn play(&self, mode: Mode) -> Result<(Vec<u64>, Tally), (usize, String)> {
        let mut at = 0;
        let played = catch_unwind(AssertUnwindSafe(|| self.play_steps(mode, &mut at)));
        match played {
            Ok(Ok(played)) => Ok(played),
            Ok(Err(problem)) => Err((at, problem)),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Err((at, format!("a panic: {}", text.unwrap_or("without a text"))))
            }
        }
    }

    fn play_steps(&self, mode: Mode, at: &mut usize) -> Result<(Vec<u64>, Tally), String> {
        let cluster = Cluster::of(self.seed, self.index, self.minor(), mode.settings());
        let mut world = World::new(cluster);
        let mut traces = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            *at = *step;
            let mut dice = Dice::new(self.seed.wrapping_mul(0x1_0000_01b3) ^ self.index, *step as u64 + 1);
            take_step(&mut world, &mut dice);
            if let Some(contradiction) = world.contradiction.take() {
                return Err(contradiction);
            }
            traces.push(world.trace());
        }
        world.engine.check()?;
        world.tally.histories = 1;
        Ok((traces, world.tally))
    }

    /// The shortest list of steps, found by leaving out ever less, with which it still goes wrong.
    pub fn shrunk(failure: Failure) -> Failure {
        let mut shortest = failure;
        let mut piece = shortest.history.steps.len().div_ceil(2);
        while piece > 0 {
            let mut first = 0;
            while first < shortest.history.steps.len() {
                let mut shorter = shortest.history.clone();
                let end = (first + piece).min(shorter.steps.len());
                shorter.steps.drain(first..end);
                match shorter.run() {
                    Err(failure) => shortest = failure,
                    Ok(_) => first += piece,
                }
            }
            piece /= 2;
        }
        shortest
    }
}

/// Something happens, sometimes before the engine is done with what happened before, and in the end it rests.
fn take_step(world: &mut World, dice: &mut Dice) {
    world.look_at_features();
    for _ in 0..dice.pick(&[1, 1, 2, 3]) {
        act(world, dice);
        if dice.percent(50) {
            let most = dice.below(8);
            world.poll(most, dice);
        }
    }
    world.look_at_features();
    world.rest(dice);
    world.tell();
    world.wait(Duration::from_millis(dice.range(0..=2500) as u64));
    world.rest(dice);
}
