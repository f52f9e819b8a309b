//! Hard spread constraints. Source: `filtering.go` of `pkg/scheduler/framework/plugins/podtopologyspread`.

use crate::scene::{Pod, Scene, hard, labels, selector, soft};
use muster_framework::record::{PodSpec, SpreadConstraint};
use muster_framework::selector::{NodeSelectorTerm, Operator, Requirement};
use muster_framework::taint::{Toleration, TolerationOperator};
use muster_plugins::args::{DefaultConstraint, PluginArgs};

const NODES: &str = "
    a1: zone=a host=a1
    a2: zone=a host=a2
    b1: zone=b host=b1
    c1: host=c1
";

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

fn judge(scene: Scene, pod: &Pod) -> String {
    scene.judge(pod).nodes
}

#[test]
fn no_domain_may_be_fuller_than_the_emptiest_by_more_than_the_skew() {
    for (in_a, in_b, skew, expected) in [
        (0, 0, 1, "a1:ok a2:ok b1:ok c1:unlabelled"),
        (1, 0, 1, "a1:skewed a2:skewed b1:ok c1:unlabelled"),
        (1, 0, 2, "a1:ok a2:ok b1:ok c1:unlabelled"),
        (3, 2, 1, "a1:skewed a2:skewed b1:ok c1:unlabelled"),
        (1, 3, 2, "a1:ok a2:ok b1:skewed c1:unlabelled"),
    ] {
        let scene = scene()
            .nodes(NODES)
            .pods("a2", in_a, "app=web")
            .pods("b1", in_b, "app=web");
        assert_eq!(
            judge(scene, &web(&[hard("zone", "app=web", skew)])),
            expected,
            "{in_a} {in_b} {skew}"
        );
    }
}

#[test]
fn what_counts() {
    let other_namespace = Pod {
        namespace: Some("other"),
        ..web(&[])
    };
    let terminating = Pod {
        terminating: true,
        ..web(&[])
    };
    let balanced = "a1:ok a2:ok b1:ok c1:unlabelled";
    let skewed = "a1:skewed a2:skewed b1:ok c1:unlabelled";
    for (placed, pods, expected) in [
        (web(&[]), "app=web", skewed),
        (web(&[]), "app!=db", skewed),
        (web(&[]), "app", skewed),
        (other_namespace, "app=web", balanced),
        (terminating, "app=web", balanced),
        // A selector that states nothing counts nothing, and none selects nothing, not even the pod itself.
        (web(&[]), "*", balanced),
        (web(&[]), "-", balanced),
        // The pod itself does not count where it is not selected: then the domain may be as much fuller as the skew.
        (Pod::new("app=db", PodSpec::default()), "app=db", balanced),
    ] {
        let scene = scene().nodes(NODES).pod("a1", placed);
        assert_eq!(judge(scene, &web(&[hard("zone", pods, 1)])), expected, "{pods}");
    }
}

#[test]
fn too_few_domains_stand_for_an_empty_one() {
    for (min_domains, expected) in [
        (None, "a1:ok a2:ok b1:ok c1:unlabelled"),
        (Some(2), "a1:ok a2:ok b1:ok c1:unlabelled"),
        (Some(3), "a1:skewed a2:skewed b1:skewed c1:unlabelled"),
    ] {
        let scene = scene().nodes(NODES).pods("a1", 1, "app=web").pods("b1", 1, "app=web");
        let constraint = SpreadConstraint {
            min_domains,
            ..hard("zone", "app=web", 1)
        };
        assert_eq!(judge(scene, &web(&[constraint])), expected, "{min_domains:?}");
    }
}

/// A node that lacks one key of several does not count for any of them; it is judged by the constraints in their order.
#[test]
fn only_nodes_with_all_keys_count() {
    let nodes = "
        a1: zone=a rack=1
        b1: zone=b rack=1
        b2: zone=b
        c1: zone=c
        d1: rack=2
    ";
    let scene = || {
        scene()
            .nodes(nodes)
            .pods("a1", 1, "app=web")
            .pods("b2", 5, "app=web")
            .pods("d1", 5, "app=web")
    };
    let (zone, rack) = (hard("zone", "app=web", 1), hard("rack", "app=web", 5));
    assert_eq!(
        judge(scene(), &web(&[zone.clone(), rack.clone()])),
        "a1:skewed b1:ok b2:unlabelled c1:unlabelled d1:unlabelled"
    );
    // Rack 1 holds one pod, and is the only rack: d1 does not count.
    let full = SpreadConstraint {
        min_domains: Some(2),
        ..hard("rack", "app=web", 1)
    };
    assert_eq!(
        judge(scene(), &web(&[full, zone])),
        "a1:skewed b1:skewed b2:unlabelled c1:unlabelled d1:unlabelled"
    );
}

#[test]
fn nodes_that_the_pod_may_not_run_on_count_as_the_policies_say() {
    let nodes = "
        a1: zone=a disk=ssd
        b1: zone=b disk=ssd
        c1: zone=c disk=hdd
        d1: zone=d disk=ssd taint=gpu
    ";
    let scene = || scene().nodes(nodes).pods("a1", 1, "app=web").pods("b1", 1, "app=web");
    let on_ssd = NodeSelectorTerm {
        match_expressions: Box::new([Requirement {
            key: "disk".into(),
            operator: Operator::In,
            values: Box::new(["ssd".into()]),
        }]),
        match_fields: Box::default(),
    };
    let tolerates = Toleration {
        key: "gpu".into(),
        operator: TolerationOperator::Exists,
        value: "".into(),
        effect: None,
    };
    // Where c counts, or d, it is the emptiest domain.
    for (honor_affinity, honor_taints, tolerated, expected) in [
        (true, false, false, "a1:skewed b1:skewed c1:ok d1:ok"),
        (true, true, false, "a1:ok b1:ok c1:ok d1:ok"),
        (true, true, true, "a1:skewed b1:skewed c1:ok d1:ok"),
        (false, true, false, "a1:skewed b1:skewed c1:ok d1:ok"),
        (false, false, false, "a1:skewed b1:skewed c1:ok d1:ok"),
    ] {
        let constraint = SpreadConstraint {
            honor_node_affinity: honor_affinity,
            honor_node_taints: honor_taints,
            ..hard("zone", "app=web", 1)
        };
        let mut by_affinity = web(std::slice::from_ref(&constraint));
        by_affinity.spec.node_affinity = Some(Box::new([on_ssd.clone()]));
        let mut by_selector = web(&[constraint]);
        by_selector.spec.node_selector = labels("disk=ssd");
        for mut pod in [by_affinity, by_selector] {
            pod.spec.tolerations = tolerated.then(|| tolerates.clone()).into_iter().collect();
            assert_eq!(
                judge(scene(), &pod),
                expected,
                "{honor_affinity} {honor_taints} {tolerated}"
            );
        }
    }
}

#[test]
fn default_constraints_hold_for_pods_that_state_none_and_have_an_owner() {
    let mut args = PluginArgs::default();
    args.pod_topology_spread.system_defaulted = false;
    args.pod_topology_spread.default_constraints = vec![DefaultConstraint {
        max_skew: 1,
        topology_key: "zone".into(),
        when_unsatisfiable: hard("", "-", 1).when_unsatisfiable,
    }];
    let skewed = "a1:skewed a2:skewed b1:ok c1:unlabelled";
    let selects_another = "a1:ok a2:ok b1:ok c1:unlabelled";
    for (spread, owners, expected) in [
        (vec![], Some("app=web"), skewed),
        (vec![], None, ""),
        // The controller's selector need not select the pod.
        (vec![], Some("app=web tier=1"), selects_another),
        (vec![soft("zone", "app=web", 1)], Some("app=web"), ""),
        (vec![hard("host", "app=web", 1)], None, "a1:skewed a2:ok b1:ok c1:ok"),
    ] {
        let scene = Scene::new("PodTopologySpread", args.clone())
            .nodes(NODES)
            .pods("a1", 1, "app=web");
        let pod = Pod {
            owners: owners.and_then(selector),
            ..web(&spread)
        };
        assert_eq!(judge(scene, &pod), expected, "{owners:?}");
    }
}

#[test]
fn without_hard_constraints_there_is_nothing_to_judge() {
    for spread in [vec![], vec![soft("zone", "app=web", 1)]] {
        let scene = scene().nodes(NODES).pods("a1", 3, "app=web");
        assert_eq!(judge(scene, &web(&spread)), "");
    }
}
