//! The last resort for small gangs: every way to place them, depth first, until one suffices or none is left.
//!
//! What makes no difference is tried once. Where no member can bring another one a place, members are placed class by
//! class, twins in the order of nodes, and of nodes that are alike in all that the members can tell, the first stands for
//! all. Where members want company the order matters: then every order is tried, and what has been reached before, by
//! whichever order, is not gone on from again.

use crate::engine::Engine;
use crate::plan::{Plan, Wish};
use crate::search::Class;
use muster_framework::resource::ResourceOrd;
use muster_framework::table::NodeOrd;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

/// What a step came to.
#[derive(Debug)]
pub(crate) enum Found {
    /// There is more to try; it cost so many judgements of all nodes.
    NotYet { steps: u32 },
    /// Enough members have a place.
    Plan(Box<Plan>),
    /// Everything has been tried.
    Nothing,
}

/// One thing to do next.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// The next member of a class goes to a node.
    Place(usize, NodeOrd),
    /// No further member of the class in turn is placed.
    NextClass,
}

/// Some members placed, and what is still to be tried from there.
#[derive(Debug)]
struct Frame {
    plan: Plan,
    /// How many members of each class have a place.
    placed: Vec<usize>,
    /// The class in turn, where classes take turns.
    class: usize,
    /// Where its last member went: its twins go there or to later nodes.
    last: NodeOrd,
    /// None: not yet found out. The next one last.
    moves: Option<Vec<Move>>,
}

/// The search, as far as it has come.
#[derive(Debug)]
pub(crate) struct Exhaustive {
    frames: Vec<Frame>,
    in_company: bool,
    /// What has been reached: classes and nodes of the places, sorted.
    reached: FxHashSet<Vec<(usize, NodeOrd)>>,
    /// What tells nodes apart. None: everything does.
    likeness: Option<Likeness>,
}

/// What tells nodes apart for members that ask for resources only.
#[derive(Debug)]
struct Likeness {
    resources: Vec<ResourceOrd>,
    /// The classes that a node can take with nothing planned, as bits, by the ordinal of the node.
    takes: Vec<u64>,
}

impl Exhaustive {
    /// A search that has not begun. `per_node`: what a node can take depends on the node alone.
    pub(crate) fn new(engine: &mut Engine, classes: &[Class], in_company: bool, per_node: bool) -> Exhaustive {
        let start = Frame {
            plan: Plan::default(),
            placed: vec![0; classes.len()],
            class: 0,
            last: NodeOrd(0),
            moves: None,
        };
        Exhaustive {
            frames: vec![start],
            in_company,
            reached: FxHashSet::default(),
            likeness: per_node.then(|| Likeness::of(engine, classes)).flatten(),
        }
    }

    /// Finds out what can be done next, or does it.
    pub(crate) fn step(&mut self, engine: &mut Engine, classes: &[Class], required: usize) -> Found {
        let Some(frame) = self.frames.last_mut() else {
            return Found::Nothing;
        };
        if frame.plan.places.len() >= required {
            return Found::Plan(Box::new(std::mem::take(&mut frame.plan)));
        }
        let Some(moves) = &mut frame.moves else {
            let (moves, steps) = match self.in_company {
                true => frame.moves_of_all(engine, classes),
                false => frame.moves_in_turn(engine, classes, required, self.likeness.as_ref()),
            };
            frame.moves = Some(moves);
            return Found::NotYet { steps };
        };
        match moves.pop() {
            None => drop(self.frames.pop()),
            Some(next) => {
                let next = frame.after(engine, classes, next);
                self.frames
                    .extend(next.filter(|next| !self.in_company || self.reached.insert(next.key(classes))));
            }
        }
        Found::NotYet { steps: 1 }
    }
}

impl Frame {
    /// Where members want company: any class may come next.
    fn moves_of_all(&self, engine: &mut Engine, classes: &[Class]) -> (Vec<Move>, u32) {
        let mut moves = Vec::new();
        let mut steps = 0;
        for (at, class) in classes.iter().enumerate().rev() {
            let Some(member) = class.members.get(self.placed[at]) else {
                continue;
            };
            steps += 1;
            let nodes = engine.nodes_for(Wish::of(*member, class.asked), &self.plan);
            moves.extend(nodes.iter().map(|node| Move::Place(at, node)));
        }
        (moves, steps)
    }

    /// Classes take turns.
    fn moves_in_turn(
        &self,
        engine: &mut Engine,
        classes: &[Class],
        required: usize,
        likeness: Option<&Likeness>,
    ) -> (Vec<Move>, u32) {
        let Some(class) = classes.get(self.class) else {
            return (Vec::new(), 0);
        };
        let later = classes[self.class + 1..]
            .iter()
            .map(|class| class.members.len())
            .sum::<usize>();
        let own = class.members.len() - self.placed[self.class];
        let placed = self.plan.places.len();
        if placed + own + later < required {
            return (Vec::new(), 0);
        }
        let mut moves = Vec::new();
        if placed + later >= required {
            moves.push(Move::NextClass);
        }
        let Some(member) = class.members.get(self.placed[self.class]) else {
            return (vec![Move::NextClass], 0);
        };
        let nodes = engine.nodes_for(Wish::of(*member, class.asked), &self.plan);
        let mut seen = FxHashSet::default();
        let mut nodes: Vec<NodeOrd> = nodes.iter().filter(|node| *node >= self.last).collect();
        nodes.retain(|node| likeness.is_none_or(|likeness| seen.insert(likeness.key(engine, &self.plan, *node))));
        moves.extend(nodes.into_iter().rev().map(|node| Move::Place(self.class, node)));
        (moves, 1)
    }

    fn after(&self, engine: &mut Engine, classes: &[Class], next: Move) -> Option<Frame> {
        let mut frame = Frame {
            plan: self.plan.clone(),
            placed: self.placed.clone(),
            class: self.class,
            last: self.last,
            moves: None,
        };
        match next {
            Move::NextClass => {
                frame.class += 1;
                frame.last = NodeOrd(0);
            }
            Move::Place(class, node) => {
                let member = *classes[class].members.get(self.placed[class])?;
                if !engine.put(member, node, &mut frame.plan) {
                    return None;
                }
                frame.placed[class] += 1;
                frame.last = node;
            }
        }
        Some(frame)
    }

    /// Twins in each other's places are the same.
    fn key(&self, classes: &[Class]) -> Vec<(usize, NodeOrd)> {
        let class_of = |pod| {
            classes
                .iter()
                .position(|class| class.members.contains(pod))
                .unwrap_or(classes.len())
        };
        let places = self.plan.places.iter();
        let mut key: Vec<_> = places.map(|place| (class_of(&place.pod), place.node)).collect();
        key.sort_unstable();
        key
    }
}

impl Likeness {
    /// None: ports tell nodes apart as well, or there are too many classes.
    fn of(engine: &mut Engine, classes: &[Class]) -> Option<Likeness> {
        if classes.len() > u64::BITS as usize {
            return None;
        }
        let mut likeness = Likeness {
            resources: Vec::new(),
            takes: vec![0; engine.cluster.table.padded_len()],
        };
        for (at, class) in classes.iter().enumerate() {
            let Some(member) = class.members.first() else { continue };
            let nodes = engine.nodes_for(Wish::of(*member, class.asked), &Plan::default());
            nodes.iter().for_each(|node| likeness.takes[node.index()] |= 1 << at);
            let pod = engine.cluster.pods.get(*member)?;
            if !pod.record.spec.host_ports.is_empty() {
                return None;
            }
            let needs = &engine.cluster.shapes.compiled(pod.shape)?.needs;
            likeness.resources.extend(needs.iter().map(|(resource, _)| *resource));
        }
        likeness.resources.sort_unstable();
        likeness.resources.dedup();
        Some(likeness)
    }

    fn key(&self, engine: &Engine, plan: &Plan, node: NodeOrd) -> (u64, SmallVec<[i64; 4]>) {
        let view = muster_framework::view::View::new(&engine.cluster.table, &plan.delta);
        let free = self.resources.iter().map(|resource| view.free(node, *resource));
        (self.takes[node.index()], free.collect())
    }
}
