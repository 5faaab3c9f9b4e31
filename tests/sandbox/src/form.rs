//! `application/x-www-form-urlencoded` and query text.

/// Undoes form encoding: `+` is a space, `%XX` a byte. None when a `%` is not followed by two hex digits.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                let digit = |index: usize| char::from(digits[index]).to_digit(16);
                decoded.push((digit(0)? * 16 + digit(1)?) as u8);
                rest = tail;
            }
            _ => decoded.push(byte),
        }
    }
    Some(decoded)
}

/// Whether every byte that form encoding would change has been changed.
pub(crate) fn is_encoded(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.*~!'()+%".contains(byte)) && decode(text).is_some()
}

/// The first value of `name` in a form body or a query. None when it is absent or badly encoded.
pub(crate) fn value(form: &[u8], name: &str) -> Option<String> {
    form.split(|byte| *byte == b'&').find_map(|pair| {
        let (key, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        (decode(key)? == name.as_bytes()).then(|| decode(value))?.map(|value| String::from_utf8_lossy(&value).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_follows_the_form_rules() {
        assert_eq!(decode(b"a+b%2B%c3%BC").as_deref(), Some("a b+ü".as_bytes()));
        assert_eq!(decode(b"100%"), None);
        assert_eq!(decode(b"%4"), None);
        assert_eq!(decode(b"%zz"), None);
    }

    #[test]
    fn encoded_means_that_nothing_was_left_to_encode() {
        assert!(is_encoded(b"mdb_sa_id_0"));
        assert!(is_encoded(b"%2B+%25"));
        for raw in ["a b", "a&b", "a:b", "100%", "ü"] {
            assert!(!is_encoded(raw.as_bytes()), "{raw}");
        }
    }

    #[test]
    fn a_value_is_found_by_its_decoded_name() {
        assert_eq!(value(b"a=1&gr%61nt=x+y&b", "grant").as_deref(), Some("x y"));
        assert_eq!(value(b"a=1&b", "b").as_deref(), Some(""));
        assert_eq!(value(b"a=1", "c"), None);
    }
}
