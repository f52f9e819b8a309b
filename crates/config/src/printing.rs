//! A configuration as the text of a file: every field, with its default where nobody has set it.
//!
//! What is written reads back as the same configuration. Fields that have no effect here are left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_engine::{BatchSettings, GangSettings};
use muster_framework::Text;
use muster_framework::group::WhenBroken;
use muster_framework::record::WhenUnsatisfiable;
use muster_framework::selector::{NodeSelectorTerm, Operator, PreferredTerm, Requirement};
use muster_plugins::args::{
    NodeAffinityArgs, NodeResourcesFitArgs, PluginArgs, PodTopologySpreadArgs, ResourceWeight, ShapePoint,
    StrategyType, VolumeBindingArgs,
};
use std::time::Duration;

use crate::configuration::{ClientConnection, Configuration, LeaderElection, Tracing};
use crate::document::{self, Value, scalar};
use crate::duration;
use crate::extender::{ExtenderSpec, ExtenderTls, Pem};
use crate::own;
use crate::plugin_args::DEFAULT_CAPACITY_SHAPE;
use crate::plugin_sets::{PluginSet, PluginSets};
use crate::profile::{DEFAULT_SCHEDULER, Profile};
use crate::scheduler::API_VERSION;

/// What becomes of private keys that stand in the configuration itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// They are written.
    Shown,
    /// In their place stands the word REDACTED (in base64, so that the text can still be read).
    Redacted,
}

impl Configuration {
    /// The text of a file that says the same, with every default spelled out.
    ///
    /// # Errors
    /// A text in it cannot be written as YAML.
    pub fn to_yaml(&self, secrets: Secrets) -> Result<String, String> {
        // Without `..`: whoever adds a field shall think of it here.
        let Configuration {
            profiles,
            extenders,
            pod_initial_backoff,
            pod_max_backoff,
            pod_max_in_unschedulable,
            seed,
            client,
            leader_election,
            gangs,
            batching,
            binds_in_flight,
            status_writes_in_flight,
            tracing,
            warnings: _,
        } = self;
        let ignored_by_extenders = extenders.iter().any(|extender| !extender.ignored_resources.is_empty());
        let scheduler = map([
            ("apiVersion", API_VERSION.into()),
            ("kind", "KubeSchedulerConfiguration".into()),
            (
                "profiles",
                list(profiles, |profile| one_profile(profile, ignored_by_extenders)),
            ),
            ("extenders", list(extenders, |extender| one_extender(extender, secrets))),
            ("podInitialBackoffSeconds", seconds(*pod_initial_backoff)),
            ("podMaxBackoffSeconds", seconds(*pod_max_backoff)),
            ("clientConnection", client_connection(client)),
            ("leaderElection", election(leader_election)),
        ]);
        let own = map([
            ("apiVersion", own::API_VERSION.into()),
            ("kind", own::KIND.into()),
            ("seed", integer(*seed)),
            ("podMaxInUnschedulable", time(*pod_max_in_unschedulable)),
            ("bindsInFlight", integer(*binds_in_flight as u64)),
            ("statusWritesInFlight", integer(*status_writes_in_flight as u64)),
            ("gangs", gang_settings(gangs)),
            ("batching", batch_settings(batching)),
            ("tracing", tracing.as_ref().map_or(Value::Null, tracing_settings)),
            (
                "allowDefaultSchedulerName",
                Value::Bool(self.scheduler_names().any(|name| name == DEFAULT_SCHEDULER)),
            ),
        ]);
        document::write([&scheduler, &own]).map_err(|error| error.to_string())
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.map(|(key, value)| (key.to_owned(), scalar(value))).into())
}

/// A mapping of those entries that there are.
fn map_of_some<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
    let some = entries
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), scalar(value?))));
    Value::Map(some.collect())
}

fn list<T>(items: &[T], one: impl Fn(&T) -> Value) -> Value {
    Value::List(items.iter().map(|item| scalar(one(item))).collect())
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

fn integer(value: impl Into<i128>) -> Value {
    Value::Integer(value.into())
}

fn seconds(duration: Duration) -> Value {
    integer(duration.as_secs())
}

fn time(duration: Duration) -> Value {
    Value::String(duration::format(duration))
}

fn optional(text: &Option<String>) -> Option<Value> {
    text.as_deref().map(Value::from)
}

fn texts(items: &[Text]) -> Value {
    list(items, |text| Value::from(&**text))
}

fn client_connection(client: &ClientConnection) -> Value {
    map([
        ("kubeconfig", client.kubeconfig.as_deref().unwrap_or_default().into()),
        ("qps", client.qps.map_or(integer(0), number)),
        ("burst", integer(client.burst.unwrap_or(0))),
    ])
}

/// With the digits that a person would write: 7.1, where the nearest number of 64 bits is 7.099999904632568.
fn number(value: f32) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return integer(value as i64);
    }
    Value::Number(value.to_string().parse().unwrap_or_else(|_| value.into()))
}

fn election(election: &LeaderElection) -> Value {
    map([
        ("leaderElect", Value::Bool(election.elect)),
        ("leaseDuration", time(election.lease_duration)),
        ("renewDeadline", time(election.renew_deadline)),
        ("retryPeriod", time(election.retry_period)),
        ("resourceLock", "leases".into()),
        ("resourceName", election.name.as_str().into()),
        (
            "resourceNamespace",
            election.namespace.as_deref().unwrap_or_default().into(),
        ),
    ])
}

fn gang_settings(gangs: &GangSettings) -> Value {
    let when_broken = match gangs.when_broken {
        WhenBroken::Keep => "keep",
        WhenBroken::Evict => "evict",
    };
    map([
        ("whenBroken", when_broken.into()),
        ("brokenGrace", time(gangs.broken_grace)),
        ("succeededCount", Value::Bool(gangs.succeeded_count)),
    ])
}

fn batch_settings(batching: &BatchSettings) -> Value {
    map([
        ("enabled", Value::Bool(batching.enabled)),
        ("checkEvery", integer(batching.check_every)),
    ])
}

fn tracing_settings(tracing: &Tracing) -> Value {
    map([
        ("endpoint", tracing.endpoint.as_str().into()),
        ("samplingRatePerMillion", integer(tracing.sampling_rate_per_million)),
    ])
}

fn one_profile(profile: &Profile, ignored_by_extenders: bool) -> Value {
    map([
        ("schedulerName", profile.scheduler_name.as_str().into()),
        ("plugins", plugins(&profile.plugins)),
        ("pluginConfig", plugin_config(&profile.args, ignored_by_extenders)),
    ])
}

fn plugins(sets: &PluginSets) -> Value {
    let multi_point = Some(("multiPoint", &sets.multi_point)).filter(|(_, set)| **set != PluginSet::default());
    let points = sets.points().map(|(point, set)| (point.key(), set));
    let entry = |(key, set): (&str, &PluginSet)| (key.to_owned(), scalar(plugin_set(set)));
    Value::Map(multi_point.into_iter().chain(points).map(entry).collect())
}

fn plugin_set(set: &PluginSet) -> Value {
    let named = |name: &str| map([("name", name.into())]);
    let all = set.without_defaults.then(|| named("*"));
    let disabled: Vec<Value> = all
        .into_iter()
        .chain(set.disabled.iter().map(|name| named(name)))
        .collect();
    let enabled = list(&set.enabled, |(name, weight)| {
        let weight = Some(*weight).filter(|weight| *weight != 0).map(integer);
        map_of_some([("name", Some((*name).into())), ("weight", weight)])
    });
    map_of_some([
        ("enabled", Some(enabled).filter(|_| !set.enabled.is_empty())),
        (
            "disabled",
            Some(list(&disabled, Value::clone)).filter(|_| !disabled.is_empty()),
        ),
    ])
}

fn plugin_config(args: &PluginArgs, ignored_by_extenders: bool) -> Value {
    let PluginArgs {
        node_affinity: affinity,
        node_resources_fit: fit,
        balanced_allocation,
        pod_topology_spread: spread,
        inter_pod_affinity,
        volume_binding: volumes,
    } = args;
    let inter_pod_affinity = map([
        (
            "hardPodAffinityWeight",
            integer(inter_pod_affinity.hard_pod_affinity_weight),
        ),
        (
            "ignorePreferredTermsOfExistingPods",
            Value::Bool(inter_pod_affinity.ignore_preferred_terms_of_existing_pods),
        ),
    ]);
    let balanced_allocation = map([("resources", resources(&balanced_allocation.resources))]);
    let entries = [
        ("NodeAffinity", node_affinity(affinity)),
        ("NodeResourcesFit", node_resources_fit(fit, ignored_by_extenders)),
        ("NodeResourcesBalancedAllocation", balanced_allocation),
        ("PodTopologySpread", pod_topology_spread(spread)),
        ("InterPodAffinity", inter_pod_affinity),
        ("VolumeBinding", volume_binding(volumes)),
    ];
    list(&entries, |(name, args)| {
        map([("name", (*name).into()), ("args", args.clone())])
    })
}

fn node_affinity(args: &NodeAffinityArgs) -> Value {
    let required = args
        .added_required
        .as_ref()
        .map(|terms| map([("nodeSelectorTerms", list(terms, selector_term))]));
    let preferred = Some(&args.added_preferred).filter(|terms| !terms.is_empty());
    if required.is_none() && preferred.is_none() {
        return map([("addedAffinity", Value::Null)]);
    }
    let affinity = map_of_some([
        ("requiredDuringSchedulingIgnoredDuringExecution", required),
        (
            "preferredDuringSchedulingIgnoredDuringExecution",
            preferred.map(|terms| list(terms, preferred_term)),
        ),
    ]);
    map([("addedAffinity", affinity)])
}

fn preferred_term(term: &PreferredTerm) -> Value {
    map([
        ("weight", integer(term.weight)),
        ("preference", selector_term(&term.term)),
    ])
}

fn selector_term(term: &NodeSelectorTerm) -> Value {
    let requirements = |items: &[Requirement]| Some(list(items, requirement)).filter(|_| !items.is_empty());
    map_of_some([
        ("matchExpressions", requirements(&term.match_expressions)),
        ("matchFields", requirements(&term.match_fields)),
    ])
}

fn requirement(requirement: &Requirement) -> Value {
    let operator = match requirement.operator {
        Operator::In => "In",
        Operator::NotIn => "NotIn",
        Operator::Exists => "Exists",
        Operator::DoesNotExist => "DoesNotExist",
        Operator::Gt => "Gt",
        Operator::Lt => "Lt",
    };
    map([
        ("key", Value::from(&*requirement.key)),
        ("operator", operator.into()),
        ("values", texts(&requirement.values)),
    ])
}

fn node_resources_fit(args: &NodeResourcesFitArgs, ignored_by_extenders: bool) -> Value {
    let strategy = match args.strategy {
        StrategyType::LeastAllocated => "LeastAllocated",
        StrategyType::MostAllocated => "MostAllocated",
        StrategyType::RequestedToCapacityRatio => "RequestedToCapacityRatio",
    };
    let by_ratio = args.strategy == StrategyType::RequestedToCapacityRatio;
    let scoring_strategy = map_of_some([
        ("type", Some(strategy.into())),
        ("resources", Some(resources(&args.resources))),
        (
            "requestedToCapacityRatio",
            by_ratio.then(|| map([("shape", shape(&args.shape))])),
        ),
    ]);
    // What extenders say takes the place of these, and stands with the extenders.
    let ignored: &[Text] = if ignored_by_extenders {
        &[]
    } else {
        &args.ignored_resources
    };
    map([
        ("ignoredResources", texts(ignored)),
        ("ignoredResourceGroups", texts(&args.ignored_resource_groups)),
        ("scoringStrategy", scoring_strategy),
    ])
}

fn resources(resources: &[ResourceWeight]) -> Value {
    list(resources, |resource| {
        map([
            ("name", Value::from(&*resource.name)),
            ("weight", integer(resource.weight)),
        ])
    })
}

fn shape(points: &[ShapePoint]) -> Value {
    list(points, |point| {
        map([
            ("utilization", integer(point.utilization)),
            ("score", integer(point.score)),
        ])
    })
}

fn pod_topology_spread(args: &PodTopologySpreadArgs) -> Value {
    if args.system_defaulted {
        return map([("defaultingType", "System".into())]);
    }
    let constraints = list(&args.default_constraints, |constraint| {
        let when_unsatisfiable = match constraint.when_unsatisfiable {
            WhenUnsatisfiable::DoNotSchedule => "DoNotSchedule",
            WhenUnsatisfiable::ScheduleAnyway => "ScheduleAnyway",
        };
        map([
            ("maxSkew", integer(constraint.max_skew)),
            ("topologyKey", Value::from(&*constraint.topology_key)),
            ("whenUnsatisfiable", when_unsatisfiable.into()),
        ])
    });
    map([("defaultingType", "List".into()), ("defaultConstraints", constraints)])
}

fn volume_binding(args: &VolumeBindingArgs) -> Value {
    let points: &[ShapePoint] = if args.shape.is_empty() {
        &DEFAULT_CAPACITY_SHAPE
    } else {
        &args.shape
    };
    map([
        ("bindTimeoutSeconds", integer(args.bind_timeout_seconds)),
        ("shape", shape(points)),
    ])
}

fn one_extender(extender: &ExtenderSpec, secrets: Secrets) -> Value {
    let managed = list(&extender.managed_resources, |name| {
        map([
            ("name", name.as_str().into()),
            (
                "ignoredByScheduler",
                Value::Bool(extender.ignored_resources.contains(name)),
            ),
        ])
    });
    map_of_some([
        ("urlPrefix", Some(extender.url_prefix.as_str().into())),
        ("filterVerb", optional(&extender.filter_verb)),
        ("prioritizeVerb", optional(&extender.prioritize_verb)),
        ("preemptVerb", optional(&extender.preempt_verb)),
        ("bindVerb", optional(&extender.bind_verb)),
        ("weight", Some(integer(extender.weight))),
        ("httpTimeout", Some(time(extender.timeout))),
        ("tlsConfig", extender.tls.as_ref().map(|tls| tls_config(tls, secrets))),
        ("nodeCacheCapable", Some(Value::Bool(extender.node_cache_capable))),
        ("managedResources", Some(managed)),
        ("ignorable", Some(Value::Bool(extender.ignorable))),
    ])
}

fn tls_config(tls: &ExtenderTls, secrets: Secrets) -> Value {
    let [cert_file, cert_data] = pem(&tls.certificate, Secrets::Shown);
    let [key_file, key_data] = pem(&tls.key, secrets);
    let [ca_file, ca_data] = pem(&tls.ca, Secrets::Shown);
    map_of_some([
        ("insecure", Some(Value::Bool(tls.insecure))),
        ("serverName", optional(&tls.server_name)),
        ("certFile", cert_file),
        ("keyFile", key_file),
        ("caFile", ca_file),
        ("certData", cert_data),
        ("keyData", key_data),
        ("caData", ca_data),
    ])
}

/// What to write as file, and what as data.
fn pem(pem: &Option<Pem>, secrets: Secrets) -> [Option<Value>; 2] {
    let text = |bytes: &[u8]| Some(Value::String(STANDARD.encode(bytes)));
    match (pem, secrets) {
        (None, _) => [None, None],
        (Some(Pem::File(path)), _) => [Some(path.as_str().into()), None],
        (Some(Pem::Text(bytes)), Secrets::Shown) => [None, text(bytes)],
        (Some(Pem::Text(_)), Secrets::Redacted) => [None, text(b"REDACTED")],
    }
}
