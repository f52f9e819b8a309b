//! Which Kubernetes minor's rules and words are followed, where the minors differ.

/// A minor release of Kubernetes 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KubeMinor(pub u8);

impl KubeMinor {
    /// Kubernetes 1.35.
    pub const V1_35: KubeMinor = KubeMinor(35);
    /// Kubernetes 1.36.
    pub const V1_36: KubeMinor = KubeMinor(36);
    /// Kubernetes 1.37.
    pub const V1_37: KubeMinor = KubeMinor(37);
}

impl Default for KubeMinor {
    /// The newest one known.
    fn default() -> Self {
        KubeMinor::V1_37
    }
}

impl std::fmt::Display for KubeMinor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "1.{}", self.0)
    }
}
