//! Proxies between some clients and the server: they tell each client's address in every request or, in every other seed, in
//! a PROXY protocol header in front of the connection.

use std::borrow::Cow;
use std::net::IpAddr;

use sarang::config::Config;
use sarang::config::cidr::Cidr;
use sarang::config::listen::UNIX_PEER;

/// The networks the server trusts.
pub const TRUSTED: &str = "10.9.0.0/16";

/// The first field of every request here.
const HOST: &str = "Host: sarang\r\n";

/// Whether some clients come through proxies: not where a client's address is at its limit, since which of its requests
/// is refused then depends on when their responses are read.
pub fn are_there(config: &Config) -> bool {
    config.connections_per_address >= 256
}

/// The networks the server is told to trust.
pub fn trusted() -> Vec<Cidr> {
    vec![Cidr::parse(TRUSTED).expect("is one")]
}

/// The proxy that the client at this address uses, if it uses one; some have connected to a unix socket.
pub fn of(client: IpAddr) -> Option<IpAddr> {
    match client {
        IpAddr::V4(address) if address.octets()[3] % 3 == 0 && !client.is_loopback() => {
            Some(match address.octets()[3] % 4 {
                0 => UNIX_PEER,
                other => [10, 9, 0, other % 2].into(),
            })
        }
        _ => None,
    }
}

/// What a proxy makes of the bytes of this client: it appends the address to a field that the client has made up.
pub fn passed_on(bytes: &[u8], client: IpAddr) -> Cow<'_, [u8]> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains(HOST) => {
            let told = format!(
                "{HOST}X-Forwarded-For: 192.0.2.1, unknown\r\nX-Forwarded-For: {client}\r\n"
            );
            Cow::Owned(text.replace(HOST, &told).into_bytes())
        }
        _ => Cow::Borrowed(bytes),
    }
}

/// The header in front of the connection of this client: of version 1 or 2.
pub fn header(client: IpAddr) -> Vec<u8> {
    match client {
        IpAddr::V4(address) if address.octets()[3] % 2 == 0 => {
            let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
            [&start[..], &address.octets(), &[10, 8, 0, 1, 9, 9, 1, 187]].concat()
        }
        _ => format!("PROXY TCP4 {client} 10.8.0.1 2313 443\r\n").into_bytes(),
    }
}
