//! Worlds of faults: the same seed is the same world, and in none of some fixed ones is anything as it must not be.

mod common;

use common::settings;
use muster_sim::faults::{Profile, Script, World, run_seed};

fn trace(seed: u64) -> String {
    let mut world = World::of(&Script::of(seed), &Profile::default(), &settings(), true);
    world.run().unwrap_or_else(|breach| panic!("seed {seed}: {breach}"));
    world.trace()
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 1..20 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
    assert_ne!(trace(1), trace(2));
}

/// Worlds in which something was wrong once, beyond the seeds that are run anyway: by profile.
const WENT_WRONG_ONCE: [(&str, &[u64]); 2] = [("default", &[2037, 2668, 3162, 5008, 18949]), ("storm", &[2678, 2983])];

#[test]
fn worlds_that_went_wrong_once_go_well() {
    for (name, seeds) in WENT_WRONG_ONCE {
        let profile = Profile::named(name).expect("a profile");
        for seed in seeds {
            if let Some(failure) = run_seed(*seed, &profile, &settings()).failure {
                panic!("profile {name}, seed {seed}: {}", failure.breach);
            }
        }
    }
}

#[test]
fn some_worlds_of_each_profile_go_well() {
    for profile in Profile::all() {
        for seed in 1..40 {
            if let Some(failure) = run_seed(seed, &profile, &settings()).failure {
                panic!("profile {}, seed {seed}: {}", profile.name, failure.breach);
            }
        }
    }
}
