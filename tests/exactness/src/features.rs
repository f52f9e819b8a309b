//! What a pod asks for that matters to verdicts, by name: a run counts how often each was decided by one.

use muster_engine::Object;
use muster_framework::record::{NodeRecord, PodAffinityTerm, PodRecord, SelectorOwnerRecord, WhenUnsatisfiable};
use muster_plugins::ProfileSpec;
use std::collections::BTreeSet;

/// In the order in which they are told.
pub(crate) const FEATURES: [&str; 26] = [
    "plain",
    "hard spread: zone",
    "hard spread: hostname",
    "hard spread: rack",
    "soft spread: zone",
    "soft spread: hostname",
    "soft spread: rack",
    "default spreading",
    "needs pods: zone",
    "needs pods: hostname",
    "needs pods: rack",
    "avoids pods: zone",
    "avoids pods: hostname",
    "avoids pods: rack",
    "prefers pods: zone",
    "prefers pods: hostname",
    "prefers pods: rack",
    "host ports",
    "tainted nodes",
    "required node affinity",
    "preferred node affinity",
    "images",
    "named by placed pods' terms",
    GANG,
    FINE_DOMAINS,
    SEVERAL_RACKS,
];

/// Decided while a gang was planned.
pub(crate) const GANG: &str = "gangs";
/// Counted by a key with more than 48 values.
const FINE_DOMAINS: &str = "more than 48 domains";
/// Counted by such a key, of which a value is on several nodes.
const SEVERAL_RACKS: &str = "the same, several nodes each";

/// What a cluster is like.
pub(crate) struct Surroundings<'a> {
    pub(crate) profile: &'a ProfileSpec,
    pub(crate) nodes: &'a [NodeRecord],
    pub(crate) owners: &'a [Object],
    pub(crate) placed: &'a [&'a PodRecord],
}

/// Which kind of key it is, as the names above say it.
fn key_class(key: &str) -> &'static str {
    match key {
        "kubernetes.io/hostname" => "hostname",
        key if key.starts_with("topology.kubernetes.io/") => "zone",
        _ => "rack",
    }
}

fn name(prefix: &str, key: &str) -> Option<&'static str> {
    let class = key_class(key);
    FEATURES.into_iter().find(|name| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.strip_prefix(": ") == Some(class))
    })
}

/// The features of a pod.
pub(crate) fn features(pod: &PodRecord, around: &Surroundings<'_>) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let filters = |plugin: &str| around.profile.filters.iter().any(|name| &**name == plugin);
    let scores = |plugin: &str| around.profile.scores.iter().any(|(name, _)| &**name == plugin);
    let mut keys: Vec<&str> = Vec::new();
    for constraint in &pod.spec.spread {
        let key = &*constraint.pods.topology_key;
        let (prefix, is_asked) = match constraint.when_unsatisfiable {
            WhenUnsatisfiable::DoNotSchedule => ("hard spread", filters("PodTopologySpread")),
            _ => ("soft spread", scores("PodTopologySpread")),
        };
        if is_asked {
            found.extend(name(prefix, key));
            keys.push(key);
        }
    }
    let required = [
        ("needs pods", &pod.spec.affinity),
        ("avoids pods", &pod.spec.anti_affinity),
    ];
    for (prefix, terms) in required.into_iter().filter(|_| filters("InterPodAffinity")) {
        found.extend(terms.iter().filter_map(|term| name(prefix, &term.topology_key)));
        keys.extend(terms.iter().map(|term| &*term.topology_key));
    }
    let preferred = pod
        .spec
        .preferred_affinity
        .iter()
        .chain(&pod.spec.preferred_anti_affinity);
    for weighted in preferred.filter(|_| scores("InterPodAffinity")) {
        found.extend(name("prefers pods", &weighted.term.topology_key));
        keys.push(&weighted.term.topology_key);
    }
    found.extend(fine(&keys, around.nodes));
    let others = [
        (
            "default spreading",
            scores("PodTopologySpread") && is_spread_by_default(pod, around),
        ),
        ("host ports", filters("NodePorts") && !pod.spec.host_ports.is_empty()),
        (
            "tainted nodes",
            filters("TaintToleration") && around.nodes.iter().any(|node| !node.taints.is_empty()),
        ),
        (
            "required node affinity",
            filters("NodeAffinity") && (pod.spec.node_affinity.is_some() || !pod.spec.node_selector.is_empty()),
        ),
        (
            "preferred node affinity",
            scores("NodeAffinity") && !pod.spec.preferred_node_affinity.is_empty(),
        ),
        ("images", scores("ImageLocality") && is_image_there(pod, around.nodes)),
        (
            "named by placed pods' terms",
            filters("InterPodAffinity") && is_named(pod, around.placed),
        ),
    ];
    found.extend(others.iter().filter(|(_, has)| *has).map(|(name, _)| *name));
    if found.is_empty() {
        found.insert("plain");
    }
    found
}

/// Keys with so many values that places are counts.
fn fine(keys: &[&str], nodes: &[NodeRecord]) -> Vec<&'static str> {
    let mut found = Vec::new();
    for key in keys {
        let with: Vec<_> = nodes.iter().filter_map(|node| node.labels.get(key)).collect();
        let values: BTreeSet<_> = with.iter().collect();
        if values.len() > 48 {
            found.push(FINE_DOMAINS);
            if key_class(key) != "hostname" && with.len() > values.len() + 20 {
                found.push(SEVERAL_RACKS);
            }
        }
    }
    found
}

fn is_spread_by_default(pod: &PodRecord, around: &Surroundings<'_>) -> bool {
    let selects = |owner: &SelectorOwnerRecord| {
        let selector = owner.selector.as_ref();
        let selector = selector.filter(|selector| !selector.requirements.is_empty());
        owner.namespace == pod.namespace && selector.is_some_and(|selector| selector.matches(&pod.labels))
    };
    let is_service = |object: &Object| match object {
        Object::SelectorOwner(owner) => owner.kind == muster_framework::record::Kind::Service && selects(owner),
        _ => false,
    };
    pod.spec.spread.is_empty() && around.owners.iter().any(is_service)
}

fn is_image_there(pod: &PodRecord, nodes: &[NodeRecord]) -> bool {
    let has = |name: &muster_framework::Text| {
        let images = nodes.iter().flat_map(|node| &node.images);
        images.flat_map(|image| &image.names).any(|there| there == name)
    };
    pod.spec.images.iter().any(has)
}

/// Whether a required anti-affinity term of a placed pod selects it.
fn is_named(pod: &PodRecord, placed: &[&PodRecord]) -> bool {
    let names = |term: &PodAffinityTerm| {
        let selects = term
            .selector
            .as_ref()
            .is_some_and(|selector| selector.matches(&pod.labels));
        selects && term.namespaces.names.contains(&pod.namespace)
    };
    placed.iter().any(|other| other.spec.anti_affinity.iter().any(names))
}
