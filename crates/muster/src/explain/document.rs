//! An explanation as JSON. Fields may be added to a version; none goes or means something else.

use crate::kubectl::API_VERSION;
use muster_engine::{Change, Explanation, NodeVerdicts, Quorum, Stage, Subject};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// The kind of the JSON.
pub(crate) const KIND: &str = "Explanation";

/// Everything that is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) subject: About,
    pub(crate) scheduler_name: String,
    pub(crate) by_leader: bool,
    pub(crate) stage: StageOf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waiting_seconds: Option<u64>,
    pub(crate) reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) condition_reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) event_reason: String,
    pub(crate) cause: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<Group>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nodes: Option<Nodes>,
    pub(crate) nearest: Vec<Near>,
    pub(crate) remedies: Vec<RemedyOf>,
    pub(crate) attempts: Vec<AttemptOf>,
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) namespace: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// `Pod` or `PodGroup`.
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StageOf {
    pub(crate) name: String,
    /// How many are ahead in the queue, and how many it holds that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ahead: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ready: Option<usize>,
    /// When it ends by itself, from when this was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ends_in_seconds: Option<u64>,
    /// The plugin or the reason that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) nodes: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Group {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_count: Option<u32>,
    pub(crate) members: u32,
    pub(crate) with_places: u32,
    pub(crate) bound: u32,
    pub(crate) missing: u32,
    pub(crate) gated: Vec<String>,
    pub(crate) unsupported: Vec<String>,
    pub(crate) lost: Vec<String>,
    pub(crate) without_place: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Nodes {
    pub(crate) pod: String,
    pub(crate) counting_others: u32,
    pub(crate) total: u32,
    pub(crate) feasible: u32,
    pub(crate) rejected: Vec<Rejected>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rejected {
    pub(crate) plugin: String,
    pub(crate) nodes: u32,
    pub(crate) reasons: Vec<Reason>,
    pub(crate) examples: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Reason {
    pub(crate) message: String,
    pub(crate) nodes: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Near {
    pub(crate) node: String,
    pub(crate) lacks: Vec<Lack>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lack {
    pub(crate) plugin: String,
    pub(crate) message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RemedyOf {
    pub(crate) text: String,
    pub(crate) proved: bool,
    /// Each with a `type`, and the fields of that type.
    pub(crate) changes: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptOf {
    pub(crate) seconds_ago: u64,
    pub(crate) result: String,
    pub(crate) message: String,
}

impl From<&Explanation> for Document {
    fn from(explanation: &Explanation) -> Document {
        let (kind, namespace, name) = match &explanation.subject {
            Subject::Pod { namespace, name } => ("Pod", namespace.to_string(), name.to_string()),
            Subject::Group { namespace, name } => ("PodGroup", namespace.to_string(), name.to_string()),
        };
        let nearest = explanation.nearest.iter().map(|near| Near {
            node: near.node.to_string(),
            lacks: near
                .lacks
                .iter()
                .map(|(plugin, message)| Lack {
                    plugin: plugin.to_string(),
                    message: message.clone(),
                })
                .collect(),
        });
        let remedies = explanation.remedies.iter().map(|remedy| RemedyOf {
            text: remedy.text(),
            proved: remedy.proved,
            changes: remedy.changes.iter().map(change).collect(),
        });
        let attempts = explanation.attempts.iter().map(|attempt| AttemptOf {
            seconds_ago: attempt.ago.as_secs(),
            result: attempt.result.name().to_owned(),
            message: attempt.message.to_string(),
        });
        Document {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            metadata: Metadata {
                name: name.clone(),
                namespace: namespace.clone(),
            },
            subject: About {
                kind: kind.to_owned(),
                name,
                namespace,
            },
            scheduler_name: explanation.scheduler_name.to_string(),
            by_leader: explanation.by_leader,
            stage: stage(&explanation.stage),
            waiting_seconds: explanation.waiting.map(|waiting| waiting.as_secs()),
            reason: explanation.reason.to_string(),
            condition_reason: explanation.condition_reason.to_string(),
            event_reason: explanation.event_reason.to_string(),
            cause: explanation.cause_in_full(),
            group: explanation.quorum.as_ref().map(group),
            nodes: explanation.nodes.as_ref().map(nodes),
            nearest: nearest.collect(),
            remedies: remedies.collect(),
            attempts: attempts.collect(),
            notes: explanation.notes.clone(),
        }
    }
}

fn rounded_up(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

fn texts(texts: &[muster_framework::Text]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

fn stage(stage: &Stage) -> StageOf {
    let mut of = StageOf {
        name: stage.name().to_owned(),
        ..StageOf::default()
    };
    match stage {
        Stage::Gated { by, .. } => of.by = Some(by.to_string()),
        Stage::Held { by } => of.by = Some(by.name().to_owned()),
        Stage::Queued { ahead, of: ready } => (of.ahead, of.ready) = (Some(*ahead), Some(*ready)),
        Stage::BackingOff { ends_in } => of.ends_in_seconds = Some(rounded_up(*ends_in)),
        Stage::WaitingForRoom { tried_again_in } => of.ends_in_seconds = tried_again_in.map(rounded_up),
        Stage::HoldingPlaces { nodes, ends_in } => {
            of.nodes = texts(nodes);
            of.ends_in_seconds = ends_in.map(rounded_up);
        }
        Stage::Binding { nodes } => of.nodes = texts(nodes),
        Stage::Bound { node } => of.nodes = node.iter().map(|node| node.to_string()).collect(),
        _ => {}
    }
    of
}

fn group(quorum: &Quorum) -> Group {
    Group {
        name: quorum.group.clone(),
        min_count: quorum.min_count,
        members: quorum.members,
        with_places: quorum.with_places,
        bound: quorum.bound,
        missing: quorum.missing,
        gated: texts(&quorum.gated),
        unsupported: texts(&quorum.unsupported),
        lost: texts(&quorum.lost),
        without_place: texts(&quorum.without_place),
    }
}

fn nodes(verdicts: &NodeVerdicts) -> Nodes {
    let rejected = verdicts.rejected.iter().map(|rejected| Rejected {
        plugin: rejected.plugin.to_string(),
        nodes: rejected.nodes,
        reasons: rejected
            .reasons
            .iter()
            .map(|(message, nodes)| Reason {
                message: message.clone(),
                nodes: *nodes,
            })
            .collect(),
        examples: texts(&rejected.examples),
    });
    Nodes {
        pod: verdicts.pod.to_string(),
        counting_others: verdicts.counting_others,
        total: verdicts.nodes,
        feasible: verdicts.feasible,
        rejected: rejected.collect(),
    }
}

fn change(change: &Change) -> Value {
    let text = |text: &muster_framework::Text| Value::from(text.to_string());
    match change {
        Change::LowerRequest {
            pod,
            twins,
            resource,
            from,
            to,
        } => {
            json!({"type": "LowerRequest", "pod": text(pod), "twins": twins, "resource": text(resource), "from": text(from), "to": text(to)})
        }
        Change::Tolerate { pod, twins, taint } => {
            json!({"type": "Tolerate", "pod": text(pod), "twins": twins, "taint": text(taint)})
        }
        Change::Drop { pod, twins, field } => {
            json!({"type": "Drop", "pod": text(pod), "twins": twins, "field": text(field)})
        }
        Change::RemoveTaint { node, taint } => json!({"type": "RemoveTaint", "node": text(node), "taint": text(taint)}),
        Change::Uncordon { node } => json!({"type": "Uncordon", "node": text(node)}),
        Change::Label { node, key, value } => {
            json!({"type": "Label", "node": text(node), "key": text(key), "value": text(value)})
        }
        Change::Enlarge { node, resource, by } => {
            json!({"type": "Enlarge", "node": text(node), "resource": text(resource), "by": text(by)})
        }
        Change::End { pods, gangs } => json!({"type": "End", "pods": texts(pods), "gangs": texts(gangs)}),
        Change::AddMembers { group, count, like } => {
            json!({"type": "AddMembers", "group": text(group), "count": count, "like": text(like)})
        }
        Change::LowerMinCount { group, from, to } => {
            json!({"type": "LowerMinCount", "group": text(group), "from": from, "to": to})
        }
        Change::Ungate { pods, gates } => json!({"type": "Ungate", "pods": texts(pods), "gates": texts(gates)}),
        Change::CreatePolicy { object } => json!({"type": "CreatePolicy", "object": text(object)}),
        Change::Repair { what } => json!({"type": "Repair", "what": text(what)}),
    }
}

/// Leaves out the names of what is in other namespaces: who may see pods of one namespace may not see those of others.
pub(crate) fn hide_other_namespaces(explanation: &mut Explanation) {
    let (Subject::Pod { namespace, .. } | Subject::Group { namespace, .. }) = &explanation.subject;
    let own = format!("{namespace}/");
    let changes = explanation.remedies.iter_mut().flat_map(|remedy| &mut remedy.changes);
    let ends = changes.filter_map(|change| match change {
        Change::End { pods, gangs } => Some(pods.iter_mut().chain(gangs)),
        _ => None,
    });
    let crowd = explanation.crowd.iter_mut().flat_map(|crowd| &mut crowd.gangs);
    for name in ends.flatten().chain(crowd).filter(|name| !name.starts_with(&own)) {
        *name = "(in another namespace)".into();
    }
    if let Some(crowd) = &mut explanation.crowd {
        // Once is enough in a sentence.
        crowd.gangs.dedup();
    }
}
