//! The subset of CBOR (RFC 8949) that leaves and bundles are written in, in one way only: definite lengths, shortest forms. So two
//! different byte strings never say the same, and nothing in what is read makes anything larger than itself.

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at byte {at}")]
pub struct Malformed {
    /// Where.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// Levels of nesting that are skipped.
const DEEP: u8 = 32;

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;

#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// An error here.
    pub(crate) const fn bad(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(n).ok().and_then(|n| rest.get(..n)).ok_or_else(|| self.bad("cut off"))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn head(&mut self) -> Result<(u8, u64), Malformed> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 31);
        if info < 24 {
            return Ok((major, info.into()));
        }
        if info > 27 {
            return Err(self.bad("an indefinite length, or a reserved one"));
        }
        let width = 1_u32 << (info - 24);
        let value = self.take(width.into())?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        // What the next narrower form could have held must be in it.
        let narrower = if width == 1 { 24 } else { 1 << (4 * width) };
        if value < narrower { Err(self.bad("not in the shortest form")) } else { Ok((major, value)) }
    }

    fn of(&mut self, major: u8, what: &'static str) -> Result<u64, Malformed> {
        let at = self.at;
        match self.head()? {
            (found, value) if found == major => Ok(value),
            _ => Err(Malformed { at, what }),
        }
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Malformed> {
        self.of(UINT, "not an unsigned integer")
    }

    /// An unsigned integer of a narrower type.
    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        let at = self.at;
        T::try_from(self.uint()?).map_err(|_| Malformed { at, what: "the number is too large" })
    }

    pub(crate) fn int(&mut self) -> Result<i64, Malformed> {
        let at = self.at;
        let (major, value) = self.head()?;
        match (major, i64::try_from(value)) {
            (UINT, Ok(value)) => Ok(value),
            (NEGATIVE, Ok(value)) => Ok(-1 - value),
            (UINT | NEGATIVE, Err(_)) => Err(Malformed { at, what: "the number is too large" }),
            _ => Err(Malformed { at, what: "not an integer" }),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.of(BYTES, "not a byte string")?;
        self.take(n)
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let at = self.at;
        self.bytes()?.try_into().map_err(|_| Malformed { at, what: "a byte string of another length" })
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let n = self.of(TEXT, "not a text string")?;
        let at = self.at;
        std::str::from_utf8(self.take(n)?).map_err(|_| Malformed { at, what: "not UTF-8" })
    }

    pub(crate) fn array(&mut self) -> Result<u64, Malformed> {
        self.of(ARRAY, "not an array")
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Malformed> {
        match self.take(1)?[0] {
            FALSE => Ok(false),
            TRUE => Ok(true),
            _ => Err(Malformed { at: self.at - 1, what: "neither true nor false" }),
        }
    }

    /// Takes a `null`, if there is one.
    pub(crate) fn null(&mut self) -> bool {
        let null = self.bytes.get(self.at) == Some(&NULL);
        self.at += usize::from(null);
        null
    }

    /// Passes over one item, whatever it is.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        self.skip_below(DEEP)
    }

    fn skip_below(&mut self, deep: u8) -> Result<(), Malformed> {
        let at = self.at;
        match self.head()? {
            (UINT | NEGATIVE, _) => Ok(()),
            (BYTES | TEXT, n) => self.take(n).map(drop),
            (ARRAY, _) if deep == 0 => Err(Malformed { at, what: "nested too deeply" }),
            (ARRAY, n) => (0..n).try_for_each(|_| self.skip_below(deep - 1)),
            (7, 20..=22) => Ok(()),
            _ => Err(Malformed { at, what: "not a kind of item that is used here" }),
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.bad("something follows")) }
    }
}

/// Writes items one behind another.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    fn head(&mut self, major: u8, value: u64) -> &mut Self {
        let major = major << 5;
        let wide = value.to_be_bytes();
        match value {
            0..24 => self.0.push(major | wide[7]),
            24..0x100 => self.0.extend_from_slice(&[major | 24, wide[7]]),
            0x100..0x1_0000 => self.0.extend_from_slice(&[major | 25, wide[6], wide[7]]),
            0x1_0000..0x1_0000_0000 => {
                self.0.push(major | 26);
                self.0.extend_from_slice(&wide[4..]);
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend_from_slice(&wide);
            }
        }
        self
    }

    pub(crate) fn uint(&mut self, value: u64) -> &mut Self {
        self.head(UINT, value)
    }

    pub(crate) fn int(&mut self, value: i64) -> &mut Self {
        if value < 0 { self.head(NEGATIVE, (-1 - value).unsigned_abs()) } else { self.head(UINT, value.unsigned_abs()) }
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(BYTES, value.len() as u64).0.extend_from_slice(value);
        self
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.head(TEXT, value.len() as u64).0.extend_from_slice(value.as_bytes());
        self
    }

    pub(crate) fn array(&mut self, n: u64) -> &mut Self {
        self.head(ARRAY, n)
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.0.push(if value { TRUE } else { FALSE });
        self
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.0.push(NULL);
        self
    }
}
