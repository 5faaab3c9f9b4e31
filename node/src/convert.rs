//! Values of JavaScript as values of the core. What does not fit is handed over as the name of its type, so that the
//! core makes the error.

use napi::bindgen_prelude::{Array, FromNapiValue, JsObjectValue, JsValue, Object, Unknown};
use napi::{Result, ValueType};
use svctoken::{Config, OPTIONS, OptionKind, OptionRow, SecretCallback, Value};

use crate::error::Failure;

/// The options of a client by their names in JavaScript; `undefined` and `null` count as not given. A function is kept by
/// `index.js`, and `callback` has it called.
pub(crate) fn config(options: &Object<'_>, callback: &SecretCallback) -> Result<std::result::Result<Config, Failure>> {
    let mut config = Config::default();
    for (name, value) in entries(options)? {
        if matches!(value.get_type()?, ValueType::Undefined | ValueType::Null) {
            continue;
        }
        let name = snake_case(&name);
        let row = OPTIONS.iter().find(|row| row.name == name);
        if let Err(error) = config.set(&name, option_value(row, value, callback)?) {
            return Ok(Err(error.into()));
        }
    }
    Ok(Ok(config))
}

/// `clientSecret` as the core says it: `client_secret`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() || letter.is_ascii_digit() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// `client_secret` as JavaScript says it: `clientSecret`.
pub(crate) fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |camel, part| {
        let (initial, rest) = part.split_at(part.len().min(1));
        camel + &initial.to_ascii_uppercase() + rest
    })
}

fn option_value(row: Option<&OptionRow>, value: Unknown<'_>, callback: &SecretCallback) -> Result<Value> {
    let kind = row.map(|row| row.kind);
    Ok(match value.get_type()? {
        ValueType::String => Value::Text(from(value)?),
        ValueType::Boolean => Value::Flag(from(value)?),
        ValueType::Number if kind == Some(OptionKind::Duration) => Value::Milliseconds(from(value)?),
        ValueType::Number => Value::Number(from(value)?),
        ValueType::Object if value.is_array()? => match kind {
            Some(OptionKind::Pairs) => pairs_of_array(from(value)?)?,
            _ => texts(from(value)?)?.map_or_else(|| Value::Other("an array of other things".into()), Value::List),
        },
        ValueType::Object if kind == Some(OptionKind::Pairs) => pairs_of_object(from(value)?)?,
        ValueType::Function if kind == Some(OptionKind::Callback) => Value::Callback(callback.clone()),
        other => Value::Other(type_name(other).into()),
    })
}

fn pairs_of_object(object: Object<'_>) -> Result<Value> {
    let mut pairs = Vec::new();
    for (name, value) in entries(&object)? {
        match value.get_type()? {
            ValueType::String => pairs.push((name, from(value)?)),
            other => return Ok(Value::Other(format!("{} for {name:?}", type_name(other)))),
        }
    }
    Ok(Value::Pairs(pairs))
}

/// By the names as JavaScript has them: a NUL in one is for the core to refuse.
fn entries<'env>(object: &Object<'env>) -> Result<Vec<(String, Unknown<'env>)>> {
    let names = object.get_property_names()?;
    let entry = |index| {
        let name: Unknown<'env> = names.get_element(index)?;
        Ok((from(name)?, object.get_property(name)?))
    };
    (0..names.get_array_length_unchecked()?).map(entry).collect()
}

fn pairs_of_array(array: Array<'_>) -> Result<Value> {
    let mut pairs = Vec::new();
    for index in 0..array.len() {
        let entry: Option<Unknown<'_>> = array.get(index)?;
        let pair = match entry {
            Some(entry) if entry.is_array()? => texts(from(entry)?)?,
            _ => None,
        };
        let Some(Ok([name, value])) = pair.map(<[String; 2]>::try_from) else {
            return Ok(Value::Other("an array of other things than pairs of texts".into()));
        };
        pairs.push((name, value));
    }
    Ok(Value::Pairs(pairs))
}

/// The array's elements, if they are all texts.
fn texts(array: Array<'_>) -> Result<Option<Vec<String>>> {
    let mut texts = Vec::new();
    for index in 0..array.len() {
        let element: Option<Unknown<'_>> = array.get(index)?;
        match element {
            Some(element) if element.get_type()? == ValueType::String => texts.push(from(element)?),
            _ => return Ok(None),
        }
    }
    Ok(Some(texts))
}

fn type_name(of: ValueType) -> &'static str {
    match of {
        ValueType::Undefined | ValueType::Null => "nothing",
        ValueType::Boolean => "a boolean",
        ValueType::Number => "a number",
        ValueType::String => "a string",
        ValueType::Symbol => "a symbol",
        ValueType::Function => "a function",
        ValueType::Object => "an object",
        _ => "another type",
    }
}

fn from<T: FromNapiValue>(value: Unknown<'_>) -> Result<T> {
    T::from_unknown(value)
}
