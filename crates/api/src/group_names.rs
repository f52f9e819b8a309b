//! How pod groups are spelled in each dialect: labels and annotations, condition types, phases.

use muster_framework::group::CoschedulingPhase;
use muster_framework::record::Kind;

/// The label of a pod that names the group of the coscheduling CRD.
/// Source: `PodGroupLabel` in `apis/scheduling/v1alpha1` of scheduler-plugins.
pub const COSCHEDULING_LABEL: &str = "scheduling.x-k8s.io/pod-group";
/// The label of a pod that names a group which its members describe themselves.
pub const GROUP_LABEL: &str = "muster.dev/pod-group";
/// The annotation of such a pod that says how many members the group needs.
pub const MIN_COUNT_ANNOTATION: &str = "muster.dev/min-count";
/// The annotation, of such a pod or of the object that holds the policy, that says what becomes of bound members when the
/// gang is broken.
pub const WHEN_BROKEN_ANNOTATION: &str = "muster.dev/when-broken";

/// The condition by which objects of a kind say whether their group has been scheduled; none if they have no conditions.
/// Source: `PodGroupScheduled` and `PodGroupInitiallyScheduled` in the kinds' packages of `k8s.io/api/scheduling`.
pub fn condition_type(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::PodGroup => Some("PodGroupInitiallyScheduled"),
        Kind::PodGroupV1Alpha2 => Some("PodGroupScheduled"),
        _ => None,
    }
}

const PHASES: [(CoschedulingPhase, &str); 5] = [
    (CoschedulingPhase::Pending, "Pending"),
    (CoschedulingPhase::Scheduling, "Scheduling"),
    (CoschedulingPhase::Running, "Running"),
    (CoschedulingPhase::Finished, "Finished"),
    (CoschedulingPhase::Failed, "Failed"),
];

/// A phase as the coscheduling CRD spells it.
pub fn phase_name(phase: CoschedulingPhase) -> &'static str {
    PHASES
        .iter()
        .find(|(known, _)| *known == phase)
        .map_or("", |(_, name)| name)
}

/// The phase of this name; none for `Unknown`, and for those that only releases before 2023 had.
pub fn phase_named(name: &str) -> Option<CoschedulingPhase> {
    PHASES.iter().find(|(_, known)| *known == name).map(|(phase, _)| *phase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_found_by_its_name() {
        for (phase, name) in PHASES {
            assert_eq!((phase_name(phase), phase_named(name)), (name, Some(phase)));
        }
        assert_eq!((phase_named("Unknown"), phase_named("")), (None, None));
    }
}
