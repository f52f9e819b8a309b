//! `tests/fuzzing/src/targets/vmodule.rs` says what it does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_fuzzing::targets::vmodule::run;

fuzz_target!(|bytes: &[u8]| run(bytes));
