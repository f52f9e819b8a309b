//! A node table full of pods, and what judging one more pod takes: the whole profile, and beside it the bare arithmetic.

use muster_framework::Text;
use muster_framework::compiled::CompiledSpec;
use muster_framework::labels::Labels;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{PodToPlace, PreFilter};
use muster_framework::record::{
    NamespaceScope, NodeImage, NodeRecord, PodAffinityTerm, PodSpec, SpreadConstraint, WhenUnsatisfiable,
};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::resource::{Charge, ResourceList};
use muster_framework::rules::KubeMinor;
use muster_framework::selection::{PodIdentity, PodSelector, Selection, SelectionOrd};
use muster_framework::selector::{LabelSelector, Operator, Requirement};
use muster_framework::table::{ColumnOrd, Footprint, NodeOrd, NodeTable};
use muster_framework::taint::{Taint, TaintEffect};
use muster_framework::view::{Delta, View};
use muster_plugins::{Profile, ProfileSpec};

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
const N_APPS: usize = 500;

/// What a pod that is judged asks beside resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Nothing.
    Plain,
    /// A service selects it: spread by default.
    Service,
    /// To be spread evenly over zones.
    ZoneSpread,
    /// To be spread evenly over zones, if possible.
    SoftZoneSpread,
    /// To be spread evenly over nodes.
    HostnameSpread,
    /// To be spread evenly over nodes, if possible.
    SoftHostnameSpread,
    /// To be in a zone with pods of another application.
    Affinity,
    /// To be on a node with pods of another application.
    HostnameAffinity,
    /// To be in a zone without pods of an application that has none.
    ZoneAntiAffinity,
    /// To be on a node without pods of its own application.
    AntiAffinity,
    /// Two images, of which many nodes have one.
    Images,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Shape; 11] = [
        Shape::Plain,
        Shape::Service,
        Shape::ZoneSpread,
        Shape::SoftZoneSpread,
        Shape::HostnameSpread,
        Shape::SoftHostnameSpread,
        Shape::Affinity,
        Shape::HostnameAffinity,
        Shape::ZoneAntiAffinity,
        Shape::AntiAffinity,
        Shape::Images,
    ];
}

pub(crate) fn app(n: usize) -> Labels {
    [("app", format!("app-{}", n % N_APPS))].into_iter().collect()
}

pub(crate) fn selects_app(n: usize) -> LabelSelector {
    selects(&format!("app-{}", n % N_APPS))
}

fn selects(app: &str) -> LabelSelector {
    LabelSelector {
        requirements: Box::new([Requirement {
            key: "app".into(),
            operator: Operator::In,
            values: Box::new([app.into()]),
        }]),
    }
}

fn term(selector: LabelSelector, topology_key: &str) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: Some(selector),
        namespaces: NamespaceScope {
            names: Box::new(["default".into()]),
            selector: None,
        },
        topology_key: topology_key.into(),
    }
}

fn charge(n: usize) -> Charge {
    let requests = ResourceList {
        milli_cpu: [100, 250, 500, 1000][n % 4],
        memory: [128 << 20, 500 << 20, 1 << 30, 3 << 30][n / 4 % 4],
        ..ResourceList::default()
    };
    Charge {
        scoring_milli_cpu: requests.milli_cpu,
        scoring_memory: requests.memory,
        requests,
    }
}

pub(crate) fn node(n: usize) -> NodeRecord {
    let name = format!("node-{n}");
    let soft = Taint {
        key: "spot".into(),
        value: "".into(),
        effect: TaintEffect::PreferNoSchedule,
    };
    NodeRecord {
        labels: [(HOSTNAME, name.clone()), (ZONE, format!("zone-{}", n % 10))]
            .into_iter()
            .collect(),
        name: name.into(),
        resource_version: 1,
        taints: if n.is_multiple_of(16) { vec![soft] } else { vec![] },
        unschedulable: false,
        allocatable: ResourceList {
            milli_cpu: [16_000, 32_000, 64_000][n % 3],
            memory: [(64 << 30) - (300 << 20), 128 << 30, 256 << 30][n / 3 % 3],
            ephemeral_storage: 100 << 30,
            scalars: vec![],
        },
        allowed_pods: 110,
        images: (0..30).map(|at| image(n, at)).collect(),
        declared_features: Box::new(["FeatureA".into(), "FeatureB".into()]),
    }
}

fn image(node: usize, at: usize) -> NodeImage {
    // Ten images are everywhere, the others on every hundredth node.
    let image = if at < 10 { at } else { 10 + (at * 100 + node % 100) };
    NodeImage {
        names: Box::new([
            format!("registry.example/image-{image}:1").into(),
            format!("registry.example/image-{image}@sha256:0").into(),
        ]),
        size: (50 + 10 * at as i64) << 20,
    }
}

/// The shape of a pod that is placed: one in twenty bars its like from its node.
pub(crate) fn shape_of_placed(n: usize) -> Shape {
    if n.is_multiple_of(20) {
        Shape::AntiAffinity
    } else {
        Shape::Plain
    }
}

/// The node of a pod that is placed: by a prime, so that the pods of an application are all over the place.
pub(crate) fn node_of_placed(n: usize, n_nodes: usize) -> usize {
    n * 7919 % n_nodes
}

pub(crate) fn spec(n: usize, shape: Shape) -> PodSpec {
    let mut spec = PodSpec {
        charge: charge(n),
        images: Box::new(["registry.example/rare:1".into()]),
        ..PodSpec::default()
    };
    match shape {
        Shape::Plain | Shape::Service => {}
        Shape::ZoneSpread | Shape::SoftZoneSpread | Shape::HostnameSpread | Shape::SoftHostnameSpread => {
            let when_unsatisfiable = match shape {
                Shape::ZoneSpread | Shape::HostnameSpread => WhenUnsatisfiable::DoNotSchedule,
                _ => WhenUnsatisfiable::ScheduleAnyway,
            };
            let topology_key = match shape {
                Shape::ZoneSpread | Shape::SoftZoneSpread => ZONE,
                _ => HOSTNAME,
            };
            spec.spread = Box::new([SpreadConstraint {
                pods: term(selects_app(n), topology_key),
                max_skew: 5,
                when_unsatisfiable,
                min_domains: None,
                honor_node_affinity: true,
                honor_node_taints: false,
            }]);
        }
        Shape::Affinity => spec.affinity = Box::new([term(selects_app(n + 1), ZONE)]),
        Shape::HostnameAffinity => spec.affinity = Box::new([term(selects_app(n + 1), HOSTNAME)]),
        Shape::ZoneAntiAffinity => spec.anti_affinity = Box::new([term(selects("absent"), ZONE)]),
        Shape::AntiAffinity => spec.anti_affinity = Box::new([term(selects_app(n), HOSTNAME)]),
        Shape::Images => {
            spec.images = ["registry.example/image-3:1", "registry.example/image-2042:1"]
                .map(Text::from)
                .into();
        }
    }
    spec
}

/// Nodes, the pods that are placed on them, and the default profile.
pub struct Cluster {
    table: NodeTable,
    profile: Profile,
    zone: ColumnOrd,
    /// Memory that decisions use again and again.
    scores: Vec<i64>,
    totals: Vec<i64>,
    feasible: NodeSet,
    rejections: Rejections,
    delta: Delta,
}

/// A pod to be judged.
pub struct Candidate {
    labels: Labels,
    spec: PodSpec,
    compiled: CompiledSpec,
    default_selection: Option<SelectionOrd>,
}

impl Cluster {
    /// So many nodes with so many pods on them, one in twenty of which bars its like from its node.
    pub fn new(n_nodes: usize, n_pods: usize, minor: KubeMinor) -> Cluster {
        let mut table = NodeTable::new();
        let profile = Profile::new(&ProfileSpec::default_for("muster", minor), minor, &mut table);
        for n in 0..n_nodes {
            table.apply(&node(n));
        }
        let at = |n: usize| NodeOrd(node_of_placed(n, n_nodes) as u32);
        for n in 0..n_pods {
            let (labels, spec) = (app(n), spec(n, shape_of_placed(n)));
            let footprint = Footprint {
                identity: identity(&labels),
                charge: &spec.charge,
                spec: &spec,
            };
            table.add_pod(at(n), footprint);
        }
        Cluster {
            scores: vec![0; table.padded_len()],
            totals: vec![0; table.padded_len()],
            feasible: NodeSet::default(),
            rejections: Rejections::counting(),
            delta: Delta::default(),
            zone: table.acquire_column(&ZONE.into()),
            table,
            profile,
        }
    }

    /// The nodes.
    pub fn table(&self) -> &NodeTable {
        &self.table
    }

    /// Compiles a pod, and counts what it asks about.
    pub fn compile(&mut self, n: usize, shape: Shape) -> Candidate {
        let spec = spec(n, shape);
        let compiled = CompiledSpec::compile(&spec, &mut self.table);
        let default_selection = (shape == Shape::Service).then(|| {
            let pods = PodSelector::from(&term(selects_app(n), ZONE));
            self.table.acquire_selection(Selection::of_spread(pods), &[])
        });
        Candidate {
            labels: app(n),
            spec,
            compiled,
            default_selection,
        }
    }

    /// Asks for a selection that nobody has asked for yet, which counts the pods that are placed, and gives it back.
    pub fn select_for_the_first_time(&mut self, n: usize) {
        let selector = LabelSelector {
            requirements: Box::new([Requirement {
                key: "app".into(),
                operator: Operator::In,
                values: Box::new([format!("app-{}", n % N_APPS).into(), format!("no-{n}").into()]),
            }]),
        };
        let pods = PodSelector::from(&term(selector, ZONE));
        let selection = self.table.acquire_selection(Selection::of_spread(pods), &[self.zone]);
        self.table.release_selection(selection);
    }

    /// The names of the plugins that filter, and of those that score.
    pub fn plugins(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let filters = self.profile.filters().map(|(name, _)| name).collect();
        (filters, self.profile.scores().map(|(name, ..)| name).collect())
    }

    /// Runs one filter over all nodes; gives how many are left.
    pub fn run_filter(&mut self, plugin: &str, candidate: &Candidate) -> usize {
        let view = View::new(&self.table, &self.delta);
        let pod = candidate.pod();
        self.feasible.copy_from(self.table.live());
        self.feasible.grow(self.table.padded_len());
        self.rejections.clear();
        for (name, filter) in self.profile.filters().filter(|(name, _)| *name == plugin) {
            if filter.pre_filter(&pod, &view) != PreFilter::Skip {
                self.rejections.begin(name);
                filter.filter(&pod, &view, &mut self.feasible, &mut self.rejections);
            }
        }
        self.feasible.len()
    }

    /// Runs one score over all nodes, and normalises; gives the first score.
    pub fn run_score(&mut self, plugin: &str, candidate: &Candidate) -> i64 {
        let view = View::new(&self.table, &self.delta);
        let pod = candidate.pod();
        self.feasible.copy_from(self.table.live());
        self.feasible.grow(self.table.padded_len());
        for (_, _, score) in self.profile.scores().filter(|(name, ..)| *name == plugin) {
            if !score.skips(&pod, &view, &self.feasible) {
                score.score(&pod, &view, &self.feasible, &mut self.scores);
                score.normalize(&pod, &view, &self.feasible, &mut self.scores);
            }
        }
        self.scores[0]
    }

    /// Judges all nodes for a pod with the whole profile; gives the best node.
    pub fn decide(&mut self, candidate: &Candidate) -> Option<NodeOrd> {
        let pod = candidate.pod();
        let view = View::new(&self.table, &self.delta);
        self.feasible.copy_from(self.table.live());
        self.feasible.grow(self.table.padded_len());
        self.rejections.clear();
        let mut skipped = 0u32;
        for (at, (name, filter)) in self.profile.filters().enumerate() {
            match filter.pre_filter(&pod, &view) {
                PreFilter::Judge => {}
                PreFilter::Skip => skipped |= 1 << at,
                PreFilter::Reject(..) => return None,
                PreFilter::Narrow(meant) => {
                    self.rejections.begin(name);
                    let out = |node| {
                        let reason = Reason::Sentence("not meant");
                        self.rejections.reject(node, Code::UnschedulableAndUnresolvable, reason);
                    };
                    self.feasible.retain(|node| meant.contains(self.table.name(node)), out);
                }
            }
        }
        for (at, (name, filter)) in self.profile.filters().enumerate() {
            if skipped & 1 << at == 0 {
                self.rejections.begin(name);
                filter.filter(&pod, &view, &mut self.feasible, &mut self.rejections);
            }
        }
        self.totals.fill(0);
        for (_, weight, score) in self.profile.scores() {
            if !score.skips(&pod, &view, &self.feasible) {
                score.score(&pod, &view, &self.feasible, &mut self.scores);
                score.normalize(&pod, &view, &self.feasible, &mut self.scores);
                for (total, score) in self.totals.iter_mut().zip(&self.scores) {
                    *total += weight * *score;
                }
            }
        }
        self.feasible.iter().max_by_key(|node| self.totals[node.index()])
    }

    /// The bare arithmetic of a plain pod, node by node as it is written down: does it fit, LeastAllocated,
    /// BalancedAllocation, the best sum. No view, no blame, no order of plugins, nothing else.
    pub fn reference(&self, candidate: &Candidate) -> Option<usize> {
        use muster_framework::resource::ResourceOrd;
        let (table, charge) = (&self.table, &candidate.spec.charge);
        let resources = [ResourceOrd::CPU, ResourceOrd::MEMORY];
        let [has_cpu, has_memory] = resources.map(|r| table.allocatable(r));
        let [uses_cpu, uses_memory] = resources.map(|r| table.requested(r));
        let [scores_cpu, scores_memory] = table.scoring_columns();
        let (has_pods, uses_pods) = (table.allocatable(ResourceOrd::PODS), table.requested(ResourceOrd::PODS));
        let mut best: Option<(i64, usize)> = None;
        for at in 0..table.len() {
            let has = [has_cpu[at], has_memory[at]];
            let with = [
                uses_cpu[at] + charge.requests.milli_cpu,
                uses_memory[at] + charge.requests.memory,
            ];
            if with[0] > has[0] || with[1] > has[1] || uses_pods[at] >= has_pods[at] {
                continue;
            }
            let left = [
                has[0] - scores_cpu[at] - charge.scoring_milli_cpu,
                has[1] - scores_memory[at] - charge.scoring_memory,
            ];
            let least = (left[0].max(0) * 100 / has[0] + left[1].max(0) * 100 / has[1]) / 2;
            let fraction = |uses: i64, has: i64| (uses as f64 / has as f64).min(1.0);
            let balance = |uses: [i64; 2]| {
                let deviation = ((fraction(uses[0], has[0]) - fraction(uses[1], has[1])) / 2.0).abs();
                ((1.0 - deviation) * 100.0) as i64
            };
            let balanced = 50 + (50 + balance(with) - balance([uses_cpu[at], uses_memory[at]])) / 2;
            if best.is_none_or(|(total, _)| least + balanced > total) {
                best = Some((least + balanced, at));
            }
        }
        best.map(|(_, at)| at)
    }
}

impl Candidate {
    fn pod(&self) -> PodToPlace<'_> {
        PodToPlace {
            uid: "uid",
            namespace: "default",
            name: "pod",
            namespace_labels: None,
            labels: &self.labels,
            terminating: false,
            spec: &self.spec,
            compiled: &self.compiled,
            default_selection: self.default_selection,
        }
    }
}

fn identity(labels: &Labels) -> PodIdentity<'_> {
    PodIdentity {
        namespace: "default",
        namespace_labels: None,
        labels,
        terminating: false,
    }
}
