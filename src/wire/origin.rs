//! Origins of pages, as browsers send them in `Origin` (RFC 6454).

use std::fmt;
use std::net::Ipv6Addr;

use super::target::is_authority;

/// An origin, compared as in RFC 6454 section 5: scheme and host without case, the default port of a scheme as if it
/// were written.
#[derive(Clone, Copy, Debug)]
pub struct PageOrigin<'o> {
    /// Empty for `null`, the origin of a page that has none.
    scheme: &'o str,
    /// Empty for `null`, and in schemes without hosts such as `file`.
    host: &'o str,
    /// That of the scheme if none is written; `None` if the scheme has none either.
    port: Option<u16>,
}

/// The schemes whose origins always have a host, with their default ports.
const DEFAULT_PORTS: [(&str, u16); 4] = [("http", 80), ("https", 443), ("ws", 80), ("wss", 443)];

fn default_port(scheme: &str) -> Option<u16> {
    let known = DEFAULT_PORTS
        .iter()
        .find(|(name, _)| scheme.eq_ignore_ascii_case(name));
    known.map(|(_, port)| *port)
}

impl<'o> PageOrigin<'o> {
    /// Parses `null` or `scheme "://" host [":" port]` (RFC 6454 section 7), in ASCII. Schemes other than those of the
    /// web (`file://`, `app://obsidian.md`) may have an empty host.
    pub fn parse(text: &'o str) -> Option<Self> {
        if text == "null" {
            return Some(Self {
                scheme: "",
                host: "",
                port: None,
            });
        }
        let (scheme, authority) = text.split_once("://")?;
        let default = default_port(scheme);
        let is_origin = match authority {
            "" => default.is_none(),
            _ => authority.is_ascii() && is_authority(authority),
        };
        if !is_origin || !is_scheme(scheme) {
            return None;
        }
        let (host, port) = split_port(authority);
        let port = match port {
            "" => default,
            port => Some(port.parse().ok()?),
        };
        Some(Self { scheme, host, port })
    }

    /// Whether a server that is addressed by this authority (`host [":" port]`) has this origin, over http or https: TLS
    /// may end at a proxy, so the server does not know which. A missing port is the default of the origin's scheme.
    pub fn is_at(self, authority: &str) -> bool {
        let (host, port) = split_port(authority);
        let default = default_port(self.scheme);
        let port = match port {
            "" => default,
            port => port.parse().ok(),
        };
        default.is_some() && port == self.port && is_same_host(self.host, host)
    }
}

impl PartialEq for PageOrigin<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.port == other.port
            && is_same_host(self.host, other.host)
    }
}

impl fmt::Display for PageOrigin<'_> {
    /// Its ASCII serialization (RFC 6454 section 6.2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme.is_empty() {
            return f.write_str("null");
        }
        let scheme = self.scheme.to_ascii_lowercase();
        write!(f, "{scheme}://{}", self.host.to_ascii_lowercase())?;
        match self.port {
            Some(port) if self.port != default_port(&scheme) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Host and port of a valid authority; the port is empty if there is none.
fn split_port(authority: &str) -> (&str, &str) {
    match authority.rsplit_once(':') {
        // Not a colon within an address of IPv6.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    }
}

fn is_same_host(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || ipv6(one).is_some_and(|address| ipv6(other) == Some(address))
}

fn ipv6(host: &str) -> Option<Ipv6Addr> {
    let inside = host.strip_prefix('[')?.strip_suffix(']')?;
    inside.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_that_of_a_server_whatever_default_port_is_written() {
        for (authority, origin, expected) in [
            ("x", "http://x", true),
            ("x", "https://x", true),
            ("x", "https://x:443", true),
            ("x", "http://x:80", true),
            ("x:443", "https://x", true),
            ("x:80", "http://x", true),
            ("X.Example:8443", "HTTPS://x.eXample:8443", true),
            ("x:", "https://x", true),
            ("x:0443", "https://x", true),
            ("x", "ws://x", true),
            ("x:443", "wss://x", true),
            ("[::1]", "http://[::1]", true),
            ("[::1]:80", "http://[0:0:0:0:0:0:0:1]", true),
            ("[::1]:8000", "http://[::1]:8000", true),
            ("x:443", "http://x", false),
            ("x:80", "https://x", false),
            ("x:8443", "https://x", false),
            ("x", "https://x:8443", false),
            ("x", "http://x:443", false),
            ("x", "http://y", false),
            ("x", "http://x.evil.example", false),
            ("x.", "http://x", false),
            ("[::1]", "http://[::2]", false),
            ("[::1]:80", "http://[::1:80]", false),
            ("localhost", "capacitor://localhost", false),
            ("x:99999", "http://x", false),
            ("", "null", false),
            ("", "file://", false),
        ] {
            let parsed = PageOrigin::parse(origin).expect("an origin");
            assert_eq!(parsed.is_at(authority), expected, "{authority} {origin}");
        }
    }

    #[test]
    fn equal_origins_have_one_serialization() {
        for (written, serialized) in [
            ("https://x", "https://x"),
            ("HTTPS://X.Example:443", "https://x.example"),
            ("http://x:80", "http://x"),
            ("http://x:", "http://x"),
            ("http://x:443", "http://x:443"),
            ("https://x:8443", "https://x:8443"),
            ("https://[::1]:443", "https://[::1]"),
            ("file://", "file://"),
            ("null", "null"),
            ("app://obsidian.md", "app://obsidian.md"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abc", "chrome-extension://abc"),
            ("tauri://localhost:80", "tauri://localhost:80"),
        ] {
            let parsed = PageOrigin::parse(written).expect("an origin");
            assert_eq!(parsed.to_string(), serialized);
            assert_eq!(Some(parsed), PageOrigin::parse(serialized));
        }
        let all = ["null", "file://", "http://x", "https://x", "http://x:443"];
        for one in all {
            let equal = all
                .iter()
                .filter(|other| PageOrigin::parse(one) == PageOrigin::parse(other));
            assert_eq!(equal.count(), 1, "{one}");
        }
    }

    #[test]
    fn what_is_no_origin_is_not_read() {
        for bad in [
            "",
            "x",
            "*",
            "NULL",
            "://x",
            "1a://x",
            "a_b://x",
            "http:",
            "http://",
            "https://:443",
            "https://x/",
            "https://x/path",
            "https://x?y",
            "https://user@x",
            "https://x:99999",
            "https://x:a",
            "https://x y",
            "https://x https://y",
            "https://한국.example",
            "https://[::1",
            "file:///",
            "app://obsidian.md/index.html",
        ] {
            assert_eq!(PageOrigin::parse(bad), None, "{bad}");
        }
    }
}
