//! Traces at play: numbers of the report, and the page.

use muster_framework::rules::KubeMinor;
use muster_sim::{BadLines, Source, Trace, TraceReport, TraceRun, Waits, page};
use std::path::Path;

fn source(name: &str, text: &str) -> Source {
    Source {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\na,8000,16384,2,P100\nb,8000,16384,0,\n";
/// Two GPUs in all; the gang takes both for 100 s, `late` needs one of them meanwhile, and `never` a model that is not there.
const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time,scheduled_time,gang,gang_min_count
g-0,1000,1024,1,1000,,0,100,0,g,2
g-1,1000,1024,1,1000,,0,100,0,g,2
late,1000,1024,1,1000,P100,50,150,100,,
plain,4000,1024,0,0,,10,20,10,,
never,1000,1024,1,500,V100|T4,60,70,60,,
";

fn played(nodes: &str, pods: &str) -> TraceReport {
    let trace = Trace::load(&source("nodes", nodes), &source("pods", pods), BadLines::Refuse).expect("a trace");
    let settings = muster_config::Configuration::default().engine_settings(KubeMinor::default());
    TraceRun::new(&trace, settings, Some(7)).run(|_| {})
}

#[test]
fn a_trace_is_played_and_measured() {
    let report = played(NODES, PODS);
    assert_eq!((report.nodes, report.pods, report.bound, report.waiting), (2, 5, 4, 1));
    let at = |seconds: f64| {
        let later = report.samples.iter().find(|sample| sample.at >= seconds);
        *later.expect("it lasts longer")
    };
    // Both GPUs of the cluster are the gang's; then one is late's.
    assert_eq!((at(20.0).gpu, at(120.0).gpu), (1.0, 0.5));
    assert_eq!((at(5.0).cpu, at(15.0).cpu), (2.0 / 16.0, 6.0 / 16.0));
    assert_eq!((at(40.0).queue, at(80.0).queue, at(120.0).queue), (0, 2, 1));
    let [single, gang] = &report.waits[..] else {
        panic!("{:?}", report.waits)
    };
    assert_eq!((gang.gang_size, gang.pods, gang.waiting), (2, 2, 0));
    assert_eq!((single.gang_size, single.pods, single.waiting), (1, 3, 1));
    // It came at 50 s and got its place when the gang ended.
    assert!((50.0..60.0).contains(&single.max), "{single:?}");
    assert_eq!(played(NODES, PODS), report, "the same again");
}

/// Tags that are closed in order, and attributes in quotes: enough to say that the page is well-formed XML but for its first
/// line.
fn check_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a page");
    while let Some(begin) = rest.find('<') {
        assert!(
            !rest[..begin].contains('>'),
            "a stray > before {:?}",
            &rest[begin..begin + 20]
        );
        let end = begin + rest[begin..].find('>').expect("a tag ends");
        let tag = &rest[begin + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_is_well_formed_and_has_the_numbers() {
    let report = played(NODES, PODS);
    let page = page(&report, "a <trace> & \"more\"");
    check_well_formed(&page);
    assert!(page.contains("<h1>a &lt;trace&gt; &amp; &quot;more&quot;</h1>"));
    assert!(page.contains("5 pods on 2 nodes") && page.contains("4 got a node, 1 wait in the end"));
    assert_eq!(
        page.matches("<polyline").count(),
        5,
        "three of utilisation, queue, fragmentation"
    );
    for foreign in ["<script", "http", "url(", "@import"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // As many points as samples, and the last at the right end.
    let first = page
        .split("points=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    assert_eq!(first.split(' ').count(), report.samples.len());
    assert!(first.split(' ').next_back().unwrap().starts_with("712.0,"), "{first}");
}

#[test]
fn a_trace_without_gpus_speaks_of_cores() {
    let report = played(
        "sn,cpu_milli,memory_mib,gpu,model\na,1000,1024,0,\nb,1000,1024,0,\n",
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli\nx,600,1,0,0\ny,600,1,0,0\nz,600,1,0,0\n",
    );
    assert_eq!((report.fragmentation_of, report.waiting), ("cpu", 1));
    // 400 thousandths are free on each node, and nobody can use them.
    assert_eq!(report.samples.last().map(|sample| sample.fragmentation), Some(1.0));
    check_well_formed(&page(&report, "cores"));
}

/// The first lines of a CSV file, below its header.
fn first_lines(whole: &Source, n: usize) -> Source {
    let lines = whole.text.split_inclusive('\n').take(n + 1);
    source(&whole.name, &lines.collect::<String>())
}

/// Plays a trace without bad lines, and holds what its report says against the trace and against itself.
fn checked(nodes: &Source, pods: &Source) -> TraceReport {
    let report = played(&nodes.text, &pods.text);
    let rows = |source: &Source| source.text.lines().count() - 1;
    assert_eq!(
        (report.nodes, report.pods, report.skipped_lines),
        (rows(nodes), rows(pods), 0)
    );
    assert_eq!(report.bound + report.waiting, report.pods, "each has a node or waits");
    let sum = |count: fn(&Waits) -> usize| report.waits.iter().map(count).sum::<usize>();
    assert_eq!(
        (sum(|waits| waits.pods), sum(|waits| waits.waiting)),
        (report.pods, report.waiting)
    );
    let with_reason: usize = report.reasons.iter().map(|(_, pods)| pods).sum();
    assert_eq!(with_reason, report.waiting, "{:?}", report.reasons);
    for waits in &report.waits {
        let ascending = [0.0, waits.p50, waits.p90, waits.p99, waits.max];
        assert!(ascending.is_sorted(), "{waits:?}");
    }
    assert!(report.samples.is_sorted_by(|sample, next| sample.at < next.at));
    for sample in &report.samples {
        let shares = [sample.cpu, sample.memory, sample.gpu, sample.fragmentation];
        let is_share = |share: &f64| (0.0..1.000_001).contains(share);
        assert!(shares.iter().all(is_share), "{sample:?}");
        assert!(sample.queue <= report.pods, "{sample:?}");
    }
    assert!(report.samples.iter().any(|sample| sample.cpu > 0.0), "nothing ran");
    check_well_formed(&page(&report, "a trace"));
    report
}

fn read(path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    source(&path.display().to_string(), &text)
}

#[test]
fn the_example_is_played_in_part_and_as_a_whole() {
    let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples"));
    let [nodes, pods] = ["trace-nodes.csv", "trace-pods.csv"].map(|name| read(&examples.join(name)));
    let whole = checked(&nodes, &pods);
    assert_eq!((whole.nodes, whole.waiting), (20, 1), "the last one fits nowhere");
    let part = checked(&first_lines(&nodes, 4), &first_lines(&pods, 12));
    assert_eq!((part.nodes, part.pods), (4, 12));
}

/// Of public traces so many pods are played, on so many nodes and on all.
const PODS_PLAYED: usize = 300;
const NODES_PLAYED: usize = 50;

/// Reads the public traces where somebody has put them, and plays a part of each: `MUSTER_TRACES` names the folder.
#[test]
#[ignore = "needs the public traces in the folder that MUSTER_TRACES names"]
fn public_traces_are_read_and_played_in_part() {
    let folder = std::env::var("MUSTER_TRACES").expect("MUSTER_TRACES names a folder");
    let read = |name: &str| read(&Path::new(&folder).join(name));
    let nodes = read("openb/openb_node_list_all_node.csv");
    let spot = read("spot-gpu/node_info_df.csv");
    for (name, n_pods) in [
        ("openb_pod_list_default.csv", 8152),
        ("openb_pod_list_multigpu30.csv", 8508),
    ] {
        let pods = read(&format!("openb/{name}"));
        let trace = Trace::load(&nodes, &pods, BadLines::Refuse).unwrap();
        assert_eq!(trace.pods(), n_pods, "{name}");
        Trace::load(&spot, &pods, BadLines::Refuse).unwrap();

        let pods = first_lines(&pods, PODS_PLAYED);
        let few = first_lines(&nodes, NODES_PLAYED);
        let on_few = checked(&few, &pods);
        assert!(on_few.bound > 0, "{name}: nobody got a node");
        assert_eq!(checked(&few, &pods), on_few, "{name}: the same again");
        let on_all = checked(&nodes, &pods);
        assert!(on_few.bound <= on_all.bound, "{name}: fewer on more nodes");
        checked(&first_lines(&spot, NODES_PLAYED), &pods);
    }
}
