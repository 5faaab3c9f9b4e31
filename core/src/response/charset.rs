//! From a body's bytes to text, by the charset its Content-Type names. Pure.

use std::borrow::Cow;

/// What the bytes 0x80 to 0x9F are in windows-1252; the rest of it is ISO 8859-1.
const UPPER: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}', '\u{2030}',
    '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}',
    '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}',
    '\u{17e}', '\u{178}',
];

/// The charset that a Content-Type names (RFC 9110 section 8.3.2), in lower case.
pub(super) fn named(content_type: &str) -> Option<String> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"').trim();
        (name.trim().eq_ignore_ascii_case("charset") && !value.is_empty()).then(|| value.to_ascii_lowercase())
    })
}

/// The text; UTF-8 where no charset is named. The error says what is wrong with the body.
pub(super) fn decode<'a>(charset: Option<&str>, bytes: &'a [u8]) -> Result<Cow<'a, str>, String> {
    match charset.unwrap_or("utf-8") {
        "utf-8" | "utf8" => {
            let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
            std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| format!("is not UTF-8: {error}"))
        }
        // The Encoding Standard reads the first three as the last, because servers mean that.
        "iso-8859-1" | "latin1" | "us-ascii" | "windows-1252" => {
            Ok(bytes.iter().map(|byte| windows_1252(*byte)).collect())
        }
        other => Err(format!("is no text in {other:.40?} that can be read here")),
    }
}

fn windows_1252(byte: u8) -> char {
    match byte {
        0x80..=0x9f => UPPER[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charset_is_found_however_it_is_written() {
        for (content_type, charset) in [
            ("text/plain; charset=utf-8", Some("utf-8")),
            ("text/plain;CHARSET=\"UTF-8\"", Some("utf-8")),
            ("text/plain; a=b; charset = iso-8859-1 ; c=d", Some("iso-8859-1")),
            ("application/vnd.atlas.2023-01-01+json;charset=utf-8", Some("utf-8")),
            ("text/plain", None),
            ("text/plain; charset=", None),
            ("charset=utf-8", None),
            ("", None),
        ] {
            assert_eq!(named(content_type).as_deref(), charset, "{content_type}");
        }
    }

    #[test]
    fn bytes_are_read_in_their_charset_or_not_at_all() {
        let text = |charset, bytes: &'static [u8]| decode(charset, bytes).map(Cow::into_owned);
        assert_eq!(text(None, "ü".as_bytes()).as_deref(), Ok("ü"));
        assert_eq!(text(Some("utf-8"), b"\xef\xbb\xbfa").as_deref(), Ok("a"), "the mark is none of the text");
        assert_eq!(text(Some("iso-8859-1"), b"\xfc\x80\x9f\x81").as_deref(), Ok("ü\u{20ac}\u{178}\u{81}"));
        assert_eq!(text(Some("windows-1252"), b"a\x93b\x94").as_deref(), Ok("a\u{201c}b\u{201d}"));
        assert!(text(None, b"\xfc").expect_err("no UTF-8").contains("UTF-8"));
        assert!(text(Some("utf-16"), b"\xff\xfe").expect_err("unknown here").contains("utf-16"));
    }
}
