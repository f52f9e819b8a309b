//! Profiles: a name, plugins and their arguments.

use muster_framework::rules::KubeMinor;
use muster_plugins::args::PluginArgs;
use muster_plugins::profile::ProfileSpec;

use crate::configuration::Allowances;
use crate::expansion::{Expansion, Refusal};
use crate::field::Field;
use crate::known_plugins::{MINORS, Point};
use crate::plugin_args;
use crate::plugin_sets::{self, Located, PluginSet, PluginSets};
use crate::scheduler::percentage;

/// The name of upstream's own scheduler.
pub(crate) const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// One entry of `profiles`, whatever the Kubernetes minor.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// `schedulerName`: the pods that this profile is for.
    pub scheduler_name: String,
    pub(crate) plugins: PluginSets,
    pub(crate) args: PluginArgs,
}

impl Profile {
    /// The default profile under this name.
    pub fn named(scheduler_name: &str) -> Profile {
        Profile {
            scheduler_name: scheduler_name.to_owned(),
            plugins: PluginSets::default(),
            args: PluginArgs::default(),
        }
    }

    /// What it comes to where the server is of this minor.
    pub fn spec(&self, minor: KubeMinor) -> ProfileSpec {
        let [oldest, .., newest] = MINORS;
        let minor = minor.clamp(oldest, newest);
        let expansion = Expansion::new(&self.plugins, minor);
        let mut args = self.args.clone();
        if minor < KubeMinor::V1_37 {
            // StorageCapacityScoring is off by default before.
            args.volume_binding.shape.clear();
        }
        ProfileSpec {
            scheduler_name: self.scheduler_name.as_str().into(),
            pre_enqueue: expansion.pre_enqueue(minor),
            filters: expansion.filters(minor),
            scores: expansion.scores(minor),
            args,
        }
    }
}

/// Reads all profiles; at least one comes back.
pub(crate) fn read(field: &Field<'_>, allowances: &Allowances) -> Vec<Profile> {
    let fields = field.items();
    let mut profiles: Vec<Profile> = Vec::new();
    let mut first_queue_sort = None;
    for field in &fields {
        let Some(section) = field.section() else { continue };
        let scheduler_name = match section.get("schedulerName") {
            Some(name) => scheduler_name(&name, &profiles, allowances),
            // Upstream fills in its name, too, only where there is one profile.
            None if fields.len() == 1 => None,
            None => {
                field.problem("needs a schedulerName, since there are several profiles");
                None
            }
        };
        percentage(&section);
        let located = section.get("plugins").as_ref().and_then(plugin_sets::read);
        if let Some(located) = &located {
            check_expansion(located);
        }
        check_queue_sort(field, located.as_ref(), &mut first_queue_sort);
        let args = section.get("pluginConfig").map(|field| plugin_args::read(&field));
        profiles.push(Profile {
            scheduler_name: scheduler_name.unwrap_or_else(|| allowances.unnamed.to_owned()),
            plugins: located.map(|located| located.sets).unwrap_or_default(),
            args: args.unwrap_or_default(),
        });
    }
    if profiles.is_empty() {
        profiles.push(Profile::named(allowances.unnamed));
    }
    profiles
}

/// The name, when it may be used.
fn scheduler_name(field: &Field<'_>, earlier: &[Profile], allowances: &Allowances) -> Option<String> {
    let name = field.string()?;
    if name.is_empty() {
        field.problem("must not be empty");
    } else if earlier.iter().any(|other| other.scheduler_name == name) {
        field.problem(format!("{name:?} is the name of an earlier profile"));
    } else if name == DEFAULT_SCHEDULER && !allowances.default_scheduler_name {
        field.problem(
            "default-scheduler is kube-scheduler's name, and two schedulers must not fight for the same pods: \
             where kube-scheduler does not run, set allowDefaultSchedulerName: true in a MusterConfiguration",
        );
    }
    Some(name.to_owned())
}

/// Reports what no server, or only some, could be given.
fn check_expansion(located: &Located<'_>) {
    let all = MINORS.map(|minor| (minor, Expansion::new(&located.sets, minor).refusals()));
    let mut told: Vec<&Refusal> = Vec::new();
    for refusal in all.iter().flat_map(|(_, refusals)| refusals) {
        if !told.contains(&refusal) {
            report(located, refusal, &all);
            told.push(refusal);
        }
    }
}

/// Which minors it concerns is said when it is not all of them.
fn report(located: &Located<'_>, refusal: &Refusal, all: &[(KubeMinor, Vec<Refusal>)]) {
    let minors: Vec<String> = all
        .iter()
        .filter(|(_, refusals)| refusals.contains(refusal))
        .map(|(minor, _)| minor.to_string())
        .collect();
    let place = located.place(&refusal.points);
    if minors.len() == all.len() {
        place.problem(&refusal.message);
    } else {
        place.problem(format!("with Kubernetes {}: {}", minors.join(" and "), refusal.message));
    }
}

/// Pods of all profiles share one queue. Source: `validation.go`, `validateCommonQueueSort`.
fn check_queue_sort(profile: &Field<'_>, located: Option<&Located<'_>>, first: &mut Option<PluginSet>) {
    let queue_sort = located
        .and_then(|located| located.sets.at(Point::QueueSort))
        .cloned()
        .unwrap_or_default();
    match first {
        None => *first = Some(queue_sort),
        Some(first) if *first == queue_sort => {}
        Some(_) => {
            let place = located.map_or(profile, |located| located.place(&[Point::QueueSort]));
            place.problem("queueSort must be the same in all profiles");
        }
    }
}
