//! Who judges: the profiles of a configuration, by the rules of a Kubernetes minor. Configurations are read once.

use muster_config::{Configuration, load_for_evaluation};
use muster_engine::Scene;
use muster_framework::rules::KubeMinor;
use muster_plugins::ProfileSpec;
use std::collections::HashMap;
use std::rc::Rc;

/// So many configurations are remembered: thousands of cases share a few.
const REMEMBERED: usize = 256;

/// What a configuration comes to.
#[derive(Debug)]
pub(super) struct Setting {
    profiles: Vec<ProfileSpec>,
    minor: KubeMinor,
    seed: u64,
    /// Somebody stated it.
    configured: bool,
}

impl Setting {
    fn read(text: &str, minor: KubeMinor, seed: Option<u64>) -> Result<Setting, String> {
        let configuration = load_for_evaluation(text).map_err(|error| error.to_string())?;
        Ok(Setting {
            profiles: configuration.profiles(minor),
            minor,
            seed: seed.unwrap_or(configuration.seed),
            configured: true,
        })
    }

    /// Whether somebody stated it: it is not the default one.
    pub(super) fn is_configured(&self) -> bool {
        self.configured
    }

    /// An empty cluster to be judged.
    pub(super) fn scene(&self) -> Scene {
        Scene::new(&self.profiles, self.minor, self.seed)
    }

    /// The scheduler name of the first profile: pods that name none, or another, are judged by it.
    pub(super) fn first_name(&self) -> &str {
        self.profiles.first().map_or("", |profile| &profile.scheduler_name)
    }

    /// Whether a profile has this name.
    pub(super) fn has_profile(&self, name: &str) -> bool {
        self.profiles.iter().any(|profile| &*profile.scheduler_name == name)
    }
}

/// Knows the configurations.
#[derive(Debug)]
pub(crate) struct Judge {
    minor: KubeMinor,
    seed: Option<u64>,
    usual: Rc<Setting>,
    known: HashMap<String, Result<Rc<Setting>, String>>,
}

/// What an empty file comes to.
const DEFAULT_CONFIGURATION: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

impl Judge {
    /// Judges by the configuration of this text, or else by the default one.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub(super) fn new(minor: KubeMinor, seed: Option<u64>, configuration: Option<&str>) -> Result<Judge, String> {
        let mut usual = Setting::read(configuration.unwrap_or(DEFAULT_CONFIGURATION), minor, seed)?;
        usual.configured = configuration.is_some();
        Ok(Judge {
            minor,
            seed,
            usual: Rc::new(usual),
            known: HashMap::new(),
        })
    }

    /// The minor whose rules count.
    pub(super) fn minor(&self) -> KubeMinor {
        self.minor
    }

    /// For an engine that decides as the configuration says.
    pub(crate) fn engine_settings(&self) -> muster_engine::Settings {
        let configuration = Configuration::default();
        muster_engine::Settings {
            profiles: self.usual.profiles.clone(),
            seed: self.usual.seed,
            leads: true,
            ..configuration.engine_settings(self.minor)
        }
    }

    /// Whether somebody stated a configuration: it is not the default one.
    pub(crate) fn is_configured(&self) -> bool {
        self.usual.is_configured()
    }

    /// What counts where nothing else is stated.
    pub(super) fn usual(&self) -> Rc<Setting> {
        Rc::clone(&self.usual)
    }

    /// What the configuration of this text comes to.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn setting(&mut self, configuration: &str) -> Result<Rc<Setting>, String> {
        if let Some(known) = self.known.get(configuration) {
            return known.clone();
        }
        if self.known.len() == REMEMBERED {
            self.known.clear();
        }
        let read = Setting::read(configuration, self.minor, self.seed).map(Rc::new);
        self.known.insert(configuration.to_owned(), read.clone());
        read
    }
}
