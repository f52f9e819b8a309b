//! What happens in a history: twins and gangs come, and all that verdicts depend on changes.

use crate::cluster::{
    DISK, HOSTNAME, PREFERRED, REQUIRED, SSD, copied, decoded_as, profile_name, set_label, spec_with, take_terms,
};
use crate::world::World;
use muster_engine::Object;
use muster_framework::Text;
use muster_framework::group::{GroupLink, GroupPolicy, GroupTerms};
use muster_framework::record::{Kind, NodeImage, NodeRecord, PodRecord, WorkloadRecord};
use muster_framework::rules::KubeMinor;
use muster_framework::taint::{Taint, TaintEffect};
use muster_oracle::Dice;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Pods that there may be, besides two for each node.
const MOST_PODS: usize = 80;
/// Pods that may wait: those that find no place are tried again and again, and would be all that is decided.
const MOST_WAITING: usize = 16;
/// The scheduler of pods that are none of ours.
const RIVAL: &str = "rival";

type Act = fn(&mut World, &mut Dice);

/// What can happen, with how often it does.
const ACTS: [(usize, Act); 18] = [
    (36, twins_come),
    (12, a_gang_comes),
    (8, pods_go),
    (5, a_rival_binds),
    (4, a_rival_names_the_twins),
    (4, a_nodes_label_changes),
    (4, a_node_is_chosen_or_not_any_more),
    (3, a_nodes_taints_change),
    (3, a_nodes_room_changes),
    (7, a_nodes_images_change),
    (3, a_node_is_cordoned),
    (3, a_node_goes),
    (3, a_node_comes),
    (5, a_namespace_is_labelled),
    (3, a_service_comes_or_goes),
    (3, a_pod_is_relabelled),
    (3, a_pod_is_resized),
    (5, time_passes),
];

/// Lets something happen.
pub(crate) fn act(world: &mut World, dice: &mut Dice) {
    let all = ACTS.iter().map(|(often, _)| often).sum();
    let mut at = dice.below(all);
    for (often, act) in ACTS {
        if at < often {
            act(world, dice);
            break;
        }
        at -= often;
    }
    while let Some(pod) = waiting_beyond(world, dice) {
        world.delete_pod(&pod);
    }
    while world.pods.len() > MOST_PODS + 2 * world.nodes.len() {
        pods_go(world, dice);
    }
}

/// One of the pods that wait, if these are too many.
fn waiting_beyond(world: &World, dice: &mut Dice) -> Option<Text> {
    let waiting = world.pods.values().filter(|pod| pod.node_name.is_none());
    let waiting: Vec<&Text> = waiting.map(|pod| &pod.uid).collect();
    (waiting.len() > MOST_WAITING).then(|| waiting[dice.below(waiting.len())].clone())
}

// ---- pods come ---------------------------------------------------------------------------------------------------

fn twins_come(world: &mut World, dice: &mut Dice) {
    let only = dice.percent(40).then(|| any_template(world, dice));
    for _ in 0..dice.range(2..=14) {
        let template = only.unwrap_or_else(|| any_template(world, dice));
        let pod = twin(world, template, dice);
        world.put_pod(pod);
        // Some are tried before the next one comes.
        if dice.percent(30) {
            world.poll(1, dice);
        }
    }
}

/// A template; the last one, which is hopeless, more rarely.
fn any_template(world: &World, dice: &mut Dice) -> usize {
    let all = world.templates.len();
    if dice.percent(8) { all - 1 } else { dice.below(all - 1) }
}

/// A pod of a template, with a name of its own, and often a label that nobody looks at.
fn twin(world: &mut World, template: usize, dice: &mut Dice) -> PodRecord {
    world.made += 1;
    let name = format!("w{}", world.made);
    let mut pod = world.templates[template].clone();
    pod.uid = format!("uid-{name}").into();
    if dice.percent(50) {
        set_label(&mut pod.labels, "index", Some(&name));
    }
    if dice.percent(30) {
        pod.spec = copied(&pod.spec);
    }
    pod.name = name.into();
    pod
}

fn a_gang_comes(world: &mut World, dice: &mut Dice) {
    let first = any_template(world, dice);
    let mut classes = vec![first];
    for _ in 0..dice.pick(&[0, 0, 1, 2]) {
        classes.push(any_template(world, dice));
    }
    // Members share a namespace, a profile and, for some minors, a priority.
    let (namespace, priority) = (
        world.templates[first].namespace.clone(),
        world.templates[first].priority,
    );
    world.made += 1;
    let name: Text = format!("g{}", world.made).into();
    let members = dice.range(2..=12);
    let min_count = dice.range(1..=members) as i32;
    let link = if dice.percent(50) {
        GroupLink::Labels { name }
    } else {
        let pod_group: Text = "workers".into();
        world.version += 1;
        world.apply(Object::Workload(WorkloadRecord {
            namespace: namespace.clone(),
            uid: format!("uid-{name}").into(),
            resource_version: world.version,
            pod_groups: vec![(pod_group.clone(), Ok(GroupPolicy::Gang { min_count }))],
            when_broken: None,
            name: name.clone(),
        }));
        GroupLink::Workload {
            workload: name,
            pod_group,
            replica_key: "".into(),
        }
    };
    let terms = matches!(link, GroupLink::Labels { .. }).then_some(GroupTerms {
        policy: Ok(GroupPolicy::Gang { min_count }),
        when_broken: None,
    });
    for member in 0..members {
        let class = classes[member % classes.len()];
        if class != first {
            world.mixed.entry(first).or_default().insert(class);
        }
        let mut pod = twin(world, class, dice);
        pod.scheduler_name = profile_name(first);
        (pod.namespace, pod.priority) = (namespace.clone(), priority);
        pod.group = Some(link.clone());
        pod.group_terms = terms.clone();
        world.put_pod(pod);
    }
    world.look_at_features();
    // Now and then something happens while it is planned.
    if dice.percent(30) {
        world.poll(dice.range(1..=3), dice);
    }
}

/// A pod of some template that somebody else has put on a node.
fn of_rival(world: &mut World, dice: &mut Dice) -> Option<PodRecord> {
    let template = dice.below(world.templates.len());
    let mut pod = of_rival_like(world, template, dice)?;
    // In any namespace: selectors of namespaces count it then or do not.
    if dice.percent(50) {
        let namespaces = namespaces(world);
        pod.namespace = namespaces[dice.below(namespaces.len())].clone();
    }
    Some(pod)
}

/// A pod of this template that somebody else has put on a node.
fn of_rival_like(world: &mut World, template: usize, dice: &mut Dice) -> Option<PodRecord> {
    if world.nodes.is_empty() {
        return None;
    }
    let node = world.nodes[dice.below(world.nodes.len())].name.clone();
    let mut pod = twin(world, template, dice);
    pod.scheduler_name = RIVAL.into();
    pod.node_name = Some(node);
    Some(pod)
}

/// The namespaces that have an object, and those of the templates.
fn namespaces(world: &World) -> Vec<Text> {
    let names = world.others.iter().filter_map(|object| match object {
        Object::Namespace(namespace) => Some(namespace.name.clone()),
        _ => None,
    });
    let of_templates = world.templates.iter().map(|template| template.namespace.clone());
    names.chain(of_templates).collect()
}

fn a_rival_binds(world: &mut World, dice: &mut Dice) {
    for _ in 0..dice.range(1..=3) {
        if let Some(pod) = of_rival(world, dice) {
            world.put_pod(pod);
        }
    }
}

/// A placed pod whose terms speak of a template's pods, by keys that may be new.
fn a_rival_names_the_twins(world: &mut World, dice: &mut Dice) {
    let Some(mut pod) = of_rival(world, dice) else { return };
    let named = &world.templates[dice.below(world.templates.len())];
    let labels: Map<String, Value> = named
        .labels
        .iter()
        .map(|(key, value)| (key.to_string(), json!(&**value)))
        .collect();
    let key = dice.pick(&["topology.kubernetes.io/zone", HOSTNAME, "rack", "new.example.com/row"]);
    let term = json!({
        "topologyKey": key, "labelSelector": {"matchLabels": labels}, "namespaces": [&*named.namespace],
    });
    let kind = dice.pick(&["podAffinity", "podAntiAffinity"]);
    let terms = match dice.percent(50) {
        true => json!({REQUIRED: [term]}),
        false => json!({PREFERRED: [{"weight": dice.range(1..=100), "podAffinityTerm": term}]}),
    };
    let said = spec_with("default", json!({"affinity": {kind: terms}}));
    take_terms(Arc::make_mut(&mut pod.spec), &said);
    world.put_pod(pod);
}

// ---- pods go and change ------------------------------------------------------------------------------------------

/// The pod at a random place; None where there is none.
fn any_pod(world: &World, dice: &mut Dice, is_meant: impl Fn(&PodRecord) -> bool) -> Option<PodRecord> {
    let all: Vec<&PodRecord> = world.pods.values().filter(|pod| is_meant(pod)).collect();
    (!all.is_empty()).then(|| all[dice.below(all.len())].clone())
}

fn pods_go(world: &mut World, dice: &mut Dice) {
    let many = dice.percent(10);
    for _ in 0..dice.range(1..=if many { 40 } else { 5 }) {
        if let Some(pod) = any_pod(world, dice, |_| true) {
            world.delete_pod(&pod.uid);
        }
    }
}

fn a_pod_is_relabelled(world: &mut World, dice: &mut Dice) {
    if let Some(mut pod) = any_pod(world, dice, |_| true) {
        let value = dice.pick(&["web", "db", ""]);
        set_label(&mut pod.labels, "app", Some(value).filter(|_| dice.percent(80)));
        world.put_pod(pod);
    }
}

fn a_pod_is_resized(world: &mut World, dice: &mut Dice) {
    if let Some(mut pod) = any_pod(world, dice, |pod| pod.node_name.is_some()) {
        pod.charge.requests.milli_cpu = dice.pick(&[0, 100, 1000, 3000]);
        pod.charge.scoring_milli_cpu = pod.charge.requests.milli_cpu.max(100);
        pod.generation += 1;
        world.put_pod(pod);
    }
}

// ---- nodes -------------------------------------------------------------------------------------------------------

/// Changes a random node.
fn change_node(world: &mut World, dice: &mut Dice, change: impl FnOnce(&mut NodeRecord, &mut Dice)) {
    if !world.nodes.is_empty() {
        let mut node = world.nodes[dice.below(world.nodes.len())].clone();
        change(&mut node, dice);
        world.put_node(node);
    }
}

fn a_nodes_label_changes(world: &mut World, dice: &mut Dice) {
    change_node(world, dice, |node, dice| {
        let (key, values) = dice.pick(&[
            ("topology.kubernetes.io/zone", &["z1", "z2", "z3", "z4"][..]),
            ("rack", &["k1", "k2", "k9", "k61"]),
            (DISK, &[SSD, "hdd", ""]),
            ("new.example.com/row", &["r1", "r2", ""]),
            (HOSTNAME, &["n1", "elsewhere"]),
        ]);
        let value = Some(dice.pick(values)).filter(|_| dice.percent(85));
        set_label(&mut node.labels, key, value);
    });
}

/// A node gets or loses the label by which pods choose it; mostly one that holds such pods, which count no more then.
fn a_node_is_chosen_or_not_any_more(world: &mut World, dice: &mut Dice) {
    let chose = any_pod(world, dice, |pod| {
        pod.node_name.is_some() && pod.spec.node_selector.iter().next().is_some()
    });
    let held = chose.and_then(|pod| pod.node_name).filter(|_| dice.percent(75));
    let held = held.and_then(|name| world.nodes.iter().find(|node| node.name == name));
    let any = || (!world.nodes.is_empty()).then(|| &world.nodes[dice.below(world.nodes.len())]);
    let Some(mut node) = held.or_else(any).cloned() else {
        return;
    };
    let is_chosen = node.labels.get(DISK).is_some_and(|value| &**value == SSD);
    set_label(&mut node.labels, DISK, Some(if is_chosen { "hdd" } else { SSD }));
    world.put_node(node);
}

fn a_nodes_taints_change(world: &mut World, dice: &mut Dice) {
    change_node(world, dice, |node, dice| {
        node.taints.clear();
        let effects = [
            TaintEffect::NoSchedule,
            TaintEffect::PreferNoSchedule,
            TaintEffect::PreferNoSchedule,
        ];
        for value in dice.some(&["a", "b"], 40) {
            node.taints.push(Taint {
                key: "dedicated".into(),
                value: value.into(),
                effect: dice.pick(&effects),
            });
        }
    });
}

fn a_nodes_room_changes(world: &mut World, dice: &mut Dice) {
    change_node(world, dice, |node, dice| {
        node.allocatable.milli_cpu = dice.pick(&[0, 1000, 4000, 16_000]);
        node.allowed_pods = dice.pick(&[3, 20, 110]);
        if dice.percent(25) {
            let name = dice.pick(&["example.com/gpu", "new.example.com/device"]);
            node.allocatable.scalars.retain(|(known, _)| &**known != name);
            node.allocatable.scalars.push((name.into(), dice.pick(&[0, 2, 8])));
        }
    });
}

fn a_nodes_images_change(world: &mut World, dice: &mut Dice) {
    // An image that some pods want.
    let wanted = &world.templates[dice.below(world.templates.len())].spec.images;
    let name = wanted.first().cloned().unwrap_or_else(|| "app:latest".into());
    change_node(world, dice, |node, dice| {
        let mut images = node.images.to_vec();
        if images.iter().any(|image| image.names.contains(&name)) {
            images.retain(|image| !image.names.contains(&name));
        } else {
            images.push(NodeImage {
                names: Box::new([name]),
                size: dice.pick(&[24 << 20, 400 << 20, 900 << 20]),
            });
        }
        node.images = images.into();
    });
}

fn a_node_is_cordoned(world: &mut World, dice: &mut Dice) {
    change_node(world, dice, |node, _| node.unschedulable = !node.unschedulable);
}

/// Sometimes its pods go first, sometimes later; and often it, or another one like it, comes again.
fn a_node_goes(world: &mut World, dice: &mut Dice) {
    if world.nodes.len() < 2 {
        return;
    }
    let node = world.nodes.remove(dice.below(world.nodes.len()));
    let on_it = world
        .pods
        .values()
        .filter(|pod| pod.node_name.as_ref() == Some(&node.name));
    let on_it: Vec<Text> = on_it.map(|pod| pod.uid.clone()).collect();
    let pods_first = dice.percent(50);
    if pods_first {
        on_it.iter().for_each(|uid| world.delete_pod(uid));
    }
    world.delete(Kind::Node, "", &node.name, "");
    if dice.percent(50) {
        world.poll(dice.range(0..=4), dice);
    }
    match dice.below(10) {
        0..=3 => world.put_node(node),
        4..=6 => put_under_another_name(world, node),
        _ if !pods_first => on_it.iter().for_each(|uid| world.delete_pod(uid)),
        _ => {}
    }
}

fn put_under_another_name(world: &mut World, mut node: NodeRecord) {
    world.made += 1;
    let name = format!("new{}", world.made);
    set_label(&mut node.labels, HOSTNAME, Some(&name));
    node.name = name.into();
    world.put_node(node);
}

fn a_node_comes(world: &mut World, dice: &mut Dice) {
    if world.nodes.is_empty() || world.nodes.len() > 170 {
        return;
    }
    let model = world.nodes[dice.below(world.nodes.len())].clone();
    put_under_another_name(world, model);
}

// ---- the rest ----------------------------------------------------------------------------------------------------

fn a_namespace_is_labelled(world: &mut World, dice: &mut Dice) {
    let namespaces = world.others.iter().filter_map(|object| match object {
        Object::Namespace(namespace) => Some(namespace.clone()),
        _ => None,
    });
    let mut namespaces: Vec<_> = namespaces.collect();
    if namespaces.is_empty() {
        return;
    }
    let mut namespace = namespaces.swap_remove(dice.below(namespaces.len()));
    let counting = any_that_reads_namespaces(world, dice).filter(|_| dice.percent(60));
    if let Some(template) = counting {
        for _ in 0..dice.range(1..=4) {
            if let Some(mut pod) = of_rival_like(world, template, dice) {
                pod.namespace = namespace.name.clone();
                world.put_pod(pod);
            }
        }
        twins_are_tried(world, template, dice);
    }
    let (key, values) = dice.pick(&[("team", &["a", "b"][..]), ("env", &["prod", ""])]);
    let value = Some(dice.pick(values)).filter(|_| dice.percent(70));
    set_label(&mut namespace.labels, key, value);
    world.version += 1;
    namespace.resource_version = world.version;
    for object in &mut world.others {
        if let Object::Namespace(known) = object
            && known.name == namespace.name
        {
            *known = namespace.clone();
        }
    }
    world.apply(Object::Namespace(namespace));
    if let Some(template) = counting {
        twins_are_tried(world, template, dice);
    }
}

/// A template with terms that count pods by the labels of their namespaces.
fn any_that_reads_namespaces(world: &World, dice: &mut Dice) -> Option<usize> {
    let reads = |template: &PodRecord| {
        let (required, preferred) = (
            template.spec.affinity.iter().chain(&template.spec.anti_affinity),
            template
                .spec
                .preferred_affinity
                .iter()
                .chain(&template.spec.preferred_anti_affinity),
        );
        let mut terms = required.chain(preferred.map(|weighted| &weighted.term));
        terms.any(|term| term.namespaces.selector.is_some())
    };
    let all = world.templates.iter().enumerate();
    let reading: Vec<usize> = all.filter(|(_, pod)| reads(pod)).map(|(at, _)| at).collect();
    (!reading.is_empty()).then(|| reading[dice.below(reading.len())])
}

/// Twins come one after the other, and each is tried before the next one comes.
fn twins_are_tried(world: &mut World, template: usize, dice: &mut Dice) {
    for _ in 0..dice.range(2..=4) {
        let pod = twin(world, template, dice);
        world.put_pod(pod);
        world.poll(2, dice);
    }
}

fn a_service_comes_or_goes(world: &mut World, dice: &mut Dice) {
    if dice.percent(40) && !world.owners.is_empty() {
        let owner = world.owners.remove(dice.below(world.owners.len()));
        if let Object::SelectorOwner(owner) = owner {
            world.delete(owner.kind, &owner.namespace, &owner.name, "");
        }
        return;
    }
    let selected = &world.templates[dice.below(world.templates.len())];
    let labels: Vec<_> = selected.labels.iter().collect();
    if labels.is_empty() {
        return;
    }
    let (key, value) = labels[dice.below(labels.len())];
    world.made += 1;
    world.version += 1;
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": format!("s{}", world.made), "namespace": &*selected.namespace, "uid": format!("uid-s{}", world.made),
            "resourceVersion": world.version.to_string(),
        },
        "spec": {"selector": {&**key: &**value}},
    });
    let service = decoded_as(KubeMinor::V1_35, Kind::Service, &service);
    world.owners.push(service.clone());
    world.apply(service);
}

fn time_passes(world: &mut World, dice: &mut Dice) {
    let seconds = dice.pick(&[1, 2, 5, 11, 11, 61, 301]);
    world.wait(Duration::from_secs(seconds));
}
