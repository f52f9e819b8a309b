//! Whether every plugin was really asked: how often each let a pod pass that concerned it, rejected one, and scored
//! nodes differently. A plugin that was never asked proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::case::{Answer, Case};

/// Upstream's filters in the order in which they are asked, and from which minor on they are there. A node that a later
/// one rejects has passed the earlier ones.
const FILTERS: [(&str, u32); 14] = [
    ("SchedulingGates", 0),
    ("NodeName", 0),
    ("NodeUnschedulable", 0),
    ("TaintToleration", 0),
    ("NodeAffinity", 0),
    ("NodePorts", 0),
    ("NodeResourcesFit", 0),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 0),
    ("VolumeZone", 0),
    ("PodTopologySpread", 0),
    ("InterPodAffinity", 0),
    ("NodeDeclaredFeatures", 36),
];

/// Upstream's scores, and from which minor on they are there.
const SCORES: [(&str, u32); 8] = [
    ("TaintToleration", 0),
    ("NodeAffinity", 0),
    ("NodeResourcesFit", 0),
    ("VolumeBinding", 37),
    ("PodTopologySpread", 0),
    ("InterPodAffinity", 0),
    ("NodeResourcesBalancedAllocation", 0),
    ("ImageLocality", 0),
];

/// The names of all plugins that filter or score in that minor.
pub fn plugins(minor: u32) -> Vec<&'static str> {
    let all = FILTERS.iter().chain(&SCORES);
    let mut names: Vec<&str> = all
        .filter(|(_, since)| *since <= minor)
        .map(|(name, _)| *name)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// How often something happened, by the plugin.
type Tally = BTreeMap<&'static str, usize>;

/// What a run has asked the plugins.
#[derive(Debug, Clone, PartialEq)]
pub struct Coverage {
    /// The Kubernetes minor, the number after `1.`.
    minor: u32,
    cases: usize,
    /// Cases with a node that fits.
    placeable: usize,
    passed: Tally,
    rejected: Tally,
    scored_apart: Tally,
}

impl Coverage {
    /// Of a run in that minor (the number after `1.`), before its first case.
    pub fn new(minor: u32) -> Coverage {
        Coverage {
            minor,
            cases: 0,
            placeable: 0,
            passed: Tally::new(),
            rejected: Tally::new(),
            scored_apart: Tally::new(),
        }
    }

    /// Counts a case, by what upstream says of it.
    pub fn add(&mut self, case: &Case, upstream: &Answer) {
        self.cases += 1;
        self.placeable += usize::from(!upstream.feasible().is_empty());
        let is_there = |since: u32| since <= self.minor;
        for (order, (name, _)) in FILTERS.iter().enumerate().filter(|(_, (_, since))| is_there(*since)) {
            if rejects(upstream, name) {
                *self.rejected.entry(name).or_default() += 1;
            }
            if passes(case, upstream, name, order) {
                *self.passed.entry(name).or_default() += 1;
            }
        }
        for (name, _) in SCORES.iter().filter(|(_, since)| is_there(*since)) {
            let mut raw = upstream.scores().map(|(_, scores)| &scores["raw"][name]);
            let first = raw.next();
            if raw.any(|score| Some(score) != first) {
                *self.scored_apart.entry(name).or_default() += 1;
            }
        }
    }

    /// Adds what another part of the run has counted.
    pub fn merge(&mut self, other: &Coverage) {
        self.cases += other.cases;
        self.placeable += other.placeable;
        for (tally, others) in [
            (&mut self.passed, &other.passed),
            (&mut self.rejected, &other.rejected),
            (&mut self.scored_apart, &other.scored_apart),
        ] {
            for (name, count) in others {
                *tally.entry(name).or_default() += count;
            }
        }
    }

    /// What no case has asked, one sentence each.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (name, _) in FILTERS.iter().filter(|(_, since)| *since <= self.minor) {
            for (tally, did) in [(&self.passed, "let a pod pass"), (&self.rejected, "rejected a pod")] {
                if !tally.contains_key(name) {
                    missing.push(format!("{name} never {did} that concerned it"));
                }
            }
        }
        for (name, _) in SCORES.iter().filter(|(_, since)| *since <= self.minor) {
            if !self.scored_apart.contains_key(name) {
                missing.push(format!("{name} never scored two nodes differently"));
            }
        }
        missing
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} cases, {} with a node that fits", self.cases, self.placeable)?;
        writeln!(
            f,
            "{:<33}{:>9}{:>10}{:>14}",
            "plugin", "passed", "rejected", "scored apart"
        )?;
        for name in plugins(self.minor) {
            let is_among =
                |list: &[(&str, u32)]| list.iter().any(|(known, since)| *known == name && *since <= self.minor);
            let count = |tally: &Tally, applies: bool| match tally.get(name) {
                Some(count) => count.to_string(),
                None if applies => "0".to_owned(),
                None => "-".to_owned(),
            };
            let (filters, scores) = (is_among(&FILTERS), is_among(&SCORES));
            writeln!(
                f,
                "{name:<33}{:>9}{:>10}{:>14}",
                count(&self.passed, filters),
                count(&self.rejected, filters),
                count(&self.scored_apart, scores)
            )?;
        }
        Ok(())
    }
}

fn rejects(upstream: &Answer, plugin: &str) -> bool {
    let rejects_all = |stage| upstream.rejecting_plugin(stage) == Some(plugin);
    // A node that PreFilter left out has no plugin of its own; the reason names those that narrowed the choice.
    let narrows = |reason: &Value| {
        let mut words = reason
            .as_str()
            .unwrap_or_default()
            .split(|c: char| !c.is_alphanumeric());
        words.any(|word| word == plugin)
    };
    let rejects_one = || {
        upstream.nodes().any(|(_, verdict)| {
            let is_left_out = verdict["stage"] == "prefilter";
            verdict["plugin"] == plugin || is_left_out && items(&verdict["reasons"]).any(narrows)
        })
    };
    rejects_all("preenqueue") || rejects_all("prefilter") || rejects_one()
}

/// Whether the plugin had something to say on the case, and let the pod pass on a node all the same.
fn passes(case: &Case, upstream: &Answer, plugin: &str, order: usize) -> bool {
    // With plugins turned off, having passed says nothing of them.
    let profile = case.config.as_ref().map(|config| &config["profiles"][0]);
    if profile.is_some_and(|profile| profile["plugins"].is_object()) {
        return false;
    }
    let concern = concern(case, plugin);
    if matches!(concern, Concern::Nothing) {
        return false;
    }
    if plugin == "SchedulingGates" {
        return upstream.rejecting_plugin("preenqueue").is_none();
    }
    upstream.nodes().any(|(name, verdict)| {
        let got_past = verdict["ok"] == true || position(&verdict["plugin"]).is_some_and(|at| at > order);
        got_past && verdict["stage"].is_null() && concern.is_about(case, name)
    })
}

fn position(plugin: &Value) -> Option<usize> {
    FILTERS.iter().position(|(name, _)| plugin == name)
}

/// On which nodes a plugin had something to say.
enum Concern {
    Nothing,
    EveryNode,
    Nodes(fn(&Case, &Value) -> bool),
}

impl Concern {
    fn is_about(&self, case: &Case, node_name: &str) -> bool {
        match self {
            Concern::Nothing => false,
            Concern::EveryNode => true,
            Concern::Nodes(is_about) => case
                .objects_of("Node")
                .any(|node| node["metadata"]["name"] == node_name && is_about(case, node)),
        }
    }
}

fn concern(case: &Case, plugin: &str) -> Concern {
    let spec = &case.pod["spec"];
    let when = |condition: bool| {
        if condition {
            Concern::EveryNode
        } else {
            Concern::Nothing
        }
    };
    match plugin {
        "SchedulingGates" => when(spec["schedulingGates"].is_null()),
        "NodeName" => when(spec["nodeName"].is_string()),
        "NodeUnschedulable" => Concern::Nodes(|_, node| node["spec"]["unschedulable"] == true),
        "TaintToleration" => {
            Concern::Nodes(|_, node| items(&node["spec"]["taints"]).any(|taint| taint["effect"] != "PreferNoSchedule"))
        }
        "NodeAffinity" => {
            when(holds(&spec["nodeSelector"]) || holds(&required(spec, "nodeAffinity")["nodeSelectorTerms"]))
        }
        "NodePorts" => when(has_host_port(spec)),
        "NodeResourcesFit" => {
            when(items(&spec["containers"]).any(|container| holds(&container["resources"]["requests"])))
        }
        "VolumeRestrictions" => when(has_restricted_volume(case)),
        "NodeVolumeLimits" if has_claim(spec) => Concern::Nodes(has_limits),
        "VolumeBinding" => when(has_claim(spec)),
        "VolumeZone" if has_claim(spec) && has_zoned_volume(case) => Concern::Nodes(|_, node| {
            let labels = node["metadata"]["labels"].as_object();
            labels.is_some_and(|labels| labels.keys().any(|key| key.ends_with("/zone")))
        }),
        "PodTopologySpread" => when(
            items(&spec["topologySpreadConstraints"])
                .any(|constraint| constraint["whenUnsatisfiable"] == "DoNotSchedule"),
        ),
        "InterPodAffinity" => when(
            holds(required(spec, "podAffinity"))
                || holds(required(spec, "podAntiAffinity"))
                || case
                    .objects_of("Pod")
                    .any(|pod| holds(required(&pod["spec"], "podAntiAffinity"))),
        ),
        "NodeDeclaredFeatures" => when(
            spec["hostNetwork"] == true && spec["hostUsers"] == false
                || items(&spec["containers"])
                    .flat_map(|container| items(&container["restartPolicyRules"]))
                    .any(|rule| rule["action"] == "RestartAllContainers"),
        ),
        _ => Concern::Nothing,
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Whether a list or an object has something in it.
fn holds(value: &Value) -> bool {
    value.as_array().is_some_and(|list| !list.is_empty()) || value.as_object().is_some_and(|map| !map.is_empty())
}

fn required<'a>(spec: &'a Value, kind: &str) -> &'a Value {
    &spec["affinity"][kind]["requiredDuringSchedulingIgnoredDuringExecution"]
}

fn has_host_port(spec: &Value) -> bool {
    let sidecars = items(&spec["initContainers"]).filter(|init| init["restartPolicy"] == "Always");
    let mut containers = items(&spec["containers"]).chain(sidecars);
    containers
        .any(|container| items(&container["ports"]).any(|port| port["hostPort"].as_u64().is_some_and(|port| port > 0)))
}

fn claim_names(spec: &Value) -> impl Iterator<Item = &Value> {
    items(&spec["volumes"])
        .map(|volume| &volume["persistentVolumeClaim"]["claimName"])
        .filter(|name| name.is_string())
}

fn claims(case: &Case) -> impl Iterator<Item = &Value> {
    let is_wanted = |claim: &&Value| {
        claim["metadata"]["namespace"] == case.pod["metadata"]["namespace"]
            && claim_names(&case.pod["spec"]).any(|name| *name == claim["metadata"]["name"])
    };
    case.objects_of("PersistentVolumeClaim").filter(is_wanted)
}

fn has_claim(spec: &Value) -> bool {
    items(&spec["volumes"]).any(|volume| volume["persistentVolumeClaim"].is_object() || volume["ephemeral"].is_object())
}

fn has_restricted_volume(case: &Case) -> bool {
    let disks = ["gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd"];
    let has_disk = items(&case.pod["spec"]["volumes"]).any(|volume| disks.iter().any(|disk| volume[disk].is_object()));
    has_disk || claims(case).any(|claim| claim["spec"]["accessModes"][0] == "ReadWriteOncePod")
}

fn has_limits(case: &Case, node: &Value) -> bool {
    case.objects_of("CSINode").any(|csi_node| {
        csi_node["metadata"]["name"] == node["metadata"]["name"]
            && items(&csi_node["spec"]["drivers"]).any(|driver| driver["allocatable"]["count"].is_u64())
    })
}

fn has_zoned_volume(case: &Case) -> bool {
    let bound: Vec<&Value> = claims(case).map(|claim| &claim["spec"]["volumeName"]).collect();
    case.objects_of("PersistentVolume").any(|volume| {
        let labels = volume["metadata"]["labels"].as_object();
        bound.contains(&&volume["metadata"]["name"])
            && labels.is_some_and(|labels| labels.keys().any(|key| key.ends_with("/zone")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn case(pod_spec: Value, nodes: &[Value]) -> Case {
        Case {
            id: "a".into(),
            objects: nodes.to_vec(),
            pod: json!({"metadata": {"name": "p", "namespace": "default"}, "spec": pod_spec}),
            config: None,
        }
    }

    fn node(name: &str, spec: Value) -> Value {
        json!({"kind": "Node", "metadata": {"name": name}, "spec": spec})
    }

    fn coverage(case: &Case, answer: Value) -> Coverage {
        let mut coverage = Coverage::new(37);
        coverage.add(case, &Answer::new(answer));
        coverage
    }

    #[test]
    fn a_pass_counts_only_where_the_plugin_had_something_to_say() {
        let answer = json!({"nodes": {"n1": {"ok": true}}});
        let plain = coverage(&case(json!({}), &[node("n1", json!({}))]), answer.clone());
        assert_eq!(plain.passed.keys().collect::<Vec<_>>(), [&"SchedulingGates"]);
        let tainted = node(
            "n1",
            json!({"taints": [{"key": "a", "effect": "NoSchedule"}], "unschedulable": true}),
        );
        let with_ports = json!({"containers": [{"ports": [{"hostPort": 80}]}]});
        let concerned = coverage(&case(with_ports, &[tainted]), answer);
        let expected = ["NodePorts", "NodeUnschedulable", "SchedulingGates", "TaintToleration"];
        assert_eq!(concerned.passed.into_keys().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_node_that_a_later_filter_rejects_has_passed_the_earlier_ones() {
        let spec = json!({"nodeSelector": {"a": "b"}, "containers": [{"ports": [{"hostPort": 80}]}]});
        let answer = json!({"nodes": {"n1": {"ok": false, "plugin": "NodePorts"}}});
        let coverage = coverage(&case(spec, &[node("n1", json!({}))]), answer);
        assert_eq!(coverage.passed.get("NodeAffinity"), Some(&1));
        assert_eq!(coverage.passed.get("NodePorts"), None);
        assert_eq!(coverage.rejected.get("NodePorts"), Some(&1));
    }

    #[test]
    fn a_node_that_was_never_looked_at_counts_for_who_left_it_out() {
        let reason = "node(s) didn't satisfy plugin(s) [NodeAffinity NodeName]";
        let answer = json!({"nodes": {"n1": {"ok": false, "stage": "prefilter", "reasons": [reason]}}});
        let coverage = coverage(&case(json!({}), &[node("n1", json!({}))]), answer);
        assert_eq!(
            coverage.rejected.into_keys().collect::<Vec<_>>(),
            ["NodeAffinity", "NodeName"]
        );
    }

    #[test]
    fn scores_count_when_they_set_nodes_apart() {
        let scores = |a: i64, b: i64| json!({"scores": {"n1": {"raw": {"ImageLocality": a}}, "n2": {"raw": {"ImageLocality": b}}}});
        let case = case(json!({}), &[]);
        assert!(coverage(&case, scores(1, 1)).scored_apart.is_empty());
        assert_eq!(
            coverage(&case, scores(1, 2)).scored_apart.get("ImageLocality"),
            Some(&1)
        );
    }

    #[test]
    fn nothing_asked_is_all_missing_and_merging_adds() {
        assert_eq!(Coverage::new(35).missing().len(), 13 * 2 + 7);
        let mut coverage = Coverage::new(37);
        assert_eq!(coverage.missing().len(), 14 * 2 + 8);
        let other = self::coverage(
            &case(json!({}), &[]),
            json!({"preenqueue": {"plugin": "SchedulingGates"}}),
        );
        coverage.merge(&other);
        coverage.merge(&other);
        assert_eq!(coverage.rejected.get("SchedulingGates"), Some(&2));
        assert!(coverage.to_string().contains("2 cases"));
    }
}
