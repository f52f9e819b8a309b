//! What a loaded configuration says.

use std::time::Duration;

use muster_engine::election::{Timing, TimingError};
use muster_engine::{BatchSettings, GangSettings};
use muster_framework::rules::KubeMinor;
use muster_plugins::profile::ProfileSpec;

use crate::document::Node;
use crate::extender::ExtenderSpec;
use crate::problem::{Error, Problem, Report};
use crate::profile::{DEFAULT_SCHEDULER, Profile};
use crate::{defaults, document, own, scheduler};

/// Everything that can be configured, checked and with its defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// The profiles; at least one, and no two of the same name. [`Configuration::profiles`] has what they come to.
    pub profiles: Vec<Profile>,
    /// Programs to be asked, in the order of asking.
    pub extenders: Vec<ExtenderSpec>,
    /// The first wait after a failed attempt; greater than zero.
    pub pod_initial_backoff: Duration,
    /// The longest wait after a failed attempt; not less than the first.
    pub pod_max_backoff: Duration,
    /// How long a pod may lie in the unschedulable section before it is tried again without any event.
    pub pod_max_in_unschedulable: Duration,
    /// Breaks ties between equally good nodes: the same seed, the same choices.
    pub seed: u64,
    /// How to reach the API server.
    pub client: ClientConnection,
    /// Who of several Musters schedules.
    pub leader_election: LeaderElection,
    /// How gangs are treated, where neither the API nor their objects say.
    pub gangs: GangSettings,
    /// Whether twins are placed by one verdict.
    pub batching: BatchSettings,
    /// How many bindings may be on their way at once at the most; at least one.
    pub binds_in_flight: usize,
    /// How many writes of conditions and events may be on their way at once; at least one.
    pub status_writes_in_flight: usize,
    /// Where traces go; None: nowhere.
    pub tracing: Option<Tracing>,
    /// What was accepted but has no effect: for the log.
    pub warnings: Vec<Problem>,
}

/// How to reach the API server.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClientConnection {
    /// The kubeconfig file; None: inside the cluster, or the user's default.
    pub kubeconfig: Option<String>,
    /// Requests per second; None: no limit on our side, the API server's priority and fairness decides.
    pub qps: Option<f32>,
    /// Requests at once above the rate; never set without `qps`.
    pub burst: Option<u32>,
}

/// Where OpenTelemetry traces go, and of whom: `tracing`, in the words of `TracingConfiguration` of
/// `k8s.io/component-base/tracing/api/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracing {
    /// The collector's URL for traces: OTLP over HTTP.
    pub endpoint: String,
    /// Of a million pods, or gangs, so many are traced.
    pub sampling_rate_per_million: u32,
}

/// Who of several Musters schedules: `leaderElection`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderElection {
    /// Whether only the holder of a lease does.
    pub elect: bool,
    /// How long others wait for a change of the lease before one of them takes it.
    pub lease_duration: Duration,
    /// How long the leader acts on a renewal.
    pub renew_deadline: Duration,
    /// The pause between tries.
    pub retry_period: Duration,
    /// The lease's name.
    pub name: String,
    /// The lease's namespace; None: the one that Muster runs in, else `kube-system`.
    pub namespace: Option<String>,
}

impl Default for LeaderElection {
    fn default() -> LeaderElection {
        let timing = Timing::default();
        LeaderElection {
            elect: true,
            lease_duration: timing.lease_duration(),
            renew_deadline: timing.renew_deadline(),
            retry_period: timing.retry_period(),
            name: defaults::LEASE_NAME.to_owned(),
            namespace: None,
        }
    }
}

impl LeaderElection {
    /// The periods, as an election needs them.
    ///
    /// # Errors
    /// Which of upstream's conditions they do not meet.
    pub fn timing(&self) -> Result<Timing, TimingError> {
        Timing::new(self.lease_duration, self.renew_deadline, self.retry_period)
    }
}

impl Default for Configuration {
    fn default() -> Self {
        Configuration {
            profiles: vec![Profile::named(defaults::SCHEDULER_NAME)],
            extenders: Vec::new(),
            pod_initial_backoff: defaults::POD_INITIAL_BACKOFF,
            pod_max_backoff: defaults::POD_MAX_BACKOFF,
            pod_max_in_unschedulable: defaults::POD_MAX_IN_UNSCHEDULABLE,
            seed: defaults::SEED,
            client: ClientConnection::default(),
            leader_election: LeaderElection::default(),
            gangs: GangSettings::default(),
            batching: BatchSettings::default(),
            binds_in_flight: defaults::BINDS_IN_FLIGHT,
            status_writes_in_flight: defaults::STATUS_WRITES_IN_FLIGHT,
            tracing: None,
            warnings: Vec::new(),
        }
    }
}

impl Configuration {
    /// The profiles for a server of this minor. An older minor than 1.35 counts as 1.35, a newer one than 1.37 as 1.37.
    pub fn profiles(&self, minor: KubeMinor) -> Vec<ProfileSpec> {
        self.profiles.iter().map(|profile| profile.spec(minor)).collect()
    }

    /// The scheduler names to answer to, in the order of the profiles.
    pub fn scheduler_names(&self) -> impl Iterator<Item = &str> {
        self.profiles.iter().map(|profile| profile.scheduler_name.as_str())
    }

    /// Answers to these names instead: to each with the profile of that name, else with the only profile that there is.
    /// The error is the name that has several profiles to choose from.
    pub fn answer_to<'n>(&mut self, names: &'n [String]) -> Result<(), &'n str> {
        let profile = |name: &'n String| {
            let same = self.profiles.iter().find(|profile| profile.scheduler_name == *name);
            match (same, self.profiles.as_slice()) {
                (Some(profile), _) | (None, [profile]) => Ok(Profile {
                    scheduler_name: name.clone(),
                    ..profile.clone()
                }),
                (None, _) => Err(name.as_str()),
            }
        };
        self.profiles = names.iter().map(profile).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The part that the engine is told, with the rules and words of this minor. The engine leads; whoever holds an election
    /// says otherwise.
    pub fn engine_settings(&self, kube: KubeMinor) -> muster_engine::Settings {
        muster_engine::Settings {
            profiles: self.profiles(kube),
            kube,
            extenders: self.extenders.iter().map(ExtenderSpec::engine_settings).collect(),
            seed: self.seed,
            pod_initial_backoff: self.pod_initial_backoff,
            pod_max_backoff: self.pod_max_backoff,
            pod_max_in_unschedulable: self.pod_max_in_unschedulable,
            leads: true,
            gangs: self.gangs,
            batching: self.batching,
        }
    }
}

/// What the circumstances allow a file to say, and what it means where it says nothing.
#[derive(Debug)]
pub(crate) struct Allowances {
    /// A profile may be called as kube-scheduler's own.
    pub(crate) default_scheduler_name: bool,
    /// The name of the only profile, when it has none.
    pub(crate) unnamed: &'static str,
}

/// Reads a configuration from the text of a file, YAML or JSON.
///
/// Decoding is strict: an unknown field, a key given twice or a value of the wrong type is a problem. All problems are
/// reported at once, with their paths; only text that is not YAML at all ends the reading at its first problem.
pub fn load(text: &str) -> Result<Configuration, Error> {
    let allowances = Allowances {
        default_scheduler_name: false,
        unnamed: defaults::SCHEDULER_NAME,
    };
    read(text, allowances)
}

/// Reads a configuration of a scheduler whose answers are to be foreseen, where nothing is scheduled.
///
/// Other than with [`load`], a profile may have kube-scheduler's name, and has it when it has none.
pub fn load_for_evaluation(text: &str) -> Result<Configuration, Error> {
    let allowances = Allowances {
        default_scheduler_name: true,
        unnamed: DEFAULT_SCHEDULER,
    };
    read(text, allowances)
}

fn read(text: &str, allowances: Allowances) -> Result<Configuration, Error> {
    from_documents(&document::read(text).map_err(Error::from)?, allowances)
}

/// What these documents say.
pub(crate) fn from_documents(documents: &[Node], mut allowances: Allowances) -> Result<Configuration, Error> {
    let report = Report::default();
    let mut configuration = Configuration {
        profiles: vec![Profile::named(allowances.unnamed)],
        ..Configuration::default()
    };
    if let Some(found) = document::classify(documents, &report) {
        if let Some(field) = found.own {
            own::apply(field, &mut configuration, &mut allowances);
        }
        scheduler::apply(found.scheduler, &allowances, &mut configuration);
    }
    configuration.warnings = report.finish()?;
    Ok(configuration)
}
