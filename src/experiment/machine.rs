//! The machine that the experiments run on, for the report.

use std::fs;

use serde::Serialize;

/// The machine that the experiments run on.
#[derive(Debug, Default, Serialize)]
pub(super) struct Machine {
    pub(super) cpus: usize,
    /// As the kernel names it, if it does.
    pub(super) cpu: Option<String>,
    pub(super) kernel: Option<String>,
    pub(super) os: &'static str,
    pub(super) architecture: &'static str,
    /// Whether this binary is a debug build, which is several times slower.
    pub(super) debug_build: bool,
}

impl Machine {
    /// The current machine; what the system does not tell is left out.
    pub(super) fn current() -> Self {
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| model(&text)),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
            debug_build: cfg!(debug_assertions),
        }
    }
}

/// The first `model name` of `/proc/cpuinfo`.
fn model(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_the_one_that_the_kernel_names() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.10GHz\nflags\t: a\n";
        assert_eq!(model(text).as_deref(), Some("Some CPU @ 2.10GHz"));
        assert_eq!(model("processor: 0"), None);
    }
}
