//! The programs of a control plane: found in `KUBEBUILDER_ASSETS`, in our cache, or built with Go into that cache.
//!
//! The Go modules that pin them stand in `crates/xtask/modules`. The folder in the cache carries a hash of everything
//! that decides what comes out, so a fresh clone finds what an earlier one has built. The oracle, a Go program of our
//! own, and the tools that render and check `deploy/` are built and kept in the same way.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::kube_minor::KubeMinor;
use crate::nest::{self, Launch, Nest};
use crate::steps::workspace_root;

/// The environment variable naming a folder with ready-made binaries, as other Kubernetes projects use it.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// A program that a control plane is made of, or that `deploy/` is rendered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// The store.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The controllers: Jobs, Deployments, namespaces, service accounts.
    KubeControllerManager,
    /// Upstream's scheduler, for comparisons.
    KubeScheduler,
    /// The command line client, for humans.
    Kubectl,
    /// Plays the kubelet of simulated nodes.
    Kwok,
    /// Renders the chart.
    Helm,
    /// Runs the chart's own tests.
    HelmUnittest,
    /// Writes the chart's table of values.
    HelmDocs,
}

impl Program {
    /// The name of the binary.
    pub fn name(self) -> &'static str {
        match self {
            Program::Etcd => "etcd",
            Program::KubeApiserver => "kube-apiserver",
            Program::KubeControllerManager => "kube-controller-manager",
            Program::KubeScheduler => "kube-scheduler",
            Program::Kubectl => "kubectl",
            Program::Kwok => "kwok",
            Program::Helm => "helm",
            Program::HelmUnittest => "helm-unittest",
            Program::HelmDocs => "helm-docs",
        }
    }

    fn recipe(self, kube: KubeMinor) -> Recipe {
        let (module, package, version) = match self {
            Program::Etcd => ("etcd".to_owned(), "go.etcd.io/etcd/server/v3".to_owned(), "3.6.5"),
            Program::Kwok => ("kwok".to_owned(), "sigs.k8s.io/kwok/cmd/kwok".to_owned(), "0.8.0"),
            Program::Helm => ("helm".to_owned(), "helm.sh/helm/v3/cmd/helm".to_owned(), "3.22.0"),
            Program::HelmUnittest => {
                let package = "github.com/helm-unittest/helm-unittest/cmd/helm-unittest";
                ("helm".to_owned(), package.to_owned(), "1.1.2")
            }
            Program::HelmDocs => {
                let package = "github.com/norwoodj/helm-docs/cmd/helm-docs";
                ("helm".to_owned(), package.to_owned(), "1.14.2")
            }
            Program::KubeApiserver | Program::KubeControllerManager | Program::KubeScheduler | Program::Kubectl => (
                format!("kube-{kube}"),
                format!("k8s.io/kubernetes/cmd/{}", self.name()),
                kube.release(),
            ),
        };
        let module_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("modules").join(&module);
        Recipe {
            name: self.name(),
            cache_name: format!("{module}-{version}"),
            sources: ["go.mod", "go.sum"].map(|file| module_dir.join(file)).to_vec(),
            module_dir,
            package,
            version,
            link_flags: self.link_flags(kube),
            first_build: self.first_build(),
        }
    }

    fn link_flags(self, kube: KubeMinor) -> String {
        match self {
            Program::Etcd | Program::Kwok | Program::HelmDocs => "-s -w".to_owned(),
            Program::Helm | Program::HelmUnittest => helm_link_flags(),
            Program::KubeApiserver | Program::KubeControllerManager | Program::KubeScheduler | Program::Kubectl => {
                kube_link_flags(kube)
            }
        }
    }

    /// How long a first build takes on two cores.
    fn first_build(self) -> &'static str {
        match self {
            Program::Etcd => "less than a minute",
            Program::KubeApiserver => "about 3 minutes",
            Program::Helm => "about 2 minutes",
            _ => "about a minute",
        }
    }
}

/// Without the version stamp the servers call themselves v0.0.0, and clients that ask for it believe them.
fn kube_link_flags(kube: KubeMinor) -> String {
    let version = "-X k8s.io/component-base/version.git";
    format!(
        "-s -w {version}Version=v{} {version}Major=1 {version}Minor={}",
        kube.release(),
        kube.number()
    )
}

/// Without them Helm takes itself for one of 2020, for which our chart is too new.
fn helm_link_flags() -> String {
    let newest = KubeMinor::V1_37.number();
    let versions = ["chartutil", "lint/rules"].map(|package| {
        let version = format!("-X helm.sh/helm/v3/pkg/{package}.k8sVersion");
        format!("{version}Major=1 {version}Minor={newest}")
    });
    format!("-s -w {}", versions.join(" "))
}

/// How a program is built.
struct Recipe {
    /// The name of the binary.
    name: &'static str,
    /// What its folder in the cache begins with.
    cache_name: String,
    /// The folder with the `go.mod`.
    module_dir: PathBuf,
    /// The files that decide what comes out.
    sources: Vec<PathBuf>,
    /// The Go package of the program.
    package: String,
    version: &'static str,
    link_flags: String,
    /// How long a first build takes on two cores.
    first_build: &'static str,
}

impl Recipe {
    /// The folder in the cache, by everything that decides what comes out but the Go release: that one is not worth
    /// building everything anew.
    fn cache_key(&self) -> Result<String> {
        let mut hash = Fnv::default();
        for path in &self.sources {
            hash.add(&fs::read(path).with_context(|| format!("reading {}", path.display()))?);
        }
        for text in [
            env::consts::OS,
            env::consts::ARCH,
            &self.link_flags,
            &BUILD_FLAGS.join(" "),
        ] {
            hash.add(text.as_bytes());
        }
        Ok(format!("{}-{:016x}", self.cache_name, hash.0))
    }
}

/// Where the Go sources of the oracle stand, from the root of the workspace: what all minors share, and a module for each.
const ORACLE_SOURCES: &str = "tests/oracle/upstream";

/// The program that answers as upstream's scheduler of that minor does; see docs/testing.md.
fn oracle_recipe(kube: KubeMinor) -> Result<Recipe> {
    let sources = workspace_root().join(ORACLE_SOURCES);
    let module = format!("kube-{kube}");
    let mut files = Vec::new();
    for folder in [sources.join("common"), sources.join(&module)] {
        add_go_files(&folder, &mut files)?;
    }
    files.sort();
    Ok(Recipe {
        name: "kube-oracle",
        cache_name: format!("oracle-{kube}"),
        module_dir: sources.join(module),
        sources: files,
        package: ".".to_owned(),
        version: kube.release(),
        link_flags: "-s -w".to_owned(),
        first_build: "about 2 minutes",
    })
}

fn add_go_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let reading = || format!("reading the folder {}", folder.display());
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.is_dir() {
            add_go_files(&path, files)?;
        } else if ["go", "mod", "sum"]
            .iter()
            .any(|end| path.extension() == Some(OsStr::new(end)))
        {
            files.push(path);
        }
    }
    Ok(())
}

/// No C compiler needed, no Go release fetched behind the developer's back, and no flags of his.
pub(crate) const GO_ENVIRONMENT: [(&str, &str); 4] = [
    ("CGO_ENABLED", "0"),
    ("GOTOOLCHAIN", "local"),
    ("GOFLAGS", ""),
    ("GOWORK", "off"),
];

/// No paths of this machine in the binaries, and never a silent change of the pinned versions.
const BUILD_FLAGS: [&str; 3] = ["-trimpath", "-buildvcs=false", "-mod=readonly"];

/// The FNV-1a hash: the standard library's may change from one Rust release to the next.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        // The length keeps two neighbours from running into each other.
        for byte in bytes.iter().copied().chain((bytes.len() as u64).to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Our folder for everything that is expensive to make again.
pub fn cache_dir() -> Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(dir) = absolute("MUSTER_CACHE_DIR") {
        return Ok(dir);
    }
    if let Some(dir) = absolute("XDG_CACHE_HOME") {
        return Ok(dir.join("muster"));
    }
    let home = absolute("HOME").context("no folder for a cache: set MUSTER_CACHE_DIR to an absolute path")?;
    Ok(home.join(".cache/muster"))
}

/// Where the program is, after building it if need be.
pub fn ensure(program: Program, kube: KubeMinor) -> Result<PathBuf> {
    if let Some(path) = asset(program) {
        check_minor(program, kube, &path)?;
        return Ok(path);
    }
    ensure_built(&program.recipe(kube))
}

/// Where the oracle of that minor is, after building it if need be.
pub fn ensure_oracle(kube: KubeMinor) -> Result<PathBuf> {
    ensure_built(&oracle_recipe(kube)?)
}

fn ensure_built(recipe: &Recipe) -> Result<PathBuf> {
    let folder = cache_dir()?.join("bin").join(recipe.cache_key()?);
    let path = folder.join(recipe.name);
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(&folder).with_context(|| format!("making the folder {}", folder.display()))?;
    // Two builds at once would do the work twice; the lock ends with its holder, whatever that one dies of.
    let lock_path = folder.join(".lock");
    let lock = File::create(&lock_path).with_context(|| format!("opening {}", lock_path.display()))?;
    lock.lock()
        .with_context(|| format!("locking {}", lock_path.display()))?;
    if !path.exists() {
        build(recipe, &path)?;
    }
    Ok(path)
}

fn asset(program: Program) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(ASSETS_VARIABLE)?).join(program.name());
    path.is_file().then_some(path)
}

/// A binary of another minor would stop at a flag that it doesn't know, with a message that helps nobody.
fn check_minor(program: Program, kube: KubeMinor, path: &Path) -> Result<()> {
    let has_minor = matches!(
        program,
        Program::KubeApiserver | Program::KubeControllerManager | Program::KubeScheduler
    );
    if !has_minor {
        return Ok(());
    }
    let output = Command::new(path).arg("--version").output();
    let output = output.with_context(|| format!("asking {} for its version", path.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.contains(&format!("v{kube}.")) {
        let found = text.trim();
        bail!(
            "{ASSETS_VARIABLE} holds {} of {found:?}, but Kubernetes {kube} was asked for",
            program.name()
        );
    }
    Ok(())
}

fn build(recipe: &Recipe, path: &Path) -> Result<()> {
    let name = recipe.name;
    check_go(recipe)?;
    progress(&format!(
        "building {name} {} ({} the first time) …",
        recipe.version, recipe.first_build
    ));
    let started = Instant::now();
    // Built in a nest, so that an interrupted build leaves neither compilers running nor temporary files behind.
    let parent = cache_dir()?;
    let nest = Nest::create(&parent.join(format!("build-{}-{name}", crate::unique())))?;
    let built = nest.dir().join(name);
    let mut process = nest.launch(&go_build(recipe, &nest, &built))?;
    let status = loop {
        if let Some(status) = process.wait(Duration::from_secs(3600))? {
            break status;
        }
    };
    if !status.success() {
        bail!(
            "building {name} {} failed; the end of what Go said:\n{}",
            recipe.version,
            nest::tail(&process.log(), 20)
        );
    }
    fs::rename(&built, path).with_context(|| format!("moving the built {name} to {}", path.display()))?;
    progress(&format!("built {name} in {} s", started.elapsed().as_secs()));
    Ok(())
}

fn go_build(recipe: &Recipe, nest: &Nest, output: &Path) -> Launch {
    let mut args = vec!["build".to_owned()];
    args.extend(BUILD_FLAGS.map(str::to_owned));
    args.extend(["-ldflags".to_owned(), recipe.link_flags.clone()]);
    args.extend(["-o".to_owned(), output.display().to_string(), recipe.package.clone()]);
    let temporary = nest.dir().display().to_string();
    let environment = GO_ENVIRONMENT.into_iter().chain([("GOTMPDIR", temporary.as_str())]);
    let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Launch {
        name: "go-build".to_owned(),
        program: "go".into(),
        args,
        environment: environment.collect(),
        working_dir: Some(recipe.module_dir.clone()),
    }
}

/// One sentence that says what is missing, instead of what the shell would say.
fn check_go(recipe: &Recipe) -> Result<()> {
    let path = recipe.module_dir.join("go.mod");
    let module = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let needed = module
        .lines()
        .find_map(|line| line.strip_prefix("go "))
        .and_then(go_release);
    let needed = needed.with_context(|| format!("{} names no Go release", path.display()))?;
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .output()
        .ok();
    let output = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let found = output.as_deref().and_then(go_release);
    if found.is_some_and(|found| needed <= found) {
        return Ok(());
    }
    let has = found.map_or("there is none on the PATH".to_owned(), |(major, minor)| {
        format!("this one is {major}.{minor}")
    });
    bail!(
        "building {} {} needs Go {}.{} or newer ({has}): install Go, or point {ASSETS_VARIABLE} at a folder with the binary",
        recipe.name,
        recipe.version,
        needed.0,
        needed.1,
    )
}

/// Major and minor of a Go release such as `go1.26.8` or `1.25.0`.
fn go_release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().trim_start_matches("go").split(['.', ' ', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn progress(message: &str) {
    eprintln!("{message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_releases_are_read_and_compared_as_numbers() {
        for (text, expected) in [
            ("go1.26.8", Some((1, 26))),
            ("1.25.0", Some((1, 25))),
            ("go1.27", Some((1, 27))),
            ("go1.26.8 X:nodwarf5", Some((1, 26))),
            ("devel", None),
            ("", None),
        ] {
            assert_eq!(go_release(text), expected, "{text}");
        }
        assert!(go_release("1.9") < go_release("1.10"));
    }

    #[test]
    fn every_minor_is_stamped_with_its_release() {
        for kube in KubeMinor::ALL {
            let flags = Program::KubeApiserver.recipe(kube).link_flags;
            assert!(flags.contains(&format!("gitVersion=v{}", kube.release())), "{flags}");
            assert!(flags.contains(&format!("gitMinor={}", kube.number())), "{flags}");
        }
    }

    #[test]
    fn every_recipe_has_a_module_that_pins_its_version() {
        let programs = [
            Program::Etcd,
            Program::KubeApiserver,
            Program::KubeControllerManager,
            Program::KubeScheduler,
            Program::Kubectl,
            Program::Kwok,
            Program::Helm,
            Program::HelmUnittest,
            Program::HelmDocs,
        ];
        for kube in KubeMinor::ALL {
            for program in programs {
                let recipe = program.recipe(kube);
                let module = fs::read_to_string(recipe.module_dir.join("go.mod")).unwrap();
                assert!(
                    module.contains(&format!(" v{}", recipe.version)),
                    "{} {kube}",
                    program.name()
                );
                assert!(module.contains(&recipe.package), "{} {kube}", program.name());
                assert!(recipe.cache_key().unwrap().starts_with(&recipe.cache_name));
            }
        }
    }

    #[test]
    fn the_oracle_is_built_from_its_own_module_and_what_all_share() {
        let keys: Vec<String> = KubeMinor::ALL
            .into_iter()
            .map(|kube| {
                let recipe = oracle_recipe(kube).unwrap();
                assert!(recipe.sources.contains(&recipe.module_dir.join("go.sum")));
                assert!(recipe.sources.iter().any(|path| path.ends_with("common/go.mod")));
                recipe.cache_key().unwrap()
            })
            .collect();
        assert!(keys[0] != keys[1] && keys[1] != keys[2]);
    }

    #[test]
    fn a_changed_input_changes_the_key() {
        let hash = |parts: &[&str]| {
            let mut hash = Fnv::default();
            parts.iter().for_each(|part| hash.add(part.as_bytes()));
            hash.0
        };
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["a"]), hash(&["b"]));
        assert_eq!(hash(&["a"]), hash(&["a"]));
    }
}
