//! Every target on the inputs that fuzzing begins with: they compile, and what they say holds at least of these.

/// Tries a target on each of its seeds.
fn try_all(name: &str, target: fn(&[u8])) {
    let seeds = muster_xtask::fuzz::seeds(name).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(!seeds.is_empty(), "{name} has nothing to begin with");
    for seed in seeds {
        let tried = std::panic::catch_unwind(|| target(seed.as_bytes()));
        assert!(tried.is_ok(), "{name} fails on this one:\n{seed}");
    }
}

/// A test for each target, by the names that `cargo xtask fuzz` has for them.
macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                try_all(stringify!($name), muster_fuzzing::targets::$name::run);
            }
        )*

        #[test]
        fn no_target_is_left_out() {
            assert_eq!(muster_xtask::fuzz::names(), [$(stringify!($name)),*]);
        }
    };
}

targets!(answers configuration evaluate explain objects scenario snapshot trace unit vmodule wire words);
