//! What `deploy/docker/Dockerfile` promises, read from its instructions: a machine of CI has no container engine that could
//! build the image.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::deploy;
use crate::steps::workspace_root;

const FILE: &str = "deploy/docker/Dockerfile";

/// The instructions that may be used. Not ADD, which can fetch from anywhere, where COPY does.
const KNOWN: [&str; 15] = [
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "LABEL",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// The argument that names the base of the image.
const RUNTIME: &str = "RUNTIME";
/// What the image is for, in the words of its builder.
const PLATFORMS: [&str; 2] = ["amd64", "arm64"];

/// One instruction, and what it is about in one line.
#[derive(Debug, PartialEq, Eq)]
struct Instruction {
    name: String,
    rest: String,
}

/// Checks all promises.
pub(crate) fn check() -> Result<()> {
    let broken = broken_promises(&read()?, &user_of_deployment()?);
    if !broken.is_empty() {
        bail!("{FILE}:\n{}", broken.join("\n"));
    }
    Ok(())
}

fn read() -> Result<String> {
    fs::read_to_string(workspace_root().join(FILE)).with_context(|| format!("reading {FILE}"))
}

/// As whom the pods run, as the instruction USER would say it.
fn user_of_deployment() -> Result<String> {
    let objects = deploy::one_file()?;
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment");
    let context = &deployment.context("no Deployment")?["spec"]["template"]["spec"]["securityContext"];
    let id = |name: &str| {
        context[name]
            .as_u64()
            .with_context(|| format!("the Deployment has no {name}"))
    };
    Ok(format!("{}:{}", id("runAsUser")?, id("runAsGroup")?))
}

/// A line for each promise that is not kept.
fn broken_promises(text: &str, user: &str) -> Vec<String> {
    let instructions = instructions(text);
    let strange = instructions.iter().filter(|found| !KNOWN.contains(&&*found.name));
    let mut broken: Vec<String> = strange
        .map(|found| format!("{} is no instruction that is used here", found.name))
        .collect();
    let first = instructions.iter().position(|found| found.name == "FROM");
    let (global, stages) = instructions.split_at(first.unwrap_or(instructions.len()));
    let defaults = defaults(global);
    broken.extend(broken_by_bases(&defaults, stages));
    if let Some(runtime) = defaults
        .get(RUNTIME)
        .filter(|runtime| !runtime.contains("/distroless/"))
    {
        broken.push(format!("the base {runtime:?} is none of distroless"));
    }
    broken.extend(missing_platforms(stages));
    let last = stages
        .iter()
        .rposition(|found| found.name == "FROM")
        .unwrap_or_default();
    broken.extend(broken_by_image(&stages[last..], user));
    broken
}

/// The instructions in their order, without comments, which may stand within one, too.
fn instructions(text: &str) -> Vec<Instruction> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut joined = String::new();
    for line in lines {
        match line.strip_suffix('\\') {
            Some(begun) => joined.extend([begun.trim_end(), " "]),
            None => joined.extend([line, "\n"]),
        }
    }
    let instruction = |line: &str| {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        Instruction {
            name: name.to_uppercase(),
            rest: rest.trim().to_owned(),
        }
    };
    joined.lines().map(instruction).collect()
}

/// The values of the arguments that bases are named by, where nobody gives another.
fn defaults(global: &[Instruction]) -> BTreeMap<&str, &str> {
    let arguments = global.iter().filter(|found| found.name == "ARG");
    arguments.filter_map(|found| found.rest.split_once('=')).collect()
}

/// Each base has a name without any argument given, and a tag or a digest; what is copied comes from here or from a stage.
fn broken_by_bases(defaults: &BTreeMap<&str, &str>, stages: &[Instruction]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for found in stages {
        let mut words = found.rest.split_whitespace();
        match &*found.name {
            "FROM" => {
                let mut words = words.skip_while(|word| word.starts_with("--"));
                let image = words.next().unwrap_or_default();
                broken.extend(problem_of_base(image, defaults, &names));
                names.extend(words.nth(1));
            }
            "COPY" => {
                let source = words.find_map(|word| word.strip_prefix("--from="));
                let strange = source.filter(|source| !names.contains(source));
                broken.extend(strange.map(|source| format!("COPY takes from {source}, which is no stage above it")));
            }
            _ => {}
        }
    }
    broken
}

fn problem_of_base(image: &str, defaults: &BTreeMap<&str, &str>, stages: &[&str]) -> Option<String> {
    let argument = image.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let image = match argument {
        None => image,
        Some(argument) => match defaults.get(argument) {
            None => {
                return Some(format!(
                    "the argument {argument}, by which a base is named, has no default"
                ));
            }
            Some(image) => *image,
        },
    };
    let name = image.rsplit('/').next().unwrap_or_default();
    let is_chosen = match name.split_once([':', '@']) {
        None => image == "scratch" || stages.contains(&image),
        Some((_, version)) => !["", "latest"].contains(&version),
    };
    (!is_chosen).then(|| format!("the base {image:?} has neither a tag nor a digest"))
}

/// A compiler is chosen for each platform that the image is for.
fn missing_platforms(stages: &[Instruction]) -> impl Iterator<Item = String> {
    let is_built = |platform: &str| {
        let case = format!(" {platform}) ");
        stages
            .iter()
            .any(|found| found.name == "RUN" && found.rest.contains(&case))
    };
    let missing = PLATFORMS.into_iter().filter(move |platform| !is_built(platform));
    missing.map(|platform| format!("nothing is built for {platform}"))
}

/// The image runs as whom its pods do, needs no shell, and says which version it is.
fn broken_by_image(stage: &[Instruction], user: &str) -> Vec<String> {
    let last = |name: &str| stage.iter().rfind(|found| found.name == name).map(|found| &*found.rest);
    let mut broken = Vec::new();
    match last("USER") {
        Some(found) if found == user => {}
        found => {
            let found = found.unwrap_or("whom its base names");
            broken.push(format!("the image runs as {found}, and its pods as {user}"));
        }
    }
    let is_list = |text: &str| serde_json::from_str::<Vec<String>>(text).is_ok_and(|words| !words.is_empty());
    if !last("ENTRYPOINT").is_some_and(is_list) {
        broken.push("ENTRYPOINT is no list of words: whatever else is run by a shell".to_owned());
    }
    if last("RUN").is_some() {
        broken.push("the last stage runs something: its base has no shell".to_owned());
    }
    let version = format!("org.opencontainers.image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    if !last("LABEL").is_some_and(|labels| labels.contains(&version)) {
        broken.push(format!("no label says {version}"));
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_read_over_several_lines_and_without_comments() {
        let text = "# a comment\narg A=b\n\nRUN one; \\\n  # why\n  two # three\nCMD\n";
        let found = instructions(text);
        let found: Vec<(&str, &str)> = found.iter().map(|found| (&*found.name, &*found.rest)).collect();
        assert_eq!(found, [("ARG", "A=b"), ("RUN", "one; two # three"), ("CMD", "")]);
    }

    #[test]
    fn a_promise_that_is_broken_is_named() {
        let whole = read().unwrap();
        let user = user_of_deployment().unwrap();
        assert_eq!(broken_promises(&whole, &user), Vec::<String>::new());
        for (kept, broken, complaint) in [
            ("USER 65532:65532", "USER root", "runs as root"),
            ("USER 65532:65532", "", "runs as whom its base names"),
            ("ARG RUNTIME=", "ARG OTHER=", "the argument RUNTIME"),
            ("FROM ${RUNTIME}", "FROM alpine", "\"alpine\" has neither"),
            (
                "FROM ${RUNTIME}",
                "FROM registry:5000/a",
                "\"registry:5000/a\" has neither",
            ),
            ("FROM ${RUNTIME}", "FROM a:latest", "\"a:latest\" has neither"),
            ("COPY --from=build", "COPY --from=busybox", "from busybox"),
            ("COPY . .", "ADD https://example.com/x .", "ADD is no instruction"),
            ("EXPOSE", "EXPOSES", "EXPOSES is no instruction"),
            ("EXPOSE 10259", "RUN true", "has no shell"),
            (
                "RUNTIME=gcr.io/distroless/cc-debian12:nonroot\n",
                "RUNTIME=debian:12\n",
                "none of distroless",
            ),
            ("arm64) cpu", "riscv64) cpu", "nothing is built for arm64"),
            ("version=\"", "version=\"9.", "no label says"),
            ("ENTRYPOINT [\"/usr/local/bin/muster\"]", "ENTRYPOINT muster", "no list"),
        ] {
            assert!(whole.contains(kept), "{kept}");
            let found = broken_promises(&whole.replacen(kept, broken, 1), &user);
            let [found] = &found[..] else {
                panic!("{broken}: {found:?}")
            };
            assert!(found.contains(complaint), "{broken}: {found}");
        }
    }

    #[test]
    fn a_base_may_be_a_stage_a_digest_or_nothing() {
        for image in ["scratch", "above", "a@sha256:0", "registry:5000/a:1", "${GIVEN}"] {
            let defaults = BTreeMap::from([("GIVEN", "b:2")]);
            assert_eq!(problem_of_base(image, &defaults, &["above"]), None, "{image}");
        }
    }
}
