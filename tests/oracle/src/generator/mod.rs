//! Random clusters and pods that press on the edges of the scheduler's rules.
//!
//! Clusters are small and their words few, so that names, labels, ports and topologies collide. Each case follows a few
//! *themes*, so that a pod often passes all but one filter; some cases mix all of them. Every object is as an API server
//! would store it: valid, and with the defaults that the scheduler looks at.

mod cluster;
mod configuration;
mod containers;
mod dice;
mod node_constraints;
mod node_facts;
mod pod_affinity;
mod spread;
mod volumes;

use serde_json::{Map, Value, json};

use crate::case::Case;
pub use dice::Dice;

/// What a case is mostly about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Theme {
    Resources,
    Resize,
    Taints,
    NodeAffinity,
    Ports,
    Spread,
    DefaultSpread,
    PodAffinity,
    Claims,
    VolumeLimits,
    InlineDisks,
    Images,
    DeclaredFeatures,
    Nominated,
    GatesAndNames,
}

/// All themes; what has more rules comes up more often.
const THEMES: [Theme; 21] = [
    Theme::Resources,
    Theme::Resize,
    Theme::Taints,
    Theme::NodeAffinity,
    Theme::Ports,
    Theme::Spread,
    Theme::DefaultSpread,
    Theme::PodAffinity,
    Theme::Claims,
    Theme::VolumeLimits,
    Theme::InlineDisks,
    Theme::Images,
    Theme::DeclaredFeatures,
    Theme::Nominated,
    Theme::GatesAndNames,
    Theme::NodeAffinity,
    Theme::Spread,
    Theme::PodAffinity,
    Theme::PodAffinity,
    Theme::Claims,
    Theme::Claims,
];

/// So many of the themes, from the first on, are different.
const DIFFERENT_THEMES: usize = 15;

/// A case in the making.
struct Draft {
    dice: Dice,
    /// The Kubernetes minor, the number after `1.`: a few fields are refused where their gate is off.
    minor: u32,
    nodes: Vec<Value>,
    /// Pods that run or are nominated.
    pods: Vec<Value>,
    others: Vec<Value>,
    pod: Value,
}

/// The case of that number for that Kubernetes minor (the number after `1.`): always the same.
pub fn generate(seed: u64, index: u64, minor: u32) -> Case {
    let mut dice = Dice::new(seed, index);
    let themes = themes(&mut dice);
    let mut draft = Draft {
        dice,
        minor,
        nodes: Vec::new(),
        pods: Vec::new(),
        others: Vec::new(),
        pod: Value::Null,
    };
    cluster::add_namespaces(&mut draft);
    cluster::add_nodes(&mut draft);
    cluster::add_pods(&mut draft, themes.contains(&Theme::Nominated));
    for theme in &themes {
        follow(*theme, &mut draft);
    }
    let config = configuration::configuration(&mut draft, &themes);
    let mut objects = draft.others;
    objects.extend(draft.nodes);
    objects.extend(draft.pods);
    Case {
        id: format!("{seed}-{index}"),
        objects,
        pod: draft.pod,
        config,
    }
    .as_stored()
}

/// One to three themes, and now and then all of them.
fn themes(dice: &mut Dice) -> Vec<Theme> {
    if dice.percent(6) {
        let mut all = THEMES.to_vec();
        all.truncate(DIFFERENT_THEMES);
        return all;
    }
    let mut themes = vec![dice.pick(&THEMES)];
    for _ in 0..2 {
        let another = dice.pick(&THEMES);
        if dice.percent(40) && !themes.contains(&another) {
            themes.push(another);
        }
    }
    themes
}

fn follow(theme: Theme, draft: &mut Draft) {
    match theme {
        Theme::Resources => containers::add_resources(draft),
        Theme::Resize => containers::add_resizes(draft),
        Theme::Taints => node_constraints::add_taints(draft),
        Theme::NodeAffinity => node_constraints::add_node_affinity(draft),
        Theme::Ports => node_facts::add_ports(draft),
        Theme::Spread => spread::add_constraints(draft),
        Theme::DefaultSpread => spread::add_owners(draft),
        Theme::PodAffinity => pod_affinity::add_pod_affinity(draft),
        Theme::Claims => volumes::add_claims(draft),
        Theme::VolumeLimits => volumes::add_limits(draft),
        Theme::InlineDisks => volumes::add_inline_disks(draft),
        Theme::Images => node_facts::add_images(draft),
        Theme::DeclaredFeatures => node_facts::add_declared_features(draft),
        Theme::Nominated => cluster::add_nominations(draft),
        Theme::GatesAndNames => node_facts::add_gates_and_names(draft),
    }
}

impl Draft {
    /// Changes each pod of the cluster in so many of a hundred throws, and the pod that wants a node always.
    fn each_pod(&mut self, of_hundred: usize, mut change: impl FnMut(&mut Dice, &mut Value)) {
        for pod in &mut self.pods {
            if self.dice.percent(of_hundred) {
                change(&mut self.dice, pod);
            }
        }
        change(&mut self.dice, &mut self.pod);
    }
}

/// The metadata that every stored object has.
fn metadata(name: &str, namespace: Option<&str>) -> Value {
    let mut metadata = json!({"name": name, "resourceVersion": "1"});
    let namespace_in_uid = namespace.unwrap_or("cluster");
    metadata["uid"] = json!(format!("uid-{namespace_in_uid}-{name}"));
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

/// A map of texts: labels, selectors, quantities.
fn text_map<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let map: Map<String, Value> = pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    Value::Object(map)
}

/// Appends to a list of the object, which begins with the first item.
fn append(object: &mut Value, list: &str, item: Value) {
    match object[list].as_array_mut() {
        Some(items) => items.push(item),
        None => object[list] = json!([item]),
    }
}

/// The text there, and an empty one where there is none.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
