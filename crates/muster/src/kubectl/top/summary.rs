//! The lines over the panes: who leads, what the queue holds, how much happens and how long it takes.

use super::rates::{History, Latencies, Quantile, Rates, Span, quantile};
use crate::kubectl::age;
use crate::overview::document::{Counters, Document, Histogram};

/// A line: what it is about, and what is said.
pub(super) type Line = (&'static str, String);

/// All of them.
pub(super) fn lines(answer: &Document, history: &History) -> Vec<Line> {
    let mut lines = vec![("Leader", leader(answer)), ("Queue", queue(answer))];
    let Some(counters) = &answer.counters else {
        return lines;
    };
    lines.push(match history.rates() {
        Some(rates) => ("Per second", rates_text(&rates)),
        None => ("Since start", totals(counters)),
    });
    if let Some(latencies) = history.latencies() {
        lines.push(("p50/p99", latencies_text(&latencies)));
    }
    lines
}

fn leader(answer: &Document) -> String {
    let leader = &answer.leader;
    let mut parts = vec![leader.identity.clone()];
    parts.push(format!("up {}", age::of_seconds(leader.uptime_seconds as i64)));
    match &leader.lease {
        Some(lease) => parts.push(format!(
            "lease {}/{} good for {:.1}s",
            lease.namespace, lease.name, lease.margin_seconds
        )),
        None => parts.push("no lease".to_owned()),
    }
    if let Some(nodes) = answer.nodes {
        parts.push(format!("{nodes} nodes"));
    }
    parts.join(", ")
}

fn queue(answer: &Document) -> String {
    let sections = answer.queue.iter().map(|section| match section.gangs {
        0 => format!("{} {}", section.name, section.pods),
        1 => format!("{} {} (1 gang)", section.name, section.pods),
        gangs => format!("{} {} ({gangs} gangs)", section.name, section.pods),
    });
    sections.collect::<Vec<_>>().join("  ")
}

fn rates_text(rates: &Rates) -> String {
    let all: f64 = rates.attempts.iter().map(|(_, rate)| rate).sum();
    let by_result: Vec<_> = rates
        .attempts
        .iter()
        .map(|(result, rate)| format!("{result} {rate:.1}"))
        .collect();
    format!(
        "{all:.1} attempts ({}), {:.1} binds, {:.1} failed",
        by_result.join(", "),
        rates.bound,
        rates.bind_failures
    )
}

fn totals(counters: &Counters) -> String {
    let all = counters.attempts.values().fold(0_u64, |sum, n| sum.saturating_add(*n));
    let by_result: Vec<_> = counters
        .attempts
        .iter()
        .map(|(result, n)| format!("{result} {n}"))
        .collect();
    format!(
        "{all} attempts ({}), {} binds, {} failed",
        by_result.join(", "),
        counters.bound,
        counters.bind_failures
    )
}

fn latencies_text(latencies: &Latencies) -> String {
    let of = |what: &str, histogram: &Histogram| {
        let [median, high] = [0.5, 0.99].map(|part| quantile(histogram, part).map_or("-".to_owned(), quantile_text));
        format!("{what} {median}/{high}")
    };
    let span = match latencies.span {
        Span::SinceStart => "since start",
        Span::LastMinute => "last minute",
    };
    [
        of("decision", &latencies.attempt),
        of("pod", &latencies.scheduling),
        of("gang", &latencies.gang_wait),
        of("request", &latencies.requests),
    ]
    .join(", ")
        + &format!(" ({span})")
}

fn quantile_text(quantile: Quantile) -> String {
    match quantile {
        Quantile::Below(seconds) => format!("<{}", seconds_text(seconds)),
        Quantile::About(seconds) => seconds_text(seconds),
        Quantile::Above(seconds) => format!(">{}", seconds_text(seconds)),
    }
}

fn seconds_text(seconds: f64) -> String {
    match seconds {
        ..0.0995 => format!("{:.0}ms", seconds * 1000.0),
        0.0995..9.95 => format!("{seconds:.1}s"),
        _ => age::of_seconds(seconds.round() as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_short() {
        let texts = [0.001, 0.0425, 0.25, 9.94, 9.96, 75.0, 5242.88, f64::INFINITY, f64::NAN].map(seconds_text);
        assert_eq!(
            texts[..7],
            ["1ms", "42ms", "0.2s", "9.9s", "10s", "75s", "87m"].map(str::to_owned)
        );
    }
}
