//! How far the bindings of a pod have come, and which nodes a volume can be used on.

use super::assumed::{BindingState, Provision, StaticBinding};
use super::attachable::InTreePlugin;
use super::{ClaimRecord, CsiNodeRecord, VolumeRecord};
use crate::labels::Labels;
use crate::record::{ClaimKey, ResourceVersion};
use crate::table::{NodeOrd, NodeTable};

impl VolumeRecord {
    /// Whether the volume's own node affinity allows a node with these labels, an in-tree source not translated.
    ///
    /// Source: `k8s.io/component-helpers/storage/volume.CheckNodeAffinity`, which shows the terms no name of a node, so that
    /// requirements on fields hold.
    pub fn allows(&self, labels: &Labels) -> bool {
        allows(self.node_affinity.as_deref(), labels)
    }

    /// The same, an in-tree source translated where the node says that it has migrated the plugin.
    ///
    /// Source: `pkg/scheduler/framework/plugins/volumebinding.volumeBinder.tryTranslatePVToCSI`.
    pub fn allows_translated(&self, labels: &Labels, csi_node: Option<&CsiNodeRecord>) -> bool {
        let translated = self.migrated_node_affinity.as_deref().filter(|_| {
            let plugin = InTreePlugin::by_name(&self.in_tree).filter(|p| p.is_translated_for_topology());
            plugin.is_some_and(|plugin| csi_node.is_some_and(|node| node.migrates(plugin)))
        });
        allows(translated.or(self.node_affinity.as_deref()), labels)
    }
}

fn allows(terms: Option<&[crate::selector::NodeSelectorTerm]>, labels: &Labels) -> bool {
    terms.is_none_or(|terms| {
        terms.iter().any(|term| {
            let mut requirements = term.match_expressions.iter();
            !term.is_empty() && requirements.all(|r| r.matches(labels.get(&r.key).map(|value| &**value)))
        })
    })
}

impl ClaimRecord {
    /// Whether the claim has a volume and its controller is done with it.
    /// Source: `pkg/scheduler/framework/plugins/volumebinding.volumeBinder.isPVCFullyBound`.
    pub fn is_fully_bound(&self) -> bool {
        !self.volume.is_empty() && self.bind_completed
    }
}

/// Why it does not go on: for now, or for good.
enum Halt {
    Waiting,
    Failed(String),
}

impl NodeTable {
    /// How far the bindings have come that are assumed for the pod with this uid; `Done` when none are.
    ///
    /// Source: `pkg/scheduler/framework/plugins/volumebinding.volumeBinder.checkBindings`, which looks at what the watch has
    /// shown, and never at what is assumed.
    pub fn binding_state(&self, owner: &str) -> BindingState {
        let Some(reservation) = self.volumes().reservations.get(owner) else {
            return BindingState::Done;
        };
        let bindings = &reservation.bindings;
        let Some(node) = self.by_name(&bindings.node) else {
            let name = &bindings.node;
            return failed(&format!("failed to get node {name:?}: node {name:?} not found"));
        };
        let mut volumes = bindings.volumes.iter().zip(&reservation.volume_versions);
        let mut claims = bindings.provision.iter().zip(&reservation.claim_versions);
        let checked = volumes
            .try_for_each(|(binding, written)| self.check_binding(node, binding, *written))
            .and_then(|()| claims.try_for_each(|(provision, written)| self.check_provision(node, provision, *written)));
        match checked {
            Ok(()) => BindingState::Done,
            Err(Halt::Waiting) => BindingState::Waiting,
            Err(Halt::Failed(why)) => failed(&why),
        }
    }

    fn check_binding(&self, node: NodeOrd, binding: &StaticBinding, written: ResourceVersion) -> Result<(), Halt> {
        let Some(volume) = self.volumes().volume(&binding.volume) else {
            let name = &binding.volume;
            return fail(format!("failed to check binding: persistentvolumes {name:?} not found"));
        };
        let claim = self.claim_or("failed to check binding", &binding.claim)?;
        if binding.write && (written == 0 || volume.resource_version < written) {
            return Err(Halt::Waiting);
        }
        self.check_topology(node, volume)?;
        if volume.claim.as_ref().is_none_or(|claim| claim.uid.is_empty()) {
            return fail(format!("ClaimRef got reset for pv {:?}", volume.name));
        }
        if claim.is_fully_bound() {
            Ok(())
        } else {
            Err(Halt::Waiting)
        }
    }

    fn check_provision(&self, node: NodeOrd, provision: &Provision, written: ResourceVersion) -> Result<(), Halt> {
        let claim = self.claim_or("failed to check provisioning pvc", &provision.claim)?;
        if provision.write && (written == 0 || claim.resource_version < written) {
            return Err(Halt::Waiting);
        }
        if claim.selected_node != *self.name(node) {
            return fail(format!("provisioning failed for PVC {:?}", claim.key.name));
        }
        if !claim.volume.is_empty() {
            // The volume may be shown later than the claim; if it is gone for good, the claim will lose it.
            let volume = self.volumes().volume(&claim.volume).ok_or(Halt::Waiting)?;
            self.check_topology(node, volume)?;
        }
        if claim.is_fully_bound() {
            Ok(())
        } else {
            Err(Halt::Waiting)
        }
    }

    fn claim_or(&self, what: &str, key: &ClaimKey) -> Result<&ClaimRecord, Halt> {
        self.volumes().claim(key).ok_or_else(|| {
            let key = format!("{}/{}", key.namespace, key.name);
            Halt::Failed(format!("{what}: persistentvolumeclaims {key:?} not found"))
        })
    }

    fn check_topology(&self, node: NodeOrd, volume: &VolumeRecord) -> Result<(), Halt> {
        if volume.allows_translated(self.labels(node), self.volumes().csi_node(node)) {
            return Ok(());
        }
        let (volume, node) = (&volume.name, self.name(node));
        fail(format!(
            "pv {volume:?} node affinity doesn't match node {node:?}: no matching NodeSelectorTerms"
        ))
    }
}

fn fail(why: String) -> Result<(), Halt> {
    Err(Halt::Failed(why))
}

fn failed(why: &str) -> BindingState {
    BindingState::Failed(why.into())
}
