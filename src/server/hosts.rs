//! The hosts the server answers for: its defence against DNS rebinding.
//!
//! A page at `http://evil.example:8000` whose name its owner makes resolve to 127.0.0.1 is of the same origin as a
//! server there, as far as a browser can tell, and may do everything a page of that server may. What the browser cannot
//! be made to change is the name in the request. So a server on loopback answers only for names that nobody else can
//! make resolve to it: `localhost`, loopback addresses, and those the operator gives.
//!
//! No page reaches a unix socket by itself. What a proxy in front passes on has the proxy's own names, so there every name
//! is served until some are given.
//!
//! Names below `.localhost` have to be given, too: some resolvers ask the network for them, against RFC 6761 section 6.3.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::Config;

/// Whether a request for this authority (`host [":" port]`, RFC 3986 section 3.2) is served. The port does not count: it
/// may be that of a proxy or a tunnel. Neither does upper case, nor a dot at the end. An empty authority is served: no
/// browser sends one. `is_unix` says that the request has come over a unix socket.
pub fn is_served(config: &Config, authority: &str, is_unix: bool) -> bool {
    let is_on_loopback = config.is_on_loopback();
    if authority.is_empty() || config.hosts.is_empty() && (is_unix || !is_on_loopback) {
        return true;
    }
    let name = host_of(authority);
    if is_on_loopback && (name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost")) {
        return true;
    }
    match address(name) {
        Some(address) if is_on_loopback && address.is_loopback() => true,
        Some(address) => {
            let mut hosts = config.hosts.iter();
            hosts.any(|host| host.parse() == Ok(address))
        }
        None => {
            let mut hosts = config.hosts.iter();
            hosts.any(|host| host.eq_ignore_ascii_case(name))
        }
    }
}

/// The host of a valid authority, without a dot at its end; an address of IPv6 in its brackets.
fn host_of(authority: &str) -> &str {
    // For text this short, going through its bytes is faster than `find`.
    let mut bytes = authority.bytes();
    let end = match authority.starts_with('[') {
        true => bytes.position(|byte| byte == b']').map(|at| at + 1),
        false => bytes.position(|byte| byte == b':'),
    };
    let host = &authority[..end.unwrap_or(authority.len())];
    host.strip_suffix('.').unwrap_or(host)
}

/// The address that a host is, if it is one. An address of IPv4 within IPv6 is that of IPv4.
fn address(host: &str) -> Option<IpAddr> {
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match in_brackets {
        Some(inside) => inside
            .parse::<Ipv6Addr>()
            .ok()
            .map(|address| IpAddr::V6(address).to_canonical()),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Reads a host as `--host` takes it: a name, or an address, of IPv6 with or without brackets; no port, scheme or path.
/// It is returned as [`Config::hosts`] has it: a name without a dot at the end, an address as it is usually written and
/// without brackets.
///
/// # Errors
/// A sentence for the operator.
pub fn read_host(text: &str) -> Result<String, String> {
    let bare = text
        .parse::<Ipv6Addr>()
        .map(|address| IpAddr::V6(address).to_canonical());
    if let Some(address) = bare.ok().or_else(|| address(text)) {
        return Ok(address.to_string());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // Browsers read a name that ends in a number as an address of IPv4 (WHATWG URL section 3.5).
    let ends_in_number = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    match name.split('.').all(is_label) && !ends_in_number {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "\"{text}\" is not a host name or address, such as chat.example.com (no port, scheme or path, and xn--… \
            instead of other letters than ASCII)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::listen::Listen;

    /// A configuration with this listening address and these hosts.
    fn config(listen: &str, hosts: &[&str]) -> Config {
        let hosts = hosts.iter().map(|host| read_host(host));
        Config {
            listen: vec![Listen::parse(listen).expect("an address and a port")],
            hosts: hosts.collect::<Result<_, _>>().expect("are hosts"),
            ..Config::default()
        }
    }

    const OWN: [&str; 10] = [
        "localhost",
        "LocalHost.:8000",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.255.0.3:8000",
        "127.0.0.1.",
        "[::1]",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]:8000",
        "[::ffff:127.1.2.3]:8000",
    ];

    const FOREIGN: [&str; 14] = [
        "evil.example:8000",
        "localhost.evil.example",
        "evil.localhost",
        "localhost..",
        "xlocalhost",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io:8000",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0.0.0.0:8000",
        "[::]:8000",
        "[::2]",
        "192.168.0.5",
    ];

    #[test]
    fn on_loopback_its_own_names_are_served_and_no_other() {
        for listen in ["127.0.0.1:8000", "127.9.9.9:1", "[::1]:8000"] {
            for hosts in [&[][..], &["chat.example.com", "10.0.0.7"]] {
                let config = config(listen, hosts);
                for own in OWN {
                    assert!(is_served(&config, own, false), "{listen} {own}");
                }
                for foreign in FOREIGN {
                    assert!(!is_served(&config, foreign, false), "{listen} {foreign}");
                }
                assert!(is_served(&config, "", false), "no browser leaves it out");
            }
        }
    }

    #[test]
    fn a_given_host_is_served_however_it_is_written() {
        let hosts = [
            "Chat.Example.com.",
            "10.0.0.7",
            "fe80::0:7",
            "[2001:db8::1]",
        ];
        for listen in ["127.0.0.1:8000", "0.0.0.0:8000", "[::]:8000"] {
            let config = config(listen, &hosts);
            for given in [
                "chat.example.com",
                "CHAT.EXAMPLE.COM.:443",
                "10.0.0.7:8000",
                "[::ffff:10.0.0.7]",
                "[fe80::7]:8000",
                "[2001:DB8:0::1]",
            ] {
                assert!(is_served(&config, given, false), "{listen} {given}");
            }
            for other in ["example.com", "a.chat.example.com", "10.0.0.8", "[fe80::8]"] {
                assert!(!is_served(&config, other, false), "{listen} {other}");
            }
        }
    }

    #[test]
    fn elsewhere_every_host_is_served_until_some_are_given() {
        let open = config("0.0.0.0:8000", &[]);
        let limited = config("0.0.0.0:8000", &["chat.example.com"]);
        for host in OWN.into_iter().chain(FOREIGN) {
            assert!(is_served(&open, host, false), "{host}");
            assert!(!is_served(&limited, host, false), "{host}");
        }
    }

    #[test]
    fn over_a_unix_socket_every_host_is_served_until_some_are_given() {
        for listen in ["unix:/run/a.sock", "127.0.0.1:8000", "0.0.0.0:8000"] {
            let open = config(listen, &[]);
            let limited = config(listen, &["chat.example.com"]);
            for host in FOREIGN {
                assert!(is_served(&open, host, true), "{listen} {host}");
                assert!(!is_served(&limited, host, true), "{listen} {host}");
            }
            assert!(is_served(&limited, "chat.example.com", true));
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "",
            ".",
            "a..b",
            ".a",
            "a:80",
            "http://a",
            "a/b",
            "a b",
            "*",
            "*.example.com",
            "user@a",
            "[::1]:80",
            "[127.0.0.1]",
            "[a]",
            "127.1",
            "1.2.3.256",
            "한국.example",
        ] {
            assert!(read_host(bad).is_err(), "{bad}");
        }
    }
}
