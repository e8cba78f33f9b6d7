//! The address of a client behind proxies: `X-Forwarded-For`, and `Forwarded` (RFC 7239).
//!
//! Each proxy appends the address it was reached from, so only the end of a list was written by proxies that are known;
//! the rest may be anything. Everything is read from the end, and nothing further left can change how that is read.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::field_lines::{FieldLines, Name};
use crate::config::cidr::Cidr;

/// A peer that is a trusted proxy.
#[derive(Clone, Copy, Debug)]
pub struct Proxy<'t> {
    /// Its address.
    pub address: IpAddr,
    /// All networks of trusted proxies.
    pub trusted: &'t [Cidr],
}

/// What the fields of a request say about who sent it to the first proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// The peer is a trusted proxy: the address of its client; its own address if it names none.
    Client(IpAddr),
    /// The peer is a trusted proxy with this address, but its two fields lead to different addresses. It sets one of them
    /// and passes on the other as a stranger wrote it, and which is which is unknown.
    Disputed(IpAddr),
    /// The peer is no trusted proxy, so this field does not count.
    Ignored(&'static str),
}

/// Reads what a request says about its client. `None` if the peer is no trusted proxy (`proxy` is `None`) and does not
/// claim to be a proxy either.
pub fn read_forwarding(proxy: Option<Proxy<'_>>, lines: &FieldLines<'_>) -> Option<Forwarding> {
    let Some(proxy) = proxy else {
        let names = [
            (Name::XForwardedFor, "X-Forwarded-For"),
            (Name::Forwarded, "Forwarded"),
        ];
        let found = names.iter().find(|(name, _)| lines.is_present(*name));
        return found.map(|(_, name)| Forwarding::Ignored(name));
    };
    let one = lines
        .backwards(Name::XForwardedFor)
        .flat_map(|line| line.rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty())
        .map(read_node);
    let other = lines
        .backwards(Name::Forwarded)
        .flat_map(|line| Elements(Some(line)))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(read_element);
    Some(match (client(proxy, one), client(proxy, other)) {
        (Some(one), Some(other)) if one != other => Forwarding::Disputed(proxy.address),
        (one, other) => Forwarding::Client(one.or(other).unwrap_or(proxy.address)),
    })
}

/// The client that a list leads to, whose entries come last one first: the first that is no trusted proxy, or the last
/// of all. What is no address (`None`) ends the list: who was there is known no further. `None` for an empty list.
fn client(proxy: Proxy<'_>, entries: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
    let mut found = None;
    for entry in entries {
        let Some(address) = entry else {
            return found.or(Some(proxy.address));
        };
        found = Some(address);
        if !proxy.trusted.iter().any(|known| known.contains(address)) {
            break;
        }
    }
    found
}

/// Reads an address, with or without a port: `192.0.2.1:567`, `[2001:db8::1]:567`, also `2001:db8::1` without brackets.
/// `None` for anything else, such as `unknown` (RFC 7239 section 6), and for the unspecified address, which nobody has.
fn read_node(node: &[u8]) -> Option<IpAddr> {
    read_address(node).filter(|address| !address.is_unspecified())
}

fn read_address(node: &[u8]) -> Option<IpAddr> {
    let node = std::str::from_utf8(node).ok()?;
    if let Some(rest) = node.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let is_whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return is_whole.then(|| address.to_canonical());
    }
    if let Ok(address) = node.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = node.split_once(':')?;
    let address: Ipv4Addr = address.parse().ok()?;
    is_port(port).then_some(IpAddr::V4(address))
}

/// A `node-port` (RFC 7239 section 6): up to five digits, or an obfuscated port such as `_a1`.
fn is_port(port: &str) -> bool {
    match port.strip_prefix('_') {
        None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
        Some(name) => {
            let is_like =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            !name.is_empty() && name.bytes().all(is_like)
        }
    }
}

/// The elements of a line of `Forwarded`, last one first: what is left of the line.
///
/// A quotation mark that a stranger has left open must not hide the element that a proxy has appended behind it, so
/// quoted strings are found from their end.
struct Elements<'l>(Option<&'l [u8]>);

impl<'l> Iterator for Elements<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let line = self.0.take()?;
        let mut is_quoted = false;
        let mut at = line.len();
        while at > 0 {
            at -= 1;
            match line[at] {
                b'"' if !is_escaped(&line[..at]) => is_quoted = !is_quoted,
                b',' if !is_quoted => {
                    self.0 = Some(&line[..at]);
                    return Some(&line[at + 1..]);
                }
                _ => {}
            }
        }
        Some(line)
    }
}

/// Whether the byte behind these is escaped: an odd number of backslashes stands before it.
fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

/// The address in the `for` of a `forwarded-element` (RFC 7239 section 4); `None` if it has none, or more than one, or
/// is malformed.
fn read_element(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    let mut rest = element;
    while !rest.is_empty() {
        if let Some((b';', behind)) = rest.split_first() {
            rest = behind.trim_ascii_start();
            continue;
        }
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&rest[..equals], &rest[equals + 1..]);
        let (value, behind) = read_value(value)?;
        if name.eq_ignore_ascii_case(b"for") && found.replace(read_node(&value)?).is_some() {
            return None;
        }
        rest = behind.trim_ascii_start();
        if !rest.is_empty() && rest[0] != b';' {
            return None;
        }
    }
    found
}

/// Reads a token or a quoted string (RFC 9110 section 5.6.4); returns it with what is behind it. `None` if the string
/// does not end. Addresses with colons are taken without quotation marks too.
fn read_value(bytes: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let Some(quoted) = bytes.strip_prefix(b"\"") else {
        let end = bytes.iter().position(|byte| *byte == b';');
        let (value, behind) = bytes.split_at(end.unwrap_or(bytes.len()));
        return Some((Cow::Borrowed(value.trim_ascii_end()), behind));
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter();
    loop {
        match bytes.next()? {
            b'"' => return Some((Cow::Owned(value), bytes.as_slice())),
            b'\\' => value.push(*bytes.next()?),
            byte => value.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.1";

    fn address(text: &str) -> IpAddr {
        text.parse().expect("is an address")
    }

    /// What is read of these fields from [`PEER`], with 10.0.0.0/8 and fd00::/8 trusted.
    fn read(fields: &[(&str, &[u8])]) -> Forwarding {
        let lines: Vec<_> = fields
            .iter()
            .map(|(name, value)| httparse::Header { name, value })
            .collect();
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|text| Cidr::parse(text).expect("is one"));
        let proxy = Proxy {
            address: address(PEER),
            trusted: &trusted,
        };
        read_forwarding(Some(proxy), &FieldLines::new(&lines)).expect("is from a proxy")
    }

    /// The address that these lines of one field lead to.
    fn lead(name: &str, lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| (name, line.as_bytes())).collect();
        match read(&lines) {
            Forwarding::Client(address) => address.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_last_entry_that_is_no_proxy_is_the_client() {
        for (lines, client) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["192.0.2.1, 192.0.2.2"], "192.0.2.2"),
            (&["192.0.2.1,192.0.2.2,10.0.0.2"], "192.0.2.2"),
            (&["192.0.2.1", "192.0.2.2", "10.0.0.2"], "192.0.2.2"),
            (&["192.0.2.1, 192.0.2.2", "10.0.0.3, 10.0.0.2"], "192.0.2.2"),
            (&["192.0.2.1 ,\t, , fd00::1 ,"], "192.0.2.1"),
            // If all are proxies, the first was the client of the others.
            (&["10.0.0.4, 10.0.0.3"], "10.0.0.4"),
            (&["10.0.0.4", "10.0.0.3", "10.0.0.2"], "10.0.0.4"),
            (&["::ffff:192.0.2.1, ::ffff:10.0.0.2"], "192.0.2.1"),
            // What is no address ends the walk at the last proxy before it.
            (&["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["192.0.2.1, unknown"], PEER),
            (&["192.0.2.1, 0.0.0.0"], PEER),
            (&["192.0.2.1, [::]:80"], PEER),
            (&["192.0.2.1", "_hidden", "10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["unknown, 192.0.2.1"], "192.0.2.1"),
            // An empty field is as good as none.
            (&[""], PEER),
            (&[" , ,"], PEER),
            (&[], PEER),
        ] {
            assert_eq!(lead("X-Forwarded-For", lines), client, "{lines:?}");
        }
    }

    #[test]
    fn an_entry_may_have_a_port_and_anything_else_is_no_address() {
        for (entry, client) in [
            ("192.0.2.1:567", "192.0.2.1"),
            ("192.0.2.1:65535", "192.0.2.1"),
            ("[2001:db8::1]:567", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
            ("192.0.2.1:_a.-_9", "192.0.2.1"),
        ] {
            assert_eq!(lead("X-Forwarded-For", &[entry]), client, "{entry}");
            let quoted = format!("for=\"{entry}\"");
            assert_eq!(lead("Forwarded", &[&quoted]), client, "{entry}");
        }
        for entry in [
            "unknown",
            "_hidden",
            "a.example",
            "192.0.2",
            "192.0.2.1.2",
            "192.0.2.01",
            "0x7f000001",
            "3221225985",
            "192.0.2.1:",
            "192.0.2.1:_",
            "192.0.2.1:123456",
            "192.0.2.1:80:80",
            "192.0.2.1 80",
            "[192.0.2.1]",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:",
            "[::1]:-1",
            "[]",
            "[",
            ":",
            "fe80::1%eth0",
            "2001:db8::1::",
            "\"192.0.2.1\"",
            "\u{e9}",
            "192.0.2.1;",
        ] {
            assert_eq!(lead("X-Forwarded-For", &[entry]), PEER, "{entry}");
        }
        let broken = read(&[("x-forwarded-for", b"192.0.2.1, \xff\xfe")]);
        assert_eq!(broken, Forwarding::Client(address(PEER)));
    }

    #[test]
    fn an_element_of_forwarded_is_read_as_the_rfc_writes_it() {
        for (lines, client) in [
            (&["for=192.0.2.1"][..], "192.0.2.1"),
            (&["For=\"[2001:db8::1]:4711\""], "2001:db8::1"),
            (&["for=192.0.2.1;proto=http;by=203.0.113.43"], "192.0.2.1"),
            (&["proto=http; by=\"a,b;c\" ; FOR=192.0.2.1 ;"], "192.0.2.1"),
            (&["for=192.0.2.1, for=198.51.100.17"], "198.51.100.17"),
            (&["for=192.0.2.1", "for=10.0.0.2;by=x"], "192.0.2.1"),
            (&["for=\"192.0.2.\\1\""], "192.0.2.1"),
            (&["for=192.0.2.1;by=\"a\\\"b, for=1.1.1.1\""], "192.0.2.1"),
            (&["for=192.0.2.1;by=\"a\\\\\", for=10.0.0.2"], "192.0.2.1"),
            (&[", ,for=192.0.2.1,,"], "192.0.2.1"),
            (&["for=[2001:db8::1]"], "2001:db8::1"),
            // Not an address, or not an element.
            (&["for=192.0.2.1, for=unknown"], PEER),
            (&["for=192.0.2.1, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (&["for=192.0.2.1, by=10.0.0.2"], PEER),
            (&["for=192.0.2.1;for=192.0.2.1"], PEER),
            (&["for=192.0.2.1;by"], PEER),
            (&["for=\"192.0.2.1\" by=x"], PEER),
            (&["for=\"192.0.2.1"], PEER),
            (&["for=192.0.2.1\""], PEER),
            (&["192.0.2.1"], PEER),
            (&["for="], PEER),
            (&["=192.0.2.1"], PEER),
            (&[";"], PEER),
            (&["\""], PEER),
            (&["\\"], PEER),
        ] {
            assert_eq!(lead("Forwarded", lines), client, "{lines:?}");
        }
    }

    #[test]
    fn what_a_stranger_wrote_cannot_hide_what_the_proxy_appended() {
        for forged in [
            "for=\"",
            "for=\"a\\",
            "\\",
            "\"",
            "\"\"\"",
            "for=1.1.1.1;by=\"",
            "for=\"\\\"",
            ",",
            "=",
            ";;",
            "for=\"\u{e9}",
        ] {
            let line = format!("{forged}, for=192.0.2.1");
            assert_eq!(lead("Forwarded", &[&line]), "192.0.2.1", "{line}");
            let line = format!("{forged},for=\"192.0.2.1:80\";by=\"a, b\"");
            assert_eq!(lead("Forwarded", &[&line]), "192.0.2.1", "{line}");
            let lines = [forged, "for=192.0.2.1;host=\"x\"", "for=10.0.0.2"];
            assert_eq!(lead("Forwarded", &lines), "192.0.2.1", "{lines:?}");
            let line = format!("{forged}, 192.0.2.1");
            assert_eq!(lead("X-Forwarded-For", &[&line]), "192.0.2.1", "{line}");
        }
    }

    #[test]
    fn two_fields_that_lead_to_different_addresses_are_disputed() {
        let both = |one: &'static str, other: &'static str| {
            read(&[
                ("X-Forwarded-For", one.as_bytes()),
                ("Forwarded", other.as_bytes()),
            ])
        };
        let client = Forwarding::Client(address("192.0.2.1"));
        assert_eq!(both("192.0.2.1, 10.0.0.2", "for=192.0.2.1"), client);
        assert_eq!(both("", "for=192.0.2.1"), client);
        assert_eq!(both("192.0.2.1", " , "), client);
        for (one, other) in [
            ("192.0.2.1", "for=192.0.2.2"),
            ("192.0.2.1", "for=unknown"),
            ("unknown", "for=192.0.2.1"),
            ("192.0.2.1", "garbage"),
        ] {
            let disputed = Forwarding::Disputed(address(PEER));
            assert_eq!(both(one, other), disputed, "{one} {other}");
        }
    }

    #[test]
    fn from_a_peer_that_is_not_trusted_a_field_is_only_noticed() {
        let read = |names: &[&'static str]| {
            let lines: Vec<_> = names
                .iter()
                .map(|name| httparse::Header {
                    name,
                    value: b"192.0.2.1",
                })
                .collect();
            read_forwarding(None, &FieldLines::new(&lines))
        };
        assert_eq!(read(&["X-Forwarded", "X-Real-IP", "Via"]), None);
        for (names, first) in [
            (&["x-forwarded-for"][..], "X-Forwarded-For"),
            (&["FORWARDED"], "Forwarded"),
            (&["Forwarded", "X-Forwarded-For"], "X-Forwarded-For"),
        ] {
            assert_eq!(read(names), Some(Forwarding::Ignored(first)));
        }
    }
}
