//! A cluster without a scheduler at work: where could this pod go, why not elsewhere, and why there rather than there.
//!
//! It judges with the very pipeline and state of the engine, keeping every verdict instead of counting them.

use crate::cluster::Cluster;
use crate::diagnosis;
use crate::facts::PodFacts;
use crate::input::Object;
use crate::pipeline::{Pipeline, ProfileOrd, ScoreWitness};
use crate::pods::{DefaultSelection, LazyReport, Pod, PodId};
use crate::settings::BatchSettings;
use muster_framework::Text;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::PodToEnqueue;
use muster_framework::record::{PodPhase, PodRecord};
use muster_framework::rejection::{Code, NodeRejection, PodRejection};
use muster_framework::rules::KubeMinor;
use muster_framework::table::{NodeOrd, NodeTable};
use muster_framework::view::{Delta, View};
use muster_plugins::ProfileSpec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who refuses a pod that asks for what Muster cannot honour: no plugin of upstream's.
const MUSTER: &str = "Muster";

/// A verdict against a pod, or against one node for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How final it is.
    pub code: Code,
    /// The plugin that gives it; empty where several have narrowed the nodes together.
    pub plugin: &'static str,
    /// Everything that the plugin says, in upstream's words, sorted.
    pub reasons: Vec<String>,
    /// It was given before the node was judged.
    pub before_filter: bool,
}

/// What one plugin thinks of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginScore {
    /// The plugin.
    pub plugin: Text,
    /// Before normalising.
    pub raw: i64,
    /// Normalised, times the plugin's weight.
    pub weighted: i64,
}

/// What all plugins think of one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeScore {
    /// What they add up to: nodes are chosen by it.
    pub total: i64,
    /// Each of them that did not skip the pod, in the order of the profile.
    pub plugins: Vec<PluginScore>,
}

/// Everything that the pipeline says of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evaluation {
    /// What keeps it out of the queue: then nothing else is judged.
    pub pre_enqueue: Option<Verdict>,
    /// What rejects it whatever the node: then no node is judged.
    pub pre_filter: Option<Verdict>,
    /// The nodes that the choice was narrowed to before nodes were judged, sorted; some may not exist.
    pub narrowed: Option<Vec<Text>>,
    /// Every node that was judged, by name: None stands for a node that can take the pod.
    pub nodes: BTreeMap<Text, Option<Verdict>>,
    /// The scores of every node that can take the pod.
    pub scores: BTreeMap<Text, NodeScore>,
    /// The node that the engine would choose.
    pub choice: Option<Text>,
    /// What the condition of the pod would say if no node can take it.
    pub no_node: Option<String>,
}

/// A cluster to ask questions about.
#[derive(Debug)]
pub struct Scene {
    cluster: Cluster,
    pipeline: Pipeline,
    /// By profile, whether anything scores in it.
    scores: Vec<bool>,
}

impl Scene {
    /// An empty cluster that is judged by `profiles`, by the rules of `minor`; `seed` breaks ties, as the engine's.
    pub fn new(profiles: &[ProfileSpec], minor: KubeMinor, seed: u64) -> Scene {
        let mut cluster = Cluster::new();
        let pipeline =
            Pipeline::new(profiles, minor, seed, BatchSettings::default(), &mut cluster.table).with_details();
        let scores = profiles.iter().map(|spec| !spec.scores.is_empty()).collect();
        Scene {
            cluster,
            pipeline,
            scores,
        }
    }

    /// Puts an object in. Pods that name a node run there, others wait; what has finished is left out.
    pub fn apply(&mut self, object: Object) {
        match object {
            Object::Node(record) => {
                self.cluster.apply_node(&record);
            }
            Object::Pod(record) => {
                if record.phase == PodPhase::Active {
                    self.add_pod(*record);
                }
            }
            Object::Namespace(record) => {
                self.cluster.apply_namespace(record, 0);
            }
            Object::PriorityClass(record) => {
                let name = record.name.clone();
                self.cluster.priority_classes.apply(&name, 0, 0, record);
            }
            Object::SelectorOwner(record) => {
                self.cluster.apply_owner(record, 0);
            }
            Object::Storage(object) => {
                self.cluster.apply_storage(object, 0);
            }
            // Groups wait in the queue; nothing here judges them.
            Object::Workload(_) | Object::PodGroup(_) => {}
        }
    }

    fn add_pod(&mut self, record: PodRecord) -> PodId {
        let (mut record, _) = PodFacts::of(record);
        self.pipeline.drop_promise_of_held(&mut record);
        let shape = self.cluster.acquire_shape(&mut record);
        let node = record.node_name.clone();
        let id = self.cluster.pods.insert(Pod {
            record,
            shape,
            group: None,
            place: None,
            gone: false,
            seen: 0,
            report: LazyReport::default(),
            default_selection: DefaultSelection::default(),
        });
        match node {
            Some(node) => self.cluster.place(id, &node, None),
            None => self.cluster.index_nomination(id),
        }
        id
    }

    /// Judges a pod, which is not among those that were put in, by the profile that it names, or else by the first.
    pub fn evaluate(&mut self, mut record: PodRecord) -> Evaluation {
        let Some(profile) = self.profile_for(&record) else {
            return Evaluation::default();
        };
        if let Some(verdict) = self.held(&record) {
            return Evaluation {
                pre_enqueue: Some(verdict),
                ..Evaluation::default()
            };
        }
        // A pod that names its node asks for it here, as it would have if it had been there before the scheduler.
        if let Some(node) = record.node_name.take() {
            Arc::make_mut(&mut record.spec).node_name = Some(node);
        }
        let id = self.add_pod(record);
        self.cluster.compile(id);
        self.cluster.compile_nominated(id);
        let evaluation = self.judge(profile, id).unwrap_or_default();
        self.cluster.forget(id);
        evaluation
    }

    fn held_by_plugin(&self, record: &PodRecord) -> Option<(&'static str, Text)> {
        let to_enqueue = PodToEnqueue {
            scheduling_gates: &record.scheduling_gates,
        };
        self.pipeline.held_by(self.profile_for(record)?, &to_enqueue)
    }

    /// The profile that a pod names, or else the first.
    fn profile_for(&self, record: &PodRecord) -> Option<ProfileOrd> {
        let named = self.pipeline.profile_of(&record.scheduler_name);
        named.or_else(|| self.pipeline.first_profile())
    }

    /// What keeps a pod out of the queue: a plugin, or what Muster cannot honour.
    fn held(&self, record: &PodRecord) -> Option<Verdict> {
        let (plugin, reasons) = match self.held_by_plugin(record) {
            Some((plugin, reason)) => (plugin, vec![reason.to_string()]),
            None if record.spec.unsupported.is_empty() => return None,
            None => {
                let unsupported = record.spec.unsupported.iter();
                let mut reasons: Vec<String> = unsupported.map(|u| format!("{}: {}", u.field, u.problem)).collect();
                reasons.sort();
                (MUSTER, reasons)
            }
        };
        Some(Verdict {
            code: Code::UnschedulableAndUnresolvable,
            plugin,
            reasons,
            before_filter: true,
        })
    }

    fn judge(&mut self, profile: ProfileOrd, id: PodId) -> Option<Evaluation> {
        let Scene {
            cluster,
            pipeline,
            scores,
            ..
        } = self;
        let pod = cluster.to_place(id)?;
        let delta = Delta::default();
        let table = &cluster.table;
        let view = View::new(table, &delta);
        if table.live().is_empty() {
            // Upstream asks no plugin where there is no node.
            return Some(Evaluation {
                no_node: Some(diagnosis::no_node(table, pipeline.rejections())),
                ..Evaluation::default()
            });
        }
        pipeline.filter(profile, &pod, &view, &cluster.nominated_to_place(id, &[]));
        let mut evaluation = verdicts(table, pipeline);
        if !pipeline.feasible().is_empty() {
            let mut witness = Witness::new(table, pipeline.feasible());
            pipeline.score(profile, &pod, &view, &mut witness);
            evaluation.scores = witness.finish(scores[profile.index()]);
            evaluation.choice = pipeline.best(&pod, &view).map(|node| table.name(node).clone());
        }
        Some(evaluation)
    }
}

/// What the filters of the last pass said.
fn verdicts(table: &NodeTable, pipeline: &Pipeline) -> Evaluation {
    let rejections = pipeline.rejections();
    let feasible = pipeline.feasible();
    let no_node = feasible.is_empty().then(|| diagnosis::no_node(table, rejections));
    if let Some(rejection) = rejections.of_pod() {
        return Evaluation {
            pre_filter: Some(of_pod(table, rejection)),
            no_node,
            ..Evaluation::default()
        };
    }
    let rejected = rejections.details().iter();
    let rejected = rejected.map(|r| (table.name(r.node).clone(), Some(of_node(table, r))));
    let accepted = feasible.iter().map(|node| (table.name(node).clone(), None));
    Evaluation {
        narrowed: rejections.narrowed().map(|nodes| nodes.iter().cloned().collect()),
        nodes: rejected.chain(accepted).collect(),
        no_node,
        ..Evaluation::default()
    }
}

fn of_pod(table: &NodeTable, rejection: &PodRejection) -> Verdict {
    let mut reasons: Vec<String> = rejection.reasons.iter().map(|reason| reason.text(table)).collect();
    reasons.sort();
    Verdict {
        code: rejection.code,
        plugin: rejection.plugin,
        reasons,
        before_filter: true,
    }
}

fn of_node(table: &NodeTable, rejection: &NodeRejection) -> Verdict {
    let mut reasons: Vec<String> = rejection.reasons.iter().map(|reason| reason.text(table)).collect();
    reasons.sort();
    Verdict {
        code: rejection.code,
        plugin: if rejection.unjudged { "" } else { rejection.plugin },
        reasons,
        before_filter: rejection.unjudged,
    }
}

/// Writes down every score, by the ordinals of the nodes.
struct Witness<'a> {
    table: &'a NodeTable,
    nodes: Vec<NodeOrd>,
    /// Of each plugin: its name, and for each of `nodes` its raw and its weighted score.
    columns: Vec<(Text, Vec<(i64, i64)>)>,
}

impl<'a> Witness<'a> {
    fn new(table: &'a NodeTable, feasible: &NodeSet) -> Witness<'a> {
        Witness {
            table,
            nodes: feasible.iter().collect(),
            columns: Vec::new(),
        }
    }

    /// The rows of the columns. Where nothing scores, every node has 1. Source: `pkg/scheduler.prioritizeNodes`.
    fn finish(self, scored: bool) -> BTreeMap<Text, NodeScore> {
        let of_node = |(at, node): (usize, &NodeOrd)| {
            let score = |(plugin, column): &(Text, Vec<(i64, i64)>)| {
                let (raw, weighted) = column[at];
                PluginScore {
                    plugin: plugin.clone(),
                    raw,
                    weighted,
                }
            };
            let plugins: Vec<PluginScore> = self.columns.iter().map(score).collect();
            let total = plugins
                .iter()
                .fold(0, |sum: i64, score| sum.wrapping_add(score.weighted));
            let total = if scored { total } else { 1 };
            (self.table.name(*node).clone(), NodeScore { total, plugins })
        };
        self.nodes.iter().enumerate().map(of_node).collect()
    }
}

impl ScoreWitness for Witness<'_> {
    fn raw(&mut self, plugin: &'static str, _: &NodeSet, scores: &[i64]) {
        let raw = self.nodes.iter().map(|node| (scores[node.index()], 0));
        self.columns.push((plugin.into(), raw.collect()));
    }

    fn normalized(&mut self, _: &'static str, weight: i64, _: &NodeSet, scores: &[i64]) {
        if let Some((_, column)) = self.columns.last_mut() {
            for ((_, weighted), node) in column.iter_mut().zip(&self.nodes) {
                *weighted = scores[node.index()].wrapping_mul(weight);
            }
        }
    }
}
