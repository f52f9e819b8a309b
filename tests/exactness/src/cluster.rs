//! The beginning of a history: a case of the oracle's generator as records, enlarged now and then, and its pods as templates
//! of twins.

use muster_api::decode_for;
use muster_api::paths::kind_of;
use muster_config::load_for_evaluation;
use muster_engine::{BatchSettings, Object, Settings};
use muster_framework::Text;
use muster_framework::labels::Labels;
use muster_framework::record::{Kind, NodeRecord, PodRecord, PodSpec};
use muster_framework::rules::KubeMinor;
use muster_oracle::{Case, Dice, generate};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What an empty file comes to.
const DEFAULT_CONFIGURATION: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
pub(crate) const HOSTNAME: &str = "kubernetes.io/hostname";
/// A label of nodes by which pods choose them.
pub(crate) const DISK: &str = "disk";
pub(crate) const SSD: &str = "ssd";
/// In a large cluster there are so many racks.
const RACKS: usize = 60;

/// Everything there is at the beginning.
pub(crate) struct Cluster {
    pub(crate) settings: Settings,
    pub(crate) nodes: Vec<NodeRecord>,
    pub(crate) placed: Vec<PodRecord>,
    /// Namespaces and storage.
    pub(crate) others: Vec<Object>,
    /// Services and controllers.
    pub(crate) owners: Vec<Object>,
    /// Pods that twins are made of. Each answers to a profile of its own, all alike, so that what is counted by profile is
    /// counted by template.
    pub(crate) templates: Vec<PodRecord>,
}

impl Cluster {
    /// The beginning of the history of that number.
    ///
    /// # Panics
    /// The generator has made an object or a configuration that cannot be read.
    pub(crate) fn of(seed: u64, index: u64, minor: KubeMinor, batching: BatchSettings) -> Cluster {
        let mut dice = Dice::new(seed ^ 0x6261_7463_6865_7321, index);
        let case = generate(seed, index, u32::from(minor.0));
        let mut cluster = Cluster {
            settings: settings(&case, minor, batching),
            nodes: vec![],
            placed: vec![],
            others: vec![],
            owners: vec![],
            templates: vec![],
        };
        for object in &case.objects {
            match decoded(minor, object) {
                Object::Node(node) => cluster.nodes.push(node),
                Object::Pod(pod) => cluster.placed.push(*pod),
                owner @ Object::SelectorOwner(_) => cluster.owners.push(owner),
                other => cluster.others.push(other),
            }
        }
        let Object::Pod(pod) = decoded_as(minor, Kind::Pod, &case.pod) else {
            panic!("the pod of a case is a pod");
        };
        if cluster.nodes.is_empty() || dice.percent(18) {
            cluster.enlarge(&mut dice);
        }
        cluster.make_templates(*pod, &mut dice);
        // Whoever is promised a node makes the others take full passes: mostly nobody is.
        if dice.percent(90) {
            cluster.placed.retain(|pod| pod.node_name.is_some());
        }
        cluster
    }

    /// More nodes than fill a block, and more racks than are told apart one by one.
    fn enlarge(&mut self, dice: &mut Dice) {
        let models = self.nodes.clone();
        if models.is_empty() {
            return;
        }
        for number in 0..dice.range(70..=150) {
            let model = &models[dice.below(models.len())];
            let name = format!("m{number}");
            let mut node = NodeRecord {
                name: name.as_str().into(),
                ..model.clone()
            };
            set_label(&mut node.labels, HOSTNAME, Some(&name));
            let rack = format!("k{}", dice.below(RACKS));
            set_label(&mut node.labels, "rack", Some(&rack));
            self.nodes.push(node);
        }
    }

    fn make_templates(&mut self, pod: PodRecord, dice: &mut Dice) {
        let mut templates = vec![pod];
        for _ in 0..dice.range(2..=3) {
            if !self.placed.is_empty() {
                templates.push(self.placed[dice.below(self.placed.len())].clone());
            }
        }
        let mut hopeless = templates[dice.below(templates.len())].clone();
        Arc::make_mut(&mut hopeless.spec).charge.requests.milli_cpu = 1 << 40;
        hopeless.charge.requests.milli_cpu = 1 << 40;
        templates.push(hopeless);
        let profile = self.settings.profiles.remove(0);
        self.settings.profiles.clear();
        for (number, template) in templates.iter_mut().enumerate() {
            let mut profile = profile.clone();
            profile.scheduler_name = profile_name(number);
            self.settings.profiles.push(profile);
            become_template(template, number, dice);
            if dice.percent(if self.nodes.len() > RACKS { 80 } else { 35 }) {
                speak_of_itself(template, dice);
            }
        }
        if dice.percent(50) {
            self.choose_nodes(&mut templates, dice);
        }
        self.templates = templates;
    }

    /// Lets pods of templates that are to be spread go to some nodes only: the others do not count for them.
    fn choose_nodes(&mut self, templates: &mut [PodRecord], dice: &mut Dice) {
        let to_be_spread = templates.iter_mut().filter(|template| !template.spec.spread.is_empty());
        for template in to_be_spread {
            Arc::make_mut(&mut template.spec).node_selector = [(DISK, SSD)].into_iter().collect();
        }
        for node in &mut self.nodes {
            if dice.percent(80) {
                set_label(&mut node.labels, DISK, Some(SSD));
            }
        }
    }
}

/// The name of the profile that a template answers to.
pub(crate) fn profile_name(template: usize) -> Text {
    format!("template-{template}").into()
}

/// Takes away what ties the pod to a node, or keeps it from being tried.
fn become_template(pod: &mut PodRecord, number: usize, dice: &mut Dice) {
    pod.scheduler_name = profile_name(number);
    pod.node_name = None;
    pod.nominated_node_name = None;
    pod.terminating = false;
    pod.running = false;
    pod.scheduling_gates = Box::default();
    pod.condition = None;
    let spec = Arc::make_mut(&mut pod.spec);
    spec.node_name = None;
    // Volumes take full passes: some do.
    if dice.percent(90) {
        spec.volumes = Box::default();
    }
}

/// Gives the pod one more constraint or term, which selects its twins.
fn speak_of_itself(pod: &mut PodRecord, dice: &mut Dice) {
    let key = dice.pick(&["topology.kubernetes.io/zone", HOSTNAME, "rack", "rack"]);
    let labels: Map<String, Value> = pod.labels.iter().map(|(k, v)| (k.to_string(), json!(&**v))).collect();
    let mut term = json!({"topologyKey": key, "labelSelector": {"matchLabels": labels}});
    // Labels of namespaces change: then pods are counted anew.
    if dice.percent(40) {
        let by_team = json!({"matchLabels": {"team": dice.pick(&["a", "b"])}});
        let by_env = json!({"matchExpressions": [{"key": "env", "operator": "Exists"}]});
        term["namespaceSelector"] = if dice.percent(60) { by_team } else { by_env };
    }
    let spread = |action: &str| {
        let (skew, selector) = (1 + i32::from(key == "rack"), &term["labelSelector"]);
        let constraint = json!({
            "topologyKey": key, "labelSelector": selector, "maxSkew": skew, "whenUnsatisfiable": action,
        });
        json!({"topologySpreadConstraints": [constraint]})
    };
    let preferred = json!([{"weight": dice.range(1..=100), "podAffinityTerm": term}]);
    let (required, wanted) = (REQUIRED, PREFERRED);
    let fields = match dice.below(7) {
        0 => spread("DoNotSchedule"),
        1 | 2 => spread("ScheduleAnyway"),
        3 => json!({"affinity": {"podAffinity": {required: [term]}}}),
        4 => json!({"affinity": {"podAntiAffinity": {required: [term]}}}),
        5 => json!({"affinity": {"podAffinity": {wanted: preferred}}}),
        _ => json!({"affinity": {"podAntiAffinity": {wanted: preferred}}}),
    };
    let said = spec_with(&pod.namespace, fields);
    let spec = Arc::make_mut(&mut pod.spec);
    if said.spread.is_empty() {
        take_terms(spec, &said);
    } else {
        spec.spread = said.spread.clone();
    }
}

/// The lists of affinity terms, by what they are.
pub(crate) const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
pub(crate) const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The spec of a pod of that namespace with these fields.
pub(crate) fn spec_with(namespace: &str, fields: Value) -> Arc<PodSpec> {
    let mut spec = json!({"containers": [{"name": "c", "image": "app"}]});
    if let (Some(spec), Value::Object(fields)) = (spec.as_object_mut(), fields) {
        spec.extend(fields);
    }
    let metadata = json!({"name": "x", "namespace": namespace, "uid": "x"});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    match decoded_as(KubeMinor::V1_35, Kind::Pod, &pod) {
        Object::Pod(pod) => pod.spec.clone(),
        _ => panic!("a pod is a pod"),
    }
}

/// Makes the affinity terms of one spec those of the other.
pub(crate) fn take_terms(spec: &mut PodSpec, other: &PodSpec) {
    spec.affinity = other.affinity.clone();
    spec.anti_affinity = other.anti_affinity.clone();
    spec.preferred_affinity = other.preferred_affinity.clone();
    spec.preferred_anti_affinity = other.preferred_anti_affinity.clone();
}

fn settings(case: &Case, minor: KubeMinor, batching: BatchSettings) -> Settings {
    let text = case.config.as_ref().map(ToString::to_string);
    let configuration = load_for_evaluation(text.as_deref().unwrap_or(DEFAULT_CONFIGURATION));
    let configuration = configuration.unwrap_or_else(|error| panic!("case {}: {error}", case.id));
    Settings {
        extenders: vec![],
        batching,
        ..configuration.engine_settings(minor)
    }
}

fn decoded(minor: KubeMinor, object: &Value) -> Object {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let kind = kind_of(text("apiVersion"), text("kind"));
    decoded_as(
        minor,
        kind.unwrap_or_else(|| panic!("an unknown kind: {object}")),
        object,
    )
}

/// The object as its record.
///
/// # Panics
/// It cannot be read.
pub(crate) fn decoded_as(minor: KubeMinor, kind: Kind, object: &Value) -> Object {
    let decoded = decode_for(minor, kind, object.to_string().as_bytes());
    decoded.unwrap_or_else(|error| panic!("{object}: {}: {}", error.field, error.problem))
}

/// Gives a label another value, or takes it away.
pub(crate) fn set_label(labels: &mut Labels, key: &str, value: Option<&str>) {
    let others = labels.iter().filter(|(other, _)| &***other != key);
    let all = others.map(|(key, value)| (key.clone(), value.clone()));
    *labels = all.chain(value.map(|value| (key.into(), value.into()))).collect();
}

/// A spec that says the same and lies elsewhere.
pub(crate) fn copied(spec: &PodSpec) -> Arc<PodSpec> {
    Arc::new(spec.clone())
}
