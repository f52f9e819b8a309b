//! Profiles: their names are applied, and whatever would make one differ from the default profile is refused.
//!
//! The rule. The baseline is upstream's default profile. A file without `plugins` gets as much of it as Muster has, so
//! a file may say the same in other words, and nothing else:
//!
//! * **enabled**: a plugin of the baseline, at a point that it has, with its default weight. Others are refused. One
//!   that Muster does not have yet is accepted with a warning, since saying nothing would enable it too. Without a
//!   weight upstream counts a score as 1, so leaving the weight out is refused where the default is not 1.
//! * **disabled**: what Muster does not do anyway is accepted with a warning. What Muster does is refused, unless the
//!   same list enables it again; `*` stands for every plugin of the point.
//! * **pluginConfig**: only arguments that equal the defaults (module `plugin_args`).
//!
//! The order of plugins is free: it decides which of them names the reason, never where a pod goes. Profiles cannot
//! differ from each other, since none can differ from the baseline. When Muster gains a plugin, a file that disables it
//! is refused from then on, and so nothing changes in silence.

use muster_plugins::Profile;

use crate::configuration::Configuration;
use crate::field::{Field, Section};
use crate::own::Allowances;
use crate::plugin_args;
use crate::scheduler::percentage;
use crate::upstream::{self, DefaultPlugin, POINTS, Point};

/// The name of upstream's own scheduler.
const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// Plugins of the default profile that are parts of the engine, and not in the registry of `muster-plugins`.
const ENGINE_PLUGINS: [&str; 3] = ["PrioritySort", "DefaultBinder", "GangScheduling"];

/// Reads all profiles.
pub(crate) fn apply(field: &Field<'_>, allowances: &Allowances, configuration: &mut Configuration) {
    let profiles = field.items();
    let had = Had::new();
    let mut names: Vec<String> = Vec::new();
    for profile in &profiles {
        let Some(section) = profile.section() else { continue };
        match section.get("schedulerName") {
            Some(name) => names.extend(scheduler_name(&name, &names, allowances)),
            // Upstream fills in its name, too, only where there is one profile.
            None if profiles.len() == 1 => {}
            None => profile.problem("needs a schedulerName, since there are several profiles"),
        }
        percentage(&section);
        if let Some(plugins) = section.get("plugins").and_then(|field| field.section()) {
            for (key, point) in POINTS {
                if let Some(set) = plugins.get(key).and_then(|field| field.section()) {
                    plugin_set(&set, point, &had);
                }
            }
        }
        if let Some(field) = section.get("pluginConfig") {
            plugin_args::check(&field);
        }
    }
    if !names.is_empty() {
        configuration.scheduler_names = names;
    }
}

/// The name, when it may be used.
fn scheduler_name(field: &Field<'_>, earlier: &[String], allowances: &Allowances) -> Option<String> {
    let name = field.string()?;
    if name.is_empty() {
        field.problem("must not be empty");
    } else if earlier.iter().any(|other| other == name) {
        field.problem(format!("{name:?} is the name of an earlier profile"));
    } else if name == DEFAULT_SCHEDULER && !allowances.default_scheduler_name {
        field.problem(
            "default-scheduler is kube-scheduler's name, and two schedulers must not fight for the same pods: \
             where kube-scheduler does not run, set allowDefaultSchedulerName: true in a MusterConfiguration",
        );
    } else {
        return Some(name.to_owned());
    }
    None
}

/// Which plugins Muster has, by point.
struct Had {
    pre_enqueue: Vec<&'static str>,
    filter: Vec<&'static str>,
    score: Vec<&'static str>,
}

impl Had {
    fn new() -> Had {
        let profile = Profile::default();
        Had {
            pre_enqueue: profile.pre_enqueue().map(|(name, _)| name).collect(),
            filter: profile.filters().map(|(name, _)| name).collect(),
            score: profile.scores().map(|(name, _, _)| name).collect(),
        }
    }

    /// Whether Muster does what `name` does at `point`, or anywhere for [`Point::All`].
    fn has(&self, name: &str, point: Point) -> bool {
        let in_engine =
            ENGINE_PLUGINS.contains(&name) && upstream::find(name).is_some_and(|plugin| plugin.is_at(point));
        let registered: &[&[&str]] = match point {
            Point::PreEnqueue => &[&self.pre_enqueue],
            Point::PreFilter | Point::Filter => &[&self.filter],
            Point::PreScore | Point::Score => &[&self.score],
            Point::All => &[&self.pre_enqueue, &self.filter, &self.score],
            _ => &[],
        };
        in_engine || registered.iter().any(|names| names.contains(&name))
    }
}

fn plugin_set(set: &Section<'_>, point: Point, had: &Had) {
    let mut enabled = Vec::new();
    for field in set.get("enabled").iter().flat_map(Field::items) {
        let Some((name, entry)) = entry(&field) else { continue };
        if enabled.contains(&name) {
            field.problem(format!("{name} is enabled twice"));
        } else {
            enable(&entry, name, point, had);
        }
        enabled.push(name);
    }
    for field in set.get("disabled").iter().flat_map(Field::items) {
        let Some((name, _)) = entry(&field) else { continue };
        disable(&field, name, point, had, &enabled);
    }
}

/// The name of the plugin in an entry of a list.
fn entry<'a>(field: &Field<'a>) -> Option<(&'a str, Section<'a>)> {
    let section = field.section()?;
    // Upstream reads a weight in every list, also where it means nothing.
    let _ = section.get("weight");
    let Some(name) = section.get("name") else {
        field.problem("needs a name");
        return None;
    };
    name.string().map(|name| (name, section))
}

fn enable(entry: &Section<'_>, name: &str, point: Point, had: &Had) {
    let weight_field = entry.get("weight");
    let weight = weight_field.as_ref().map(Field::integer::<i32>);
    let Some(plugin) = known(entry.field(), name) else {
        return;
    };
    if !plugin.is_at(point) {
        entry
            .field()
            .problem(format!("{name} does nothing at this extension point"));
        return;
    }
    let counts = matches!(point, Point::All | Point::Score | Point::PlacementScore);
    match (plugin.weight, weight) {
        _ if !counts => {}
        // A weight that is no integer is reported already.
        (None, _) | (_, Some(None)) => {}
        (Some(default), None | Some(Some(0))) if default != 1 => {
            let at = weight_field.as_ref().unwrap_or(entry.field());
            at.problem(format!(
                "{name} without a weight would count 1, but its weight is fixed: add weight: {default}"
            ));
        }
        (Some(default), Some(Some(weight))) if weight != default && weight != 0 => {
            let at = weight_field.as_ref().unwrap_or(entry.field());
            at.problem(format!("the weight of {name} is fixed: it is {default}, not {weight}"));
        }
        _ => {}
    }
    if !had.has(name, point) {
        entry
            .field()
            .warning(&format!("has no effect: Muster does not have {name} here yet"));
    }
}

fn disable(field: &Field<'_>, name: &str, point: Point, had: &Had, enabled: &[&str]) {
    if name == "*" {
        let lost = |plugin: &&DefaultPlugin| had.has(plugin.name, point) && !enabled.contains(&plugin.name);
        let lost: Vec<&str> = upstream::DEFAULTS
            .iter()
            .filter(lost)
            .map(|plugin| plugin.name)
            .collect();
        if !lost.is_empty() {
            field.problem(format!(
                "the plugins are fixed: enable again in the same list {}",
                lost.join(", ")
            ));
        }
        return;
    }
    if known(field, name).is_none() || enabled.contains(&name) {
        return;
    }
    if had.has(name, point) {
        field.problem(format!("the plugins are fixed: {name} cannot be disabled"));
    } else {
        field.warning(&format!("has no effect: Muster does not have {name} here"));
    }
}

/// The plugin of the baseline; None with the problem reported.
pub(crate) fn known(field: &Field<'_>, name: &str) -> Option<&'static DefaultPlugin> {
    let plugin = upstream::find(name);
    match name {
        _ if plugin.is_some() => {}
        "AzureDiskLimits" | "CinderLimits" | "EBSLimits" | "GCEPDLimits" => {
            field.problem(format!("{name} was removed upstream: NodeVolumeLimits does its work"));
        }
        _ => field.problem(format!(
            "unknown plugin {name:?}: there are those of kube-scheduler's default profile, and no others"
        )),
    }
    plugin
}

#[cfg(test)]
mod tests {
    use muster_plugins::{Weighted, default_plugins};

    use super::*;

    #[test]
    fn every_plugin_of_the_registry_is_of_the_baseline_with_its_weight_and_points() {
        for Weighted { plugin, weight } in default_plugins() {
            let default = upstream::find(plugin.name()).unwrap_or_else(|| panic!("{} is unknown", plugin.name()));
            let has = [
                (Point::PreEnqueue, plugin.pre_enqueue().is_some()),
                (Point::Filter, plugin.filter().is_some()),
                (Point::Score, plugin.score().is_some()),
            ];
            for (point, has) in has {
                assert!(!has || default.is_at(point), "{} at {point:?}", default.name);
            }
            if plugin.score().is_some() {
                assert_eq!(Some(weight), default.weight.map(i64::from), "{}", default.name);
            }
        }
    }
}
