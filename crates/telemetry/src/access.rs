//! Who may read which path.
//!
//! There is no delegated authentication yet (token reviews, client certificates). Until there is, health is for
//! everybody, and everything else is for the machine that Muster runs on.

use std::net::IpAddr;

/// What a caller reads that may not have a path.
pub const FORBIDDEN: &str = "forbidden: Muster does not authenticate callers yet, so that this path is answered only to \
    callers on the loopback interface; --authorization-always-allow-paths lists the paths that are open to all\n";

/// The paths that anybody may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlwaysAllow(Vec<String>);

impl AlwaysAllow {
    /// These paths; one that ends in `*` stands for everything that begins like it, as in Kubernetes' own components.
    pub fn new(paths: impl IntoIterator<Item = String>) -> AlwaysAllow {
        AlwaysAllow(
            paths
                .into_iter()
                .map(|path| path.trim().to_owned())
                .filter(|path| !path.is_empty())
                .collect(),
        )
    }

    /// Whether `peer` may read `path`.
    pub fn permits(&self, path: &str, peer: IpAddr) -> bool {
        // A dual-stack socket shows IPv4 callers as `::ffff:a.b.c.d`.
        peer.to_canonical().is_loopback() || self.0.iter().any(|allowed| covers(allowed, path))
    }
}

fn covers(allowed: &str, path: &str) -> bool {
    match allowed.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => path == allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(paths: &[&str], path: &str, peer: &str) -> bool {
        let peer = peer.parse().unwrap();
        AlwaysAllow::new(paths.iter().map(|p| (*p).to_owned())).permits(path, peer)
    }

    #[test]
    fn health_is_for_everybody_and_the_rest_for_loopback() {
        let default = &["/healthz", "/readyz", "/livez"];
        assert!(permits(default, "/livez", "10.1.2.3"));
        assert!(!permits(default, "/metrics", "10.1.2.3"));
        assert!(!permits(default, "/metrics", "2001:db8::1"));
        assert!(permits(default, "/metrics", "127.0.0.1"));
        assert!(permits(default, "/metrics", "::1"));
        assert!(permits(default, "/metrics", "::ffff:127.0.0.1"));
        assert!(!permits(default, "/metrics", "::ffff:10.1.2.3"));
    }

    #[test]
    fn a_path_is_not_a_prefix_unless_it_says_so() {
        assert!(!permits(&["/healthz"], "/healthz/more", "10.1.2.3"));
        assert!(permits(&["/healthz*"], "/healthz/more", "10.1.2.3"));
        assert!(permits(&["*"], "/metrics", "10.1.2.3"));
        assert!(!permits(&[""], "/metrics", "10.1.2.3"));
    }
}
