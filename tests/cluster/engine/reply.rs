//! Replies, and how they are written in RESP2 and RESP3.

/// What a command answers, before it is known in which version of the protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+OK` and the like.
    Status(String),
    /// `-CODE text`.
    Error(String),
    /// A whole number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Nothing, where bytes were asked for.
    Null,
    /// Nothing, where an array was asked for: RESP2 has two kinds of nothing.
    NullArray,
    /// A list.
    Array(Vec<Self>),
    /// A map: a flat list in RESP2.
    Map(Vec<(Self, Self)>),
    /// A set: a list in RESP2.
    Set(Vec<Self>),
    /// A list of pairs: a flat list in RESP2.
    Pairs(Vec<(Self, Self)>),
    /// A number with a fraction: a text in RESP2.
    Double(f64),
    /// A text for people: bytes in RESP2.
    Verbatim(String),
    /// What was not asked for: a list in RESP2.
    Push(Vec<Self>),
    /// Several replies to one command, as of SUBSCRIBE.
    Several(Vec<Self>),
}

impl Reply {
    /// `+OK`.
    pub fn ok() -> Self {
        Self::Status("OK".to_owned())
    }

    /// A bulk of a text.
    pub fn text(text: &str) -> Self {
        Self::Bulk(text.as_bytes().to_vec())
    }

    /// 1 or 0.
    pub fn flag(is_set: bool) -> Self {
        Self::Integer(i64::from(is_set))
    }

    /// A length.
    pub fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Bytes, or nothing.
    pub fn optional(value: Option<&[u8]>) -> Self {
        value.map_or(Self::Null, |value| Self::Bulk(value.to_vec()))
    }

    /// Appends the reply in version 3 of the protocol or in version 2.
    pub fn write(&self, is_three: bool, out: &mut Vec<u8>) {
        match self {
            Self::Status(text) => line(out, b'+', text),
            Self::Error(text) => line(out, b'-', text),
            Self::Integer(number) => line(out, b':', &number.to_string()),
            Self::Bulk(bytes) => bulk(out, bytes),
            Self::Null if is_three => out.extend(b"_\r\n"),
            Self::Null => out.extend(b"$-1\r\n"),
            Self::NullArray if is_three => out.extend(b"_\r\n"),
            Self::NullArray => out.extend(b"*-1\r\n"),
            Self::Array(items) => list(out, b'*', items, is_three),
            Self::Set(items) => list(out, if is_three { b'~' } else { b'*' }, items, is_three),
            Self::Push(items) => list(out, if is_three { b'>' } else { b'*' }, items, is_three),
            Self::Map(pairs) => {
                let (kind, count) = if is_three {
                    (b'%', pairs.len())
                } else {
                    (b'*', 2 * pairs.len())
                };
                line(out, kind, &count.to_string());
                for (name, value) in pairs {
                    name.write(is_three, out);
                    value.write(is_three, out);
                }
            }
            Self::Pairs(pairs) => {
                line(
                    out,
                    b'*',
                    &(if is_three {
                        pairs.len()
                    } else {
                        2 * pairs.len()
                    })
                    .to_string(),
                );
                for (name, value) in pairs {
                    if is_three {
                        out.extend(b"*2\r\n");
                    }
                    name.write(is_three, out);
                    value.write(is_three, out);
                }
            }
            Self::Double(number) if is_three => line(out, b',', &double(*number)),
            Self::Double(number) => bulk(out, double(*number).as_bytes()),
            Self::Verbatim(text) if is_three => {
                line(out, b'=', &(text.len() + 4).to_string());
                out.extend(b"txt:");
                out.extend(text.as_bytes());
                out.extend(b"\r\n");
            }
            Self::Verbatim(text) => bulk(out, text.as_bytes()),
            Self::Several(replies) => replies.iter().for_each(|reply| reply.write(is_three, out)),
        }
    }
}

fn line(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    // A line cannot hold line ends: the engine writes spaces for them.
    out.extend(text.bytes().map(|byte| {
        if byte == b'\r' || byte == b'\n' {
            b' '
        } else {
            byte
        }
    }));
    out.extend(b"\r\n");
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    line(out, b'$', &bytes.len().to_string());
    out.extend(bytes);
    out.extend(b"\r\n");
}

fn list(out: &mut Vec<u8>, kind: u8, items: &[Reply], is_three: bool) {
    line(out, kind, &items.len().to_string());
    for item in items {
        item.write(is_three, out);
    }
}

/// A number as version 7.0 writes it: whole numbers plainly, others as `%.17g` of C.
pub fn double(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.fract() == 0.0 && number.abs() < 1e17 {
        return format!("{number:.0}");
    }
    let written = format!("{number:.16e}");
    let (digits, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..17).contains(&exponent) {
        let places = usize::try_from(16 - exponent).unwrap_or(0);
        return without_zeros(&format!("{number:.places$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(digits), exponent.abs())
}

fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply, is_three: bool) -> String {
        let mut out = Vec::new();
        reply.write(is_three, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn numbers_with_a_fraction_are_written_with_seventeen_digits() {
        let cases = [
            (0.1, "0.10000000000000001"),
            (1.5, "1.5"),
            (-3.0, "-3"),
            (1e20, "1e+20"),
            (1e-7, "9.9999999999999995e-08"),
        ];
        for (number, text) in cases {
            assert_eq!(double(number), text);
        }
    }

    #[test]
    fn version_two_writes_maps_and_pairs_flat() {
        let pairs = vec![(Reply::text("a"), Reply::Double(1.0))];
        assert_eq!(
            written(&Reply::Map(pairs.clone()), true),
            "%1\r\n$1\r\na\r\n,1\r\n"
        );
        assert_eq!(
            written(&Reply::Pairs(pairs.clone()), true),
            "*1\r\n*2\r\n$1\r\na\r\n,1\r\n"
        );
        for reply in [Reply::Map(pairs.clone()), Reply::Pairs(pairs)] {
            assert_eq!(written(&reply, false), "*2\r\n$1\r\na\r\n$1\r\n1\r\n");
        }
    }
}
