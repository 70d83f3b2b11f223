//! The kinds of values an option can have: how each is read from a flag and from the config file, and
//! how it is shown in the usage text and by `/config/:opt`.

use std::time::Duration;

use serde_json::Value as Json;
use toml::Value as Toml;

use crate::go_duration;

/// A type that an option may hold. Enumerations of a daemon implement it beside their definition.
pub trait FlagValue: Clone + Send + Sync + 'static {
    /// What Go's usage text shows after the flag: `string`, `int`, `duration`, `value`.
    const TYPE_NAME: &'static str = "value";
    /// A switch: `-flag` alone means `-flag=true`, and a following word is never its value.
    const IS_SWITCH: bool = false;

    /// Reads one occurrence on the command line.
    ///
    /// # Errors
    /// What is wrong with the text, without repeating it.
    fn parse(text: &str) -> Result<Self, String>;

    /// A second occurrence of the flag. The last one wins, except for lists.
    ///
    /// # Errors
    /// As [`parse`](FlagValue::parse).
    fn repeat(&mut self, text: &str) -> Result<(), String> {
        *self = Self::parse(text)?;
        Ok(())
    }

    /// Reads the config file's value.
    ///
    /// # Errors
    /// What is wrong with it.
    fn from_config(value: &Toml) -> Result<Self, String> {
        match value {
            Toml::String(text) => Self::parse(text),
            other => Err(format!("expected a string, not {}", other.type_str())),
        }
    }

    /// The default as the usage text shows it, `None` for a zero value.
    fn shown(&self) -> Option<String>;

    /// As `/config/:opt` answers it.
    fn json(&self) -> Json;
}

impl FlagValue for String {
    const TYPE_NAME: &'static str = "string";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn shown(&self) -> Option<String> {
        (!self.is_empty()).then(|| format!("{self:?}"))
    }

    fn json(&self) -> Json {
        self.as_str().into()
    }
}

impl FlagValue for bool {
    const TYPE_NAME: &'static str = "";
    const IS_SWITCH: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err("expected true or false".to_owned()),
        }
    }

    fn from_config(value: &Toml) -> Result<Self, String> {
        match value {
            Toml::Boolean(value) => Ok(*value),
            Toml::Integer(value) => Ok(*value != 0),
            Toml::String(text) => Self::parse(text),
            other => Err(format!("expected true or false, not {}", other.type_str())),
        }
    }

    fn shown(&self) -> Option<String> {
        self.then(|| "true".to_owned())
    }

    fn json(&self) -> Json {
        (*self).into()
    }
}

/// Go's integers: decimal, or with the prefix 0x, 0o (also plain 0) or 0b.
fn parse_integer(text: &str) -> Result<i128, String> {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some(_) if lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // from_str_radix takes a sign of its own, which Go refuses here.
    let bare = !digits.starts_with(['-', '+']);
    let value = i128::from_str_radix(digits, radix).ok().filter(|_| bare);
    value
        .map(|value| sign * value)
        .ok_or_else(|| "expected a whole number".to_owned())
}

fn integer_from_config(value: &Toml) -> Result<i128, String> {
    match value {
        Toml::Integer(value) => Ok(i128::from(*value)),
        Toml::String(text) => parse_integer(text),
        other => Err(format!("expected a whole number, not {}", other.type_str())),
    }
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl FlagValue for $type {
            const TYPE_NAME: &'static str = "int";

            fn parse(text: &str) -> Result<Self, String> {
                in_range(parse_integer(text)?)
            }

            fn from_config(value: &Toml) -> Result<Self, String> {
                in_range(integer_from_config(value)?)
            }

            fn shown(&self) -> Option<String> {
                (*self != 0).then(|| self.to_string())
            }

            fn json(&self) -> Json {
                (*self).into()
            }
        }
    )*};
}
integer!(i64, u64, u32, u16, usize);

fn in_range<T: TryFrom<i128>>(value: i128) -> Result<T, String> {
    let reason = if value < 0 {
        "must not be negative"
    } else {
        "value out of range"
    };
    T::try_from(value).map_err(|_| reason.to_owned())
}

impl FlagValue for Duration {
    const TYPE_NAME: &'static str = "duration";

    fn parse(text: &str) -> Result<Self, String> {
        let nanos = go_duration::parse(text)?;
        u64::try_from(nanos)
            .map(Self::from_nanos)
            .map_err(|_| "must not be negative".to_owned())
    }

    /// A bare integer is milliseconds.
    fn from_config(value: &Toml) -> Result<Self, String> {
        match value {
            Toml::Integer(millis) => u64::try_from(*millis)
                .map(Self::from_millis)
                .map_err(|_| "must not be negative".to_owned()),
            Toml::String(text) => Self::parse(text),
            other => Err(format!(
                "expected a duration like \"30s\", not {}",
                other.type_str()
            )),
        }
    }

    fn shown(&self) -> Option<String> {
        (!self.is_zero()).then(|| go_duration::format_duration(*self))
    }

    fn json(&self) -> Json {
        i64::try_from(self.as_nanos()).unwrap_or(i64::MAX).into()
    }
}

/// A list: every occurrence of the flag adds one; in the config file an array, or `"a,b"`.
impl FlagValue for Vec<String> {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(vec![text.to_owned()])
    }

    fn repeat(&mut self, text: &str) -> Result<(), String> {
        self.push(text.to_owned());
        Ok(())
    }

    fn from_config(value: &Toml) -> Result<Self, String> {
        match value {
            Toml::String(text) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|s| !s.is_empty())
                .map(str::to_owned)
                .collect()),
            Toml::Array(items) => items
                .iter()
                .map(|item| {
                    item.as_str()
                        .map(str::to_owned)
                        .ok_or_else(|| "expected strings only".to_owned())
                })
                .collect(),
            other => Err(format!(
                "expected a list of strings, not {}",
                other.type_str()
            )),
        }
    }

    fn shown(&self) -> Option<String> {
        None
    }

    fn json(&self) -> Json {
        self.as_slice().into()
    }
}

/// A list of numbers, highest first: repeated, or separated by commas.
impl FlagValue for Vec<f64> {
    fn parse(text: &str) -> Result<Self, String> {
        let mut list = Self::new();
        list.repeat(text)?;
        Ok(list)
    }

    fn repeat(&mut self, text: &str) -> Result<(), String> {
        for part in text.split(',') {
            let number: f64 = part
                .trim()
                .parse()
                .map_err(|_| "expected numbers like 0.99,0.95".to_owned())?;
            self.push(number);
        }
        self.sort_by(|a, b| b.total_cmp(a));
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)] // an integer here is 0 or 1
    fn from_config(value: &Toml) -> Result<Self, String> {
        let mut list = Self::new();
        match value {
            Toml::String(text) => list.repeat(text)?,
            Toml::Array(items) => {
                for item in items {
                    match item {
                        Toml::Float(number) => list.push(*number),
                        Toml::Integer(number) => list.push(*number as f64),
                        Toml::String(text) => list.repeat(text)?,
                        other => return Err(format!("expected numbers, not {}", other.type_str())),
                    }
                }
                list.sort_by(|a, b| b.total_cmp(a));
            }
            other => {
                return Err(format!(
                    "expected a list of numbers, not {}",
                    other.type_str()
                ));
            }
        }
        Ok(list)
    }

    fn shown(&self) -> Option<String> {
        None
    }

    fn json(&self) -> Json {
        self.as_slice().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_as_go_reads_them() {
        for (text, value) in [
            ("0", 0),
            ("7", 7),
            ("-3", -3),
            ("+3", 3),
            ("0x10", 16),
            ("010", 8),
            ("0b11", 3),
            ("-0X1f", -31),
        ] {
            assert_eq!(i64::parse(text), Ok(value), "{text}");
        }
        for text in [
            "",
            "-",
            "x",
            "1.5",
            "0x",
            "--1",
            "1e3",
            "08",
            "9223372036854775808",
            "+-1",
        ] {
            assert!(i64::parse(text).is_err(), "{text}");
        }
        assert_eq!(u16::parse("65536"), Err("value out of range".to_owned()));
        assert_eq!(usize::parse("-1"), Err("must not be negative".to_owned()));
    }

    #[test]
    fn config_file_coercions() {
        assert_eq!(
            Duration::from_config(&Toml::Integer(1500)),
            Ok(Duration::from_millis(1500))
        );
        assert_eq!(
            Duration::from_config(&Toml::String("1m".into())),
            Ok(Duration::from_secs(60))
        );
        assert!(Duration::from_config(&Toml::Float(1.0)).is_err());
        assert_eq!(bool::from_config(&Toml::String("T".into())), Ok(true));
        assert_eq!(usize::from_config(&Toml::String("5".into())), Ok(5));
        let list: Vec<String> = FlagValue::from_config(&Toml::String("a, b".into())).unwrap();
        assert_eq!(list, ["a", "b"]);
        let mixed = Toml::Array(vec![
            Toml::String("0.5".into()),
            Toml::Integer(1),
            Toml::Float(0.99),
        ]);
        assert_eq!(Vec::<f64>::from_config(&mixed), Ok(vec![1.0, 0.99, 0.5]));
    }

    #[test]
    fn floats_accumulate_highest_first() {
        let mut list = Vec::<f64>::parse("0.95,1.0").unwrap();
        list.repeat("0.99").unwrap();
        assert_eq!(list, [1.0, 0.99, 0.95]);
        assert!(Vec::<f64>::parse("1.0,x").is_err());
    }
}
