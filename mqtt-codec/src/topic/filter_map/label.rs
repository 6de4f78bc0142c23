//! `Label`: one level of a filter. Most are short and stand where the node is, since each look at other memory is what a
//! match in a large tree takes its time for.

use alloc::boxed::Box;

/// So many bytes are kept in place.
const SHORT: usize = 22;

#[derive(Clone, Debug)]
pub(super) enum Label {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<str>),
}

impl Label {
    pub(super) fn new(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..text.len()) {
            Some(copy) => {
                copy.copy_from_slice(text.as_bytes());
                Self::Short { len: text.len() as u8, bytes }
            }
            None => Self::Long(text.into()),
        }
    }

    #[inline]
    pub(super) fn is(&self, text: &[u8]) -> bool {
        self.as_bytes() == text
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(text) => text.as_bytes(),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        // It was made of text.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_any_length_keep_their_text() {
        assert_eq!(size_of::<Label>(), 24);
        for len in [0, 1, SHORT - 1, SHORT, SHORT + 1, 1000] {
            let text = "é".repeat(len / 2) + &"x".repeat(len % 2);
            let label = Label::new(&text);
            assert_eq!(label.as_str(), text);
            assert!(label.is(text.as_bytes()) && !label.is(b"y"));
            assert_eq!(matches!(label, Label::Short { .. }), len <= SHORT);
        }
    }
}
