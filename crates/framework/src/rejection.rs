//! Why nodes fell out: counted while filters run, so that a diagnosis costs nothing extra and adds up.

use crate::Text;
use crate::node_set::NodeSet;
use crate::resource::ResourceOrd;
use crate::table::{NodeOrd, NodeTable};
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// How final a rejection is, in upstream's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// Taking pods off the node could help.
    Unschedulable,
    /// Nothing that preemption can do would help.
    UnschedulableAndUnresolvable,
    /// Something outside has to happen first; the pod is not ready to be judged.
    Pending,
    /// Something went wrong.
    Error,
}

impl Code {
    /// The name, as upstream writes it.
    pub fn name(self) -> &'static str {
        match self {
            Code::Unschedulable => "Unschedulable",
            Code::UnschedulableAndUnresolvable => "UnschedulableAndUnresolvable",
            Code::Pending => "Pending",
            Code::Error => "Error",
        }
    }
}

/// A verdict on the whole pod, whatever the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRejection {
    /// The plugin that gives it.
    pub plugin: &'static str,
    /// How final it is.
    pub code: Code,
    /// Everything that the plugin has against the pod.
    pub reasons: Vec<Reason>,
}

/// One reason for which a node was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A fixed sentence of a plugin.
    Sentence(&'static str),
    /// Too little of a resource is left.
    Insufficient(ResourceOrd),
    /// A resource that no node has.
    InsufficientUnknown(Text),
    /// A sentence that names something of this pod or this node.
    Text(Text),
}

impl Reason {
    /// The reason in upstream's words.
    pub fn text(&self, table: &NodeTable) -> String {
        match self {
            Reason::Sentence(text) => (*text).to_owned(),
            Reason::Insufficient(ResourceOrd::PODS) => "Too many pods".to_owned(),
            Reason::Insufficient(resource) => format!("Insufficient {}", table.resource_name(*resource)),
            Reason::InsufficientUnknown(name) => format!("Insufficient {name}"),
            Reason::Text(text) => text.to_string(),
        }
    }
}

/// One node that fell out, in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRejection {
    /// The node.
    pub node: NodeOrd,
    /// The first plugin that rejected it.
    pub plugin: &'static str,
    /// How final that is.
    pub code: Code,
    /// Everything that plugin has against it.
    pub reasons: SmallVec<[Reason; 1]>,
    /// It never came to be judged: a plugin had narrowed the nodes before.
    pub unjudged: bool,
}

/// Collects rejections while the filters run in their order: each node is told at most once.
#[derive(Debug, Clone, Default)]
pub struct Rejections {
    plugin: &'static str,
    by_plugin: Vec<(&'static str, u32)>,
    reasons: Vec<(Reason, u32)>,
    n_unresolvable: u32,
    pod: Option<PodRejection>,
    narrowed: Option<BTreeSet<Text>>,
    details: Option<Vec<NodeRejection>>,
}

impl Rejections {
    /// Collects counts only.
    pub fn counting() -> Rejections {
        Rejections::default()
    }

    /// Collects what each node was rejected for, too.
    pub fn detailed() -> Rejections {
        Rejections {
            details: Some(Vec::new()),
            ..Rejections::default()
        }
    }

    /// Forgets everything but the mode.
    pub fn clear(&mut self) {
        self.by_plugin.clear();
        self.reasons.clear();
        self.n_unresolvable = 0;
        self.pod = None;
        self.narrowed = None;
        if let Some(details) = &mut self.details {
            details.clear();
        }
    }

    /// Says which plugin rejects from now on.
    pub fn begin(&mut self, plugin: &'static str) {
        self.plugin = plugin;
    }

    /// The current plugin rejects a node for one reason.
    pub fn reject(&mut self, node: NodeOrd, code: Code, reason: Reason) {
        self.reject_all(node, code, [reason]);
    }

    /// The current plugin rejects all of `nodes` for one reason: costs the same for one node and for all, unless details
    /// were asked for.
    pub fn reject_nodes(&mut self, nodes: &NodeSet, code: Code, reason: &Reason) {
        if self.details.is_some() {
            nodes.iter().for_each(|node| self.reject(node, code, reason.clone()));
            return;
        }
        self.reject_counted(nodes.len() as u32, code, std::slice::from_ref(reason));
    }

    /// The current plugin rejects so many nodes, each for all of `reasons`. Which nodes these are is not kept, even if
    /// details were asked for.
    pub fn reject_counted(&mut self, nodes: u32, code: Code, reasons: &[Reason]) {
        if nodes == 0 {
            return;
        }
        match self.by_plugin.iter_mut().find(|(plugin, _)| *plugin == self.plugin) {
            Some((_, count)) => *count += nodes,
            None => self.by_plugin.push((self.plugin, nodes)),
        }
        if code == Code::UnschedulableAndUnresolvable {
            self.n_unresolvable += nodes;
        }
        for reason in reasons {
            match self.reasons.iter_mut().find(|(r, _)| r == reason) {
                Some((_, count)) => *count += nodes,
                None => self.reasons.push((reason.clone(), nodes)),
            }
        }
    }

    /// A plugin rejects the pod before any node is judged; `nodes` are all that there are.
    pub fn reject_pod(&mut self, rejection: PodRejection, nodes: &NodeSet) {
        let n = nodes.len() as u32;
        self.by_plugin.push((rejection.plugin, n));
        if rejection.code == Code::UnschedulableAndUnresolvable {
            self.n_unresolvable = n;
        }
        self.pod = Some(rejection);
    }

    /// The current plugin rejects all of `nodes` by narrowing the nodes before they are judged; costs as
    /// [`Rejections::reject_nodes`].
    pub fn reject_unjudged(&mut self, nodes: &NodeSet, code: Code, reason: &Reason) {
        let before = self.details.as_ref().map_or(0, Vec::len);
        self.reject_nodes(nodes, code, reason);
        let rejected = self.details.iter_mut().flat_map(|details| &mut details[before..]);
        rejected.for_each(|rejection| rejection.unjudged = true);
    }

    /// Plugins have narrowed the nodes to those of these names before they were judged.
    pub fn narrowed_to(&mut self, names: BTreeSet<Text>) {
        self.narrowed = Some(names);
    }

    /// The current plugin rejects a node for several reasons.
    pub fn reject_all(&mut self, node: NodeOrd, code: Code, reasons: impl IntoIterator<Item = Reason>) {
        match self.by_plugin.iter_mut().find(|(plugin, _)| *plugin == self.plugin) {
            Some((_, count)) => *count += 1,
            None => self.by_plugin.push((self.plugin, 1)),
        }
        self.n_unresolvable += u32::from(code == Code::UnschedulableAndUnresolvable);
        let mut kept = SmallVec::new();
        for reason in reasons {
            match self.reasons.iter_mut().find(|(r, _)| *r == reason) {
                Some((_, count)) => *count += 1,
                None => self.reasons.push((reason.clone(), 1)),
            }
            if self.details.is_some() {
                kept.push(reason);
            }
        }
        if let Some(details) = &mut self.details {
            details.push(NodeRejection {
                node,
                plugin: self.plugin,
                code,
                reasons: kept,
                unjudged: false,
            });
        }
    }

    /// Nodes by the first plugin that rejected them, in the order of the plugins. Adds up to all rejected nodes.
    pub fn by_plugin(&self) -> &[(&'static str, u32)] {
        &self.by_plugin
    }

    /// How many nodes fell out.
    pub fn n_rejected(&self) -> u32 {
        self.by_plugin.iter().map(|(_, n)| n).sum()
    }

    /// The rejection of the pod as a whole, if it came to that: then no node was judged.
    pub fn of_pod(&self) -> Option<&PodRejection> {
        self.pod.as_ref()
    }

    /// The names of nodes that plugins had narrowed the choice to before they were judged; some may not exist.
    pub fn narrowed(&self) -> Option<&BTreeSet<Text>> {
        self.narrowed.as_ref()
    }

    /// How often each reason was given; a node may have several.
    pub fn reasons(&self) -> &[(Reason, u32)] {
        &self.reasons
    }

    /// Whether the same is said of as many nodes by both, in whatever order. Details are not compared.
    pub fn says_the_same(&self, other: &Rejections) -> bool {
        let alike = |mine: &[(Reason, u32)], others: &[(Reason, u32)]| {
            mine.len() == others.len() && mine.iter().all(|reason| others.contains(reason))
        };
        self.by_plugin == other.by_plugin
            && self.n_unresolvable == other.n_unresolvable
            && self.pod == other.pod
            && self.narrowed == other.narrowed
            && alike(&self.reasons, &other.reasons)
    }

    /// How many nodes preemption could not free.
    pub fn n_unresolvable(&self) -> u32 {
        self.n_unresolvable
    }

    /// Every rejected node, when details were asked for.
    pub fn details(&self) -> &[NodeRejection] {
        self.details.as_deref().unwrap_or(&[])
    }
}
