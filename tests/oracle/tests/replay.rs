//! Muster against the answers that upstream gave on the kept cases, without Go.

use std::path::PathBuf;

use muster_oracle::program::Program;
use muster_oracle::{differences, explained, regressions};

/// The environment variable that names a built `muster`, as the cluster tests use it.
const BINARY_VARIABLE: &str = "MUSTER_TEST_BINARY";

#[test]
fn muster_answers_the_kept_cases_as_upstream_did() {
    let kept = regressions::load(&regressions::folder()).unwrap();
    if kept.is_empty() {
        return;
    }
    let muster = match std::env::var_os(BINARY_VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => muster_xtask::test::build_muster().unwrap(),
    };
    let mut complaints = Vec::new();
    for minor in ["1.35", "1.36", "1.37"] {
        let mut program = Program::new(&muster, &["evaluate", "--kube", minor]);
        for (path, regression) in kept
            .iter()
            .filter(|(_, kept)| kept.minors.iter().any(|asked| asked == minor))
        {
            let case = regression.case().unwrap();
            let upstream = regression.stored_answer(minor).unwrap();
            let answer = program.ask(&case).unwrap();
            for difference in differences(&upstream, &answer) {
                if explained::explanation(&case, &difference).is_none() {
                    complaints.push(format!("{} ({minor}): {difference}", path.display()));
                }
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
