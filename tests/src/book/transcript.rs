//! Transcripts: commands behind `$ `, and what they print. What differs from one run to the next is compared by its kind.

use std::sync::LazyLock;

use anyhow::{Context as _, Result, bail};
use regex::Regex;

/// A command and what it prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What is typed, of several lines where they end in a backslash.
    pub command: String,
    /// What the page shows; `…` stands for anything within a line, and for any lines where it stands alone.
    pub shown: String,
}

/// The exchanges of a transcript.
///
/// # Errors
/// It does not begin with a command, or a command goes on behind the end.
pub fn read(text: &str) -> Result<Vec<Exchange>> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else {
            let Some(exchange) = exchanges.last_mut() else {
                bail!("a transcript begins with \"$ \" and a command");
            };
            exchange.shown.push_str(line);
            exchange.shown.push('\n');
            continue;
        };
        let mut command = command.to_owned();
        while command.ends_with('\\') {
            let next = lines.next().context("the last command goes on behind the end")?;
            command.push('\n');
            command.push_str(next);
        }
        let shown = String::new();
        exchanges.push(Exchange { command, shown });
    }
    if exchanges.is_empty() {
        bail!("a transcript begins with \"$ \" and a command");
    }
    Ok(exchanges)
}

/// Whether what was printed is what is shown, as far as that is the same for everybody.
pub fn agrees(shown: &str, printed: &str) -> bool {
    let shown = comparable(shown);
    let pattern: String = shown
        .lines()
        .map(|line| match line {
            "…" => "(?:[^\n]*\n)*".to_owned(),
            _ => {
                let parts: Vec<String> = line.split('…').map(regex::escape).collect();
                format!("{}\n", parts.join("[^\n]*"))
            }
        })
        .collect();
    // It is made of escaped text and two patterns of our own.
    Regex::new(&format!("^{pattern}$")).is_ok_and(|pattern| pattern.is_match(&comparable(printed)))
}

/// The text with blanks as single ones, and kinds in place of what is different each time: how long ago, addresses,
/// suffixes that the API server makes up, releases of Kubernetes.
fn comparable(text: &str) -> String {
    // The API server's alphabet for names has no vowels, so no word is taken for such a suffix.
    static KINDS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        [
            // Minutes have up to two digits here: what has three is an amount of CPU.
            (
                r"\b(?:\d+[dh])*(?:\d{1,2}m)?(?:\d+(?:ms|[dhs]))\b|\b\d{1,2}m\b",
                "<time>",
            ),
            (r"\b\d{4}-\d\d-\d\dT[0-9:.]+Z", "<date>"),
            (r"\b\d+\.\d+\.\d+\.\d+(?::\d+)?\b", "<address>"),
            (
                r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b",
                "-<suffix>",
            ),
            (r"-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-<suffix>"),
            (r"\bv1\.3\d\.\d+\b", "<release>"),
            (r"[ \t]+", " "),
        ]
        .map(|(pattern, kind)| (Regex::new(pattern).expect("a pattern of our own"), kind))
        .into()
    });
    let mut text = text.to_owned();
    for (pattern, kind) in KINDS.iter() {
        text = pattern.replace_all(&text, *kind).into_owned();
    }
    let lines = text.lines().map(|line| format!("{}\n", line.trim()));
    lines.collect::<String>().trim_start_matches('\n').trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_what_they_print() {
        let exchanges = read("$ a \\\n  b\nx\n\ny\n$ c\n").unwrap();
        let expected = [("a \\\n  b", "x\n\ny\n"), ("c", "")];
        assert_eq!(
            exchanges
                .iter()
                .map(|e| (e.command.as_str(), e.shown.as_str()))
                .collect::<Vec<_>>(),
            expected
        );
        assert!(read("x\n").is_err() && read("").is_err() && read("$ a \\\n").is_err());
    }

    #[test]
    fn what_is_different_each_time_is_compared_by_its_kind() {
        for (shown, printed) in [
            ("NAME   AGE\ntrain-0-x7k2p  5m3s\n", "NAME  AGE\ntrain-0-bcdfg    12s\n"),
            (
                "muster-6b9c8d5f4-2xk4z Running",
                "muster-7766554422-zzzzz   Running\n\n",
            ),
            ("at 10.0.0.1", "at 127.0.0.1:6443"),
            ("one\n…\nlast", "one\ntwo\nthree\nlast"),
            ("one\n…\nlast", "one\nlast"),
            ("0/3 nodes: … cpu.", "0/3 nodes: 3 Insufficient cpu."),
            ("Server v1.35.4", "Server v1.37.0"),
        ] {
            assert!(
                agrees(shown, printed),
                "{shown:?} against {printed:?}: {}",
                comparable(printed)
            );
        }
    }

    #[test]
    fn everything_else_has_to_be_the_same() {
        for (shown, printed) in [
            ("train 8", "train 7"),
            ("one", "one\ntwo"),
            ("one\ntwo", "one"),
            ("", "one"),
            ("a … b", "a\nb"),
            ("web-group 1", "web-batch 1"),
            ("a.b", "axb"),
        ] {
            assert!(!agrees(shown, printed), "{shown:?} against {printed:?}");
        }
    }
}
