//! Settings for replicas that fail, are full, or have just come.

use std::time::Duration;

use super::{HOUR, MILLISECOND};
use crate::config::model::{Entry, Kind, at};
use crate::config::tree::Config;
use crate::config::types;

pub(super) const OUTLIERS: &[Entry<Config>] = &[
    Entry::new(
        "outlier-detection.consecutive-failures",
        "outlier-consecutive-failures",
        "N",
        at!(Config: control.outliers.consecutive_failures),
        Kind::integer(0, 10_000, "failures"),
        "Requests in a row that fail at a replica before it is ejected, whatever its heartbeats say: no \
         connection, none or a broken response, 502, 503 or 504. 0 for never.",
    )
    .on_reload(),
    Entry::new(
        "outlier-detection.base-ejection-time",
        "outlier-base-ejection-time",
        "DURATION",
        at!(Config: control.outliers.base_ejection_time),
        Kind::duration(Duration::from_millis(10), HOUR),
        "How long it gets no requests then. Each time that its trial fails it is twice as long.",
    )
    .on_reload(),
    Entry::new(
        "outlier-detection.max-ejection-time",
        "outlier-max-ejection-time",
        "DURATION",
        at!(Config: control.outliers.max_ejection_time),
        Kind::duration(Duration::from_millis(10), HOUR),
        "The longest that may become.",
    )
    .on_reload(),
    Entry::new(
        "outlier-detection.max-ejection-percent",
        "outlier-max-ejection-percent",
        "PERCENT",
        at!(Config: control.outliers.max_ejection_percent),
        Kind::integer(0, 100, "percent"),
        "How many of the replicas whose heartbeats are good may be ejected at a time, rounded down. Beyond \
         that failing replicas stay, because too few others would be left.",
    )
    .on_reload(),
    Entry::new(
        "outlier-detection.success-rate-stdev-factor",
        "outlier-success-rate-stdev-factor",
        "FACTOR",
        at!(Config: control.outliers.stdev_factor),
        Kind::Number { min: 0.0, max: 100.0 },
        "A replica is ejected too if its success rate is below the mean of all by more than this many \
         standard deviations. 0 for never.",
    )
    .on_reload(),
    Entry::new(
        "outlier-detection.success-rate-minimum-replicas",
        "outlier-success-rate-minimum-replicas",
        "N",
        at!(Config: control.outliers.min_replicas),
        Kind::integer(2, 65_535, "replicas"),
        "Replicas that need to have enough requests before success rates are compared.",
    )
    .on_reload(),
    Entry::new(
        "outlier-detection.success-rate-request-volume",
        "outlier-success-rate-request-volume",
        "N",
        at!(Config: control.outliers.min_requests),
        Kind::integer(1, 1_000_000_000, "requests"),
        "Requests that are enough, within an interval.",
    )
    .on_reload(),
    Entry::new(
        "outlier-detection.interval",
        "outlier-interval",
        "DURATION",
        at!(Config: control.outliers.interval),
        Kind::duration(Duration::from_millis(100), HOUR),
        "Time over which success rates are compared.",
    )
    .on_reload(),
];

pub(super) const QUEUE: &[Entry<Config>] = &[
    Entry::new(
        "queue.max-requests-per-replica",
        "max-requests-per-replica",
        "N",
        at!(Config: control.max_requests),
        Kind::integer(0, 1_000_000, "requests"),
        "Most requests in flight at one replica, from all workers; tunnels and responses under way count. The \
         next replica takes what is above. 0 for no cap.",
    )
    .on_reload(),
    Entry::new(
        "queue.length",
        "queue",
        "N",
        at!(Config: pool.queue),
        Kind::integer(0, 1_000_000, "requests"),
        "Most requests that wait, with their bodies unread, where all replicas are at their cap. Beyond that \
         the response is 503 (overloaded).",
    )
    .on_reload(),
    Entry::new(
        "queue.timeout",
        "queue-timeout",
        "DURATION",
        at!(Config: pool.queue_timeout),
        Kind::duration(MILLISECOND, HOUR),
        "How long such a request waits for room; then the response is 503 (queue-timeout).",
    )
    .on_reload(),
];

pub(super) const STICKY: &[Entry<Config>] = &[
    Entry::new(
        "sticky.secret-file",
        "sticky-secret-file",
        "FILE",
        at!(Config: sticky_secret_file),
        types::FILE,
        "File with the secret that cookies of --key sticky:NAME are signed with: 16 to 1024 visible ASCII \
         characters; one newline at the end is ignored. It may be given in RINGHERD_STICKY_SECRET instead. \
         Without it one is drawn at each start, and sessions of before begin anew.",
    )
    .by_default("drawn at the start")
    .on_reload(),
    Entry::new(
        "sticky.max-age",
        "sticky-max-age",
        "DURATION",
        at!(Config: pool.sticky.max_age),
        Kind::duration(Duration::ZERO, Duration::from_secs(400 * 24 * 60 * 60)),
        "How long browsers keep such a cookie, counted from when it was set. 0s for as long as they run.",
    )
    .on_reload(),
];
