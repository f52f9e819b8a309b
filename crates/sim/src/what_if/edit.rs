//! Edits as the command line states them.

use muster_framework::Text;
use muster_framework::quantity::Quantity;
use muster_framework::record::NodeRecord;
use muster_framework::taint::{Taint, TaintEffect};
use std::str::FromStr;

/// More nodes than this from one flag are a typing error rather than a wish.
const MAX_NODES: u32 = 100_000;

/// A change of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// `--add-node`.
    AddNodes(NewNodes),
    /// `--remove-node`.
    RemoveNode(Text),
    /// `--cordon`.
    Cordon(Text),
    /// `--drop-constraint`.
    DropConstraint {
        /// A pod as `[namespace/]name`, or a group as messages name it.
        of: Text,
        /// What it is rid of.
        constraint: Constraint,
    },
}

/// What can be dropped of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraint {
    /// Topology spread constraints, hard and soft.
    Spread,
    /// Required pod affinity.
    Affinity,
    /// Required pod anti-affinity. That of others still counts.
    AntiAffinity,
    /// Node selector and required node affinity.
    NodeAffinity,
    /// Host ports.
    HostPorts,
    /// Taints: it tolerates all.
    Taints,
    /// Scheduling gates.
    Gates,
}

impl Constraint {
    const ALL: [Constraint; 7] = [
        Constraint::Spread,
        Constraint::Affinity,
        Constraint::AntiAffinity,
        Constraint::NodeAffinity,
        Constraint::HostPorts,
        Constraint::Taints,
        Constraint::Gates,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Constraint::Spread => "spread",
            Constraint::Affinity => "affinity",
            Constraint::AntiAffinity => "anti-affinity",
            Constraint::NodeAffinity => "node-affinity",
            Constraint::HostPorts => "host-ports",
            Constraint::Taints => "taints",
            Constraint::Gates => "gates",
        }
    }
}

impl Edit {
    /// Reads `POD-OR-GROUP:CONSTRAINT`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn drop_constraint(text: &str) -> Result<Edit, String> {
        let known = || Constraint::ALL.map(Constraint::name).join(", ");
        let (of, word) = text.rsplit_once(':').ok_or_else(|| {
            format!(
                "it is written POD-OR-GROUP:CONSTRAINT, where the constraint is one of {}",
                known()
            )
        })?;
        let constraint = Constraint::ALL.into_iter().find(|constraint| constraint.name() == word);
        let constraint = constraint.ok_or_else(|| format!("{word:?} is none of {}", known()))?;
        if of.is_empty() {
            return Err("a pod or a pod group must stand before the colon".to_owned());
        }
        Ok(Edit::DropConstraint {
            of: of.into(),
            constraint,
        })
    }
}

/// Nodes that are to be added.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewNodes {
    /// The name; of several, what they begin with.
    pub name: Option<Text>,
    /// The node that they are like but for what is stated here.
    pub like: Option<Text>,
    /// How many; 0 and 1 are one.
    pub count: u32,
    /// Amounts by resource, `pods` among them.
    pub amounts: Vec<(Text, Quantity)>,
    /// Labels beside those of the model.
    pub labels: Vec<(Text, Text)>,
    /// Taints beside those of the model.
    pub taints: Vec<Taint>,
}

impl NewNodes {
    /// The names of the nodes: the name itself, or with several of them `name-1`, `name-2`, …
    pub(super) fn names(&self) -> Vec<Text> {
        let base = match (&self.name, &self.like) {
            (Some(name), _) => name.to_string(),
            (None, Some(like)) => format!("{like}-new"),
            (None, None) => "new".to_owned(),
        };
        match self.count {
            0 | 1 => vec![base.into()],
            count => (1..=count).map(|number| format!("{base}-{number}").into()).collect(),
        }
    }

    /// Gives a node what is stated.
    pub(super) fn set_amounts(&self, node: &mut NodeRecord) {
        for (resource, amount) in &self.amounts {
            match &**resource {
                "cpu" => node.allocatable.milli_cpu = amount.milli_value(),
                "memory" => node.allocatable.memory = amount.value(),
                "ephemeral-storage" => node.allocatable.ephemeral_storage = amount.value(),
                "pods" => node.allowed_pods = amount.value(),
                _ => {
                    let scalars = &mut node.allocatable.scalars;
                    scalars.retain(|(name, _)| name != resource);
                    scalars.push((resource.clone(), amount.value()));
                    scalars.sort();
                }
            }
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "like" => self.like = Some(value.into()),
            "count" => {
                let count = value.parse().ok().filter(|count| (1..=MAX_NODES).contains(count));
                self.count = count.ok_or_else(|| format!("count: {value:?} is no number from 1 to {MAX_NODES}"))?;
            }
            "label" => {
                let (key, value) = value.split_once('=').unwrap_or((value, ""));
                self.labels.push((key.into(), value.into()));
            }
            "taint" => self.taints.push(taint(value)?),
            _ if is_resource(key) => {
                let amount = Quantity::parse(value).map_err(|error| format!("{key}: {value:?}: {error}"))?;
                if amount.is_negative() {
                    return Err(format!("{key}: {value} is less than nothing"));
                }
                self.amounts.push((key.into(), amount));
            }
            _ => {
                return Err(format!(
                    "{key:?} is none of like, count, label, taint, and no resource such as cpu, memory, pods or example.com/gpu"
                ));
            }
        }
        Ok(())
    }
}

fn is_resource(key: &str) -> bool {
    matches!(key, "cpu" | "memory" | "ephemeral-storage" | "pods") || key.contains('/') || key.starts_with("hugepages-")
}

/// Reads `KEY[=VALUE]:EFFECT`, as `kubectl taint` has it.
fn taint(text: &str) -> Result<Taint, String> {
    let (key, effect) = text.rsplit_once(':').unwrap_or((text, ""));
    let effect = match effect {
        "NoSchedule" => TaintEffect::NoSchedule,
        "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
        "NoExecute" => TaintEffect::NoExecute,
        _ => {
            return Err(format!(
                "taint: {text:?} does not end in :NoSchedule, :PreferNoSchedule or :NoExecute"
            ));
        }
    };
    let (key, value) = key.split_once('=').unwrap_or((key, ""));
    Ok(Taint {
        key: key.into(),
        value: value.into(),
        effect,
    })
}

impl FromStr for NewNodes {
    type Err = String;

    /// Reads `[NAME][,KEY=VALUE]…`.
    fn from_str(text: &str) -> Result<NewNodes, String> {
        let mut new = NewNodes::default();
        for (position, part) in text.split(',').enumerate() {
            match part.split_once('=') {
                Some((key, value)) => new.set(key, value)?,
                None if position == 0 && !part.is_empty() => new.name = Some(part.into()),
                None => return Err(format!("{part:?} is not KEY=VALUE")),
            }
        }
        if new.name.is_none() && new.like.is_none() {
            return Err("neither a name nor like=NODE is given".to_owned());
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nodes_are_read() {
        let new: NewNodes =
            "big,like=n1,count=2,cpu=1500m,pods=7,example.com/gpu=8,label=zone=a,taint=gpu=yes:NoSchedule"
                .parse()
                .unwrap();
        assert_eq!(new.names(), ["big-1".into(), "big-2".into()] as [Text; 2]);
        assert_eq!(
            (new.amounts.len(), new.labels.len(), &*new.taints[0].value),
            (3, 1, "yes")
        );
        let like: NewNodes = "like=n1".parse().unwrap();
        assert_eq!(like.names(), ["n1-new".into()] as [Text; 1]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text: &str| text.parse::<NewNodes>().unwrap_err();
        let dropped = |text: &str| Edit::drop_constraint(text).unwrap_err();
        let cases = [
            said(""),
            said("cpu=1"),
            said("a,count=0"),
            said("a,cpu=lots"),
            said("a,cpu=-1"),
            said("a,colour=red"),
            said("a,b"),
            said("a,taint=x:Sometimes"),
            dropped("a"),
            dropped("a:love"),
            dropped(":spread"),
        ];
        insta::assert_snapshot!(cases.join("\n"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(a|,|=|like|cpu|count|taint|:|-|9|.{0,3}){0,12}") {
            let _ = text.parse::<NewNodes>();
            let _ = Edit::drop_constraint(&text);
        }
    }
}
