//! Ages as kubectl writes them: `5m3s`, `3h7m`, `12d`.

use jiff::Timestamp;

/// How long ago it was. Source: `k8s.io/apimachinery/pkg/util/duration.HumanDuration`.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> String {
    of_seconds(now.duration_since(since).as_secs())
}

/// So many seconds, in the same way.
pub(crate) fn of_seconds(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    // The second part is left out where it is zero.
    let two = |big: i64, first: &str, small: i64, per_big: i64, second: &str| match seconds / small % per_big {
        0 => format!("{}{first}", seconds / big),
        rest => format!("{}{first}{rest}{second}", seconds / big),
    };
    match seconds {
        // Clocks may differ by a little.
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => two(MINUTE, "m", 1, 60, "s"),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => two(HOUR, "h", MINUTE, 60, "m"),
        _ if seconds < 48 * HOUR => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => two(DAY, "d", HOUR, 24, "h"),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two(YEAR, "y", DAY, 365, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of upstream's `TestHumanDuration`.
    #[test]
    fn as_kubectl_writes_it() {
        let (minute, hour, day, year) = (60, 3_600, 86_400, 365 * 86_400);
        for (seconds, text) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (1, "1s"),
            (70, "70s"),
            (190, "3m10s"),
            (10 * minute, "10m"),
            (10 * minute + 30, "10m"),
            (47 * minute, "47m"),
            (3 * hour - 1, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 7 * minute, "3h7m"),
            (8 * hour, "8h"),
            (8 * hour + 1, "8h"),
            (48 * hour, "2d"),
            (48 * hour - 1, "47h"),
            (7 * day + 3 * hour, "7d3h"),
            (8 * day, "8d"),
            (2 * year - 1, "729d"),
            (2 * year, "2y"),
            (2 * year + 1, "2y"),
            (2 * year + 5 * day, "2y5d"),
            (8 * year, "8y"),
            (30 * year, "30y"),
        ] {
            let now = Timestamp::from_second(10_000_000_000).unwrap();
            let since = Timestamp::from_second(10_000_000_000 - seconds).unwrap();
            assert_eq!(age(since, now), text, "{seconds}");
        }
    }
}
