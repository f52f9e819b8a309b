//! A cluster without a scheduler at work: where could this pod go, why not elsewhere, and why there rather than there.
//!
//! It judges with the very pipeline and state of the engine, keeping every verdict instead of counting them.

use crate::cluster::Cluster;
use crate::input::Object;
use crate::pipeline::{Pipeline, ProfileOrd, ScoreWitness};
use crate::pods::{DefaultSelection, Pod, PodId, Report};
use crate::time::Time;
use muster_framework::Text;
use muster_framework::node_set::NodeSet;
use muster_framework::record::{PodPhase, PodRecord};
use muster_framework::rejection::{Code, NodeRejection, PodRejection};
use muster_framework::rules::KubeMinor;
use muster_framework::table::NodeTable;
use muster_framework::view::{Delta, View};
use muster_plugins::ProfileSpec;
use std::collections::BTreeMap;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginScore {
    /// The plugin.
    pub plugin: &'static str,
    /// Before normalising.
    pub raw: i64,
    /// Normalised, times the plugin's weight.
    pub weighted: i64,
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
    /// The scores of every node that can take the pod, in the order of the profile.
    pub scores: BTreeMap<Text, Vec<PluginScore>>,
    /// The node that the engine would choose.
    pub choice: Option<Text>,
}

/// A cluster to ask questions about.
#[derive(Debug)]
pub struct Scene {
    cluster: Cluster,
    pipeline: Pipeline,
}

impl Scene {
    /// An empty cluster that is judged by `profiles`, by the rules of `minor`; `seed` breaks ties, as the engine's.
    pub fn new(profiles: &[ProfileSpec], minor: KubeMinor, seed: u64) -> Scene {
        let mut cluster = Cluster::new();
        let pipeline = Pipeline::new(profiles, minor, seed, &mut cluster.table).with_details();
        Scene { cluster, pipeline }
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
            Object::Workload(_) => {}
        }
    }

    fn add_pod(&mut self, mut record: PodRecord) -> PodId {
        let shape = self.cluster.acquire_shape(&mut record);
        let node = record.node_name.clone();
        let id = self.cluster.pods.insert(Pod {
            record,
            shape,
            group: None,
            place: None,
            gone: false,
            seen: 0,
            report: Report::default(),
            write_after: Time::ZERO,
            default_selection: DefaultSelection::default(),
        });
        match node {
            Some(node) => self.cluster.place(id, &node, None),
            None => self.cluster.index_nomination(id),
        }
        id
    }

    /// Judges a pod, which is not among those that were put in, by the profile that it names, or else by the first.
    pub fn evaluate(&mut self, record: PodRecord) -> Evaluation {
        let profile = self.pipeline.profile_of(&record.scheduler_name);
        let Some(profile) = profile.or_else(|| self.pipeline.first_profile()) else {
            return Evaluation::default();
        };
        if let Some((plugin, reason)) = self.pipeline.held_by(profile, &record) {
            return Evaluation {
                pre_enqueue: Some(Verdict {
                    code: Code::UnschedulableAndUnresolvable,
                    plugin,
                    reasons: vec![reason.to_string()],
                    before_filter: true,
                }),
                ..Evaluation::default()
            };
        }
        let id = self.add_pod(record);
        self.cluster.compile(id);
        self.cluster.compile_nominated(id);
        let evaluation = self.judge(profile, id).unwrap_or_default();
        self.cluster.forget(id);
        evaluation
    }

    fn judge(&mut self, profile: ProfileOrd, id: PodId) -> Option<Evaluation> {
        let Scene { cluster, pipeline } = self;
        let pod = cluster.to_place(id)?;
        let delta = Delta::default();
        let table = &cluster.table;
        let view = View::new(table, &delta);
        pipeline.filter(profile, &pod, &view, &cluster.nominated_to_place(id));
        let rejections = pipeline.rejections();
        if let Some(rejection) = rejections.of_pod() {
            return Some(Evaluation {
                pre_filter: Some(of_pod(table, rejection)),
                ..Evaluation::default()
            });
        }
        let names = |nodes: &NodeSet| nodes.iter().map(|node| table.name(node).clone()).collect::<Vec<Text>>();
        let mut evaluation = Evaluation {
            narrowed: rejections.narrowed().map(|nodes| {
                let mut names = names(nodes);
                names.sort();
                names
            }),
            ..Evaluation::default()
        };
        let rejected = rejections.details().iter();
        evaluation.nodes = rejected
            .map(|r| (table.name(r.node).clone(), Some(of_node(table, r))))
            .collect();
        let feasible = pipeline.feasible().clone();
        evaluation
            .nodes
            .extend(names(&feasible).into_iter().map(|name| (name, None)));
        if feasible.is_empty() {
            return Some(evaluation);
        }
        let mut witness = Witness {
            table,
            scores: names(&feasible).into_iter().map(|name| (name, Vec::new())).collect(),
        };
        pipeline.score(profile, &pod, &view, &mut witness);
        evaluation.scores = witness.scores;
        evaluation.choice = pipeline.best(&pod, &view).map(|node| table.name(node).clone());
        Some(evaluation)
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

/// Writes down every score.
struct Witness<'a> {
    table: &'a NodeTable,
    scores: BTreeMap<Text, Vec<PluginScore>>,
}

impl ScoreWitness for Witness<'_> {
    fn raw(&mut self, plugin: &'static str, nodes: &NodeSet, scores: &[i64]) {
        for node in nodes.iter() {
            if let Some(row) = self.scores.get_mut(self.table.name(node)) {
                let raw = scores[node.index()];
                row.push(PluginScore {
                    plugin,
                    raw,
                    weighted: raw,
                });
            }
        }
    }

    fn normalized(&mut self, _: &'static str, weight: i64, nodes: &NodeSet, scores: &[i64]) {
        for node in nodes.iter() {
            if let Some(last) = self
                .scores
                .get_mut(self.table.name(node))
                .and_then(|row| row.last_mut())
            {
                last.weighted = scores[node.index()] * weight;
            }
        }
    }
}
