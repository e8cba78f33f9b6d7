//! Networks as `--trusted-proxy` takes them, in CIDR notation (RFC 4632 section 3.1, RFC 4291 section 2.3).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A network: the addresses that begin with the same bits. An address of IPv4 within IPv6 is that of IPv4 (RFC 4291
/// section 2.5.5.2), so a server that listens for both families sees one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// Its first address.
    first: IpAddr,
    /// The length of the prefix, in bits.
    prefix: u32,
}

/// The bits of an address, and how many it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), u32::BITS),
        IpAddr::V6(address) => (address.into(), u128::BITS),
    }
}

/// The first address of the network that has this address and a prefix of this many bits.
fn first(address: IpAddr, prefix: u32) -> IpAddr {
    let (bits, count) = bits(address);
    let bits = bits & u128::MAX.checked_shl(count - prefix).unwrap_or(0);
    match address {
        IpAddr::V4(_) => IpAddr::V4((bits as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(bits.into()),
    }
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or one address.
    ///
    /// # Errors
    /// A sentence: it is no network, its prefix is longer than an address, or bits behind the prefix are set.
    pub fn parse(text: &str) -> Result<Self, String> {
        let no_network = || {
            format!("\"{text}\" is not a network or an address, such as 10.0.0.0/8 or 192.0.2.1")
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| no_network())?;
        let (_, count) = bits(address);
        let prefix = match prefix {
            None => count,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| no_network())?
            }
            Some(_) => return Err(no_network()),
        };
        if prefix > count {
            return Err(format!("\"{text}\": the prefix has at most {count} bits"));
        }
        let network = Self {
            first: first(address, prefix),
            prefix,
        };
        if network.first != address {
            return Err(format!(
                "\"{text}\" has bits behind its prefix; the network is {network}"
            ));
        }
        Ok(network.canonical())
    }

    /// A network within `::ffff:0:0/96` as the network of IPv4 that it is.
    fn canonical(self) -> Self {
        match (self.first.to_canonical(), self.prefix) {
            (first @ IpAddr::V4(_), prefix @ 96..) if self.first.is_ipv6() => Self {
                first,
                prefix: prefix - (Ipv6Addr::BITS - u32::BITS),
            },
            _ => self,
        }
    }

    /// Whether it has this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && first(address, self.prefix) == self.first
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Cidr {
        Cidr::parse(text).expect("is a network")
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (text, inside, outside) in [
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"][..],
                &["11.0.0.0", "9.255.255.255", "a00::", "::10.0.0.1"][..],
            ),
            ("192.0.2.1", &["192.0.2.1"], &["192.0.2.0", "192.0.2.2"]),
            ("192.0.2.128/25", &["192.0.2.255"], &["192.0.2.127"]),
            ("0.0.0.0/0", &["192.0.2.1"], &["::1"]),
            (
                "::/0",
                &["::1", "2001:db8::1"],
                &["192.0.2.1", "::ffff:192.0.2.1"],
            ),
            ("::1", &["::1"], &["::2", "127.0.0.1"]),
            ("fd00::/8", &["fd00::1", "fdff::"], &["fe00::", "fc00::1"]),
            ("2001:db8::/33", &["2001:db8:7fff::"], &["2001:db8:8000::"]),
            ("::ffff:10.0.0.0/104", &["10.9.9.9"], &["11.0.0.0", "::1"]),
            (
                "::ffff:10.0.0.1",
                &["10.0.0.1", "::ffff:10.0.0.1"],
                &["10.0.0.2"],
            ),
        ] {
            let has = |address: &&str| network(text).contains(address.parse().expect("is one"));
            assert!(inside.iter().all(has), "{text}");
            assert!(!outside.iter().any(has), "{text}");
        }
    }

    #[test]
    fn a_network_is_shown_with_its_prefix() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("FD00::/08", "fd00::/8"),
        ] {
            assert_eq!(network(text).to_string(), shown);
        }
    }

    #[test]
    fn bits_behind_the_prefix_are_refused_with_the_network_that_was_meant() {
        for (text, meant) in [
            ("10.0.0.1/8", "10.0.0.0/8"),
            ("192.0.2.130/25", "192.0.2.128/25"),
            ("fd00::1/8", "fd00::/8"),
            ("1.2.3.4/0", "0.0.0.0/0"),
        ] {
            let sentence = Cidr::parse(text).expect_err("has such bits");
            assert!(sentence.ends_with(&format!("is {meant}")), "{sentence}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "/8",
            "a",
            "10.0.0.0/",
            "10.0.0.0/x",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0/8",
            "10.0.0.0/8/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/99999999999",
            "[::1]",
            "127.0.0.1:80",
            "localhost",
            "fe80::1%eth0",
            " 10.0.0.1",
            "10.0.0.0 /8",
        ] {
            assert!(Cidr::parse(text).is_err(), "{text:?}");
        }
    }
}
