//! A case on which the answers differ, made as small as it can be while they still do.
//!
//! Greedy: whole objects first, then fields, items and values. What an API server would refuse is not made, or the
//! search would end at another difference than the one it began with.

use serde_json::{Value, json};

use crate::case::Case;

/// One change that makes a case smaller or plainer.
#[derive(Debug, Clone, PartialEq)]
enum Change {
    Remove,
    Replace(Value),
}

/// The way to a place in a case, such as `pod`, `spec`, `tolerations`, `0`.
type Way = Vec<String>;

/// Makes the case smaller as long as `still_differs` says yes, with at most so many questions.
pub fn shrink(case: &Case, most_questions: usize, mut still_differs: impl FnMut(&Case) -> bool) -> Case {
    let mut smallest = case.clone();
    let mut questions = 0;
    loop {
        let before = smallest.clone();
        for depth in 1..=depth_of(&smallest.to_json()) {
            let mut candidates = changes(&smallest, depth);
            let mut at = 0;
            while let Some((way, change)) = candidates.get(at) {
                if questions >= most_questions {
                    return smallest;
                }
                let smaller = changed(&smallest, way, change);
                questions += usize::from(smaller.is_some());
                match smaller.filter(|smaller| still_differs(smaller)) {
                    Some(smaller) => {
                        smallest = smaller;
                        // Last come first, so what was refused already keeps its place in the list.
                        candidates = changes(&smallest, depth);
                    }
                    None => at += 1,
                }
            }
        }
        if smallest == before {
            return smallest;
        }
    }
}

fn depth_of(value: &Value) -> usize {
    let deepest_child = match value {
        Value::Object(map) => map.values().map(depth_of).max(),
        Value::Array(list) => list.iter().map(depth_of).max(),
        _ => None,
    };
    deepest_child.map_or(0, |depth| depth + 1)
}

/// What can be changed so many steps below the root, last first: a removal then moves no place that is still to come.
fn changes(case: &Case, depth: usize) -> Vec<(Way, Change)> {
    let root = case.to_json();
    let mut found = Vec::new();
    visit(&root, depth, &mut Vec::new(), &mut |way, value| {
        if may_go(&root, way) {
            found.push((way.clone(), Change::Remove));
        }
        let plainer = plainer(&root, way, value).into_iter();
        found.extend(plainer.map(|value| (way.clone(), Change::Replace(value))));
    });
    found
}

fn visit(value: &Value, depth: usize, way: &mut Way, found: &mut impl FnMut(&Way, &Value)) {
    if depth == 0 {
        found(way, value);
        return;
    }
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, child)| (key.clone(), child)).collect(),
        Value::Array(list) => (0..).map(|at: usize| at.to_string()).zip(list).collect(),
        _ => return,
    };
    for (key, child) in children.into_iter().rev() {
        way.push(key);
        visit(child, depth - 1, way, found);
        way.pop();
    }
}

/// Fields that an object must have, that say what it is, or whose absence would make another thing of it.
#[rustfmt::skip]
const NEEDED: [&str; 62] = [
    "id", "objects", "pod", "profiles", "schedulerName", "args", "apiVersion", "kind", "metadata", "name", "namespace",
    "uid", "resourceVersion", "spec", "containers", "topologyKey", "maxSkew", "whenUnsatisfiable", "key", "operator",
    "values", "effect", "weight", "preference", "podAffinityTerm", "nodeSelectorTerms", "required", "claimName",
    "accessModes", "storage", "capacity", "provisioner", "volumeBindingMode", "containerPort", "protocol",
    "driver", "drivers", "nodeID", "volumeHandle", "attacher", "source", "action", "exitCodes", "shape", "type",
    "defaultingType", "requestedToCapacityRatio", "names", "monitors", "matchLabelExpressions",
    // The sources of volumes.
    "persistentVolumeClaim", "ephemeral", "volumeClaimTemplate", "gcePersistentDisk", "awsElasticBlockStore", "iscsi",
    "rbd", "csi", "local", "image", "persistentVolumeName", "storageClassName",
];

/// Lists that an API server or the scheduler refuses when they are empty.
#[rustfmt::skip]
const NEVER_EMPTY: [&str; 11] = [
    "containers", "values", "nodeSelectorTerms", "accessModes", "names", "monitors", "profiles", "shape",
    "allowedTopologies", "matchLabelExpressions", "restartPolicyRules",
];

/// Maps whose keys are free.
#[rustfmt::skip]
const FREE_MAPS: [&str; 9] = [
    "labels", "matchLabels", "nodeSelector", "annotations", "allocatable", "requests", "limits", "overhead", "selector",
];

fn may_go(root: &Value, way: &[String]) -> bool {
    let Some((last, ancestors)) = way.split_last() else {
        return false;
    };
    let list = ancestors.last().map_or("", String::as_str);
    match at(root, ancestors) {
        Some(Value::Array(items)) => items.len() > 1 || !NEVER_EMPTY.contains(&list),
        Some(Value::Object(_)) if FREE_MAPS.contains(&list) => {
            let is_size_of_claim = list == "requests" && last == "storage";
            !has_limit(root, way) && !is_size_of_claim
        }
        Some(Value::Object(siblings)) => {
            // The keys are values of labels that the selector is about.
            let is_asked_for = last == "labelSelector" && siblings.contains_key("matchLabelKeys");
            !NEEDED.contains(&last.as_str()) && !is_asked_for
        }
        _ => false,
    }
}

/// A request for which there is a limit: without it, or with less, the API server would have made another one.
fn has_limit(root: &Value, way: &[String]) -> bool {
    let [resources @ .., list, name] = way else {
        return false;
    };
    list == "requests" && at(root, resources).is_some_and(|resources| resources["limits"][name].is_string())
}

fn plainer(root: &Value, way: &[String], value: &Value) -> Vec<Value> {
    let Some([.., parent, last]) = way.last_chunk::<2>().map(|chunk| chunk.as_slice()) else {
        return vec![];
    };
    let choices = match (parent.as_str(), last.as_str()) {
        ("requests" | "overhead", "storage") => vec![json!("1Gi")],
        ("requests" | "overhead" | "allocatable" | "allocatedResources", _) if !has_limit(root, way) => {
            vec![json!("0"), json!("1"), json!("2"), json!("1Gi")]
        }
        (_, "priority") => vec![json!(0), json!(1)],
        (_, "weight" | "maxSkew" | "minDomains" | "count") => vec![json!(1)],
        _ => vec![],
    };
    // Only what stands before the value is plainer than it, so that the search comes to an end.
    choices.into_iter().take_while(|choice| choice != value).collect()
}

fn at<'a>(root: &'a Value, way: &[String]) -> Option<&'a Value> {
    way.iter().try_fold(root, |value, step| match value {
        Value::Array(list) => list.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    })
}

fn changed(case: &Case, way: &[String], change: &Change) -> Option<Case> {
    let mut root = case.to_json();
    let (last, ancestors) = way.split_last()?;
    let parent = ancestors.iter().try_fold(&mut root, |value, step| match value {
        Value::Array(list) => list.get_mut(step.parse::<usize>().ok()?),
        other => other.get_mut(step),
    })?;
    match (parent, change) {
        (Value::Array(list), Change::Remove) => drop(list.remove(last.parse().ok()?)),
        (Value::Object(map), Change::Remove) => drop(map.remove(last)),
        (Value::Object(map), Change::Replace(value)) => drop(map.insert(last.clone(), value.clone())),
        _ => return None,
    }
    Case::from_json(&root)
        .ok()
        .map(Case::as_stored)
        .filter(|changed| changed != case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;

    fn has_gt(case: &Case) -> bool {
        case.to_json().to_string().contains("\"Gt\"")
    }

    #[test]
    fn only_what_the_difference_needs_is_left() {
        let case = Case {
            id: "a".into(),
            objects: vec![
                json!({"kind": "Node", "metadata": {"name": "n1", "labels": {"a": "b"}}}),
                json!({"kind": "Node", "metadata": {"name": "n2", "labels": {"a": "b", "c": "d"}},
                    "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}}),
            ],
            pod: json!({"metadata": {"name": "p"}, "spec": {"priority": 7, "tolerations": [{"operator": "Exists"}]}}),
            config: Some(json!({"profiles": [{}]})),
        };
        let needs = |case: &Case| {
            let has_node = |name: &str| case.objects.iter().any(|node| node["metadata"]["name"] == name);
            has_node("n2") && case.objects.iter().any(|node| node["metadata"]["labels"]["c"] == "d")
        };
        let smallest = shrink(&case, 1000, needs);
        let node = json!({"kind": "Node", "metadata": {"name": "n2", "labels": {"c": "d"}}});
        let pod = json!({"metadata": {"name": "p"}, "spec": {}});
        assert_eq!(
            (smallest.objects, smallest.pod, smallest.config),
            (vec![node], pod, None)
        );
    }

    #[test]
    fn generated_cases_shrink_to_a_fraction_and_keep_what_they_need() {
        let cases = (0..400).map(|index| generate(3, index, 37)).filter(has_gt);
        for case in cases.take(20) {
            let smallest = shrink(&case, 5000, has_gt);
            assert!(has_gt(&smallest));
            let (before, after) = (case.to_json().to_string().len(), smallest.to_json().to_string().len());
            assert!(after < 1000, "{before} → {after}: {}", smallest.to_json());
        }
    }

    #[test]
    fn the_number_of_questions_is_bounded() {
        let mut questions = 0;
        shrink(&generate(3, 1, 37), 10, |_| {
            questions += 1;
            true
        });
        assert_eq!(questions, 10);
    }

    #[test]
    fn what_an_api_server_demands_stays() {
        let case = Case {
            id: "a".into(),
            objects: vec![],
            pod: json!({"spec": {
                "containers": [{"name": "c", "resources": {"requests": {"cpu": "4"}, "limits": {"cpu": "4"}}}],
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}],
                }}},
            }}),
            config: None,
        };
        // Everything goes but the requirement itself.
        let smallest = shrink(&case, 1000, |case| case.to_json().to_string().contains("\"In\""));
        let terms = &smallest.pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let requirement = &terms["nodeSelectorTerms"][0]["matchExpressions"][0];
        assert_eq!(requirement, &json!({"key": "a", "operator": "In", "values": ["b"]}));
        assert_eq!(smallest.pod["spec"]["containers"], json!([{"name": "c"}]));
        // A request does not go before its limit.
        let requests = |case: &Case| changes(case, 7).into_iter().map(|(way, _)| way.join("/"));
        let ways: Vec<String> = requests(&case).filter(|way| way.contains("requests")).collect();
        assert_eq!(ways, Vec::<String>::new());
    }
}
