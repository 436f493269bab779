//! Reading and writing little-endian fields with bounds.
//!
//! A [`Reader`] never panics and never allocates: what it returns borrows from the bytes.

use crate::error::{Error, Result};

/// Reads fields one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
    what: &'static str,
}

/// Construct
impl<'a> Reader<'a> {
    /// Reads `bytes` from their start; `what` names the structure in errors.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self {
            bytes,
            pos: 0,
            what,
        }
    }
}

/// Read
impl<'a> Reader<'a> {
    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] if fewer are left; so for all methods that read.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        match self
            .pos
            .checked_add(len)
            .and_then(|end| self.bytes.get(self.pos..end))
        {
            Some(bytes) => {
                self.pos += len;
                Ok(bytes)
            }
            None => Err(Error::Truncated {
                what: self.what,
                needed: (self.pos as u64).saturating_add(len as u64),
                available: self.bytes.len() as u64,
            }),
        }
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    /// A byte.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes as an unsigned integer.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes as an unsigned integer.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes as an unsigned integer.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes as a signed integer.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A LEB128 integer.
    ///
    /// # Errors
    /// [`Error::Truncated`]; [`Error::Invalid`] if it exceeds 64 bits.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::invalid(
            self.what,
            "a varint of at most 64 bits",
            "a longer one",
        ))
    }

    /// A zigzag varint.
    ///
    /// # Errors
    /// As for [`varint`](Self::varint).
    pub fn zigzag(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A varint that has to fit what follows it, as a length or a count of things of at least one byte.
    ///
    /// # Errors
    /// [`Error::Truncated`] if more is announced than is left.
    pub fn length(&mut self) -> Result<usize> {
        let len = self.varint()?;
        let left = self.left() as u64;
        if len > left {
            return Err(Error::Truncated {
                what: self.what,
                needed: (self.pos as u64).saturating_add(len),
                available: self.bytes.len() as u64,
            });
        }
        Ok(len as usize)
    }

    /// A string: its length as a varint, then UTF-8.
    ///
    /// # Errors
    /// [`Error::Truncated`]; [`Error::Invalid`] if it is not UTF-8.
    pub fn str(&mut self) -> Result<&'a str> {
        let len = self.length()?;
        let bytes = self.bytes(len)?;
        std::str::from_utf8(bytes).map_err(|error| Error::invalid(self.what, "UTF-8", error))
    }

    /// Skips a string without looking at it.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub fn skip_str(&mut self) -> Result<()> {
        let len = self.length()?;
        self.bytes(len).map(drop)
    }

    /// Skips reserved bytes, which must be zero.
    ///
    /// # Errors
    /// [`Error::Truncated`]; [`Error::Invalid`] if one is not zero.
    pub fn reserved(&mut self, len: usize) -> Result<()> {
        let at = self.pos;
        if self.bytes(len)?.iter().any(|byte| *byte != 0) {
            return Err(Error::invalid(
                self.what,
                "zeros in reserved bytes",
                format!("others after byte {at}"),
            ));
        }
        Ok(())
    }

    /// Checks a magic number.
    ///
    /// # Errors
    /// [`Error::Truncated`]; [`Error::Invalid`] if it is another one.
    pub fn magic(&mut self, magic: &[u8]) -> Result<()> {
        let found = self.bytes(magic.len())?;
        if found != magic {
            return Err(Error::invalid(
                self.what,
                format!("magic {magic:02x?}"),
                format!("{found:02x?}"),
            ));
        }
        Ok(())
    }
}

/// Access
impl Reader<'_> {
    /// Bytes read so far.
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// Bytes left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.pos
    }

    /// Checks that everything was read.
    ///
    /// # Errors
    /// [`Error::Invalid`] if bytes are left.
    pub fn finish(&self) -> Result<()> {
        if self.left() != 0 {
            return Err(Error::invalid(
                self.what,
                "its end",
                format!("{} more bytes", self.left()),
            ));
        }
        Ok(())
    }
}

/// Appends a LEB128 integer.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a zigzag varint.
pub fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value << 1) as u64 ^ (value >> 63) as u64);
}

/// Appends a string: its length as a varint, then its bytes.
pub fn put_str(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends zeros until the length is a multiple of `align`.
pub fn pad_to(out: &mut Vec<u8>, align: usize) {
    out.resize(out.len().next_multiple_of(align), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_come_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_zigzag(&mut out, signed);
            let mut reader = Reader::new(&out, "test");
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert_eq!(reader.zigzag().unwrap(), signed);
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes, "test");
            while reader.left() > 0 && reader.varint().is_ok() && reader.str().is_ok() {}
        }
    }

    #[test]
    fn overlong_varints_are_errors() {
        assert!(Reader::new(&[0xff; 11], "test").varint().is_err());
        let mut most = vec![0xff; 9];
        most.push(1);
        assert_eq!(Reader::new(&most, "test").varint().unwrap(), u64::MAX);
        most[9] = 2;
        assert!(Reader::new(&most, "test").varint().is_err());
    }

    #[test]
    fn a_length_beyond_the_end_is_an_error_before_anything_is_allocated() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        assert!(matches!(
            Reader::new(&out, "test").str(),
            Err(Error::Truncated { .. })
        ));
    }
}
