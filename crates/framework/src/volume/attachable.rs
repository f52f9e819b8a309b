//! Volumes as CSI drivers count them on a node: by driver and handle, in-tree ones where the node has migrated them.

use super::{CsiNodeRecord, VolumeSource};
use crate::Text;
use crate::rules::KubeMinor;
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};

/// An in-tree volume plugin that a CSI driver has taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InTreePlugin {
    /// `kubernetes.io/aws-ebs`.
    AwsEbs,
    /// `kubernetes.io/gce-pd`.
    GcePd,
    /// `kubernetes.io/cinder`.
    Cinder,
    /// `kubernetes.io/azure-disk`.
    AzureDisk,
    /// `kubernetes.io/azure-file`.
    AzureFile,
    /// `kubernetes.io/vsphere-volume`.
    Vsphere,
    /// `kubernetes.io/portworx-volume`.
    Portworx,
}

impl InTreePlugin {
    /// The plugin of this name. Source: `k8s.io/csi-translation-lib/plugins`.
    pub fn by_name(name: &str) -> Option<InTreePlugin> {
        Some(match name {
            "kubernetes.io/aws-ebs" => InTreePlugin::AwsEbs,
            "kubernetes.io/gce-pd" => InTreePlugin::GcePd,
            "kubernetes.io/cinder" => InTreePlugin::Cinder,
            "kubernetes.io/azure-disk" => InTreePlugin::AzureDisk,
            "kubernetes.io/azure-file" => InTreePlugin::AzureFile,
            "kubernetes.io/vsphere-volume" => InTreePlugin::Vsphere,
            "kubernetes.io/portworx-volume" => InTreePlugin::Portworx,
            _ => return None,
        })
    }

    /// The name of the plugin.
    pub fn name(self) -> &'static str {
        match self {
            InTreePlugin::AwsEbs => "kubernetes.io/aws-ebs",
            InTreePlugin::GcePd => "kubernetes.io/gce-pd",
            InTreePlugin::Cinder => "kubernetes.io/cinder",
            InTreePlugin::AzureDisk => "kubernetes.io/azure-disk",
            InTreePlugin::AzureFile => "kubernetes.io/azure-file",
            InTreePlugin::Vsphere => "kubernetes.io/vsphere-volume",
            InTreePlugin::Portworx => "kubernetes.io/portworx-volume",
        }
    }

    /// The CSI driver that has taken it over. Source: `k8s.io/csi-translation-lib.CSITranslator.GetCSINameFromInTreeName`.
    pub fn csi_driver(self) -> &'static str {
        match self {
            InTreePlugin::AwsEbs => "ebs.csi.aws.com",
            InTreePlugin::GcePd => "pd.csi.storage.gke.io",
            InTreePlugin::Cinder => "cinder.csi.openstack.org",
            InTreePlugin::AzureDisk => "disk.csi.azure.com",
            InTreePlugin::AzureFile => "file.csi.azure.com",
            InTreePlugin::Vsphere => "csi.vsphere.vmware.com",
            InTreePlugin::Portworx => "pxd.portworx.com",
        }
    }

    /// Whether its volumes count against the limits of the CSI driver on a node that has `csi_node`.
    ///
    /// Source: `pkg/scheduler/framework/plugins/nodevolumelimits.isCSIMigrationOn`; for Portworx, 1.35 wants the node to
    /// say so, as it did for all of them once.
    pub fn counts_as_csi(self, csi_node: Option<&CsiNodeRecord>, minor: KubeMinor) -> bool {
        let Some(csi_node) = csi_node else { return false };
        match self {
            InTreePlugin::AwsEbs | InTreePlugin::GcePd | InTreePlugin::Cinder | InTreePlugin::AzureDisk => true,
            InTreePlugin::Portworx => minor >= KubeMinor::V1_36 || csi_node.migrates(self),
            InTreePlugin::AzureFile | InTreePlugin::Vsphere => false,
        }
    }

    /// Whether its volumes are judged in translation where nodes are judged for their topology, given that the node says
    /// so. Source: `pkg/scheduler/framework/plugins/volumebinding.isCSIMigrationOnForPlugin`.
    pub fn is_translated_for_topology(self) -> bool {
        !matches!(self, InTreePlugin::AzureFile | InTreePlugin::Vsphere)
    }
}

impl CsiNodeRecord {
    /// Whether the node says that it has migrated the plugin.
    pub fn migrates(&self, plugin: InTreePlugin) -> bool {
        self.migrated_plugins.iter().any(|name| **name == *plugin.name())
    }

    /// How many volumes of a driver the node can hold, when the driver states a limit. Of several entries the last counts.
    pub fn limit(&self, driver: &str) -> Option<i64> {
        let mut stated = self.drivers.iter().rev().filter(|d| *d.name == *driver);
        stated.find_map(|d| d.limit)
    }

    /// Whether the driver is on the node.
    pub fn has_driver(&self, driver: &str) -> bool {
        self.drivers.iter().any(|d| *d.name == *driver)
    }
}

/// A volume as its driver counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachable {
    /// The CSI driver.
    pub driver: Text,
    /// The same for the same driver and handle: tells mentions of one volume from those of another.
    pub id: u64,
    /// The in-tree plugin that it comes from: it counts only where that is migrated.
    pub plugin: Option<InTreePlugin>,
}

impl Attachable {
    /// A volume with this source, which comes from the in-tree plugin of this name, or from none when that is empty. None:
    /// no driver counts it.
    pub fn of(source: &VolumeSource, plugin: &str) -> Option<Attachable> {
        let VolumeSource::Csi { driver, handle } = source else {
            return None;
        };
        if driver.is_empty() || handle.is_empty() {
            return None;
        }
        let plugin = match plugin {
            "" => None,
            name => Some(InTreePlugin::by_name(name)?),
        };
        Some(Attachable {
            driver: driver.clone(),
            id: hash((&**driver, &**handle)),
            plugin,
        })
    }

    /// A volume that is yet to be made for a claim by the provisioner of its class.
    ///
    /// Source: `nodevolumelimits.CSILimits.getCSIDriverInfoFromSC`: it counts as one that nothing else can be.
    pub(crate) fn to_be_made(provisioner: &Text, namespace: &str, claim: &str) -> Option<Attachable> {
        let plugin = InTreePlugin::by_name(provisioner);
        let driver = match plugin {
            Some(plugin) => plugin.csi_driver().into(),
            None => provisioner.clone(),
        };
        (!driver.is_empty()).then(|| Attachable {
            id: hash((&*driver, "to be made", namespace, claim)),
            driver,
            plugin,
        })
    }

    /// Whether it counts on a node that has `csi_node`.
    pub fn counts_on(&self, csi_node: Option<&CsiNodeRecord>, minor: KubeMinor) -> bool {
        self.plugin.is_none_or(|plugin| plugin.counts_as_csi(csi_node, minor))
    }
}

fn hash(content: impl Hash) -> u64 {
    let mut hasher = FxHasher::default();
    content.hash(&mut hasher);
    hasher.finish()
}
