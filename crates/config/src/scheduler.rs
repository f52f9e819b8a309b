//! `kubescheduler.config.k8s.io/v1 KubeSchedulerConfiguration`: the whole of its surface.
//!
//! Source of fields and checks: `k8s.io/kube-scheduler/config/v1/types.go` and
//! `pkg/scheduler/apis/config/validation/validation.go`, 1.35 to 1.37.

use std::time::Duration;

use crate::configuration::{Allowances, ClientConnection, Configuration, LeaderElection};
use muster_engine::election::TimingError;
use muster_framework::Text;

use crate::duration;
use crate::extender::ExtenderSpec;
use crate::field::{Field, Section};
use crate::{extender, profile};

/// The group of the file's API.
const GROUP: &str = "kubescheduler.config.k8s.io";
/// The one version of it that is read.
pub(crate) const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";

/// Applies the document to `configuration`.
pub(crate) fn apply(document: Field<'_>, allowances: &Allowances, configuration: &mut Configuration) {
    let Some(section) = document.section() else { return };
    type_meta(&section);
    if let Some(field) = section.get("leaderElection") {
        configuration.leader_election = leader_election(&field);
    }
    if let Some(field) = section.get("clientConnection") {
        configuration.client = client_connection(&field);
    }
    backoff(&section, configuration);
    without_effect(&section);
    if let Some(field) = section.get("profiles") {
        configuration.profiles = profile::read(&field, allowances);
    }
    if let Some(field) = section.get("extenders") {
        configuration.extenders = extender::read(&field);
        ignore_managed_resources(&field, configuration);
    }
}

/// NodeResourcesFit leaves out what extenders count themselves. Source: `buildExtenders`, where, too, it takes the place
/// of `ignoredResources`, and is not added to them.
fn ignore_managed_resources(extenders: &Field<'_>, configuration: &mut Configuration) {
    let ignored = |extender: &ExtenderSpec| extender.ignored_resources.clone();
    let ignored: Vec<Text> = configuration
        .extenders
        .iter()
        .flat_map(ignored)
        .map(Text::from)
        .collect();
    if ignored.is_empty() {
        return;
    }
    for profile in &mut configuration.profiles {
        let resources = &mut profile.args.node_resources_fit.ignored_resources;
        if !resources.is_empty() {
            extenders.warning(&format!(
                "the resources with ignoredByScheduler take the place of ignoredResources ({}) in the profile {}, as \
                 upstream",
                resources.join(", "),
                profile.scheduler_name
            ));
        }
        resources.clone_from(&ignored);
    }
}

fn type_meta(section: &Section<'_>) {
    if section.get("kind").is_none() {
        section.field().problem("needs kind: KubeSchedulerConfiguration");
    }
    section.must_be("kind", "KubeSchedulerConfiguration");
    let Some(field) = section.get("apiVersion") else {
        section.field().problem(format!("needs apiVersion: {API_VERSION}"));
        return;
    };
    match field.string() {
        None | Some(API_VERSION) => {}
        Some(other) if other.split('/').next() == Some(GROUP) => {
            field.problem(format!(
                "version {other} is not supported: upstream has removed all but {API_VERSION}"
            ));
        }
        Some(other) => field.problem(format!("must be {API_VERSION}, not {other:?}")),
    }
}

/// The lease that kube-scheduler itself is elected by.
pub(crate) const UPSTREAM_LEASE: &str = "kube-scheduler";

/// Upstream checks periods and names only when it elects, and takes zero and empty for its defaults. Source:
/// `ValidateLeaderElectionConfiguration` and `RecommendedDefaultLeaderElectionConfiguration` of `k8s.io/component-base`.
fn leader_election(field: &Field<'_>) -> LeaderElection {
    let mut election = LeaderElection::default();
    let Some(section) = field.section() else {
        return election;
    };
    if let Some(elect) = section.get("leaderElect").and_then(|field| field.boolean()) {
        election.elect = elect;
    }
    let periods = ["leaseDuration", "renewDeadline", "retryPeriod"].map(|key| section.get(key));
    let targets = [
        &mut election.lease_duration,
        &mut election.renew_deadline,
        &mut election.retry_period,
    ];
    for (field, target) in periods.iter().zip(targets) {
        let given = field.as_ref().and_then(Field::duration);
        *target = given.filter(|period| !period.is_zero()).unwrap_or(*target);
    }
    let lock = section.get("resourceLock");
    let text = |field: &Field<'_>| field.string().filter(|text| !text.is_empty()).map(str::to_owned);
    let not_leases = lock.as_ref().and_then(text).is_some_and(|lock| lock != "leases");
    if let Some(lock) = lock.filter(|_| election.elect && not_leases) {
        lock.problem("must be leases");
    }
    let name = section.get("resourceName");
    if let Some(text) = name.as_ref().and_then(text) {
        election.name = text;
    }
    if let Some(name) = name.filter(|_| election.elect && election.name == UPSTREAM_LEASE) {
        name.warning("this is kube-scheduler's own lease: Muster does nothing while kube-scheduler holds it");
    }
    election.namespace = section.get("resourceNamespace").as_ref().and_then(text);
    if election.elect {
        check_periods(&election, &periods);
    }
    election
}

fn check_periods(election: &LeaderElection, periods: &[Option<Field<'_>>; 3]) {
    let (one, longer, other, shorter) = match election.timing() {
        // Zero stands for the default.
        Ok(_) | Err(TimingError::NoRetryPeriod) => return,
        Err(TimingError::LeaseNotLonger) => (
            &periods[0],
            "must be longer than renewDeadline",
            &periods[1],
            "must be shorter than leaseDuration",
        ),
        Err(TimingError::DeadlineNotLonger) => (
            &periods[1],
            "must be longer than 1.2 times retryPeriod",
            &periods[2],
            "must be shorter than renewDeadline divided by 1.2",
        ),
    };
    match (one, other) {
        (Some(field), _) => field.problem(longer),
        (None, Some(field)) => field.problem(shorter),
        (None, None) => {}
    }
}

fn client_connection(field: &Field<'_>) -> ClientConnection {
    let Some(section) = field.section() else {
        return ClientConnection::default();
    };
    for key in ["contentType", "acceptContentTypes"] {
        if let Some(field) = section.get(key)
            && field
                .string()
                .is_some_and(|text| !text.is_empty() && text != "application/json")
        {
            field.warning("has no effect: Muster speaks JSON");
        }
    }
    let kubeconfig = section
        .get("kubeconfig")
        .and_then(|field| field.string())
        .filter(|path| !path.is_empty());
    // Zero means "the default" upstream, and a negative rate "no limit": both are no limit here.
    let qps = section
        .get("qps")
        .and_then(|field| field.number())
        .filter(|qps| 0.0 < *qps);
    let burst = section.get("burst").and_then(|field| {
        let burst: i32 = field.integer()?;
        if burst < 0 {
            field.problem("must not be negative");
        } else if burst != 0 && qps.is_none() {
            field.warning("has no effect: without qps there is no limit");
        }
        u32::try_from(burst).ok().filter(|burst| *burst != 0 && qps.is_some())
    });
    ClientConnection {
        kubeconfig: kubeconfig.map(str::to_owned),
        qps,
        burst,
    }
}

fn backoff(section: &Section<'_>, configuration: &mut Configuration) {
    let initial = section.get("podInitialBackoffSeconds");
    let max = section.get("podMaxBackoffSeconds");
    if let Some(value) = initial.as_ref().and_then(seconds) {
        configuration.pod_initial_backoff = value;
    }
    if let Some(value) = max.as_ref().and_then(seconds) {
        configuration.pod_max_backoff = value;
    }
    let (first, longest) = (configuration.pod_initial_backoff, configuration.pod_max_backoff);
    match (initial, max) {
        _ if first <= longest => {}
        (_, Some(max)) => max.problem(format!(
            "must not be less than podInitialBackoffSeconds, {}",
            first.as_secs()
        )),
        (Some(initial), None) => {
            initial.problem(format!(
                "must not be greater than podMaxBackoffSeconds, {}",
                longest.as_secs()
            ));
        }
        (None, None) => {}
    }
}

/// A number of seconds greater than zero; None with the problem reported.
fn seconds(field: &Field<'_>) -> Option<Duration> {
    let seconds: i64 = field.integer()?;
    let duration = u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds != 0)
        .map(Duration::from_secs);
    match duration {
        None => field.problem("must be greater than zero"),
        Some(duration) if duration::MAX < duration => field.problem("is longer than a duration can be"),
        Some(_) => return duration,
    }
    None
}

/// What changes speed or comfort upstream, and nothing here.
fn without_effect(section: &Section<'_>) {
    if let Some(field) = section.get("parallelism")
        && let Some(n) = field.integer::<i32>()
    {
        match n {
            1.. => field.warning("has no effect: one thread schedules"),
            _ => field.problem("must be greater than zero"),
        }
    }
    percentage(section);
    for key in ["enableProfiling", "enableContentionProfiling"] {
        if let Some(field) = section.get(key)
            && field.boolean() == Some(true)
        {
            field.warning("has no effect: there is no profiling endpoint");
        }
    }
    if let Some(field) = section.get("delayCacheUntilActive")
        && field.boolean() == Some(true)
    {
        field.warning("has no effect: a standby keeps its caches up to date, so that it can take over at once");
    }
}

/// Global or of a profile. Every node is inspected, whatever it says.
pub(crate) fn percentage(section: &Section<'_>) {
    if let Some(field) = section.get("percentageOfNodesToScore")
        && let Some(n) = field.integer::<i32>()
    {
        match n {
            100 => {}
            0..100 => field.warning("has no effect: Muster inspects every node"),
            _ => field.problem("must be between 0 and 100"),
        }
    }
}
