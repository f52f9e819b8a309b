//! `plugins` of a profile as the file has it: which plugins it enables and disables, at which extension point.
//!
//! Only what a single list can tell is checked here; what the lists come to together is the matter of `expansion`.

use std::collections::BTreeMap;

use crate::field::Field;
use crate::known_plugins::{self, Effect, KNOWN, KnownPlugin, Point, REMOVED};

/// One `PluginSet`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PluginSet {
    /// Names with weights, in the order of the file; 0 where there is no weight, as upstream reads it.
    pub(crate) enabled: Vec<(&'static str, i64)>,
    pub(crate) disabled: Vec<&'static str>,
    /// `*` is disabled.
    pub(crate) without_defaults: bool,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PluginSets {
    pub(crate) multi_point: PluginSet,
    at: BTreeMap<Point, PluginSet>,
}

impl PluginSets {
    /// What the file says about one point; None: nothing.
    pub(crate) fn at(&self, point: Point) -> Option<&PluginSet> {
        self.at.get(&point)
    }

    /// The points about which the file says something, in their order.
    pub(crate) fn points(&self) -> impl Iterator<Item = (Point, &PluginSet)> {
        self.at.iter().map(|(point, set)| (*point, set))
    }
}

/// The sets, and where they stand in the file.
pub(crate) struct Located<'a> {
    pub(crate) sets: PluginSets,
    root: Field<'a>,
    multi_point: Option<Field<'a>>,
    at: BTreeMap<Point, Field<'a>>,
}

impl<'a> Located<'a> {
    /// Where to report what is wrong at one of these points: the first that the file mentions, else `multiPoint`.
    pub(crate) fn place(&self, points: &[Point]) -> &Field<'a> {
        let given = points.iter().find_map(|point| self.at.get(point));
        given.or(self.multi_point.as_ref()).unwrap_or(&self.root)
    }
}

/// Reads `plugins`; None, with the problem reported, when it is no mapping.
pub(crate) fn read<'a>(field: &Field<'a>) -> Option<Located<'a>> {
    let section = field.section()?;
    let multi_point = section.get("multiPoint");
    let mut located = Located {
        sets: PluginSets {
            multi_point: multi_point
                .as_ref()
                .map(|field| plugin_set(field, None))
                .unwrap_or_default(),
            at: BTreeMap::new(),
        },
        root: field.clone(),
        multi_point,
        at: BTreeMap::new(),
    };
    for point in Point::ALL {
        if let Some(field) = section.get(point.key()) {
            located.sets.at.insert(point, plugin_set(&field, Some(point)));
            located.at.insert(point, field);
        }
    }
    Some(located)
}

/// One set; `point` is None for `multiPoint`.
fn plugin_set(field: &Field<'_>, point: Option<Point>) -> PluginSet {
    let mut set = PluginSet::default();
    let Some(section) = field.section() else { return set };
    for entry in section.get("enabled").iter().flat_map(Field::items) {
        let Some((name, weight)) = name_and_weight(&entry) else {
            continue;
        };
        let Some(plugin) = known(&entry, name) else { continue };
        if set.enabled.iter().any(|(earlier, _)| *earlier == plugin.name) {
            entry.problem(format!("{name} is enabled twice"));
        } else if point.is_some_and(|point| !plugin.is_at(point)) {
            entry.problem(format!("{name} has nothing for this extension point"));
        } else {
            set.enabled.push((plugin.name, weight));
            without_effect(&entry, plugin);
        }
    }
    for entry in section.get("disabled").iter().flat_map(Field::items) {
        match name_and_weight(&entry) {
            None => {}
            Some(("*", _)) => set.without_defaults = true,
            Some((name, _)) => {
                let Some(plugin) = known(&entry, name) else { continue };
                set.disabled.push(plugin.name);
                without_effect(&entry, plugin);
            }
        }
    }
    set
}

/// Upstream reads a weight in every list, also where it means nothing.
fn name_and_weight<'a>(entry: &Field<'a>) -> Option<(&'a str, i64)> {
    let section = entry.section()?;
    let weight = section
        .get("weight")
        .and_then(|field| field.integer::<i32>())
        .unwrap_or(0);
    let Some(name) = section.get("name") else {
        entry.problem("needs a name");
        return None;
    };
    name.string().map(|name| (name, weight.into()))
}

fn without_effect(entry: &Field<'_>, plugin: &KnownPlugin) {
    if let Effect::Missing(why) | Effect::Outside(why) = plugin.effect {
        entry.warning(&format!("has no effect on {}: {why}", plugin.name));
    }
}

/// The plugin of this name; None with the problem reported.
///
/// Upstream overlooks an unknown name that is disabled, and unknown names in `pluginConfig`; here they are refused, since
/// the one thing that they can be is a mistake.
pub(crate) fn known(field: &Field<'_>, name: &str) -> Option<&'static KnownPlugin> {
    let plugin = known_plugins::find(name);
    if plugin.is_none() && REMOVED.contains(&name) {
        field.problem(format!("{name} was removed upstream: NodeVolumeLimits does its work"));
    } else if plugin.is_none() {
        let names: Vec<&str> = KNOWN.iter().map(|plugin| plugin.name).collect();
        field.problem(format!("unknown plugin {name:?}; there are {}", names.join(", ")));
    }
    plugin
}
