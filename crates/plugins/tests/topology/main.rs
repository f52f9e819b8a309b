//! PodTopologySpread and InterPodAffinity against upstream's rules: small clusters, written as text.

mod affinity;
mod hints;
mod preferences;
mod scene;
mod soft_spread;
mod spread;
