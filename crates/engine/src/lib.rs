//! The engine: watch events become [`Input`]s, the engine folds them into its state and its queue, runs scheduling
//! cycles, and hands out [`Effect`]s; a driver carries them out and reports each [`Outcome`] as another input.
//!
//! It is single-threaded and deterministic: the same inputs with the same seed give the same effects, byte for byte.
//! **Architecture invariant:** nothing here knows a clock, a thread, a network or Kubernetes JSON.

mod batch;
mod broken;
mod census;
mod cluster;
mod consultation;
mod cycle;
mod deadlines;
mod diagnosis;
mod effect;
pub mod election;
mod engine;
mod exhaustive;
mod explain;
mod facts;
mod group_report;
mod groups;
mod ingest;
mod input;
mod leadership;
mod observation;
mod outbox;
mod outcome;
mod overview;
mod owners;
mod pipeline;
mod plan;
mod planning;
mod pods;
mod preparation;
mod queue;
mod report;
mod retries;
mod scene;
mod search;
mod settings;
mod snapshot;
mod time;
mod waking;

pub use batch::{BatchCounts, FullPass};
pub use census::Census;
pub use effect::{Effect, EffectId, EffectKind, ExtenderVerb, GroupRef, PodRef, Regarding, Severity};
pub use engine::{Engine, PodState, PodStatus, Stats};
pub use explain::{
    Attempt, Change, Crowd, Explanation, NearMiss, NodeVerdicts, Quorum, RejectedBy, Remedy, Said, Stage, Subject,
};
pub use input::{BindOutcome, ExtenderAnswer, Input, Object, ObjectKey, Outcome, PodRead};
pub use muster_framework::rejection::Code;
pub use observation::{AttemptResult, Observation, PlaceStage, Section, WaitReason};
pub use overview::{GroupAtAGlance, HeldPlace, LISTED, Listed, Overview, PodAtAGlance};
pub use scene::{Evaluation, NodeScore, PluginScore, Scene, Verdict};
pub use settings::{BatchSettings, ExtenderSettings, GangSettings, Settings};
pub use snapshot::{BrokenGang, QueuedEntity, Reservation, Snapshot};
pub use time::Time;
