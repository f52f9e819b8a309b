//! A plan: places for pods that nobody else sees, made of the judgement of one pod after the other on top of it.

use crate::consultation::Consultation;
use crate::diagnosis;
use crate::engine::Engine;
use crate::pipeline::{ALL_PLUGINS, Choice, Pipeline, ProfileOrd};
use crate::pods::PodId;
use crate::preparation::Planned;
use crate::queue::Rejected;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::PodToPlace;
use muster_framework::resource::ResourceOrd;
use muster_framework::table::NodeOrd;
use muster_framework::view::{Delta, View};

/// Why a member found no place, said at the moment when it was tried.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) rejected: Rejected,
    pub(crate) message: String,
    /// The member, then its twins, which were not tried.
    pub(crate) without_place: Vec<PodId>,
}

/// Places for some pods. Dropping it leaves no trace.
#[derive(Debug, Default, Clone)]
pub(crate) struct Plan {
    pub(crate) delta: Delta,
    pub(crate) places: Vec<Planned>,
    /// What stands against the others.
    pub(crate) failures: Vec<Failure>,
    /// One member of each class that found places for all.
    pub(crate) content: Vec<PodId>,
    /// A member found no place only because extenders were not asked about nodes that could take it now.
    pub(crate) asked_too_little: bool,
}

/// Who is to be placed, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) pod: PodId,
    /// The twin that extenders were asked about.
    pub(crate) asked: PodId,
    /// The fullest node is taken, whatever the profile prefers.
    pub(crate) packing: bool,
    /// The only nodes that are in question.
    pub(crate) within: Option<&'a NodeSet>,
    /// Twins are to be placed next.
    pub(crate) twins_wait: bool,
}

impl Wish<'_> {
    /// A pod by itself, as its profile prefers.
    pub(crate) fn of(pod: PodId, asked: PodId) -> Wish<'static> {
        Wish {
            pod,
            asked,
            packing: false,
            within: None,
            twins_wait: false,
        }
    }
}

impl Engine {
    /// The best node for a pod that is placed by itself, with what of its volumes has to be bound there. None: nothing can
    /// take it, and the pipeline knows why; or there is no such pod.
    pub(crate) fn place_alone(&mut self, pod: PodId) -> Option<Planned> {
        let plan = Plan::default();
        let node = self.find_node(Wish::of(pod, pod), &plan)?;
        self.planned(pod, node, &plan)
    }

    /// Finds the best node for a pod on top of the plan so far. What extenders say is what they have said of its twin.
    /// False: nothing can take it, and the pipeline knows why; or there is no such pod.
    pub(crate) fn plan_member(&mut self, wish: Wish<'_>, plan: &mut Plan) -> bool {
        match self.find_node(wish, plan) {
            Some(node) => self.put(wish.pod, node, plan),
            None => false,
        }
    }

    fn find_node(&mut self, wish: Wish<'_>, plan: &Plan) -> Option<NodeOrd> {
        let place = self.with_pod(wish, plan, |pipeline, profile, pod, view, choice| {
            pipeline.place(profile, pod, view, choice)
        });
        place.flatten()
    }

    /// The nodes that can take a pod on top of a plan.
    pub(crate) fn nodes_for(&mut self, wish: Wish<'_>, plan: &Plan) -> NodeSet {
        let feasible = self.with_pod(wish, plan, |pipeline, profile, pod, view, choice| {
            // What is to be avoided can be had all the same.
            let choice = Choice {
                avoided: &[],
                ..*choice
            };
            pipeline.narrow(profile, pod, view, &choice);
            pipeline.feasible().clone()
        });
        feasible.unwrap_or_default()
    }

    /// Whether one node can take a pod on top of a plan.
    pub(crate) fn node_takes(&mut self, wish: Wish<'_>, node: NodeOrd, plan: &Plan) -> bool {
        let takes = self.with_pod(wish, plan, |pipeline, profile, pod, view, choice| {
            pipeline.accepts(profile, pod, view, choice, node)
        });
        takes == Some(true)
    }

    /// Whether a pod could be given the place again that is kept for it. Its volumes are not asked about: they are being
    /// bound.
    pub(crate) fn place_stands(&mut self, id: PodId) -> bool {
        let Some(place) = self.cluster.unplace(id) else {
            return false;
        };
        let stands = place.charged.is_some_and(|node| {
            let stands = self.with_pod(Wish::of(id, id), &Plan::default(), |pipeline, profile, pod, view, _| {
                let filters = ALL_PLUGINS & !pipeline.volume_binders(profile);
                pipeline.keeps_off(profile, pod, view, node, [0, filters]).is_none()
            });
            stands == Some(true)
        });
        self.cluster.place(id, &place.node_name, place.bind);
        stands
    }

    /// Writes down in the plan that a pod goes to a node. False: there is no such pod.
    pub(crate) fn put(&mut self, id: PodId, node: NodeOrd, plan: &mut Plan) -> bool {
        let Some(planned) = self.planned(id, node, plan) else {
            return false;
        };
        let (Some(pod), Some(facts)) = (self.cluster.to_place(id), self.cluster.pods.get(id)) else {
            return false;
        };
        plan.delta.add(&self.cluster.table, node, &pod);
        if !planned.bindings.is_empty() {
            plan.delta.assume(&facts.record.uid, &planned.bindings);
        }
        plan.places.push(planned);
        true
    }

    /// What it takes that a pod goes to a node, on top of a plan. None: there is no such pod.
    fn planned(&self, id: PodId, node: NodeOrd, plan: &Plan) -> Option<Planned> {
        let Engine { cluster, pipeline, .. } = self;
        let (pod, record) = (cluster.to_place(id)?, &cluster.pods.get(id)?.record);
        let profile = pipeline.profile_of(&record.scheduler_name)?;
        let bindings = pipeline.bindings(profile, &pod, &View::new(&cluster.table, &plan.delta), node);
        Some(Planned {
            pod: id,
            node,
            bindings,
        })
    }

    /// What stands against the pod that the last judgement found no node for.
    pub(crate) fn failure_of(&self, id: PodId, without_place: Vec<PodId>) -> Option<Failure> {
        let record = &self.cluster.pods.get(id)?.record;
        let profile = self.pipeline.profile_of(&record.scheduler_name)?;
        Some(Failure {
            rejected: Rejected {
                pod: id,
                plugins: self.pipeline.rejecting_plugins(profile),
            },
            message: diagnosis::no_node(&self.cluster.table, self.pipeline.rejections()),
            without_place,
        })
    }

    /// Asks the pipeline about a pod on top of a plan. None: there is no such pod, or none of ours.
    pub(crate) fn with_pod<T>(
        &mut self,
        wish: Wish<'_>,
        plan: &Plan,
        ask: impl FnOnce(&mut Pipeline, ProfileOrd, &PodToPlace<'_>, &View<'_>, &Choice<'_>) -> T,
    ) -> Option<T> {
        let id = wish.pod;
        self.cluster.compile(id);
        self.cluster.compile_nominated(id);
        let avoided = self.avoided_by(id);
        let Engine {
            cluster,
            pipeline,
            consultations,
            ..
        } = &mut *self;
        let (pod, record) = (cluster.to_place(id)?, &cluster.pods.get(id)?.record);
        let profile = pipeline.profile_of(&record.scheduler_name)?;
        let view = View::new(&cluster.table, &plan.delta);
        let promised = record.nominated_node_name();
        let said: Option<&Consultation> = consultations.get(&wish.asked);
        let choice = Choice {
            nominated: &cluster.nominated_to_place(id, &plan.places),
            wanted: promised.and_then(|name| cluster.table.by_name(name)),
            said,
            avoided: &avoided,
            within: wish.within,
            packing: wish.packing,
            twins_wait: wish.twins_wait,
        };
        Some(ask(pipeline, profile, &pod, &view, &choice))
    }
}

/// What a gang lacks, said of the first of its classes that finds no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// The first member without a place, which stands for its class.
    pub(crate) member: PodId,
    /// How many members of its class have none.
    pub(crate) without_place: u32,
    /// The resource that is short on the nearest node, and how much of it, in the units of its column. None: it is not a
    /// matter of resources, or there is no node.
    pub(crate) short: Option<(ResourceOrd, i64)>,
    /// Nodes that could take one of them, had the others of the gang no places.
    pub(crate) nodes_with_room: u32,
}

impl Engine {
    /// What stands between a plan and its first failure, in figures.
    pub(crate) fn shortage(&mut self, plan: &Plan) -> Option<Shortage> {
        let failure = plan.failures.first()?;
        let member = failure.rejected.pod;
        let alone = self.nodes_for(Wish::of(member, member), &Plan::default());
        let table = &self.cluster.table;
        let view = View::new(table, &plan.delta);
        let needs = &self.cluster.to_place(member)?.compiled.needs;
        let nodes: &NodeSet = if alone.is_empty() { table.live() } else { &alone };
        let shortest = nodes.iter().filter_map(|node| {
            let lacks = needs.iter().map(|&(resource, need)| {
                let lack = need.saturating_sub(view.free(node, resource)).max(0);
                (i128::from(lack) * 1_000_000 / i128::from(need.max(1)), resource, lack)
            });
            lacks.max_by_key(|(share, resource, _)| (*share, std::cmp::Reverse(*resource)))
        });
        let nearest = shortest.min_by_key(|(share, ..)| *share);
        Some(Shortage {
            member,
            without_place: failure.without_place.len() as u32,
            short: nearest
                .filter(|(share, ..)| *share > 0)
                .map(|(_, resource, lack)| (resource, lack)),
            nodes_with_room: alone.len() as u32,
        })
    }
}
