//! Secrets derived from the one that a store keeps.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What a derived secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To sign tokens, if there is no `--secret-file`.
    Tokens,
    /// To hash the keys by which guests hold names.
    Holders,
    /// To make fingerprints of messages.
    Fingerprints,
}

/// The secret for a purpose: HMAC-SHA256 (RFC 2104) of its name. It tells nothing of the secrets for the others.
pub fn derive(secret: &[u8; 32], purpose: Purpose) -> [u8; 32] {
    let name = match purpose {
        Purpose::Tokens => "sarang tokens 1",
        Purpose::Holders => "sarang holders 1",
        Purpose::Fingerprints => "sarang fingerprints 1",
    };
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.chain_update(name).finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_and_purpose_has_its_own() {
        let all = [Purpose::Tokens, Purpose::Holders, Purpose::Fingerprints];
        let derived: Vec<_> = [[1; 32], [2; 32]]
            .iter()
            .flat_map(|secret| all.map(|purpose| derive(secret, purpose)))
            .collect();
        for (index, one) in derived.iter().enumerate() {
            assert!(!derived[..index].contains(one));
        }
        assert_eq!(derived[0], derive(&[1; 32], Purpose::Tokens));
    }
}
