//! A stream of bytes in pieces, for the fuzz targets of all stream parsers.
//!
//! The input's first byte is a number of lengths, which follow, a byte each; the rest is the stream. The lengths are
//! used one after the other, again and again. Without lengths the stream comes in one piece.

/// More lengths would only make inputs longer.
const LENGTHS_MAX: usize = 16;

/// The stream in an input, and the lengths of its pieces.
pub fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((count, rest)) = data.split_first() else {
        return (&[], &[]);
    };
    let count = usize::from(*count) % (LENGTHS_MAX + 1);
    let (lengths, stream) = rest.split_at(count.min(rest.len()));
    (stream, lengths)
}

/// The pieces of a stream; none is empty.
pub fn pieces<'a>(stream: &'a [u8], lengths: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = lengths.iter().cycle();
    let mut rest = stream;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = lengths
            .next()
            .map_or(rest.len(), |length| 1 + usize::from(*length));
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        Some(piece)
    })
}
