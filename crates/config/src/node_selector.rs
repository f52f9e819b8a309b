//! Node selectors inside arguments (`addedAffinity`), checked as upstream checks them when it makes the plugin.
//!
//! Source: `k8s.io/component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go` and `labels.NewRequirement`.

use muster_framework::Text;
use muster_framework::selector::{NodeSelectorTerm, Operator, PreferredTerm, Requirement};

use crate::field::{Field, Section};
use crate::names;

/// The terms of a `NodeSelector`. Those that state nothing match nothing, and are left out; without any left, no node
/// matches.
pub(crate) fn required(selector: &Field<'_>) -> Option<Box<[NodeSelectorTerm]>> {
    let section = selector.section()?;
    let terms = section
        .get("nodeSelectorTerms")
        .map(|field| field.items())
        .unwrap_or_default();
    let terms = terms.iter().filter_map(|field| term(field, true));
    Some(terms.filter(|term| !term.is_empty()).collect())
}

/// A list of `PreferredSchedulingTerm`. Those without a weight or without a requirement count nothing, and their requirements
/// go unchecked; but they are there, and where a list states anything, the plugin scores.
pub(crate) fn preferred(list: &Field<'_>) -> Box<[PreferredTerm]> {
    let read = |field: &Field<'_>| {
        let section = field.section()?;
        let weight = section.get("weight").and_then(|field| field.integer()).unwrap_or(0);
        let term = section.get("preference").and_then(|field| term(&field, weight != 0));
        let term = term.filter(|_| weight != 0).unwrap_or_default();
        Some(PreferredTerm { weight, term })
    };
    let terms = list.items();
    terms.iter().filter_map(read).collect()
}

/// One term; with `check`, what is wrong with its requirements is reported.
fn term(field: &Field<'_>, check: bool) -> Option<NodeSelectorTerm> {
    let section = field.section()?;
    let requirements = |key: &str, check_one: fn(&Section<'_>, &Requirement)| -> Box<[Requirement]> {
        let items = section.get(key).map(|field| field.items()).unwrap_or_default();
        items
            .iter()
            .filter_map(|item| requirement(item, check.then_some(check_one)))
            .collect()
    };
    Some(NodeSelectorTerm {
        match_expressions: requirements("matchExpressions", check_expression),
        match_fields: requirements("matchFields", check_field),
    })
}

fn requirement(field: &Field<'_>, check: Option<fn(&Section<'_>, &Requirement)>) -> Option<Requirement> {
    let section = field.section()?;
    let key = section.get("key").and_then(|field| field.string()).unwrap_or_default();
    let values = section.get("values").map(|field| field.strings()).unwrap_or_default();
    let operator = match section.get("operator") {
        Some(field) => operator(&field)?,
        None => {
            section.wrong("operator", UNKNOWN_OPERATOR);
            return None;
        }
    };
    let requirement = Requirement {
        key: key.into(),
        operator,
        values: values.into_iter().map(Text::from).collect(),
    };
    if let Some(check) = check {
        check(&section, &requirement);
    }
    Some(requirement)
}

const UNKNOWN_OPERATOR: &str = "must be In, NotIn, Exists, DoesNotExist, Gt or Lt";

fn operator(field: &Field<'_>) -> Option<Operator> {
    Some(match field.string()? {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::Gt,
        "Lt" => Operator::Lt,
        other => {
            field.problem(format!("{UNKNOWN_OPERATOR}, not {other:?}"));
            return None;
        }
    })
}

fn check_expression(section: &Section<'_>, requirement: &Requirement) {
    if let Some(wrong) = names::qualified_name(&requirement.key) {
        section.wrong("key", wrong);
    }
    let values = &*requirement.values;
    let wrong = match requirement.operator {
        Operator::In | Operator::NotIn => values.is_empty().then_some("In and NotIn need a value"),
        Operator::Exists | Operator::DoesNotExist => {
            (!values.is_empty()).then_some("Exists and DoesNotExist take no values")
        }
        Operator::Gt | Operator::Lt => {
            (!matches!(values, [one] if one.parse::<i64>().is_ok())).then_some("Gt and Lt need one value, an integer")
        }
    };
    let wrong = wrong.or_else(|| values.iter().find_map(|value| names::label_value(value)));
    if let Some(wrong) = wrong {
        section.wrong("values", wrong);
    }
}

fn check_field(section: &Section<'_>, requirement: &Requirement) {
    if !matches!(requirement.operator, Operator::In | Operator::NotIn) {
        section.wrong("operator", "must be In or NotIn in matchFields");
    } else if requirement.values.len() != 1 {
        section.wrong("values", "must have one element in matchFields");
    }
}
