//! A body in chunked transfer coding that was accepted, read again line by line and without its limits.

/// The data of the body at the start of `bytes`, and the length of the whole body.
///
/// # Panics
/// If it is no chunked body.
pub fn read(bytes: &[u8]) -> (Vec<u8>, usize) {
    let mut data = Vec::new();
    let mut rest = bytes;
    loop {
        let line = std::str::from_utf8(digits(line(&mut rest))).expect("digits are text");
        let size = usize::from_str_radix(line, 16).expect("a size in memory");
        if size == 0 {
            break;
        }
        let (chunk, after) = rest.split_at(size);
        data.extend_from_slice(chunk);
        rest = after;
        assert_eq!(line_end(&mut rest), b"", "the data has the size given");
    }
    loop {
        let field = line(&mut rest);
        if field.is_empty() {
            return (data, bytes.len() - rest.len());
        }
        let colon = field.iter().position(|byte| *byte == b':');
        let name = &field[..colon.expect("a field has a colon")];
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
    }
}

/// The digits at the start of a size line, behind which is nothing but extensions.
fn digits(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit());
    let (digits, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_ascii_start();
    assert!(rest.is_empty() || rest.starts_with(b";"));
    digits
}

/// The next line, without its CRLF and without any other control but tabs.
fn line<'b>(rest: &mut &'b [u8]) -> &'b [u8] {
    let line = line_end(rest);
    let mut controls = line.iter().filter(|byte| byte.is_ascii_control());
    assert!(controls.all(|byte| *byte == b'\t'));
    line
}

/// The bytes up to the next CRLF.
fn line_end<'b>(rest: &mut &'b [u8]) -> &'b [u8] {
    let end = rest.windows(2).position(|pair| pair == b"\r\n");
    let (line, after) = rest.split_at(end.expect("a line has an end"));
    *rest = &after[2..];
    line
}
