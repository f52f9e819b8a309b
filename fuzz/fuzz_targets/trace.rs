//! `tests/fuzzing/src/targets/trace.rs` says what it does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzzing::targets::trace::run;

fuzz_target!(|bytes: &[u8]| run(bytes));
