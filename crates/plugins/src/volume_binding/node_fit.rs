//! Whether a pod's claims can be served on a node, and by which volumes.

use super::pod_claims::PodClaims;
use muster_framework::Text;
use muster_framework::labels::Labels;
use muster_framework::rejection::Reason;
use muster_framework::selector::NodeSelectorTerm;
use muster_framework::table::NodeOrd;
use muster_framework::view::View;
use muster_framework::volume::{ClaimRecord, StorageCapacityRecord, StorageClassRecord, VolumePhase, VolumeRecord};
use smallvec::SmallVec;

/// The provisioner of classes that have none.
/// Source: `k8s.io/component-helpers/storage/volume.NotSupportedProvisioner`.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// What stands against a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Conflicts {
    /// A bound volume cannot be used there.
    node: bool,
    /// A claim finds no volume, and none can be made for it.
    bind: bool,
    /// Too little space is left for a volume to be made.
    space: bool,
    /// A claim is bound to a volume that is not there.
    no_volume: bool,
}

impl Conflicts {
    /// In upstream's words, in its order. Source: `volumeBinder.FindPodVolumes`.
    pub(super) fn reasons(self) -> SmallVec<[Reason; 4]> {
        let all = [
            (self.node, "node(s) didn't match PersistentVolume's node affinity"),
            (self.bind, "node(s) didn't find available persistent volumes to bind"),
            (self.space, "node(s) did not have enough free storage"),
            (
                self.no_volume,
                "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
            ),
        ];
        let given = all.into_iter().filter(|(given, _)| *given);
        given.map(|(_, text)| Reason::Sentence(text)).collect()
    }
}

/// What serves the claims that wait, on one node.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// Volumes that are there.
    pub(super) volumes: Vec<(&'a ClaimRecord, &'a VolumeRecord)>,
    /// Claims that volumes are made for, with the capacity that they are taken from where that is known.
    pub(super) provision: Vec<(&'a ClaimRecord, Option<&'a StorageCapacityRecord>)>,
}

/// A claim for which a volume is sought.
struct Seeker<'a> {
    claim: &'a ClaimRecord,
    class: &'a StorageClassRecord,
    /// Volumes that are reserved for it and could serve it, wherever they are.
    reserved: SmallVec<[&'a VolumeRecord; 2]>,
}

/// The pod's claims, looked up once for all nodes.
pub(super) struct NodeFit<'v, 'a> {
    view: &'v View<'a>,
    /// The volumes of bound claims, in their order; None: not there.
    bound: Vec<Option<&'a VolumeRecord>>,
    /// Claims whose node is selected, with the node's name.
    selected: Vec<(&'a ClaimRecord, &'a StorageClassRecord, &'a Text)>,
    /// The others, smallest first.
    seekers: Vec<Seeker<'a>>,
}

impl<'v, 'a> NodeFit<'v, 'a> {
    pub(super) fn new(claims: &PodClaims<'a>, view: &'v View<'a>) -> NodeFit<'v, 'a> {
        let store = view.table().volumes();
        let mut selected = Vec::new();
        let mut seekers = Vec::new();
        for (claim, class) in &claims.delayed {
            match view.selected_node(claim) {
                Some(node) => selected.push((*claim, *class, node)),
                None => seekers.push(Seeker::new(claim, class, view)),
            }
        }
        seekers.sort_by_key(|seeker| seeker.claim.request);
        NodeFit {
            view,
            bound: claims.bound.iter().map(|claim| store.volume(&claim.volume)).collect(),
            selected,
            seekers,
        }
    }

    /// What serves the claims on the node; what stands against it.
    ///
    /// Source: `volumeBinder.FindPodVolumes`.
    pub(super) fn on(&self, node: NodeOrd) -> Result<Found<'a>, Conflicts> {
        let mut conflicts = self.conflicts_of_bound(node);
        let mut found = Found::default();
        let name = self.view.table().name(node);
        if self.selected.iter().any(|(_, _, selected)| *selected != name) {
            conflicts.bind = true;
            return Err(conflicts);
        }
        if !self.selected.is_empty() || !self.seekers.is_empty() {
            let unserved = self.serve(node, &mut found);
            let selected = self.selected.iter().map(|(claim, class, _)| (*claim, *class));
            let unserved = unserved.into_iter().map(|seeker| (seeker.claim, seeker.class));
            for (claim, class) in selected.chain(unserved) {
                match self.provision(node, claim, class) {
                    Ok(capacity) => found.provision.push((claim, capacity)),
                    Err(conflict) => {
                        conflicts.bind = conflict.bind;
                        conflicts.space = conflict.space;
                        break;
                    }
                }
            }
        }
        if conflicts == Conflicts::default() {
            Ok(found)
        } else {
            Err(conflicts)
        }
    }

    /// Source: `volumeBinder.checkBoundClaims`: the first claim in the way decides.
    fn conflicts_of_bound(&self, node: NodeOrd) -> Conflicts {
        let (table, mut conflicts) = (self.view.table(), Conflicts::default());
        if self.bound.is_empty() {
            return conflicts;
        }
        let (labels, csi_node) = (table.labels(node), table.volumes().csi_node(node));
        let in_the_way =
            |volume: &&Option<&VolumeRecord>| volume.is_none_or(|v| !v.allows_translated(labels, csi_node));
        match self.bound.iter().find(in_the_way) {
            Some(Some(_)) => conflicts.node = true,
            Some(None) => conflicts.no_volume = true,
            None => {}
        }
        conflicts
    }

    /// Finds volumes that are there; gives the claims that are left.
    ///
    /// Source: `volumeBinder.findMatchingVolumes`.
    fn serve(&self, node: NodeOrd, found: &mut Found<'a>) -> SmallVec<[&Seeker<'a>; 4]> {
        let labels = self.view.table().labels(node);
        let mut unserved = SmallVec::new();
        for seeker in &self.seekers {
            let is_taken = |volume: &VolumeRecord| found.volumes.iter().any(|(_, taken)| taken.name == volume.name);
            match seeker.volume_for(self.view, labels, is_taken) {
                Some(volume) => found.volumes.push((seeker.claim, volume)),
                None => unserved.push(seeker),
            }
        }
        unserved
    }

    /// Whether a volume can be made for the claim on the node, and from which capacity where that is known.
    ///
    /// Source: `volumeBinder.checkVolumeProvisions`.
    fn provision(
        &self,
        node: NodeOrd,
        claim: &ClaimRecord,
        class: &StorageClassRecord,
    ) -> Result<Option<&'a StorageCapacityRecord>, Conflicts> {
        let labels = self.view.table().labels(node);
        let bind = Conflicts {
            bind: true,
            ..Conflicts::default()
        };
        let has_provisioner = !class.provisioner.is_empty() && *class.provisioner != *NO_PROVISIONER;
        if !has_provisioner || !is_allowed(&class.allowed_topologies, labels) {
            return Err(bind);
        }
        let store = self.view.table().volumes();
        let driver = store.csi_driver(&class.provisioner);
        // The API server lets no claim ask for nothing, so that 0 means that it states nothing.
        if claim.request <= 0 || !driver.is_some_and(|driver| driver.storage_capacity) {
            return Ok(None);
        }
        let suffices = |capacity: &StorageCapacityRecord| {
            let limit = capacity.maximum_volume_size.or(capacity.capacity);
            let topology = capacity.node_topology.as_ref();
            limit.is_some_and(|limit| limit >= claim.request) && topology.is_some_and(|t| t.matches(labels))
        };
        match store.capacity(&class.name, labels, suffices) {
            Some(capacity) => Ok(Some(capacity)),
            None => Err(Conflicts {
                space: true,
                ..Conflicts::default()
            }),
        }
    }
}

/// Source: `pkg/apis/core/v1/helper.MatchTopologySelectorTerms`.
fn is_allowed(topologies: &[NodeSelectorTerm], labels: &Labels) -> bool {
    topologies.is_empty() || topologies.iter().any(|term| term.matches("", labels))
}

/// The search. Source: `k8s.io/component-helpers/storage/volume.FindMatchingVolume`.
impl<'a> Seeker<'a> {
    fn new(claim: &'a ClaimRecord, class: &'a StorageClassRecord, view: &View<'a>) -> Seeker<'a> {
        let mut reserved = view.reserved_for(claim);
        reserved.retain(|volume| volume.storage_class == class.name && could_serve(volume, claim));
        Seeker { claim, class, reserved }
    }

    /// The volume that is reserved for the claim if it can be used on a node with these labels; only when none is reserved,
    /// the smallest other.
    fn volume_for(
        &self,
        view: &View<'a>,
        labels: &Labels,
        is_taken: impl Fn(&VolumeRecord) -> bool,
    ) -> Option<&'a VolumeRecord> {
        if let Some(reserved) = self.reserved.iter().find(|volume| !is_taken(volume)) {
            return reserved.allows(labels).then_some(*reserved);
        }
        let table = view.table();
        let claim = self.claim;
        let accept = |volume: &'a VolumeRecord| {
            !is_taken(volume)
                && view.reserved(volume).is_none()
                && volume.phase == VolumePhase::Available
                && could_serve(volume, claim)
                && claim.selector.as_ref().is_none_or(|s| s.matches(&volume.labels))
                && volume.access_modes.contain(claim.access_modes)
                && volume.allows(labels)
        };
        table
            .volumes()
            .smallest_free_volume(&self.class.name, labels, claim.request, accept)
    }
}

/// What must hold whether or not the volume is reserved for the claim.
fn could_serve(volume: &VolumeRecord, claim: &ClaimRecord) -> bool {
    volume.capacity >= claim.request
        && volume.block == claim.block
        && volume.attributes_class == claim.attributes_class
        && !volume.terminating
}
