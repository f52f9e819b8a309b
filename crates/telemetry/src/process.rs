//! Metrics of the process itself, read from `/proc` when somebody asks.
//!
//! The `prometheus` crate has a collector of its own, but it counts CPU time in whole seconds, too coarse to tell what
//! a thousand binds cost.

use prometheus::{Counter, Gauge, Registry};
use std::fs;

/// Ticks a second in `/proc/*/stat`: the kernel's USER_HZ, 100 on every architecture that Linux still has.
const TICKS_PER_SECOND: f64 = 100.0;

/// The `process_*` family, with the names that every Prometheus client library uses.
pub(crate) struct Process {
    cpu: Counter,
    resident: Gauge,
    virtual_memory: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    threads: Gauge,
    /// It does not change: it is read once.
    start_time: Gauge,
}

impl Process {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Process> {
        let gauge = |name, help| -> prometheus::Result<Gauge> {
            let gauge = Gauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let cpu = Counter::new(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
        )?;
        registry.register(Box::new(cpu.clone()))?;
        let start_time = gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
        )?;
        let after_boot = Stat::read().map(|stat| stat.started_after_boot);
        set(
            &start_time,
            boot_time().zip(after_boot).map(|(boot, after)| boot + after),
        );
        Ok(Process {
            cpu,
            resident: gauge("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            virtual_memory: gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
            open_fds: gauge("process_open_fds", "Number of open file descriptors.")?,
            max_fds: gauge("process_max_fds", "Maximum number of open file descriptors.")?,
            threads: gauge("process_threads", "Number of OS threads in the process.")?,
            start_time,
        })
    }

    /// When the process began.
    pub(crate) fn start_time(&self) -> &Gauge {
        &self.start_time
    }

    /// Reads everything anew. What cannot be read keeps its value: a missing `/proc` must not fail a scrape.
    pub(crate) fn refresh(&self) {
        if let Some(stat) = Stat::read() {
            self.cpu.inc_by((stat.cpu_seconds - self.cpu.get()).max(0.0));
            self.threads.set(stat.threads);
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            set(&self.resident, kilobytes(&status, "VmRSS:"));
            set(&self.virtual_memory, kilobytes(&status, "VmSize:"));
        }
        set(
            &self.open_fds,
            fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64),
        );
        set(
            &self.max_fds,
            fs::read_to_string("/proc/self/limits")
                .ok()
                .as_deref()
                .and_then(max_open_files),
        );
    }
}

fn set(gauge: &Gauge, value: Option<f64>) {
    if let Some(value) = value {
        gauge.set(value);
    }
}

/// What is used of `/proc/self/stat`.
struct Stat {
    cpu_seconds: f64,
    threads: f64,
    started_after_boot: f64,
}

impl Stat {
    fn read() -> Option<Stat> {
        Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Stat> {
        // The second field is the command in parentheses and may itself hold blanks and parentheses.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        // proc(5) counts from 1, and the first field here is the third there.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Stat {
            cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            threads: field(20)?,
            started_after_boot: field(22)? / TICKS_PER_SECOND,
        })
    }
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

fn kilobytes(status: &str, key: &str) -> Option<f64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(key))?;
    let number: f64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(number * 1024.0)
}

fn max_open_files(limits: &str) -> Option<f64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_survives_a_strange_command_name() {
        let text = "7 (a b) c)) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 1200 1 1";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(
            (stat.cpu_seconds, stat.threads, stat.started_after_boot),
            (3.0, 9.0, 12.0)
        );
        assert!(Stat::parse("").is_none());
    }

    #[test]
    fn limits_and_memory_are_found_by_name() {
        assert_eq!(
            max_open_files("Limit  Soft Hard\nMax open files   1024   4096   files\n"),
            Some(1024.0)
        );
        assert_eq!(max_open_files("Max open files   unlimited   unlimited   files\n"), None);
        assert_eq!(kilobytes("VmSize:\t 12 kB\nVmRSS:\t  4 kB\n", "VmRSS:"), Some(4096.0));
    }
}
