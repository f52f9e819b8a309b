//! `muster config`: the configuration file shown, checked, converted from kube-scheduler's, and filled in.

use crate::kubectl::table::{Column, Table};
use crate::{WrongUsage, text};
use anyhow::{Context as _, anyhow};
use muster_config::{Configuration, Conversion, Fate, Finding, Place, Problem, Secrets};
use muster_framework::rules::KubeMinor;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// The commented example, which is the default.
const EXAMPLE: &str = include_str!("../../../config/muster.yaml");

/// Show, check, convert and fill in configuration files
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// Print the default configuration, with a comment at every field
    Default,
    Validate(ValidateArgs),
    Convert(ConvertArgs),
    Print(PrintArgs),
}

/// Check a configuration file strictly, and say where each problem is
///
/// Every problem and every warning is a line: FILE:LINE: error or warning: FIELD: what is wrong. A warning is about what is
/// accepted and has no effect. Exit codes: 0 there is no problem, 2 there is one, or the file cannot be read.
#[derive(clap::Args, Debug)]
pub(crate) struct ValidateArgs {
    /// The file; `-` is the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// How to print what was found
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Text)]
    output: ReportFormat,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportFormat {
    /// A line for each
    Text,
    /// JSON
    Json,
}

/// Turn a kube-scheduler configuration into one of Muster
///
/// Prints Muster's file, and on the standard error a list of the fields of kube-scheduler's: same, differs, no effect, or
/// refused, which is left out. With -o json or yaml the list is printed instead, with the file in it. Exit codes: 0 nothing is
/// refused; 2 something is, or the file is no configuration of kube-scheduler.
#[derive(clap::Args, Debug)]
pub(crate) struct ConvertArgs {
    /// The KubeSchedulerConfiguration; `-` is the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Muster is to take the place of kube-scheduler, with its scheduler name and its lease, instead of running beside it
    #[arg(long)]
    instead: bool,

    /// List only what differs, has no effect or is refused
    #[arg(long)]
    changes: bool,

    /// How to print what came of it
    #[arg(short, long, value_enum, default_value_t = ConvertFormat::Table)]
    output: ConvertFormat,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConvertFormat {
    /// The file on the standard output, the list as a table on the standard error
    Table,
    /// The list as JSON, with the file in it
    Json,
    /// The list as YAML, with the file in it
    Yaml,
}

/// Print what a configuration file comes to, with every default
///
/// What is printed can be read again, and means the same. Comments say which plugins each profile comes to; that depends on the
/// Kubernetes minor.
#[derive(clap::Args, Debug)]
pub(crate) struct PrintArgs {
    /// The file; `-` is the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print private keys that stand in the file, too; else the word REDACTED stands in their place, in base64
    #[arg(long)]
    raw: bool,
}

/// Runs the command.
///
/// # Errors
/// The file cannot be read or is wrong, or the standard output cannot be written.
pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Default => {
            text::print(EXAMPLE)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Validate(args) => validate(args),
        Command::Convert(args) => convert(args),
        Command::Print(args) => print(args),
    }
}

fn validate(args: &ValidateArgs) -> anyhow::Result<ExitCode> {
    let (name, text) = text::read(&args.file).map_err(WrongUsage)?;
    let (errors, warnings) = match muster_config::load(&text) {
        Ok(configuration) => (Vec::new(), configuration.warnings),
        Err(error) => (error.problems().to_vec(), Vec::new()),
    };
    text::print(&match args.output {
        ReportFormat::Text => lines(&name, &errors, &warnings),
        ReportFormat::Json => {
            let found = |problems: &[Problem]| problems.iter().map(problem_json).collect::<Vec<_>>();
            let report = json!({ "file": name, "errors": found(&errors), "warnings": found(&warnings) });
            format!("{report:#}\n")
        }
    })?;
    if errors.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let count = match errors.len() {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    };
    Err(WrongUsage(anyhow!("{name} is no valid configuration: {count}")).into())
}

fn lines(name: &str, errors: &[Problem], warnings: &[Problem]) -> String {
    let mut out = String::new();
    for (sort, problems) in [("error", errors), ("warning", warnings)] {
        for Problem { path, line, message } in problems {
            let line = line.map_or(String::new(), |line| format!("{line}:"));
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{name}:{line} {sort}: {path}: {message}");
        }
    }
    if out.is_empty() {
        let _ = writeln!(out, "{name}: valid");
    }
    out
}

fn problem_json(problem: &Problem) -> Value {
    json!({ "path": problem.path, "line": problem.line, "message": problem.message })
}

fn convert(args: &ConvertArgs) -> anyhow::Result<ExitCode> {
    let (name, text) = text::read(&args.file).map_err(WrongUsage)?;
    let place = if args.instead { Place::Instead } else { Place::Beside };
    let mut conversion = muster_config::convert(&text, place)
        .with_context(|| name.clone())
        .map_err(WrongUsage)?;
    let refused = conversion
        .findings
        .iter()
        .filter(|finding| finding.fate == Fate::Refused)
        .count();
    if args.changes {
        conversion.findings.retain(|finding| finding.fate != Fate::Same);
    }
    match args.output {
        ConvertFormat::Table => {
            text::print(&conversion.text)?;
            text::tell(&findings_table(&conversion.findings));
        }
        ConvertFormat::Json => text::print(&format!("{:#}\n", conversion_json(&conversion)))?,
        ConvertFormat::Yaml => text::print(&serde_saphyr::to_string(&conversion_json(&conversion))?)?,
    }
    match refused {
        0 => Ok(ExitCode::SUCCESS),
        1 => Err(WrongUsage(anyhow!("{name}: 1 field is refused, and left out")).into()),
        n => Err(WrongUsage(anyhow!("{name}: {n} fields are refused, and left out")).into()),
    }
}

fn findings_table(findings: &[Finding]) -> String {
    let columns = ["LINE", "FIELD", "VALUE", "HERE", "NOTE"].map(Column::of).into();
    let mut table = Table::new(columns);
    for finding in findings {
        let line = finding.line.map_or(String::new(), |line| line.to_string());
        table.row([
            line,
            finding.path.clone(),
            finding.value.clone(),
            finding.fate.as_str().to_owned(),
            finding.note.clone(),
        ]);
    }
    table.render(true)
}

fn conversion_json(conversion: &Conversion) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "path": finding.path,
            "line": finding.line,
            "value": finding.value,
            "here": finding.fate.as_str(),
            "note": finding.note,
        })
    };
    json!({
        "apiVersion": crate::kubectl::API_VERSION,
        "kind": "ConfigurationConversion",
        "fields": conversion.findings.iter().map(finding).collect::<Vec<_>>(),
        "configuration": conversion.text,
    })
}

fn print(args: &PrintArgs) -> anyhow::Result<ExitCode> {
    let (name, text) = text::read(&args.file).map_err(WrongUsage)?;
    let configuration = muster_config::load(&text).context(name.clone()).map_err(WrongUsage)?;
    let secrets = if args.raw { Secrets::Shown } else { Secrets::Redacted };
    text::print(&effective(&configuration, secrets)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The text of a file that says what `configuration` says, with comments about what its profiles come to.
///
/// # Errors
/// A text in it cannot be written as YAML.
pub(crate) fn effective(configuration: &Configuration, secrets: Secrets) -> anyhow::Result<String> {
    let mut out = format!(
        "# Every setting of Muster {}, defaults spelled out.\n#\n",
        crate::version::VERSION
    );
    for minor in [KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37] {
        for profile in configuration.profiles(minor) {
            let scores: Vec<String> = profile
                .scores
                .iter()
                .map(|(name, weight)| format!("{name} {weight}"))
                .collect();
            let name = &profile.scheduler_name;
            // Writing to a string cannot fail. Names have no line breaks that could end the comment: they are escaped.
            let _ = writeln!(out, "# With Kubernetes {minor} the profile {name:?} has");
            let _ = writeln!(out, "#   preEnqueue: {}", profile.pre_enqueue.join(", "));
            let _ = writeln!(out, "#   filter: {}", profile.filters.join(", "));
            let _ = writeln!(out, "#   score: {}", scores.join(", "));
        }
    }
    out += &configuration
        .to_yaml(secrets)
        .map_err(|error| anyhow!("the configuration cannot be written: {error}"))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> (Vec<Problem>, Vec<Problem>) {
        match muster_config::load(text) {
            Ok(configuration) => (Vec::new(), configuration.warnings),
            Err(error) => (error.problems().to_vec(), Vec::new()),
        }
    }

    #[test]
    fn the_default_is_valid_and_says_the_default() {
        let configuration = muster_config::load(EXAMPLE).unwrap();
        assert_eq!(configuration, Configuration::default());
    }

    #[test]
    fn what_is_printed_is_valid() {
        let text = effective(&Configuration::default(), Secrets::Redacted).unwrap();
        assert_eq!(muster_config::load(&text).unwrap(), Configuration::default());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn problems_have_file_line_and_field() {
        let (errors, warnings) = findings(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nparallelism: 0\nprofiles:\n\
             - schedulerName: a\n  plugins: {filter: {enabled: [{name: Nonsense}]}}\n- schedulerName: a\nx: 1\n",
        );
        insta::assert_snapshot!(lines("FILE", &errors, &warnings));
        let (errors, warnings) =
            findings("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nparallelism: 9\n");
        assert_eq!(
            lines("FILE", &errors, &warnings),
            "FILE:3: warning: .parallelism: has no effect: one thread schedules\n"
        );
        assert_eq!(lines("FILE", &[], &[]), "FILE: valid\n");
    }

    #[test]
    fn the_list_of_a_conversion() {
        let text = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nparallelism: 9\n\
                    profiles: [{schedulerName: default-scheduler, plugins: {score: {enabled: [{name: Coscheduling}]}}}]\n";
        let conversion = muster_config::convert(text, Place::Beside).unwrap();
        insta::assert_snapshot!(findings_table(&conversion.findings));
    }
}
