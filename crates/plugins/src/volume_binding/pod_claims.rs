//! A pod's claims: those that are bound, those that are bound where the pod goes, and what is wrong with them.

use super::NAME;
use crate::words::{claim_not_found, no_binding_mode, not_the_pods_claim, pre_filter_error};
use muster_framework::plugin::PodToPlace;
use muster_framework::record::PodVolume;
use muster_framework::rejection::{Code, Reason};
use muster_framework::view::View;
use muster_framework::volume::{ClaimPhase, ClaimRecord, StorageClassRecord, Volumes};

/// The claims of a pod that can be judged, each as often as the pod names it.
pub(super) struct PodClaims<'a> {
    /// Claims that are bound.
    pub(super) bound: Vec<&'a ClaimRecord>,
    /// Claims that wait for their first consumer, with their classes.
    pub(super) delayed: Vec<(&'a ClaimRecord, &'a StorageClassRecord)>,
}

impl<'a> PodClaims<'a> {
    /// The claims of the pod; why it cannot be judged.
    ///
    /// Source: `VolumeBinding.PreFilter`.
    pub(super) fn of(pod: &PodToPlace<'_>, view: &View<'a>) -> Result<PodClaims<'a>, (Code, Reason)> {
        let store = view.table().volumes();
        let final_ = |why: String| (Code::UnschedulableAndUnresolvable, Reason::Text(why.into()));
        let claims = usable(pod, store).map_err(final_)?;
        let mut sorted = PodClaims {
            bound: Vec::new(),
            delayed: Vec::new(),
        };
        let mut n_immediate = 0;
        for claim in claims {
            if claim.is_fully_bound() {
                sorted.bound.push(claim);
                continue;
            }
            // A claim that names its volume already is bound by its controller, whatever its class says.
            match delaying_class(claim, store)?.filter(|_| claim.volume.is_empty()) {
                Some(class) => sorted.delayed.push((claim, class)),
                None => n_immediate += 1,
            }
        }
        if n_immediate > 0 {
            const UNBOUND: Reason = Reason::Sentence("pod has unbound immediate PersistentVolumeClaims");
            return Err((Code::UnschedulableAndUnresolvable, UNBOUND));
        }
        Ok(sorted)
    }
}

/// The claims that the pod names, in their order; what is wrong with the first that a pod cannot use.
///
/// Source: `VolumeBinding.podHasPVCs`.
fn usable<'a>(pod: &PodToPlace<'_>, store: &'a Volumes) -> Result<Vec<&'a ClaimRecord>, String> {
    let mut claims = Vec::new();
    for volume in &pod.spec.volumes {
        let PodVolume::Claim { claim: key, ephemeral } = volume else {
            continue;
        };
        let Some(claim) = store.claim(key) else {
            return Err(if *ephemeral {
                format!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim \"{}\"",
                    key.name
                )
            } else {
                claim_not_found(&key.name)
            });
        };
        let name = &key.name;
        if claim.phase == ClaimPhase::Lost {
            let volume = &claim.volume;
            return Err(format!(
                "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""
            ));
        }
        if claim.terminating {
            return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        if *ephemeral && *claim.owner_pod != *pod.uid {
            return Err(not_the_pods_claim(key, pod.namespace, pod.name));
        }
        claims.push(claim);
    }
    Ok(claims)
}

/// The class of a claim, when it waits for the first consumer.
///
/// Source: `k8s.io/component-helpers/storage/volume.IsDelayBindingMode`.
fn delaying_class<'a>(
    claim: &ClaimRecord,
    store: &'a Volumes,
) -> Result<Option<&'a StorageClassRecord>, (Code, Reason)> {
    let name = claim.storage_class.as_deref().unwrap_or("");
    let Some(class) = store.class(name).filter(|_| !name.is_empty()) else {
        return Ok(None);
    };
    match class.wait_for_first_consumer {
        Some(waits) => Ok(waits.then_some(class)),
        None => Err((Code::Error, pre_filter_error(NAME, no_binding_mode(name)))),
    }
}
