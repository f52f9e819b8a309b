//! What people, node controllers and a rival are going to do: a list of acts, each with its time, from the seed.

use super::chaos::mix;
use super::objects::{self, Gang};
use super::profile::{FaultKind, Profile};
use crate::object::{Key, ObjectKind};
use crate::random::Random;
use muster_engine::Time;
use serde_json::Value;
use std::fmt;

/// Something that somebody does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    /// Creates an object, or changes it.
    Apply(Value),
    /// Deletes an object that is no pod.
    Delete(Key),
    /// Closes a node, or opens it.
    Cordon { node: String, closed: bool },
    /// Taints a node, or takes the taint away.
    Taint { node: String, on: bool },
    /// Gives a node another size.
    Resize { node: String, cpu: u64 },
    /// Deletes one of the pods there are.
    DeletePod { pick: u64 },
    /// Changes `minCount` of a gang.
    SetMinCount { key: Key, min_count: u64 },
    /// Takes the gates from a pod.
    Ungate { pod: String },
    /// Makes a pod of the rival and binds it; with `crowds` to a node that has no room.
    RivalBinds {
        name: String,
        cpu: u64,
        run_for: u64,
        pick: u64,
        crowds: bool,
    },
    /// Binds one of our waiting pods to some node.
    RivalTakes { pick: u64 },
}

/// An act, its time, and as which sort of fault it counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    pub(super) at: Time,
    pub(super) act: Act,
    pub(super) counts_as: Option<FaultKind>,
}

/// All acts of a seed, in the order of their times.
pub(super) fn plan(seed: u64, profile: &Profile) -> Vec<Planned> {
    let mut planner = Planner {
        random: Random::new(mix(&[seed, 0x9_1a4])),
        end: profile.calm_after_millis,
        acts: Vec::new(),
    };
    let nodes = planner.nodes();
    let gangs = planner.gangs();
    planner.singles();
    planner.trouble(&nodes, &gangs);
    let mut acts = planner.acts;
    acts.sort_by_key(|planned| planned.at);
    acts
}

struct Planner {
    random: Random,
    end: u64,
    acts: Vec<Planned>,
}

impl Planner {
    fn at(&mut self, millis: u64, act: Act, counts_as: Option<FaultKind>) {
        let at = Time(millis * 1000);
        self.acts.push(Planned { at, act, counts_as });
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.random.below(most - least + 1)
    }

    /// A time while faults strike, early ones more often.
    fn early(&mut self) -> u64 {
        let span = self.between(1, self.end * 2 / 3);
        self.random.below(span)
    }

    /// How many seconds something runs that ends in so many cases of a thousand.
    fn run_for(&mut self, per_mille: u16) -> Option<u64> {
        let seconds = self.between(1, 15);
        self.random.chance(per_mille).then_some(seconds)
    }

    fn nodes(&mut self) -> Vec<(String, u64)> {
        let count = self.between(2, 6);
        let mut nodes = Vec::new();
        for number in 0..count {
            let name = format!("n{number}");
            let (cpu, pods) = (self.between(1, 8), self.between(2, 12));
            let at = if self.random.chance(800) { 0 } else { self.early() };
            self.at(at, Act::Apply(objects::node(&name, cpu, pods)), None);
            nodes.push((name, cpu));
        }
        nodes
    }

    fn gangs(&mut self) -> Vec<Gang> {
        let count = self.between(1, 4);
        (0..count).map(|number| self.gang(number)).collect()
    }

    fn gang(&mut self, number: u64) -> Gang {
        let members = self.between(1, 6);
        let gang = Gang {
            name: format!("g{number}"),
            members,
            min_count: if self.random.chance(100) {
                members + 1
            } else {
                self.between(1, members)
            },
            cpu: self.between(1, 3),
            priority: self.random.below(3) * 10,
            run_for: self.run_for(400),
            tolerates: self.random.chance(300),
            evicts: self.random.chance(300),
        };
        let at = self.early();
        let apart = if self.random.chance(500) {
            self.random.below(400)
        } else {
            0
        };
        let policy_first = self.random.chance(500);
        let policy = Act::Apply(gang.policy(gang.min_count));
        self.at(if policy_first { at } else { at + apart }, policy, None);
        let at = if policy_first { at + apart } else { at };
        if self.random.chance(600) {
            self.at(at, Act::Apply(gang.job()), None);
        } else {
            self.members(&gang, at);
        }
        gang
    }

    fn members(&mut self, gang: &Gang, at: u64) {
        for number in 0..gang.members {
            let gated = self.random.chance(150);
            let late = self.random.chance(150);
            let (at, counts_as) = if late {
                (self.between(at, self.end), Some(FaultKind::LateMember))
            } else {
                (at + self.random.below(50), None)
            };
            self.at(at, Act::Apply(gang.member(number, gated)), counts_as);
            if gated {
                let lifted = self.between(at + 1, self.end + 1000);
                let pod = gang.member_name(number);
                self.at(lifted, Act::Ungate { pod }, Some(FaultKind::Ungated));
            }
        }
    }

    fn singles(&mut self) {
        for number in 0..self.between(0, 8) {
            let run_for = self.run_for(500);
            let (cpu, priority) = (self.between(1, 4), self.random.below(3) * 10);
            let pod = objects::single(&format!("s{number}"), cpu, priority, run_for);
            let at = self.early();
            self.at(at, Act::Apply(pod), None);
        }
    }

    fn trouble(&mut self, nodes: &[(String, u64)], gangs: &[Gang]) {
        for number in 0..self.between(4, 24) {
            let at = self.between(200, self.end - 1);
            match self.random.below(10) {
                0..=2 => self.flap(at, nodes),
                3..=4 => {
                    let pick = self.random.bits();
                    self.at(at, Act::DeletePod { pick }, Some(FaultKind::PodDeleted));
                }
                5 => self.policy(at, gangs),
                6 => {
                    let pick = self.random.bits();
                    self.at(at, Act::RivalTakes { pick }, Some(FaultKind::RivalTakesOurs));
                }
                _ => self.rival(at, number),
            }
        }
    }

    fn flap(&mut self, at: u64, nodes: &[(String, u64)]) {
        let pick = self.random.below(nodes.len() as u64) as usize;
        let (node, cpu) = nodes[pick].clone();
        let until = at + self.between(50, 8000);
        let both = |planner: &mut Planner, first: Act, second: Act| {
            planner.at(at, first, Some(FaultKind::NodeFlap));
            planner.at(until, second, Some(FaultKind::NodeFlap));
        };
        match self.random.below(4) {
            0 => both(
                self,
                Act::Cordon {
                    node: node.clone(),
                    closed: true,
                },
                Act::Cordon { node, closed: false },
            ),
            1 => both(
                self,
                Act::Taint {
                    node: node.clone(),
                    on: true,
                },
                Act::Taint { node, on: false },
            ),
            2 => {
                let smaller = self.between(1, cpu);
                let later = self.between(1, 8);
                both(
                    self,
                    Act::Resize {
                        node: node.clone(),
                        cpu: smaller,
                    },
                    Act::Resize { node, cpu: later },
                );
            }
            _ => {
                let again = objects::node(&node, cpu, 8);
                both(self, Act::Delete(Key::node(&node)), Act::Apply(again));
            }
        }
    }

    fn policy(&mut self, at: u64, gangs: &[Gang]) {
        let gang = &gangs[self.random.below(gangs.len() as u64) as usize];
        let min_count = self.between(1, gang.members + 1);
        let key = gang.policy_key();
        if self.random.chance(500) {
            self.at(
                at,
                Act::SetMinCount { key, min_count },
                Some(FaultKind::MinCountChanged),
            );
        } else {
            let again = at + self.between(1, 5000);
            self.at(at, Act::Delete(key), Some(FaultKind::PolicyDeleted));
            self.at(again, Act::Apply(gang.policy(min_count)), None);
        }
    }

    fn rival(&mut self, at: u64, number: u64) {
        let crowds = self.random.chance(250);
        let act = Act::RivalBinds {
            name: format!("r{number}"),
            cpu: self.between(1, 4),
            run_for: self.between(1, 60),
            pick: self.random.bits(),
            crowds,
        };
        let counts_as = if crowds {
            FaultKind::RivalCrowds
        } else {
            FaultKind::RivalBind
        };
        self.at(at, act, Some(counts_as));
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Apply(object) => {
                let key = crate::scenario::key_of(object);
                let name = key.as_ref().map_or_else(|| "something".to_owned(), Key::to_string);
                write!(
                    f,
                    "somebody writes {name}: {}",
                    interesting(object, key.map(|key| key.kind))
                )
            }
            Act::Delete(key) => write!(f, "somebody deletes {key}"),
            Act::Cordon { node, closed: true } => write!(f, "somebody cordons {node}"),
            Act::Cordon { node, closed: false } => write!(f, "somebody uncordons {node}"),
            Act::Taint { node, on: true } => write!(f, "{node} is tainted"),
            Act::Taint { node, on: false } => write!(f, "{node} loses its taint"),
            Act::Resize { node, cpu } => write!(f, "{node} has {cpu} CPUs from now on"),
            Act::DeletePod { .. } => f.write_str("somebody deletes a pod"),
            Act::SetMinCount { key, min_count } => write!(f, "somebody sets minCount of {key} to {min_count}"),
            Act::Ungate { pod } => write!(f, "the gate of {pod} is lifted"),
            Act::RivalBinds {
                name,
                cpu,
                crowds: false,
                ..
            } => write!(f, "a rival binds {name} ({cpu} CPUs)"),
            Act::RivalBinds { name, cpu, .. } => write!(f, "a rival binds {name} ({cpu} CPUs), room or not"),
            Act::RivalTakes { .. } => f.write_str("a rival binds a pod of ours"),
        }
    }
}

/// What a reader wants to know of an object.
fn interesting(object: &Value, kind: Option<ObjectKind>) -> String {
    match kind {
        Some(ObjectKind::Node) => object["status"]["allocatable"].to_string(),
        Some(ObjectKind::Job) => format!(
            "{} of {}",
            object["spec"]["completions"], object["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
        ),
        Some(ObjectKind::Pod) => format!(
            "{}{}",
            object["spec"]["containers"][0]["resources"]["requests"],
            if object["spec"].get("schedulingGates").is_some() {
                ", gated"
            } else {
                ""
            }
        ),
        _ => object["spec"].to_string(),
    }
}
