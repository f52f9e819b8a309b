//! Flags of kube-scheduler that Muster does not have: each is known, and says why.
//!
//! Command lines are carried over from kube-scheduler. A flag that changes nothing here is accepted, with a line in the log;
//! one that would change what happens is refused by name, so that nobody has to guess. docs/cli.md lists them all.
//!
//! Source: `cmd/kube-scheduler/app/options` of 1.37, and what it takes from `k8s.io/component-base`.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// What becomes of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Accepted without effect, for this reason.
    NoEffect(&'static str),
    /// Refused, for this reason.
    Refused(&'static str),
}

use Fate::{NoEffect, Refused};

const NO_PROFILING: &str = "there is no profiling endpoint";
const VERSIONS: &str = "Muster follows the rules of the API server's minor";
const METRICS: &str = "drop or relabel metrics where they are scraped, by metric_relabel_configs";
const HTTP_1: &str = "Muster serves HTTP/1.1";
const SHARING: &str = "Muster has its address for itself";
const AT_ONCE: &str = "every line is written at once";

/// All of them, without the dashes.
const FLAGS: [(&str, Fate); 22] = [
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

/// What was given of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct UpstreamFlags {
    /// Flags without effect, with the reason of each.
    pub(crate) without_effect: Vec<(&'static str, &'static str)>,
}

impl clap::FromArgMatches for UpstreamFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<UpstreamFlags, clap::Error> {
        let mut flags = UpstreamFlags::default();
        for (name, fate) in FLAGS {
            let given = matches.get_many::<String>(name).is_some();
            match fate {
                _ if !given => {}
                NoEffect(why) => flags.without_effect.push((name, why)),
                Refused(why) => {
                    let message = format!("--{name} of kube-scheduler is refused: {why}");
                    return Err(clap::Error::raw(ErrorKind::UnknownArgument, message));
                }
            }
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = UpstreamFlags::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for UpstreamFlags {
    fn augment_args(command: Command) -> Command {
        let arg = |(name, _): (&'static str, Fate)| {
            let arg = Arg::new(name).long(name).hide(true).action(ArgAction::Append);
            match name {
                // As Go reads a boolean: a value only behind an equals sign.
                "profiling"
                | "contention-profiling"
                | "disable-http2-serving"
                | "permit-address-sharing"
                | "permit-port-sharing"
                | "log-json-split-stream"
                | "log-text-split-stream" => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
                _ => arg,
            }
        };
        command.args(FLAGS.map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        UpstreamFlags::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory as _, Parser};
    use std::fmt::Write as _;

    #[derive(Parser, Debug)]
    struct Alone {
        #[command(flatten)]
        flags: UpstreamFlags,
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

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    const BEGIN: &str = "<!-- generated: flags -->\n";
    const END: &str = "<!-- end of generated: flags -->\n";

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

    /// The table of docs/cli.md. `UPDATE_GOLDEN=1 cargo test -p muster flags` writes it.
    fn table() -> String {
        let mut out = String::from("\n| flag of kube-scheduler | here | |\n|---|---|---|\n");
        let mut root = crate::Cli::command();
        root.build();
        let run = root.find_subcommand("run").expect("the command");
        for name in KUBE_SCHEDULER.split_whitespace() {
            let arg = run.get_arguments().find(|arg| arg.get_long() == Some(name));
            let (here, why) = match FLAGS.iter().find(|(known, _)| *known == name) {
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

    #[test]
    fn the_table_of_flags_is_up_to_date() {
        let text = std::fs::read_to_string(DOCUMENT).expect("docs/cli.md");
        let (before, rest) = text.split_once(BEGIN).expect("the begin of the section");
        let (found, after) = rest.split_once(END).expect("the end of the section");
        let wanted = table();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(DOCUMENT, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("docs/cli.md");
        } else {
            assert_eq!(
                found, wanted,
                "UPDATE_GOLDEN=1 cargo test -p muster flags brings it up to date"
            );
        }
    }

    #[test]
    fn flags_are_those_of_kube_scheduler() {
        for (name, _) in FLAGS {
            assert!(KUBE_SCHEDULER.split_whitespace().any(|known| known == name), "{name}");
        }
    }
}
