//! The command lines of the components: options in, flags out, nothing started.

use std::path::{Path, PathBuf};

use super::Options;
use crate::pki::{FRONT_PROXY, Pki};

/// Where the files of one control plane are, by what they are for.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) dir: PathBuf,
    pub(super) pki: Pki,
}

impl Layout {
    pub(super) fn kubeconfig(&self, client: &str) -> PathBuf {
        self.dir.join(format!("{client}.kubeconfig"))
    }

    /// A socket file: no port to be taken by another control plane, and closed to other users.
    pub(super) fn etcd_socket(&self) -> PathBuf {
        self.dir.join(ETCD_CLIENT_SOCKET)
    }

    pub(super) fn audit_policy(&self) -> PathBuf {
        self.dir.join("audit-policy.yaml")
    }

    pub(super) fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    pub(super) fn kwok_config(&self) -> PathBuf {
        self.dir.join("kwok.yaml")
    }

    pub(super) fn scheduler_config(&self) -> PathBuf {
        self.dir.join("kube-scheduler.yaml")
    }
}

/// etcd takes a socket only in the shape `host:port`, as a file relative to where it was started.
const ETCD_CLIENT_SOCKET: &str = "etcd:1";
const ETCD_PEER_SOCKET: &str = "etcd:2";

pub(super) fn etcd(layout: &Layout) -> Vec<String> {
    let client = format!("unix://{ETCD_CLIENT_SOCKET}");
    let peer = format!("unix://{ETCD_PEER_SOCKET}");
    vec![
        flag_path("data-dir", &layout.dir.join("etcd")),
        flag("name", "muster"),
        flag("listen-client-urls", &client),
        flag("advertise-client-urls", &client),
        flag("listen-peer-urls", &peer),
        flag("initial-advertise-peer-urls", &peer),
        flag("initial-cluster", &format!("muster={peer}")),
        // Nothing in here outlives the machine, so nothing needs to reach a disk.
        flag("unsafe-no-fsync", "true"),
        flag("quota-backend-bytes", "8589934592"),
        flag("log-level", "warn"),
    ]
}

pub(super) fn kube_apiserver(options: &Options, layout: &Layout, port: u16) -> Vec<String> {
    let pki = &layout.pki;
    let mut flags = vec![
        flag("etcd-servers", &format!("unix://{}", layout.etcd_socket().display())),
        flag("bind-address", "127.0.0.1"),
        flag("secure-port", &port.to_string()),
        // Announced to nobody: an address for documentation spares a look at the machine's network, which may have none.
        flag("advertise-address", "192.0.2.1"),
        flag("endpoint-reconciler-type", "none"),
        flag_path("cert-dir", &layout.dir),
        flag_path("client-ca-file", &pki.authority()),
        flag_path("tls-cert-file", &pki.certificate("apiserver")),
        flag_path("tls-private-key-file", &pki.key("apiserver")),
        // How it passes requests on to aggregated API servers, and for whom.
        flag_path("requestheader-client-ca-file", &pki.front_proxy_authority()),
        flag("requestheader-allowed-names", FRONT_PROXY.user),
        flag("requestheader-username-headers", "X-Remote-User"),
        flag("requestheader-group-headers", "X-Remote-Group"),
        flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        flag_path("proxy-client-cert-file", &pki.certificate(FRONT_PROXY.file)),
        flag_path("proxy-client-key-file", &pki.key(FRONT_PROXY.file)),
        flag("service-account-issuer", "https://kubernetes.default.svc"),
        flag_path("service-account-key-file", &pki.service_account_public_key()),
        flag_path("service-account-signing-key-file", &pki.key("service-accounts")),
        flag("service-cluster-ip-range", "10.0.0.0/24"),
        flag("authorization-mode", "RBAC"),
        flag("disable-admission-plugins", &disabled_admission(options).join(",")),
        flag("feature-gates", options.kube.feature_gates()),
        flag("runtime-config", options.kube.runtime_config()),
        flag("max-requests-inflight", "3000"),
        flag("max-mutating-requests-inflight", "3000"),
    ];
    if options.audit_writes {
        flags.push(flag_path("audit-policy-file", &layout.audit_policy()));
        flags.push(flag_path("audit-log-path", &layout.audit_log()));
        // A line is there before the answer is sent: that makes it a clock.
        flags.push(flag("audit-log-mode", "blocking"));
    }
    flags.extend(options.api_server_flags.iter().cloned());
    flags
}

fn disabled_admission(options: &Options) -> Vec<&'static str> {
    // It taints every new node as not ready, and the node lifecycle controller, which would take that off, doesn't run.
    let mut plugins = vec!["TaintNodesByCondition"];
    if !options.controller_manager {
        // Nobody makes the default service accounts then, and no pod would be admitted. With the controllers it stays
        // on: it waits for a service account that is about to come, and we wait for the one of each namespace we make.
        plugins.push("ServiceAccount");
    }
    plugins
}

pub(super) fn kube_controller_manager(options: &Options, layout: &Layout) -> Vec<String> {
    let kubeconfig = layout.kubeconfig("kube-controller-manager");
    vec![
        flag_path("kubeconfig", &kubeconfig),
        flag("leader-elect", "false"),
        flag("secure-port", "0"),
        flag("use-service-account-credentials", "true"),
        flag_path("root-ca-file", &layout.pki.authority()),
        flag_path("service-account-private-key-file", &layout.pki.key("service-accounts")),
        // Simulated nodes have no kubelet whose silence could be noticed, and no network.
        flag(
            "controllers",
            "*,-node-lifecycle-controller,-node-ipam-controller,-taint-eviction-controller",
        ),
        flag("feature-gates", options.kube.feature_gates()),
        flag("kube-api-qps", "2000"),
        flag("kube-api-burst", "4000"),
    ]
}

pub(super) fn kube_scheduler(layout: &Layout, feature_gates: Option<&str>) -> Vec<String> {
    let mut flags = vec![
        flag_path("config", &layout.scheduler_config()),
        flag("secure-port", "0"),
    ];
    flags.extend(feature_gates.map(|gates| flag("feature-gates", gates)));
    flags
}

/// The configuration of upstream's scheduler: as it comes, but for the limit on its requests.
pub(super) fn kube_scheduler_config(options: &Options, layout: &Layout) -> String {
    let kubeconfig = layout.kubeconfig("kube-scheduler");
    let config = serde_json::json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": { "kubeconfig": kubeconfig, "qps": 10_000, "burst": 10_000 },
        "leaderElection": { "leaderElect": false },
        "profiles": [{ "schedulerName": options.kube_scheduler_name }],
    });
    format!("{config:#}\n")
}

pub(super) fn kwok(layout: &Layout) -> Vec<String> {
    vec![
        flag_path("kubeconfig", &layout.kubeconfig("kwok")),
        flag_path("config", &layout.kwok_config()),
        flag("manage-all-nodes", "false"),
        flag("manage-nodes-with-annotation-selector", "kwok.x-k8s.io/node=fake"),
        // Nobody reads the leases of simulated nodes.
        flag("node-lease-duration-seconds", "0"),
    ]
}

/// kwok once more, with no node to manage: it serves what a kubelet serves. Where the log and the port of a pod are, it is
/// told by objects of its own kinds, whose CRDs have to be there.
pub(super) fn kubelet(layout: &Layout, port: u16) -> Vec<String> {
    vec![
        flag_path("kubeconfig", &layout.kubeconfig("kwok")),
        // It ends if it has nothing to do for any node.
        flag_path("config", &layout.kwok_config()),
        flag("manage-all-nodes", "false"),
        flag("manage-nodes-with-annotation-selector", "kwok.x-k8s.io/node=none"),
        flag("node-lease-duration-seconds", "0"),
        flag("server-address", &format!("127.0.0.1:{port}")),
        flag("enable-crds", "Logs,PortForward"),
    ]
}

fn flag(name: &str, value: &str) -> String {
    format!("--{name}={value}")
}

fn flag_path(name: &str, value: &Path) -> String {
    flag(name, &value.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube_minor::KubeMinor;

    fn layout() -> Layout {
        let parent = tempfile::tempdir().unwrap();
        let pki = Pki::create(&parent.path().join("pki"), &[]).unwrap();
        Layout {
            dir: "/nest".into(),
            pki,
        }
    }

    fn value<'a>(flags: &'a [String], name: &str) -> Option<&'a str> {
        flags.iter().find_map(|flag| flag.strip_prefix(&format!("--{name}=")))
    }

    #[test]
    fn each_minor_has_the_workload_api_of_its_time() {
        let layout = layout();
        for (kube, gates, served) in [
            (
                KubeMinor::V1_35,
                "GenericWorkload=true,GangScheduling=true",
                "scheduling.k8s.io/v1alpha1=true",
            ),
            (
                KubeMinor::V1_36,
                "GenericWorkload=true,GangScheduling=true",
                "scheduling.k8s.io/v1alpha2=true",
            ),
            (
                KubeMinor::V1_37,
                "GenericWorkload=true",
                "scheduling.k8s.io/v1beta1=true",
            ),
        ] {
            let options = Options {
                kube,
                ..Options::default()
            };
            let server = kube_apiserver(&options, &layout, 6443);
            assert_eq!(value(&server, "feature-gates"), Some(gates), "{kube}");
            assert_eq!(value(&server, "runtime-config"), Some(served), "{kube}");
            assert_eq!(
                value(&kube_controller_manager(&options, &layout), "feature-gates"),
                Some(gates),
                "{kube}"
            );
            assert_eq!(
                value(&kube_scheduler(&layout, Some(kube.feature_gates())), "feature-gates"),
                Some(gates),
                "{kube}"
            );
        }
    }

    #[test]
    fn service_accounts_are_demanded_only_where_somebody_makes_them() {
        for (controller_manager, disabled) in [
            (true, "TaintNodesByCondition"),
            (false, "TaintNodesByCondition,ServiceAccount"),
        ] {
            let options = Options {
                controller_manager,
                ..Options::default()
            };
            let flags = kube_apiserver(&options, &layout(), 6443);
            assert_eq!(value(&flags, "disable-admission-plugins"), Some(disabled));
        }
    }

    #[test]
    fn writes_are_audited_on_request_only() {
        for audit_writes in [false, true] {
            let options = Options {
                audit_writes,
                ..Options::default()
            };
            let flags = kube_apiserver(&options, &layout(), 6443);
            assert_eq!(value(&flags, "audit-log-mode"), audit_writes.then_some("blocking"));
        }
    }

    #[test]
    fn extra_flags_come_last_so_that_they_win() {
        let options = Options {
            api_server_flags: vec!["--max-requests-inflight=5".into()],
            ..Options::default()
        };
        let flags = kube_apiserver(&options, &layout(), 6443);
        assert_eq!(flags.last().map(String::as_str), Some("--max-requests-inflight=5"));
    }
}
