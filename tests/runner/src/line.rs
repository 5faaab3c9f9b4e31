//! The lines between runner and driver (tests/drivers/README.md): tab-separated, percent-encoded fields.

/// Percent-encodes bytes for one field, or for a key or a value of a `key=value` field.
pub fn encode(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~:/?,;@$*()! ".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    text
}

/// Undoes [`encode`]; `None` if a `%` is not followed by two hexadecimal digits.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    Some(bytes)
}

/// Writes a `key=value` field.
pub fn pair(key: &str, value: &str) -> String {
    format!("{}={}", encode(key.as_bytes()), encode(value.as_bytes()))
}

/// Reads a `key=value` field: both halves decoded apart. The key must be UTF-8, the value may be any bytes.
pub fn split_pair(field: &str) -> Option<(String, Vec<u8>)> {
    let (key, value) = field.split_once('=')?;
    Some((String::from_utf8(decode(key)?).ok()?, decode(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).collect();
        let text = encode(&all);
        assert!(!text.contains(['\t', '\n', '=', '+', '&']));
        assert_eq!(decode(&text), Some(all));
    }

    #[test]
    fn a_pair_is_split_at_its_own_equals_sign() {
        let field = pair("query.a=b", "c=%d");
        assert_eq!(field, "query.a%3Db=c%3D%25d");
        assert_eq!(split_pair(&field), Some(("query.a=b".to_owned(), b"c=%d".to_vec())));
    }

    #[test]
    fn a_broken_escape_is_refused() {
        for text in ["%", "%4", "%zz", "%+1"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
