//! Clients of the API server. The `kube` crate does authentication, TLS and connections, and nothing else of it is used.

use crate::error_text::error_text;
use crate::extender::Extenders;
use crate::leader::Credentials;
use http::{HeaderValue, header};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use std::path::{Path, PathBuf};

/// Where a pod finds the token of its service account; it is renewed there.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Whom is spoken with. Clients of the API server with connections of their own: hundreds of binds must not keep a
/// watch from being opened or a lease from being renewed, or the reverse.
#[derive(Clone)]
pub struct Clients {
    /// For lists and watches.
    pub watches: Client,
    /// For everything that the engine asks for.
    pub writes: Client,
    /// For the lease.
    pub lease: Client,
    /// The namespace of the pod that this runs in, if it runs in one.
    pub own_namespace: Option<String>,
    /// The API server, as metrics name it: host and port of its address.
    pub server: String,
    /// Where the credentials come from that the API server is shown, in words.
    pub credentials_from: String,
    /// What the leader is shown, if this is a standby that asks it something.
    pub credentials: Credentials,
    /// For the extenders: none, until somebody puts them here.
    pub extenders: Extenders,
}

/// Why there is no client. The problems are already whole sentences: what the libraries say in theirs could quote secrets.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read, or lacks something.
    #[error("cannot use the kubeconfig {path}: {problem}")]
    Kubeconfig {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There is no kubeconfig, and no service account either.
    #[error("no kubeconfig is given (--kubeconfig), and this is no pod with a service account: {0}")]
    NotInCluster(String),
    /// The client cannot be built: certificates, keys, the address.
    #[error("cannot make a client for {server}: {problem}")]
    Client {
        /// The API server's address.
        server: String,
        /// What is wrong.
        problem: String,
    },
}

/// Makes the clients, from a kubeconfig file or from the pod's service account. Sends nothing yet.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Clients, ConnectError> {
    let config = match kubeconfig {
        Some(path) => from_file(path).await?,
        None => Config::incluster().map_err(|error| ConnectError::NotInCluster(error_text(&error)))?,
    };
    let config = as_muster(config);
    tracing::info!(server = %config.cluster_url, "the API server to be used");
    Ok(Clients {
        watches: client(&config)?,
        writes: client(&config)?,
        lease: client(&config)?,
        credentials: Credentials::of(&config)?,
        server: config
            .cluster_url
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default(),
        credentials_from: kubeconfig.map_or_else(
            || format!("the service account of this pod ({SERVICE_ACCOUNT_TOKEN})"),
            |path| format!("the kubeconfig {}", path.display()),
        ),
        own_namespace: kubeconfig.is_none().then_some(config.default_namespace),
        extenders: Extenders::default(),
    })
}

/// Makes one more client, from a kubeconfig file.
pub(crate) async fn client_for(kubeconfig: &Path) -> Result<Client, ConnectError> {
    client(&as_muster(from_file(kubeconfig).await?))
}

fn as_muster(mut config: Config) -> Config {
    // The default policy sends a POST again after 429, 503 and 504: a bind that was carried out would be answered with a
    // conflict, and a bind could hang for many minutes. Our own policy stands in the dispatcher and the informers.
    config.default_retry = false;
    config.headers.push((
        header::USER_AGENT,
        HeaderValue::from_static(concat!("muster/", env!("CARGO_PKG_VERSION"))),
    ));
    config
}

async fn from_file(path: &Path) -> Result<Config, ConnectError> {
    let read = async || -> Result<Config, KubeconfigError> {
        Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default()).await
    };
    read().await.map_err(|error| ConnectError::Kubeconfig {
        path: path.to_owned(),
        problem: error_text(&error),
    })
}

fn client(config: &Config) -> Result<Client, ConnectError> {
    Client::try_from(config.clone()).map_err(|error| ConnectError::Client {
        server: config.cluster_url.to_string(),
        problem: error_text(&error),
    })
}
