//! From a world that goes wrong to the few acts and faults that it takes: delta debugging.

use super::judge::Rule;
use super::profile::Profile;
use super::run::{Failure, run};
use super::world::{Script, World};
use muster_engine::Settings;
use std::collections::BTreeSet;

/// So many worlds are tried at most.
const MOST_RUNS: u32 = 1500;

/// The smallest world that was found to go wrong in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// Its script and what is wrong.
    pub failure: Failure,
    /// What happens in it, a line each.
    pub trace: String,
    /// How many worlds were tried.
    pub runs: u32,
}

/// Leaves out acts and faults as long as the same rule stays broken.
pub fn shrink(failure: Failure, profile: &Profile, settings: &Settings) -> Shrunk {
    let mut shrinking = Shrinking {
        rule: failure.breach.rule,
        profile,
        settings,
        best: failure,
        runs: 0,
    };
    shrinking.shrink_to_the_least();
    let mut world = World::of(&shrinking.best.script, profile, settings, true);
    // Whether it fails is known; what is wanted is the trace.
    let _ = world.run();
    Shrunk {
        trace: world.trace(),
        failure: shrinking.best,
        runs: shrinking.runs,
    }
}

struct Shrinking<'a> {
    rule: Rule,
    profile: &'a Profile,
    settings: &'a Settings,
    best: Failure,
    runs: u32,
}

impl Shrinking<'_> {
    fn shrink_to_the_least(&mut self) {
        loop {
            let before = self.size();
            self.fewer(|script| &mut script.acts);
            self.fewer(|script| &mut script.faults);
            if self.size() == before || MOST_RUNS <= self.runs {
                return;
            }
        }
    }

    fn size(&self) -> usize {
        let script = &self.best.script;
        script.acts.as_ref().map_or(0, BTreeSet::len) + script.faults.as_ref().map_or(0, BTreeSet::len)
    }

    /// Leaves out ever smaller parts of one of the two sets.
    fn fewer<T: Ord + Clone>(&mut self, part: impl Fn(&mut Script) -> &mut Option<BTreeSet<T>>) {
        let mut script = self.best.script.clone();
        let mut chunk = part(&mut script).as_ref().map_or(0, BTreeSet::len);
        while 0 < chunk {
            let mut from = 0;
            loop {
                let mut script = self.best.script.clone();
                let all: Vec<T> = part(&mut script).iter().flatten().cloned().collect();
                if all.len() <= from || MOST_RUNS <= self.runs {
                    break;
                }
                let without = all[..from].iter().chain(&all[(from + chunk).min(all.len())..]);
                *part(&mut script) = Some(without.cloned().collect());
                if !self.still_fails(&script) {
                    from += chunk;
                }
            }
            chunk /= 2;
        }
    }

    fn still_fails(&mut self, script: &Script) -> bool {
        self.runs += 1;
        let Some(failure) = run(script, self.profile, self.settings).failure else {
            return false;
        };
        let same = failure.breach.rule == self.rule;
        if same {
            self.best = Failure {
                script: script.clone(),
                ..failure
            };
        }
        same
    }
}
