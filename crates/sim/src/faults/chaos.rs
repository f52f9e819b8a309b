//! What goes wrong when: decided by the seed, the sort of fault, what it would strike, and how often that was asked.
//!
//! Nothing is drawn from a common stream. So to leave out one fault, or one action, changes no other decision about
//! things that are as they were, and a failing run can be taken apart piece by piece.

use super::profile::{FaultKind, Profile};
use crate::random::Random;
use muster_engine::Time;
use std::collections::{BTreeSet, HashMap};

/// Which opportunity for a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FaultId {
    /// The sort of fault.
    pub kind: FaultKind,
    /// What it strikes, as a hash of its name.
    pub subject: u64,
    /// The how manieth opportunity of that sort that was.
    pub nth: u32,
}

/// A fault that struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// When.
    pub at: Time,
    /// Which.
    pub id: FaultId,
}

/// Decides about faults.
#[derive(Debug)]
pub(super) struct Chaos {
    seed: u64,
    profile: Profile,
    /// If given, these strike and no others.
    allowed: Option<BTreeSet<FaultId>>,
    quiet: bool,
    asked: HashMap<(FaultKind, u64), u32>,
    measured: HashMap<u64, u32>,
    pub(super) struck: Vec<Strike>,
}

impl Chaos {
    pub(super) fn new(seed: u64, profile: Profile, allowed: Option<BTreeSet<FaultId>>) -> Chaos {
        Chaos {
            seed,
            profile,
            allowed,
            quiet: false,
            asked: HashMap::new(),
            measured: HashMap::new(),
            struck: Vec::new(),
        }
    }

    /// From now on nothing goes wrong.
    pub(super) fn quiet(&mut self) {
        self.quiet = true;
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether a fault of this sort strikes `subject` now.
    pub(super) fn strikes(&mut self, now: Time, kind: FaultKind, subject: u64) -> bool {
        let rate = self.profile.rate(kind);
        if self.quiet || rate == 0 {
            return false;
        }
        let nth = self.asked.entry((kind, subject)).or_default();
        *nth += 1;
        let id = FaultId {
            kind,
            subject,
            nth: *nth,
        };
        let strikes = match &self.allowed {
            Some(allowed) => allowed.contains(&id),
            None => {
                let mixed = mix(&[self.seed, kind as u64, subject, u64::from(id.nth)]);
                mixed % 10_000 < u64::from(rate)
            }
        };
        if strikes {
            self.struck.push(Strike { at: now, id });
        }
        strikes
    }

    /// A number from `least` to `most` that belongs to `subject` and to how often one was wanted for it.
    pub(super) fn between(&mut self, subject: u64, least: u64, most: u64) -> u64 {
        let nth = self.measured.entry(subject).or_default();
        *nth += 1;
        least + mix(&[self.seed, 0xda7a, subject, u64::from(*nth)]) % (most - least + 1)
    }
}

/// What a name, or several that belong together, is called in decisions.
pub(super) fn subject(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    // FNV-1a.
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// One number from several: equal only for equal ones.
pub(super) fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |mixed, part| Random::new(mixed ^ part).bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chaos(allowed: Option<BTreeSet<FaultId>>) -> Chaos {
        Chaos::new(7, Profile::calm().with(FaultKind::Conflict, 5000), allowed)
    }

    fn decisions(chaos: &mut Chaos, name: &str) -> Vec<bool> {
        (0..50)
            .map(|_| chaos.strikes(Time::ZERO, FaultKind::Conflict, subject(&[name])))
            .collect()
    }

    #[test]
    fn decisions_about_one_thing_do_not_depend_on_others() {
        let mut first = chaos(None);
        let alone = decisions(&mut first, "a");
        let mut second = chaos(None);
        decisions(&mut second, "b");
        assert_eq!(decisions(&mut second, "a"), alone);
        assert!(alone.contains(&true) && alone.contains(&false));
    }

    #[test]
    fn only_what_is_allowed_strikes() {
        let mut free = chaos(None);
        decisions(&mut free, "a");
        let one = free.struck[2].id;
        let mut bound = chaos(Some(BTreeSet::from([one])));
        assert_eq!(decisions(&mut bound, "a").iter().filter(|struck| **struck).count(), 1);
        assert_eq!(bound.struck[0].id, one);
    }
}
