//! The CSV files of traces.

use crate::document::Source;
use csv::{ReaderBuilder, StringRecord};
use std::collections::BTreeSet;

/// A larger number of anything is a damaged line: a million times a million bytes, or thirty thousand years.
const LARGEST: u64 = 1_000_000_000_000;
/// As Kubernetes limits names.
const NAME_MAX: usize = 253;

/// What becomes of a line that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadLines {
    /// It is an error.
    Refuse,
    /// It is counted and left out.
    Skip,
}

/// A cluster and what was asked of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// The nodes.
    pub(super) nodes: Vec<TraceNode>,
    /// The pods, in the order of time.
    pub(super) pods: Vec<TracePod>,
    /// What is wrong with the lines that were left out.
    pub skipped: Vec<TraceError>,
}

/// A node of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TraceNode {
    pub(super) name: String,
    pub(super) milli_cpu: u64,
    /// None: the trace does not say.
    pub(super) memory_mib: Option<u64>,
    pub(super) gpus: u64,
    pub(super) model: String,
}

/// A pod of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TracePod {
    pub(super) name: String,
    pub(super) milli_cpu: u64,
    pub(super) memory_mib: u64,
    /// Thousandths of GPUs in all.
    pub(super) gpu_milli: u64,
    /// The GPU models that will do; empty: any.
    pub(super) models: Vec<String>,
    /// Seconds.
    pub(super) created: u64,
    /// Seconds; None: for ever.
    pub(super) runs_for: Option<u64>,
    pub(super) gang: Option<Gang>,
}

/// The gang of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gang {
    pub(super) name: String,
    pub(super) min_count: u64,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {}{problem}", in_column(.column))]
pub struct TraceError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column by its name in the header; empty: the line as a whole.
    pub column: String,
    /// What is wrong.
    pub problem: String,
}

fn in_column(column: &str) -> String {
    if column.is_empty() {
        String::new()
    } else {
        format!("column {column}: ")
    }
}

impl Trace {
    /// Reads a trace of these nodes and pods.
    ///
    /// # Errors
    /// The first line that makes no sense, unless such are skipped; or a file that lacks columns or says nothing.
    pub fn load(nodes: &Source, pods: &Source, bad_lines: BadLines) -> Result<Trace, TraceError> {
        let mut skipped = Vec::new();
        let mut names = BTreeSet::new();
        let spot = Table::header_of(nodes)?.iter().any(|column| column == "gpu_model");
        let table = Table::open(nodes, if spot { &SPOT_NODE } else { &NODE })?;
        let node = |row: &Row<'_>| if spot { row.spot_node() } else { row.node() };
        let nodes = table.rows(bad_lines, &mut skipped, |row| {
            let node = node(row)?;
            row.is_new(&mut names, &node.name).map(|()| node)
        })?;
        names.clear();
        let table = Table::open(pods, &POD)?;
        let mut pods = table.rows(bad_lines, &mut skipped, |row| {
            let pod = row.pod()?;
            row.is_new(&mut names, &pod.name).map(|()| pod)
        })?;
        pods.sort_by_key(|pod| pod.created);
        Ok(Trace { nodes, pods, skipped })
    }

    /// How many pods it has.
    pub fn pods(&self) -> usize {
        self.pods.len()
    }
}

const NODE: [&str; 4] = ["sn", "cpu_milli", "memory_mib", "gpu"];
const SPOT_NODE: [&str; 4] = ["gpu_model", "gpu_capacity_num", "cpu_num", "node_name"];
const POD: [&str; 5] = ["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"];

/// A file with the names of its columns.
struct Table<'s> {
    source: &'s Source,
    columns: StringRecord,
}

/// A line of it.
struct Row<'t> {
    table: &'t Table<'t>,
    line: u64,
    cells: &'t StringRecord,
}

impl<'s> Table<'s> {
    fn header_of(source: &Source) -> Result<StringRecord, TraceError> {
        let wrong = |problem: String| TraceError {
            file: source.name.clone(),
            line: 1,
            column: String::new(),
            problem,
        };
        let mut reader = ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(source.text.as_bytes());
        let header = reader.headers().map_err(|error| wrong(error.to_string()))?;
        if header.is_empty() {
            return Err(wrong("there is no header with the names of columns".to_owned()));
        }
        Ok(header.clone())
    }

    fn open(source: &'s Source, needed: &[&str]) -> Result<Table<'s>, TraceError> {
        let columns = Table::header_of(source)?;
        let missing = needed.iter().find(|name| columns.iter().all(|column| column != **name));
        match missing {
            None => Ok(Table { source, columns }),
            Some(missing) => Err(TraceError {
                file: source.name.clone(),
                line: 1,
                column: (*missing).to_owned(),
                problem: format!("is missing; {} are needed", needed.join(", ")),
            }),
        }
    }

    fn rows<T>(
        &self,
        bad_lines: BadLines,
        skipped: &mut Vec<TraceError>,
        mut read: impl FnMut(&Row<'_>) -> Result<T, TraceError>,
    ) -> Result<Vec<T>, TraceError> {
        let mut reader = ReaderBuilder::new()
            .trim(csv::Trim::All)
            .flexible(true)
            .from_reader(self.source.text.as_bytes());
        let mut rows = Vec::new();
        let mut cells = StringRecord::new();
        while reader
            .read_record(&mut cells)
            .map_err(|error| self.unreadable(&error))?
        {
            let line = cells.position().map_or(0, csv::Position::line);
            let row = Row {
                table: self,
                line,
                cells: &cells,
            };
            match row.has_all_cells().and_then(|()| read(&row)) {
                Ok(value) => rows.push(value),
                Err(error) if bad_lines == BadLines::Skip => skipped.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(rows)
    }

    /// The text is UTF-8 and lines may be of any length: nothing is known that could be wrong, but the reader may know.
    fn unreadable(&self, error: &csv::Error) -> TraceError {
        TraceError {
            file: self.source.name.clone(),
            line: error.position().map_or(1, csv::Position::line),
            column: String::new(),
            problem: error.to_string(),
        }
    }
}

impl Row<'_> {
    fn wrong(&self, column: &str, problem: impl Into<String>) -> TraceError {
        TraceError {
            file: self.table.source.name.clone(),
            line: self.line,
            column: column.to_owned(),
            problem: problem.into(),
        }
    }

    fn has_all_cells(&self) -> Result<(), TraceError> {
        let (found, wanted) = (self.cells.len(), self.table.columns.len());
        if found == wanted {
            return Ok(());
        }
        Err(self.wrong("", format!("it has {found} cells, and the header has {wanted}")))
    }

    /// What stands in a column; empty also where there is no such column.
    fn text(&self, column: &str) -> &str {
        let at = self.table.columns.iter().position(|name| name == column);
        at.and_then(|at| self.cells.get(at)).unwrap_or_default()
    }

    fn number(&self, column: &str) -> Result<u64, TraceError> {
        let text = self.text(column);
        let number = text.parse().ok().filter(|number| *number <= LARGEST);
        number.ok_or_else(|| self.wrong(column, format!("{text:?} is no whole number from 0 to {LARGEST}")))
    }

    fn number_if_any(&self, column: &str) -> Result<Option<u64>, TraceError> {
        if self.text(column).is_empty() {
            return Ok(None);
        }
        self.number(column).map(Some)
    }

    /// A name that Kubernetes would take: others are rather a damaged line.
    fn name(&self, column: &str) -> Result<String, TraceError> {
        let name = self.text(column);
        let may = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        let is_name = name.len() <= NAME_MAX
            && name.bytes().all(may)
            && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
            && name.bytes().last().is_some_and(|last| last.is_ascii_alphanumeric());
        if is_name {
            return Ok(name.to_owned());
        }
        Err(self.wrong(
            column,
            format!("{name:?} is no name: lower case letters, digits, - and ."),
        ))
    }

    fn is_new(&self, names: &mut BTreeSet<String>, name: &str) -> Result<(), TraceError> {
        if names.insert(name.to_owned()) {
            return Ok(());
        }
        Err(self.wrong("", format!("{name:?} was there before")))
    }

    fn model(&self, column: &str) -> Result<String, TraceError> {
        let model = self.text(column);
        self.check_model(column, model).map(|()| model.to_owned())
    }

    /// Models become values of a label.
    fn check_model(&self, column: &str, model: &str) -> Result<(), TraceError> {
        let may = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if model.len() <= 63 && model.bytes().all(may) {
            return Ok(());
        }
        Err(self.wrong(column, format!("{model:?} is no name of a model")))
    }

    fn node(&self) -> Result<TraceNode, TraceError> {
        Ok(TraceNode {
            name: self.name("sn")?,
            milli_cpu: self.number("cpu_milli")?,
            memory_mib: Some(self.number("memory_mib")?),
            gpus: self.number("gpu")?,
            model: self.model("model")?,
        })
    }

    fn spot_node(&self) -> Result<TraceNode, TraceError> {
        Ok(TraceNode {
            name: self.name("node_name")?,
            milli_cpu: self.number("cpu_num")?.saturating_mul(1000),
            memory_mib: None,
            gpus: self.number("gpu_capacity_num")?,
            model: self.model("gpu_model")?,
        })
    }

    fn pod(&self) -> Result<TracePod, TraceError> {
        let created = self.number_if_any("creation_time")?.unwrap_or(0);
        let begun = self.number_if_any("scheduled_time")?.unwrap_or(created);
        let runs_for =
            match self.number_if_any("deletion_time")? {
                None => None,
                Some(ended) => Some(ended.checked_sub(begun).ok_or_else(|| {
                    self.wrong("deletion_time", format!("{ended} is before the pod began, at {begun}"))
                })?),
            };
        let models: Vec<String> = self
            .text("gpu_spec")
            .split('|')
            .filter(|model| !model.is_empty())
            .map(|model| self.check_model("gpu_spec", model).map(|()| model.to_owned()))
            .collect::<Result<_, _>>()?;
        Ok(TracePod {
            name: self.name("name")?,
            milli_cpu: self.number("cpu_milli")?,
            memory_mib: self.number("memory_mib")?,
            gpu_milli: self.number("num_gpu")?.saturating_mul(self.number("gpu_milli")?),
            models,
            created,
            runs_for,
            gang: self.gang()?,
        })
    }

    fn gang(&self) -> Result<Option<Gang>, TraceError> {
        if self.text("gang").is_empty() {
            return Ok(None);
        }
        let min_count = self.number("gang_min_count")?;
        if min_count == 0 || i32::try_from(min_count).is_err() {
            return Err(self.wrong("gang_min_count", "a gang needs at least one pod, and not billions"));
        }
        Ok(Some(Gang {
            name: self.name("gang")?,
            min_count,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source(name: &str, text: &str) -> Source {
        Source {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\nn-0,64000,262144,2,P100\nn-1,32000,131072,0,\n";
    const HEADER: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n";

    fn load(nodes: &str, pods: &str, bad_lines: BadLines) -> Result<Trace, TraceError> {
        Trace::load(&source("nodes.csv", nodes), &source("pods.csv", pods), bad_lines)
    }

    #[test]
    fn both_forms_are_read() {
        let pods = format!("{HEADER}b,1000,1024,1,500,P100|T4,LS,Running,60,200,100\na,1,2,0,0,,BE,Pending,7,,\n");
        let trace = load(NODES, &pods, BadLines::Refuse).unwrap();
        assert_eq!((trace.nodes.len(), trace.nodes[0].gpus), (2, 2));
        let pod = |at: usize| (&*trace.pods[at].name, trace.pods[at].created, trace.pods[at].runs_for);
        assert_eq!((pod(0), pod(1)), (("a", 7, None), ("b", 60, Some(100))));
        assert_eq!((trace.pods[1].gpu_milli, trace.pods[1].models.len()), (500, 2));

        let spot = "gpu_model,gpu_capacity_num,cpu_num,node_name\nA10,4,192,0\n";
        let short = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gang,gang_min_count\nx,1,1,2,1000,g,1\n";
        let trace = load(spot, short, BadLines::Refuse).unwrap();
        assert_eq!((trace.nodes[0].milli_cpu, trace.nodes[0].memory_mib), (192_000, None));
        assert_eq!(trace.pods[0].gang.as_ref().map(|gang| gang.min_count), Some(1));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let said = |pods: &str| load(NODES, pods, BadLines::Refuse).unwrap_err().to_string();
        let line = |line: &str| said(&format!("{HEADER}a,1,1,0,0,,LS,Running,0,9,0\n{line}\n"));
        let cases = [
            said(""),
            said("name,cpu_milli\n"),
            line("b,1,1,0,0,,LS,Running,0,9"),
            line("b,many,1,0,0,,LS,Running,0,9,0"),
            line("b,-1,1,0,0,,LS,Running,0,9,0"),
            line("b,1,9999999999999,0,0,,LS,Running,0,9,0"),
            line("b,1,1,0,0,,LS,Running,0,9,10"),
            line("B b,1,1,0,0,,LS,Running,0,9,0"),
            line("a,1,1,0,0,,LS,Running,0,9,0"),
            line("b,1,1,1,500,P 100,LS,Running,0,9,0"),
            load("sn\n", HEADER, BadLines::Refuse).unwrap_err().to_string(),
        ];
        insta::assert_snapshot!(cases.join("\n"));
    }

    #[test]
    fn bad_lines_can_be_left_out() {
        let pods = format!("{HEADER}a,1,1,0,0,,LS,Running,0,9,0\nb,x,1,0,0,,LS,Running,0,9,0\nc,1\n");
        let trace = load(NODES, &pods, BadLines::Skip).unwrap();
        assert_eq!((trace.pods.len(), trace.skipped.len()), (1, 2));
        assert_eq!(
            trace.skipped[1].to_string(),
            "pods.csv:4: it has 2 cells, and the header has 11"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(name|cpu_milli|sn|,|\n|\"|9|.{0,4}){0,40}") {
            for bad_lines in [BadLines::Refuse, BadLines::Skip] {
                let _ = load(&text, HEADER, bad_lines);
                let _ = load(NODES, &text, bad_lines);
                let _ = load(NODES, &format!("{HEADER}{text}"), bad_lines);
            }
        }
    }

    #[test]
    fn every_truncation_is_read_or_told() {
        let pods = format!("{HEADER}b,1000,1024,1,500,P100|T4,LS,Running,60,200,100\n");
        for length in 0..pods.len() {
            let _ = load(NODES, &pods[..length], BadLines::Refuse);
        }
    }
}
