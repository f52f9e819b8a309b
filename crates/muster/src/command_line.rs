//! The command line as a whole. What is wrong with it is told in one sentence that names the flag and what it takes: clap takes
//! several lines for it, and says of a number that a digit is invalid.

use crate::{WRONG_USAGE, text};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Parser};
use std::error::Error as _;
use std::ffi::OsString;
use std::num::{ParseFloatError, ParseIntError};
use std::process::ExitCode;

/// Where to look for a name that there is.
const LISTED: &str = " (--help lists those there are)";

/// Reads these arguments, of which the first is the program's name. Help and versions are printed, and end the process.
///
/// # Errors
/// Something is wrong with them, which the user has been told; the exit code.
pub(crate) fn read<C: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<C, ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    C::try_parse_from(&arguments).map_err(|error| match sentence(&error, &C::command(), &arguments) {
        Some(sentence) => {
            text::tell(&format!("error: {sentence}\n"));
            ExitCode::from(WRONG_USAGE)
        }
        None => error.exit(),
    })
}

/// What is wrong with these arguments of this program, in one sentence. None: nothing is; help or a version was asked for.
pub(crate) fn sentence(error: &clap::Error, program: &Command, arguments: &[OsString]) -> Option<String> {
    let said = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return None;
        }
        kind => value_of_a_switch(error, program, arguments)
            .or_else(|| in_own_words(kind, error))
            .unwrap_or_else(|| first_line(error)),
    };
    Some(said.replace(['\n', '\r'], " "))
}

/// As in `--leader-elect true`, of which clap names only the second word.
fn value_of_a_switch(error: &clap::Error, program: &Command, arguments: &[OsString]) -> Option<String> {
    let value = one_text(error, ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument)?;
    let mut pairs = arguments.windows(2).filter(|pair| pair[1] == value);
    let flag = pairs.find_map(|pair| pair[0].to_str().filter(|word| is_switch(program, word)))?;
    Some(format!("{flag} takes its value behind an equals sign: {flag}={value}"))
}

/// Whether some command has this flag, with a value that stands behind an equals sign or not at all.
fn is_switch(command: &Command, flag: &str) -> bool {
    let long = flag.strip_prefix("--");
    command
        .get_arguments()
        .any(|known| known.is_require_equals_set() && long.is_some() && known.get_long() == long)
        || command.get_subcommands().any(|sub| is_switch(sub, flag))
}

/// None: clap says no more of it than its first line.
fn in_own_words(kind: ErrorKind, error: &clap::Error) -> Option<String> {
    let arguments = texts(error, ContextKind::InvalidArg);
    let first = arguments.first().copied();
    Some(match kind {
        ErrorKind::UnknownArgument => unknown(first?, error),
        ErrorKind::InvalidSubcommand => {
            let command = one_text(error, ContextKind::InvalidSubcommand)?;
            let instead = instead(&texts(error, ContextKind::SuggestedSubcommand));
            format!("there is no command {command:?}{instead}")
        }
        ErrorKind::MissingSubcommand => format!("a command is missing{LISTED}"),
        ErrorKind::MissingRequiredArgument => missing(&arguments),
        ErrorKind::ArgumentConflict => conflict(first?, &texts(error, ContextKind::PriorArg)),
        ErrorKind::InvalidValue => invalid(first?, error)?,
        ErrorKind::ValueValidation => format!("{}: {}", name_of(first?), why(error)?),
        ErrorKind::TooManyValues => {
            let value = one_text(error, ContextKind::InvalidValue)?;
            format!("{}: {value:?} is one value too many", name_of(first?))
        }
        _ => return None,
    })
}

/// As clap says it: also what was made up as a whole, such as why a flag of kube-scheduler is refused.
fn first_line(error: &clap::Error) -> String {
    let rendered = error.to_string();
    let line = rendered.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// What clap found of this kind.
fn texts(error: &clap::Error, kind: ContextKind) -> Vec<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.as_str()],
        Some(ContextValue::Strings(texts)) => texts.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// As [`texts`], where there can be but one.
fn one_text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    texts(error, kind).first().copied()
}

/// A flag without what it takes, and the name of what is no flag: `--v` of `--v <NUMBER>`, `FILE` of `[FILE]...`.
fn name_of(argument: &str) -> &str {
    if argument.starts_with('-') {
        argument.split([' ', '=', '[']).next().unwrap_or(argument)
    } else {
        argument.trim_matches(['<', '>', '[', ']', '.'])
    }
}

fn unknown(argument: &str, error: &clap::Error) -> String {
    if !argument.starts_with('-') {
        return format!("{argument:?} is one argument too many");
    }
    // Of its tips only one leads further: that the flag is another command's.
    let tips: Vec<String> = match error.get(ContextKind::Suggested) {
        Some(ContextValue::StyledStrs(tips)) => tips.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    if let Some(tip) = tips.iter().find(|tip| tip.ends_with(" exists")) {
        return format!("there is no flag {argument} here ({tip})");
    }
    let instead = instead(&texts(error, ContextKind::SuggestedArg));
    format!("there is no flag {argument}{instead}")
}

/// What was perhaps meant, or where to look it up.
fn instead(suggested: &[&str]) -> String {
    match suggested {
        [] => LISTED.to_owned(),
        [one] => format!("; perhaps {one} is meant"),
        many => format!("; perhaps one of {} is meant", many.join(", ")),
    }
}

fn missing(arguments: &[&str]) -> String {
    // Of a group one has to be there: `<--filename <FILE>|--from-snapshot <FILE>>`.
    let plain = |argument: &&str| {
        let inner = argument.trim_end_matches('.').strip_prefix('<');
        let inner = inner.and_then(|inner| inner.strip_suffix('>'));
        inner.unwrap_or(argument).replace('|', " or ")
    };
    let verb = if arguments.len() == 1 { "is" } else { "are" };
    let arguments: Vec<String> = arguments.iter().map(plain).collect();
    format!("{} {verb} missing (--help says more)", arguments.join(", "))
}

fn conflict(argument: &str, prior: &[&str]) -> String {
    let name = name_of(argument);
    if prior == [argument] {
        return format!("{name} is given more than once");
    }
    let prior: Vec<&str> = prior.iter().map(|prior| name_of(prior)).collect();
    format!("{name} cannot be used with {}", prior.join(", "))
}

/// A value that is not there, or is none of those that there are.
fn invalid(argument: &str, error: &clap::Error) -> Option<String> {
    let name = name_of(argument);
    let wanted = texts(error, ContextKind::ValidValue).join(", ");
    Some(match one_text(error, ContextKind::InvalidValue)? {
        "" if wanted.is_empty() => {
            let value = argument.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
            format!("{name} needs a value: {}", value.map_or("any", |(value, _)| value))
        }
        "" => format!("{name} needs one of {wanted}"),
        value => format!("{name}: {value:?} is none of {wanted}"),
    })
}

/// Why a value cannot be read.
fn why(error: &clap::Error) -> Option<String> {
    let value = one_text(error, ContextKind::InvalidValue)?;
    let source = error.source()?;
    if source.is::<ParseFloatError>() {
        return Some(format!("{value:?} is no number"));
    }
    if source.is::<ParseIntError>() {
        let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Some(format!("{value:?} is no whole number"));
        }
        // It was read without a sign, or else with one, where the number would fit without.
        let most = value.parse::<u64>().map_or(u64::MAX, |_| i64::MAX.unsigned_abs());
        return Some(format!("{value} is no number from 0 to {most}"));
    }
    let said = source.to_string();
    let range = said
        .strip_prefix(value)
        .and_then(|rest| rest.strip_prefix(" is not in "));
    if let Some((from, to)) = range.and_then(|range| range.split_once("..=")) {
        return Some(format!("{value} is no number from {from} to {to}"));
    }
    // Some name the value themselves.
    let quoted = format!("{value:?}");
    Some(match said.contains(&quoted) {
        true => said,
        false => format!("{quoted}: {said}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use proptest::prelude::*;

    /// What is wrong with the arguments of `muster`, if they do not ask for help.
    fn told(words: Vec<impl Into<OsString>>) -> Option<String> {
        let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        let error = crate::Cli::try_parse_from(&words).expect_err("something is wrong");
        let said = sentence(&error, &crate::Cli::command(), &words)?;
        assert_eq!(error.exit_code(), i32::from(WRONG_USAGE), "{words:?}");
        Some(said)
    }

    fn wrong(words: &[&str]) -> String {
        told([&["muster"], words].concat()).unwrap_or_else(|| panic!("{words:?} asks for help"))
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_wanted() {
        let lines = [
            "run --v=much",
            "run -v 2.5",
            "run --v=",
            "run --v=300",
            "run --secure-port=-1",
            "run --v=99999999999999999999",
            "run --v=9999999999999999999",
            "run --seed=-1",
            "run --seed=99999999999999999999",
            "run --seed=-",
            "run --kube-api-qps=fast",
            "run --config",
            "run --leader-elect=maybe",
            "run --leader-elect true",
            "run --v=2 --leader-elect x",
            "run --write-config-to x true",
            "run --logging-format=xml",
            "run --config=a --config=b",
            "run --confg=a",
            "--config=x run",
            "run -x",
            "evaluate -o xml",
            "evaluate --output",
            "simulate --expect-all-bound=yes a",
            "completion",
            "simulate --cordon=x a",
            "confg",
        ];
        let lines = lines.map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            format!("$ muster {line}\nerror: {}", wrong(&words))
        });
        insta::assert_snapshot!("what_is_wrong", lines.join("\n"));
    }

    #[test]
    fn help_is_no_mistake() {
        for words in [&["--help"][..], &["run", "--help"], &["--version"], &[], &["config"]] {
            assert_eq!(told([&["muster"], words].concat()), None, "{words:?}");
        }
    }

    #[test]
    fn one_of_a_group() {
        let file = "<--filename <FILE>|--from-snapshot <FILE>>";
        assert_eq!(
            missing(&[file, "<NAME>..."]),
            "--filename <FILE> or --from-snapshot <FILE>, NAME are missing (--help says more)"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_wrong_is_one_sentence(
            words in prop::collection::vec("(run|simulate|config|validate|evaluate|--v|-v|--config|--until|--[a-z-]{0,9}=?|a|-|\n|.{0,6})", 0..6),
        ) {
            let words: Vec<OsString> = ["muster".to_owned()].into_iter().chain(words).map(Into::into).collect();
            if let Err(error) = crate::Cli::try_parse_from(&words)
                && let Some(said) = sentence(&error, &crate::Cli::command(), &words)
            {
                prop_assert!(!said.is_empty() && !said.contains(['\n', '\r']), "{said:?}");
            }
        }
    }
}
