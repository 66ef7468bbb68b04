//! The data types of SSH (RFC 4251, section 5) as far as keys and signatures have them.

/// Reads from the front of a slice; nothing is read beyond its end.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    pub(crate) fn uint32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let n = self.uint32()?;
        self.take(usize::try_from(n).ok()?)
    }

    /// A whole number of at most 32 bytes, without a sign.
    pub(crate) fn number(&mut self) -> Option<[u8; 32]> {
        let bytes = self.string()?;
        let plain = match bytes {
            // The zero before a number whose first bit is set, and nowhere else.
            [0, rest @ ..] if rest.first().is_some_and(|b| b & 0x80 != 0) => rest,
            [0, ..] => return None,
            [first, ..] if first & 0x80 != 0 => return None,
            plain => plain,
        };
        let mut out = [0; 32];
        out.get_mut(32usize.checked_sub(plain.len())?..)?.copy_from_slice(plain);
        Some(out)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(crate) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}
