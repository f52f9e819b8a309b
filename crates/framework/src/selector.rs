//! Label selectors and node selectors, as the API states them.

use crate::Text;
use crate::labels::Labels;

/// How a requirement looks at the value under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// The value is one of the values.
    In,
    /// The key is absent, or its value is none of the values.
    NotIn,
    /// The key is there.
    Exists,
    /// The key is absent.
    DoesNotExist,
    /// The value, an integer, is greater than the one value. Node selectors only.
    Gt,
    /// The value, an integer, is less than the one value. Node selectors only.
    Lt,
}

/// One requirement on a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requirement {
    /// The label (or field) that is looked at.
    pub key: Text,
    /// How it is looked at.
    pub operator: Operator,
    /// The values that it is compared with; empty for `Exists` and `DoesNotExist`.
    pub values: Box<[Text]>,
}

impl Requirement {
    /// Whether a value (or its absence) satisfies the requirement.
    ///
    /// Source: `k8s.io/apimachinery/pkg/labels.Requirement.Matches`. `Gt` and `Lt` need base-10 64-bit integers on both
    /// sides and do not match otherwise.
    pub fn matches(&self, value: Option<&str>) -> bool {
        match self.operator {
            Operator::In => value.is_some_and(|v| self.values.iter().any(|w| &**w == v)),
            Operator::NotIn => value.is_none_or(|v| self.values.iter().all(|w| &**w != v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => self.compare(value).is_some_and(|(value, bound)| value > bound),
            Operator::Lt => self.compare(value).is_some_and(|(value, bound)| value < bound),
        }
    }

    /// Whether a field of a node satisfies the requirement; a field that upstream does not know is empty. None: upstream
    /// does not understand the requirement, for it knows `In` and `NotIn` here, with one value each. Its term then matches
    /// nothing.
    ///
    /// Source: `k8s.io/component-helpers/scheduling/corev1/nodeaffinity.nodeSelectorRequirementsAsFieldSelector`.
    pub fn matches_field(&self, field: &str) -> Option<bool> {
        let [value] = &*self.values else { return None };
        match self.operator {
            Operator::In => Some(&**value == field),
            Operator::NotIn => Some(&**value != field),
            _ => None,
        }
    }

    fn compare(&self, value: Option<&str>) -> Option<(i64, i64)> {
        let [bound] = &*self.values else { return None };
        Some((value?.parse().ok()?, bound.parse().ok()?))
    }
}

/// A label selector: all requirements must hold; without any it matches everything.
///
/// An *absent* selector matches nothing: that is `Option::None` where one may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct LabelSelector {
    /// The requirements, joined by AND.
    pub requirements: Box<[Requirement]>,
}

impl LabelSelector {
    /// Whether `labels` satisfy every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements
            .iter()
            .all(|r| r.matches(labels.get(&r.key).map(|v| &**v)))
    }
}

/// One term of a node selector: all its requirements must hold, and an empty term matches no node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct NodeSelectorTerm {
    /// Requirements on the labels of the node.
    pub match_expressions: Box<[Requirement]>,
    /// Requirements on fields of the node: only `metadata.name` exists.
    pub match_fields: Box<[Requirement]>,
}

impl NodeSelectorTerm {
    /// Whether the term states nothing, and therefore matches nothing.
    pub fn is_empty(&self) -> bool {
        self.match_expressions.is_empty() && self.match_fields.is_empty()
    }

    /// Whether a node of this name and with these labels satisfies the term.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        !self.is_empty()
            && self
                .match_expressions
                .iter()
                .all(|r| r.matches(labels.get(&r.key).map(|v| &**v)))
            && self
                .match_fields
                .iter()
                .all(|r| r.matches_field(if &*r.key == "metadata.name" { name } else { "" }) == Some(true))
    }
}

/// A preference for nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PreferredTerm {
    /// 1 to 100.
    pub weight: i32,
    /// What is preferred.
    pub term: NodeSelectorTerm,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(operator: Operator, values: &[&str]) -> Requirement {
        Requirement {
            key: "k".into(),
            operator,
            values: values.iter().map(|v| Text::from(*v)).collect(),
        }
    }

    #[test]
    fn operators_match_as_upstream() {
        for (operator, values, present, absent) in [
            (Operator::In, &["5", "x"][..], true, false),
            (Operator::In, &["6"], false, false),
            (Operator::NotIn, &["5"], false, true),
            (Operator::NotIn, &["6"], true, true),
            (Operator::Exists, &[], true, false),
            (Operator::DoesNotExist, &[], false, true),
            (Operator::Gt, &["4"], true, false),
            (Operator::Gt, &["5"], false, false),
            (Operator::Lt, &["6"], true, false),
            (Operator::Lt, &["five"], false, false),
        ] {
            let r = requirement(operator, values);
            assert_eq!(
                (r.matches(Some("5")), r.matches(None)),
                (present, absent),
                "{operator:?} {values:?}"
            );
        }
    }

    #[test]
    fn fields_are_compared_with_one_value() {
        for (operator, values, known, unknown) in [
            (Operator::In, &["n"][..], Some(true), Some(false)),
            (Operator::In, &[""], Some(false), Some(true)),
            (Operator::NotIn, &["n"], Some(false), Some(true)),
            (Operator::In, &["n", "m"], None, None),
            (Operator::NotIn, &[], None, None),
            (Operator::Exists, &[], None, None),
        ] {
            let r = requirement(operator, values);
            assert_eq!(
                (r.matches_field("n"), r.matches_field("")),
                (known, unknown),
                "{operator:?} {values:?}"
            );
        }
    }

    #[test]
    fn an_empty_selector_matches_all_and_an_empty_term_nothing() {
        assert!(LabelSelector::default().matches(&Labels::default()));
        assert!(!NodeSelectorTerm::default().matches("n", &Labels::default()));
    }
}
