//! Bytes that may contain a password.

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroize as _;

/// Bytes that are wiped when they are dropped, and that leave no copy in freed memory when they grow.
///
/// `Zeroizing<Vec<u8>>` is not used because it wipes an empty vector too, by a memset of no bytes at its dangling
/// pointer. Where memset uses masked stores (AVX-512) that costs about 75 ns, as much as parsing a small request.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Appends bytes. The capacity grows by doubling, but not beyond `bytes_max`, the largest length the caller allows.
    pub fn append(&mut self, bytes: &[u8], bytes_max: usize) {
        let need = self.0.len() + bytes.len();
        if need > self.0.capacity() {
            let doubled = self.0.capacity().saturating_mul(2).min(bytes_max);
            let mut larger = Vec::with_capacity(need.max(doubled));
            larger.extend_from_slice(&self.0);
            *self = Self(larger);
        }
        self.0.extend_from_slice(bytes);
    }

    /// Overwrites `count` bytes from `start` with zeros.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn wipe(&mut self, start: usize, count: usize) {
        self.0[start..][..count].zeroize();
    }

    /// Takes the bytes; from then on the caller has to wipe them.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    /// The memory they take, in bytes.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl From<&[u8]> for SecretBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl Deref for SecretBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    /// Prints the number of bytes only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        if self.0.capacity() > 0 {
            self.0.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_grow_by_doubling_up_to_what_there_may_be() {
        let mut bytes = SecretBytes::default();
        let mut capacities = Vec::new();
        for _ in 0..100 {
            bytes.append(b"x", 100);
            if capacities.last() != Some(&bytes.capacity()) {
                capacities.push(bytes.capacity());
            }
        }
        assert_eq!(*bytes, *b"x".repeat(100));
        assert_eq!(capacities, [1, 2, 4, 8, 16, 32, 64, 100]);
    }

    #[test]
    fn they_are_never_shown() {
        let bytes = SecretBytes::from(&b"s3cret"[..]);
        assert_eq!(format!("{bytes:?}"), "SecretBytes(6 bytes)");
    }

    #[test]
    fn a_part_of_them_may_be_wiped() {
        let mut bytes = SecretBytes::from(&b"password rest"[..]);
        bytes.wipe(4, 5);
        assert_eq!(bytes.take(), b"pass\0\0\0\0\0rest");
        assert_eq!((bytes.len(), bytes.capacity()), (0, 0));
    }
}
