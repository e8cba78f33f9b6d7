//! Members of a field with which a client says what it prefers, each with a weight (RFC 9110 section 12.4.2).

/// The weight of 1, in thousandths.
const WHOLE: u16 = 1000;

/// What a member names, and its weight in thousandths; `None` if anything but one valid weight follows the name.
pub fn weighted(member: &str) -> Option<(&str, u16)> {
    let mut parts = member.split(';').map(|part| part.trim_matches([' ', '\t']));
    let name = parts.next()?;
    let weight = match parts.next() {
        None => WHOLE,
        Some(weight) => read_weight(weight)?,
    };
    parts.next().is_none().then_some((name, weight))
}

/// `q=` and a number from 0 to 1 with at most three decimals, in thousandths.
fn read_weight(text: &str) -> Option<u16> {
    let value = text.strip_prefix(['q', 'Q'])?.strip_prefix('=')?;
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = decimals.bytes().chain([b'0'; 3]).take(3);
    let thousandths = digits.fold(0, |sum, digit| 10 * sum + u16::from(digit - b'0'));
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(WHOLE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_has_at_most_three_decimals_and_is_one_without_being_told() {
        for (member, expected) in [
            ("a", Some(("a", 1000))),
            ("a;q=1", Some(("a", 1000))),
            ("a ;\tQ=1.000", Some(("a", 1000))),
            ("a;q=1.", Some(("a", 1000))),
            ("a;q=0", Some(("a", 0))),
            ("a;q=0.000", Some(("a", 0))),
            ("a;q=0.001", Some(("a", 1))),
            ("a;q=0.02", Some(("a", 20))),
            ("a;q=0.3", Some(("a", 300))),
            ("*;q=0.999", Some(("*", 999))),
            ("", Some(("", 1000))),
            ("a;", None),
            ("a;q", None),
            ("a;q=", None),
            ("a;q =1", None),
            ("a;q=1.001", None),
            ("a;q=2", None),
            ("a;q=-0", None),
            ("a;q=.5", None),
            ("a;q=0.0001", None),
            ("a;q=0.+1", None),
            ("a;q=1;q=1", None),
            ("a;level=1", None),
        ] {
            assert_eq!(weighted(member), expected, "{member}");
        }
    }
}
