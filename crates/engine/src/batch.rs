//! Opportunistic batching, exact: twins of a pod that was tried are placed by its verdict, brought up to date, instead of
//! by a full pass over all nodes, and get the node that the full pass would have given them.
//!
//! Pods are twins when their specs are the same and the same selections and terms speak of them: labels that nobody looks
//! at make no difference. Many verdicts are kept at once; neither other pods in between, nor failures, nor binds of other
//! schedulers, nor time end one. A verdict is made when it is likely to be used: when a twin comes before many nodes have
//! changed, or is known to wait. What is kept is bounded in bytes, and what was used longest ago goes first.
//!
//! A pod takes the full pass where a plugin cannot say what its answer depends on (volumes), where domains are too many,
//! and where more than the profile has a say: extenders, promised nodes, nodes to be avoided.

mod blame;
mod cell_table;
mod verdict;

use self::verdict::{Asked, NoVerdict, Outcome, Scratch, Verdict, most_followed};
use crate::pipeline::ProfileOrd;
use crate::settings::BatchSettings;
use muster_framework::plugin::PodToPlace;
use muster_framework::rejection::Rejections;
use muster_framework::table::{NodeOrd, NodeTable};
use muster_framework::view::View;
use muster_plugins::Profile;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Bytes that all verdicts may take, about.
const MAX_BYTES: usize = 32 << 20;
/// How many verdicts are kept in any case.
const MIN_KEPT: usize = 4;
/// How many shapes without a verdict are remembered.
const MAX_REMEMBERED: usize = 1024;
/// How many twins take the full pass after a verdict turned out to have too many cells, before it is tried again.
const BARREN_FOR: u32 = 256;

/// What twins have in common: whatever plugins read of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    profile: ProfileOrd,
    /// The compiled spec, by a number that is never used again.
    spec: u64,
    /// What it is spread with by default, likewise; 0: nothing.
    default_selection: u64,
    /// The selections and terms that speak of it, likewise.
    spoken_of_by: SmallVec<[u64; 8]>,
}

impl Key {
    fn of(profile: ProfileOrd, pod: &PodToPlace<'_>, table: &NodeTable) -> Key {
        Key {
            profile,
            spec: pod.compiled.serial,
            default_selection: pod.default_selection.map_or(0, |selection| table.serial_of(selection)),
            spoken_of_by: table.who_speaks_of(&pod.identity()),
        }
    }
}

/// What is known of a shape.
#[derive(Debug)]
struct Known {
    /// When a twin was asked about last, counted in questions.
    asked: u64,
    /// The position in the change log then.
    position: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A twin took the full pass.
    Seen,
    /// It has too many cells. So many twins more take the full pass.
    Barren(u32),
    Kept(Box<Verdict>),
}

/// What a verdict says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The best node.
    Node(NodeOrd),
    /// Nothing can take the pod: the rejections say why.
    Nowhere,
    /// No verdict: the full pass has to tell.
    FullPass(FullPass),
}

/// Why a pod takes the full pass, by the names that metrics use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FullPass {
    /// No twin has been tried before, or not lately.
    First,
    /// Too many nodes have changed since.
    NodesChanged,
    /// A plugin cannot say what its answer depends on, as with volumes.
    NotBatchable,
    /// Domains differ in too many ways.
    TooManyCells,
    /// Extenders, promised nodes or nodes to be avoided have a say.
    Circumstances,
    /// Batching is switched off.
    Off,
}

impl FullPass {
    /// All of them.
    pub const ALL: [FullPass; 6] = [
        FullPass::First,
        FullPass::NodesChanged,
        FullPass::NotBatchable,
        FullPass::TooManyCells,
        FullPass::Circumstances,
        FullPass::Off,
    ];

    /// The label value of `muster_batch_full_passes_total{reason}`.
    pub fn name(self) -> &'static str {
        match self {
            FullPass::First => "first",
            FullPass::NodesChanged => "nodes_changed",
            FullPass::NotBatchable => "not_batchable",
            FullPass::TooManyCells => "too_many_cells",
            FullPass::Circumstances => "circumstances",
            FullPass::Off => "off",
        }
    }
}

/// What batching has done since it was asked last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Decisions by a verdict that found a node.
    pub placed: u64,
    /// Decisions by a verdict that found none.
    pub rejected: u64,
    /// Decisions by a full pass, in the order of [`FullPass::ALL`].
    pub full_passes: [u64; FullPass::ALL.len()],
    /// Verdicts that were made.
    pub made: u64,
    /// Verdicts that went because too much had changed.
    pub outdated: u64,
    /// Verdicts that went because others took their room.
    pub evicted: u64,
    /// Nodes that were judged again to bring verdicts up to date.
    pub nodes_followed: u64,
    /// Decisions by a verdict that a full pass confirmed.
    pub confirmed: u64,
    /// Decisions by a verdict that a full pass contradicted: a defect. The full pass was followed.
    pub contradicted: u64,
}

impl BatchCounts {
    /// Whether nothing has happened.
    pub fn is_empty(&self) -> bool {
        *self == BatchCounts::default()
    }
}

/// A pod that is to be placed.
pub(crate) struct Question<'a> {
    pub(crate) profile: (ProfileOrd, &'a Profile),
    pub(crate) pod: &'a PodToPlace<'a>,
    pub(crate) view: &'a View<'a>,
    /// Breaks ties between nodes.
    pub(crate) salt: u64,
    /// The node that it has been promised.
    pub(crate) wanted: Option<NodeOrd>,
    /// Twins are known to wait.
    pub(crate) twins_wait: bool,
}

/// The verdicts of all shapes that were asked about lately.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    settings: BatchSettings,
    known: FxHashMap<Key, Known>,
    n_kept: usize,
    asked: u64,
    /// The shape of the last question.
    last: Option<Key>,
    scratch: Scratch,
    /// By profile.
    counts: Vec<BatchCounts>,
}

impl Batches {
    /// For so many profiles.
    pub(crate) fn new(settings: BatchSettings, n_profiles: usize) -> Batches {
        Batches {
            settings,
            counts: vec![BatchCounts::default(); n_profiles],
            ..Batches::default()
        }
    }

    /// What was done since this was asked last, by profile; those of which nothing was done are left out.
    pub(crate) fn take_counts(&mut self) -> impl Iterator<Item = (ProfileOrd, BatchCounts)> {
        let counts = self.counts.iter_mut().enumerate();
        let counts = counts.map(|(profile, counts)| (ProfileOrd::at(profile), std::mem::take(counts)));
        counts.filter(|(_, counts)| !counts.is_empty())
    }

    fn counts_of(&mut self, profile: ProfileOrd) -> &mut BatchCounts {
        &mut self.counts[profile.index()]
    }

    pub(crate) fn is_on(&self) -> bool {
        self.settings.enabled
    }

    /// Whether the answer that has just been given is to be held against a full pass.
    pub(crate) fn is_to_be_checked(&self) -> bool {
        let due = || {
            let every = u64::from(self.settings.check_every);
            every > 0 && self.asked.is_multiple_of(every)
        };
        cfg!(debug_assertions) || due()
    }

    /// The verdict on a pod, if there is one. Where nothing can take the pod, `rejections`, which are clear, are told why.
    pub(crate) fn ask(&mut self, question: &Question<'_>, rejections: &mut Rejections) -> Answer {
        self.asked += 1;
        let key = Key::of(question.profile.0, question.pod, question.view.table());
        let asked = Asked {
            profile: question.profile.1,
            pod: question.pod,
            view: question.view,
            salt: question.salt,
        };
        let answer = match self.bring_up_to_date(&key, question, &asked) {
            Err(reason) => Answer::FullPass(reason),
            Ok(()) => self.answer(&key, question, &asked, rejections),
        };
        match answer {
            Answer::Node(_) => self.counts_of(key.profile).placed += 1,
            Answer::Nowhere => self.counts_of(key.profile).rejected += 1,
            Answer::FullPass(reason) => self.count_full_pass(key.profile, reason),
        }
        self.last = Some(key);
        answer
    }

    pub(crate) fn count_full_pass(&mut self, profile: ProfileOrd, reason: FullPass) {
        self.counts_of(profile).full_passes[reason as usize] += 1;
    }

    /// Makes sure that there is a verdict on the shape that is true of the cluster as it is.
    fn bring_up_to_date(&mut self, key: &Key, question: &Question<'_>, asked: &Asked<'_>) -> Result<(), FullPass> {
        let table = question.view.table();
        let position = table.position();
        let Some(known) = self.known.get_mut(key) else {
            self.remember(key, position);
            return if question.twins_wait {
                self.make(key, asked)
            } else {
                Err(FullPass::First)
            };
        };
        let changes = position - known.position;
        (known.asked, known.position) = (self.asked, position);
        match &mut known.state {
            State::Kept(verdict) => {
                let counts = &mut self.counts[key.profile.index()];
                if let Some(nodes) = verdict.follow(asked, &mut self.scratch) {
                    counts.nodes_followed += nodes as u64;
                    return Ok(());
                }
                known.state = State::Seen;
                counts.outdated += 1;
                self.n_kept -= 1;
            }
            State::Barren(left) if *left > 0 => {
                *left -= 1;
                return Err(FullPass::TooManyCells);
            }
            State::Barren(_) | State::Seen => {}
        }
        if question.twins_wait || changes <= most_followed(table.len()) as u64 {
            self.make(key, asked)
        } else {
            Err(FullPass::NodesChanged)
        }
    }

    fn make(&mut self, key: &Key, asked: &Asked<'_>) -> Result<(), FullPass> {
        let state = match Verdict::new(asked) {
            Ok(verdict) => State::Kept(Box::new(verdict)),
            Err(NoVerdict::ReadsAnything) => return Err(FullPass::NotBatchable),
            Err(NoVerdict::TooManyCells) => State::Barren(BARREN_FOR),
        };
        let kept = matches!(state, State::Kept(_));
        if kept {
            self.counts_of(key.profile).made += 1;
            self.make_room(asked.view.table().len());
            self.n_kept += 1;
        }
        if let Some(known) = self.known.get_mut(key) {
            known.state = state;
        }
        if kept { Ok(()) } else { Err(FullPass::TooManyCells) }
    }

    fn answer(&mut self, key: &Key, question: &Question<'_>, asked: &Asked<'_>, rejections: &mut Rejections) -> Answer {
        let Some(Known {
            state: State::Kept(verdict),
            ..
        }) = self.known.get_mut(key)
        else {
            return Answer::FullPass(FullPass::First);
        };
        match verdict.choose(asked, question.wanted, &mut self.scratch) {
            Outcome::Node(node) => Answer::Node(node),
            Outcome::Nowhere if verdict.explain(asked, &self.scratch, rejections) => Answer::Nowhere,
            Outcome::Nowhere => Answer::FullPass(FullPass::NotBatchable),
        }
    }

    /// A full pass agrees with the last answer, or it does not: then the verdict goes.
    pub(crate) fn hear_of_check(&mut self, agrees: bool) {
        let Some(key) = self.last.take() else { return };
        if agrees {
            self.counts_of(key.profile).confirmed += 1;
            return;
        }
        self.counts_of(key.profile).contradicted += 1;
        if let Some(known) = self.known.get_mut(&key)
            && matches!(known.state, State::Kept(_))
        {
            known.state = State::Seen;
            self.n_kept -= 1;
        }
    }

    fn remember(&mut self, key: &Key, position: u64) {
        if self.known.len() >= MAX_REMEMBERED + self.n_kept {
            let seen = self
                .known
                .iter()
                .filter(|(_, known)| !matches!(known.state, State::Kept(_)));
            let oldest = seen.min_by_key(|(_, known)| known.asked).map(|(key, _)| key.clone());
            oldest.map(|key| self.known.remove(&key));
        }
        let known = Known {
            asked: self.asked,
            position,
            state: State::Seen,
        };
        self.known.insert(key.clone(), known);
    }

    /// Lets the verdict go that was used longest ago, if one more would be too many.
    fn make_room(&mut self, n_nodes: usize) {
        let most = (MAX_BYTES / Verdict::bytes(n_nodes)).max(MIN_KEPT);
        while self.n_kept >= most {
            let kept = self.known.iter_mut();
            let kept = kept.filter(|(_, known)| matches!(known.state, State::Kept(_)));
            let Some((key, oldest)) = kept.min_by_key(|(_, known)| known.asked) else {
                return;
            };
            oldest.state = State::Seen;
            self.n_kept -= 1;
            self.counts[key.profile.index()].evicted += 1;
        }
    }
}
