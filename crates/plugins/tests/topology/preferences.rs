//! Preferred affinity and anti-affinity. Source: `scoring.go` of `pkg/scheduler/framework/plugins/interpodaffinity`.

use crate::scene::{Pod, Scene, term, weighted};
use muster_framework::record::PodSpec;
use muster_plugins::args::PluginArgs;

const NODES: &str = "
    a1: zone=a host=a1
    a2: zone=a host=a2
    b1: zone=b host=b1
    c1: host=c1
";

fn scene(hard_weight: i64, ignore_placed: bool) -> Scene {
    let mut args = PluginArgs::default();
    args.inter_pod_affinity.hard_pod_affinity_weight = hard_weight;
    args.inter_pod_affinity.ignore_preferred_terms_of_existing_pods = ignore_placed;
    Scene::new("InterPodAffinity", args).nodes(NODES)
}

fn prefers(labels: &str, weight: i32, key: &str, pods: &str) -> Pod {
    Pod::new(
        labels,
        PodSpec {
            preferred_affinity: Box::new([weighted(weight, term(key, pods))]),
            ..PodSpec::default()
        },
    )
}

fn dislikes(labels: &str, weight: i32, key: &str, pods: &str) -> Pod {
    Pod::new(
        labels,
        PodSpec {
            preferred_anti_affinity: Box::new([weighted(weight, term(key, pods))]),
            ..PodSpec::default()
        },
    )
}

#[test]
fn own_preferences_count_pods_by_domain() {
    let scene = || scene(1, false).pods("a1", 2, "app=db").pods("b1", 1, "app=db");
    for (pod, expected) in [
        (prefers("", 10, "zone", "app=db"), "a1:20→100 a2:20→100 b1:10→50 c1:0→0"),
        (prefers("", 3, "host", "app=db"), "a1:6→100 a2:0→0 b1:3→50 c1:0→0"),
        (
            dislikes("", 10, "zone", "app=db"),
            "a1:-20→0 a2:-20→0 b1:-10→50 c1:0→100",
        ),
        (prefers("", 10, "zone", "app=web"), ""),
        (prefers("", 10, "rack", "app=db"), ""),
        (prefers("", 10, "zone", "-"), ""),
    ] {
        assert_eq!(scene().judge(&pod).scores, expected, "{pod:?}");
    }
}

/// Shares are cut off: 1 of 3 is 33.3.
#[test]
fn shares_are_cut_off_and_equal_scores_get_nothing() {
    let thirds = scene(1, false)
        .pods("a1", 3, "app=db")
        .pods("a2", 1, "app=db")
        .pods("b1", 2, "app=db");
    assert_eq!(
        thirds.judge(&prefers("", 1, "host", "app=db")).scores,
        "a1:3→100 a2:1→33 b1:2→66 c1:0→0"
    );
    let one_zone = scene(1, false)
        .pods("a1", 1, "app=db")
        .pods("b1", 1, "app=db")
        .pods("c1", 1, "app=db")
        .pods("a2", 1, "app=db");
    assert_eq!(
        one_zone.judge(&prefers("", 1, "host", "app=db")).scores,
        "a1:1→0 a2:1→0 b1:1→0 c1:1→0"
    );
    // Preferences that cancel each other out are still there.
    let mut torn = prefers("", 5, "zone", "app=db");
    torn.spec.preferred_anti_affinity = Box::new([weighted(5, term("zone", "app=db"))]);
    let scene = scene(1, false).pods("a1", 1, "app=db");
    assert_eq!(scene.judge(&torn).scores, "a1:0→0 a2:0→0 b1:0→0 c1:0→0");
}

#[test]
fn terms_of_placed_pods_count_for_pods_that_they_speak_of() {
    let web = Pod::new("app=web", PodSpec::default());
    let needs_web = Pod::new(
        "",
        PodSpec {
            affinity: Box::new([term("zone", "app=web")]),
            ..PodSpec::default()
        },
    );
    let shuns_web = Pod::new(
        "",
        PodSpec {
            anti_affinity: Box::new([term("rack", "app=web")]),
            ..PodSpec::default()
        },
    );
    for (placed, hard_weight, expected) in [
        (prefers("", 7, "zone", "app=web"), 1, "a1:7→100 a2:7→100 b1:0→0 c1:0→0"),
        (
            dislikes("", 7, "host", "app=web"),
            1,
            "a1:-7→0 a2:0→100 b1:0→100 c1:0→100",
        ),
        (needs_web.clone(), 1, "a1:1→100 a2:1→100 b1:0→0 c1:0→0"),
        (needs_web.clone(), 50, "a1:50→100 a2:50→100 b1:0→0 c1:0→0"),
        (needs_web, 0, ""),
        (shuns_web, 1, ""),
        (prefers("", 7, "zone", "app=db"), 1, ""),
        (prefers("", 7, "rack", "app=web"), 1, ""),
    ] {
        assert_eq!(scene(hard_weight, false).pod("a1", placed).judge(&web).scores, expected);
    }
}

/// Told to ignore the preferences of placed pods, the plugin does so for pods that have none themselves.
#[test]
fn preferences_of_placed_pods_can_be_ignored() {
    let scene = || scene(1, true).pod("b1", prefers("app=db", 7, "zone", "app=web"));
    assert_eq!(scene().judge(&Pod::new("app=web", PodSpec::default())).scores, "");
    let cares = prefers("app=web", 1, "zone", "app=none");
    assert_eq!(scene().judge(&cares).scores, "a1:0→0 a2:0→0 b1:7→100 c1:0→0");
}
