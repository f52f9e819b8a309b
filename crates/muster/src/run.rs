//! `muster run`: the scheduler, against a real API server.

use crate::WrongUsage;
use crate::explain::page::Explanations;
use crate::observe::Observe;
use crate::overview::page::Overviews;
use crate::serving::{self, ServingArgs};
use crate::snapshot_route::SnapshotRoute;
use crate::upstream_flags::{KubeScheduler, UpstreamFlags};
use anyhow::{Context, anyhow, bail};
use muster_api::LeaseName;
use muster_config::{Configuration, LeaderElection, Problem, Secrets};
use muster_engine::Engine;
use muster_engine::election::TimingError;
use muster_framework::rules::KubeMinor;
use muster_kube::{
    ConnectError, DispatcherSettings, Extenders, Health, Leader, Leading, LeaseSettings, Rate, Recording, Running,
    Settings,
};
use muster_telemetry::serving::Routes;
use muster_telemetry::{Collector, Exporting, Format, Metrics, Traces, Verbosity, start_logging};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// kube-scheduler's own name; see [`check_scheduler_names`].
const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// How long traces that still wait are exported at the end.
const TRACES_GRACE: Duration = Duration::from_secs(2);

/// Schedule the pods of a cluster
///
/// Watches the cluster, and binds the pods that ask for this scheduler by spec.schedulerName. It may run beside
/// kube-scheduler. Flags win over the configuration file.
///
/// SIGTERM and SIGINT end it in order: what was decided is carried out, within 20 seconds. A second signal ends it at
/// once. Of several that run, only the one that holds the lease schedules; one that loses it ends. Exit codes: 0 ended in
/// order; 1 failed while running, or lost the lease; 2 wrong usage or configuration.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The configuration: a KubeSchedulerConfiguration, and perhaps a MusterConfiguration as second document
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Write the configuration that the flags and the file come to into this file, and end
    #[arg(long, value_name = "FILE")]
    write_config_to: Option<PathBuf>,

    /// Feature gates of kube-scheduler, such as A=true,B=false. Muster follows the defaults of the API server's minor: a gate
    /// may be set to that, others have no effect or are refused; OpportunisticBatching switches batching
    #[arg(long, value_name = "GATES", value_delimiter = ',')]
    feature_gates: Vec<String>,

    /// How to reach the API server and as whom [default: clientConnection.kubeconfig of the configuration, else the
    /// service account of the pod that this runs in]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The scheduler name to answer to, with the profile of that name or the only one that there is; may be given several
    /// times [default: those of the configuration, else muster]
    #[arg(long, value_name = "NAME")]
    scheduler_name: Vec<String>,

    /// Breaks ties between equally good nodes: the same seed, the same choices [default: that of the configuration,
    /// else 0]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Requests per second to the API server, events counted apart; 0 is no limit [default: that of the configuration,
    /// else no limit]
    #[arg(long, value_name = "NUMBER")]
    kube_api_qps: Option<f32>,

    /// Requests to the API server that may go at once after a rest [default: that of the configuration, else twice
    /// --kube-api-qps]
    #[arg(long, value_name = "NUMBER")]
    kube_api_burst: Option<u32>,

    /// How long a pod that fitted nowhere waits before it is tried again without any event [default: that of the
    /// configuration, else 5m]
    #[arg(long, value_name = "DURATION", value_parser = muster_config::parse_duration)]
    pod_max_in_unschedulable_pods_duration: Option<Duration>,

    #[command(flatten)]
    leader_election: LeaderElectionArgs,

    #[command(flatten)]
    upstream: UpstreamFlags<KubeScheduler>,

    #[command(flatten)]
    serving: ServingArgs,

    /// Write everything that the engine is told to this file, to be replayed; the file is replaced
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// How much to log: 0 warnings and errors, 2 decisions too, 4 what helps to find a fault, 6 requests to the API server
    /// too, 8 libraries too
    #[arg(short, long, value_name = "NUMBER", default_value_t = 2)]
    v: u8,

    /// Log more of single files, by name without .rs: driver=6,lease=4; * stands for anything
    #[arg(long, value_name = "FILE=NUMBER,...", default_value = "", hide_default_value = true)]
    vmodule: String,

    /// How log lines look: text, or json with the keys that Kubernetes uses
    #[arg(long, value_name = "FORMAT", default_value_t = Format::Text)]
    logging_format: Format,
}

/// Flags of kube-scheduler for its `leaderElection`.
#[derive(clap::Args, Debug)]
struct LeaderElectionArgs {
    /// Whether to schedule only while this process holds the lease; without it, nothing else may run with the same
    /// scheduler names [default: that of the configuration, else true]
    #[arg(long, value_name = "BOOLEAN", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: Option<bool>,

    /// How long a standby waits for a change of the lease before it takes it [default: that of the configuration, else
    /// 15s]
    #[arg(long, value_name = "DURATION", value_parser = muster_config::parse_duration)]
    leader_elect_lease_duration: Option<Duration>,

    /// How long a leader that cannot renew the lease goes on [default: that of the configuration, else 10s]
    #[arg(long, value_name = "DURATION", value_parser = muster_config::parse_duration)]
    leader_elect_renew_deadline: Option<Duration>,

    /// The pause between tries to renew the lease or to take it [default: that of the configuration, else 2s]
    #[arg(long, value_name = "DURATION", value_parser = muster_config::parse_duration)]
    leader_elect_retry_period: Option<Duration>,

    /// What is held: there is nothing but leases
    #[arg(long, value_name = "TYPE", value_parser = ["leases"])]
    leader_elect_resource_lock: Option<String>,

    /// The name of the lease [default: that of the configuration, else muster]
    #[arg(long, value_name = "NAME")]
    leader_elect_resource_name: Option<String>,

    /// The namespace of the lease [default: that of the configuration, else the one that this runs in, else kube-system]
    #[arg(long, value_name = "NAMESPACE")]
    leader_elect_resource_namespace: Option<String>,
}

impl LeaderElectionArgs {
    /// Sets what is given.
    fn apply(&self, election: &mut LeaderElection) {
        fn set<T: Clone>(given: &Option<T>, value: &mut T) {
            if let Some(given) = given {
                value.clone_from(given);
            }
        }
        set(&self.leader_elect, &mut election.elect);
        set(&self.leader_elect_lease_duration, &mut election.lease_duration);
        set(&self.leader_elect_renew_deadline, &mut election.renew_deadline);
        set(&self.leader_elect_retry_period, &mut election.retry_period);
        set(&self.leader_elect_resource_name, &mut election.name);
        if self.leader_elect_resource_namespace.is_some() {
            election.namespace.clone_from(&self.leader_elect_resource_namespace);
        }
    }
}

/// Runs the scheduler until it is asked to end.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let configuration = configuration(&args).map_err(WrongUsage)?;
    if let Some(path) = &args.write_config_to {
        let text = crate::config::effective(&configuration, Secrets::Shown)?;
        std::fs::write(path, text)
            .with_context(|| format!("--write-config-to: cannot write {}", path.display()))
            .map_err(WrongUsage)?;
        return Ok(ExitCode::SUCCESS);
    }
    let verbosity = Verbosity::new(args.v);
    verbosity
        .set_modules(&args.vmodule)
        .map_err(|problem| WrongUsage(anyhow!("--vmodule: {problem}")))?;
    start_logging(args.logging_format, &verbosity);
    tracing::info!(
        target: "muster::always",
        version = crate::version::VERSION,
        scheduler_names = configuration.scheduler_names().collect::<Vec<_>>().join(","),
        "muster starts"
    );
    for warning in &configuration.warnings {
        tracing::warn!(%warning, "the configuration says something that has no effect");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The engine has a thread of its own. One more bears several times what an API server can take; two would
        // pass work to and fro, and spend a tenth of the processor time and more on waking each other.
        .worker_threads(1)
        .enable_all()
        .thread_name("network")
        .build()
        .context("cannot start the network threads")?;
    let ended = runtime.block_on(schedule(&args, &configuration, verbosity));
    match ended {
        // Watches that are still open need not be closed politely.
        Ok(()) => runtime.shutdown_timeout(Duration::from_millis(500)),
        // The engine's thread may still wait on the runtime, and would panic if it went away. The process ends anyway.
        Err(_) => std::mem::forget(runtime),
    }
    ended.map(|()| ExitCode::SUCCESS)
}

async fn schedule(args: &Args, configuration: &Configuration, verbosity: Verbosity) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let profiles: Vec<&str> = configuration.scheduler_names().collect();
    let metrics = Arc::new(Metrics::new(&profiles)?);
    let health = Arc::new(Health::default());
    let kubeconfig = configuration.client.kubeconfig.as_deref().map(Path::new);
    let mut clients = muster_kube::connect(kubeconfig).await.map_err(|error| match error {
        // The file is well, but what it leads to is not: a credential plugin that fails may work the next time.
        ConnectError::Client { .. } => error.into(),
        ConnectError::Kubeconfig { .. } | ConnectError::NotInCluster(_) => wrong_usage(error),
    })?;
    metrics.api_server(&clients.server);
    clients.extenders = Extenders::new(&configuration.extenders).map_err(wrong_usage)?;
    let recording = args
        .record
        .as_deref()
        .map(Recording::create)
        .transpose()
        .map_err(wrong_usage)?;
    let mut lease = lease(configuration, clients.own_namespace.as_deref())?;
    if let Some(lease) = &lease {
        metrics.leads(&lease.lease.name, false);
    }
    let (traces, exporting) = traces(configuration, &metrics)?.unzip();
    let observer = Arc::new(Observe {
        metrics: Arc::clone(&metrics),
        lease: configuration.leader_election.name.clone(),
        traces,
    });
    let about = Arc::new(serving::about(configuration)?);
    let reviews = args.serving.reviews(&clients, Arc::<Observe>::clone(&observer)).await?;
    let (asker, questions) = muster_kube::questions();
    // Who does not want to be asked by other replicas does not ask them either.
    let leading = match &lease {
        Some(lease) if args.serving.advertises() => lease.leading.subscribe(),
        _ => watch::Sender::new(Leading::Silent).subscribe(),
    };
    let leader = Arc::new(Leader::new(leading, clients.credentials.clone()));
    let snapshots = SnapshotRoute::new(Arc::clone(&about), asker.clone(), Arc::clone(&leader));
    let snapshots = Arc::new(snapshots);
    let overviews = Overviews {
        asker: asker.clone(),
        leader: Arc::clone(&leader),
        metrics: Arc::clone(&metrics),
        identity: match &lease {
            Some(lease) => lease.identity.clone(),
            None => identity()?,
        },
        lease: lease.as_ref().map(|lease| lease.lease.clone()),
        began: Instant::now(),
    };
    let shown = serving::Shown {
        metrics,
        health: Arc::clone(&health),
        about: Arc::clone(&about),
        verbosity,
    };
    let routes: [Arc<dyn Routes>; 3] = [
        Arc::new(Explanations { asker, leader }),
        Arc::new(overviews),
        Arc::<SnapshotRoute>::clone(&snapshots),
    ];
    let announced = args.serving.serve(shown, reviews, Arc::new(routes)).await?;
    if let Some(lease) = &mut lease {
        lease.announced = announced;
    }
    let minor = tokio::select! {
        minor = muster_kube::server_minor(&clients, &*observer, &health) => minor,
        name = signals.next() => {
            tracing::info!(signal = name, "ending: the API server has not answered yet");
            return Ok(());
        }
    };
    // It is asked for once; nobody else says it.
    let _ = about.emulates.set(minor.to_string());
    let mut engine = Engine::new(&muster_engine::Settings {
        leads: lease.is_none(),
        ..configuration.engine_settings(minor)
    });
    if exporting.is_some() {
        engine.name_attempts();
    }
    let settings = Settings {
        lease,
        ..settings(configuration, minor)
    };
    snapshots.follows(minor);
    let mut running = muster_kube::start(engine, clients, settings, observer, &health, recording, questions)?;
    let ended = until_ended(&mut running, &mut signals).await;
    if let Some(exporting) = exporting {
        exporting.finish(TRACES_GRACE).await;
    }
    ended
}

/// Begins to export traces, if any are wanted.
fn traces(configuration: &Configuration, metrics: &Arc<Metrics>) -> anyhow::Result<Option<(Traces, Exporting)>> {
    let wanted = configuration.tracing.as_ref();
    let Some(tracing) = wanted.filter(|tracing| tracing.sampling_rate_per_million > 0) else {
        return Ok(None);
    };
    let wrong = |problem: anyhow::Error| WrongUsage(problem.context("tracing.endpoint of the configuration"));
    let connector = muster_kube::connector_to(&tracing.endpoint).map_err(|problem| wrong(anyhow!(problem)))?;
    let collector = Collector::new(&tracing.endpoint, &host_name(), connector);
    let started = Traces::start(collector, tracing.sampling_rate_per_million, Arc::clone(metrics));
    Ok(Some(started.map_err(|error| wrong(error.into()))?))
}

async fn until_ended(running: &mut Running, signals: &mut Signals) -> anyhow::Result<()> {
    tokio::select! {
        ended = running.ended() => return Ok(ended?),
        name = signals.next() => tracing::info!(target: "muster::always", signal = name, "ending: what was decided is carried out first"),
    }
    running.stop();
    tokio::select! {
        ended = running.ended() => ended?,
        name = signals.next() => bail!("a second signal ({name}) came before the end"),
    }
    tracing::info!(target: "muster::always", "ended in order");
    Ok(())
}

/// The signals that ask for the end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The configuration file with the flags over it.
fn configuration(args: &Args) -> anyhow::Result<Configuration> {
    let mut configuration = match &args.config {
        Some(path) => {
            let name = path.display();
            let text = std::fs::read_to_string(path).with_context(|| format!("--config: cannot read {name}"))?;
            muster_config::load(&text).with_context(|| format!("--config: {name}"))?
        }
        None => Configuration::default(),
    };
    if !args.scheduler_name.is_empty() {
        check_scheduler_names(&args.scheduler_name, &configuration)?;
        configuration.answer_to(&args.scheduler_name).map_err(|name| {
            anyhow!("--scheduler-name: none of the profiles in the configuration file is called {name:?}, and there are several")
        })?;
    }
    if let Some(seed) = args.seed {
        configuration.seed = seed;
    }
    if let Some(path) = &args.kubeconfig {
        let path = path
            .to_str()
            .ok_or_else(|| anyhow!("--kubeconfig: {} is not UTF-8", path.display()))?;
        configuration.client.kubeconfig = Some(path.to_owned());
    }
    if let Some(qps) = args.kube_api_qps {
        if !(qps >= 0.0 && qps.is_finite()) {
            bail!("--kube-api-qps: {qps} is not a number of requests; 0 is no limit");
        }
        configuration.client.qps = (qps > 0.0).then_some(qps);
    }
    if let Some(burst) = args.kube_api_burst {
        if configuration.client.qps.is_none() {
            bail!("--kube-api-burst: means nothing without a limit; give --kube-api-qps too");
        }
        configuration.client.burst = Some(burst);
    }
    if let Some(duration) = args.pod_max_in_unschedulable_pods_duration {
        if duration.is_zero() {
            bail!("--pod-max-in-unschedulable-pods-duration: must be greater than zero");
        }
        configuration.pod_max_in_unschedulable = duration;
    }
    without_effect(args, &mut configuration)?;
    args.leader_election.apply(&mut configuration.leader_election);
    check_leader_election(&configuration.leader_election)?;
    Ok(configuration)
}

/// Notes what the flags say that changes nothing.
fn without_effect(args: &Args, configuration: &mut Configuration) -> anyhow::Result<()> {
    let gates = muster_config::apply_feature_gates(&args.feature_gates.join(","), configuration)
        .map_err(|wrong| anyhow!("--feature-gates: {wrong}"))?;
    let gates = gates.into_iter().map(|message| ("--feature-gates".to_owned(), message));
    let flags = args.upstream.without_effect.iter();
    let flags = flags.map(|(name, why)| (format!("--{name}"), format!("has no effect: {why}")));
    configuration
        .warnings
        .extend(gates.chain(flags).map(|(path, message)| Problem {
            path,
            line: None,
            message,
        }));
    Ok(())
}

/// Checks what file and flags come to.
fn check_leader_election(election: &LeaderElection) -> anyhow::Result<()> {
    if !election.elect {
        return Ok(());
    }
    if election.name.is_empty() {
        bail!("--leader-elect-resource-name: must not be empty");
    }
    match election.timing() {
        Ok(_) => Ok(()),
        Err(TimingError::LeaseNotLonger) => {
            bail!("--leader-elect-lease-duration: must be longer than --leader-elect-renew-deadline")
        }
        Err(TimingError::DeadlineNotLonger) => {
            bail!("--leader-elect-renew-deadline: must be longer than 1.2 times --leader-elect-retry-period")
        }
        Err(TimingError::NoRetryPeriod) => bail!("--leader-elect-retry-period: must be greater than zero"),
    }
}

/// How this process takes part in the election; none if nothing is elected.
fn lease(configuration: &Configuration, own_namespace: Option<&str>) -> anyhow::Result<Option<LeaseSettings>> {
    let election = &configuration.leader_election;
    if !election.elect {
        return Ok(None);
    }
    // Checked with the rest of the configuration.
    let Ok(timing) = election.timing() else {
        bail!("the periods of the leader election do not fit together");
    };
    let namespace = election.namespace.as_deref().or(own_namespace).unwrap_or("kube-system");
    Ok(Some(LeaseSettings {
        lease: LeaseName {
            namespace: namespace.to_owned(),
            name: election.name.clone(),
        },
        identity: identity()?,
        timing,
        announced: None,
        leading: watch::Sender::default(),
    }))
}

/// A name that no other process has had, and that says where this one runs.
fn identity() -> anyhow::Result<String> {
    let uuid =
        std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("cannot make a name for this process")?;
    Ok(format!("{}_{}", host_name(), uuid.trim()))
}

/// Checks names from the flags as the configuration checks its own.
fn check_scheduler_names(given: &[String], configuration: &Configuration) -> anyhow::Result<()> {
    for (position, name) in given.iter().enumerate() {
        if name.is_empty() {
            bail!("--scheduler-name: a name cannot be empty");
        }
        if given[..position].contains(name) {
            bail!("--scheduler-name: {name:?} is given twice");
        }
        // Two schedulers must not fight for the same pods: it takes the configuration file to allow that.
        if name == DEFAULT_SCHEDULER && !configuration.scheduler_names().any(|known| known == name) {
            bail!(
                "--scheduler-name: {DEFAULT_SCHEDULER} is kube-scheduler's name; where Muster takes its place, say so in \
                 the configuration file with a profile of that name and allowDefaultSchedulerName"
            );
        }
    }
    Ok(())
}

fn settings(configuration: &Configuration, minor: KubeMinor) -> Settings {
    let rate = configuration.client.qps.map(|qps| Rate {
        qps,
        // Whoever states no burst does not want single file.
        burst: configuration.client.burst.unwrap_or((qps * 2.0).ceil() as u32),
    });
    let name = configuration.scheduler_names().next().unwrap_or("muster");
    let dispatcher = DispatcherSettings {
        binds_in_flight: configuration.binds_in_flight,
        status_writes_in_flight: configuration.status_writes_in_flight,
        rate,
        reporting_instance: format!("{name}-{}", host_name()),
        ..DispatcherSettings::default()
    };
    Settings {
        dispatcher,
        minor,
        ..Settings::default()
    }
}

/// The name of this host: in a pod, the pod's.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() {
        "localhost".to_owned()
    } else {
        name.trim().to_owned()
    }
}

/// What is wrong is a file or a value that was named to us.
pub(crate) fn wrong_usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
    WrongUsage(error.into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use tempfile::TempDir;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: Args,
    }

    fn parse(flags: &[&str]) -> Args {
        Alone::try_parse_from(["run"].iter().chain(flags))
            .unwrap_or_else(|error| panic!("{error}"))
            .args
    }

    /// A file with this text. It is gone when the first of the two is dropped.
    fn file(text: &str) -> (TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        std::fs::write(&path, text).unwrap();
        (directory, path.to_str().unwrap().to_owned())
    }

    #[test]
    fn flags_win_over_the_configuration() {
        let (_directory, path) = file(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n\
             clientConnection: {qps: 7, burst: 9, kubeconfig: /there}\nprofiles: [{schedulerName: filed}]\n",
        );
        let filed = configuration(&parse(&["--config", &path])).unwrap();
        assert_eq!(filed.scheduler_names().collect::<Vec<_>>(), ["filed"]);
        assert_eq!((filed.client.qps, filed.client.burst), (Some(7.0), Some(9)));

        let flags = [
            "--scheduler-name=a",
            "--scheduler-name=b",
            "--seed=5",
            "--kube-api-qps=0",
            "--kubeconfig=/here",
        ];
        let flagged = configuration(&parse(&[&["--config", &path], &flags[..]].concat())).unwrap();
        assert_eq!(flagged.scheduler_names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((flagged.seed, flagged.client.kubeconfig.as_deref()), (5, Some("/here")));
        assert!(settings(&flagged, KubeMinor::default()).dispatcher.rate.is_none());
    }

    #[test]
    fn leader_election_is_on_and_flags_win() {
        let plain = configuration(&parse(&[])).unwrap().leader_election;
        assert!(plain.elect && plain.name == "muster" && plain.namespace.is_none());
        assert!(
            !configuration(&parse(&["--leader-elect=false"]))
                .unwrap()
                .leader_election
                .elect
        );

        let (_directory, path) = file(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n\
             leaderElection: {leaderElect: false, resourceName: filed, renewDeadline: 9s}\n",
        );
        let flags = ["--config", &path, "--leader-elect", "--leader-elect-lease-duration=12s"];
        let flagged = configuration(&parse(&flags)).unwrap();
        let settings = lease(&flagged, Some("here")).unwrap().expect("an election");
        assert_eq!(settings.lease.to_string(), "here/filed");
        assert_eq!(settings.timing.write_timeout(), Duration::from_millis(2_700));
        assert_ne!(
            lease(&flagged, None).unwrap().expect("an election").identity,
            settings.identity
        );
        let error = configuration(&parse(&[&flags[..], &["--leader-elect-renew-deadline=12s"]].concat()));
        assert_eq!(
            error.unwrap_err().to_string(),
            "--leader-elect-lease-duration: must be longer than --leader-elect-renew-deadline"
        );
    }

    #[test]
    fn gates_and_flags_of_kube_scheduler() {
        let flags = [
            "--feature-gates=OpportunisticBatching=false,ContextualLogging=true",
            "--profiling",
            "--pod-max-in-unschedulable-pods-duration=1m",
        ];
        let configuration = configuration(&parse(&flags)).unwrap();
        assert!(!configuration.batching.enabled);
        assert_eq!(configuration.pod_max_in_unschedulable, Duration::from_secs(60));
        let warnings: Vec<String> = configuration.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings,
            [
                "--feature-gates: ContextualLogging=true has no effect: no decision of a scheduler depends on it",
                "--profiling: has no effect: there is no profiling endpoint"
            ]
        );
    }

    #[test]
    fn the_configuration_can_be_written_to_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("effective.yaml");
        let flags = format!("--write-config-to={}", path.display());
        run(parse(&["--scheduler-name=a", "--seed=7", &flags])).unwrap();
        let written = muster_config::load(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(
            (written.seed, written.scheduler_names().collect::<Vec<_>>()),
            (7, vec!["a"])
        );
        let error = run(parse(&["--write-config-to=/nowhere/file"])).unwrap_err();
        assert!(
            error.is::<WrongUsage>() && error.to_string().starts_with("--write-config-to: cannot write"),
            "{error}"
        );
    }

    #[test]
    fn verbosity_is_written_as_klog_has_it() {
        for flags in [&["-v", "4"][..], &["-v=4"], &["--v=4"], &["--v", "4"]] {
            assert_eq!(parse(flags).v, 4, "{flags:?}");
        }
        assert_eq!(parse(&[]).v, 2);
    }

    #[test]
    fn a_burst_is_derived() {
        let rate = |flags| {
            let configuration = configuration(&parse(flags)).unwrap();
            settings(&configuration, KubeMinor::default()).dispatcher.rate
        };
        assert_eq!(rate(&["--kube-api-qps=20"]), Some(Rate { qps: 20.0, burst: 40 }));
        assert_eq!(
            rate(&["--kube-api-qps=20", "--kube-api-burst=5"]),
            Some(Rate { qps: 20.0, burst: 5 })
        );
    }

    #[test]
    fn mistakes_are_named_with_their_flag() {
        let wrong = |flags: &[&str]| format!("{:#}", configuration(&parse(flags)).unwrap_err());
        assert_eq!(
            wrong(&["--scheduler-name="]),
            "--scheduler-name: a name cannot be empty"
        );
        assert_eq!(
            wrong(&["--scheduler-name=a", "--scheduler-name=a"]),
            "--scheduler-name: \"a\" is given twice"
        );
        assert!(wrong(&["--scheduler-name=default-scheduler"]).contains("allowDefaultSchedulerName"));
        assert_eq!(
            wrong(&["--feature-gates=Nonsense=true"]),
            "--feature-gates: \"Nonsense\" is no feature gate of Kubernetes 1.35 to 1.37"
        );
        assert!(wrong(&["--pod-max-in-unschedulable-pods-duration=0s"]).ends_with("must be greater than zero"));
        assert!(wrong(&["--kube-api-qps=-1"]).starts_with("--kube-api-qps: "));
        assert!(wrong(&["--kube-api-burst=5"]).starts_with("--kube-api-burst: "));
        assert!(wrong(&["--config=/nowhere.yaml"]).starts_with("--config: cannot read /nowhere.yaml: "));
        let (_directory, path) =
            file("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nx: 1\n");
        assert!(
            wrong(&["--config", &path]).contains(".x"),
            "{}",
            wrong(&["--config", &path])
        );
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert!(Alone::try_parse_from(["run", "--tls-cert-file=a"]).is_err());
        assert!(Alone::try_parse_from(["run", "--tls-private-key-file=a"]).is_err());
    }
}
