//! A pod as the checker sees it, read from the object of a setting: what it takes, and what it asks of those around it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// Amounts by resource, in thousandths.
pub(super) type Amounts = BTreeMap<String, i64>;
/// Labels of an object, or those that a selector asks for.
pub(super) type Labels = BTreeMap<String, String>;

/// A pod as it is judged.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) requests: Amounts,
    pub(super) node: Option<String>,
    pub(super) rules: Vec<Rule>,
}

/// What a pod asks of the pods around it.
pub(super) struct Rule {
    pub(super) kind: Kind,
    /// The label of nodes whose values are the domains.
    pub(super) topology_key: String,
    /// The pods it is about.
    pub(super) selector: Labels,
    /// Whether it must hold.
    pub(super) is_required: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// No domain may have so many more than the emptiest.
    Spread { max_skew: usize },
    /// There must be one in the domain, unless there is none anywhere and the pod would be the first.
    Together,
    /// There must be none in the domain; and whoever comes later is kept away in the same way.
    Apart,
}

impl Subject {
    pub(super) fn read(pod: &Value) -> Result<Subject> {
        let pod: Pod = serde_json::from_value(pod.clone()).context("a pod asks for what is not judged here")?;
        let mut requests = Amounts::from([("pods".to_owned(), 1000)]);
        for (resource, amount) in pod.spec.containers.iter().flat_map(|c| &c.resources.requests) {
            *requests.entry(resource.clone()).or_default() += thousandths(amount)?;
        }
        Ok(Subject {
            name: pod.metadata.name,
            labels: pod.metadata.labels,
            requests,
            node: pod.spec.node_name,
            rules: rules(pod.spec.topology_spread_constraints, pod.spec.affinity)?,
        })
    }
}

fn rules(spread: Vec<SpreadConstraint>, affinity: Affinity) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for constraint in spread {
        rules.push(Rule {
            kind: Kind::Spread {
                max_skew: constraint.max_skew,
            },
            topology_key: constraint.topology_key,
            selector: constraint.label_selector.match_labels,
            is_required: match constraint.when_unsatisfiable.as_str() {
                "DoNotSchedule" => true,
                "ScheduleAnyway" => false,
                other => bail!("whenUnsatisfiable: {other}"),
            },
        });
    }
    for (kind, terms) in [
        (Kind::Together, affinity.pod_affinity),
        (Kind::Apart, affinity.pod_anti_affinity),
    ] {
        let preferred = terms.preferred.into_iter().map(|weighted| weighted.pod_affinity_term);
        let all = terms.required.into_iter().map(|term| (true, term));
        for (is_required, term) in all.chain(preferred.map(|term| (false, term))) {
            rules.push(Rule {
                kind,
                topology_key: term.topology_key,
                selector: term.label_selector.match_labels,
                is_required,
            });
        }
    }
    Ok(rules)
}

/// Whether a selector is about a pod with these labels.
pub(super) fn is_selected(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The labels of a node, and what it has to give away.
pub(super) fn allocatable(node: &Value) -> Result<(Labels, Amounts)> {
    let node: Node = serde_json::from_value(node.clone()).context("reading a node")?;
    let amounts = node.status.allocatable.iter();
    let amounts = amounts.map(|(resource, amount)| Ok((resource.clone(), thousandths(amount)?)));
    Ok((node.metadata.labels, amounts.collect::<Result<_>>()?))
}

/// An amount in thousandths, with the few suffixes that settings use.
fn thousandths(amount: &str) -> Result<i64> {
    let unit_at = amount.find(|c: char| !c.is_ascii_digit()).unwrap_or(amount.len());
    let (number, unit) = amount.split_at(unit_at);
    let factor = match unit {
        "m" => 1,
        "" => 1000,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        _ => bail!("an amount that is not understood here: {amount:?}"),
    };
    let number: i64 = number
        .parse()
        .with_context(|| format!("reading the amount {amount:?}"))?;
    number
        .checked_mul(factor)
        .with_context(|| format!("{amount:?} is too much"))
}

/// A pod of a setting. Fields that are not here would be rules that are not judged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Pod {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: PodMetadata,
    spec: PodSpec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PodMetadata {
    name: String,
    #[serde(default)]
    labels: Labels,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PodSpec {
    #[serde(rename = "schedulerName")]
    _scheduler_name: String,
    node_name: Option<String>,
    containers: Vec<Container>,
    #[serde(default)]
    topology_spread_constraints: Vec<SpreadConstraint>,
    #[serde(default)]
    affinity: Affinity,
    // Which gang a pod belongs to stands in the setting, in one way for all minors.
    #[serde(rename = "workloadRef")]
    _workload_ref: Option<Value>,
    #[serde(rename = "schedulingGroup")]
    _scheduling_group: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Container {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "image")]
    _image: String,
    resources: Resources,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resources {
    requests: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SpreadConstraint {
    max_skew: usize,
    topology_key: String,
    when_unsatisfiable: String,
    label_selector: Selector,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Selector {
    match_labels: Labels,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Affinity {
    pod_affinity: Terms,
    pod_anti_affinity: Terms,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Terms {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Vec<Term>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Vec<WeightedTerm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Term {
    topology_key: String,
    label_selector: Selector,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WeightedTerm {
    #[serde(rename = "weight")]
    _weight: i32,
    pod_affinity_term: Term,
}

#[derive(Deserialize)]
struct Node {
    metadata: NodeMetadata,
    status: NodeStatus,
}

#[derive(Deserialize)]
struct NodeMetadata {
    labels: Labels,
}

#[derive(Deserialize)]
struct NodeStatus {
    allocatable: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_by_their_suffix() {
        for (text, expected) in [("100m", 100), ("4", 4000), ("2Mi", 2000 << 20), ("16Gi", 16_000 << 30)] {
            assert_eq!(thousandths(text).unwrap(), expected, "{text}");
        }
        for text in ["", "m", "1.5", "-1", "4k", "1e3", "9000000000000Gi"] {
            assert!(thousandths(text).is_err(), "{text}");
        }
    }
}
