//! `--feature-gates`, as kube-scheduler has it: which gates there are, and what becomes of them here.
//!
//! Muster has no gates of its own. Where kube-scheduler's decisions depend on one, Muster follows the default of the
//! server's minor: a gate may be set to that, and is refused otherwise. All other gates are accepted without effect, since
//! the same flag is often given to every component of a control plane.
//!
//! Source: `test/compatibility_lifecycle/reference/versioned_feature_list.yaml` of 1.35, 1.36 and 1.37, and the gates that
//! `pkg/scheduler` asks for.

use std::fmt::Write as _;

use muster_framework::rules::KubeMinor;

use crate::configuration::Configuration;
use crate::known_plugins::MINORS;

/// Every gate that a component of Kubernetes 1.35, 1.36 or 1.37 knows, one a line.
const NAMES: &str = include_str!("feature_gates.txt");

/// What a gate means here.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    /// Decisions depend on it: Muster follows these defaults, of 1.35, 1.36 and 1.37. None: that minor has no such gate.
    Default([Option<bool>; 3]),
    /// What it switches on cannot be switched off, for this reason.
    AlwaysOn(&'static str),
    /// It switches batching.
    Batching,
    /// It makes no difference here, for this reason.
    NoEffect(&'static str),
}

use Meaning::{AlwaysOn, Batching, Default, NoEffect};

const ON: Meaning = Default([Some(true); 3]);
const OFF: Meaning = Default([Some(false); 3]);
const ON_SINCE_1_36: Meaning = Default([Some(false), Some(true), Some(true)]);
const ON_SINCE_1_37: Meaning = Default([Some(false), Some(false), Some(true)]);
const OFF_SINCE_1_36: Meaning = Default([None, Some(false), Some(false)]);
const OFF_SINCE_1_37: Meaning = Default([None, None, Some(false)]);
const GROUPS: Meaning = AlwaysOn("pod groups are honoured wherever the API server has them");
const SPEED: Meaning = NoEffect("it changes how fast kube-scheduler is, not what it decides");

/// The gates that kube-scheduler's decisions, or the election of its leader, depend on.
const MEANINGS: [(&str, Meaning); 28] = [
    ("NodeInclusionPolicyInPodTopologySpread", ON),
    ("MatchLabelKeysInPodTopologySpread", ON),
    ("MatchLabelKeysInPodTopologySpreadSelectorMerge", ON),
    ("InPlacePodVerticalScaling", ON),
    ("InPlacePodLevelResourcesVerticalScaling", ON_SINCE_1_36),
    ("InPlacePodVerticalScalingSchedulerPreemption", OFF_SINCE_1_37),
    ("PodLevelResources", ON),
    ("NodeDeclaredFeatures", ON_SINCE_1_36),
    ("StorageCapacityScoring", ON_SINCE_1_37),
    ("VolumeLimitScaling", ON_SINCE_1_37),
    ("VolumeAttributesClass", ON),
    ("TaintTolerationComparisonOperators", OFF),
    ("NominatedNodeNameForExpectation", ON),
    ("SchedulerQueueingHints", Default([Some(true), Some(true), None])),
    ("CSIMigrationPortworx", Default([Some(true), None, None])),
    ("TopologyAwareWorkloadScheduling", OFF_SINCE_1_36),
    ("CompositePodGroup", OFF_SINCE_1_37),
    ("PodGroupPreemptionPolicy", OFF_SINCE_1_37),
    ("CoordinatedLeaderElection", OFF),
    ("WorkloadAwarePreemption", Default([None, Some(false), None])),
    ("GenericWorkload", GROUPS),
    ("GangScheduling", GROUPS),
    ("OpportunisticBatching", Batching),
    ("SchedulerAsyncPreemption", SPEED),
    ("SchedulerAsyncAPICalls", SPEED),
    ("SchedulerPopFromBackoffQ", SPEED),
    ("SchedulerPreQueueingHints", SPEED),
    ("InterPodAffinityHostnameFastPath", SPEED),
];

impl Meaning {
    /// None: nobody knows such a gate.
    fn of(name: &str) -> Option<Meaning> {
        let known = MEANINGS.iter().find(|(known, _)| *known == name);
        if let Some((_, meaning)) = known {
            return Some(*meaning);
        }
        NAMES.lines().any(|known| known == name).then(|| {
            if name.starts_with("DRA") || name == "DynamicResourceAllocation" {
                NoEffect("pods with resource claims wait")
            } else {
                NoEffect("no decision of a scheduler depends on it")
            }
        })
    }
}

/// Applies the text of the flag, such as `A=true,kube:B=false`, and gives what has no effect, a sentence each.
///
/// # Errors
/// What is wrong with which gate.
pub fn apply_feature_gates(text: &str, configuration: &mut Configuration) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    for setting in text.split(',').map(str::trim).filter(|setting| !setting.is_empty()) {
        let (name, value) = parse(setting)?;
        warnings.extend(apply(name, value, configuration)?);
    }
    Ok(warnings)
}

fn parse(setting: &str) -> Result<(&str, bool), String> {
    let (name, value) = setting
        .split_once('=')
        .ok_or_else(|| format!("{setting:?} must be a name with a value, such as GenericWorkload=true"))?;
    // The same flag serves other components, whose gates stand behind their names.
    let name = match name.split_once(':') {
        None => name,
        Some(("kube", name)) => name,
        Some((component, _)) => {
            return Err(format!(
                "{component:?} in {setting:?} is no component; there is only kube"
            ));
        }
    };
    // Source: `strconv.ParseBool`, which upstream uses.
    let value = match value.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        _ => return Err(format!("{setting:?} must be true or false")),
    };
    Ok((name.trim(), value))
}

/// A warning, if there is one.
fn apply(name: &str, value: bool, configuration: &mut Configuration) -> Result<Option<String>, String> {
    match (name, value) {
        ("AllAlpha", false) => return Ok(None),
        ("AllAlpha" | "AllBeta", _) => {
            return Err(format!(
                "{name}={value} is refused: Muster follows the defaults of the server's minor, gate by gate"
            ));
        }
        _ => {}
    }
    let meaning = Meaning::of(name).ok_or_else(|| format!("{name:?} is no feature gate of Kubernetes 1.35 to 1.37"))?;
    match meaning {
        Default(defaults) => follow(name, value, &defaults),
        AlwaysOn(_) if value => Ok(None),
        AlwaysOn(why) => Err(format!("{name}=false is refused: {why}")),
        Batching => {
            configuration.batching.enabled = value;
            Ok(None)
        }
        NoEffect(why) => Ok(Some(format!("{name}={value} has no effect: {why}"))),
    }
}

/// Which minor the server is of is not known yet: what is the default of some is accepted, and told.
fn follow(name: &str, value: bool, defaults: &[Option<bool>; 3]) -> Result<Option<String>, String> {
    let of_minors: Vec<(KubeMinor, bool)> = MINORS
        .into_iter()
        .zip(defaults)
        .filter_map(|(minor, default)| Some((minor, (*default)?)))
        .collect();
    let mut list = String::new();
    for (minor, default) in &of_minors {
        let comma = if list.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(list, "{comma}{minor}: {default}");
    }
    if of_minors.iter().all(|(_, default)| *default == value) {
        Ok(None)
    } else if of_minors.iter().any(|(_, default)| *default == value) {
        Ok(Some(format!(
            "{name}={value} has no effect: Muster follows the default of the server's minor ({list})"
        )))
    } else {
        Err(format!(
            "{name}={value} is refused: Muster follows the default of the server's minor ({list})"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> String {
        let mut configuration = Configuration::default();
        match apply_feature_gates(text, &mut configuration) {
            Ok(warnings) if warnings.is_empty() => format!("accepted, batching: {}", configuration.batching.enabled),
            Ok(warnings) => format!("warning: {}", warnings.join("; ")),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn what_becomes_of_gates() {
        let texts = [
            "",
            "GenericWorkload=true",
            "kube:GenericWorkload=false",
            "OpportunisticBatching=false",
            " PodLevelResources = T , ",
            "PodLevelResources=false",
            "StorageCapacityScoring=true",
            "TaintTolerationComparisonOperators=true",
            "CompositePodGroup=true",
            "SchedulerAsyncPreemption=false",
            "ContextualLogging=true",
            "DRADeviceTaints=false",
            "AllAlpha=false",
            "AllAlpha=true",
            "AllBeta=false",
            "NoSuchGate=true",
            "GenericWorkload",
            "GenericWorkload=yes",
            "=true",
            "wardle:A=true",
            "OpportunisticBatching=false,OpportunisticBatching=true",
        ];
        let table: Vec<String> = texts
            .iter()
            .map(|text| format!("{text}\n    => {}", outcome(text)))
            .collect();
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(table.join("\n")) });
    }

    #[test]
    fn gates_with_a_meaning_are_gates() {
        for (i, (name, _)) in MEANINGS.iter().enumerate() {
            assert!(NAMES.lines().any(|known| known == *name), "{name}");
            assert!(MEANINGS[..i].iter().all(|(earlier, _)| earlier != name), "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[A-Za-z:=,. ]{0,40}") {
            let _ = apply_feature_gates(&text, &mut Configuration::default());
        }
    }
}
