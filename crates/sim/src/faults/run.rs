//! One seed, or many, from the beginning to the rest.

use super::judge::Breach;
use super::profile::{Excuse, FaultKind, Profile};
use super::world::{Script, World};
use muster_engine::Settings;
use std::collections::BTreeMap;

/// What many worlds came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Worlds.
    pub worlds: u64,
    /// Faults that struck, by kind.
    pub faults: BTreeMap<FaultKind, u64>,
    /// What was excused, by excuse.
    pub excuses: BTreeMap<Excuse, u64>,
    /// Binds that were handed out.
    pub binds: u64,
}

impl Tally {
    /// Adds what others came to.
    pub fn add(&mut self, other: &Tally) {
        self.worlds += other.worlds;
        self.binds += other.binds;
        for (kind, count) in &other.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        for (excuse, count) in &other.excuses {
            *self.excuses.entry(*excuse).or_default() += count;
        }
    }

    /// Faults of all kinds.
    pub fn total(&self) -> u64 {
        self.faults.values().sum()
    }

    /// The kinds that never struck.
    pub fn missing(&self) -> Vec<FaultKind> {
        let never = |kind: &FaultKind| !self.faults.contains_key(kind);
        FaultKind::ALL.into_iter().filter(never).collect()
    }
}

/// What one world came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What happened in it.
    pub tally: Tally,
    /// What was not as it must be.
    pub failure: Option<Failure>,
}

/// A world that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its script: with the faults and acts that there were.
    pub script: Script,
    /// What was wrong.
    pub breach: Breach,
}

/// Runs the world of a seed.
pub fn run_seed(seed: u64, profile: &Profile, settings: &Settings) -> Outcome {
    run(&Script::of(seed), profile, settings)
}

/// Runs the world of a script.
pub(super) fn run(script: &Script, profile: &Profile, settings: &Settings) -> Outcome {
    let mut world = World::of(script, profile, settings, false);
    let failure = world.run().err().map(|breach| Failure {
        script: Script {
            seed: script.seed,
            acts: Some(world.acts_done().clone()),
            faults: Some(world.struck().iter().map(|strike| strike.id).collect()),
        },
        breach,
    });
    let tally = Tally {
        worlds: 1,
        faults: world.faults(),
        excuses: world.excuses().clone(),
        binds: world.binds(),
    };
    Outcome { tally, failure }
}
