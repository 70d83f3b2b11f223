//! The structural part of a CRD's schema: types, required and unknown fields, bounds.
//!
//! Only the keywords that our own schemas use; the rules in CEL are evaluated elsewhere.

use serde_json::Value;

/// Every violation, as the field's path and what is wrong there.
pub fn violations(schema: &Value, value: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(schema, value, "", &mut found);
    found
}

fn walk(schema: &Value, value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    if value.is_null() {
        return; // the API server drops it
    }
    if let Some(wrong) = wrong_type(schema, value) {
        found.push((path.to_owned(), wrong));
        return;
    }
    found.extend(wrong_value(schema, value).map(|wrong| (path.to_owned(), wrong)));
    match value {
        // Metadata is the API server's own; the schema does not describe it.
        Value::Object(_) if path == "metadata" => {}
        Value::Object(map) => walk_map(schema, map, path, found),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(&schema["items"], item, &format!("{path}[{index}]"), found);
            }
            found.extend(duplicate_key(schema, items).map(|wrong| (path.to_owned(), wrong)));
        }
        _ => {}
    }
}

fn walk_map(
    schema: &Value,
    map: &serde_json::Map<String, Value>,
    path: &str,
    found: &mut Vec<(String, String)>,
) {
    let join = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    let required = schema["required"].as_array().into_iter().flatten();
    for key in required.filter_map(Value::as_str) {
        if map.get(key).is_none_or(Value::is_null) {
            found.push((join(key), "required".to_owned()));
        }
    }
    let free = schema["x-kubernetes-preserve-unknown-fields"] == true;
    for (key, value) in map {
        if path.is_empty() && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        match (&schema["properties"][key], &schema["additionalProperties"]) {
            (Value::Null, Value::Null) if free => {}
            (Value::Null, Value::Null) => found.push((join(key), "unknown field".to_owned())),
            (Value::Null, each) => walk(each, value, &join(key), found),
            (property, _) => walk(property, value, &join(key), found),
        }
    }
}

fn wrong_type(schema: &Value, value: &Value) -> Option<String> {
    if schema["x-kubernetes-int-or-string"] == true {
        let fits = value.is_i64() || value.is_string();
        return (!fits).then(|| format!("must be a whole number or a string, not {value}"));
    }
    let type_ = schema["type"].as_str()?;
    let fits = match type_ {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    };
    (!fits).then(|| format!("must be of type {type_}, not {value}"))
}

fn wrong_value(schema: &Value, value: &Value) -> Option<String> {
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        return Some(format!("must be one of {}, not {value}", names.join(", ")));
    }
    let over = |keyword: &str, size: usize| {
        let max = schema[keyword].as_u64()?;
        (u64::try_from(size).unwrap_or(u64::MAX) > max).then_some(max)
    };
    match value {
        Value::String(text) => over("maxLength", text.chars().count())
            .map(|max| format!("must not be longer than {max} characters")),
        Value::Array(items) => {
            over("maxItems", items.len()).map(|max| format!("must not have more than {max} items"))
        }
        Value::Object(map) => over("maxProperties", map.len())
            .map(|max| format!("must not have more than {max} entries")),
        _ => None,
    }
}

/// A list that is a map by a key may hold each key once.
fn duplicate_key(schema: &Value, items: &[Value]) -> Option<String> {
    let key = schema["x-kubernetes-list-map-keys"][0].as_str()?;
    let keys: Vec<&Value> = items.iter().map(|item| &item[key]).collect();
    let twice = keys
        .iter()
        .enumerate()
        .find(|(at, value)| keys[..*at].contains(value))?;
    Some(format!("{key} {} is given twice", twice.1))
}
