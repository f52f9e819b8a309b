//! The CSV files of `muster simulate --trace`, nodes and pods with a line of dashes between them. What was read can be played.

use crate::text_of;
use muster_config::Configuration;
use muster_framework::rules::KubeMinor;
use muster_sim::{BadLines, Source, Trace, TraceRun, page};

/// A run takes some milliseconds: longer traces than this are only read.
const PODS_MAX: usize = 30;

/// Reads them in both ways, and plays what was read.
pub fn run(bytes: &[u8]) {
    let text = text_of(bytes);
    let (nodes, pods) = text.split_once("\n---\n").unwrap_or((text, ""));
    let source = |text: &str| Source {
        name: "fuzz".to_owned(),
        text: text.to_owned(),
    };
    let (nodes, pods) = (source(nodes), source(pods));
    let skipping = Trace::load(&nodes, &pods, BadLines::Skip);
    match Trace::load(&nodes, &pods, BadLines::Refuse) {
        Ok(trace) => assert_eq!(
            skipping.as_ref(),
            Ok(&trace),
            "nothing is wrong, and something was skipped"
        ),
        Err(_) => assert!(skipping.as_ref().map_or(true, |trace| !trace.skipped.is_empty())),
    }
    if let Ok(trace) = skipping
        && trace.pods() <= PODS_MAX
    {
        let settings = Configuration::default().engine_settings(KubeMinor::default());
        let report = TraceRun::new(&trace, settings, Some(1)).run(|_| {});
        serde_json::to_string(&report).expect("a report can be written");
        page(&report, "fuzz");
    }
}
