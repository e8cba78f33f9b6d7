//! The header with which a proxy that does not speak HTTP tells the address of its client: the PROXY protocol of HAProxy,
//! versions 1 (a line of text) and 2 (binary). Section numbers are those of its specification.

use std::net::IpAddr;

use crc::{CRC_32_ISCSI, Crc, NoTable};
use ppp::{v1, v2};

use super::secret_bytes::SecretBytes;
use crate::config::{PROXY_HEADER_BYTES_MAX, PROXY_HEADER_LINE_BYTES_MAX};

/// The start of version 1 (section 2.1).
const LINE_START: &[u8] = b"PROXY ";
/// The start of version 2 (section 2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2, in bytes: signature, version and command, family and transport, length of the rest.
const FIXED_BYTES: usize = 16;
/// Version 2 and the command LOCAL: the connection is the proxy's own.
const LOCAL: u8 = 0x20;
/// The type of a TLV that has a checksum of the whole header (section 2.2.3).
const CRC32C: u8 = 0x03;
/// It is the one of iSCSI and SCTP. A header is short, so no table is kept for it.
const CHECKSUM: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISCSI);

const NO_HEADER: &str = "there is none";
const TOO_LONG: &str = "it is too long";
const MALFORMED: &str = "it is malformed";
const NOT_TCP: &str = "it tells of no TCP connection";
const WRONG_CHECKSUM: &str = "its checksum is wrong";

/// A complete header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The address of the client. `None` if there is none: a connection of the proxy's own (LOCAL), or one that came over
    /// another protocol (UNKNOWN, AF_UNSPEC, AF_UNIX).
    pub source: Option<IpAddr>,
    /// The length of the header, in bytes. What follows belongs to the protocol behind it.
    pub length: usize,
}

/// Reads a header that comes in pieces. Without any of it no memory is taken.
#[derive(Debug, Default)]
pub struct HeaderReader {
    kept: SecretBytes,
}

impl HeaderReader {
    /// Reads on. A complete header has the number of these `bytes` that belong to it as its length; an incomplete one takes
    /// them all.
    ///
    /// # Errors
    /// As [`read`].
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<ProxyHeader>, &'static str> {
        let before = self.kept.len();
        if before > 0 {
            let fitting = bytes.len().min(PROXY_HEADER_BYTES_MAX - before);
            self.kept.append(&bytes[..fitting], PROXY_HEADER_BYTES_MAX);
            let header = read(&self.kept)?;
            return Ok(header.map(|header| ProxyHeader {
                length: header.length - before,
                ..header
            }));
        }
        let header = read(bytes)?;
        if header.is_none() {
            self.kept.append(bytes, PROXY_HEADER_BYTES_MAX);
        }
        Ok(header)
    }

    /// The bytes of an incomplete header.
    pub fn kept(&self) -> &SecretBytes {
        &self.kept
    }
}

/// Reads a header from the start of a connection; `None` if it is incomplete.
///
/// # Errors
/// What is wrong, for the log: as early as that is certain, so an incomplete header never has more than
/// [`PROXY_HEADER_BYTES_MAX`].
pub fn read(bytes: &[u8]) -> Result<Option<ProxyHeader>, &'static str> {
    if begins_as(bytes, SIGNATURE) {
        read_binary(bytes)
    } else if begins_as(bytes, LINE_START) {
        read_line(bytes)
    } else {
        Err(NO_HEADER)
    }
}

impl ProxyHeader {
    /// The address of the client; an unspecified one, from which nobody connects, is none.
    pub fn client(&self) -> Option<IpAddr> {
        self.source
            .filter(|address| !address.to_canonical().is_unspecified())
    }
}

/// What follows a complete header, or everything if there is none.
pub fn skip(bytes: &[u8]) -> &[u8] {
    match read(bytes) {
        Ok(Some(header)) => &bytes[header.length..],
        _ => bytes,
    }
}

/// Whether one of the two is the start of the other.
fn begins_as(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted)
}

fn read_line(bytes: &[u8]) -> Result<Option<ProxyHeader>, &'static str> {
    let within = &bytes[..bytes.len().min(PROXY_HEADER_LINE_BYTES_MAX)];
    let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
        let is_over = bytes.len() >= PROXY_HEADER_LINE_BYTES_MAX;
        return if is_over { Err(TOO_LONG) } else { Ok(None) };
    };
    let line = &bytes[..=end];
    let source = match line[LINE_START.len()..].strip_prefix(b"UNKNOWN") {
        // What else the line says is ignored.
        Some([b' ' | b'\r', ..]) if line.ends_with(b"\r\n") => None,
        _ => Some(read_source(line)?),
    };
    let length = line.len();
    Ok(Some(ProxyHeader { source, length }))
}

/// The address of the client in a line of version 1.
fn read_source(line: &[u8]) -> Result<IpAddr, &'static str> {
    let header = v1::Header::try_from(line).map_err(|_| MALFORMED)?;
    // The crate reads up to the first CR, takes a space for it, and a sign in front of a port.
    let is_whole = header.header.len() == line.len() && line.ends_with(b"\r\n");
    if !is_whole || line.contains(&b'+') {
        return Err(MALFORMED);
    }
    match header.addresses {
        v1::Addresses::Tcp4(addresses) => Ok(addresses.source_address.into()),
        v1::Addresses::Tcp6(addresses) => Ok(addresses.source_address.into()),
        v1::Addresses::Unknown => Err(MALFORMED),
    }
}

fn read_binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, &'static str> {
    let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else {
        return Ok(None);
    };
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > PROXY_HEADER_BYTES_MAX {
        return Err(TOO_LONG);
    }
    let Some(header) = bytes.get(..length) else {
        return Ok(None);
    };
    let source = match fixed[12] {
        // The rest is ignored, even the family.
        LOCAL => None,
        _ => {
            let header = v2::Header::try_from(header).map_err(|_| MALFORMED)?;
            check_tlvs(&header)?;
            source(&header)?
        }
    };
    Ok(Some(ProxyHeader { source, length }))
}

fn source(header: &v2::Header<'_>) -> Result<Option<IpAddr>, &'static str> {
    match (header.addresses, header.protocol) {
        (v2::Addresses::Unspecified, v2::Protocol::Unspecified | v2::Protocol::Stream) => Ok(None),
        (v2::Addresses::Unix(_), v2::Protocol::Stream) => Ok(None),
        (v2::Addresses::IPv4(addresses), v2::Protocol::Stream) => {
            Ok(Some(addresses.source_address.into()))
        }
        (v2::Addresses::IPv6(addresses), v2::Protocol::Stream) => {
            Ok(Some(addresses.source_address.into()))
        }
        _ => Err(NOT_TCP),
    }
}

/// Checks that all TLVs are whole, and the checksum if there is one: then there is one only. Others are ignored.
fn check_tlvs(header: &v2::Header<'_>) -> Result<(), &'static str> {
    let bytes = header.as_bytes();
    let mut start = FIXED_BYTES + header.address_bytes().len();
    let mut has_checksum = false;
    for tlv in header.tlvs() {
        let tlv = tlv.map_err(|_| MALFORMED)?;
        // A type and a length of two bytes are in front of the value.
        let value = start + 3;
        let end = value + tlv.value.len();
        if tlv.kind == CRC32C {
            let told: &[u8; 4] = (&*tlv.value).try_into().map_err(|_| MALFORMED)?;
            if std::mem::replace(&mut has_checksum, true) {
                return Err(MALFORMED);
            }
            // The field itself counts as zeros.
            let mut digest = CHECKSUM.digest();
            digest.update(&bytes[..value]);
            digest.update(&[0; 4]);
            digest.update(&bytes[end..]);
            if digest.finalize() != u32::from_be_bytes(*told) {
                return Err(WRONG_CHECKSUM);
            }
        }
        start = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("is short");
        let fixed = [command, family];
        [SIGNATURE, &fixed, &length.to_be_bytes(), rest].concat()
    }

    /// 192.0.2.1:12345 to 198.51.100.2:443.
    const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 1, 0xbb];

    /// These addresses, a padding of three bytes, and the checksum that a bitwise implementation in another language gives.
    fn with_checksum() -> Vec<u8> {
        let rest = [&IPV4[..], b"\x04\0\x03abc", &[3, 0, 4], &CHECKSUM_OF_THESE].concat();
        binary(0x21, 0x11, &rest)
    }
    const CHECKSUM_OF_THESE: [u8; 4] = [0x5f, 0x70, 0xe5, 0x3f];

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("is one")
    }

    /// Headers, and the addresses they tell.
    fn headers() -> Vec<(Vec<u8>, Option<IpAddr>)> {
        let line = |text: &str| format!("PROXY {text}\r\n").into_bytes();
        let far = ["ffff"; 8].join(":");
        let ipv6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7], &[9; 16], &[1; 4]].concat();
        let tls = [&IPV4[..], &[0x20, 0, 5, 1, 0, 0, 0, 0], &[2, 0, 1, b'x']].concat();
        vec![
            // The examples of section 2.1.
            (
                line("TCP4 255.255.255.255 255.255.255.255 65535 65535"),
                Some(ip("255.255.255.255")),
            ),
            (
                line(&format!("TCP6 {far} {far} 65535 65535")),
                Some(ip(&far)),
            ),
            (line("UNKNOWN"), None),
            (line(&format!("UNKNOWN {far} {far} 65535 65535")), None),
            (
                line("TCP4 192.168.0.1 192.168.0.11 56324 443"),
                Some(ip("192.168.0.1")),
            ),
            (
                line("TCP6 ::ffff:192.0.2.1 ::1 0 1"),
                Some(ip("::ffff:192.0.2.1")),
            ),
            (
                line("UNKNOWN whatever stands here, it is all ignored"),
                None,
            ),
            (binary(0x21, 0x11, &IPV4), Some(ip("192.0.2.1"))),
            (binary(0x21, 0x21, &ipv6), Some(ip("2001:db8::7"))),
            (binary(0x21, 0x11, &tls), Some(ip("192.0.2.1"))),
            (with_checksum(), Some(ip("192.0.2.1"))),
            (binary(0x21, 0x31, &[7; 216]), None),
            (binary(0x21, 0x00, b"anything"), None),
            // LOCAL: the family is ignored, and so is everything else.
            (binary(0x20, 0x00, b""), None),
            (binary(0x20, 0x11, &IPV4), None),
            (binary(0x20, 0x21, b"too short"), None),
            (binary(0x20, 0x77, &[3, 0, 9]), None),
            (
                binary(0x20, 0, &vec![0; PROXY_HEADER_BYTES_MAX - FIXED_BYTES]),
                None,
            ),
        ]
    }

    #[test]
    fn a_header_is_read_when_it_is_whole_and_not_before_however_it_comes() {
        for (bytes, source) in headers() {
            let text = bytes.escape_ascii();
            let length = bytes.len();
            let whole = Ok(Some(ProxyHeader { source, length }));
            assert_eq!(read(&bytes), whole, "{text}");
            let followed = [&bytes, &b"GET / HTTP/1.1\r\n"[..]].concat();
            assert_eq!(read(&followed), whole, "{text}");
            assert_eq!(skip(&followed), b"GET / HTTP/1.1\r\n");
            let mut by_byte = HeaderReader::default();
            assert_eq!(by_byte.kept().capacity(), 0);
            for count in 0..length {
                assert_eq!(read(&bytes[..count]), Ok(None), "{count} of {text}");
                let mut in_two = HeaderReader::default();
                assert_eq!(in_two.advance(&bytes[..count]), Ok(None));
                let read = in_two.advance(&followed[count..]);
                let length = length - count;
                assert_eq!(
                    read,
                    Ok(Some(ProxyHeader { source, length })),
                    "{count} of {text}"
                );
                let read = by_byte.advance(&bytes[count..=count]);
                let length = 1;
                let whole = (count + 1 == bytes.len()).then_some(ProxyHeader { source, length });
                assert_eq!(read, Ok(whole), "{count} of {text}");
                assert!(by_byte.kept().capacity() <= PROXY_HEADER_BYTES_MAX);
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_with_a_reason() {
        let line = |text: &str| format!("PROXY {text}").into_bytes();
        let long = "x".repeat(PROXY_HEADER_LINE_BYTES_MAX);
        let length = PROXY_HEADER_BYTES_MAX - FIXED_BYTES + 1;
        for (bytes, reason) in [
            (b"GET / HTTP/1.1\r\n".to_vec(), NO_HEADER),
            (b"POST".to_vec(), NO_HEADER),
            (b"PROXY\r\n".to_vec(), NO_HEADER),
            (b"\r\n\r\nG".to_vec(), NO_HEADER),
            (line(&long), TOO_LONG),
            (line("TCP4 192.0.2.1 192.0.2.2 1 2\n"), MALFORMED),
            (line("TCP4 192.0.2.1 192.0.2.2 1 2 \n"), MALFORMED),
            (line("TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"), MALFORMED),
            (line("TCP4 192.0.2.1  192.0.2.2 1 2\r\n"), MALFORMED),
            (line("TCP4 192.0.2.1 192.0.2.2 1 +2\r\n"), MALFORMED),
            (line("TCP4 192.0.2.1 192.0.2.2 1 65536\r\n"), MALFORMED),
            (line("TCP4 192.0.2.01 192.0.2.2 1 2\r\n"), MALFORMED),
            (line("TCP4 192.0.2.1 192.0.2.2 1\r2\r\n"), MALFORMED),
            (line("TCP4 ::1 ::1 1 2\r\n"), MALFORMED),
            (line("TCP6 192.0.2.1 192.0.2.2 1 2\r\n"), MALFORMED),
            (line("tcp4 192.0.2.1 192.0.2.2 1 2\r\n"), MALFORMED),
            (line("UNKNOWNS\r\n"), MALFORMED),
            (line("UNKNOWN\n"), MALFORMED),
            (binary(0x11, 0x11, &IPV4), MALFORMED),
            (binary(0x22, 0x11, &IPV4), MALFORMED),
            (binary(0x21, 0x41, &IPV4), MALFORMED),
            (binary(0x21, 0x13, &IPV4), MALFORMED),
            (binary(0x21, 0x11, &IPV4[1..]), MALFORMED),
            (
                binary(0x21, 0x11, &[&IPV4[..], &[4, 0]].concat()),
                MALFORMED,
            ),
            (
                binary(0x21, 0x11, &[&IPV4[..], &[4, 0, 1]].concat()),
                MALFORMED,
            ),
            (
                binary(0x21, 0x11, &[&IPV4[..], &[3, 0, 0]].concat()),
                MALFORMED,
            ),
            (binary(0x21, 0x12, &IPV4), NOT_TCP),
            (binary(0x21, 0x10, &IPV4), NOT_TCP),
            (binary(0x21, 0x32, &[7; 216]), NOT_TCP),
            (binary(0x21, 0x02, b""), NOT_TCP),
            (
                binary(0x21, 0x11, &[&IPV4[..], &[3, 0, 4, 1, 2, 3, 4]].concat()),
                WRONG_CHECKSUM,
            ),
            (binary(0x20, 0, &vec![0; length]), TOO_LONG),
        ] {
            assert_eq!(read(&bytes), Err(reason), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_changed_byte_never_makes_another_address_under_a_checksum() {
        let header = with_checksum();
        for place in 0..header.len() {
            for change in 1..=255 {
                let mut changed = header.clone();
                changed[place] ^= change;
                let told = read(&changed).ok().flatten();
                // Without its length or its type the checksum may be cut off or overlooked.
                let source = told.and_then(|header| header.source);
                assert!(source.is_none_or(|source| source == ip("192.0.2.1") && place >= 14));
            }
        }
    }

    #[test]
    fn a_changed_byte_elsewhere_never_changes_the_address() {
        for (header, source) in headers().into_iter().take(10) {
            for (place, change) in (0..header.len()).flat_map(|p| (1..=255).map(move |c| (p, c))) {
                let mut changed = header.clone();
                changed[place] ^= change;
                let told = read(&changed)
                    .ok()
                    .flatten()
                    .and_then(|header| header.source);
                let is_in_source = match header.starts_with(SIGNATURE) {
                    true => (12..FIXED_BYTES + 16).contains(&place),
                    false => {
                        let spaces = header[..place].iter().filter(|byte| **byte == b' ');
                        spaces.count() == 2 || changed[place] == b' '
                    }
                };
                assert!(is_in_source || told.is_none() || told == source);
            }
        }
    }
}
