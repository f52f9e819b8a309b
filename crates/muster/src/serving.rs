//! The server of `muster run`: its flags, which are kube-scheduler's, and what joins it to the API server that it asks.

use crate::Cli;
use crate::probes::Probes;
use crate::run::{host_name, wrong_usage};
use anyhow::{Context, anyhow, bail};
use clap::{ArgAction, CommandFactory};
use muster_api::review::{Access, AccessVerdict, AuthenticationTrust, FrontProxy, TokenVerdict, UserInfo};
use muster_config::{Configuration, Secrets};
use muster_kube::{Announced, Clients, Health, Observer, Reviewed, Reviews};
use muster_telemetry::serving::{
    About, AlwaysAllow, AuthorizationLifetimes, Certificate, Guards, Limits, MinTlsVersion, Pages, Replied, Reviewer,
    Reviewing, Routes, Server, ServerError, TlsCipherSuite, TlsSettings, Trust,
};
use muster_telemetry::{Metrics, Verbosity};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How often it is asked whose certificates are to be believed. A cluster changes its authorities rarely, and has both for
/// a while then.
const TRUST_EVERY: Duration = Duration::from_secs(60);
/// How soon it is asked again after a failure.
const TRUST_AGAIN: Duration = Duration::from_secs(10);

/// Flags of kube-scheduler for what it serves, and to whom.
#[derive(clap::Args, Debug)]
pub(crate) struct ServingArgs {
    /// The address to serve metrics, health and what runs here on, over TLS
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    bind_address: IpAddr,

    /// The port to serve them on; 0 serves nothing
    #[arg(long, value_name = "PORT", default_value_t = 10259)]
    secure_port: u16,

    /// The address at which other replicas reach this one on --secure-port: a pod's own. A leader writes it into the lease, and
    /// a standby passes on to the leader what only that can answer [default: none, and a standby does not answer it]
    #[arg(long, value_name = "ADDRESS")]
    advertise_address: Option<IpAddr>,

    /// The certificate to serve with, in PEM, followed by its intermediates; it is read again when it changes [default: a
    /// self-signed one, made in memory]
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    tls_cert_file: Option<PathBuf>,

    /// The private key of --tls-cert-file, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    tls_private_key_file: Option<PathBuf>,

    /// The oldest version of TLS to speak: VersionTLS12 or VersionTLS13
    #[arg(long, value_name = "VERSION", default_value_t = MinTlsVersion::Tls12)]
    tls_min_version: MinTlsVersion,

    /// The cipher suites of TLS 1.2 to take, by Go's names [default: all that are safe]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    tls_cipher_suites: Vec<TlsCipherSuite>,

    /// The address to serve on without TLS, and to anybody; only for reading, and only with --insecure-port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    insecure_bind_address: IpAddr,

    /// The port to serve on without TLS, and to anybody; 0 serves nothing
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    insecure_port: u16,

    /// How to reach the API server that says whose a token is [default: as for everything else]
    #[arg(long, value_name = "FILE")]
    authentication_kubeconfig: Option<PathBuf>,

    /// Do not ask the API server whose certificates are to be believed
    #[arg(long, value_name = "BOOLEAN", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    authentication_skip_lookup: bool,

    /// Go on if the API server does not say whose certificates are to be believed
    #[arg(long, value_name = "BOOLEAN", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = ArgAction::Set)]
    authentication_tolerate_lookup_failure: bool,

    /// How long to believe what the API server says of a token
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = muster_config::parse_duration)]
    authentication_token_webhook_cache_ttl: Duration,

    /// The authorities that sign the certificates of clients, in PEM [default: those that the API server names]
    #[arg(long, value_name = "FILE")]
    client_ca_file: Option<PathBuf>,

    /// The authorities that sign the certificates of front proxies, in PEM; the other --requestheader flags count only with
    /// this one [default: what the API server says of front proxies]
    #[arg(long, value_name = "FILE")]
    requestheader_client_ca_file: Option<PathBuf>,

    /// The common names that a front proxy's certificate may have [default: any]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    requestheader_allowed_names: Vec<String>,

    /// The headers in which a front proxy names the user
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "x-remote-user")]
    requestheader_username_headers: Vec<String>,

    /// The headers in which a front proxy names the uid of the user
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    requestheader_uid_headers: Vec<String>,

    /// The headers in which a front proxy names the groups of the user
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "x-remote-group")]
    requestheader_group_headers: Vec<String>,

    /// The beginnings of the headers in which a front proxy says more of the user
    #[arg(
        long,
        value_name = "PREFIXES",
        value_delimiter = ',',
        default_value = "x-remote-extra-"
    )]
    requestheader_extra_headers_prefix: Vec<String>,

    /// How to reach the API server that says what a caller may do [default: as for everything else]
    #[arg(long, value_name = "FILE")]
    authorization_kubeconfig: Option<PathBuf>,

    /// How long to believe that a caller may
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = muster_config::parse_duration)]
    authorization_webhook_cache_authorized_ttl: Duration,

    /// How long to believe that a caller may not
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = muster_config::parse_duration)]
    authorization_webhook_cache_unauthorized_ttl: Duration,

    /// Paths that are answered to everybody; one that ends in * stands for all that begin so
    #[arg(
        long,
        value_name = "PATHS",
        value_delimiter = ',',
        default_value = "/healthz,/readyz,/livez"
    )]
    authorization_always_allow_paths: Vec<String>,
}

/// What is shown.
pub(crate) struct Shown {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) health: Arc<Health>,
    pub(crate) about: Arc<About>,
    pub(crate) verbosity: Verbosity,
}

/// What the pages tell of this process.
pub(crate) fn about(configuration: &Configuration) -> anyhow::Result<About> {
    Ok(About {
        version: crate::version::VERSION,
        started: jiff::Timestamp::now(),
        emulates: OnceLock::new(),
        flags: flags(std::env::args_os()),
        configuration: configz(configuration)?,
    })
}

/// The configuration as `/configz` shows it, by upstream's name for the group, and ours under one of our own.
fn configz(configuration: &Configuration) -> anyhow::Result<BTreeMap<String, Value>> {
    let yaml = configuration
        .to_yaml(Secrets::Redacted)
        .map_err(|problem| anyhow!("cannot write the configuration down: {problem}"))?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&yaml).context("cannot read our own configuration")?;
    let names = ["componentconfig", "muster.dev"].map(str::to_owned);
    Ok(names.into_iter().zip(documents).collect())
}

/// Every flag of `muster run` with its value. None can hold a secret: such things are in files.
fn flags(command_line: impl IntoIterator<Item = std::ffi::OsString>) -> BTreeMap<String, String> {
    let mut command = Cli::command();
    // It has been understood once, or we would not be here.
    let Ok(matches) = command.try_get_matches_from_mut(command_line) else {
        return BTreeMap::new();
    };
    let Some((name, given)) = matches.subcommand() else {
        return BTreeMap::new();
    };
    let arguments = command
        .find_subcommand(name)
        .into_iter()
        .flat_map(clap::Command::get_arguments);
    let with_value = arguments.filter(|argument| {
        !matches!(
            argument.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        )
    });
    with_value
        .filter_map(|argument| {
            let values = given.try_get_raw(argument.get_id().as_str()).ok().flatten();
            // Hidden flags are kube-scheduler's that have no effect here: of note only if somebody gives them.
            if values.is_none() && argument.is_hide_set() {
                return None;
            }
            let values: Vec<_> = values
                .into_iter()
                .flatten()
                .map(|value| value.to_string_lossy().into_owned())
                .collect();
            Some((argument.get_long()?.to_owned(), values.join(",")))
        })
        .collect()
}

impl ServingArgs {
    /// Whoever asks the API server about callers.
    pub(crate) async fn reviews(&self, clients: &Clients, observer: Arc<dyn Observer>) -> anyhow::Result<Arc<Reviews>> {
        let reviews = Reviews::connect(
            clients,
            self.authentication_kubeconfig.as_deref(),
            self.authorization_kubeconfig.as_deref(),
            observer,
        );
        Ok(Arc::new(reviews.await.map_err(wrong_usage)?))
    }

    /// Takes the addresses, and serves for as long as the process lives. Tells where other replicas can ask this one.
    pub(crate) async fn serve(
        &self,
        shown: Shown,
        reviews: Arc<Reviews>,
        routes: Arc<dyn Routes>,
    ) -> anyhow::Result<Option<Announced>> {
        let mut announced = None;
        let probes = Arc::new(Probes(shown.health));
        let pages = Pages::new(shown.metrics, probes, shown.about, shown.verbosity, routes);
        if self.secure_port != 0 {
            let trust = Trust::default();
            let server = self.secure(&pages, Arc::clone(&reviews), trust.clone()).await?;
            self.follow_trust(reviews, trust).await?;
            tracing::info!(address = %server.address()?, "serving securely");
            announced = self.announced(&server)?;
            tokio::spawn(server.run());
        }
        if self.insecure_port != 0 {
            let address = SocketAddr::new(self.insecure_bind_address, self.insecure_port);
            let server = Server::listen_insecurely(address, &pages, Limits::default()).await?;
            if address.ip().is_loopback() {
                tracing::info!(address = %server.address()?, "serving without TLS, to this machine");
            } else {
                tracing::warn!(address = %server.address()?, "serving without TLS, to anybody");
            }
            tokio::spawn(server.run());
        }
        Ok(announced)
    }

    /// Whether replicas are to ask one another.
    pub(crate) fn advertises(&self) -> bool {
        self.advertise_address.is_some()
    }

    fn announced(&self, server: &Server) -> anyhow::Result<Option<Announced>> {
        let port = server.address()?.port();
        let address = self.advertise_address.map(|address| SocketAddr::new(address, port));
        Ok(address
            .zip(server.fingerprint())
            .map(|(address, certificate)| Announced { address, certificate }))
    }

    async fn secure(&self, pages: &Arc<Pages>, reviews: Arc<Reviews>, trust: Trust) -> anyhow::Result<Server> {
        let certificate = match (&self.tls_cert_file, &self.tls_private_key_file) {
            (Some(certificate), Some(private_key)) => Certificate::Files {
                certificate: certificate.clone(),
                private_key: private_key.clone(),
            },
            _ => Certificate::SelfSigned {
                names: vec!["localhost".to_owned(), "127.0.0.1".to_owned(), host_name()],
            },
        };
        let tls = TlsSettings {
            min_version: self.tls_min_version,
            cipher_suites: self.tls_cipher_suites.clone(),
        };
        let paths = self.authorization_always_allow_paths.iter().map(String::as_str);
        let guards = Guards {
            always_allow: AlwaysAllow::new(paths)
                .map_err(|problem| wrong_usage(anyhow!("--authorization-always-allow-paths: {problem}")))?,
            reviewer: Arc::new(AsReviewer(reviews)),
            trust,
            token_lifetime: self.authentication_token_webhook_cache_ttl,
            authorization_lifetimes: AuthorizationLifetimes {
                allowed: self.authorization_webhook_cache_authorized_ttl,
                denied: self.authorization_webhook_cache_unauthorized_ttl,
            },
        };
        let address = SocketAddr::new(self.bind_address, self.secure_port);
        let listening = Server::listen(address, certificate, &tls, guards, pages, Limits::default()).await;
        listening.map_err(|error| match error {
            ServerError::Tls(_) => wrong_usage(error),
            ServerError::Listen { .. } | ServerError::Random(_) => error.into(),
        })
    }

    /// Finds out whose certificates are to be believed, now if that must not fail, and then again and again.
    async fn follow_trust(&self, reviews: Arc<Reviews>, trust: Trust) -> anyhow::Result<()> {
        let sources = Sources {
            reviews: (!self.authentication_skip_lookup).then_some(reviews),
            client_authorities: self.client_ca_file.clone(),
            front_proxy: self.requestheader_client_ca_file.clone(),
            front_proxy_words: FrontProxy {
                authorities: String::new(),
                allowed_names: self.requestheader_allowed_names.clone(),
                username_headers: self.requestheader_username_headers.clone(),
                uid_headers: self.requestheader_uid_headers.clone(),
                group_headers: self.requestheader_group_headers.clone(),
                extra_header_prefixes: self.requestheader_extra_headers_prefix.clone(),
            },
        };
        // A file that was named must be there, whatever the API server says.
        sources
            .with_files(AuthenticationTrust::default())
            .map_err(wrong_usage)?;
        if !self.authentication_tolerate_lookup_failure {
            let asked = sources.ask().await.map_err(|problem| anyhow!(problem));
            asked.context("cannot find out whose certificates are to be believed")?;
        }
        tokio::spawn(follow(Arc::new(sources), trust));
        Ok(())
    }
}

/// Where it is said whose certificates are to be believed.
struct Sources {
    /// The API server, if it is asked.
    reviews: Option<Arc<Reviews>>,
    /// A file that says it of clients, in place of the API server.
    client_authorities: Option<PathBuf>,
    /// A file that says it of front proxies, in place of the API server.
    front_proxy: Option<PathBuf>,
    /// The rest of what that file is about.
    front_proxy_words: FrontProxy,
}

impl Sources {
    /// What the API server says, if it is asked.
    async fn ask(&self) -> Result<AuthenticationTrust, String> {
        match &self.reviews {
            Some(reviews) => reviews.trust().await,
            None => Ok(AuthenticationTrust::default()),
        }
    }

    /// What the files say counts.
    fn with_files(&self, mut trust: AuthenticationTrust) -> anyhow::Result<AuthenticationTrust> {
        if let Some(path) = &self.client_authorities {
            trust.client_authorities = bundle("--client-ca-file", path)?;
        }
        if let Some(path) = &self.front_proxy {
            trust.front_proxy = Some(FrontProxy {
                authorities: bundle("--requestheader-client-ca-file", path)?,
                ..self.front_proxy_words.clone()
            });
        }
        Ok(trust)
    }
}

fn bundle(flag: &str, path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{flag}: cannot read {}", path.display()))?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        bail!("{flag}: {} holds no certificate in PEM", path.display());
    }
    Ok(text)
}

/// Believes what the sources say, from now on. What one of them said last stands while it is silent.
async fn follow(sources: Arc<Sources>, trust: Trust) {
    let mut said = AuthenticationTrust::default();
    // Nobody, to begin with.
    let mut believed = said.clone();
    loop {
        // The reviews log their own troubles, and each once.
        let asked = sources.ask().await;
        let wait = if asked.is_ok() { TRUST_EVERY } else { TRUST_AGAIN };
        said = asked.unwrap_or(said);
        let (reading, so_far) = (Arc::clone(&sources), said.clone());
        // A disk that does not answer must not hold up the network.
        match tokio::task::spawn_blocking(move || reading.with_files(so_far)).await {
            Ok(Ok(found)) if believed != found => {
                believe(&trust, &found);
                believed = found;
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %format!("{error:#}"), "what was believed of certificates stands");
            }
            Err(error) => tracing::error!(%error, "the files that name authorities cannot be read"),
        }
        tokio::time::sleep(wait).await;
    }
}

fn believe(trust: &Trust, found: &AuthenticationTrust) {
    match trust.set(found) {
        Ok(()) => tracing::info!(
            clients = !found.client_authorities.is_empty(),
            front_proxies = found.front_proxy.is_some(),
            "it is known whose certificates are to be believed"
        ),
        Err(problem) => tracing::warn!(error = %problem, "some authorities cannot be read, and are not believed"),
    }
}

/// Joins the server, which knows no API server, to what does.
struct AsReviewer(Arc<Reviews>);

impl Reviewer for AsReviewer {
    fn token<'a>(&'a self, token: &'a str) -> Reviewing<'a, TokenVerdict> {
        Box::pin(async move { replied(self.0.token(token).await) })
    }

    fn access<'a>(&'a self, user: &'a UserInfo, access: &'a Access) -> Reviewing<'a, AccessVerdict> {
        Box::pin(async move { replied(self.0.access(user, access).await) })
    }
}

fn replied<T>(reviewed: Reviewed<T>) -> Replied<T> {
    let Reviewed { code, took, result } = reviewed;
    Replied { code, took, result }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_listed_with_what_they_are_set_to() {
        let line = [
            "muster",
            "run",
            "--v=4",
            "--leader-elect",
            "--tls-cipher-suites=TLS_AES_128_GCM_SHA256",
        ];
        let flags = flags(line.map(Into::into));
        let value = |flag: &str| flags.get(flag).map(String::as_str);
        assert_eq!((value("v"), value("leader-elect")), (Some("4"), Some("true")));
        assert_eq!(value("tls-cipher-suites"), Some("TLS_AES_128_GCM_SHA256"));
        assert_eq!(value("secure-port"), Some("10259"));
        assert_eq!(value("kubeconfig"), Some(""));
        assert_eq!(value("authentication-tolerate-lookup-failure"), Some("true"));
        assert_eq!(
            value("authorization-always-allow-paths"),
            Some("/healthz,/readyz,/livez")
        );
        assert!(!flags.contains_key("help") && !flags.contains_key("version"));
    }

    #[test]
    fn the_configuration_is_shown_without_secrets() {
        let text = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nextenders:\n\
            - {urlPrefix: \"https://x\", filterVerb: f, enableHTTPS: true, tlsConfig: {certData: aHVzaA==, keyData: aHVzaA==}}\n";
        let shown = configz(&muster_config::load(text).unwrap()).unwrap();
        assert_eq!(shown["componentconfig"]["kind"], "KubeSchedulerConfiguration");
        assert_eq!(shown["muster.dev"]["kind"], "MusterConfiguration");
        let text = shown["componentconfig"].to_string();
        assert!(
            text.contains("UkVEQUNURUQ") && !text.contains("keyData\":\"aHVzaA"),
            "{text}"
        );
    }

    #[test]
    fn files_win_over_the_api_server() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let pem = "-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n";
        let sources = Sources {
            reviews: None,
            client_authorities: Some(file("ca", pem)),
            front_proxy: None,
            front_proxy_words: FrontProxy::default(),
        };
        let said = AuthenticationTrust {
            client_authorities: "the cluster's".into(),
            front_proxy: Some(FrontProxy::default()),
        };
        let trust = sources.with_files(said.clone()).unwrap();
        assert_eq!(trust.client_authorities, pem);
        assert!(trust.front_proxy.is_some(), "the other is the API server's");

        let empty = Sources {
            client_authorities: Some(file("empty", "nothing")),
            ..sources
        };
        let error = empty.with_files(said).unwrap_err().to_string();
        assert!(
            error.starts_with("--client-ca-file: ") && error.ends_with(" holds no certificate in PEM"),
            "{error}"
        );
    }
}
