//! What could be changed, in words and in fields.

use muster_framework::Text;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// A pod, and its twins, ask for less. Amounts are quantities, as Kubernetes reads them.
    LowerRequest {
        /// The pod's name.
        pod: Text,
        /// How many others there are that are like it, and change as well.
        twins: u32,
        /// The resource.
        resource: Text,
        /// What it asks for.
        from: Text,
        /// What it could have.
        to: Text,
    },
    /// A pod, and its twins, tolerate a taint.
    Tolerate {
        /// The pod's name.
        pod: Text,
        /// How many others there are that are like it, and change as well.
        twins: u32,
        /// `key=value:effect`.
        taint: Text,
    },
    /// A pod, and its twins, do without some of their rules.
    Drop {
        /// The pod's name.
        pod: Text,
        /// How many others there are that are like it, and change as well.
        twins: u32,
        /// The field.
        field: Text,
    },
    /// A node loses a taint.
    RemoveTaint {
        /// The node.
        node: Text,
        /// `key=value:effect`.
        taint: Text,
    },
    /// A node takes pods again.
    Uncordon {
        /// The node.
        node: Text,
    },
    /// A node gets a label.
    Label {
        /// The node.
        node: Text,
        /// The key.
        key: Text,
        /// The value.
        value: Text,
    },
    /// A node has more of a resource.
    Enlarge {
        /// The node.
        node: Text,
        /// The resource.
        resource: Text,
        /// How much more, as a quantity.
        by: Text,
    },
    /// Pods end, whoever scheduled them.
    End {
        /// `namespace/name` of each.
        pods: Vec<Text>,
        /// The gangs that some of them are of; they end as a whole.
        gangs: Vec<Text>,
    },
    /// A group gets more members.
    AddMembers {
        /// The group.
        group: Text,
        /// How many.
        count: u32,
        /// A member that they are like.
        like: Text,
    },
    /// A gang makes do with fewer members.
    LowerMinCount {
        /// The group.
        group: Text,
        /// How many it needs.
        from: u32,
        /// How many it could need.
        to: u32,
    },
    /// Gates of pods are lifted.
    Ungate {
        /// The pods' names.
        pods: Vec<Text>,
        /// The gates.
        gates: Vec<Text>,
    },
    /// The object that holds a group's policy is made.
    CreatePolicy {
        /// In words: kind, name, and what has to be in it.
        object: Text,
    },
    /// Something is put right that makes no sense or cannot be honoured.
    Repair {
        /// What.
        what: Text,
    },
}

impl Change {
    /// The change in words, to follow "Needed:".
    pub fn text(&self) -> String {
        match self {
            Change::LowerRequest {
                pod,
                twins,
                resource,
                from,
                to,
            } => format!(
                "pod {pod} asks for {to} {resource} in place of {from}{}",
                and_twins(*twins)
            ),
            Change::Tolerate { pod, twins, taint } => {
                format!("pod {pod} tolerates the taint {taint}{}", and_twins(*twins))
            }
            Change::Drop { pod, twins, field } => format!("pod {pod} does without {field}{}", and_twins(*twins)),
            Change::RemoveTaint { node, taint } => format!("node {node} loses the taint {taint}"),
            Change::Uncordon { node } => format!("node {node} is uncordoned"),
            Change::Label { node, key, value } => format!("node {node} gets the label {key}={value}"),
            Change::Enlarge { node, resource, by } => format!("node {node} has {by} {resource} more"),
            Change::End { pods, gangs } if gangs.is_empty() && pods.len() <= 3 => {
                format!("the end of {}", listed("pod", pods))
            }
            Change::End { pods, gangs } if gangs.is_empty() => format!("the end of {} pods", pods.len()),
            Change::End { pods, gangs } => {
                format!("the end of {} pods, among them {}", pods.len(), listed("gang", gangs))
            }
            Change::AddMembers { group, count: 1, like } => format!("pod group {group} gets 1 more member like {like}"),
            Change::AddMembers { group, count, like } => {
                format!("pod group {group} gets {count} more members like {like}")
            }
            Change::LowerMinCount { group, from, to } => {
                format!("pod group {group} makes do with a minCount of {to} in place of {from}")
            }
            Change::Ungate { pods, gates } => format!(
                "{} {} gated by {} no more",
                listed("pod", pods),
                if pods.len() == 1 { "is" } else { "are" },
                gates.join(", ")
            ),
            Change::CreatePolicy { object } => format!("{object} is created"),
            Change::Repair { what } => what.to_string(),
        }
    }

    /// How much it asks of people, as far as that can be compared.
    pub(super) fn size(&self) -> u64 {
        match self {
            Change::CreatePolicy { .. } | Change::AddMembers { .. } | Change::Ungate { .. } | Change::Repair { .. } => {
                10
            }
            Change::Tolerate { .. } | Change::Uncordon { .. } => 20,
            Change::RemoveTaint { .. } | Change::Label { .. } => 25,
            Change::LowerRequest { .. } => 30,
            Change::LowerMinCount { from, to, .. } => 40 + u64::from(from.saturating_sub(*to)),
            Change::Drop { .. } => 50,
            Change::Enlarge { .. } => 70,
            Change::End { pods, .. } => 60 + pods.len() as u64,
        }
    }
}

fn and_twins(twins: u32) -> String {
    match twins {
        0 => String::new(),
        1 => ", and so does 1 like it".to_owned(),
        n => format!(", and so do {n} like it"),
    }
}

pub(super) fn listed(kind: &str, names: &[Text]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let shown: Vec<&str> = names.iter().take(5).map(|name| &**name).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    format!("{kind}{plural} {}{more}", shown.join(", "))
}

/// Something that would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// All of this together.
    pub changes: Vec<Change>,
    /// It was tried: with it, there are places. If not, it is needed, but other things may be too.
    pub proved: bool,
    /// How much it asks of people, as far as that can be compared: the smallest comes first.
    pub size: u64,
}

impl Remedy {
    /// All of these changes together.
    pub(super) fn of(changes: Vec<Change>, proved: bool) -> Remedy {
        Remedy {
            size: changes.iter().map(Change::size).sum(),
            changes,
            proved,
        }
    }

    /// The remedy in words.
    pub fn text(&self) -> String {
        let changes: Vec<String> = self.changes.iter().map(Change::text).collect();
        changes.join(", and ")
    }
}
