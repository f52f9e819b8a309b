//! Workloads: scenarios whose numbers have names, so that the same thing can be played in several sizes and be measured.
//!
//! A workload is a file whose first document is a `Bench`. It lists sizes, each with the same *parameters*; the `Generate`
//! documents after it use them, as `count`, as divisors in placeholders, and as numbers in templates. It says from when on
//! is measured, and what has to be true in the end: speed with a wrong answer counts for nothing.

use crate::check::{Violation, violations_at_rest};
use crate::document::{InputError, Source, documents};
use crate::generate::Parameters;
use crate::object::ObjectKind;
use crate::scenario::{Loaded, Reader, Scenario, Wanted};
use crate::simulation::Simulation;
use crate::span::Span;
use muster_engine::Time;
use muster_framework::record::PodPhase;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A scenario to be measured, in one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// What it is about, in a sentence.
    pub about: String,
    /// The size that is played.
    pub size: Size,
    /// What happens at this time and later is measured.
    pub from: Time,
    /// When it ends.
    pub until: Time,
    /// How many pods are without a node then.
    pub waiting: u64,
    /// What there is, and what happens.
    pub scenario: Scenario,
}

/// One size of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Size {
    /// Its name.
    pub name: String,
    /// The numbers, by their names.
    #[serde(flatten)]
    pub parameters: Parameters,
}

/// What is wrong with the end of a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Something that must never be.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// Another number of pods than expected is without a node.
    #[error("{found} pods wait at the end, {expected} should")]
    Waiting {
        /// How many should be.
        expected: u64,
        /// How many are.
        found: u64,
    },
}

/// The `Bench` document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct BenchDocument {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    about: String,
    sizes: Vec<Size>,
    from: Span,
    pub(crate) until: Span,
    #[serde(default)]
    waiting: Vec<Count>,
}

/// How many: a number, or a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Count {
    Number(u64),
    Parameter(String),
}

impl Workload {
    /// Reads a workload, in the size that is wanted. Kinds that are not simulated are errors.
    ///
    /// # Errors
    /// The first thing that cannot be read, with its place, or that there is no such size or parameter.
    pub fn load(source: &Source, wanted: Wanted) -> Result<Workload, InputError> {
        let mut reader = Reader::new(true, wanted);
        reader.source(source)?;
        let (bench, size) = reader.bench.take().ok_or_else(|| no_bench(source))?;
        let Loaded { scenario, .. } = reader.finish();
        let number = |count: &Count| count.number(&size.parameters).unwrap_or_default();
        Ok(Workload {
            waiting: bench.waiting.iter().map(number).sum(),
            about: bench.about,
            from: Time::ZERO + bench.from.0,
            until: Time::ZERO + bench.until.0,
            scenario,
            size,
        })
    }

    /// What a workload is about, in a sentence, and its sizes: the first document alone is read.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn overview(source: &Source) -> Result<(String, Vec<Size>), InputError> {
        let mut reader = Reader::new(true, Wanted::default());
        if let Some(first) = documents(source)?.first() {
            reader.document(first)?;
        }
        let (bench, _) = reader.bench.ok_or_else(|| no_bench(source))?;
        Ok((bench.about, bench.sizes))
    }

    /// Looks at the end of a simulation of this workload.
    ///
    /// # Errors
    /// The first thing that is not as it must be.
    pub fn check(&self, simulation: &Simulation) -> Result<(), Wrong> {
        if let Some(violation) = violations_at_rest(simulation).into_iter().next() {
            return Err(Wrong::Violation(violation));
        }
        let pods = simulation.cluster().list(ObjectKind::Pod).filter_map(|pod| pod.pod());
        let waiting = pods.filter(|pod| pod.phase == PodPhase::Active && pod.node_name.is_none());
        let (expected, found) = (self.waiting, waiting.count() as u64);
        if expected == found {
            Ok(())
        } else {
            Err(Wrong::Waiting { expected, found })
        }
    }
}

fn no_bench(source: &Source) -> InputError {
    InputError {
        file: source.name.clone(),
        document: 1,
        line: None,
        message: "a workload begins with a Bench of sim.muster.dev/v1alpha1, and this does not".to_owned(),
    }
}

impl BenchDocument {
    /// The size that is wanted; otherwise the field that is wrong, and what is wrong with it.
    pub(crate) fn size(&self, wanted: &Wanted) -> Result<Size, (String, String)> {
        if self.until.0 <= self.from.0 {
            return Err(("until".to_owned(), "nothing is measured before it".to_owned()));
        }
        let Some(first) = self.sizes.first() else {
            return Err(("sizes".to_owned(), "there is none".to_owned()));
        };
        for (at, size) in self.sizes.iter().enumerate() {
            check_parameters(first, size).map_err(|problem| (format!("sizes[{at}]"), problem))?;
        }
        let mut size = match &wanted.size {
            None => first.clone(),
            Some(name) => {
                let mut named = self.sizes.iter().filter(|size| size.name == *name);
                named.next().cloned().ok_or_else(|| {
                    let names: Vec<&str> = self.sizes.iter().map(|size| size.name.as_str()).collect();
                    (
                        "sizes".to_owned(),
                        format!("there is no {name:?} among {}", names.join(", ")),
                    )
                })?
            }
        };
        for (name, number) in &wanted.instead {
            let parameter = size.parameters.get_mut(name);
            *parameter.ok_or_else(|| ("sizes".to_owned(), no_parameter(name, &first.parameters)))? = *number;
        }
        for (at, count) in self.waiting.iter().enumerate() {
            let number = count.number(&size.parameters);
            number.map_err(|problem| (format!("waiting[{at}]"), problem))?;
        }
        Ok(size)
    }
}

/// All sizes have the same parameters, by names that placeholders can use, and none divides by zero.
fn check_parameters(first: &Size, size: &Size) -> Result<(), String> {
    let names = |size: &Size| size.parameters.keys().cloned().collect::<BTreeSet<_>>();
    if names(first) != names(size) {
        return Err(format!(
            "its parameters are not those of {:?}, the first one",
            first.name
        ));
    }
    let is_word = |name: &str| name != "i" && name.chars().all(|c| c.is_ascii_lowercase());
    match names(size).iter().find(|name| !is_word(name)) {
        Some(name) => Err(format!("{name:?} is not a word of lower-case letters, or is the index")),
        None => Ok(()),
    }
}

fn no_parameter(name: &str, parameters: &Parameters) -> String {
    let known: Vec<&str> = parameters.keys().map(String::as_str).collect();
    if known.is_empty() {
        format!("there is no parameter {name:?}: parameters are those of a Bench before it")
    } else {
        format!("there is no parameter {name:?} among {}", known.join(", "))
    }
}

impl Count {
    /// The number that is meant; otherwise what is wrong.
    pub(crate) fn number(&self, parameters: &Parameters) -> Result<u64, String> {
        match self {
            Count::Number(number) => Ok(*number),
            Count::Parameter(name) => parameters
                .get(name)
                .copied()
                .ok_or_else(|| no_parameter(name, parameters)),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of objects, or the name of a parameter")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Count, E> {
                Ok(Count::Number(number))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Count, E> {
                Ok(Count::Parameter(name.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Action;

    const BENCH: &str = "apiVersion: sim.muster.dev/v1alpha1\nkind: Bench\nabout: Pods.\nfrom: 1m\nuntil: 2m\n";
    const SIZES: &str = "sizes:\n- {name: large, nodes: 100, members: 3}\n- {name: small, nodes: 2, members: 3}\n";
    const NODES: &str = "---\napiVersion: sim.muster.dev/v1alpha1\nkind: Generate\ncount: nodes\n\
                         template: {apiVersion: v1, kind: Node, metadata: {name: 'n-{i}'}}\n";

    fn load(text: &str, wanted: Wanted) -> Result<Workload, String> {
        let source = Source {
            name: "w.yaml".to_owned(),
            text: text.to_owned(),
        };
        Workload::load(&source, wanted).map_err(|error| error.to_string())
    }

    fn sized(size: &str, instead: &[(&str, u64)]) -> Wanted {
        Wanted {
            size: (!size.is_empty()).then(|| size.to_owned()),
            instead: instead
                .iter()
                .map(|(name, number)| ((*name).to_owned(), *number))
                .collect(),
        }
    }

    #[test]
    fn a_size_gives_the_numbers_and_others_can_be_taken_instead() {
        let text = format!("{BENCH}waiting: [members, 1]\n{SIZES}{NODES}");
        let source = Source {
            name: "w.yaml".to_owned(),
            text: text.clone(),
        };
        let (about, sizes) = Workload::overview(&source).unwrap();
        assert_eq!(
            (about.as_str(), sizes[1].name.as_str(), sizes.len()),
            ("Pods.", "small", 2)
        );
        for (wanted, nodes) in [
            (Wanted::default(), 100),
            (sized("small", &[]), 2),
            (sized("small", &[("nodes", 5)]), 5),
        ] {
            let workload = load(&text, wanted).unwrap();
            assert_eq!(workload.scenario.actions.len(), nodes);
            assert_eq!(workload.waiting, 4);
            assert_eq!((workload.from, workload.until), (Time(60_000_000), Time(120_000_000)));
        }
    }

    #[test]
    fn numbers_of_templates_are_numbers() {
        let gangs = "---\napiVersion: sim.muster.dev/v1alpha1\nkind: Generate\ncount: 1\nlives: 5s\ntemplate:\n  \
                     apiVersion: scheduling.k8s.io/v1alpha1\n  kind: Workload\n  metadata: {name: g}\n  spec:\n    \
                     podGroups: [{name: w, policy: {gang: {minCount: '{members}'}}}]\n";
        let workload = load(&format!("{BENCH}{SIZES}{gangs}"), Wanted::default()).unwrap();
        let Action::Apply(gang) = &workload.scenario.actions[0].action else {
            panic!("{:?}", workload.scenario.actions[0]);
        };
        assert_eq!(gang["spec"]["podGroups"][0]["policy"]["gang"]["minCount"], 3);
        assert!(matches!(workload.scenario.actions[1].action, Action::Delete(_)));
        assert_eq!(workload.scenario.actions[1].at, Time(5_000_000));
    }

    #[test]
    fn mistakes_name_the_field() {
        let bench = |rest: &str| format!("{BENCH}{rest}");
        let misnamed = NODES.replace("count: nodes", "count: nodez");
        let divided = NODES.replace("{i}", "{i%zones}");
        for (text, wanted, expected) in [
            (
                NODES.to_owned(),
                sized("", &[]),
                "no parameter \"nodes\": parameters are those of a Bench",
            ),
            (
                bench("sizes: []\n"),
                sized("", &[]),
                "line 6: Bench: sizes: there is none",
            ),
            (
                bench(SIZES) + &misnamed,
                sized("", &[]),
                "Generate: count: there is no parameter \"nodez\" among members, nodes",
            ),
            (bench(SIZES) + &divided, sized("", &[]), "is not a placeholder"),
            (bench(SIZES) + "sises: 1\n", sized("", &[]), "unknown field `sises`"),
            (
                bench(SIZES),
                sized("huge", &[]),
                "Bench: sizes: there is no \"huge\" among large, small",
            ),
            (
                bench(SIZES),
                sized("", &[("pods", 1)]),
                "there is no parameter \"pods\" among members, nodes",
            ),
            (
                bench(SIZES) + "waiting: [hopeless]\n",
                sized("", &[]),
                "Bench: waiting[0]: there is no parameter",
            ),
            (
                bench(SIZES) + "waiting: [-1]\n",
                sized("", &[]),
                "expected a number of objects, or the name of a parameter",
            ),
            (
                bench("sizes: [{name: a, x: 1}, {name: b}]\n"),
                sized("", &[]),
                "sizes[1]: its parameters are not those of \"a\"",
            ),
            (
                bench("sizes: [{name: a, i: 1}]\n"),
                sized("", &[]),
                "sizes[0]: \"i\" is not a word",
            ),
            (bench("sizes: [{name: a, x: many}]\n"), sized("", &[]), "Bench: sizes"),
            (
                bench(SIZES).replace("2m", "1m"),
                sized("", &[]),
                "Bench: until: nothing is measured",
            ),
            (
                bench(SIZES) + "---\n" + &bench(SIZES),
                sized("", &[]),
                "more than one Bench",
            ),
            (
                format!(
                    "{}\n{}",
                    NODES.replace("count: nodes", "count: 1"),
                    bench(SIZES).replacen("api", "---\napi", 1)
                ),
                sized("", &[]),
                "must be the first document",
            ),
        ] {
            let error = load(&text, wanted).unwrap_err();
            assert!(
                error.starts_with("w.yaml, document ") && error.contains(expected),
                "{error}"
            );
        }
    }
}
