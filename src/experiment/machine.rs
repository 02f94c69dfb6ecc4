//! What is known of the machine that figures were measured on.

use std::fs;

use super::figures::Machine;

/// All of it; what the system does not tell is left out.
pub(super) fn facts() -> Machine {
    Machine {
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        cpu: fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| model(&text)),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
        os: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        debug_build: cfg!(debug_assertions),
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
