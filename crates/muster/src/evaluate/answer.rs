//! What a machine is told: one JSON object for each pod that was judged, with the fields of docs/evaluate.md.

use muster_engine::{Evaluation, NodeScore, Verdict};
use muster_framework::Text;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

/// An answer: to the case of an id, or about a pod of that name.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'a> {
    id: Id<'a>,
    #[serde(rename = "preenqueue")]
    pre_enqueue: Option<Refusal<'a>>,
    #[serde(rename = "prefilter")]
    pre_filter: Option<Refusal<'a>>,
    #[serde(rename = "prefilterNodes")]
    pre_filter_nodes: Option<&'a [Text]>,
    nodes: Nodes<'a>,
    /// Scores cannot fail here; upstream's can.
    scoring: Option<Refusal<'a>>,
    scores: Scores<'a>,
    error: Option<&'a str>,
}

/// As it came: any JSON.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Id<'a> {
    Any(Option<&'a RawValue>),
    Text(&'a str),
}

impl<'a> Answer<'a> {
    /// The answer to a case that was judged.
    pub(super) fn of_case(id: Option<&'a RawValue>, evaluation: &'a Evaluation) -> Answer<'a> {
        Answer::new(Id::Any(id), evaluation)
    }

    /// The answer about a pod.
    pub(super) fn of_pod(id: &'a str, evaluation: &'a Evaluation) -> Answer<'a> {
        Answer::new(Id::Text(id), evaluation)
    }

    fn new(id: Id<'a>, evaluation: &'a Evaluation) -> Answer<'a> {
        Answer {
            id,
            pre_enqueue: evaluation.pre_enqueue.as_ref().map(Refusal::from),
            pre_filter: evaluation.pre_filter.as_ref().map(Refusal::from),
            pre_filter_nodes: evaluation.narrowed.as_deref(),
            nodes: Nodes(evaluation),
            scoring: None,
            scores: Scores(evaluation),
            error: None,
        }
    }
}

/// The answer to a case that could not be judged.
#[derive(serde::Serialize)]
pub(super) struct Failure<'a> {
    id: Option<&'a RawValue>,
    preenqueue: (),
    prefilter: (),
    #[serde(rename = "prefilterNodes")]
    prefilter_nodes: (),
    nodes: Nothing,
    scoring: (),
    scores: Nothing,
    error: &'a str,
}

#[derive(serde::Serialize)]
struct Nothing {}

impl<'a> Failure<'a> {
    /// Says why.
    pub(super) fn new(id: Option<&'a RawValue>, error: &'a str) -> Failure<'a> {
        Failure {
            id,
            preenqueue: (),
            prefilter: (),
            prefilter_nodes: (),
            nodes: Nothing {},
            scoring: (),
            scores: Nothing {},
            error,
        }
    }
}

/// A verdict against a pod or a node.
#[derive(serde::Serialize)]
struct Refusal<'a> {
    code: &'static str,
    plugin: &'static str,
    reasons: &'a [String],
}

impl<'a> From<&'a Verdict> for Refusal<'a> {
    fn from(verdict: &'a Verdict) -> Refusal<'a> {
        Refusal {
            code: verdict.code.name(),
            plugin: verdict.plugin,
            reasons: &verdict.reasons,
        }
    }
}

/// The nodes by name, each with what was said of it.
struct Nodes<'a>(&'a Evaluation);

impl Serialize for Nodes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nodes = self.0.nodes.iter();
        serializer.collect_map(nodes.map(|(name, verdict)| (&**name, Node::from(verdict.as_ref()))))
    }
}

#[derive(serde::Serialize)]
struct Node<'a> {
    ok: bool,
    #[serde(flatten)]
    refusal: Option<Refusal<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
}

impl<'a> From<Option<&'a Verdict>> for Node<'a> {
    fn from(verdict: Option<&'a Verdict>) -> Node<'a> {
        Node {
            ok: verdict.is_none(),
            refusal: verdict.map(Refusal::from),
            stage: verdict.and_then(|verdict| verdict.before_filter.then_some("prefilter")),
        }
    }
}

/// The scores by the name of the node.
struct Scores<'a>(&'a Evaluation);

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scores = self.0.scores.iter();
        serializer.collect_map(scores.map(|(name, score)| {
            let score = Score {
                total: score.total,
                plugins: ByPlugin(score, |plugin| plugin.weighted),
                raw: ByPlugin(score, |plugin| plugin.raw),
            };
            (&**name, score)
        }))
    }
}

#[derive(serde::Serialize)]
struct Score<'a> {
    total: i64,
    plugins: ByPlugin<'a>,
    raw: ByPlugin<'a>,
}

struct ByPlugin<'a>(&'a NodeScore, fn(&muster_engine::PluginScore) -> i64);

impl Serialize for ByPlugin<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.plugins.len()))?;
        for score in &self.0.plugins {
            map.serialize_entry(&*score.plugin, &self.1(score))?;
        }
        map.end()
    }
}
