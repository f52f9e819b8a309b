//! Muster with the files and variables that a kubelet gives a pod: in a mount namespace of its own, in which `/etc` and
//! `/var/run` hold what the pod mounts there and nothing of this machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use muster_xtask::ControlPlane;
use muster_xtask::deploy::NAMESPACE;
use muster_xtask::nest::Launch;
use serde_json::{Value, json};

use crate::Muster;
use crate::deployed::{container_args, files_of, only_container, pass_probes, service_account, token_as};

/// Where every pod finds its service account.
const SERVICE_ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount";
/// Puts two folders in the place of the machine's, and becomes a program. A shell, since the mounts have to be made in the
/// namespace that the program then runs in.
const ENTER: &str =
    "root=$1; shift; mount --bind \"$root/etc\" /etc && mount --bind \"$root/var/run\" /var/run && exec \"$@\"";

/// The files of a pod of Muster's.
pub struct PodFiles<'a> {
    plane: &'a ControlPlane,
    pod: &'a Value,
    root: PathBuf,
}

impl<'a> PodFiles<'a> {
    /// Of one of the Deployment's pods; [`PodFiles::renew_token`] puts its first token there.
    pub fn of(plane: &'a ControlPlane, pod: &'a Value) -> Result<PodFiles<'a>> {
        let root = files_of(plane, pod)?;
        let account = root.join(SERVICE_ACCOUNT);
        fs::create_dir_all(&account).with_context(|| format!("making {}", account.display()))?;
        fs::copy(plane.dir().join("pki/ca.crt"), account.join("ca.crt")).context("copying the authority")?;
        fs::write(account.join("namespace"), NAMESPACE).context("writing the namespace")?;
        Ok(PodFiles { plane, pod, root })
    }

    /// Puts a new token in the place of the one that is there, as a kubelet does: at once, and bound to the pod. Gives the id
    /// by which the API server calls it.
    pub fn renew_token(&self) -> Result<String> {
        let metadata = &self.pod["metadata"];
        let bound = json!({ "apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"] });
        let spec = json!({ "boundObjectRef": bound });
        let token = token_as(self.plane, NAMESPACE, service_account(self.pod)?, &spec)?;
        let folder = self.root.join(SERVICE_ACCOUNT);
        let draft = folder.join("token.new");
        fs::write(&draft, &token).context("writing a token")?;
        fs::rename(&draft, folder.join("token")).context("putting a token in its place")?;
        id_of(&token)
    }

    /// Runs what the pod says, and waits until the pod's own probes pass. Nothing is added to the container's arguments but
    /// a port of its own, as all pods are on one host here.
    pub fn run(&self) -> Result<Muster> {
        let (name, container) = only_container(self.pod)?;
        let unshare = unshare()?;
        let server: Uri = self.plane.server_url().parse().context("the API server's address")?;
        let host = server.host().context("the API server's host")?.to_owned();
        let port = server.port_u16().context("the API server's port")?.to_string();
        let around = |launch: Launch| Launch {
            program: "unshare".into(),
            args: entering(&unshare, &self.root, &launch),
            environment: vec![
                ("KUBERNETES_SERVICE_HOST".to_owned(), host),
                ("KUBERNETES_SERVICE_PORT".to_owned(), port),
            ],
            ..launch
        };
        let mut muster = Muster::launch_inside(self.plane, name, container_args(container)?, around)?;
        pass_probes(&mut muster, self.pod)?;
        Ok(muster)
    }
}

/// The arguments of `unshare` with which it becomes this program among these files.
fn entering(unshare: &[&str], root: &Path, launch: &Launch) -> Vec<String> {
    let mut args: Vec<String> = unshare.iter().map(|&arg| arg.to_owned()).collect();
    args.extend(["sh", "-c", ENTER, "muster-pod"].map(str::to_owned));
    args.extend([root, &launch.program].map(|path| path.display().to_string()));
    args.extend(launch.args.iter().cloned());
    args
}

/// With which arguments `unshare` gives a program mounts of its own here: root may do it, others where the kernel lets them be
/// root among themselves.
///
/// # Errors
/// Nobody may do it here.
pub fn unshare() -> Result<Vec<&'static str>> {
    let mut said = String::new();
    for args in [vec!["--mount"], vec!["--map-root-user", "--mount"]] {
        let mut command = Command::new("unshare");
        command.args(&args).args(["mount", "--bind", "/etc", "/etc"]);
        let output = command.output().context("running `unshare`, which util-linux brings")?;
        if output.status.success() {
            return Ok(args);
        }
        said += &String::from_utf8_lossy(&output.stderr);
    }
    bail!(
        "`unshare --mount` is not permitted here: it takes root, in a container the capability SYS_ADMIN and no AppArmor profile, \
         or a kernel that lets users make namespaces:\n{said}"
    )
}

/// The id of a token, as it stands in the API server's audit log.
fn id_of(token: &str) -> Result<String> {
    let claims = token.split('.').nth(1).context("a token has three parts")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let id = claims["jti"].as_str().context("a token has an id")?;
    Ok(format!("JTI={id}"))
}
