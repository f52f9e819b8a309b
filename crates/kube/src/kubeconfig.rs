//! Whom a person asks, and as whom: what their kubeconfig says, with kubectl's flags over it.
//!
//! Source: `DirectClientConfig` and `DeferredLoadingClientConfig` in `k8s.io/client-go/tools/clientcmd`, and
//! `k8s.io/cli-runtime/pkg/genericclioptions.ConfigFlags`. Problems come back as sentences: what libraries say in theirs could
//! quote secrets.

use crate::error_text::error_text;
use http::Uri;
use kube::Config;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whom to ask, and as whom: kubectl's flags.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    /// `--kubeconfig`. None: the files of `KUBECONFIG`, else `~/.kube/config`, else the service account of a pod.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`. None: the current one.
    pub context: Option<String>,
    /// `--cluster`. None: that of the context.
    pub cluster: Option<String>,
    /// `--user`. None: that of the context.
    pub user: Option<String>,
    /// `--request-timeout`: how long one answer may take. None: for ever.
    pub request_timeout: Option<Duration>,
    /// `--server`: where the API server is. None: where the cluster says.
    pub server: Option<String>,
    /// `--server-url`: ask Muster itself at this URL, without the API server between. Of the kubeconfig only a client certificate
    /// is shown to it: a token could be used by whoever is asked. What follows speaks of this URL, where it is given.
    pub server_url: Option<String>,
    /// `--certificate-authority`: believe certificates that those in this file have signed, in PEM; a certificate that is shown
    /// itself may be among them. None: as the cluster says.
    pub certificate_authority: Option<String>,
    /// `--insecure-skip-tls-verify`: believe anybody's; whoever answers may read what is sent.
    pub insecure_skip_tls_verify: bool,
    /// `--tls-server-name`: whose name the certificate must have. None: that of the server.
    pub tls_server_name: Option<String>,
    /// Who asks.
    pub identity: Identity,
}

/// Who asks, so far as flags say it; else it is the user of the kubeconfig.
#[derive(Clone, Default)]
pub struct Identity {
    /// `--token`.
    pub token: Option<String>,
    /// `--username`.
    pub username: Option<String>,
    /// `--password`.
    pub password: Option<String>,
    /// `--client-certificate`, a file.
    pub client_certificate: Option<String>,
    /// `--client-key`, a file.
    pub client_key: Option<String>,
    /// `--as`.
    pub impersonate: Option<String>,
    /// `--as-uid`.
    pub impersonate_uid: Option<String>,
    /// `--as-group`; none: those of the kubeconfig.
    pub impersonate_groups: Vec<String>,
    /// `--as-user-extra`, by key; none: those of the kubeconfig.
    pub impersonate_extra: Vec<(String, String)>,
}

impl ConnectOptions {
    /// The kubeconfig's configuration with the flags over it.
    pub(crate) async fn config(&self) -> Result<Config, String> {
        self.check()?;
        let mut chosen = self.chosen()?;
        match (&self.server_url, &self.server) {
            (Some(url), _) => chosen.ask_muster(url)?,
            (None, Some(server)) => chosen.ask_server(server)?,
            (None, None) => {}
        }
        chosen.believe(self)?;
        chosen.be(&self.identity)?;
        let mut config = chosen.config().await?;
        if self.insecure_skip_tls_verify {
            // Nobody is looked up, so the certificates of the system need not even be there.
            config.root_cert = Some(Vec::new());
        }
        Ok(config)
    }

    /// Flags that make no sense together. Not for clap to find: it judges flags before and behind a command apart.
    fn check(&self) -> Result<(), String> {
        let identity = &self.identity;
        let direct = ("--server-url", self.server_url.is_some());
        let token = ("--token", identity.token.is_some());
        let username = ("--username", identity.username.is_some());
        let password = ("--password", identity.password.is_some());
        let insecure = ("--insecure-skip-tls-verify", self.insecure_skip_tls_verify);
        for ((one, is_there), (other, is_there_too)) in [
            (
                ("--certificate-authority", self.certificate_authority.is_some()),
                insecure,
            ),
            (token, username),
            (("--server", self.server.is_some()), direct),
            (("--as", identity.impersonate.is_some()), direct),
            (username, direct),
        ] {
            if is_there && is_there_too {
                return Err(format!("{one} cannot be used with {other}"));
            }
        }
        for ((one, is_there), (other, is_there_too)) in [(username, password), (password, username)] {
            if is_there && !is_there_too {
                return Err(format!("{one} needs {other}"));
            }
        }
        let is_secret = |(name, is_there): (&'static str, bool)| is_there.then_some(name);
        match (&self.server, is_secret(token).or(is_secret(password))) {
            (Some(server), Some(flag)) if !server.starts_with("https://") => Err(format!(
                "{flag} is shown to an https server only, and --server is {server:?}"
            )),
            _ => Ok(()),
        }
    }

    fn chosen(&self) -> Result<Chosen, String> {
        if let Some(kubeconfig) = self.read()? {
            return Chosen::of(&kubeconfig, self);
        }
        if self.server.is_none()
            && let Some(of_pod) = Chosen::of_pod()
        {
            return Ok(of_pod);
        }
        if self.server.is_some() || self.server_url.is_some() {
            return Chosen::of(&Kubeconfig::default(), self);
        }
        Err("there is no kubeconfig: give --kubeconfig, set KUBECONFIG, or make ~/.kube/config".to_owned())
    }

    /// None: there is none, and none was asked for by name.
    fn read(&self) -> Result<Option<Kubeconfig>, String> {
        if let Some(path) = &self.kubeconfig {
            return Kubeconfig::read_from(path)
                .map(Some)
                .map_err(|error| in_file(path, &error));
        }
        match Kubeconfig::read() {
            Ok(kubeconfig) => Ok(Some(kubeconfig)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(problem(&error)),
        }
    }
}

/// What of a kubeconfig counts.
#[derive(Default)]
struct Chosen {
    context: Context,
    cluster: Cluster,
    user: AuthInfo,
    /// Whether proxies of the environment are passed by.
    directly: bool,
}

impl Chosen {
    fn of(kubeconfig: &Kubeconfig, options: &ConnectOptions) -> Result<Chosen, String> {
        let current = kubeconfig.current_context.as_ref();
        let mut context = match options.context.as_ref().or(current).filter(|name| !name.is_empty()) {
            None => Context::default(),
            Some(name) => {
                let mut contexts = kubeconfig.contexts.iter();
                let found = contexts.find(|known| known.name == *name);
                let found = found.and_then(|known| known.context.clone());
                found.ok_or_else(|| format!("context {name:?} does not exist"))?
            }
        };
        context.cluster = options.cluster.clone().unwrap_or(context.cluster);
        let cluster = match &context.cluster {
            name if name.is_empty() => Cluster::default(),
            name => {
                let mut clusters = kubeconfig.clusters.iter();
                let found = clusters.find(|known| known.name == *name);
                let found = found.and_then(|known| known.cluster.clone());
                found.ok_or_else(|| format!("cluster {name:?} does not exist"))?
            }
        };
        let named = |name: &String| kubeconfig.auth_infos.iter().find(|known| known.name == *name);
        let user = match (&options.user, &context.user) {
            (Some(name), _) => Some(named(name).ok_or_else(|| format!("auth info {name:?} does not exist"))?),
            // kubectl asks as nobody, too, when a context names a user who is not there.
            (None, of_context) => of_context.as_ref().and_then(named),
        };
        let user = user.and_then(|known| known.auth_info.clone()).unwrap_or_default();
        Ok(Chosen {
            context,
            cluster,
            user,
            directly: false,
        })
    }

    /// The service account of the pod that this runs in.
    fn of_pod() -> Option<Chosen> {
        let config = Config::incluster().ok()?;
        let authority = config.root_cert_file.map(|path| path.display().to_string());
        Some(Chosen {
            context: Context {
                namespace: Some(config.default_namespace),
                ..Context::default()
            },
            cluster: Cluster {
                server: Some(config.cluster_url.to_string()),
                certificate_authority: authority,
                ..Cluster::default()
            },
            user: config.auth_info,
            directly: true,
        })
    }

    /// Of all that the kubeconfig knows only a client certificate is shown there, and the cluster's authority believed.
    fn ask_muster(&mut self, url: &str) -> Result<(), String> {
        if address(url).is_none_or(|url| url.scheme_str() != Some("https")) {
            return Err(format!("--server-url: {url:?} is no https URL"));
        }
        self.cluster.server = Some(url.to_owned());
        self.cluster.tls_server_name = None;
        self.cluster.insecure_skip_tls_verify = None;
        self.cluster.proxy_url = None;
        self.directly = true;
        let known = std::mem::take(&mut self.user);
        self.user = AuthInfo {
            client_certificate: known.client_certificate,
            client_certificate_data: known.client_certificate_data,
            client_key: known.client_key,
            client_key_data: known.client_key_data,
            ..AuthInfo::default()
        };
        Ok(())
    }

    /// As kubectl: `http` where no scheme is given, and nothing secret is shown without TLS.
    fn ask_server(&mut self, server: &str) -> Result<(), String> {
        let url = match server.contains("://") {
            true => server.to_owned(),
            false => format!("http://{server}"),
        };
        let address = address(&url)
            .ok_or_else(|| format!("--server: {server:?} is no URL of a server, such as https://localhost:6443"))?;
        if address.scheme_str() == Some("http") {
            let known = std::mem::take(&mut self.user);
            self.user = AuthInfo {
                impersonate: known.impersonate,
                impersonate_uid: known.impersonate_uid,
                impersonate_groups: known.impersonate_groups,
                impersonate_user_extra: known.impersonate_user_extra,
                ..AuthInfo::default()
            };
        }
        self.cluster.server = Some(url);
        // It was the name of the other.
        self.cluster.tls_server_name = None;
        Ok(())
    }

    /// One of the two flags takes the place of all that the cluster says of certificates.
    fn believe(&mut self, options: &ConnectOptions) -> Result<(), String> {
        let authority = &options.certificate_authority;
        if let Some(path) = authority {
            holds_certificates(Path::new(path)).map_err(|problem| format!("--certificate-authority: {problem}"))?;
        }
        if options.insecure_skip_tls_verify || authority.is_some() {
            self.cluster.insecure_skip_tls_verify = Some(options.insecure_skip_tls_verify);
            self.cluster.certificate_authority = authority.clone();
            self.cluster.certificate_authority_data = None;
        }
        if let Some(name) = &options.tls_server_name {
            self.cluster.tls_server_name = Some(name.clone());
        }
        Ok(())
    }

    fn be(&mut self, identity: &Identity) -> Result<(), String> {
        self.log_in(identity);
        self.show_certificate(identity)?;
        self.impersonate(identity)
    }

    /// A token, or a name with its password, takes the place of every other way but a certificate, which kubectl goes on
    /// to show, too.
    fn log_in(&mut self, identity: &Identity) {
        if identity.token.is_none() && identity.username.is_none() {
            return;
        }
        let known = std::mem::take(&mut self.user);
        self.user = AuthInfo {
            token: identity.token.clone().map(Into::into),
            username: identity.username.clone(),
            password: identity.password.clone().map(Into::into),
            token_file: None,
            exec: None,
            auth_provider: None,
            ..known
        };
    }

    fn show_certificate(&mut self, identity: &Identity) -> Result<(), String> {
        let user = &mut self.user;
        if let Some(path) = &identity.client_certificate {
            holds_certificates(Path::new(path)).map_err(|problem| format!("--client-certificate: {problem}"))?;
            user.client_certificate = Some(path.clone());
            user.client_certificate_data = None;
        }
        if let Some(path) = &identity.client_key {
            File::open(path).map_err(|error| format!("--client-key: cannot read {path}: {error}"))?;
            user.client_key = Some(path.clone());
            user.client_key_data = None;
        }
        let has_certificate = user.client_certificate.is_some() || user.client_certificate_data.is_some();
        let has_key = user.client_key.is_some() || user.client_key_data.is_some();
        if identity.client_certificate.is_some() && !has_key {
            return Err("--client-certificate needs --client-key".to_owned());
        }
        if identity.client_key.is_some() && !has_certificate {
            return Err("--client-key needs --client-certificate".to_owned());
        }
        Ok(())
    }

    /// What is not given stays as the kubeconfig has it.
    fn impersonate(&mut self, identity: &Identity) -> Result<(), String> {
        let user = &mut self.user;
        user.impersonate = identity.impersonate.clone().or(user.impersonate.take());
        user.impersonate_uid = identity.impersonate_uid.clone().or(user.impersonate_uid.take());
        if !identity.impersonate_groups.is_empty() {
            user.impersonate_groups = Some(identity.impersonate_groups.clone());
        }
        if !identity.impersonate_extra.is_empty() {
            let extra = user.impersonate_user_extra.insert(Default::default());
            for (key, value) in &identity.impersonate_extra {
                extra.entry(key.clone()).or_default().push(value.clone());
            }
        }
        // kubectl overlooks them then, and asks as oneself.
        let lost = [
            ("--as-group", !identity.impersonate_groups.is_empty()),
            ("--as-uid", identity.impersonate_uid.is_some()),
            ("--as-user-extra", !identity.impersonate_extra.is_empty()),
        ];
        match lost.into_iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) if user.impersonate.is_none() => Err(format!("{flag} needs --as")),
            _ => Ok(()),
        }
    }

    /// By way of a kubeconfig that has nothing else, since the `kube` crate makes them of these.
    async fn config(self) -> Result<Config, String> {
        if self.cluster.server.is_none() {
            return Err(match self.context.cluster.as_str() {
                "" => "the kubeconfig has no current context: give --context".to_owned(),
                name => format!("no server found for cluster {name:?}"),
            });
        }
        let name = || "chosen".to_owned();
        let kubeconfig = Kubeconfig {
            current_context: Some(name()),
            contexts: vec![NamedContext {
                name: name(),
                context: Some(Context {
                    cluster: name(),
                    user: Some(name()),
                    ..self.context
                }),
                ..NamedContext::default()
            }],
            clusters: vec![NamedCluster {
                name: name(),
                cluster: Some(self.cluster),
                ..NamedCluster::default()
            }],
            auth_infos: vec![NamedAuthInfo {
                name: name(),
                auth_info: Some(self.user),
                ..NamedAuthInfo::default()
            }],
            ..Kubeconfig::default()
        };
        let made = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let mut config = made.map_err(|error| problem(&error))?;
        if self.directly {
            config.proxy_url = None;
        }
        Ok(config)
    }
}

/// The URL of a server, if it is one.
fn address(url: &str) -> Option<Uri> {
    let url: Uri = url.parse().ok()?;
    (matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()).then_some(url)
}

/// Whether there is a certificate in this file, in PEM.
fn holds_certificates(path: &Path) -> Result<(), String> {
    let name = path.display();
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read.map_err(|error| format!("cannot read {name}: {error}"))?.is_empty() {
        true => Err(format!("{name} holds no certificate in PEM")),
        false => Ok(()),
    }
}

/// No file is there, and none was asked for by name.
fn is_missing(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => {
            error.kind() == io::ErrorKind::NotFound && std::env::var_os("KUBECONFIG").is_none()
        }
        _ => false,
    }
}

fn in_file(path: &Path, error: &KubeconfigError) -> String {
    match error {
        // It names the file itself.
        KubeconfigError::ReadConfig(..) => problem(error),
        other => format!("{}: {}", path.display(), problem(other)),
    }
}

fn problem(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, path) => format!("cannot read the kubeconfig {}: {error}", path.display()),
        other => error_text(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: here
contexts:
- name: here
  context: {cluster: c, user: u, namespace: shop}
- name: nobody
  context: {cluster: c, user: gone}
clusters:
- name: c
  cluster: {server: 'https://there:6443', insecure-skip-tls-verify: true, tls-server-name: inner}
- name: empty
  cluster: {}
users:
- name: u
  user: {token: hush, tokenFile: /tok, exec: {command: /nowhere}, client-certificate-data: Yw==, client-key-data: aw==,
    as: jane, as-groups: [ops], as-uid: '7'}
";

    /// The flags of somebody with this kubeconfig.
    fn options(folder: &tempfile::TempDir, kubeconfig: &str) -> ConnectOptions {
        let path = folder.path().join("config");
        std::fs::write(&path, kubeconfig).unwrap();
        ConnectOptions {
            kubeconfig: Some(path),
            ..ConnectOptions::default()
        }
    }

    /// A file in this folder, with its certificate or its key.
    fn pem(folder: &tempfile::TempDir, key: bool) -> String {
        let made = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        let text = if key {
            made.signing_key.serialize_pem()
        } else {
            made.cert.pem()
        };
        let path = folder.path().join(if key { "key" } else { "crt" });
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    async fn config(change: impl FnOnce(&mut ConnectOptions, &tempfile::TempDir)) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(&folder, KUBECONFIG);
        change(&mut options, &folder);
        let name = folder.path().display().to_string();
        options.config().await.map_err(|said| said.replace(&name, "FOLDER"))
    }

    /// The user, with all secrets.
    fn user(config: &Config) -> Value {
        serde_json::to_value(&config.auth_info).unwrap()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[tokio::test]
    async fn a_server_has_its_own_name_and_what_the_cluster_says_of_certificates_is_replaced() {
        let known = config(|_, _| {}).await.unwrap();
        assert!(known.accept_invalid_certs);
        assert_eq!(known.tls_server_name, some("inner"));

        let other = config(|options, folder| {
            options.server = some("https://elsewhere");
            options.certificate_authority = Some(pem(folder, false));
        });
        let other = other.await.unwrap();
        assert_eq!(other.cluster_url, "https://elsewhere/");
        assert_eq!(
            (other.accept_invalid_certs, other.tls_server_name.clone()),
            (false, None)
        );
        assert_eq!(other.root_cert.map(|certificates| certificates.len()), Some(1));

        let insecure = config(|options, _| {
            options.insecure_skip_tls_verify = true;
            options.tls_server_name = some("outer");
        });
        let insecure = insecure.await.unwrap();
        assert!(insecure.accept_invalid_certs);
        assert_eq!(
            (insecure.tls_server_name, insecure.root_cert),
            (some("outer"), Some(Vec::new()))
        );
    }

    #[tokio::test]
    async fn a_token_or_a_password_replaces_the_other_ways_to_log_in() {
        let by_token = config(|options, _| options.identity.token = some("mine"))
            .await
            .unwrap();
        let expected = json!({"token": "mine", "client-certificate-data": "Yw==", "client-key-data": "aw==", "as": "jane",
            "as-groups": ["ops"], "as-uid": "7"});
        let without_nulls = |user: Value| {
            let mut user = user.as_object().unwrap().clone();
            user.retain(|_, value| !value.is_null());
            Value::Object(user)
        };
        assert_eq!(without_nulls(user(&by_token)), expected);
        let by_password = config(|options, folder| {
            options.identity.username = some("jo");
            options.identity.password = some("pass");
            options.identity.client_certificate = Some(pem(folder, false));
            options.identity.client_key = Some(pem(folder, true));
        });
        let by_password = user(&by_password.await.unwrap());
        assert_eq!(
            (&by_password["username"], &by_password["password"]),
            (&json!("jo"), &json!("pass"))
        );
        assert!(by_password["token"].is_null() && by_password["exec"].is_null());
        assert!(by_password["client-certificate-data"].is_null() && by_password["client-key-data"].is_null());
        assert!(by_password["client-certificate"].as_str().unwrap().ends_with("/crt"));
        assert!(by_password["client-key"].as_str().unwrap().ends_with("/key"));
    }

    #[tokio::test]
    async fn whom_to_act_as_is_said_part_by_part() {
        let acting = config(|options, _| {
            options.identity.impersonate = some("jo");
            let extra = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            options.identity.impersonate_extra = vec![extra("a", "1"), extra("b", "2"), extra("a", "3")];
        });
        let acting = user(&acting.await.unwrap());
        assert_eq!(
            (&acting["as"], &acting["as-groups"], &acting["as-uid"]),
            (&json!("jo"), &json!(["ops"]), &json!("7"))
        );
        assert_eq!(acting["as-user-extra"], json!({"a": ["1", "3"], "b": ["2"]}));
        let acting = config(|options, _| options.identity.impersonate_groups = vec!["dev".to_owned()]);
        let acting = user(&acting.await.unwrap());
        assert_eq!((&acting["as"], &acting["as-groups"]), (&json!("jane"), &json!(["dev"])));
    }

    #[tokio::test]
    async fn nothing_secret_goes_to_muster_itself_or_without_tls() {
        let muster = config(|options, _| {
            options.server_url = some("https://localhost:10259");
            options.tls_server_name = some("muster");
        });
        let muster = muster.await.unwrap();
        assert_eq!(
            (muster.accept_invalid_certs, muster.tls_server_name.clone()),
            (false, some("muster"))
        );
        let shown = user(&muster).to_string();
        assert!(
            shown.contains("Yw==") && !shown.contains("hush") && !shown.contains("jane"),
            "{shown}"
        );

        let plain = config(|options, _| options.server = some("localhost:8001"))
            .await
            .unwrap();
        assert_eq!(plain.cluster_url, "http://localhost:8001/");
        let shown = user(&plain).to_string();
        assert!(
            !shown.contains("Yw==") && !shown.contains("hush") && shown.contains("jane"),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn a_kubeconfig_may_lack_what_flags_say() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(&folder, "apiVersion: v1\nkind: Config\ncurrent-context: ''\n");
        let said = options.config().await.unwrap_err();
        assert_eq!(said, "the kubeconfig has no current context: give --context");
        options.server = some("https://elsewhere");
        let config = options.config().await.unwrap();
        assert_eq!(
            (&*config.default_namespace, user(&config)["token"].as_str()),
            ("default", None)
        );
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_one_sentence() {
        type Change = fn(&mut ConnectOptions, &tempfile::TempDir);
        let cases: [(Change, &str); 16] = [
            (|options, _| options.context = some("x"), "context \"x\" does not exist"),
            (
                |options, _| options.cluster = some("empty"),
                "no server found for cluster \"empty\"",
            ),
            (
                |options, _| options.server = some("https://"),
                "--server: \"https://\" is no URL of a server, such as https://localhost:6443",
            ),
            (
                |options, _| options.server = some("ftp://a"),
                "--server: \"ftp://a\" is no URL of a server, such as https://localhost:6443",
            ),
            (
                |options, _| options.server_url = some("http://a"),
                "--server-url: \"http://a\" is no https URL",
            ),
            (
                |options, _| {
                    options.context = some("nobody");
                    options.identity.impersonate_uid = some("7");
                },
                "--as-uid needs --as",
            ),
            (
                |options, _| {
                    options.server_url = some("https://a");
                    options.identity.impersonate = some("jo");
                },
                "--as cannot be used with --server-url",
            ),
            (
                |options, _| {
                    options.server_url = some("https://a");
                    options.server = some("https://a");
                },
                "--server cannot be used with --server-url",
            ),
            (
                |options, _| {
                    options.insecure_skip_tls_verify = true;
                    options.certificate_authority = some("ca");
                },
                "--certificate-authority cannot be used with --insecure-skip-tls-verify",
            ),
            (
                |options, _| {
                    options.identity.token = some("t");
                    options.identity.username = some("jo");
                },
                "--token cannot be used with --username",
            ),
            (
                |options, _| options.identity.username = some("jo"),
                "--username needs --password",
            ),
            (
                |options, _| options.identity.password = some("hush"),
                "--password needs --username",
            ),
            (
                |options, _| {
                    options.server = some("a:80");
                    options.identity.token = some("hush");
                },
                "--token is shown to an https server only, and --server is \"a:80\"",
            ),
            (
                |options, folder| {
                    options.context = some("nobody");
                    options.identity.client_certificate = Some(pem(folder, false));
                },
                "--client-certificate needs --client-key",
            ),
            (
                |options, _| options.identity.client_key = some("/nowhere"),
                "--client-key: cannot read /nowhere: No such file or directory (os error 2)",
            ),
            (
                |options, folder| options.certificate_authority = Some(pem(folder, true)),
                "--certificate-authority: FOLDER/key holds no certificate in PEM",
            ),
        ];
        for (change, expected) in cases {
            let said = config(change).await.map_or_else(|said| said, |_| String::new());
            assert_eq!(said, expected);
        }
    }
}
