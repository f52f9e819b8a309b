//! Soft spread constraints. Source: `scoring.go` of `pkg/scheduler/framework/plugins/podtopologyspread`.

use crate::scene::{Pod, Scene, hard, selector, soft};
use muster_framework::record::{PodSpec, SpreadConstraint};
use muster_plugins::args::PluginArgs;

const HOSTNAME: &str = "kubernetes.io/hostname";

fn scene() -> Scene {
    Scene::new("PodTopologySpread", PluginArgs::default())
}

fn web(spread: &[SpreadConstraint]) -> Pod {
    Pod::new(
        "app=web",
        PodSpec {
            spread: spread.into(),
            ..PodSpec::default()
        },
    )
}

/// A domain's pods weigh ln(domains + 2) each, and `maxSkew - 1` is added. Here ln 4 = 1.386: 2 pods give 2.77, 3 give 4.16.
#[test]
fn fewer_pods_in_the_domain_are_better() {
    let nodes = "
        a1: zone=a
        a2: zone=a
        b1: zone=b
        c1: rack=1
    ";
    for (skew, expected) in [
        (1, "a1:3→100 a2:3→100 b1:4→75 c1:0→0"),
        (4, "a1:6→100 a2:6→100 b1:7→85 c1:0→0"),
    ] {
        let scene = scene()
            .nodes(nodes)
            .pods("a1", 1, "app=web")
            .pods("a2", 1, "app=web")
            .pods("b1", 3, "app=web");
        let outcome = scene.judge(&web(&[soft("zone", "app=web", skew)]));
        assert_eq!((outcome.nodes.as_str(), outcome.scores.as_str()), ("", expected));
    }
}

#[test]
fn all_is_well_where_nothing_counts() {
    let scene = || scene().nodes("a1: zone=a\n b1: zone=b\n c1: rack=1");
    let outcome = scene().judge(&web(&[soft("zone", "app=web", 1)]));
    assert_eq!(outcome.scores, "a1:0→100 b1:0→100 c1:0→0");
    for spread in [vec![], vec![hard("zone", "app=web", 1)]] {
        assert_eq!(scene().judge(&web(&spread)).scores, "", "nothing to prefer");
    }
}

/// By hostname each node has its own pods, whatever the policies say, and as many domains count as nodes are scored.
#[test]
fn hostnames_are_counted_node_by_node() {
    let nodes = format!(
        "
        a: {HOSTNAME}=same
        b: {HOSTNAME}=same taint=t
        c: zone=z
        "
    );
    let scene = scene()
        .nodes(&nodes)
        .pods("a", 2, "app=web")
        .pods("b", 1, "app=web")
        .pods("c", 4, "app=web");
    let constraint = SpreadConstraint {
        honor_node_taints: true,
        ..soft(HOSTNAME, "app=web", 1)
    };
    assert_eq!(scene.judge(&web(&[constraint])).scores, "a:3→33 b:1→100 c:0→0");
}

/// Pods on nodes that may not count are left out by zone; pods on nodes that do not fit count all the same.
#[test]
fn nodes_that_do_not_fit_count() {
    let nodes = "
        a1: zone=a rack=1
        a2: zone=a
        b1: zone=b rack=1
        c1: zone=c rack=1 taint=t
    ";
    let scene = scene().nodes(nodes).pods("a2", 4, "app=web").pods("c1", 9, "app=web");
    let zone = SpreadConstraint {
        honor_node_taints: true,
        ..soft("zone", "app=web", 1)
    };
    let pod = web(&[hard("rack", "app=db", 1), zone]);
    let outcome = scene.judge(&pod);
    assert_eq!(outcome.nodes, "a1:ok a2:unlabelled b1:ok c1:ok");
    // Three domains hold nodes that fit: ln 5 · 4 = 6.4.
    assert_eq!(outcome.scores, "a1:6→0 b1:0→100 c1:0→100");
}

/// The constraints that upstream fills in score a node without a zone by its own pods, and take it for a zone, the same
/// as one whose name is empty.
#[test]
fn system_defaults_are_lenient() {
    let zone = "topology.kubernetes.io/zone";
    let nodes = format!(
        "
        a: {HOSTNAME}=a {zone}=a
        b: {HOSTNAME}=b {zone}=
        c: {HOSTNAME}=c
        "
    );
    let scene = || scene().nodes(&nodes).pods("a", 1, "app=web").pods("c", 2, "app=web");
    let owned = Pod {
        owners: selector("app=web"),
        ..web(&[])
    };
    // ln 5 = 1.61 by host and ln 4 = 1.39 by zone, with 2 and 4 for the skews of 3 and 5.
    assert_eq!(scene().judge(&owned).scores, "a:9→55 b:9→55 c:5→100");
    assert_eq!(
        scene().judge(&web(&[])).scores,
        "",
        "without an owner there is nothing to count"
    );
    let own = web(&[soft(HOSTNAME, "app=web", 3), soft(zone, "app=web", 5)]);
    // Without the lenience c stands aside, and two nodes are scored: ln 4 both by host and by zone.
    assert_eq!(scene().judge(&own).scores, "a:9→66 b:6→100 c:0→0");
}
