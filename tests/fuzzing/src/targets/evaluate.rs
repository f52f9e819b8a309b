//! `muster evaluate`: any cases and manifests, and what the plugins make of the objects in them.

#[allow(dead_code)]
#[path = "../../../../crates/muster/src/evaluate/answer.rs"]
mod answer;
#[allow(dead_code)]
#[path = "../../../../crates/muster/src/evaluate/cases.rs"]
mod cases;
#[allow(dead_code)]
#[path = "../../../../crates/muster/src/evaluate/judge.rs"]
mod judge;
#[allow(dead_code)]
#[path = "../../../../crates/muster/src/evaluate/kinds.rs"]
mod kinds;
#[allow(dead_code)]
#[path = "../../../../crates/muster/src/evaluate/manifests.rs"]
mod manifests;
#[allow(dead_code)]
#[path = "../../../../crates/muster/src/evaluate/ranking.rs"]
mod ranking;
#[allow(dead_code)]
#[path = "../../../../crates/muster/src/evaluate/table.rs"]
mod table;

use judge::Judge;
use muster_framework::rules::KubeMinor;
use muster_sim::Source;
use std::io::BufReader;

/// Judges what it holds.
pub fn run(bytes: &[u8]) {
    // By the length, so that an input is nothing but the file.
    let minor = match bytes.len() % 2 {
        0 => KubeMinor::V1_35,
        _ => KubeMinor::V1_37,
    };
    let mut judge = Judge::new(minor, Some(1), None).expect("the default configuration can be read");
    if cases::is_case(bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()) {
        let mut answers = Vec::new();
        cases::answer_all(&mut judge, &[], &mut BufReader::new(bytes), &mut answers).expect("nothing breaks off");
        let lines = bytes.split(|byte| *byte == b'\n');
        let asked = lines.filter(|line| !line.trim_ascii().is_empty()).count();
        let answers = String::from_utf8(answers).expect("answers are text");
        assert_eq!(answers.lines().count(), asked, "one answer a case");
        return;
    }
    let Ok(text) = String::from_utf8(bytes.to_vec()) else {
        return;
    };
    let source = Source {
        name: "fuzz".to_owned(),
        text,
    };
    if let Ok(judged) = manifests::judge_all(&mut judge, source, None) {
        for pod in &judged.pods {
            table::table(&pod.name, &pod.evaluation, true);
        }
    }
}
