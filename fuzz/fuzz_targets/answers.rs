//! `tests/fuzzing/src/targets/answers.rs` says what it does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzzing::targets::answers::run;

fuzz_target!(|bytes: &[u8]| run(bytes));
