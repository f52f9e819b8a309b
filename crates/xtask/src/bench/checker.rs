//! Whether every pod went where it may: the binds of a run, replayed one by one.
//!
//! Straightforward on purpose, and independent of Muster's crates: it reads the pods and nodes of the setting, keeps a
//! tally for each selector that a pod of it names, and asks every rule at every bind. What it does not understand of a pod
//! is an error, so that no case can be measured without being judged.

mod subject;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::case::Setting;
use subject::{Amounts, Kind, Labels, Rule, Subject, allocatable, is_selected};

/// A scheduler decides while binds are on their way, and they arrive in any order. So many at most are taken for decided
/// before one that was stored before them: they were on their way when it arrived, and no scheduler here has more.
const ON_THEIR_WAY: usize = 64;
/// How far behind its turn a bind that was slow may have been stored.
const LATE_BY: usize = 256;

/// Where a pod went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bind {
    /// The name of the pod.
    pub(super) pod: String,
    /// The name of the node.
    pub(super) node: String,
}

/// What the replay came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Judgement {
    /// The first thing that is wrong.
    pub(super) wrong: Option<String>,
    /// By how many that must have been decided earlier a bind was followed in the store, at the most.
    pub(super) overtaken_by: usize,
    /// Of the wishes that need not be granted, the share that held when their pod was bound, if there were any.
    pub(super) wishes_held: Option<f64>,
}

/// Replays binds, in the order in which they were stored, on the nodes of a setting with the pods that run there.
///
/// # Errors
/// Where the setting asks for something that is not understood here.
pub(super) fn replay(setting: &Setting, binds: &[Bind]) -> Result<Judgement> {
    let read = |pods: &[Value]| -> Result<Vec<Subject>> { pods.iter().map(Subject::read).collect() };
    let (running, waiting) = (read(&setting.bound)?, read(&setting.pods)?);
    let known: BTreeMap<&str, &Subject> = waiting.iter().map(|pod| (pod.name.as_str(), pod)).collect();
    let mut ledger = Ledger::new(setting, waiting.iter().chain(&running))?;
    for pod in &running {
        let node = pod.node.as_deref().context("a pod that runs has no node")?;
        ledger.place(pod, node);
    }
    let mut left = VecDeque::new();
    for (n, bind) in binds.iter().enumerate() {
        let pod = known.get(bind.pod.as_str()).copied();
        let pod = pod.with_context(|| format!("{} is no pod of the setting", bind.pod))?;
        left.push_back(Stored {
            n,
            pod,
            node: &bind.node,
        });
    }
    let mut judgement = Judgement::default();
    let (mut held, mut asked) = (0, 0);
    for turn in 0..binds.len() {
        let Some(next) = next_decided(&ledger, &left, turn) else {
            judgement.wrong = left.front().and_then(|first| {
                let objection = ledger.objection(first.pod, first.node)?;
                Some(format!("{} on {}: {objection}", first.pod.name, first.node))
            });
            return Ok(judgement);
        };
        if let Some(first) = left.front().filter(|_| next > 0) {
            judgement.overtaken_by = judgement.overtaken_by.max(turn + 1 - first.n);
        }
        let Some(bind) = left.remove(next) else { break };
        let wishes = ledger.wishes(bind.pod, bind.node);
        (held, asked) = (held + wishes.0, asked + wishes.1);
        ledger.place(bind.pod, bind.node);
    }
    judgement.wishes_held = (asked > 0).then(|| held as f64 / asked as f64);
    judgement.wrong = broken_gang(setting, binds)?;
    Ok(judgement)
}

/// A bind that is to be replayed.
struct Stored<'a> {
    /// How many were stored before it.
    n: usize,
    pod: &'a Subject,
    node: &'a str,
}

/// Which of those that are left may have been decided next, when so many were: the first to which there is no objection.
fn next_decided(ledger: &Ledger, left: &VecDeque<Stored<'_>>, n_decided: usize) -> Option<usize> {
    let n_overtaken_by = n_decided - left.front()?.n;
    let n_candidates = if n_overtaken_by < ON_THEIR_WAY { LATE_BY } else { 1 };
    let is_allowed = |bind: &Stored<'_>| ledger.objection(bind.pod, bind.node).is_none();
    left.iter().take(n_candidates).position(is_allowed)
}

/// All of a gang, or nothing: each needs all of its members.
fn broken_gang(setting: &Setting, binds: &[Bind]) -> Result<Option<String>> {
    let bound: BTreeSet<&str> = binds.iter().map(|bind| bind.pod.as_str()).collect();
    for (n, members) in setting.gangs.iter().enumerate() {
        let mut n_bound = 0;
        for member in members {
            n_bound += usize::from(bound.contains(name(&setting.pods[*member])?));
        }
        if n_bound > 0 && n_bound < members.len() {
            return Ok(Some(format!(
                "of gang {n} {n_bound} of {} members are bound",
                members.len()
            )));
        }
    }
    Ok(None)
}

/// What is placed, by node and by what the rules are about.
struct Ledger {
    nodes: BTreeMap<String, Node>,
    tallies: Vec<Tally>,
}

struct Node {
    free: Amounts,
    labels: Labels,
}

/// The pods that a selector is about, by domain.
struct Tally {
    topology_key: String,
    selector: Labels,
    /// For every domain that has a node.
    pods: BTreeMap<String, usize>,
    /// The domains with a pod that wants none of them near it.
    guarded: BTreeSet<String>,
}

impl Ledger {
    fn new<'a>(setting: &Setting, pods: impl Iterator<Item = &'a Subject>) -> Result<Ledger> {
        let mut nodes = BTreeMap::new();
        for node in &setting.nodes {
            if !node.taints.is_empty() || node.unschedulable {
                bail!("nodes that keep pods away are not judged here");
            }
            let (labels, free) = allocatable(&node.object())?;
            nodes.insert(node.name.clone(), Node { free, labels });
        }
        let mut ledger = Ledger {
            nodes,
            tallies: Vec::new(),
        };
        for rule in pods.flat_map(|pod| &pod.rules) {
            if ledger.tally(rule).is_none() {
                let domains = ledger
                    .nodes
                    .values()
                    .filter_map(|node| node.labels.get(&rule.topology_key));
                let tally = Tally {
                    topology_key: rule.topology_key.clone(),
                    selector: rule.selector.clone(),
                    pods: domains.map(|domain| (domain.clone(), 0)).collect(),
                    guarded: BTreeSet::new(),
                };
                ledger.tallies.push(tally);
            }
        }
        Ok(ledger)
    }

    fn tally(&self, rule: &Rule) -> Option<&Tally> {
        let is_same = |tally: &&Tally| tally.topology_key == rule.topology_key && tally.selector == rule.selector;
        self.tallies.iter().find(is_same)
    }

    /// Why a pod may not go to a node, as things stand.
    fn objection(&self, pod: &Subject, node_name: &str) -> Option<String> {
        let Some(node) = self.nodes.get(node_name) else {
            return Some("there is no such node".to_owned());
        };
        for (resource, amount) in &pod.requests {
            let free = node.free.get(resource).copied().unwrap_or(0);
            if free < *amount {
                return Some(format!("{amount} thousandths of {resource} do not fit into {free}"));
            }
        }
        let mut required = pod.rules.iter().filter(|rule| rule.is_required);
        let broken = required.find_map(|rule| self.broken(rule, pod, node));
        broken.or_else(|| {
            let guarded = self.tallies.iter().find(|tally| {
                let domain = node.labels.get(&tally.topology_key);
                domain.is_some_and(|domain| tally.guarded.contains(domain)) && is_selected(&tally.selector, &pod.labels)
            });
            guarded.map(|tally| format!("a pod in its {} wants none like it there", tally.topology_key))
        })
    }

    /// In which way a rule does not hold.
    fn broken(&self, rule: &Rule, pod: &Subject, node: &Node) -> Option<String> {
        let key = &rule.topology_key;
        let tally = self.tally(rule)?;
        let Some(domain) = node.labels.get(key) else {
            return match rule.kind {
                Kind::Apart => None,
                Kind::Spread { .. } | Kind::Together => Some(format!("the node has no {key}")),
            };
        };
        let here = tally.pods.get(domain).copied().unwrap_or(0);
        let is_one_itself = is_selected(&rule.selector, &pod.labels);
        match rule.kind {
            Kind::Spread { max_skew } => {
                let least = tally.pods.values().min().copied().unwrap_or(0);
                let skew = here + usize::from(is_one_itself) - least;
                (skew > max_skew).then(|| format!("a skew of {skew} over {key}, {max_skew} is allowed"))
            }
            Kind::Together => {
                let would_be_first = is_one_itself && tally.pods.values().all(|n| *n == 0);
                (here == 0 && !would_be_first).then(|| format!("none that it wants to be with in its {key}"))
            }
            Kind::Apart => (here > 0).then(|| format!("{here} that it does not want in its {key}")),
        }
    }

    /// How many of a pod's wishes hold at a node, and how many it has.
    fn wishes(&self, pod: &Subject, node_name: &str) -> (usize, usize) {
        let Some(node) = self.nodes.get(node_name) else {
            return (0, 0);
        };
        let wishes = pod.rules.iter().filter(|rule| !rule.is_required);
        let held = wishes.clone().filter(|rule| self.broken(rule, pod, node).is_none());
        (held.count(), wishes.count())
    }

    fn place(&mut self, pod: &Subject, node_name: &str) {
        let Some(node) = self.nodes.get_mut(node_name) else {
            return;
        };
        for (resource, amount) in &pod.requests {
            *node.free.entry(resource.clone()).or_default() -= amount;
        }
        for tally in &mut self.tallies {
            let Some(domain) = node.labels.get(&tally.topology_key) else {
                continue;
            };
            if is_selected(&tally.selector, &pod.labels) {
                *tally.pods.entry(domain.clone()).or_default() += 1;
            }
            let guards = |rule: &Rule| {
                let is_about = rule.topology_key == tally.topology_key && rule.selector == tally.selector;
                matches!(rule.kind, Kind::Apart) && rule.is_required && is_about
            };
            if pod.rules.iter().any(guards) {
                tally.guarded.insert(domain.clone());
            }
        }
    }
}

fn name(pod: &Value) -> Result<&str> {
    pod["metadata"]["name"].as_str().context("a pod has no name")
}

#[cfg(test)]
mod tests {
    use super::super::case::{Case, Cell};
    use super::*;
    use crate::kube_minor::KubeMinor;

    /// Twenty nodes, two in each of ten zones.
    fn setting(case: Case, pods: usize) -> Setting {
        let gangs = if case == Case::Gang { 2 } else { 0 };
        let cell = Cell {
            pods,
            gangs,
            ..Cell::usual(KubeMinor::V1_35, case, 20)
        };
        cell.setting().unwrap()
    }

    /// The pods in their order, on nodes by number.
    fn binds(nodes: impl IntoIterator<Item = usize>) -> Vec<Bind> {
        let nodes = nodes.into_iter().enumerate();
        nodes
            .map(|(pod, node)| Bind {
                pod: format!("pod-{pod}"),
                node: format!("node-{node}"),
            })
            .collect()
    }

    fn judged(case: Case, nodes: impl IntoIterator<Item = usize>) -> Judgement {
        let binds = binds(nodes);
        replay(&setting(case, binds.len()), &binds).unwrap()
    }

    #[track_caller]
    fn assert_wrong(judgement: &Judgement, expected: &str) {
        assert_eq!(judgement.wrong.as_deref(), Some(expected));
    }

    #[test]
    fn more_than_a_node_has_is_wrong() {
        assert_eq!(judged(Case::Plain, vec![7; 40]), Judgement::default());
        assert_wrong(
            &judged(Case::Plain, vec![7; 41]),
            "pod-40 on node-7: 100 thousandths of cpu do not fit into 0",
        );
        // Ten pods a node run already.
        let start = setting(Case::Start, 31);
        assert_wrong(
            &replay(&start, &binds(vec![7; 31])).unwrap(),
            "pod-30 on node-7: 100 thousandths of cpu do not fit into 0",
        );
        assert_eq!(replay(&start, &binds(vec![7; 30])).unwrap().wrong, None);
    }

    #[test]
    fn pods_take_slots_too() {
        let mut setting = setting(Case::Plain, 3);
        setting.nodes[0].pods = 2;
        assert_wrong(
            &replay(&setting, &binds([0, 0, 0])).unwrap(),
            "pod-2 on node-0: 1000 thousandths of pods do not fit into 0",
        );
    }

    #[test]
    fn a_node_that_is_not_there_is_wrong() {
        assert_wrong(&judged(Case::Plain, [20]), "pod-0 on node-20: there is no such node");
    }

    #[test]
    fn hard_spread_holds_at_every_bind() {
        assert_eq!(judged(Case::ZoneSpread, (0..40).map(|n| n % 20)), Judgement::default());
        // In the end all zones have twenty; on the way there one had twenty while others had none.
        let judgement = judged(Case::ZoneSpread, (0..200).map(|n| n / 20));
        assert_wrong(
            &judgement,
            "pod-8 on node-0: a skew of 2 over topology.kubernetes.io/zone, 1 is allowed",
        );
    }

    #[test]
    fn binds_that_were_on_their_way_together_may_change_places() {
        // The second one of zone 0 overtook the last zone's first.
        let judgement = judged(Case::ZoneSpread, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 9]);
        assert_eq!((judgement.wrong, judgement.overtaken_by), (None, 1));
        // Three of the next round did, but it is the same one that each of them has to wait for.
        let judgement = judged(Case::ZoneSpread, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 9, 13]);
        assert_eq!((judgement.wrong, judgement.overtaken_by), (None, 1));
    }

    #[test]
    fn no_bind_is_overtaken_by_more_than_can_be_on_their_way() {
        // Zone by zone: the last of the first zone comes after the last but one of all the others.
        let zone_by_zone = |of_each: usize| judged(Case::ZoneSpread, (0..10 * of_each).map(|n| n / of_each));
        let judgement = zone_by_zone(8);
        assert_eq!((judgement.wrong, judgement.overtaken_by), (None, 63));
        assert!(zone_by_zone(9).wrong.is_some());
    }

    #[test]
    fn no_bind_is_later_than_a_slow_one() {
        // One zone is left out at first.
        let late = |rounds: usize| judged(Case::ZoneSpread, (0..9 * rounds).map(|n| n % 9).chain(vec![9; rounds]));
        assert_eq!(late(28).wrong, None);
        assert!(late(30).wrong.is_some());
    }

    #[test]
    fn required_affinity_wants_one_zone() {
        assert_eq!(judged(Case::ZoneAffinity, [3, 13, 3, 13]), Judgement::default());
        assert_wrong(
            &judged(Case::ZoneAffinity, [3, 13, 4]),
            "pod-2 on node-4: none that it wants to be with in its topology.kubernetes.io/zone",
        );
    }

    #[test]
    fn anti_affinity_wants_a_node_for_each() {
        assert_eq!(judged(Case::HostAntiAffinity, 0..20), Judgement::default());
        assert_wrong(
            &judged(Case::HostAntiAffinity, [0, 1, 0]),
            "pod-2 on node-0: 1 that it does not want in its kubernetes.io/hostname",
        );
    }

    #[test]
    fn anti_affinity_keeps_those_away_that_come_later() {
        let mut setting = setting(Case::HostAntiAffinity, 2);
        setting.pods[1]["spec"]["affinity"].take();
        setting.pods[1]["spec"].as_object_mut().unwrap().remove("affinity");
        assert_wrong(
            &replay(&setting, &binds([0, 0])).unwrap(),
            "pod-1 on node-0: a pod in its kubernetes.io/hostname wants none like it there",
        );
        assert_eq!(replay(&setting, &binds([0, 1])).unwrap().wrong, None);
    }

    #[test]
    fn wishes_are_counted_and_not_demanded() {
        let spread = judged(Case::HostnameSpread, [0, 1, 1, 2]);
        assert_eq!((spread.wrong, spread.wishes_held), (None, Some(0.75)));
        let near = judged(Case::ZoneAffinityPreferred, [0, 10, 1, 11]);
        assert_eq!((near.wrong, near.wishes_held), (None, Some(0.75)));
    }

    #[test]
    fn a_gang_is_bound_whole_or_not_at_all() {
        let setting = setting(Case::Gang, 6);
        let of_gang = |members: usize| replay(&setting, &binds(vec![0; members])).unwrap().wrong;
        assert_eq!(of_gang(0), None);
        assert_eq!(of_gang(3), None);
        assert_eq!(of_gang(6), None);
        assert_eq!(of_gang(2).as_deref(), Some("of gang 0 2 of 3 members are bound"));
        assert_eq!(of_gang(5).as_deref(), Some("of gang 1 2 of 3 members are bound"));
    }

    #[test]
    fn what_is_not_understood_is_no_answer() {
        let mut setting = setting(Case::Plain, 1);
        setting.pods[0]["spec"]["nodeSelector"] = serde_json::json!({ "disk": "fast" });
        assert!(replay(&setting, &binds([0])).is_err());
        let stranger = Bind {
            pod: "stranger".to_owned(),
            node: "node-0".to_owned(),
        };
        assert!(replay(&super::tests::setting(Case::Plain, 1), &[stranger]).is_err());
    }
}
