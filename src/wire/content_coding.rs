//! Whether a client takes content in the coding gzip (RFC 9110 section 12.5.3).

use super::weight::weighted;

/// Whether the members of Accept-Encoding prefer gzip to the content as it is, or take both alike. A client without the
/// field, which names no coding it can undo, gets none. What `*` says is meant for each coding that is not named, and a
/// malformed member says nothing.
pub fn takes_gzip<'h>(members: impl Iterator<Item = &'h str>) -> bool {
    // The least weight of the members that name a coding, and that of the member for all others.
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for (coding, weight) in members.filter_map(weighted) {
        // The two names of gzip are equal (section 8.4.1.3).
        let named = match coding {
            "*" => &mut any,
            _ if coding.eq_ignore_ascii_case("gzip") => &mut gzip,
            _ if coding.eq_ignore_ascii_case("x-gzip") => &mut gzip,
            _ if coding.eq_ignore_ascii_case("identity") => &mut identity,
            _ => continue,
        };
        *named = Some(named.map_or(weight, |other: u16| other.min(weight)));
    }
    let gzip = gzip.or(any).unwrap_or_default();
    gzip > 0 && gzip >= identity.or(any).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_accepted_and_nothing_is_preferred() {
        for (field, expected) in [
            ("gzip", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", true),
            ("br, gzip ; q=0.001", true),
            ("deflate,gzip;q=1.0", true),
            ("*", true),
            ("*;q=0.5", true),
            ("br, *;q=0.1", true),
            ("identity, gzip", true),
            ("identity;q=0.5, gzip;q=0.5", true),
            ("identity;q=0, gzip;q=0.1", true),
            ("gzip;q=0.5, *;q=0", true),
            ("", false),
            ("br", false),
            ("deflate, br;q=0.9", false),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip;q=0.0", false),
            ("gzip;q=0.000, br", false),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("*, gzip;q=0", false),
            ("x-gzip;q=0, gzip", false),
            ("identity, gzip;q=0.9", false),
            ("identity;q=1, *;q=0.5", false),
            ("*;q=0.5, gzip;q=0.4", false),
            ("gzipped", false),
            ("gzip-br", false),
        ] {
            assert_eq!(
                takes_gzip(field.split(',').map(str::trim)),
                expected,
                "{field}"
            );
        }
    }

    #[test]
    fn a_malformed_member_says_nothing() {
        for malformed in [
            "gzip;q=2",
            "gzip;q",
            "gzip;q=x",
            "gzip;level=1",
            ";q=1",
            "identity;q=1.1",
        ] {
            assert!(!takes_gzip([malformed].into_iter()), "{malformed}");
            assert!(
                takes_gzip([malformed, "gzip;q=0.1"].into_iter()),
                "{malformed}"
            );
        }
    }
}
