//! The metrics in the text format of Prometheus, for clients that do not accept `OpenMetrics`.
//!
//! The samples are the same in both. In this format, a counter is described under the name of its
//! samples, and there is no type `info`, no unit and no end marker. Source: the exposition formats of
//! Prometheus, version 0.0.4.

use std::fmt::Write;

/// Media type of the format.
pub(super) const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Converts a text in the `OpenMetrics` format, as `prometheus-client` writes it.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut classic = String::with_capacity(text.len());
    // The help comes before the type, which determines the name.
    let mut help = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(classic, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            classic.push_str(line);
            classic.push('\n');
        }
    }
    classic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_facts_are_described_as_they_are_sampled() {
        let open = "# HELP a Of a\n# TYPE a counter\na_total{x=\"# TYPE a info\"} 1\n\
                    # HELP b_seconds Of b\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\n\
                    b_seconds_count 0\n# HELP c Of c\n# TYPE c info\nc_info{v=\"1\"} 1\n# EOF\n";
        let classic = "# HELP a_total Of a\n# TYPE a_total counter\na_total{x=\"# TYPE a info\"} 1\n\
                       # HELP b_seconds Of b\n# TYPE b_seconds histogram\n\
                       b_seconds_count 0\n# HELP c_info Of c\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n";
        assert_eq!(from_open_metrics(open), classic);
    }
}
