//! Requests as they come over the wire: arrays of bulks.

/// What stands at the beginning of the bytes that have come.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// More bytes are needed.
    Incomplete,
    /// A command (perhaps an empty one, which is not answered), and how many bytes it took.
    Whole(Vec<Vec<u8>>, usize),
    /// Not the protocol: the error is sent and the connection closed.
    Broken(String),
}

/// Reads one request.
pub fn read(bytes: &[u8]) -> Request {
    match bytes.first() {
        None => Request::Incomplete,
        Some(b'*') => read_array(bytes).unwrap_or_else(|stopped| stopped),
        Some(_) => match line_end(bytes, 0) {
            None => Request::Incomplete,
            Some(end) => {
                let words = bytes[..end]
                    .split(u8::is_ascii_whitespace)
                    .filter(|word| !word.is_empty());
                Request::Whole(words.map(<[u8]>::to_vec).collect(), end + 2)
            }
        },
    }
}

fn read_array(bytes: &[u8]) -> Result<Request, Request> {
    let (count, mut at) = number(bytes, 1, "invalid multibulk length")?;
    if count > 1024 * 1024 {
        return Err(broken("invalid multibulk length"));
    }
    let mut arguments = Vec::new();
    for _ in 0..count {
        match bytes.get(at) {
            None => return Err(Request::Incomplete),
            Some(b'$') => {}
            Some(other) => {
                return Err(broken(&format!(
                    "expected '$', got '{}'",
                    char::from(*other)
                )));
            }
        }
        let (length, start) = number(bytes, at + 1, "invalid bulk length")?;
        let length = usize::try_from(length).map_err(|_| broken("invalid bulk length"))?;
        if length > 512 * 1024 * 1024 {
            return Err(broken("invalid bulk length"));
        }
        let argument = bytes
            .get(start..start + length)
            .ok_or(Request::Incomplete)?;
        // The engine skips the two bytes after a bulk without looking at them.
        if bytes.len() < start + length + 2 {
            return Err(Request::Incomplete);
        }
        arguments.push(argument.to_vec());
        at = start + length + 2;
    }
    Ok(Request::Whole(arguments, at))
}

fn broken(what: &str) -> Request {
    Request::Broken(format!("ERR Protocol error: {what}"))
}

fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    bytes[from..]
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .map(|at| from + at)
}

/// A number that ends with its line, and where the next line begins.
fn number(bytes: &[u8], from: usize, error: &str) -> Result<(i64, usize), Request> {
    let end = line_end(bytes, from).ok_or(Request::Incomplete)?;
    let text = std::str::from_utf8(&bytes[from..end]).ok();
    let number = text
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| broken(error))?;
    Ok((number, end + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_only_when_it_is_whole() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n+";
        let whole = bytes.len() - 1;
        for length in 0..whole {
            assert_eq!(read(&bytes[..length]), Request::Incomplete, "{length}");
        }
        assert_eq!(
            read(bytes),
            Request::Whole(vec![b"GET".to_vec(), b"a\r\n".to_vec()], whole)
        );
    }

    #[test]
    fn what_is_no_bulk_breaks_the_protocol() {
        assert_eq!(
            read(b"*1\r\n:3\r\n"),
            Request::Broken("ERR Protocol error: expected '$', got ':'".into())
        );
    }
}
