//! Conversions of files of kube-scheduler, as their reader sees them: the file that comes out and the list.

use muster_config::{Place, convert, load};
use std::fmt::Write as _;

fn shown(text: &str, place: Place) -> String {
    let conversion = convert(text, place).unwrap_or_else(|error| panic!("{error}"));
    let again = load(&conversion.text).expect("what comes out");
    assert_eq!(again.scheduler_names().collect::<Vec<_>>(), {
        conversion.configuration.scheduler_names().collect::<Vec<_>>()
    });
    let mut out = conversion.text;
    out.push_str("\n-- findings --\n");
    for finding in &conversion.findings {
        let line = finding.line.map_or(String::new(), |line| format!(" (line {line})"));
        let (fate, note) = (finding.fate.as_str(), &finding.note);
        writeln!(out, "{fate}: {} = {}{line} {note}", finding.path, finding.value).expect("writing to a string");
    }
    out
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, text) });
}

/// The default file of upstream, as it is before anybody adapts it.
fn upstream() -> String {
    include_str!("upstream-default-1.37.yaml")
        .replace("leaderElect: false", "leaderElect: true")
        .replace("schedulerName: muster", "schedulerName: default-scheduler")
}

#[test]
fn the_default_file_beside() {
    snapshot("the_default_file_beside", &shown(&upstream(), Place::Beside));
}

#[test]
fn the_default_file_instead() {
    let shown = shown(&upstream(), Place::Instead);
    assert!(shown.contains("schedulerName: default-scheduler") && shown.contains("allowDefaultSchedulerName: true"));
    assert!(
        shown.contains("resourceName: kube-scheduler"),
        "the lease keeps the two apart"
    );
}

/// What scheduler-plugins users have, with plugins that Muster does not have, each in lists with neighbours.
#[test]
fn a_file_with_other_plugins() {
    snapshot(
        "a_file_with_other_plugins",
        &shown(
            "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
parallelism: 8
profiles:
- schedulerName: gang
  plugins:
    multiPoint:
      enabled:
      - name: Coscheduling
      - name: ImageLocality
        weight: 5
      disabled:
      - name: PrioritySort
      - name: NodePorts
      - name: CapacityScheduling
  pluginConfig:
  - name: Coscheduling
    args: {permitWaitingTimeSeconds: 10}
  - name: NodeResourcesFit
    args:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: NodeResourcesFitArgs
      scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 200}, {name: memory}]}
- schedulerName: default-scheduler
extenders:
- urlPrefix: nonsense
- urlPrefix: http://x
  filterVerb: filter
  preemptVerb: preempt
",
            Place::Beside,
        ),
    );
}

#[test]
fn what_is_no_configuration_is_refused() {
    for text in [
        "",
        "a: [",
        "apiVersion: v1\nkind: Pod\n",
        "kind: KubeSchedulerConfiguration\n",
    ] {
        assert!(convert(text, Place::Beside).is_err(), "{text}");
    }
}
