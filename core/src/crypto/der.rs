//! As much of DER (X.690) as the files of keys and certificates need.

/// Reads elements one after the other; `None` from any of its methods: this is not the DER that was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0]` and `[1]`, explicitly tagged.
pub(crate) const CONTEXT_0: u8 = 0xa0;
pub(crate) const CONTEXT_1: u8 = 0xa1;

impl<'a> Reader<'a> {
    pub(crate) fn new(der: &'a [u8]) -> Reader<'a> {
        Reader(der)
    }

    /// The next element's tag and content.
    pub(crate) fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, length], mut rest) = self.0.split_first_chunk::<2>()?;
        let mut length = usize::from(length);
        if length >= 0x80 {
            let (digits, after) = rest.split_at_checked(length - 0x80)?;
            if digits.is_empty() || digits.len() > 4 {
                return None;
            }
            length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
            rest = after;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element if it has this tag; else that stays the next.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, content) = ahead.element()?;
        if found != tag {
            return None;
        }
        *self = ahead;
        Some(content)
    }

    /// The elements inside the next one, which has this tag.
    pub(crate) fn inside(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.take(tag).map(Reader)
    }

    /// An INTEGER that is not negative, big-endian and without zeros before it.
    pub(crate) fn integer(&mut self) -> Option<&'a [u8]> {
        let number = self.take(INTEGER)?;
        let negative = *number.first()? >= 0x80;
        (!negative).then(|| without_zeros(number))
    }

    /// A BIT STRING of whole bytes.
    pub(crate) fn bytes_of_bits(&mut self) -> Option<&'a [u8]> {
        self.take(BIT_STRING)?.strip_prefix(&[0])
    }
}

/// A big-endian number without the zeros before it.
pub(crate) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_and_what_is_cut_short_is_not() {
        let der = [SEQUENCE, 7, INTEGER, 2, 0, 0x80, OCTET_STRING, 1, 9, 0xff];
        let mut reader = Reader::new(&der);
        let mut inside = reader.inside(SEQUENCE).expect("a sequence");
        assert_eq!(inside.take(OCTET_STRING), None);
        assert_eq!(inside.integer(), Some(&[0x80][..]));
        assert_eq!(inside.take(OCTET_STRING), Some(&[9][..]));
        assert_eq!(inside.element(), None);
        assert_eq!(reader.element(), None, "a tag without a length");
        for length in 0..9 {
            assert!(Reader::new(&der[..length]).element().is_none(), "{length} bytes");
        }
    }

    #[test]
    fn long_lengths_are_read_and_absurd_ones_refused() {
        let mut der = vec![OCTET_STRING, 0x82, 1, 0];
        der.extend([7; 256]);
        assert_eq!(Reader::new(&der).take(OCTET_STRING).map(<[u8]>::len), Some(256));
        for wrong in
            [&[OCTET_STRING, 0x80][..], &[4, 0x85, 0, 0, 0, 0, 0], &[4, 0x84, 0xff, 0xff, 0xff, 0xff], &[4, 0xff]]
        {
            assert!(Reader::new(wrong).element().is_none(), "{wrong:?}");
        }
        assert_eq!(Reader::new(&[INTEGER, 1, 0x80]).integer(), None, "a negative number");
        assert_eq!(Reader::new(&[INTEGER, 0]).integer(), None, "a number without digits");
    }
}
