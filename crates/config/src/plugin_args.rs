//! `pluginConfig`: arguments are compared with upstream's defaults, and refused where they differ.

use crate::document::{self, Node, Value};
use crate::duration;
use crate::field::{Field, Section};
use crate::profile::known;
use crate::scheduler::API_VERSION;

/// The defaults of all arguments.
const DEFAULTS: &str = include_str!("plugin_args.yaml");

/// Checks the entries of one profile.
pub(crate) fn check(field: &Field<'_>) {
    let defaults = defaults();
    let mut seen = Vec::new();
    for entry in field.items() {
        let Some(section) = entry.section() else { continue };
        let args = section.get("args");
        let Some(name_field) = section.get("name") else {
            entry.problem("needs a name");
            continue;
        };
        let Some(name) = name_field.string() else { continue };
        if seen.contains(&name) {
            name_field.problem(format!("{name} is configured twice"));
        }
        seen.push(name);
        if known(&name_field, name).is_some()
            && let Some(args) = args.and_then(|field| field.section())
        {
            args.must_be("apiVersion", API_VERSION);
            args.must_be("kind", &format!("{name}Args"));
            let default = defaults.iter().find(|(plugin, _)| plugin == name);
            if let Some((
                _,
                Node {
                    value: Value::Map(fields),
                    ..
                },
            )) = default
            {
                compare_fields(&args, fields);
            }
        }
    }
}

fn defaults() -> Vec<(String, Node)> {
    match document::read(DEFAULTS).map(|mut documents| documents.pop()) {
        Ok(Some(Node {
            value: Value::Map(entries),
            ..
        })) => entries,
        // Proved by a test: the text is part of this crate. Without defaults every argument would be unknown.
        _ => Vec::new(),
    }
}

/// What is left out has its default; what is given must equal it; what has none is unknown.
fn compare_fields(given: &Section<'_>, defaults: &[(String, Node)]) {
    for (key, default) in defaults {
        if let Some(field) = given.get(key) {
            compare(&field, default);
        }
    }
}

fn compare(given: &Field<'_>, default: &Node) {
    match (given.value(), &default.value) {
        (Value::List(items), _) if items.is_empty() => {}
        (Value::Map(_), Value::Map(fields)) => {
            if let Some(section) = given.section() {
                compare_fields(&section, fields);
            }
        }
        (Value::List(items), Value::List(defaults)) if items.len() == defaults.len() => {
            given
                .items()
                .iter()
                .zip(defaults)
                .for_each(|(item, default)| compare(item, default));
        }
        (value, default) if same(value, default) => {}
        (_, default) => given.problem(format!(
            "the arguments of plugins are fixed: this one is {}",
            show(default)
        )),
    }
}

/// Durations are equal when they last as long: upstream writes ten minutes as `10m0s`.
fn same(given: &Value, default: &Value) -> bool {
    match (given, default) {
        (Value::String(given), Value::String(default)) => {
            let durations = (duration::parse(given), duration::parse(default));
            given == default || matches!(durations, (Ok(given), Ok(default)) if given == default)
        }
        (given, default) => given == default,
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "unset".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::List(items) => format!(
            "[{}]",
            items
                .iter()
                .map(|item| show(&item.value))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Value::Map(fields) => {
            let fields = fields.iter().map(|(key, node)| format!("{key}: {}", show(&node.value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream;

    #[test]
    fn the_defaults_are_a_mapping_by_plugin() {
        let defaults = defaults();
        assert_eq!(defaults.len(), 8);
        for (plugin, node) in &defaults {
            assert!(upstream::find(plugin).is_some(), "{plugin}");
            assert!(matches!(node.value, Value::Map(_)), "{plugin}");
        }
    }
}
