//! `${name}` in the texts of a scenario.

use serde_json::Value;
use std::collections::BTreeMap;

/// The variables of one run: the space's addresses, the scenario's folder, and what earlier steps saved.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Sets or replaces one variable.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Replaces every `${name}`; an unknown name is an error.
    pub fn text(&self, text: &str) -> Result<String, String> {
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| format!("{text:?} has a ${{ without its }}"))?;
            let value = self.0.get(name).ok_or_else(|| format!("unknown variable ${{{name}}} in {text:?}"))?;
            result.push_str(before);
            result.push_str(value);
            rest = after;
        }
        result.push_str(rest);
        Ok(result)
    }

    /// Replaces the variables in every text of a JSON value; keys stay as they are.
    pub fn value(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.text(text)?),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect::<Result<Vec<_>, _>>()?.into(),
            Value::Object(members) => {
                Value::Object(members.iter().map(|(key, item)| Ok((key.clone(), self.value(item)?))).collect::<Result<
                    _,
                    String,
                >>(
                )?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_inside_values_are_replaced_and_unknown_names_refused() {
        let mut variables = Variables::default();
        variables.set("base", "http://127.0.0.1:1");
        let value = json!({"${base}": ["${base}/a", 1, {"b": "x${base}"}]});
        let expected = json!({"${base}": ["http://127.0.0.1:1/a", 1, {"b": "xhttp://127.0.0.1:1"}]});
        assert_eq!(variables.value(&value), Ok(expected));
        assert!(variables.text("${bse}").is_err());
        assert!(variables.text("${base").is_err());
    }
}
