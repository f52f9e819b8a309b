//! Required affinity and anti-affinity. Source: `filtering.go` of `pkg/scheduler/framework/plugins/interpodaffinity`.

use crate::scene::{Pod, Scene, term, term_across};
use muster_framework::record::{PodAffinityTerm, PodSpec};
use muster_framework::rules::KubeMinor;
use muster_plugins::args::PluginArgs;

const NODES: &str = "
    a1: zone=a host=a1
    a2: zone=a host=a2
    b1: zone=b host=b1
    c1: host=c1
";

fn scene() -> Scene {
    Scene::new("InterPodAffinity", PluginArgs::default()).nodes(NODES)
}

fn near(labels: &str, terms: &[PodAffinityTerm]) -> Pod {
    Pod::new(
        labels,
        PodSpec {
            affinity: terms.into(),
            ..PodSpec::default()
        },
    )
}

fn apart(labels: &str, terms: &[PodAffinityTerm]) -> Pod {
    Pod::new(
        labels,
        PodSpec {
            anti_affinity: terms.into(),
            ..PodSpec::default()
        },
    )
}

#[test]
fn affinity_wants_the_domain_of_a_pod_that_all_terms_speak_of() {
    let (zone, host) = (term("zone", "app=db"), term("host", "app=db"));
    let main = term("host", "tier=main");
    for (terms, expected) in [
        (vec![zone.clone()], "a1:ok a2:ok b1:far c1:far"),
        (vec![host.clone()], "a1:ok a2:far b1:far c1:far"),
        (vec![zone.clone(), host], "a1:ok a2:far b1:far c1:far"),
        // One pod is meant by all terms, not one by each.
        (vec![zone, main], "a1:far a2:far b1:far c1:far"),
        (vec![term("rack", "app=db")], "a1:far a2:far b1:far c1:far"),
        (vec![term("zone", "-")], "a1:far a2:far b1:far c1:far"),
    ] {
        let scene = scene().pods("a1", 1, "app=db").pods("b1", 1, "tier=main");
        assert_eq!(scene.judge(&near("app=web", &terms)).nodes, expected, "{terms:?}");
    }
}

#[test]
fn the_first_of_its_kind_goes_where_the_keys_are() {
    let terms = [term("zone", "app=web"), term("host", "app")];
    let (anywhere, nowhere) = ("a1:ok a2:ok b1:ok c1:far", "a1:far a2:far b1:far c1:far");
    // It is not the first when there is another where one of the keys is; it may be when the other has none of them.
    assert_eq!(scene().judge(&near("app=web", &terms)).nodes, anywhere);
    assert_eq!(
        scene().judge(&near("app=db", &terms)).nodes,
        nowhere,
        "its terms do not speak of it"
    );
    assert_eq!(
        scene().pods("c1", 1, "app=web").judge(&near("app=web", &terms)).nodes,
        nowhere
    );
    let zone = &terms[..1];
    assert_eq!(
        scene().pods("c1", 1, "app=web").judge(&near("app=web", zone)).nodes,
        anywhere
    );
    let leaving = Pod {
        terminating: true,
        ..near("app=web", &[])
    };
    let scene = scene().pod("b1", leaving);
    assert_eq!(
        scene.judge(&near("app=web", zone)).nodes,
        "a1:far a2:far b1:ok c1:far",
        "who is leaving counts"
    );
}

#[test]
fn anti_affinity_bars_domains_in_both_directions() {
    let web_apart = |key: &str| apart("app=web", &[term(key, "app=web")]);
    let plain = Pod::new("app=web", PodSpec::default());
    for (placed, incoming, expected) in [
        (plain.clone(), web_apart("zone"), "a1:avoided a2:avoided b1:ok c1:ok"),
        (plain.clone(), web_apart("host"), "a1:avoided a2:ok b1:ok c1:ok"),
        (plain.clone(), web_apart("rack"), "a1:ok a2:ok b1:ok c1:ok"),
        (web_apart("zone"), plain.clone(), "a1:barred a2:barred b1:ok c1:ok"),
        (web_apart("zone"), web_apart("host"), "a1:avoided a2:barred b1:ok c1:ok"),
        // Nothing to judge: no term of the pod, and none of a placed pod that speaks of it.
        (plain.clone(), plain.clone(), ""),
        (web_apart("zone"), Pod::new("app=db", PodSpec::default()), ""),
        (web_apart("rack"), plain, ""),
    ] {
        assert_eq!(scene().pod("a1", placed).judge(&incoming).nodes, expected);
    }
}

#[test]
fn what_the_pod_needs_comes_before_what_it_avoids_and_what_bars_it() {
    let mut pod = near("app=web", &[term("zone", "app=db")]);
    pod.spec.anti_affinity = Box::new([term("host", "app=db")]);
    let scene = scene()
        .pods("a1", 1, "app=db")
        .pod("a2", apart("", &[term("zone", "app=web")]))
        .pod("b1", apart("", &[term("zone", "app=web")]));
    assert_eq!(scene.judge(&pod).nodes, "a1:avoided a2:barred b1:far c1:far");
}

/// Terms of the pod find namespaces that exist; before 1.37 a selector that no labels satisfy finds all. Terms of placed
/// pods read the labels of the pod's own namespace, and none where it has not been seen.
#[test]
fn namespaces_by_label() {
    let scene = |minor, namespace| {
        let placed = Pod {
            namespace: Some(namespace),
            ..Pod::new("app=db", PodSpec::default())
        };
        scene()
            .minor(minor)
            .namespace("red", "team=red")
            .namespace("bare", "")
            .pod("a1", placed)
    };
    let (found, not_found) = ("a1:avoided a2:avoided b1:ok c1:ok", "a1:ok a2:ok b1:ok c1:ok");
    for (selector, namespace, before, since) in [
        ("team=red", "red", found, found),
        ("team=red", "bare", not_found, not_found),
        ("team!=red", "red", found, not_found),
        ("team!=red", "bare", found, found),
        ("team!=red", "unseen", found, not_found),
        ("*", "unseen", found, found),
    ] {
        let pod = apart("app=web", &[term_across("zone", "app=db", selector)]);
        for (minor, expected) in [
            (KubeMinor::V1_35, before),
            (KubeMinor::V1_36, before),
            (KubeMinor::V1_37, since),
        ] {
            assert_eq!(
                scene(minor, namespace).judge(&pod).nodes,
                expected,
                "{minor} {selector} {namespace}"
            );
        }
    }
    for (selector, namespace, expected) in [
        ("team=red", "red", "a1:barred a2:barred b1:ok c1:ok"),
        ("team!=red", "red", ""),
        ("team!=red", "bare", "a1:barred a2:barred b1:ok c1:ok"),
        ("team!=red", "unseen", "a1:barred a2:barred b1:ok c1:ok"),
    ] {
        let placed = apart("", &[term_across("zone", "app=web", selector)]);
        let incoming = Pod {
            namespace: Some(namespace),
            ..Pod::new("app=web", PodSpec::default())
        };
        let scene = scene(KubeMinor::V1_37, "default").pod("a1", placed);
        assert_eq!(scene.judge(&incoming).nodes, expected, "{selector} {namespace}");
    }
}
