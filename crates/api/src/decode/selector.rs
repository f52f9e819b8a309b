//! Label selectors and node selector terms.

use super::brief;
use super::intern::intern;
use super::json::{List, Map, Str, Struct};
use super::names::{is_label_key, is_label_value};
use super::path::{Path, Problems};
use muster_framework::Text;
use muster_framework::selector::{LabelSelector, NodeSelectorTerm, Operator, Requirement};
use serde::Deserialize;

/// `matchLabels` and `matchExpressions` of a `metav1.LabelSelector`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct LabelSelectorJson<'a> {
    #[serde(borrow)]
    match_labels: Map<'a, Str<'a>>,
    #[serde(borrow)]
    match_expressions: List<Struct<RequirementJson<'a>>>,
}

/// One expression of either sort of selector.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct RequirementJson<'a> {
    #[serde(borrow)]
    key: Str<'a>,
    #[serde(borrow)]
    operator: Str<'a>,
    #[serde(borrow)]
    values: List<Str<'a>>,
}

/// A node selector.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NodeSelectorJson<'a> {
    #[serde(borrow)]
    pub(super) node_selector_terms: List<Struct<NodeSelectorTermJson<'a>>>,
}

/// A `v1.NodeSelectorTerm`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NodeSelectorTermJson<'a> {
    #[serde(borrow)]
    match_expressions: List<Struct<RequirementJson<'a>>>,
    #[serde(borrow)]
    match_fields: List<Struct<RequirementJson<'a>>>,
}

/// Which operators a requirement may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Of a label selector.
    Labels,
    /// On the labels of a node.
    NodeLabels,
    /// On the fields of a node.
    NodeFields,
}

impl LabelSelectorJson<'_> {
    /// The selector, or None after a problem was noted.
    pub(super) fn read(&self, path: Path<'_>, problems: &Problems) -> Option<LabelSelector> {
        let labels = path.field("matchLabels");
        let mut legible = true;
        for (key, value) in self.match_labels.iter() {
            if let Some(problem) = problem_of_key(key).or_else(|| problem_of_value(value)) {
                problems.add(labels.field(key), problem);
                legible = false;
            }
        }
        let mut requirements: Vec<Requirement> = equalities(&self.match_labels);
        let expressions = path.field("matchExpressions");
        requirements.extend(read_all(
            &self.match_expressions,
            expressions,
            Dialect::Labels,
            problems,
        )?);
        legible.then(|| LabelSelector {
            requirements: requirements.into(),
        })
    }
}

/// A selector that is a map of labels, as those of services and of replication controllers, whose values nobody checks.
/// Source: `k8s.io/apimachinery/pkg/labels.SelectorFromSet`.
pub(super) fn selector_of_map(labels: &Map<'_, Str<'_>>) -> LabelSelector {
    LabelSelector {
        requirements: equalities(labels).into(),
    }
}

/// Labels as requirements, sorted: maps have no order, and equal selectors are to be equal.
fn equalities(labels: &Map<'_, Str<'_>>) -> Vec<Requirement> {
    let mut requirements: Vec<Requirement> = labels.iter().map(|(key, value)| equality(key, value)).collect();
    requirements.sort();
    requirements
}

/// The requirement that a label has this value.
pub(super) fn equality(key: &str, value: &str) -> Requirement {
    Requirement {
        key: intern(key),
        operator: Operator::In,
        values: Box::new([Text::from(value)]),
    }
}

fn problem_of_key(key: &str) -> Option<String> {
    if key.is_empty() {
        return Some("is empty".to_owned());
    }
    (!is_label_key(key)).then(|| format!("{:?} is not the key of a label", brief(key)))
}

fn problem_of_value(value: &str) -> Option<String> {
    (!is_label_value(value)).then(|| format!("{:?} is not the value of a label", brief(value)))
}

impl NodeSelectorTermJson<'_> {
    /// The term, or None after a problem was noted.
    pub(super) fn read(&self, path: Path<'_>, problems: &Problems) -> Option<NodeSelectorTerm> {
        let expressions = path.field("matchExpressions");
        let fields = path.field("matchFields");
        let match_expressions = read_all(&self.match_expressions, expressions, Dialect::NodeLabels, problems);
        let match_fields = read_all(&self.match_fields, fields, Dialect::NodeFields, problems);
        Some(NodeSelectorTerm {
            match_expressions: match_expressions?.into(),
            match_fields: match_fields?.into(),
        })
    }
}

/// All requirements, or None if any of them has a problem; each problem is noted.
fn read_all(
    requirements: &[Struct<RequirementJson<'_>>],
    path: Path<'_>,
    dialect: Dialect,
    problems: &Problems,
) -> Option<Vec<Requirement>> {
    let read: Vec<Option<Requirement>> = requirements
        .iter()
        .enumerate()
        .map(|(at, r)| r.read(path.item(at), dialect, problems))
        .collect();
    read.into_iter().collect()
}

impl RequirementJson<'_> {
    /// Source of what is allowed: `labels.NewRequirement` and `LabelSelectorAsSelector` of apimachinery,
    /// `nodeSelectorRequirementsAsFieldSelector` of component-helpers, and the API's validation of field names.
    fn read(&self, path: Path<'_>, dialect: Dialect, problems: &Problems) -> Option<Requirement> {
        let operator = match (&*self.operator, dialect) {
            ("In", _) => Operator::In,
            ("NotIn", _) => Operator::NotIn,
            ("Exists", Dialect::Labels | Dialect::NodeLabels) => Operator::Exists,
            ("DoesNotExist", Dialect::Labels | Dialect::NodeLabels) => Operator::DoesNotExist,
            ("Gt", Dialect::NodeLabels) => Operator::Gt,
            ("Lt", Dialect::NodeLabels) => Operator::Lt,
            (other, _) => {
                problems.add(
                    path.field("operator"),
                    format_args!("{:?} is not an operator here", brief(other)),
                );
                return None;
            }
        };
        let key_problem = match dialect {
            Dialect::Labels | Dialect::NodeLabels => problem_of_key(&self.key),
            Dialect::NodeFields => None,
        };
        if let Some(problem) = key_problem {
            problems.add(path.field("key"), problem);
            return None;
        }
        if dialect == Dialect::NodeFields && *self.key != *"metadata.name" {
            let problem = format_args!(
                "{:?} is not a field that can be selected; metadata.name is",
                brief(&self.key)
            );
            problems.add(path.field("key"), problem);
            return None;
        }
        if let Some(problem) = self.problem_of_values(operator, dialect) {
            problems.add(path.field("values"), problem);
            return None;
        }
        let values = self.values.iter().map(|value| intern(value)).collect();
        Some(Requirement {
            key: intern(&self.key),
            operator,
            values,
        })
    }

    fn problem_of_values(&self, operator: Operator, dialect: Dialect) -> Option<String> {
        let count = self.values.len();
        let name = &*self.operator;
        let problem = match operator {
            Operator::In | Operator::NotIn if dialect == Dialect::NodeFields && count != 1 => {
                Some(format!("{name} on a field needs exactly one value, not {count}"))
            }
            Operator::In | Operator::NotIn => (count == 0).then(|| format!("{name} needs at least one value")),
            Operator::Exists | Operator::DoesNotExist => (count > 0).then(|| format!("{name} takes no values")),
            Operator::Gt | Operator::Lt => match &*self.values {
                [value] if value.parse::<i64>().is_ok() => None,
                [value] => Some(format!("{name} needs an integer, not {:?}", brief(value))),
                _ => Some(format!("{name} needs exactly one value, not {count}")),
            },
        };
        // The names of nodes, which are fields, may be longer than labels are.
        let are_labels = dialect != Dialect::NodeFields;
        problem.or_else(|| {
            self.values
                .iter()
                .filter(|_| are_labels)
                .find_map(|v| problem_of_value(v))
        })
    }
}
