//! Bindings of claims that are decided and not yet seen in the cluster: on a plan, and on the base while they are written.
//!
//! # What the engine does with them
//!
//! VolumeBinding judges a pod with claims that wait for their first consumer as if the claims were bound on the node that
//! is judged. So that this becomes true, and nobody else takes the same volume meanwhile:
//!
//! 1. **Plan.** `muster_plugins::volume_binding::plan_bindings(pod, view, node)` says what has to be bound when the pod goes
//!    to the node, judged on the very view that the node was chosen on. Empty [`Bindings`]: nothing to do, skip the rest.
//!    While members of a group are planned in one delta, [`crate::view::Delta::assume`] is told each member's bindings, right
//!    after [`crate::view::Delta::add`], so that the next member does not take the same volume.
//! 2. **Reserve.** When the plan is committed, [`Volumes::assume`] with the pod's uid as the owner.
//! 3. **PreBind.** Before the pod is bound, one patch for each of the [`StaticBinding`]s and [`Provision`]s whose `write` is
//!    set. Each patch carries the version that the decision was made on (`metadata.resourceVersion`), so that a volume which
//!    somebody else took meanwhile answers with a conflict:
//!    * volume: `spec.claimRef` = `{apiVersion: v1, kind: PersistentVolumeClaim, namespace, name, uid, resourceVersion}` of the
//!      claim, and the annotation `pv.kubernetes.io/bound-by-controller: "yes"` when `mark_bound_by_controller` is set;
//!    * claim: the annotation `volume.kubernetes.io/selected-node` = [`Bindings::node`].
//!
//!    [`Volumes::volume_written`] and [`Volumes::claim_written`] are told the version in each answer. If a patch fails, the
//!    pod's attempt has failed.
//! 4. **Wait.** When all are written, after every change of a volume, a claim, the node or its CSI node,
//!    [`crate::table::NodeTable::binding_state`] says whether to go on: `Done` → bind the pod; `Waiting` → wait on, at most
//!    `bindTimeoutSeconds` of `VolumeBindingArgs` from the last answer (upstream's words then: `binding volumes: context
//!    deadline exceeded`); `Failed` → the attempt has failed. That the pod itself still exists is the engine's to know.
//! 5. **Done or failed**, [`Volumes::forget`]. What was written stays assumed until the watch shows it, as upstream; what was
//!    not is free again at once, and the events that it gives may let other pods go.

use super::Volumes;
use super::store::event_of;
use crate::Text;
use crate::event::{ObjectChange, StorageEvent};
use crate::record::{ClaimKey, Kind, ResourceVersion};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::collections::hash_map::Entry;

/// A claim that is to be bound to a volume that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticBinding {
    /// The volume.
    pub volume: Text,
    /// The version of the volume that this was decided on.
    pub volume_version: ResourceVersion,
    /// The claim.
    pub claim: ClaimKey,
    /// The claim's uid.
    pub claim_uid: Text,
    /// The version of the claim that this was decided on.
    pub claim_version: ResourceVersion,
    /// Whether the volume has to be told: it may have been reserved for the claim before, in full.
    pub write: bool,
    /// Whether the volume has to be marked as not reserved by a person.
    pub mark_bound_by_controller: bool,
}

/// A claim that a volume is to be made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provision {
    /// The claim.
    pub claim: ClaimKey,
    /// The version of the claim that this was decided on.
    pub claim_version: ResourceVersion,
    /// Whether the claim has to be told: it may have the node selected already.
    pub write: bool,
}

/// What has to be bound and made when a pod goes to a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bindings {
    /// The node's name.
    pub node: Text,
    /// Claims to be bound to volumes that are there.
    pub volumes: Vec<StaticBinding>,
    /// Claims that volumes are to be made for.
    pub provision: Vec<Provision>,
}

impl Bindings {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.volumes.is_empty() && self.provision.is_empty()
    }
}

/// How far the bindings of a pod have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingState {
    /// Every claim is bound: bind the pod.
    Done,
    /// Somebody else has to act first.
    Waiting,
    /// It will not come to it; the pod has to be scheduled anew. In upstream's words, but for the `binding volumes: ` that
    /// upstream says before whatever goes wrong while it waits.
    Failed(Text),
}

/// Something assumed of one object, by those who rely on it.
#[derive(Debug, Clone)]
struct Assumption<T> {
    what: T,
    owners: SmallVec<[Text; 1]>,
    /// The version from which on the watch knows better.
    until: ResourceVersion,
    written: bool,
}

/// What a volume is assumed to be reserved for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AssumedClaim {
    pub(crate) claim: ClaimKey,
    pub(crate) uid: Text,
}

/// Assumptions over what the watch has shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Assumed {
    volumes: FxHashMap<Text, Assumption<AssumedClaim>>,
    volumes_of_claim: FxHashMap<ClaimKey, SmallVec<[Text; 1]>>,
    selected_nodes: FxHashMap<ClaimKey, Assumption<Text>>,
}

impl Assumed {
    pub(crate) fn is_empty(&self) -> bool {
        self.volumes.is_empty() && self.volumes_of_claim.is_empty() && self.selected_nodes.is_empty()
    }

    /// The claim that a volume is assumed to be reserved for.
    pub(crate) fn claim_of_volume(&self, volume: &str) -> Option<&AssumedClaim> {
        self.volumes.get(volume).map(|assumption| &assumption.what)
    }

    /// The volumes that are assumed to be reserved for a claim.
    pub(crate) fn volumes_of_claim(&self, claim: &ClaimKey) -> &[Text] {
        self.volumes_of_claim.get(claim).map_or(&[], |volumes| volumes)
    }

    /// The node that is assumed to be selected for a claim.
    pub(crate) fn selected_node(&self, claim: &ClaimKey) -> Option<&Text> {
        self.selected_nodes.get(claim).map(|assumption| &assumption.what)
    }

    pub(crate) fn assume(&mut self, owner: &Text, bindings: &Bindings) {
        for binding in &bindings.volumes {
            let reserved = AssumedClaim {
                claim: binding.claim.clone(),
                uid: binding.claim_uid.clone(),
            };
            self.drop_volume_unless(&binding.volume, |assumption| assumption.what == reserved);
            if !self.volumes.contains_key(&binding.volume) {
                let volumes = self.volumes_of_claim.entry(binding.claim.clone()).or_default();
                volumes.push(binding.volume.clone());
            }
            own(
                self.volumes.entry(binding.volume.clone()),
                reserved,
                owner,
                binding.volume_version,
            );
        }
        for provision in &bindings.provision {
            let key = &provision.claim;
            if self.selected_node(key).is_some_and(|node| *node != bindings.node) {
                self.selected_nodes.remove(key);
            }
            let entry = self.selected_nodes.entry(key.clone());
            own(entry, bindings.node.clone(), owner, provision.claim_version);
        }
    }

    /// The watch shows a volume in this version; None: it is gone.
    pub(crate) fn volume_seen(&mut self, volume: &str, version: Option<ResourceVersion>) {
        self.drop_volume_unless(volume, |assumption| version.is_some_and(|v| v < assumption.until));
    }

    /// The watch shows a claim in this version; None: it is gone.
    pub(crate) fn claim_seen(&mut self, claim: &ClaimKey, version: Option<ResourceVersion>) {
        if let Some(assumption) = self.selected_nodes.get(claim)
            && version.is_none_or(|v| v >= assumption.until)
        {
            self.selected_nodes.remove(claim);
        }
    }

    fn drop_volume_unless(&mut self, volume: &str, keep: impl FnOnce(&Assumption<AssumedClaim>) -> bool) {
        if self.volumes.get(volume).is_none_or(keep) {
            return;
        }
        if let Some(assumption) = self.volumes.remove(volume)
            && let Entry::Occupied(mut volumes) = self.volumes_of_claim.entry(assumption.what.claim)
        {
            volumes.get_mut().retain(|v| **v != *volume);
            if volumes.get().is_empty() {
                volumes.remove();
            }
        }
    }
}

fn own<K, T>(entry: Entry<'_, K, Assumption<T>>, what: T, owner: &Text, version: ResourceVersion) {
    let assumption = entry.or_insert_with(|| Assumption {
        what,
        owners: SmallVec::new(),
        until: version + 1,
        written: false,
    });
    if !assumption.owners.contains(owner) {
        assumption.owners.push(owner.clone());
    }
}

/// Takes an owner off; whether nobody is left who relies on it.
fn disown<T>(assumption: &mut Assumption<T>, owner: &str) -> bool {
    assumption.owners.retain(|o| **o != *owner);
    assumption.owners.is_empty() && !assumption.written
}

/// A pod's bindings, from Reserve until they are forgotten.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) bindings: Bindings,
    /// The versions in the answers to the patches, as the volumes and claims of `bindings`; 0: none, or none was needed.
    pub(crate) volume_versions: Vec<ResourceVersion>,
    pub(crate) claim_versions: Vec<ResourceVersion>,
}

impl Volumes {
    /// Assumes that `bindings` are written, for the pod with this uid.
    pub fn assume(&mut self, owner: &Text, bindings: Bindings) {
        self.assumed.assume(owner, &bindings);
        let reservation = Reservation {
            volume_versions: vec![0; bindings.volumes.len()],
            claim_versions: vec![0; bindings.provision.len()],
            bindings,
        };
        self.reservations.insert(owner.clone(), reservation);
    }

    /// What is assumed for a pod.
    pub fn bindings_of(&self, owner: &str) -> Option<&Bindings> {
        self.reservations.get(owner).map(|reservation| &reservation.bindings)
    }

    /// A volume has been written for a pod, and has this version now.
    pub fn volume_written(&mut self, owner: &str, volume: &str, version: ResourceVersion) {
        if let Some(reservation) = self.reservations.get_mut(owner) {
            let bindings = reservation.bindings.volumes.iter();
            for (binding, written) in bindings.zip(&mut reservation.volume_versions) {
                if *binding.volume == *volume {
                    *written = version;
                }
            }
        }
        if let Some(assumption) = self.assumed.volumes.get_mut(volume) {
            assumption.written = true;
            assumption.until = assumption.until.max(version);
        }
        let seen = self.volume(volume).map(|record| record.resource_version);
        self.assumed.volume_seen(volume, seen);
    }

    /// A claim has been written for a pod, and has this version now.
    pub fn claim_written(&mut self, owner: &str, claim: &ClaimKey, version: ResourceVersion) {
        if let Some(reservation) = self.reservations.get_mut(owner) {
            let provisions = reservation.bindings.provision.iter();
            for (provision, written) in provisions.zip(&mut reservation.claim_versions) {
                if provision.claim == *claim {
                    *written = version;
                }
            }
        }
        if let Some(assumption) = self.assumed.selected_nodes.get_mut(claim) {
            assumption.written = true;
            assumption.until = assumption.until.max(version);
        }
        let seen = self.claim(claim).map(|record| record.resource_version);
        self.assumed.claim_seen(claim, seen);
    }

    /// Gives up what is assumed for a pod. What was written stays assumed until the watch shows it. Gives what has changed
    /// for other pods.
    pub fn forget(&mut self, owner: &str) -> Vec<StorageEvent> {
        let Some(Reservation { bindings, .. }) = self.reservations.remove(owner) else {
            return Vec::new();
        };
        let mut freed = Vec::new();
        for binding in &bindings.volumes {
            let assumption = self.assumed.volumes.get_mut(&binding.volume);
            if assumption.is_some_and(|assumption| disown(assumption, owner)) {
                self.assumed.drop_volume_unless(&binding.volume, |_| false);
                freed.push(event_of(
                    Kind::PersistentVolume,
                    ObjectChange::Updated,
                    "",
                    &binding.volume,
                ));
            }
        }
        for Provision { claim, .. } in &bindings.provision {
            let assumption = self.assumed.selected_nodes.get_mut(claim);
            if assumption.is_some_and(|assumption| disown(assumption, owner)) {
                self.assumed.selected_nodes.remove(claim);
                freed.push(event_of(
                    Kind::PersistentVolumeClaim,
                    ObjectChange::Updated,
                    &claim.namespace,
                    &claim.name,
                ));
            }
        }
        freed
    }
}
