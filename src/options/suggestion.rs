//! Which name was meant by one that does not exist.

/// A longer name is compared with none, in bytes: it is no typing mistake, and a comparison takes the time of both lengths.
const TYPED_BYTES_MAX: usize = 64;
/// The shortest part of a name that is taken for the whole, in bytes.
const PART_BYTES_MIN: usize = 3;

/// The name that was probably meant: one that differs in a few letters, in case or in `_` for `-`, or one that is a part of
/// the other (`--origin` for `--allow-origin`).
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if typed.len() > TYPED_BYTES_MAX {
        return None;
    }
    let typed = typed.to_lowercase().replace('_', "-");
    let typed = typed.trim_matches('-');
    let known: Vec<&str> = known.into_iter().collect();
    let distance = |name: &str| strsim::damerau_levenshtein(typed, &name.to_lowercase());
    // A longer name has room for more mistakes.
    let mistakes_max = 1 + typed.len() / 5;
    let similar = known
        .iter()
        .map(|name| (distance(name), *name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= mistakes_max && *distance < name.len());
    if let Some((_, name)) = similar {
        return Some(name);
    }
    let is_part = |part: &str, whole: &str| part.len() >= PART_BYTES_MIN && whole.contains(part);
    let longer = known.iter().filter(|name| is_part(typed, name));
    let shorter = known.iter().filter(|name| is_part(name, typed));
    longer
        .min_by_key(|name| name.len())
        .or_else(|| shorter.max_by_key(|name| name.len()))
        .copied()
}

/// `; did you mean "warn"?`, for a sentence that lists what there is already; or nothing.
pub fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(typed, known)
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 7] = [
        "listen",
        "log",
        "log-format",
        "allow-origin",
        "users",
        "rooms",
        "rooms-per-connection",
    ];

    #[test]
    fn a_name_with_a_mistake_is_the_one_that_was_meant() {
        for (typed, meant) in [
            ("lsiten", "listen"),
            ("LISTEN", "listen"),
            ("--listen", "listen"),
            ("log_format", "log-format"),
            ("lgo", "log"),
            ("user", "users"),
            ("rooms_per_conection", "rooms-per-connection"),
            ("origin", "allow-origin"),
            ("allow-origins", "allow-origin"),
            ("loglevel", "log"),
            ("max-rooms", "rooms"),
            ("room", "rooms"),
        ] {
            assert_eq!(nearest(typed, KNOWN), Some(meant), "{typed}");
        }
    }

    #[test]
    fn a_name_like_no_other_is_none() {
        for typed in ["", "-", "x", "nope", "verbose", "ab", &"log".repeat(100)] {
            assert_eq!(nearest(typed, KNOWN), None, "{typed}");
        }
    }
}
