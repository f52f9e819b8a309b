//! NodeAffinity, TaintToleration, NodeUnschedulable, NodeName, NodePorts, NodeDeclaredFeatures, ImageLocality.

use crate::scene::{MINORS, Scene, asking, node};
use muster_framework::Text;
use muster_framework::record::{HostPort, NodeImage, NodeRecord, PodSpec, Protocol};
use muster_framework::rules::KubeMinor;
use muster_framework::selector::{NodeSelectorTerm, Operator, PreferredTerm, Requirement};
use muster_framework::taint::{Taint, TaintEffect, Toleration, TolerationOperator};
use muster_plugins::args::PluginArgs;

fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement {
        key: key.into(),
        operator,
        values: values.iter().map(|v| Text::from(*v)).collect(),
    }
}

fn in_zone(zone: &str) -> NodeSelectorTerm {
    NodeSelectorTerm {
        match_expressions: Box::new([requirement("zone", Operator::In, &[zone])]),
        match_fields: Box::default(),
    }
}

fn named(picks: &[&[&str]]) -> NodeSelectorTerm {
    NodeSelectorTerm {
        match_expressions: Box::default(),
        match_fields: picks
            .iter()
            .map(|names| requirement("metadata.name", Operator::In, names))
            .collect(),
    }
}

fn requiring(terms: impl IntoIterator<Item = NodeSelectorTerm>) -> PodSpec {
    PodSpec {
        node_affinity: Some(terms.into_iter().collect()),
        ..PodSpec::default()
    }
}

fn zoned(name: &str, zone: &str) -> NodeRecord {
    NodeRecord {
        labels: [("zone", zone)].into_iter().collect(),
        ..node(name)
    }
}

fn affinity_scene() -> Scene {
    Scene::new("NodeAffinity", KubeMinor::V1_37)
        .node(zoned("a", "1"), [])
        .node(zoned("b", "2"), [])
        .node(node("c"), [])
}

#[test]
fn node_affinity_requires() {
    let no = "UAU node(s) didn't match Pod's node affinity/selector";
    let empty = NodeSelectorTerm::default;
    for (spec, expected) in [
        (PodSpec::default(), "skip".to_owned()),
        (requiring([in_zone("1")]), format!("ok; {no}; {no}")),
        (requiring([in_zone("1"), in_zone("2")]), format!("ok; ok; {no}")),
        // No term matches nothing, and neither does an empty one.
        (requiring([]), format!("{no}; {no}; {no}")),
        (requiring([empty()]), format!("{no}; {no}; {no}")),
        (requiring([empty(), in_zone("2")]), format!("{no}; ok; {no}")),
        // Names narrow the choice when every term has some.
        (requiring([named(&[&["a"]])]), format!("only a; ok; {no}; {no}")),
        (requiring([named(&[&["a"]]), in_zone("2")]), format!("ok; ok; {no}")),
        (
            requiring([named(&[&["a"]]), named(&[&["z"]])]),
            format!("only a z; ok; {no}; {no}"),
        ),
        (
            requiring([named(&[&["a"], &["b"]])]),
            "UAU pod affinity terms conflict".to_owned(),
        ),
        (
            requiring([named(&[&["a"], &["b"]]), named(&[&["c"]])]),
            format!("only c; {no}; {no}; ok"),
        ),
        // Several names in one requirement narrow, and yet match nothing.
        (
            requiring([named(&[&["a", "b"]])]),
            format!("only a b; {no}; {no}; {no}"),
        ),
    ] {
        assert_eq!(affinity_scene().filter(&spec), expected, "{:?}", spec.node_affinity);
    }
    let selected = PodSpec {
        node_selector: [("zone", "2")].into_iter().collect(),
        ..requiring([named(&[&["b"]]), named(&[&["c"]])])
    };
    assert_eq!(affinity_scene().filter(&selected), format!("only b c; {no}; ok; {no}"));
}

#[test]
fn what_the_profile_requires_comes_first() {
    let mut args = PluginArgs::default();
    args.node_affinity.added_required = Some(Box::new([in_zone("1"), NodeSelectorTerm::default()]));
    let scene = affinity_scene().args(args);
    let enforced = "UAU node(s) didn't match scheduler-enforced node affinity";
    let no = "UAU node(s) didn't match Pod's node affinity/selector";
    assert_eq!(scene.filter(&PodSpec::default()), format!("ok; {enforced}; {enforced}"));
    assert_eq!(
        scene.filter(&requiring([in_zone("2")])),
        format!("{no}; {enforced}; {enforced}")
    );
}

#[test]
fn node_affinity_prefers() {
    let preferring = |terms: &[(i32, NodeSelectorTerm)]| PodSpec {
        preferred_node_affinity: terms
            .iter()
            .map(|(weight, term)| PreferredTerm {
                weight: *weight,
                term: term.clone(),
            })
            .collect(),
        ..PodSpec::default()
    };
    let scene = affinity_scene();
    assert_eq!(scene.scores(&PodSpec::default()), None);
    let both = preferring(&[(30, in_zone("1")), (20, in_zone("2")), (40, in_zone("2"))]);
    assert_eq!(scene.scores(&both), Some((vec![30, 60, 0], vec![50, 100, 0])));
    // An empty term prefers nothing, and yet the plugin is not skipped.
    let empty = preferring(&[(30, NodeSelectorTerm::default())]);
    assert_eq!(scene.scores(&empty), Some((vec![0, 0, 0], vec![0, 0, 0])));
    let mut args = PluginArgs::default();
    args.node_affinity.added_preferred = Box::new([PreferredTerm {
        weight: 3,
        term: in_zone("1"),
    }]);
    let scene = affinity_scene().args(args);
    assert_eq!(
        scene.scores(&PodSpec::default()),
        Some((vec![3, 0, 0], vec![100, 0, 0]))
    );
    assert_eq!(scene.scores(&both), Some((vec![33, 60, 0], vec![55, 100, 0])));
}

fn taint(key: &str, effect: TaintEffect) -> Taint {
    Taint {
        key: key.into(),
        value: "".into(),
        effect,
    }
}

fn tolerating(key: &str, effect: Option<TaintEffect>) -> PodSpec {
    PodSpec {
        tolerations: Box::new([Toleration {
            key: key.into(),
            operator: TolerationOperator::Exists,
            value: "".into(),
            effect,
        }]),
        ..PodSpec::default()
    }
}

#[test]
fn taints() {
    use TaintEffect::{NoExecute, NoSchedule, PreferNoSchedule};
    let tainted = |name: &str, taints: &[(&str, TaintEffect)]| NodeRecord {
        taints: taints.iter().map(|(key, effect)| taint(key, *effect)).collect(),
        ..node(name)
    };
    let no = "UAU node(s) had untolerated taint(s)";
    for minor in MINORS {
        let scene = Scene::new("TaintToleration", minor)
            .node(node("a"), [])
            .node(tainted("b", &[("x", NoSchedule), ("y", PreferNoSchedule)]), [])
            .node(tainted("c", &[("x", NoExecute)]), [])
            .node(tainted("d", &[("x", PreferNoSchedule), ("y", PreferNoSchedule)]), []);
        assert_eq!(
            scene.filter(&PodSpec::default()),
            format!("ok; {no}; {no}; ok"),
            "{minor}"
        );
        assert_eq!(
            scene.filter(&tolerating("x", Some(NoSchedule))),
            format!("ok; ok; {no}; ok")
        );
        assert_eq!(scene.filter(&tolerating("", None)), "ok; ok; ok; ok");
        // The score is never skipped, and looks at tolerations of soft taints only.
        let all = |raw: [i64; 4], scores: [i64; 4]| Some((raw.to_vec(), scores.to_vec()));
        assert_eq!(scene.scores(&PodSpec::default()), all([0, 1, 0, 2], [100, 50, 100, 0]));
        assert_eq!(
            scene.scores(&tolerating("x", Some(NoSchedule))),
            all([0, 1, 0, 2], [100, 50, 100, 0])
        );
        assert_eq!(
            scene.scores(&tolerating("x", Some(PreferNoSchedule))),
            all([0, 1, 0, 1], [100, 0, 100, 0])
        );
        assert_eq!(scene.scores(&tolerating("", None)), all([0; 4], [100; 4]));
    }
}

#[test]
fn cordons() {
    let cordoned = NodeRecord {
        unschedulable: true,
        ..node("b")
    };
    let scene = Scene::new("NodeUnschedulable", KubeMinor::V1_35)
        .node(node("a"), [])
        .node(cordoned, []);
    let key = "node.kubernetes.io/unschedulable";
    let no = "ok; UAU node(s) were unschedulable";
    assert_eq!(scene.filter(&PodSpec::default()), no);
    assert_eq!(scene.filter(&tolerating(key, Some(TaintEffect::NoSchedule))), "ok; ok");
    assert_eq!(scene.filter(&tolerating(key, Some(TaintEffect::NoExecute))), no);
    assert_eq!(scene.filter(&tolerating("", None)), "ok; ok");
}

#[test]
fn node_names() {
    let on = |name: &str| PodSpec {
        node_name: Some(name.into()),
        ..PodSpec::default()
    };
    let no = "UAU node(s) didn't match the requested node name";
    for (minor, narrows) in [
        (KubeMinor::V1_35, ""),
        (KubeMinor::V1_36, ""),
        (KubeMinor::V1_37, "only b; "),
    ] {
        let scene = Scene::new("NodeName", minor).node(node("a"), []).node(node("b"), []);
        assert_eq!(scene.filter(&PodSpec::default()), "skip");
        assert_eq!(scene.filter(&on("b")), format!("{narrows}{no}; ok"));
        assert_eq!(
            scene.filter(&on("z")),
            format!("{}{no}; {no}", narrows.replace('b', "z"))
        );
    }
}

#[test]
fn host_ports() {
    let using = |ports: &[(&str, Protocol, u16)]| PodSpec {
        host_ports: ports
            .iter()
            .map(|(ip, protocol, port)| HostPort {
                ip: (*ip).into(),
                protocol: *protocol,
                port: *port,
            })
            .collect(),
        ..PodSpec::default()
    };
    use Protocol::{Tcp, Udp};
    let scene = Scene::new("NodePorts", KubeMinor::V1_37)
        .node(
            node("a"),
            [using(&[("0.0.0.0", Tcp, 80)]), using(&[("0.0.0.0", Udp, 90)])],
        )
        .node(node("b"), [using(&[("10.0.0.1", Tcp, 80)])])
        .node(node("c"), []);
    let no = "U node(s) didn't have free ports for the requested pod ports";
    for (spec, expected) in [
        (using(&[]), "skip".to_owned()),
        (using(&[("0.0.0.0", Tcp, 80)]), format!("{no}; {no}; ok")),
        (using(&[("10.0.0.2", Tcp, 80)]), format!("{no}; ok; ok")),
        (using(&[("10.0.0.1", Tcp, 80)]), format!("{no}; {no}; ok")),
        (using(&[("0.0.0.0", Udp, 80)]), "ok; ok; ok".to_owned()),
        (
            using(&[("0.0.0.0", Tcp, 81), ("0.0.0.0", Udp, 90)]),
            format!("{no}; ok; ok"),
        ),
    ] {
        assert_eq!(scene.filter(&spec), expected, "{:?}", spec.host_ports);
    }
}

#[test]
fn declared_features() {
    let declaring = |name: &str, features: &[&str]| NodeRecord {
        declared_features: features.iter().map(|f| Text::from(*f)).collect(),
        ..node(name)
    };
    let needing = |features: &[&str]| PodSpec {
        required_features: features.iter().map(|f| Text::from(*f)).collect(),
        ..PodSpec::default()
    };
    let scene = |minor| {
        Scene::new("NodeDeclaredFeatures", minor)
            .node(declaring("a", &["A", "B"]), [])
            .node(declaring("b", &["B"]), [])
            .node(node("c"), [])
    };
    let no = "UAU node(s) didn't match Pod's required features";
    for minor in [KubeMinor::V1_36, KubeMinor::V1_37] {
        assert_eq!(scene(minor).filter(&needing(&[])), "skip");
        assert_eq!(scene(minor).filter(&needing(&["B"])), format!("ok; ok; {no}"));
        assert_eq!(scene(minor).filter(&needing(&["A", "B"])), format!("ok; {no}; {no}"));
    }
    assert_eq!(scene(KubeMinor::V1_35).filter(&needing(&["A"])), "skip");
}

#[test]
fn images() {
    const MIB: i64 = 1 << 20;
    let having = |name: &str, images: &[(&str, i64)]| NodeRecord {
        images: images
            .iter()
            .map(|(name, size)| NodeImage {
                names: Box::new([Text::from(*name)]),
                size: size * MIB,
            })
            .collect(),
        ..node(name)
    };
    let scene = |minor| {
        Scene::new("ImageLocality", minor)
            .node(having("a", &[("x:1", 1000), ("y:1", 400)]), [])
            .node(having("b", &[("x:1", 7)]), [])
            .node(node("c"), [])
            .node(having("d", &[("y:1", 400), ("z:1", 90)]), [])
    };
    let running = |images: &[&str], volumes: &[&str]| PodSpec {
        images: images.iter().map(|i| Text::from(*i)).collect(),
        volume_images: volumes.iter().map(|i| Text::from(*i)).collect(),
        ..PodSpec::default()
    };
    for minor in MINORS {
        // Half of the nodes have x, which is as large as its first node said: 500 of 1000 MiB count, less 23.
        assert_eq!(
            scene(minor).raw(&running(&["x:1"], &[])),
            Some(vec![48, 48, 0, 0]),
            "{minor}"
        );
        assert_eq!(
            scene(minor).raw(&running(&["x:1", "x:1"], &[])),
            Some(vec![49, 49, 0, 0])
        );
        assert_eq!(
            scene(minor).raw(&running(&["x:1", "y:1"], &[])),
            Some(vec![34, 24, 0, 8])
        );
        // A quarter of 90 MiB is less than counts.
        assert_eq!(scene(minor).raw(&running(&["z:1"], &[])), Some(vec![0, 0, 0, 0]));
        assert_eq!(scene(minor).raw(&asking(Default::default())), Some(vec![0, 0, 0, 0]));
    }
    // Images of volumes: overlooked, then looked for, then counted, too.
    let spec = running(&["x:1"], &["y:1"]);
    assert_eq!(scene(KubeMinor::V1_35).raw(&spec), Some(vec![48, 48, 0, 0]));
    assert_eq!(scene(KubeMinor::V1_36).raw(&spec), Some(vec![69, 48, 0, 18]));
    assert_eq!(scene(KubeMinor::V1_37).raw(&spec), Some(vec![34, 24, 0, 8]));
}
