//! A little of DER (X.690).

/// A tag and its content.
pub(crate) type Element<'a> = (u8, &'a [u8]);

/// The first element, and what comes after it.
pub(crate) fn element(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&[tag, length], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), &rest[2..]),
        length => (usize::from(length), rest),
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some(((tag, content), rest))
}
