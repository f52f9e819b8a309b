//! Flags of kube-scheduler and of kubectl that Muster does not have: each is known, and says why.
//!
//! Command lines are carried over from both. A flag that changes nothing here is accepted, with a line in the log;
//! one that would change what happens is refused by name, so that nobody has to guess. docs/cli.md lists them all.
//!
//! Source: `cmd/kube-scheduler/app/options` of 1.37, and what it takes from `k8s.io/component-base`; `kubectl options` of 1.37,
//! which has those of 1.35 and 1.36, too.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::marker::PhantomData;

/// What becomes of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Accepted without effect, for this reason.
    NoEffect(&'static str),
    /// Refused, for this reason.
    Refused(&'static str),
}

use Fate::{NoEffect, Refused};

const NO_PROFILING: &str = "there is no profiling endpoint";
const NO_PROFILE: &str = "no profile of a command is written";
const VERSIONS: &str = "Muster follows the rules of the API server's minor";
const METRICS: &str = "drop or relabel metrics where they are scraped, by metric_relabel_configs";
const HTTP_1: &str = "Muster serves HTTP/1.1";
const SHARING: &str = "Muster has its address for itself";
const AT_ONCE: &str = "every line is written at once";

/// A program of Kubernetes whose command lines are carried over.
pub(crate) trait Upstream {
    /// Its name.
    const NAME: &'static str;
    /// Its flags that Muster does not have, without the dashes.
    const FLAGS: &'static [(&'static str, Fate)];
    /// Those of them that are read as Go reads a boolean: with a value only behind an equals sign.
    const SWITCHES: &'static [&'static str];
    /// Whether they may stand before a command and behind it.
    const EVERYWHERE: bool;
}

/// What schedules.
#[derive(Debug, Clone, Default)]
pub(crate) struct KubeScheduler;

impl Upstream for KubeScheduler {
    const NAME: &'static str = "kube-scheduler";
    const FLAGS: &'static [(&'static str, Fate)] = &[
        (
            "master",
            Refused("say it in the kubeconfig, as the server of the cluster"),
        ),
        ("kube-api-content-type", NoEffect("Muster speaks JSON")),
        ("profiling", NoEffect(NO_PROFILING)),
        ("contention-profiling", NoEffect(NO_PROFILING)),
        ("emulated-version", Refused(VERSIONS)),
        ("min-compatibility-version", Refused(VERSIONS)),
        ("allow-metric-labels", Refused(METRICS)),
        ("allow-metric-labels-manifest", Refused(METRICS)),
        ("disabled-metrics", Refused(METRICS)),
        ("show-hidden-metrics-for-version", NoEffect("no metric is hidden")),
        (
            "cert-dir",
            Refused("name the files by --tls-cert-file and --tls-private-key-file"),
        ),
        (
            "tls-sni-cert-key",
            Refused("there is one certificate; one certificate can have many names"),
        ),
        (
            "tls-curve-preferences",
            Refused("Muster offers the curves of its TLS library"),
        ),
        ("disable-http2-serving", NoEffect(HTTP_1)),
        ("http2-max-streams-per-connection", NoEffect(HTTP_1)),
        ("permit-address-sharing", Refused(SHARING)),
        ("permit-port-sharing", Refused(SHARING)),
        ("log-flush-frequency", NoEffect(AT_ONCE)),
        ("log-json-info-buffer-size", NoEffect(AT_ONCE)),
        ("log-text-info-buffer-size", NoEffect(AT_ONCE)),
        (
            "log-json-split-stream",
            Refused("every line goes to the standard error"),
        ),
        (
            "log-text-split-stream",
            Refused("every line goes to the standard error"),
        ),
    ];
    const SWITCHES: &'static [&'static str] = &[
        "profiling",
        "contention-profiling",
        "disable-http2-serving",
        "permit-address-sharing",
        "permit-port-sharing",
        "log-json-split-stream",
        "log-text-split-stream",
    ];
    const EVERYWHERE: bool = false;
}

/// What a user of the cluster asks with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kubectl;

impl Upstream for Kubectl {
    const NAME: &'static str = "kubectl";
    const FLAGS: &'static [(&'static str, Fate)] = &[
        ("cache-dir", NoEffect("nothing is cached")),
        ("disable-compression", NoEffect("no answer is ever compressed")),
        ("kuberc", NoEffect("it speaks of commands of kubectl itself")),
        ("log-flush-frequency", NoEffect(AT_ONCE)),
        (
            "match-server-version",
            Refused("one version goes with every Kubernetes that Muster knows"),
        ),
        ("profile", Refused(NO_PROFILE)),
        ("profile-output", Refused(NO_PROFILE)),
        ("proxy-url", Refused("connections go to the server itself")),
        ("vmodule", Refused("-v counts for the whole program")),
        ("warnings-as-errors", Refused("warnings of the API server are not read")),
    ];
    const SWITCHES: &'static [&'static str] = &["disable-compression", "match-server-version", "warnings-as-errors"];
    const EVERYWHERE: bool = true;
}

/// What was given of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct UpstreamFlags<U> {
    /// Flags without effect, with the reason of each.
    pub(crate) without_effect: Vec<(&'static str, &'static str)>,
    program: PhantomData<U>,
}

impl<U: Upstream> clap::FromArgMatches for UpstreamFlags<U> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<UpstreamFlags<U>, clap::Error> {
        let mut without_effect = Vec::new();
        for (name, fate) in U::FLAGS {
            let given = matches.get_many::<String>(name).is_some();
            match fate {
                _ if !given => {}
                NoEffect(why) => without_effect.push((*name, *why)),
                Refused(why) => {
                    let message = format!("--{name} of {} is refused: {why}", U::NAME);
                    return Err(clap::Error::raw(ErrorKind::UnknownArgument, message));
                }
            }
        }
        Ok(UpstreamFlags {
            without_effect,
            program: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = UpstreamFlags::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<U: Upstream> clap::Args for UpstreamFlags<U> {
    fn augment_args(command: Command) -> Command {
        let arg = |(name, _): &(&'static str, Fate)| {
            let arg = Arg::new(*name).long(*name).hide(true).action(ArgAction::Append);
            let arg = arg.global(U::EVERYWHERE);
            match U::SWITCHES.contains(name) {
                true => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
                false => arg,
            }
        };
        command.args(U::FLAGS.iter().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        UpstreamFlags::<U>::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubectl;
    use clap::{CommandFactory as _, Parser};
    use std::fmt::Write as _;

    #[derive(Parser, Debug)]
    struct Alone {
        #[command(flatten)]
        flags: UpstreamFlags<KubeScheduler>,
    }

    /// What `kube-scheduler --help` of 1.37 lists, in its order; tests/cluster/cli.rs holds the table that is made of it against
    /// what that says.
    const KUBE_SCHEDULER: &str = "config master write-config-to bind-address cert-dir disable-http2-serving http2-max-streams-per-connection permit-address-sharing \
        permit-port-sharing secure-port tls-cert-file tls-cipher-suites tls-curve-preferences tls-min-version \
        tls-private-key-file tls-sni-cert-key authentication-kubeconfig authentication-skip-lookup \
        authentication-token-webhook-cache-ttl authentication-tolerate-lookup-failure client-ca-file \
        requestheader-allowed-names requestheader-client-ca-file requestheader-extra-headers-prefix \
        requestheader-group-headers requestheader-uid-headers requestheader-username-headers \
        authorization-always-allow-paths authorization-kubeconfig authorization-webhook-cache-authorized-ttl \
        authorization-webhook-cache-unauthorized-ttl contention-profiling kube-api-burst kube-api-content-type kube-api-qps \
        kubeconfig pod-max-in-unschedulable-pods-duration profiling leader-elect leader-elect-lease-duration \
        leader-elect-renew-deadline leader-elect-resource-lock leader-elect-resource-name leader-elect-resource-namespace \
        leader-elect-retry-period emulated-version feature-gates min-compatibility-version allow-metric-labels \
        allow-metric-labels-manifest disabled-metrics show-hidden-metrics-for-version log-flush-frequency \
        log-json-info-buffer-size log-json-split-stream log-text-info-buffer-size log-text-split-stream logging-format v \
        vmodule version";

    /// What `kubectl options` of 1.37 lists, in its order; tests/cluster/cli.rs as above.
    const KUBECTL: &str = "as as-group as-uid as-user-extra cache-dir certificate-authority client-certificate client-key cluster \
        context disable-compression insecure-skip-tls-verify kubeconfig kuberc log-flush-frequency match-server-version namespace \
        password profile profile-output proxy-url request-timeout server tls-server-name token user username v vmodule \
        warnings-as-errors";

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");

    fn given(flags: &[&str]) -> Result<Vec<(&'static str, &'static str)>, String> {
        Alone::try_parse_from(["run"].iter().chain(flags))
            .map(|alone| alone.flags.without_effect)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_refused_says_why_and_what_has_no_effect_is_told() {
        assert_eq!(
            given(&["--profiling", "--kube-api-content-type", "x"]),
            Ok(vec![
                ("kube-api-content-type", "Muster speaks JSON"),
                ("profiling", NO_PROFILING)
            ])
        );
        assert_eq!(given(&["--profiling=false"]).map(|flags| flags.len()), Ok(1));
        let said = given(&["--master=http://x"]).unwrap_err();
        let expected =
            "error: --master of kube-scheduler is refused: say it in the kubeconfig, as the server of the cluster\n";
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(given(&[]), Ok(Vec::new()));
    }

    /// A table of docs/cli.md. `UPDATE_GOLDEN=1 cargo test -p muster flags` writes them.
    fn table<U: Upstream>(upstream: &str, ours: &Command) -> String {
        let mut out = format!("\n| flag of {} | here | |\n|---|---|---|\n", U::NAME);
        for name in upstream.split_whitespace() {
            let arg = ours.get_arguments().find(|arg| arg.get_long() == Some(name));
            let (here, why) = match U::FLAGS.iter().find(|(known, _)| *known == name) {
                Some((_, NoEffect(why))) => ("no effect", *why),
                Some((_, Refused(why))) => ("refused", *why),
                None if arg.is_some() => ("yes", ""),
                None => ("no", "refused as unknown"),
            };
            writeln!(out, "| `--{name}` | {here} | {why} |").expect("writing to a string");
        }
        out.push('\n');
        out
    }

    /// Puts a table into the section of this name, or says that it is there already.
    fn hold(section: &str, wanted: &str) {
        let [begin, end] = ["", "end of "].map(|which| format!("<!-- {which}generated: {section} -->\n"));
        let text = std::fs::read_to_string(DOCUMENT).expect("docs/cli.md");
        let (before, rest) = text.split_once(&begin).expect("the begin of the section");
        let (found, after) = rest.split_once(&end).expect("the end of the section");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(DOCUMENT, format!("{before}{begin}{wanted}{end}{after}")).expect("docs/cli.md");
        } else {
            assert_eq!(
                found, wanted,
                "UPDATE_GOLDEN=1 cargo test -p muster flags brings it up to date"
            );
        }
    }

    #[test]
    fn the_tables_of_flags_are_up_to_date() {
        let mut root = crate::Cli::command();
        root.build();
        let run = root.find_subcommand("run").expect("the command");
        hold("flags", &table::<KubeScheduler>(KUBE_SCHEDULER, run));
        hold("flags of kubectl", &table::<Kubectl>(KUBECTL, &kubectl::Cli::command()));
    }

    #[test]
    fn flags_are_those_of_upstream() {
        fn check<U: Upstream>(upstream: &str) {
            let is_there = |name: &str| upstream.split_whitespace().any(|known| known == name);
            for (name, _) in U::FLAGS {
                assert!(is_there(name), "{name}");
            }
            for name in U::SWITCHES {
                assert!(U::FLAGS.iter().any(|(flag, _)| flag == name), "{name}");
            }
        }
        check::<KubeScheduler>(KUBE_SCHEDULER);
        check::<Kubectl>(KUBECTL);
    }

    /// Every flag of kubectl's is one of every command, wherever it stands.
    #[test]
    fn flags_of_kubectl_stand_everywhere() {
        for words in [["--cache-dir=x", "version"], ["version", "--disable-compression"]] {
            let read = kubectl::Cli::try_parse_from([&["kubectl-muster"], &words[..]].concat());
            assert_eq!(
                read.map(|cli| cli.connect.upstream.without_effect.len()).ok(),
                Some(1),
                "{words:?}"
            );
        }
        for words in [["--proxy-url=x", "version"], ["version", "--proxy-url=x"]] {
            let error = kubectl::Cli::try_parse_from([&["kubectl-muster"], &words[..]].concat()).expect_err("refused");
            let expected = "error: --proxy-url of kubectl is refused: connections go to the server itself\n";
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        for name in KUBECTL.split_whitespace() {
            let kubectl = kubectl::Cli::command();
            let arg = kubectl.get_arguments().find(|arg| arg.get_long() == Some(name));
            assert!(arg.is_some_and(clap::Arg::is_global_set), "{name}");
        }
    }
}
