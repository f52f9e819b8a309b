//! The report of a trace as one page: no script, nothing from elsewhere, plots as SVG in the page.

use super::run::{Sample, TraceReport};
use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 28.0;
const COLOURS: [&str; 3] = ["#0b6fb8", "#c4561a", "#2b8a3e"];

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:780px;margin:2em auto;padding:0 1em;color:#222}\
    table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}\
    svg{width:100%;height:auto}svg text{font:12px sans-serif;fill:#444}";

/// The page. `title` names the trace.
pub fn page(report: &TraceReport, title: &str) -> String {
    let mut page = String::new();
    let title = escaped(title);
    let _ = writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<title>{title}</title>"
    );
    let _ = writeln!(page, "<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>");
    let _ = writeln!(
        page,
        "<p>{} pods on {} nodes in {} of virtual time: {} got a node, {} wait in the end. {} lines were left out. Seed {}.</p>",
        report.pods,
        report.nodes,
        duration(report.virtual_seconds),
        report.bound,
        report.waiting,
        report.skipped_lines,
        report.seed
    );
    let samples = &report.samples;
    let percent = |value: fn(&Sample) -> f64| -> Vec<(f64, f64)> {
        samples
            .iter()
            .map(|sample| (sample.at, 100.0 * value(sample)))
            .collect()
    };
    let mut used = vec![
        ("CPU", percent(|sample| sample.cpu)),
        ("memory", percent(|sample| sample.memory)),
    ];
    if report.fragmentation_of == "gpu" {
        used.push(("GPU", percent(|sample| sample.gpu)));
    }
    section(&mut page, "Utilisation, %", &lines(&used, Some(100.0)));
    let queue = samples.iter().map(|sample| (sample.at, sample.queue as f64)).collect();
    section(&mut page, "Pods that wait", &lines(&[("queue", queue)], None));
    let fragmentation = [("fragmentation", percent(|sample| sample.fragmentation))];
    let heading = format!(
        "Fragmentation, % of free {} that the trace's pods could not use where it is",
        report.fragmentation_of.to_uppercase()
    );
    section(&mut page, &heading, &lines(&fragmentation, Some(100.0)));
    section(&mut page, "Waits by size of the gang", &waits(report));
    reasons(report, &mut page);
    page.push_str("</body>\n</html>\n");
    page
}

fn section(page: &mut String, heading: &str, body: &str) {
    let _ = writeln!(page, "<h2>{}</h2>\n{body}", escaped(heading));
}

/// One line for each series. `top` is where the axis ends; None: at the largest value.
fn lines(series: &[(&str, Vec<(f64, f64)>)], top: Option<f64>) -> String {
    let points = || series.iter().flat_map(|(_, points)| points);
    let largest = points().map(|(_, y)| *y).fold(1.0, f64::max);
    let top = top.unwrap_or(largest).max(largest);
    let last = points().map(|(x, _)| *x).fold(1e-9, f64::max);
    let at = |(x, y): (f64, f64)| {
        (
            LEFT + x / last * (WIDTH - LEFT - 8.0),
            8.0 + (1.0 - y / top) * (HEIGHT - BOTTOM - 8.0),
        )
    };
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n");
    for quarter in 0..=4 {
        let value = top * f64::from(quarter) / 4.0;
        let (x, y) = at((0.0, value));
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
            x - 6.0,
            y + 4.0
        );
        let moment = last * f64::from(quarter) / 4.0;
        let (x, y) = at((moment, 0.0));
        let anchor = if quarter == 4 { "end" } else { "middle" };
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            y + 18.0,
            duration(moment)
        );
    }
    for (number, (name, points)) in series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let path: Vec<String> = points
            .iter()
            .map(|point| {
                let (x, y) = at(*point);
                format!("{x:.1},{y:.1}")
            })
            .collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            path.join(" ")
        );
        let x = LEFT + 12.0 + 110.0 * number as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"12\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{}\" y=\"21\">{}</text>",
            x + 14.0,
            escaped(name)
        );
    }
    svg.push_str("</svg>");
    svg
}

/// A table with bars: sizes of gangs are too unlike for one scale.
fn waits(report: &TraceReport) -> String {
    let longest = report.waits.iter().map(|waits| waits.max).fold(1e-9, f64::max);
    let mut table = String::from(
        "<table>\n<tr><th>pods in the gang</th><th>pods</th><th>waiting</th><th>p50</th><th>p90</th><th>p99</th><th>longest</th><th>p50, p90, longest</th></tr>\n",
    );
    for waits in &report.waits {
        let _ = write!(
            table,
            "<tr><td>{}</td><td>{}</td><td>{}</td>",
            waits.gang_size, waits.pods, waits.waiting
        );
        for value in [waits.p50, waits.p90, waits.p99, waits.max] {
            let _ = write!(table, "<td>{}</td>", duration(value));
        }
        table.push_str("<td><svg viewBox=\"0 0 160 14\" style=\"width:160px\">");
        for (value, colour) in [(waits.max, "#dbe9f4"), (waits.p90, "#7fb2d9"), (waits.p50, COLOURS[0])] {
            let width = 160.0 * value / longest;
            let _ = write!(
                table,
                "<rect x=\"0\" y=\"2\" width=\"{width:.1}\" height=\"10\" fill=\"{colour}\"/>"
            );
        }
        table.push_str("</svg></td></tr>\n");
    }
    table.push_str("</table>");
    table
}

fn reasons(report: &TraceReport, page: &mut String) {
    if report.reasons.is_empty() {
        return;
    }
    page.push_str("<h2>Why pods wait in the end</h2>\n<ul>\n");
    for (why, count) in &report.reasons {
        let _ = writeln!(page, "<li>{count}: {}</li>", escaped(why));
    }
    page.push_str("</ul>\n");
}

/// Two units at the most, as people say it.
fn duration(seconds: f64) -> String {
    match seconds {
        _ if seconds < 60.0 => format!("{seconds:.1} s"),
        _ if seconds < 3600.0 => format!("{:.1} min", seconds / 60.0),
        _ if seconds < 172_800.0 => format!("{:.1} h", seconds / 3600.0),
        _ => format!("{:.1} d", seconds / 86_400.0),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
