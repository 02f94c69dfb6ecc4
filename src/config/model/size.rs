//! Amounts of memory as people write them, `64MiB`, and back. Units are those of Docker: `K`, `KB`
//! and `KiB` are all 1024 bytes. Knows no setting.

use super::refusal::Refusal;

/// Units from the largest to the smallest.
const UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

/// Bytes, `min` to `max`.
pub(super) fn parse(text: &str, min: u64, max: u64) -> Result<u64, Refusal> {
    let form = form(min, max);
    let refusal = || Refusal::must_be(&form);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() || unit.starts_with('.') {
        return Err(refusal().hint("write a whole number with a unit, such as 64MiB or 1GiB"));
    }
    if unit.is_empty() {
        let hint = format!("add one, as in {digits}MiB");
        return Err(Refusal::new(format!("has no unit; must be {form}")).hint(hint));
    }
    let bytes = shift(unit).ok_or_else(|| refusal().hint("units are B, KiB, MiB, GiB and TiB"))?;
    let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << bytes));
    size.filter(|size| (min..=max).contains(size)).ok_or_else(refusal)
}

/// The power of two of a unit, in any case, in full or as Docker abbreviates it.
fn shift(unit: &str) -> Option<u32> {
    let unit = unit.to_ascii_lowercase();
    let known = |name: &str| {
        let name = name.to_ascii_lowercase();
        let first = &name[..1];
        unit == name || unit == first || (name.len() > 1 && unit == format!("{first}b"))
    };
    UNITS.into_iter().find(|(name, _)| known(name)).map(|(_, shift)| shift)
}

/// What a size within bounds must be, to stand after "must be".
pub(super) fn form(min: u64, max: u64) -> String {
    format!("a size, {} to {}", show(min), show(max))
}

/// The text with the largest unit that needs no fraction.
pub(super) fn show(bytes: u64) -> String {
    let fits = |shift: u32| bytes >= 1 << shift && bytes.trailing_zeros() >= shift;
    let (unit, shift) = UNITS.into_iter().find(|(_, shift)| fits(*shift)).unwrap_or(("B", 0));
    format!("{}{unit}", bytes >> shift)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<u64, Refusal> {
        parse(text, 6 << 20, 1 << 50)
    }

    #[test]
    fn sizes_are_written_as_for_docker() {
        for (text, mebibytes) in [
            ("64MiB", 64),
            ("64m", 64),
            ("64M", 64),
            ("64mb", 64),
            ("64MB", 64),
            ("8192k", 8),
            ("8192KiB", 8),
            ("6291456B", 6),
            ("6291456b", 6),
            ("1g", 1 << 10),
            ("1T", 1 << 20),
            ("1024TiB", 1 << 30),
        ] {
            assert_eq!(read(text), Ok(mebibytes << 20), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_what_to_write() {
        for (text, what, hint) in [
            ("64", "has no unit; must be a size, 6MiB to 1024TiB", Some("add one, as in 64MiB")),
            ("5MiB", "must be a size, 6MiB to 1024TiB", None),
            ("1025TiB", "must be a size, 6MiB to 1024TiB", None),
            ("99999999999999999999G", "must be a size, 6MiB to 1024TiB", None),
            ("18446744073709551615T", "must be a size, 6MiB to 1024TiB", None),
            ("64 MiB", "must be a size, 6MiB to 1024TiB", Some("units are B, KiB, MiB, GiB and TiB")),
            ("64x", "must be a size, 6MiB to 1024TiB", Some("units are B, KiB, MiB, GiB and TiB")),
            (
                "1.5g",
                "must be a size, 6MiB to 1024TiB",
                Some("write a whole number with a unit, such as 64MiB or 1GiB"),
            ),
            (
                "-1g",
                "must be a size, 6MiB to 1024TiB",
                Some("write a whole number with a unit, such as 64MiB or 1GiB"),
            ),
        ] {
            let refusal = read(text).expect_err(text);
            assert_eq!((refusal.what.as_str(), refusal.hint.as_deref()), (what, hint), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(size in prop_oneof![6_u64 << 20..=1 << 50, (6_u64..1 << 30).prop_map(|m| m << 20)]) {
            prop_assert_eq!(read(&show(size)), Ok(size));
        }
    }
}
