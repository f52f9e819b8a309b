//! Prometheus' text format, read as far as it takes to compare what two programs say in it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};

/// Metrics by name.
pub type Families = BTreeMap<String, Family>;

/// All series of one name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Family {
    /// `counter`, `gauge`, `histogram` …
    pub kind: String,
    /// What it is, for people.
    pub help: String,
    /// The names of its labels, without `le`, and the values that each has.
    pub labels: BTreeMap<String, BTreeSet<String>>,
    /// Upper bounds of the buckets, smallest first, for a histogram.
    pub buckets: Vec<String>,
    /// How many series it has.
    pub series: usize,
}

/// Reads what `/metrics` says.
///
/// # Errors
/// A line is not what it ought to be; it is quoted.
pub fn parse(text: &str) -> Result<Families> {
    let mut families = Families::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').with_context(|| line.to_owned())?;
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            add_series(&mut families, line).with_context(|| format!("reading the line {line:?}"))?;
        }
    }
    Ok(families)
}

/// What is more in a later reading as it never is where labels have values from closed lists: a label that a metric did not
/// have, and more than `few` new values of one.
pub fn growth(before: &Families, after: &Families, few: usize) -> Vec<String> {
    const SHOWN: usize = 3;
    let mut found = Vec::new();
    for (name, family) in after {
        let former = before.get(name);
        for (label, values) in &family.labels {
            let known = former.and_then(|former| former.labels.get(label));
            if known.is_none() && former.is_some_and(|former| former.series > 0) {
                found.push(format!("{name} has the new label {label}"));
            }
            let is_new = |value: &&String| known.is_none_or(|known| !known.contains(*value));
            let new: Vec<&String> = values.iter().filter(is_new).collect();
            if new.len() > few {
                let shown = &new[..SHOWN.min(new.len())];
                found.push(format!(
                    "{name}: {label} has {} new values, such as {shown:?}",
                    new.len()
                ));
            }
        }
    }
    found
}

fn add_series(families: &mut Families, line: &str) -> Result<()> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, rest) = line.split_at(end);
    let family = family_of(families, name).with_context(|| format!("{name} has no type"))?;
    let mut labels = read_labels(rest)?;
    if let Some(bound) = labels.remove("le")
        && !family.buckets.contains(&bound)
    {
        family.buckets.push(bound);
    }
    family.series += 1;
    for (label, value) in labels {
        family.labels.entry(label).or_default().insert(value);
    }
    Ok(())
}

/// The family that a series is of: that of its name, or of its name without what series of histograms end with.
fn family_of<'a>(families: &'a mut Families, name: &str) -> Option<&'a mut Family> {
    let endings = ["", "_bucket", "_sum", "_count"];
    let mut stems = endings.iter().filter_map(|ending| name.strip_suffix(ending));
    let known = stems.find(|stem| families.contains_key(*stem))?.to_owned();
    families.get_mut(&known)
}

fn read_labels(text: &str) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    let Some(mut rest) = text.strip_prefix('{') else {
        return Ok(labels);
    };
    while !rest.starts_with('}') {
        let (name, after) = rest.split_once("=\"").context("a label without a value")?;
        let (value, after) = read_value(after)?;
        labels.insert(name.to_owned(), value);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Ok(labels)
}

/// A value up to its closing quotation mark, and what follows.
fn read_value(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => {
                value.push(if character == 'n' { '\n' } else { character });
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Ok((value, &text[at + 1..])),
            _ => value.push(character),
        }
    }
    bail!("a value that does not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_types_labels_and_buckets() {
        let text = "# HELP a_total What.\n# TYPE a_total counter\na_total{x=\"1\",y=\"q\\\"{\"} 3\na_total{x=\"2\",y=\"\"} 0\n\
                    # TYPE b histogram\nb_bucket{le=\"1\"} 0\nb_bucket{le=\"+Inf\"} 2\nb_sum 3\nb_count 2\n";
        let families = parse(text).unwrap();
        let a = &families["a_total"];
        assert_eq!((a.kind.as_str(), a.help.as_str(), a.series), ("counter", "What.", 2));
        assert_eq!(a.labels["x"], BTreeSet::from(["1".to_owned(), "2".to_owned()]));
        assert_eq!(a.labels["y"], BTreeSet::from([String::new(), "q\"{".to_owned()]));
        assert_eq!(
            (families["b"].buckets.join(" "), families["b"].labels.len()),
            ("1 +Inf".to_owned(), 0)
        );
    }

    #[test]
    fn what_grows_with_the_work_is_found() {
        let page = |label: &str, n: usize| {
            let series = (0..n).map(|n| format!("a_total{{result=\"r{}\",{label}=\"v{n}\"}} 1\n", n % 2));
            parse(&format!("# TYPE a_total counter\n{}", series.collect::<String>())).unwrap()
        };
        // Rare words of a closed list.
        assert!(growth(&page("event", 3), &page("event", 8), 5).is_empty());
        assert_eq!(
            growth(&page("pod", 3), &page("pod", 20), 5),
            ["a_total: pod has 17 new values, such as [\"v10\", \"v11\", \"v12\"]"]
        );
        assert_eq!(
            growth(&page("event", 2), &page("pod", 2), 5),
            ["a_total has the new label pod"]
        );
        // A metric that nothing was said of before.
        let unused = parse("# TYPE a_total counter\n").unwrap();
        assert!(growth(&unused, &page("event", 2), 5).is_empty());
        for before in [unused, Families::new()] {
            assert_eq!(growth(&before, &page("pod", 20), 5).len(), 1);
        }
    }

    #[test]
    fn what_is_no_exposition_is_refused_with_the_line() {
        for text in ["a 1", "# TYPE a gauge\na{x=\"1} 1", "# TYPE a gauge\na{x} 1"] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains("reading the line"), "{error}");
        }
    }
}
