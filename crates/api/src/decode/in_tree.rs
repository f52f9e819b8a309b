//! Disks of cloud providers named the old way, and the CSI volumes that they are today.
//!
//! Source: `k8s.io/csi-translation-lib/plugins`, for the five plugins that kube-scheduler takes for migrated
//! (`isCSIMigrationOn` of NodeVolumeLimits, `isCSIMigrationOnForPlugin` of VolumeBinding).

use muster_framework::labels::Labels;
use muster_framework::selector::{NodeSelectorTerm, Operator, Requirement};
use std::borrow::Cow;

/// An in-tree plugin, and the CSI driver that has taken its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InTreePlugin {
    /// As nodes list it among the migrated ones.
    pub(super) name: &'static str,
    /// The CSI driver.
    pub(super) driver: &'static str,
    /// The driver's own label for zones; none: the driver's volumes are not translated by zone.
    zone_key: Option<&'static str>,
}

pub(super) const GCE_PD: InTreePlugin = InTreePlugin {
    name: "kubernetes.io/gce-pd",
    driver: "pd.csi.storage.gke.io",
    zone_key: Some("topology.gke.io/zone"),
};
pub(super) const AWS_EBS: InTreePlugin = InTreePlugin {
    name: "kubernetes.io/aws-ebs",
    driver: "ebs.csi.aws.com",
    zone_key: Some("topology.ebs.csi.aws.com/zone"),
};
pub(super) const AZURE_DISK: InTreePlugin = InTreePlugin {
    name: "kubernetes.io/azure-disk",
    driver: "disk.csi.azure.com",
    zone_key: None,
};
pub(super) const CINDER: InTreePlugin = InTreePlugin {
    name: "kubernetes.io/cinder",
    driver: "cinder.csi.openstack.org",
    zone_key: Some("topology.cinder.csi.openstack.org/zone"),
};
pub(super) const PORTWORX: InTreePlugin = InTreePlugin {
    name: "kubernetes.io/portworx-volume",
    driver: "pxd.portworx.com",
    zone_key: None,
};

const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";
const BETA_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
const BETA_REGION: &str = "failure-domain.beta.kubernetes.io/region";
/// Between the zones of one label.
const ZONE_SEPARATOR: &str = "__";

/// The handle of a GCE disk named in a pod: nobody says in which zone it is.
pub(super) fn gce_handle(name: &str) -> String {
    format!("projects/UNSPECIFIED/zones/UNSPECIFIED/disks/{name}")
}

/// The handle of a GCE disk behind a volume with these labels; None if its zones are no zones of one region.
pub(super) fn gce_volume_handle(name: &str, labels: &Labels) -> Option<String> {
    let label = |key| labels.get(key).map(|value| &**value).filter(|value| !value.is_empty());
    let Some(zones) = label(BETA_ZONE).or_else(|| label(ZONE)) else {
        return Some(gce_handle(name));
    };
    if !zones.contains(ZONE_SEPARATOR) {
        return Some(format!("projects/UNSPECIFIED/zones/{zones}/disks/{name}"));
    }
    let mut regions = zones.split(ZONE_SEPARATOR).map(gce_region);
    let region = regions.next()??;
    regions
        .all(|other| other == Some(region))
        .then(|| format!("projects/UNSPECIFIED/regions/{region}/disks/{name}"))
}

/// `us-east1` of `us-east1-b`: a zone has three parts.
fn gce_region(zone: &str) -> Option<&str> {
    let (region, _) = zone.rsplit_once('-')?;
    (region.matches('-').count() == 1).then_some(region)
}

/// The handle of an AWS disk: the id, or the last part of `aws://zone/id`; None if that is no id.
/// Source: `KubernetesVolumeIDToEBSVolumeID`.
pub(super) fn aws_handle(id: &str) -> Option<Cow<'_, str>> {
    let Some(rest) = id.strip_prefix("aws://") else {
        return Some(id.into());
    };
    let (_, path) = rest.split_once('/')?;
    let path = path.split(['?', '#']).next()?.trim_matches('/');
    (path.starts_with("vol-") && !path.contains('/')).then(|| path.into())
}

/// Whether an Azure disk of this kind is one that CSI knows.
pub(super) fn azure_disk_is_managed(kind: Option<&str>) -> bool {
    kind.is_none_or(|kind| kind.eq_ignore_ascii_case("managed"))
}

impl InTreePlugin {
    /// The node affinity that a volume has on nodes that have migrated the plugin: zones by the driver's own label, and
    /// regions by the label of today. None where that is no different.
    /// Source: `translateTopologyFromInTreeToCSI`.
    pub(super) fn migrated_affinity(
        self,
        terms: Option<&[NodeSelectorTerm]>,
        labels: &Labels,
    ) -> Option<Box<[NodeSelectorTerm]>> {
        let zone_key = self.zone_key?;
        let stated = terms.unwrap_or_default();
        let (zone, region) = topology_labels(stated, labels);
        let mut terms = stated.to_vec();
        if names_values(stated, zone) {
            rename(&mut terms, zone, zone_key);
        } else if let Some(zones) = labels.get(zone) {
            require_zones(&mut terms, zone_key, zones);
        }
        if region == BETA_REGION && names_values(stated, region) {
            rename(&mut terms, region, REGION);
        }
        (terms != stated).then(|| terms.into())
    }
}

/// Which labels the volume knows zones and regions by: those of today, unless it has only the old ones.
/// Source: `getTopologyLabel`.
fn topology_labels(terms: &[NodeSelectorTerm], labels: &Labels) -> (&'static str, &'static str) {
    let named = |key: &str| {
        terms
            .iter()
            .any(|term| term.match_expressions.iter().any(|r| *r.key == *key))
    };
    let is_old = !named(ZONE) && (named(BETA_ZONE) || (labels.get(ZONE).is_none() && labels.get(BETA_ZONE).is_some()));
    if is_old {
        (BETA_ZONE, BETA_REGION)
    } else {
        (ZONE, REGION)
    }
}

fn names_values(terms: &[NodeSelectorTerm], key: &str) -> bool {
    let requirements = terms.iter().flat_map(|term| &term.match_expressions);
    requirements.into_iter().any(|r| *r.key == *key && !r.values.is_empty())
}

fn rename(terms: &mut [NodeSelectorTerm], from: &str, to: &str) {
    for requirement in terms.iter_mut().flat_map(|term| &mut term.match_expressions) {
        if *requirement.key == *from {
            requirement.key = to.into();
        }
    }
}

/// Adds the zones of a label to every term.
fn require_zones(terms: &mut Vec<NodeSelectorTerm>, zone_key: &str, label: &str) {
    let mut zones: Vec<&str> = label
        .split(ZONE_SEPARATOR)
        .map(str::trim)
        .filter(|z| !z.is_empty())
        .collect();
    zones.sort_unstable();
    zones.dedup();
    if zones.is_empty() {
        return;
    }
    let requirement = Requirement {
        key: zone_key.into(),
        operator: Operator::In,
        values: zones.into_iter().map(Into::into).collect(),
    };
    if terms.is_empty() {
        terms.push(NodeSelectorTerm::default());
    }
    for term in terms {
        let mut requirements = std::mem::take(&mut term.match_expressions).into_vec();
        requirements.push(requirement.clone());
        term.match_expressions = requirements.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    fn term(key: &str, values: &[&str]) -> NodeSelectorTerm {
        NodeSelectorTerm {
            match_expressions: Box::new([Requirement {
                key: key.into(),
                operator: Operator::In,
                values: values.iter().map(|v| (*v).into()).collect(),
            }]),
            match_fields: Box::new([]),
        }
    }

    #[test]
    fn gce_handles_name_zone_or_region() {
        let handle = |zones: &str| gce_volume_handle("d", &labels(&[(ZONE, zones)]));
        assert_eq!(
            gce_volume_handle("d", &labels(&[])).as_deref(),
            Some("projects/UNSPECIFIED/zones/UNSPECIFIED/disks/d")
        );
        assert_eq!(
            handle("us-east1-b").as_deref(),
            Some("projects/UNSPECIFIED/zones/us-east1-b/disks/d")
        );
        assert_eq!(
            handle("us-east1-b__us-east1-c").as_deref(),
            Some("projects/UNSPECIFIED/regions/us-east1/disks/d")
        );
        assert_eq!(handle("us-east1-b__us-west1-c"), None);
        assert_eq!(handle("a__b"), None);
    }

    #[test]
    fn aws_handles_are_ids() {
        for (id, handle) in [
            ("vol-1", Some("vol-1")),
            ("aws://us-east-1a/vol-1", Some("vol-1")),
            ("aws:///vol-1", Some("vol-1")),
            ("aws://us-east-1a/disk-1", None),
            ("aws://us-east-1a/vol-1/x", None),
            ("aws://", None),
        ] {
            assert_eq!(aws_handle(id).as_deref(), handle, "{id}");
        }
    }

    #[test]
    fn zones_are_translated_to_the_drivers_label() {
        let driver = AWS_EBS.zone_key.expect("a key");
        let old = labels(&[(BETA_ZONE, "b__a__a"), (BETA_REGION, "r")]);
        let migrated = |terms: &[NodeSelectorTerm], labels: &Labels| AWS_EBS.migrated_affinity(Some(terms), labels);
        assert_eq!(
            migrated(&[term(ZONE, &["a"])], &old).as_deref(),
            Some(&[term(driver, &["a"])][..])
        );
        assert_eq!(
            migrated(&[term(BETA_ZONE, &["a"]), term(BETA_REGION, &["r"])], &labels(&[])).as_deref(),
            Some(&[term(driver, &["a"]), term(REGION, &["r"])][..])
        );
        assert_eq!(migrated(&[], &old).as_deref(), Some(&[term(driver, &["a", "b"])][..]));
        assert_eq!(migrated(&[term("rack", &["1"])], &labels(&[])), None);
        assert_eq!(AZURE_DISK.migrated_affinity(None, &old), None);
    }
}
