//! A pod's own way to the API server: the address in its environment, and token, authority and namespace in the files that a
//! kubelet mounts and renews. Everything else that runs Muster here gives it a kubeconfig.

use std::fs;
use std::io::{self, Write as _};

use muster_tests::PATIENCE;
use muster_tests::deployed::pods_of_deployment;
use muster_tests::pod_files::{PodFiles, unshare};
use muster_xtask::{ControlPlane, Options};
use serde_json::Value;

use crate::install::{apply_kustomization, fresh_plane_with, holder, schedule_a_gang};

/// The ids of the tokens with which requests came that changed objects of this resource in this namespace, in their order.
fn tokens_for(plane: &ControlPlane, resource: &str, namespace: &str) -> Vec<String> {
    let log = fs::read_to_string(plane.audit_log()).unwrap_or_default();
    let requests = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let asked = requests.filter(|request| {
        let object = &request["objectRef"];
        object["resource"] == resource && object["namespace"] == namespace
    });
    let id = |request: Value| {
        let id = &request["user"]["extra"]["authentication.kubernetes.io/credential-id"][0];
        id.as_str().unwrap_or_default().to_owned()
    };
    asked.map(id).collect()
}

/// The kube crate reads a token file again when what it has read is 50 seconds old, by the clock of the machine: nothing
/// shortens that, and so others have their turn meanwhile.
#[test]
fn a_pod_finds_the_api_server_and_follows_its_token() {
    if let Err(error) = unshare() {
        // Not by `eprintln!`, whose output a test keeps to itself when it passes.
        writeln!(
            io::stderr(),
            "!! The test of a pod's own way to the API server was LEFT OUT: {error:#}"
        )
        .unwrap();
        return;
    }
    let options = Options {
        audit_writes: true,
        ..Options::default()
    };
    let (plane, turn) = fresh_plane_with(options);
    apply_kustomization(&plane, "overlays/default");
    let pods = pods_of_deployment(&plane).unwrap();
    let files = PodFiles::of(&plane, &pods[0]).unwrap();
    let first = files.renew_token().unwrap();
    let _muster = files.run().unwrap();
    schedule_a_gang(&plane, "first");
    // The lease is the one of the Deployment's namespace, which no argument names, and which is the only one that it may write.
    assert_ne!(holder(&plane), "");
    assert!(tokens_for(&plane, "pods", "first").iter().all(|token| *token == first));

    let second = files.renew_token().unwrap();
    assert_ne!(first, second);
    drop(turn);
    let renewed = plane
        .api()
        .wait_until("the lease is renewed with the second token", 2 * PATIENCE, |_| {
            Ok(tokens_for(&plane, "leases", "muster-system")
                .contains(&second)
                .then_some(()))
        });
    renewed.unwrap();
    schedule_a_gang(&plane, "second");
    let tokens = tokens_for(&plane, "pods", "second");
    assert!(
        !tokens.is_empty() && tokens.iter().all(|token| *token == second),
        "{tokens:?}"
    );
}
