//! One pass of the pipeline: filters narrow the nodes, scores order them, a content hash breaks ties.

use crate::batch::{Answer, Batches, FullPass, Question};
use crate::consultation::Consultation;
use crate::facts::PodFacts;
use crate::settings::BatchSettings;
use muster_framework::Text;
use muster_framework::event::{ClusterEvent, EventKinds, Hint};
use muster_framework::lanes;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, PodToEnqueue, PodToPlace, PreFilter, range_of};
use muster_framework::ranges;
use muster_framework::rejection::{Code, PodRejection, Reason, Rejections};
use muster_framework::rules::KubeMinor;
use muster_framework::table::{NodeOrd, NodeTable};
use muster_framework::view::{Delta, View};
use muster_framework::volume::Bindings;
use muster_plugins::volume_binding::plan_bindings;
use muster_plugins::{Profile, ProfileSpec};
use std::collections::BTreeSet;

/// Every plugin, as bits by index among the filters.
pub(crate) const ALL_PLUGINS: u32 = u32::MAX >> 1;
/// Extenders, as a bit beside those of plugins: any event may change their mind.
pub(crate) const EXTENDERS: u32 = 1 << 31;
/// Who is to blame for what an extender rejects.
pub(crate) const EXTENDER: &str = "Extender";
/// The node can take the pod only since extenders were asked.
const NOT_ASKED: Reason = Reason::Sentence("node(s) changed while extenders were asked");

/// A profile as its ordinal among those of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProfileOrd(usize);

impl ProfileOrd {
    /// The profile at this place.
    pub(crate) fn at(place: usize) -> ProfileOrd {
        ProfileOrd(place)
    }

    /// Its place.
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// The profiles and the memory that passes use again and again.
pub(crate) struct Pipeline {
    pub(crate) profiles: Vec<Profile>,
    /// A pod that may not be queued keeps the node that it was promised. Source: `PriorityQueue.moveToActiveQ`, which before
    /// 1.37 tells the nominator of pods that pass PreEnqueue only.
    keeps_promises: bool,
    seed: u64,
    feasible: NodeSet,
    /// Filters that have nothing to judge for the pod of the last pass, as bits by index.
    skipped: u32,
    /// Filters that narrowed the choice by names for the pod of the last pass, as bits by index.
    narrowing: u32,
    rejections: Rejections,
    /// Nodes that extenders were not asked about, in the last pass.
    unasked: Vec<NodeOrd>,
    scores: Vec<i64>,
    totals: Vec<i64>,
    pub(crate) batches: Batches,
    /// What verdicts said that the full pass contradicted, since this was asked last.
    pub(crate) contradictions: Vec<String>,
}

/// Pods that have been promised a node: nodes are judged with them and without them.
pub(crate) type Nominated<'a> = [(NodeOrd, Vec<PodToPlace<'a>>)];

/// What decides which node a pod gets, besides the cluster and the plan so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Choice<'a> {
    /// Pods that have been promised a node and stand in the way.
    pub(crate) nominated: &'a Nominated<'a>,
    /// The node that the pod itself has been promised: if it can take the pod, it is chosen.
    pub(crate) wanted: Option<NodeOrd>,
    /// What extenders say of nodes.
    pub(crate) said: Option<&'a Consultation>,
    /// Nodes that turned the pod away a short while ago: chosen only if nothing else is left.
    pub(crate) avoided: &'a [NodeOrd],
    /// The only nodes that are in question, whatever others could do.
    pub(crate) within: Option<&'a NodeSet>,
    /// The fullest node is taken, whatever the profile prefers: room for large pods is not broken up.
    pub(crate) packing: bool,
    /// Twins of the pod are to be placed next.
    pub(crate) twins_wait: bool,
}

impl Choice<'_> {
    /// Whether nothing but the profile has a say.
    fn is_plain(&self) -> bool {
        let Choice {
            nominated,
            wanted: _,
            said,
            avoided,
            within,
            packing,
            twins_wait: _,
        } = self;
        nominated.is_empty() && said.is_none() && avoided.is_empty() && within.is_none() && !packing
    }
}

/// Scores of the nodes of a pass by one plugin, told while they are made.
pub(crate) trait ScoreWitness {
    /// Whether anybody looks: if not, what makes no difference need not be done.
    const LOOKS: bool = true;
    /// Before normalising.
    fn raw(&mut self, plugin: &'static str, nodes: &NodeSet, scores: &[i64]);
    /// After normalising, with the weight that they count with.
    fn normalized(&mut self, plugin: &'static str, weight: i64, nodes: &NodeSet, scores: &[i64]);
}

/// Nobody looks.
impl ScoreWitness for () {
    const LOOKS: bool = false;
    fn raw(&mut self, _: &'static str, _: &NodeSet, _: &[i64]) {}
    fn normalized(&mut self, _: &'static str, _: i64, _: &NodeSet, _: &[i64]) {}
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Pipeline {
    /// The profiles of `specs` over `table`, with counted rejections.
    pub(crate) fn new(
        specs: &[ProfileSpec],
        minor: KubeMinor,
        seed: u64,
        batching: BatchSettings,
        table: &mut NodeTable,
    ) -> Pipeline {
        Pipeline {
            profiles: specs.iter().map(|spec| Profile::new(spec, minor, table)).collect(),
            keeps_promises: minor >= KubeMinor::V1_37,
            seed,
            feasible: NodeSet::default(),
            skipped: 0,
            narrowing: 0,
            rejections: Rejections::counting(),
            unasked: Vec::new(),
            scores: Vec::new(),
            totals: Vec::new(),
            batches: Batches::new(batching, specs.len()),
            contradictions: Vec::new(),
        }
    }

    /// Keeps every rejection in full from now on, which takes full passes.
    pub(crate) fn with_details(mut self) -> Pipeline {
        self.rejections = Rejections::detailed();
        let off = BatchSettings {
            enabled: false,
            check_every: 0,
        };
        self.batches = Batches::new(off, self.profiles.len());
        self
    }

    /// The profile that answers to a scheduler name.
    pub(crate) fn profile_of(&self, scheduler_name: &str) -> Option<ProfileOrd> {
        let named = |profile: &Profile| &**profile.scheduler_name() == scheduler_name;
        self.profiles.iter().position(named).map(ProfileOrd)
    }

    /// The first profile, if there is any.
    pub(crate) fn first_profile(&self) -> Option<ProfileOrd> {
        (!self.profiles.is_empty()).then_some(ProfileOrd(0))
    }

    pub(crate) fn profile(&self, profile: ProfileOrd) -> &Profile {
        &self.profiles[profile.0]
    }

    /// The best node for the pod. None: no node can take it, and [`Pipeline::rejections`] says why.
    pub(crate) fn place(
        &mut self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
        choice: &Choice<'_>,
    ) -> Option<NodeOrd> {
        match self.ask_batches(profile, pod, view, choice) {
            Answer::FullPass(_) => self.place_by_full_pass(profile, pod, view, choice),
            answer if self.batches.is_to_be_checked() => self.check(answer, profile, pod, view, choice),
            Answer::Node(node) => Some(node),
            Answer::Nowhere => None,
        }
    }

    /// What is known of the pod's twins. If that is that nothing can take them, [`Pipeline::rejections`] says why.
    fn ask_batches(
        &mut self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
        choice: &Choice<'_>,
    ) -> Answer {
        let prevented = if !self.batches.is_on() {
            Some(FullPass::Off)
        } else if !choice.is_plain() {
            Some(FullPass::Circumstances)
        } else {
            None
        };
        if let Some(reason) = prevented {
            self.batches.count_full_pass(profile, reason);
            return Answer::FullPass(reason);
        }
        self.feasible.clear();
        self.rejections.clear();
        self.unasked.clear();
        (self.skipped, self.narrowing) = (0, 0);
        let question = Question {
            profile: (profile, &self.profiles[profile.0]),
            pod,
            view,
            salt: self.salt(pod),
            wanted: choice.wanted,
            twins_wait: choice.twins_wait,
        };
        self.batches.ask(&question, &mut self.rejections)
    }

    /// Holds an answer against the full pass, which is followed.
    fn check(
        &mut self,
        answer: Answer,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
        choice: &Choice<'_>,
    ) -> Option<NodeOrd> {
        let said = self.rejections.clone();
        let node = self.place_by_full_pass(profile, pod, view, choice);
        let agrees = match answer {
            Answer::Node(chosen) => Some(chosen) == node,
            Answer::Nowhere | Answer::FullPass(_) => node.is_none() && said.says_the_same(&self.rejections),
        };
        self.batches.hear_of_check(agrees);
        if !agrees {
            let name = |node: NodeOrd| view.table().name(node).to_string();
            self.contradictions.push(format!(
                "for {}/{} the verdict on its twins is {} {:?}, and the full pass says {} {:?}",
                pod.namespace,
                pod.name,
                match answer {
                    Answer::Node(node) => name(node),
                    _ => "no node".to_owned(),
                },
                said.by_plugin(),
                node.map_or_else(|| "no node".to_owned(), name),
                self.rejections.by_plugin(),
            ));
        }
        debug_assert!(agrees, "{}", self.contradictions.last().map_or("", String::as_str));
        node
    }

    /// The best node for the pod, by a look at all of them.
    fn place_by_full_pass(
        &mut self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
        choice: &Choice<'_>,
    ) -> Option<NodeOrd> {
        self.narrow(profile, pod, view, choice);
        if let Some(wanted) = choice.wanted.filter(|wanted| self.feasible.contains(*wanted)) {
            return Some(wanted);
        }
        match self.feasible.len() {
            0 => None,
            1 => self.feasible.iter().next(),
            _ if choice.packing => self.fullest(pod, view),
            _ => {
                self.score(profile, pod, view, &mut ());
                if let Some(said) = choice.said {
                    for node in self.feasible.iter() {
                        let added = said.score(view.table().name(node));
                        self.totals[node.index()] = self.totals[node.index()].saturating_add(added);
                    }
                }
                self.best(pod, view)
            }
        }
    }

    /// Leaves the nodes that can take the pod, as filters, extenders and the planner see it, in [`Pipeline::feasible`].
    pub(crate) fn narrow(&mut self, profile: ProfileOrd, pod: &PodToPlace<'_>, view: &View<'_>, choice: &Choice<'_>) {
        self.filter(profile, pod, view, choice.nominated);
        if let Some(consultation) = choice.said {
            self.heed(consultation, view);
        }
        if let Some(within) = choice.within {
            self.feasible.retain(|node| within.contains(node), |_| {});
        }
        let is_avoided = |node: &NodeOrd| choice.avoided.contains(node);
        if !choice.avoided.is_empty() && !self.feasible.iter().all(|node| is_avoided(&node)) {
            choice.avoided.iter().for_each(|node| self.feasible.remove(*node));
        }
    }

    /// Whether this one node can take the pod. What is to be avoided or preferred is not asked.
    pub(crate) fn accepts(
        &self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
        choice: &Choice<'_>,
        node: NodeOrd,
    ) -> bool {
        const EVERY: [u32; 2] = [0, ALL_PLUGINS];
        let table = view.table();
        if !table.live().contains(node) || choice.said.is_some_and(|said| !said.allows(table.name(node))) {
            return false;
        }
        let promised = choice.nominated.iter().find(|(promised, _)| *promised == node);
        if let Some((_, promised)) = promised {
            let mut delta: Delta = view.delta().clone();
            promised.iter().for_each(|pod| delta.add(table, node, pod));
            if self
                .keeps_off(profile, pod, &View::new(table, &delta), node, EVERY)
                .is_some()
            {
                return false;
            }
        }
        self.keeps_off(profile, pod, view, node, EVERY).is_none()
    }

    /// The node with the least left of what the pod needs, in shares of what the largest node has: it leaves the most room
    /// in one piece.
    fn fullest(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> Option<NodeOrd> {
        let table = view.table();
        let largest = |resource| table.allocatable(resource).iter().copied().max().unwrap_or(0).max(1);
        let needs: Vec<_> = pod.compiled.needs.iter().map(|(r, _)| (*r, largest(*r))).collect();
        let left = |node: &NodeOrd| {
            let shares = needs.iter().map(|&(resource, largest)| {
                i128::from(view.free(*node, resource).max(0)) * 1_000_000 / i128::from(largest)
            });
            (shares.sum::<i128>(), *node)
        };
        self.feasible.iter().min_by_key(left)
    }

    /// Takes out what extenders have rejected, and what they have not been asked about.
    fn heed(&mut self, said: &Consultation, view: &View<'_>) {
        let Pipeline {
            feasible,
            rejections,
            unasked,
            ..
        } = self;
        rejections.begin(EXTENDER);
        feasible.retain(
            |node| said.allows(view.table().name(node)),
            |node| match said.rejection(view.table().name(node)) {
                Some((code, text)) => rejections.reject(node, code, Reason::Text(text.clone())),
                None => {
                    unasked.push(node);
                    rejections.reject(node, Code::Unschedulable, NOT_ASKED);
                }
            },
        );
    }

    /// The nodes of the last pass that extenders were not asked about.
    pub(crate) fn unasked(&self) -> &[NodeOrd] {
        &self.unasked
    }

    /// The nodes that the last pass left.
    pub(crate) fn feasible(&self) -> &NodeSet {
        &self.feasible
    }

    /// Why the nodes of the last pass fell out.
    pub(crate) fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    /// The plugins that rejected nodes in the last pass, as bits by index among the filters. Whoever narrowed the choice by
    /// names is among them, alone or with others.
    pub(crate) fn rejecting_plugins(&self, profile: ProfileOrd) -> u32 {
        let rejecting = |name: &str| self.rejections.by_plugin().iter().any(|(plugin, _)| *plugin == name);
        let beside = self.narrowing | if rejecting(EXTENDER) { EXTENDERS } else { 0 };
        let filters = self.profile(profile).filters().enumerate();
        filters
            .filter(|(_, (name, _))| rejecting(name))
            .fold(beside, |bits, (at, _)| bits | 1 << at)
    }

    /// Of the plugins that rejected a pod, those that such an event can move. Extenders are moved by any.
    pub(crate) fn moved(&self, profile: ProfileOrd, plugins: u32, kinds: EventKinds) -> u32 {
        let filters = self.profile(profile).filters().enumerate();
        let moved = filters.filter(|(_, (_, filter))| filter.moved_by().meets(kinds));
        moved.fold(plugins & EXTENDERS, |bits, (at, _)| bits | (plugins & 1 << at))
    }

    /// Filters that read more of a pod than its spec, as bits by index.
    pub(crate) fn identity_readers(&self, profile: ProfileOrd) -> u32 {
        let filters = self.profile(profile).filters().enumerate();
        let readers = filters.filter(|(_, (_, filter))| filter.reads_identity());
        readers.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// Filters that may reject the pod alone and accept it in company, as bits by index.
    pub(crate) fn company_readers(&self, profile: ProfileOrd, pod: &PodToPlace<'_>, view: &View<'_>) -> u32 {
        let filters = self.profile(profile).filters().enumerate();
        let readers = filters.filter(|(_, (_, filter))| filter.waits_for_company(pod, view));
        readers.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// What an event can mean for a pod that these plugins rejected.
    pub(crate) fn hint(
        &self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        plugins: u32,
        event: &ClusterEvent,
        view: &View<'_>,
    ) -> Hint {
        if plugins & EXTENDERS != 0 {
            return Hint::Queue;
        }
        let filters = self.profile(profile).filters().enumerate();
        let filters = filters.filter(|(at, _)| plugins & 1 << at != 0);
        let hints = filters.map(|(_, (name, filter))| {
            let hint = filter.hint(pod, event, view);
            debug_assert!(
                hint == Hint::Skip || filter.moved_by().meets(event.kinds()),
                "{name} is moved by {event:?}"
            );
            hint
        });
        hints.max().unwrap_or(Hint::Skip)
    }

    /// The first of `filters`, as a bit, that keeps the pod from this one node; None: none does. Those of `first` are asked
    /// first, for they are likely to say what they said before.
    pub(crate) fn keeps_off(
        &self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
        node: NodeOrd,
        [first, filters]: [u32; 2],
    ) -> Option<u32> {
        let mut nodes = NodeSet::with_len(view.table().padded_len());
        nodes.insert(node);
        let mut unheard = Rejections::counting();
        let mut rejects = |of: u32| {
            let asked = self.profile(profile).filters().enumerate();
            let mut asked = asked.filter(|(at, _)| of & 1 << at != 0);
            let rejecting = asked.find(|(_, (name, filter))| {
                match filter.pre_filter(pod, view) {
                    PreFilter::Skip => return false,
                    PreFilter::Reject(..) => return true,
                    PreFilter::Narrow(names) if !names.contains(view.table().name(node)) => return true,
                    PreFilter::Narrow(_) | PreFilter::Judge => {}
                }
                unheard.begin(name);
                filter.filter(pod, view, &mut nodes, &mut unheard);
                nodes.is_empty()
            });
            rejecting.map(|(at, _)| 1 << at)
        };
        rejects(first & filters).or_else(|| rejects(!first & filters))
    }

    /// The plugins that reject every node for the pod, as bits; None: some node could take it, were none promised.
    pub(crate) fn rejects_everywhere(
        &mut self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
    ) -> Option<u32> {
        self.filter(profile, pod, view, &[]);
        self.feasible.is_empty().then(|| self.rejecting_plugins(profile))
    }

    /// Leaves the nodes that can take the pod in [`Pipeline::feasible`]; every other node is blamed on one plugin.
    ///
    /// Source: `pkg/scheduler.findNodesThatFitPod`.
    pub(crate) fn filter(
        &mut self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
        nominated: &Nominated<'_>,
    ) {
        self.feasible.copy_from(view.table().live());
        self.feasible.grow(view.table().padded_len());
        self.rejections.clear();
        self.unasked.clear();
        if self.pre_filter(profile, pod, view) {
            self.filter_nominated(profile, pod, view, nominated);
            let Pipeline {
                profiles,
                feasible,
                skipped,
                rejections,
                ..
            } = self;
            run_filters(&profiles[profile.0], *skipped, pod, view, feasible, rejections);
        }
        debug_assert_eq!(
            self.feasible.len() + self.rejections.n_rejected() as usize,
            view.table().len(),
            "every node is feasible or blamed on one plugin"
        );
    }

    /// As [`Pipeline::filter`], and gives what was said of each node.
    pub(crate) fn filter_in_detail(
        &mut self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
        nominated: &Nominated<'_>,
    ) -> Rejections {
        let counting = std::mem::replace(&mut self.rejections, Rejections::detailed());
        self.filter(profile, pod, view, nominated);
        std::mem::replace(&mut self.rejections, counting)
    }

    /// What each filter by itself has against nodes, whatever the others say: the filters that reject any, in their order.
    pub(crate) fn objections(
        &self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
    ) -> Vec<(&'static str, Rejections)> {
        let table = view.table();
        let object = |(name, filter): (&'static str, &dyn Filter)| {
            let mut rejections = Rejections::detailed();
            rejections.begin(name);
            let mut nodes = table.live().clone();
            nodes.grow(table.padded_len());
            match filter.pre_filter(pod, view) {
                PreFilter::Skip => {}
                PreFilter::Judge => filter.filter(pod, view, &mut nodes, &mut rejections),
                PreFilter::Narrow(names) => {
                    let reason = Reason::Text(format!("node(s) didn't satisfy plugin(s) [{name}]").into());
                    nodes.retain(
                        |node| names.contains(table.name(node)),
                        |node| rejections.reject(node, Code::UnschedulableAndUnresolvable, reason.clone()),
                    );
                    filter.filter(pod, view, &mut nodes, &mut rejections);
                }
                PreFilter::Reject(code, reasons) => nodes
                    .iter()
                    .for_each(|node| rejections.reject_all(node, code, reasons.iter().cloned())),
            }
            (name, rejections)
        };
        let objections = self.profile(profile).filters().map(object);
        objections
            .filter(|(_, rejections)| rejections.n_rejected() > 0)
            .collect()
    }

    /// Answers what is asked from here on by verdicts of its own, so that nobody sees what was asked; gives the others, to
    /// be [brought back](Pipeline::bring_back).
    pub(crate) fn put_batches_aside(&mut self) -> Batches {
        let settings = BatchSettings {
            enabled: self.batches.is_on(),
            check_every: 0,
        };
        let own = Batches::new(settings, self.profiles.len());
        std::mem::replace(&mut self.batches, own)
    }

    /// Goes on with what was put aside.
    pub(crate) fn bring_back(&mut self, batches: Batches) {
        self.batches = batches;
    }

    /// Asks every filter what it says before it looks at nodes. False: no node will do.
    ///
    /// Source: `pkg/scheduler/framework/runtime.RunPreFilterPlugins`: the first final rejection ends the asking, others
    /// do not.
    fn pre_filter(&mut self, profile: ProfileOrd, pod: &PodToPlace<'_>, view: &View<'_>) -> bool {
        self.skipped = 0;
        self.narrowing = 0;
        let mut rejected: Option<PodRejection> = None;
        let mut narrowed: Option<BTreeSet<Text>> = None;
        let mut narrowing: Vec<&'static str> = Vec::new();
        for (at, (plugin, filter)) in self.profiles[profile.0].filters().enumerate() {
            match filter.pre_filter(pod, view) {
                PreFilter::Judge => {}
                PreFilter::Skip => self.skipped |= 1 << at,
                PreFilter::Narrow(names) => {
                    self.narrowing |= 1 << at;
                    narrowing.push(plugin);
                    narrowing.sort_unstable();
                    let both: BTreeSet<Text> = match narrowed.take() {
                        Some(before) => before.intersection(&names).cloned().collect(),
                        None => names,
                    };
                    if both.is_empty() {
                        rejected = Some(nothing_meant(&narrowing));
                        break;
                    }
                    narrowed = Some(both);
                }
                PreFilter::Reject(code, reasons) => {
                    let last = code != Code::Unschedulable;
                    rejected = Some(PodRejection { plugin, code, reasons });
                    if last {
                        break;
                    }
                }
            }
        }
        if let Some(rejected) = rejected {
            let nodes = std::mem::take(&mut self.feasible);
            self.rejections.reject_pod(rejected, &nodes);
            return false;
        }
        if let Some(narrowed) = narrowed {
            let reason = Reason::Text(format!("node(s) didn't satisfy plugin(s) [{}]", narrowing.join(" ")).into());
            // A pod of a DaemonSet means one node: that is looked up, instead of comparing the names of all.
            let table = view.table();
            let mut meant = NodeSet::with_len(table.padded_len());
            let nodes = narrowed.iter().filter_map(|name| table.by_name(name));
            nodes.for_each(|node| meant.insert(node));
            let others = self.feasible.split_blocks(|first| meant.block(first));
            self.rejections.begin(narrowing[0]);
            self.rejections
                .reject_unjudged(&others, Code::UnschedulableAndUnresolvable, &reason);
            self.rejections.narrowed_to(narrowed);
        }
        true
    }

    /// Judges the nodes that are promised to other pods as if these were there already: only then as they are.
    ///
    /// Source: `pkg/scheduler/framework/runtime.RunFilterPluginsWithNominatedPods`.
    fn filter_nominated(
        &mut self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
        nominated: &Nominated<'_>,
    ) {
        let Pipeline {
            profiles,
            feasible,
            skipped,
            rejections,
            ..
        } = self;
        for (node, promised) in nominated {
            if !feasible.contains(*node) {
                continue;
            }
            let mut delta: Delta = view.delta().clone();
            for pod in promised {
                delta.add(view.table(), *node, pod);
            }
            let mut one = NodeSet::with_len(view.table().padded_len());
            one.insert(*node);
            let view = View::new(view.table(), &delta);
            run_filters(&profiles[profile.0], *skipped, pod, &view, &mut one, rejections);
            if one.is_empty() {
                feasible.remove(*node);
            }
        }
    }

    /// Scores the nodes that the last pass left: afterwards `totals` holds what the plugins add up to, as far as it makes a
    /// difference: where nobody looks, plugins that say the same of every node are left out.
    pub(crate) fn score<W: ScoreWitness>(
        &mut self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
        witness: &mut W,
    ) {
        let Pipeline {
            profiles,
            feasible,
            scores,
            totals,
            ..
        } = self;
        totals.resize(view.table().padded_len(), 0);
        scores.resize(view.table().padded_len(), 0);
        let mut begun = false;
        for (plugin, weight, score) in profiles[profile.0].scores() {
            if score.skips(pod, view, feasible) || (!W::LOOKS && score.is_indifferent(pod, view)) {
                continue;
            }
            score.score(pod, view, feasible, scores);
            witness.raw(plugin, feasible, scores);
            score.normalize(pod, view, feasible, scores);
            witness.normalized(plugin, weight, feasible, scores);
            add_weighted(totals, scores, weight, begun);
            begun = true;
        }
        if !begun {
            totals.fill(0);
        }
    }

    fn salt(&self, pod: &PodToPlace<'_>) -> u64 {
        mix(self.seed ^ pod.compiled.content_hash)
    }

    /// The highest total; among equals the highest hash of (seed, content of the spec, node name).
    pub(crate) fn best(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> Option<NodeOrd> {
        let salt = self.salt(pod);
        let [_, highest] = range_of(&self.feasible, &self.totals);
        // Most blocks hold no node with the highest total, and that is seen without looking at nodes.
        let blocks = self.feasible.blocks().filter(|(first, _)| {
            let block = lanes::block(&self.totals, *first);
            block.is_none_or(|totals| totals.iter().fold(false, |any, total| any | (*total == highest)))
        });
        let nodes = blocks.flat_map(|(first, bits)| NodeSet::nodes_of_block(first, bits));
        let equals = nodes.filter(|node| self.totals[node.index()] == highest);
        equals.max_by_key(|node| tie_of(salt, view.table(), *node))
    }

    /// The filter that binds volumes, as a bit by index; 0 if the profile has none.
    pub(crate) fn volume_binders(&self, profile: ProfileOrd) -> u32 {
        let filters = self.profile(profile).filters().enumerate();
        let binders = filters.filter(|(_, (plugin, _))| *plugin == "VolumeBinding");
        binders.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// What of the pod's volumes has to be bound or made when it goes to the node.
    pub(crate) fn bindings(
        &self,
        profile: ProfileOrd,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
        node: NodeOrd,
    ) -> Bindings {
        if pod.spec.volumes.is_empty() || self.volume_binders(profile) == 0 {
            return Bindings::default();
        }
        plan_bindings(pod, view, node)
    }

    /// Forgets the node that a pod has been promised where Kubernetes does.
    pub(crate) fn drop_promise_of_held(&self, pod: &mut PodFacts) {
        let profile = self.profile_of(&pod.scheduler_name).or_else(|| self.first_profile());
        let is_held = |profile| self.held_by(profile, &pod.to_enqueue()).is_some();
        if !self.keeps_promises && pod.nominated_node_name().is_some() && profile.is_some_and(is_held) {
            pod.forget_promise();
        }
    }

    /// Why a pod is kept out of the queue, by the first plugin that keeps it out.
    pub(crate) fn held_by(&self, profile: ProfileOrd, pod: &PodToEnqueue<'_>) -> Option<(&'static str, Text)> {
        let mut plugins = self.profile(profile).pre_enqueue();
        plugins.find_map(|(name, plugin)| Some((name, plugin.hold(pod)?.into())))
    }
}

/// No name is left that all of these plugins mean. Source: `pkg/scheduler/framework/runtime.RunPreFilterPlugins`.
fn nothing_meant(plugins: &[&'static str]) -> PodRejection {
    let reason = match plugins {
        [one] => format!("node(s) didn't satisfy plugin {one}"),
        _ => format!(
            "node(s) didn't satisfy plugin(s) [{}] simultaneously",
            plugins.join(" ")
        ),
    };
    PodRejection {
        plugin: "",
        code: Code::UnschedulableAndUnresolvable,
        reasons: vec![Reason::Text(reason.into())],
    }
}

/// Runs the filters that have something to judge, until no node is left.
fn run_filters(
    profile: &Profile,
    skipped: u32,
    pod: &PodToPlace<'_>,
    view: &View<'_>,
    nodes: &mut NodeSet,
    rejections: &mut Rejections,
) {
    for (_, (name, filter)) in profile.filters().enumerate().filter(|(at, _)| skipped & 1 << at == 0) {
        if nodes.is_empty() {
            break;
        }
        rejections.begin(name);
        filter.filter(pod, view, nodes, rejections);
    }
}

/// Adds the weighted scores to the totals, or puts them in their place where none have begun yet. Whole columns: what stands
/// at nodes that fell out is never read.
fn add_weighted(totals: &mut [i64], scores: &[i64], weight: i64, begun: bool) {
    ranges::change_by(totals, scores, |totals, scores| {
        // Small weights are most of them, and processors add many integers at once but multiply them one by one.
        lanes::widely(
            #[inline(always)]
            || match weight {
                1 => join(totals, scores, begun, |score| score),
                2 => join(totals, scores, begun, |score| score << 1),
                3 => join(totals, scores, begun, |score| (score << 1).wrapping_add(score)),
                _ => join(totals, scores, begun, |score| weight.wrapping_mul(score)),
            },
        );
    });
}

#[inline(always)]
fn join(totals: &mut [i64], scores: &[i64], begun: bool, weighted: impl Fn(i64) -> i64) {
    let both = totals.iter_mut().zip(scores);
    if begun {
        both.for_each(|(total, score)| *total = total.wrapping_add(weighted(*score)));
    } else {
        both.for_each(|(total, score)| *total = weighted(*score));
    }
}

/// What decides between nodes that are equally good: the node with the highest is taken.
pub(crate) fn tie_of(salt: u64, table: &NodeTable, node: NodeOrd) -> u64 {
    mix(salt ^ table.name_hash(node))
}

/// Spreads every bit of `x` over all bits (the finalizer of SplitMix64).
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
