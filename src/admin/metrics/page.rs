//! Writes metrics through `prometheus-client`: name, help text and values.

use std::borrow::Borrow;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::telemetry::histogram::Durations;

/// The labels of one series.
pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// An empty label set.
#[derive(Debug)]
struct None;

impl EncodeLabelSet for None {
    fn encode(&self, _: &mut LabelSetEncoder<'_>) -> fmt::Result {
        Ok(())
    }
}

/// The page that is being written. Names are given without the prefix `ringherd_` and the suffixes for
/// units and `_total`, which are added.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// A counter without labels.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let name = prefixed(name);
        let mut metric = self.0.encode_descriptor(&name, help, Option::None, MetricType::Counter)?;
        metric.encode_counter::<None, _, u64>(&value, Option::None)
    }

    /// A counter for each set of labels.
    pub(super) fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let name = prefixed(name);
        let mut metric = self.0.encode_descriptor(&name, help, Option::None, MetricType::Counter)?;
        for (labels, value) in series {
            metric.encode_family(&labels)?.encode_counter::<None, _, u64>(&value, Option::None)?;
        }
        Ok(())
    }

    /// A counter for each pool and each value of another label.
    pub(super) fn counters_by<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: [&'static str; N],
        pools: impl IntoIterator<Item = (&'l str, [u64; N])>,
    ) -> fmt::Result {
        let series = pools.into_iter().flat_map(|(pool, counts)| {
            let series = values.into_iter().zip(counts);
            series.map(move |(value, count)| (vec![(label, value), ("pool", pool)], count))
        });
        self.counters(name, help, series)
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let name = prefixed(name);
        self.0.encode_descriptor(&name, help, Option::None, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// A gauge for each set of labels.
    pub(super) fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        let name = prefixed(name);
        let mut metric = self.0.encode_descriptor(&name, help, Option::None, MetricType::Gauge)?;
        for (labels, value) in series {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// A histogram of durations, in seconds.
    pub(super) fn durations(&mut self, name: &str, help: &str, durations: &Durations) -> fmt::Result {
        self.durations_of(name, help, [(Labels::new(), durations)])
    }

    /// A histogram of durations, in seconds, for each set of labels.
    pub(super) fn durations_of<'l, D: Borrow<Durations>>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l>, D)>,
    ) -> fmt::Result {
        let name = prefixed(name);
        let unit = Some(&Unit::Seconds);
        let mut metric = self.0.encode_descriptor(&name, help, unit, MetricType::Histogram)?;
        for (labels, durations) in series {
            let durations = durations.borrow();
            let (sum, count, buckets) = (durations.sum_seconds(), durations.count(), durations.buckets());
            metric.encode_family(&labels)?.encode_histogram::<None>(sum, count, &buckets, Option::None)?;
        }
        Ok(())
    }

    /// An info metric: the facts are labels, the value is 1.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &Labels<'_>) -> fmt::Result {
        let name = prefixed(name);
        self.0.encode_descriptor(&name, help, Option::None, MetricType::Info)?.encode_info(labels)
    }

    /// A metric of the process, under the name that all exporters use.
    pub(super) fn process(&mut self, name: &str, help: &str, kind: MetricType, value: f64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, Option::None, kind)?;
        match kind {
            MetricType::Counter => metric.encode_counter::<None, _, u64>(&value, Option::None),
            _ => metric.encode_gauge(&value),
        }
    }
}

fn prefixed(name: &str) -> String {
    format!("ringherd_{name}")
}

#[cfg(test)]
mod tests {
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[derive(Debug)]
    struct One;

    impl Collector for One {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let mut page = Page::new(encoder);
            page.counters("a", "Of a", [(vec![("x", "q\" b\\ n\n e=1,}")], u64::MAX)])?;
            page.gauges("none", "Of none", [])?;
            page.gauge("b", "Of b", 0.5)?;
            page.durations("c", "Of c", &Durations::default())
        }
    }

    /// Names of containers that others run are not ours to choose.
    #[test]
    fn odd_values_of_labels_are_escaped_and_whole_numbers_exact() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(One));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[2], r#"ringherd_a_total{x="q\" b\\ n\n e=1,}"} 18446744073709551615"#);
        assert_eq!(lines[3..5], ["# HELP ringherd_none Of none", "# TYPE ringherd_none gauge"]);
        assert_eq!(lines[7], "ringherd_b 0.5");
        assert!(lines.contains(&"# UNIT ringherd_c_seconds seconds"), "{text}");
        assert!(lines.contains(&r#"ringherd_c_seconds_bucket{le="+Inf"} 0"#), "{text}");
        assert_eq!(lines.last(), Some(&"# EOF"));
    }
}
