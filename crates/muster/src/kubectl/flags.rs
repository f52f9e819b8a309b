//! kubectl's flags, with kubectl's names and meanings: whom to ask, what to list, how to print it.

use super::selector;
use crate::upstream_flags::{Kubectl, UpstreamFlags};
use muster_framework::selector::LabelSelector;
use muster_kube::{ConnectOptions, Identity};
use std::path::PathBuf;
use std::time::Duration;

/// Whom to ask, and as whom. Every command has these.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Flags of every command")]
pub(crate) struct ConnectArgs {
    /// The namespace to look at [default: that of the context]
    #[arg(short, long, value_name = "NAME", global = true)]
    namespace: Option<String>,

    /// The kubeconfig file [default: the files of KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", global = true)]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig to use [default: the current one]
    #[arg(long, value_name = "NAME", global = true)]
    context: Option<String>,

    /// The cluster of the kubeconfig to ask [default: that of the context]
    #[arg(long, value_name = "NAME", global = true)]
    cluster: Option<String>,

    /// The user of the kubeconfig to be [default: that of the context]
    #[arg(long, value_name = "NAME", global = true)]
    user: Option<String>,

    /// The URL of the API server to ask [default: that of the cluster]
    #[arg(short, long, value_name = "URL", global = true)]
    server: Option<String>,

    /// Whose certificates to believe, in PEM [default: those of the cluster]
    #[arg(long, value_name = "FILE", global = true)]
    certificate_authority: Option<String>,

    /// Take whatever certificate is shown; whoever answers could keep a token
    #[arg(long, value_name = "BOOLEAN", num_args = 0..=1, require_equals = true, default_missing_value = "true", global = true)]
    insecure_skip_tls_verify: Option<bool>,

    /// Whose name the certificate of the server must have [default: that in its URL]
    #[arg(long, value_name = "NAME", global = true)]
    tls_server_name: Option<String>,

    /// The bearer token to show [default: that of the user]
    #[arg(long, value_name = "TOKEN", global = true)]
    token: Option<String>,

    /// The certificate to show, in PEM [default: that of the user]
    #[arg(long, value_name = "FILE", global = true)]
    client_certificate: Option<String>,

    /// The key of that certificate, in PEM
    #[arg(long, value_name = "FILE", global = true)]
    client_key: Option<String>,

    /// The name to log in with, where the server takes names and passwords
    #[arg(long, value_name = "NAME", global = true)]
    username: Option<String>,

    /// The password of that name
    #[arg(long, value_name = "PASSWORD", global = true)]
    password: Option<String>,

    /// Act as this user, who may be a service account: system:serviceaccount:NAMESPACE:NAME
    #[arg(long = "as", value_name = "NAME", global = true)]
    impersonate: Option<String>,

    /// With --as: act as a member of this group; can be repeated
    #[arg(long, value_name = "GROUP", global = true)]
    as_group: Vec<String>,

    /// With --as: act as the user with this UID
    #[arg(long, value_name = "UID", global = true)]
    as_uid: Option<String>,

    /// With --as: act as one of whom this is known besides; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = extra, global = true)]
    as_user_extra: Vec<(String, String)>,

    /// How long to wait for one answer, such as 5, 5s or 1m; 0 is for ever
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = request_timeout, global = true)]
    request_timeout: RequestTimeout,

    /// How much to tell of what is done: 6 and more name every request
    #[arg(short, long, value_name = "NUMBER", default_value_t = 0, global = true)]
    pub(crate) v: u8,

    #[command(flatten)]
    pub(crate) upstream: UpstreamFlags<Kubectl>,
}

/// None is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct RequestTimeout(Option<Duration>);

/// Source: `ParseTimeout` in `k8s.io/client-go/tools/clientcmd`.
fn request_timeout(text: &str) -> Result<RequestTimeout, String> {
    let timeout = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => muster_config::parse_duration(text)?,
    };
    Ok(RequestTimeout(Some(timeout).filter(|timeout| !timeout.is_zero())))
}

fn extra(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

impl ConnectArgs {
    /// What a connection needs to know.
    pub(crate) fn options(&self) -> ConnectOptions {
        ConnectOptions {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            request_timeout: self.request_timeout.0,
            server: self.server.clone(),
            server_url: None,
            certificate_authority: self.certificate_authority.clone(),
            insecure_skip_tls_verify: self.insecure_skip_tls_verify.unwrap_or(false),
            tls_server_name: self.tls_server_name.clone(),
            identity: Identity {
                token: self.token.clone(),
                username: self.username.clone(),
                password: self.password.clone(),
                client_certificate: self.client_certificate.clone(),
                client_key: self.client_key.clone(),
                impersonate: self.impersonate.clone(),
                impersonate_uid: self.as_uid.clone(),
                impersonate_groups: self.as_group.clone(),
                impersonate_extra: self.as_user_extra.clone(),
            },
        }
    }

    /// The namespace to look at, if one is given.
    pub(crate) fn given_namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The namespace to look at, where that of the context is `of_context`.
    pub(crate) fn namespace<'a>(&'a self, of_context: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(of_context)
    }
}

/// Muster itself, asked without the API server between.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct DirectArgs {
    /// Ask Muster itself at this URL, such as https://localhost:10259 behind kubectl port-forward. Of the kubeconfig only a
    /// client certificate is shown to it; --token and the flags on certificates speak of this URL then
    #[arg(long, value_name = "URL")]
    pub(crate) server_url: Option<String>,
}

/// What to list, and how to print it.
#[derive(clap::Args, Debug)]
pub(crate) struct ListArgs {
    /// Look at all namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,

    /// Only those with these labels, such as app=web,tier in (a,b),!old
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = selector::parse)]
    pub(crate) selector: Option<LabelSelector>,

    /// How to print
    #[arg(short, long, value_enum, value_name = "FORMAT", hide_possible_values = false)]
    pub(crate) output: Option<Output>,

    /// Print no headers over the columns
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, hide_default_value = true)]
    pub(crate) no_headers: bool,

    /// After that, print what changes
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// How to print.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// A table with more columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Names alone
    Name,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_as_kubectl_reads_them() {
        let seconds = |seconds| Ok(RequestTimeout(Some(Duration::from_secs(seconds))));
        assert_eq!(request_timeout("0"), Ok(RequestTimeout(None)));
        assert_eq!(request_timeout("5"), seconds(5));
        assert_eq!(request_timeout("1m30s"), seconds(90));
        assert!(request_timeout("soon").is_err() && request_timeout("-1").is_err());
    }

    #[test]
    fn what_else_is_known_of_somebody() {
        let known = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(extra("scopes=a=b"), known("scopes", "a=b"));
        assert_eq!(extra("scopes="), known("scopes", ""));
        assert!(extra("scopes").is_err() && extra("=a").is_err());
    }
}
