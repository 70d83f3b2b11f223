//! Which JSON messages pass, and what of them.

use serde_json::{Map, Value};

/// From `--require-json-field`, `--require-json-value` and `--whitelist-json-field`.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub field: String,
    pub value: String,
    pub whitelist: Vec<String>,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on like this.
    Pass(Vec<u8>),
    /// It is done with.
    Drop,
    /// It lacks the field whose value is asked for: it comes again later.
    Later,
}

impl Filter {
    /// As NSQ decides it.
    #[must_use]
    pub fn judge(&self, body: Vec<u8>) -> Verdict {
        if self.field.is_empty() && self.whitelist.is_empty() {
            return Verdict::Pass(body);
        }
        let Ok(json) = serde_json::from_slice::<Map<String, Value>>(&body) else {
            // `null` is an object without fields to Go.
            if serde_json::from_slice::<Option<()>>(&body).is_ok_and(|it| it.is_none()) {
                return self.judge_object(&Map::new(), body);
            }
            tracing::error!("unable to decode json: {}", String::from_utf8_lossy(&body));
            return Verdict::Drop;
        };
        self.judge_object(&json, body)
    }

    fn judge_object(&self, json: &Map<String, Value>, body: Vec<u8>) -> Verdict {
        if !self.field.is_empty() {
            match json.get(&self.field) {
                None if self.value.is_empty() => return Verdict::Drop,
                None => {
                    tracing::error!("missing field to check required value");
                    return Verdict::Later;
                }
                Some(found) if !self.value.is_empty() && !self.is_required(found) => {
                    return Verdict::Drop;
                }
                Some(_) => {}
            }
        }
        match self.whitelist.is_empty() {
            true => Verdict::Pass(body),
            false => Verdict::Pass(self.only_listed(json)),
        }
    }

    /// Strings are compared as they are, numbers as numbers; nothing else ever matches.
    fn is_required(&self, found: &Value) -> bool {
        match found {
            Value::String(text) => *text == self.value,
            Value::Number(number) => {
                let wanted = self.value.parse::<f64>().ok();
                wanted.is_some() && number.as_f64() == wanted
            }
            _ => false,
        }
    }

    fn only_listed(&self, json: &Map<String, Value>) -> Vec<u8> {
        let mut kept = Map::new(); // in the order of names, as Go writes maps
        for name in &self.whitelist {
            if let Some(value) = json.get(name) {
                kept.insert(name.clone(), whole(value));
            }
        }
        Value::Object(kept).to_string().into_bytes()
    }
}

/// `1.0` is written as `1`, as Go does.
fn whole(value: &Value) -> Value {
    let float = value.as_f64().filter(|_| value.is_f64());
    match float {
        Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => Value::from(float as i64),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(field: &str, value: &str, whitelist: &[&str]) -> Filter {
        Filter {
            field: field.to_owned(),
            value: value.to_owned(),
            whitelist: whitelist.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    fn judged(filter: &Filter, body: &str) -> Result<String, Verdict> {
        match filter.judge(body.as_bytes().to_vec()) {
            Verdict::Pass(body) => Ok(String::from_utf8(body).unwrap()),
            other => Err(other),
        }
    }

    #[test]
    fn without_filters_anything_passes() {
        assert_eq!(
            judged(&filter("", "", &[]), "not json"),
            Ok("not json".to_owned())
        );
    }

    #[test]
    fn a_field_may_be_required_and_its_value() {
        let there = filter("a", "", &[]);
        assert_eq!(judged(&there, r#"{"a": 1}"#), Ok(r#"{"a": 1}"#.to_owned()));
        assert_eq!(judged(&there, r#"{"b":1}"#), Err(Verdict::Drop));
        assert_eq!(judged(&there, "[1]"), Err(Verdict::Drop));
        let five = filter("a", "5", &[]);
        for (body, passes) in [
            (r#"{"a":5}"#, true),
            (r#"{"a":5.0}"#, true),
            (r#"{"a":"5"}"#, true),
            (r#"{"a":6}"#, false),
            (r#"{"a":true}"#, false),
        ] {
            assert_eq!(judged(&five, body).is_ok(), passes, "{body}");
        }
        assert_eq!(judged(&five, r#"{"b":5}"#), Err(Verdict::Later));
        let text = filter("a", "x", &[]);
        assert_eq!(judged(&text, r#"{"a":5}"#), Err(Verdict::Drop));
    }

    #[test]
    fn only_what_is_listed_goes_on() {
        let listed = filter("", "", &["b", "a", "c"]);
        let body = r#"{"a": 1.0, "b": {"x": [1.5]}, "d": 1}"#;
        assert_eq!(
            judged(&listed, body),
            Ok(r#"{"a":1,"b":{"x":[1.5]}}"#.to_owned())
        );
        assert_eq!(judged(&listed, "null"), Ok("{}".to_owned()));
    }
}
