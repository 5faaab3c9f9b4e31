//! Patterns of expected values, as tests/scenarios/README.md describes them.

use serde_json::Value;

/// Says why `pattern` could never be used, or nothing: called when a scenario is read, so that a misspelt matcher
/// is an error and not a test that passes.
pub fn check(pattern: &Value) -> Result<(), String> {
    match pattern {
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(members) => {
            let matchers = members.keys().filter(|key| key.starts_with('$')).count();
            if matchers != 0 && matchers != members.len() {
                return Err(format!("{pattern} mixes matchers and members"));
            }
            for (key, value) in members {
                match key.as_str() {
                    "$contains" => texts(value).map(drop)?,
                    "$at_least" | "$at_most" if !value.is_number() => {
                        return Err(format!("{key} wants a number"));
                    }
                    "$at_least" | "$at_most" => {}
                    "$includes" | "$any_of" if !value.is_array() => {
                        return Err(format!("{key} wants an array"));
                    }
                    "$present" if value != true => return Err("$present wants true".to_owned()),
                    "$present" => {}
                    "$not" | "$length" | "$includes" | "$any_of" => check(value)?,
                    _ if key.starts_with('$') => return Err(format!("unknown matcher {key}")),
                    _ => check(value)?,
                }
            }
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// Compares a value with its pattern; `None` stands for an absent value. The error names the place and both sides.
pub fn compare(place: &str, pattern: &Value, actual: Option<&Value>) -> Result<(), String> {
    match pattern {
        Value::Object(members) if members.keys().any(|key| key.starts_with('$')) => {
            members.iter().try_for_each(|(matcher, wanted)| apply(place, matcher, wanted, actual))
        }
        Value::Object(members) => match actual {
            Some(Value::Object(found)) => {
                members.iter().try_for_each(|(key, wanted)| compare(&format!("{place}.{key}"), wanted, found.get(key)))
            }
            _ => mismatch(place, pattern, actual),
        },
        Value::Array(items) => match actual {
            Some(Value::Array(found)) if found.len() == items.len() => items
                .iter()
                .zip(found)
                .enumerate()
                .try_for_each(|(index, (wanted, found))| compare(&format!("{place}[{index}]"), wanted, Some(found))),
            _ => mismatch(place, pattern, actual),
        },
        Value::Null if actual.is_none() => Ok(()),
        Value::Number(wanted) => match actual {
            // 1 and 1.0 are the same expectation, whatever a language prints.
            Some(Value::Number(found)) if found.as_f64() == wanted.as_f64() => Ok(()),
            _ => mismatch(place, pattern, actual),
        },
        _ if actual == Some(pattern) => Ok(()),
        _ => mismatch(place, pattern, actual),
    }
}

fn apply(place: &str, matcher: &str, wanted: &Value, actual: Option<&Value>) -> Result<(), String> {
    let fits = match matcher {
        "$present" => actual.is_some_and(|value| !value.is_null()),
        "$not" => compare(place, wanted, actual).is_err(),
        "$any_of" => wanted.as_array().into_iter().flatten().any(|one| compare(place, one, actual).is_ok()),
        "$at_least" => number(actual) >= number(Some(wanted)) && number(actual).is_some(),
        "$at_most" => number(actual) <= number(Some(wanted)) && number(actual).is_some(),
        "$contains" => match actual {
            Some(Value::String(found)) => texts(wanted)?.iter().all(|part| found.contains(part)),
            _ => false,
        },
        "$length" => {
            let length = match actual {
                Some(Value::String(text)) => Some(text.len()),
                Some(Value::Array(items)) => Some(items.len()),
                _ => None,
            };
            return compare(&format!("length of {place}"), wanted, length.map(Value::from).as_ref());
        }
        "$includes" => match actual {
            Some(Value::Array(found)) => wanted
                .as_array()
                .into_iter()
                .flatten()
                .all(|one| found.iter().any(|item| compare(place, one, Some(item)).is_ok())),
            _ => false,
        },
        _ => return Err(format!("unknown matcher {matcher}")),
    };
    if fits { Ok(()) } else { mismatch(place, &serde_json::json!({ matcher: wanted }), actual) }
}

fn number(value: Option<&Value>) -> Option<f64> {
    value.and_then(Value::as_f64)
}

fn texts(value: &Value) -> Result<Vec<&str>, String> {
    match value {
        Value::String(text) => Ok(vec![text]),
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().ok_or_else(|| "$contains wants texts".to_owned())).collect()
        }
        _ => Err("$contains wants texts".to_owned()),
    }
}

fn mismatch(place: &str, pattern: &Value, actual: Option<&Value>) -> Result<(), String> {
    let actual = actual.map_or_else(|| "nothing".to_owned(), |value| shorten(&value.to_string()));
    Err(format!("{place}: expected {}, got {actual}", shorten(&pattern.to_string())))
}

/// Cuts a text for people at a length a terminal can bear.
pub fn shorten(text: &str) -> String {
    const LIMIT: usize = 600;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fits(pattern: Value, actual: Value) -> bool {
        check(&pattern).expect("the pattern of a test is sound");
        compare("value", &pattern, Some(&actual)).is_ok()
    }

    #[test]
    fn literals_and_members() {
        assert!(fits(json!(1), json!(1.0)));
        assert!(!fits(json!(1), json!("1")));
        assert!(fits(json!({"a": 1}), json!({"a": 1, "b": 2})));
        assert!(!fits(json!({"a": 1, "c": 3}), json!({"a": 1, "b": 2})));
        assert!(fits(json!({"c": null}), json!({"a": 1})));
        assert!(!fits(json!([1]), json!([1, 2])));
        assert!(compare("value", &json!("x"), None).is_err());
        assert!(compare("value", &Value::Null, None).is_ok());
        assert!(!fits(Value::Null, json!("x")));
    }

    #[test]
    fn matchers() {
        assert!(fits(json!({"$contains": ["a", "c"]}), json!("abc")));
        assert!(!fits(json!({"$contains": ["a", "d"]}), json!("abc")));
        assert!(fits(json!({"$at_least": 1, "$at_most": 3}), json!(2)));
        assert!(!fits(json!({"$at_least": 1, "$at_most": 3}), json!(4)));
        assert!(!fits(json!({"$at_most": 3}), json!("2")));
        assert!(fits(json!({"$includes": [{"a": 1}]}), json!([{"b": 1}, {"a": 1}])));
        assert!(!fits(json!({"$includes": [{"a": 2}]}), json!([{"a": 1}])));
        assert!(fits(json!({"$not": {"$contains": "x"}}), json!("abc")));
        assert!(fits(json!({"$length": {"$at_least": 3}}), json!("abc")));
        assert!(fits(json!({"$any_of": [1, 2]}), json!(2)));
        assert!(!fits(json!({"$any_of": [1, 2]}), json!(3)));
        assert!(compare("value", &json!({"$present": true}), None).is_err());
    }

    #[test]
    fn a_misspelt_matcher_is_refused() {
        for pattern in [
            json!({"$contain": "x"}),
            json!([{"$atleast": 1}]),
            json!({"$at_most": 1, "b": 2}),
            json!({"$at_most": "1"}),
        ] {
            assert!(check(&pattern).is_err(), "{pattern}");
        }
    }
}
