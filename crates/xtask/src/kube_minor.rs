//! The Kubernetes minors a control plane can be started in, and what differs between them.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

/// The environment variable by which `cargo xtask test` tells the cluster tests which minor to start.
pub const MINOR_VARIABLE: &str = "MUSTER_TEST_KUBE_MINOR";

/// A Kubernetes minor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KubeMinor {
    /// 1.35, with Workload in `scheduling.k8s.io/v1alpha1`; the one that the tests use.
    #[default]
    V1_35,
    /// 1.36, with PodGroup in `scheduling.k8s.io/v1alpha2`.
    V1_36,
    /// 1.37, with PodGroup in `scheduling.k8s.io/v1beta1`.
    V1_37,
}

impl KubeMinor {
    /// All of them, oldest first.
    pub const ALL: [KubeMinor; 3] = [KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37];

    /// The minor that the environment asks for, and 1.35 when it asks for none.
    pub fn from_environment() -> Result<KubeMinor> {
        match std::env::var(MINOR_VARIABLE) {
            Ok(text) => text
                .parse()
                .with_context(|| format!("reading the environment variable {MINOR_VARIABLE}")),
            Err(_) => Ok(KubeMinor::default()),
        }
    }

    /// The number after `1.`.
    pub fn number(self) -> u32 {
        match self {
            KubeMinor::V1_35 => 35,
            KubeMinor::V1_36 => 36,
            KubeMinor::V1_37 => 37,
        }
    }

    /// The release that is built: the newest patch all of whose staging modules can be had.
    pub fn release(self) -> &'static str {
        match self {
            KubeMinor::V1_35 => "1.35.4",
            KubeMinor::V1_36 => "1.36.3",
            KubeMinor::V1_37 => "1.37.0",
        }
    }

    /// The feature gates that turn the Workload API on, for all components alike.
    pub fn feature_gates(self) -> &'static str {
        match self {
            KubeMinor::V1_35 | KubeMinor::V1_36 => "GenericWorkload=true,GangScheduling=true",
            // Gang scheduling is part of the general gate from here on.
            KubeMinor::V1_37 => "GenericWorkload=true",
        }
    }

    /// The API versions that are off unless asked for.
    pub fn runtime_config(self) -> &'static str {
        match self {
            KubeMinor::V1_35 => "scheduling.k8s.io/v1alpha1=true",
            KubeMinor::V1_36 => "scheduling.k8s.io/v1alpha2=true",
            KubeMinor::V1_37 => "scheduling.k8s.io/v1beta1=true",
        }
    }
}

impl fmt::Display for KubeMinor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.number())
    }
}

impl FromStr for KubeMinor {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<KubeMinor> {
        match KubeMinor::ALL
            .into_iter()
            .find(|minor| minor.to_string() == text.trim())
        {
            Some(minor) => Ok(minor),
            None => bail!("no Kubernetes minor that can be started: {text:?} (there are 1.35, 1.36 and 1.37)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_minor_survives_being_written_and_read() {
        for minor in KubeMinor::ALL {
            assert_eq!(minor.to_string().parse::<KubeMinor>().unwrap(), minor);
            assert!(minor.release().starts_with(&format!("{minor}.")));
        }
    }

    #[test]
    fn another_minor_is_refused_by_name() {
        let error = "1.20".parse::<KubeMinor>().unwrap_err().to_string();
        assert!(error.contains("1.20") && error.contains("1.35"), "{error}");
    }
}
