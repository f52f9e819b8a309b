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
