//! Two answers to the same case, and where they differ.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::case::Answer;

/// One place where two answers differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The way to the place, such as `scores.node-1.raw.NodeAffinity`.
    pub path: String,
    /// The same way with a star for the node's name: two differences with one shape have one cause, as a rule.
    pub shape: String,
    /// What upstream says there, and null where it says nothing.
    pub upstream: Value,
    /// What Muster says there, and null where it says nothing.
    pub muster: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference {
            path, upstream, muster, ..
        } = self;
        write!(f, "{path}: upstream {upstream}, Muster {muster}")
    }
}

/// The parts of an answer in the order in which one follows from the other, so that the first difference is nearest to
/// the cause.
const PARTS: [&str; 7] = [
    "error",
    "preenqueue",
    "prefilter",
    "prefilterNodes",
    "nodes",
    "scoring",
    "scores",
];

/// The same for the scores of a node: the total follows from the plugins, and these from what they gave at first.
const SCORE_PARTS: [&str; 3] = ["raw", "plugins", "total"];

/// All places where the answers differ, the nearest to the cause first.
pub fn differences(upstream: &Answer, muster: &Answer) -> Vec<Difference> {
    let mut found = Vec::new();
    collect(upstream.value(), muster.value(), &mut Vec::new(), &mut found);
    found.sort_by_cached_key(|difference| (rank(&difference.path), difference.path.clone()));
    found
}

fn rank(path: &str) -> (usize, usize) {
    let part = path.split('.').next().unwrap_or_default();
    let place = |list: &[&str], word: &str| list.iter().position(|known| *known == word).unwrap_or(list.len());
    let within = SCORE_PARTS
        .iter()
        .position(|score_part| path.contains(&format!(".{score_part}")));
    (place(&PARTS, part), within.unwrap_or(0))
}

fn collect<'a>(upstream: &'a Value, muster: &'a Value, way: &mut Vec<&'a str>, found: &mut Vec<Difference>) {
    if upstream == muster {
        return;
    }
    let (Value::Object(left), Value::Object(right)) = (upstream, muster) else {
        found.push(Difference {
            path: way.join("."),
            shape: shape(way),
            upstream: upstream.clone(),
            muster: muster.clone(),
        });
        return;
    };
    let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for key in keys {
        way.push(key);
        collect(
            left.get(key).unwrap_or(&Value::Null),
            right.get(key).unwrap_or(&Value::Null),
            way,
            found,
        );
        way.pop();
    }
}

fn shape(way: &[&str]) -> String {
    let is_node = |place: usize| place == 1 && matches!(way.first(), Some(&("nodes" | "scores")));
    let words: Vec<&str> = way
        .iter()
        .enumerate()
        .map(|(place, word)| if is_node(place) { "*" } else { *word })
        .collect();
    words.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(upstream: Value, muster: Value) -> Vec<String> {
        let found = differences(&Answer::new(upstream), &Answer::new(muster));
        found.into_iter().map(|difference| difference.path).collect()
    }

    #[test]
    fn equal_answers_have_no_difference() {
        let answer = json!({"nodes": {"a": {"ok": true}}, "scores": {"a": {"total": 7, "raw": {"X": 1.0}}}});
        assert_eq!(paths(answer.clone(), answer), Vec::<String>::new());
    }

    #[test]
    fn every_part_of_the_answer_is_compared() {
        let upstream = json!({
            "preenqueue": {"code": "Unschedulable", "plugin": "P", "reasons": ["r"]},
            "prefilter": {"code": "Unschedulable", "plugin": "P", "reasons": ["r"]},
            "prefilterNodes": ["a"],
            "nodes": {"a": {"ok": true}, "b": {"ok": false, "code": "Error", "plugin": "P", "reasons": ["r"]},
                "c": {"ok": false, "stage": "prefilter"}},
            "scoring": {"code": "Error", "plugin": "P", "reasons": ["r"]},
            "scores": {"a": {"total": 3, "plugins": {"P": 3}, "raw": {"P": 1}}},
            "error": "e",
        });
        let muster = json!({
            "preenqueue": {"code": "Pending", "plugin": "Q", "reasons": ["s"]},
            "prefilter": {"code": "Error", "plugin": "Q", "reasons": ["s"]},
            "prefilterNodes": ["b"],
            "nodes": {"a": {"ok": false}, "b": {"ok": false, "code": "Pending", "plugin": "Q", "reasons": ["s"]},
                "c": {"ok": false}},
            "scoring": {"code": "Pending", "plugin": "Q", "reasons": ["s"]},
            "scores": {"a": {"total": 4, "plugins": {"P": 4}, "raw": {"P": 2}}},
            "error": "f",
        });
        let expected = [
            "error",
            "preenqueue.code",
            "preenqueue.plugin",
            "preenqueue.reasons",
            "prefilter.code",
            "prefilter.plugin",
            "prefilter.reasons",
            "prefilterNodes",
            "nodes.a.ok",
            "nodes.b.code",
            "nodes.b.plugin",
            "nodes.b.reasons",
            "nodes.c.stage",
            "scoring.code",
            "scoring.plugin",
            "scoring.reasons",
            "scores.a.raw.P",
            "scores.a.plugins.P",
            "scores.a.total",
        ];
        assert_eq!(paths(upstream, muster), expected);
    }

    #[test]
    fn a_plugin_that_only_one_side_scored_is_a_difference() {
        let upstream = json!({"scores": {"a": {"raw": {"P": 0}}}});
        assert_eq!(
            paths(upstream, json!({"scores": {"a": {"raw": {"Q": 0}}}})),
            ["scores.a.raw.P", "scores.a.raw.Q"]
        );
    }

    #[test]
    fn the_shape_leaves_out_the_node() {
        let upstream = Answer::new(json!({"scores": {"a": {"raw": {"P": 1}}}, "nodes": {"b": {"ok": true}}}));
        let muster = Answer::new(json!({"scores": {"a": {"raw": {"P": 2}}}, "nodes": {"b": {"ok": false}}}));
        let shapes: Vec<String> = differences(&upstream, &muster)
            .into_iter()
            .map(|difference| difference.shape)
            .collect();
        assert_eq!(shapes, ["nodes.*.ok", "scores.*.raw.P"]);
    }
}
