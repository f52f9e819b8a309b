//! `tests/fuzzing/src/targets/snapshot.rs` says what it does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzzing::targets::snapshot::run;

fuzz_target!(|bytes: &[u8]| run(bytes));
