//! Reading DER, as much as a certificate needs: one element after the other, nothing copied, nothing trusted.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;

/// What is left of a run of elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next element: its tag and its content. `None` at the end and for what is not DER.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, length], mut rest) = self.0.split_first_chunk()?;
        // Tags of more than one byte do not occur in certificates.
        if tag & 0x1F == 0x1F {
            return None;
        }
        let length = match length {
            0..=0x7F => usize::from(length),
            0x81..=0x84 => {
                let (digits, after) = rest.split_at_checked(usize::from(length & 0x7F))?;
                rest = after;
                digits.iter().fold(0, |value, &digit| value << 8 | usize::from(digit))
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The elements within the next element, which must have this tag.
    pub(super) fn inside(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }

    /// The content of the next element if it has this tag; otherwise nothing is taken.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, content) = ahead.next()?;
        (found == tag).then(|| {
            *self = ahead;
            content
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_form() {
        assert_eq!(Der::new(&[2, 1, 7]).next(), Some((2, &[7][..])));
        let mut long = vec![4, 0x81, 200];
        long.resize(203, 1);
        assert_eq!(Der::new(&long).take(OCTET_STRING).map(<[u8]>::len), Some(200));
        let mut longer = vec![4, 0x82, 1, 0];
        longer.resize(260, 1);
        assert_eq!(Der::new(&longer).take(OCTET_STRING).map(<[u8]>::len), Some(256));
        for bad in
            [&[][..], &[2], &[2, 2, 7], &[4, 0x80, 0, 0], &[4, 0x84, 255, 255, 255, 255, 1], &[0x1F, 1, 1]]
        {
            assert_eq!(Der::new(bad).next(), None, "{bad:?}");
        }
    }
}
