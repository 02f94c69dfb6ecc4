//! Signals by which containers are told to end. Pure.

/// The signal that a container is stopped with unless its image names another.
pub(super) const SIGTERM: i32 = 15;

/// Signals that ask any program to end, and SIGKILL.
const ENDING: [i32; 4] = [2, 3, 9, SIGTERM];

/// Names and numbers, as on Linux, of the signals that images name as their stop signal.
const NAMES: [(&str, i32); 12] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", SIGTERM),
    ("PWR", 30),
    ("WINCH", 28),
];

/// The number of a signal written as `15`, `TERM`, `SIGTERM` or `SIGRTMIN+3`.
pub(super) fn number(signal: &str) -> Option<i32> {
    if let Ok(number) = signal.parse() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = signal.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN+") {
        return offset.parse().ok().map(|offset: i32| 34 + offset).filter(|number| *number <= 64);
    }
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// Whether `signal` asks a container to end whose stop signal is `stop_signal`.
pub(super) fn is_stop(signal: i32, stop_signal: i32) -> bool {
    ENDING.contains(&signal) || signal == stop_signal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_numbers_or_names() {
        let golden = [
            ("15", Some(15)),
            ("SIGTERM", Some(15)),
            ("quit", Some(3)),
            ("SIGRTMIN+3", Some(37)),
            ("SIGRTMIN+99", None),
            ("0", None),
            ("", None),
        ];
        for (text, expected) in golden {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn only_some_signals_are_a_request_to_end() {
        assert!([2, 3, 9, 15].into_iter().all(|signal| is_stop(signal, SIGTERM)));
        assert!([1, 10, 12, 28].into_iter().all(|signal| !is_stop(signal, SIGTERM)));
        assert!(is_stop(28, 28));
    }
}
