//! Durations as Go's `time` package reads and prints them, since every NSQ flag, config file and log
//! line has them in that form: `1m30s`, `1.5h`, `250ms`, `10µs`, `-5s`, `0`.
//!
//! A value is signed nanoseconds in an `i64`, Go's own range (about 292 years either way).

use std::fmt::Write as _;
use std::time::Duration;

/// Nanoseconds of each unit, longest names first so that a prefix never wins.
fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter mu look the same and are both in use.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// Reads a duration in Go's syntax: an optional sign, then numbers with an optional fraction, each
/// with its unit; `0` alone needs none.
///
/// # Errors
/// A sentence naming what is wrong: empty, no unit, unknown unit, out of range.
pub fn parse(text: &str) -> Result<i64, String> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid(text));
    }
    let mut total: u64 = 0;
    let mut rest = rest;
    while !rest.is_empty() {
        let (nanos, tail) = term(text, rest)?;
        // One more than i64::MAX is allowed on the way, for the most negative value.
        total = total
            .checked_add(nanos)
            .filter(|sum| *sum <= 1 << 63)
            .ok_or_else(|| range(text))?;
        rest = tail;
    }
    if negative {
        Ok(0i64.wrapping_sub_unsigned(total))
    } else {
        i64::try_from(total).map_err(|_| range(text))
    }
}

/// One number with its unit; gives its nanoseconds and what follows.
fn term<'a>(text: &str, rest: &'a str) -> Result<(u64, &'a str), String> {
    let (whole, after_whole) = split_digits(rest);
    let (fraction, after_number) = match after_whole.strip_prefix('.') {
        Some(after_point) => split_digits(after_point),
        None => ("", after_whole),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid(text));
    }
    let end = after_number
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(after_number.len());
    let (unit, tail) = after_number.split_at(end);
    if unit.is_empty() {
        return Err(format!(
            "missing unit in duration {text:?}, such as 5s or 250ms"
        ));
    }
    let scale = unit_nanos(unit).ok_or_else(|| {
        format!("unknown unit {unit:?} in duration {text:?} (ns, us, ms, s, m, h)")
    })?;
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| range(text))?
    };
    let nanos = whole
        .checked_mul(scale)
        .filter(|n| *n <= 1 << 63)
        .ok_or_else(|| range(text))?;
    Ok((nanos + fraction_nanos(fraction, scale), tail))
}

/// The part after the point, cut below a nanosecond. More than 18 digits cannot matter: the longest
/// unit has 3.6e12 nanoseconds.
fn fraction_nanos(digits: &str, scale: u64) -> u64 {
    let digits = &digits[..digits.len().min(18)];
    if digits.is_empty() {
        return 0;
    }
    let value: u128 = digits.parse().unwrap_or(0);
    let nanos = value * u128::from(scale) / 10u128.pow(u32::try_from(digits.len()).unwrap_or(0));
    u64::try_from(nanos).unwrap_or(scale)
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

fn invalid(text: &str) -> String {
    format!("invalid duration {text:?}, expected something like 1m30s or 250ms")
}

fn range(text: &str) -> String {
    format!("duration {text:?} out of range")
}

/// Prints nanoseconds as Go does: `1h0m0s`, `1.5s`, `250ms`, `1.972µs`, `0s`.
#[must_use]
pub fn format(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let abs = nanos.unsigned_abs();
    let mut out = sign.to_owned();
    match abs {
        0 => out.push_str("0s"),
        1..1_000 => write_decimal(&mut out, abs, 1, "ns"),
        1_000..1_000_000 => write_decimal(&mut out, abs, 1_000, "\u{b5}s"),
        1_000_000..1_000_000_000 => write_decimal(&mut out, abs, 1_000_000, "ms"),
        _ => {
            let seconds = abs / 1_000_000_000;
            if seconds >= 3600 {
                let _ = write!(out, "{}h", seconds / 3600);
            }
            if seconds >= 60 {
                let _ = write!(out, "{}m", seconds / 60 % 60);
            }
            write_decimal(&mut out, abs % 60_000_000_000, 1_000_000_000, "s");
        }
    }
    out
}

/// [`format`] for a [`Duration`]; longer ones than Go can express are shown as the longest.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    format(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

fn write_decimal(out: &mut String, value: u64, unit: u64, name: &str) {
    let _ = write!(out, "{}", value / unit);
    let rest = value % unit;
    if rest != 0 {
        let width = unit.ilog10() as usize;
        let digits = format!("{rest:0width$}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
    out.push_str(name);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{format, parse};

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn reads_what_go_reads() {
        let good = [
            ("0", 0),
            ("-0", 0),
            ("5s", 5 * SECOND),
            ("+5s", 5 * SECOND),
            ("-5s", -5 * SECOND),
            ("1m30s", 90 * SECOND),
            ("1.5h30m", 2 * 3600 * SECOND),
            (".5s", SECOND / 2),
            ("5.s", 5 * SECOND),
            ("10\u{b5}s", 10_000),
            ("10\u{3bc}s", 10_000),
            ("10us", 10_000),
            ("1ns", 1),
            ("0.9ns", 0),
            ("0.100000000000000000000h", 360 * SECOND),
            ("1h15m30.918273645s", 4_530_918_273_645),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("9223372036.854775807s", i64::MAX),
        ];
        for (text, nanos) in good {
            assert_eq!(parse(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in [
            "",
            "-",
            "+",
            "s",
            ".",
            ".s",
            "3",
            "1d",
            "1 min",
            "1m 30s",
            "--1s",
            "1s-1s",
            "\u{b5}s",
            "9223372036854775808ns",
            "-9223372036854775809ns",
            "3000000h",
            "99999999999999999999s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("60").unwrap_err().contains("missing unit"));
        assert!(parse("1d").unwrap_err().contains("unknown unit \"d\""));
    }

    #[test]
    fn prints_what_go_prints() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_972, "1.972\u{b5}s"),
            (343_250, "343.25\u{b5}s"),
            (250_000_000, "250ms"),
            (2 * SECOND, "2s"),
            (60 * SECOND, "1m0s"),
            (3600 * SECOND, "1h0m0s"),
            (16_504_915_065, "16.504915065s"),
            (-SECOND, "-1s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(format(nanos), text);
        }
    }

    proptest! {
        #[test]
        fn printed_is_read_back(nanos: i64) {
            prop_assert_eq!(parse(&format(nanos)), Ok(nanos));
        }

        #[test]
        fn small_ones_are_read_back(nanos in -4_000_000_000_000i64..4_000_000_000_000) {
            prop_assert_eq!(parse(&format(nanos)), Ok(nanos));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.a-z\u{b5}\u{3bc} ]{0,12}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_text_neither(text: String) {
            let _ = parse(&text);
        }

        /// Terms add up, whatever their order and number.
        #[test]
        fn terms_add_up(hours in 0i64..1000, minutes in 0i64..1000, millis in 0i64..100_000) {
            let text = format!("{millis}ms{hours}h{minutes}m");
            prop_assert_eq!(
                parse(&text),
                Ok(hours * 3600 * SECOND + minutes * 60 * SECOND + millis * 1_000_000)
            );
        }
    }
}
