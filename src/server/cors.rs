//! The CORS protocol (Fetch standard, section 3.3): which origins may read answers, and what a preflight is granted.

use crate::config::{Config, PREFLIGHT_FIELDS_BYTES_MAX};
use crate::wire::head::is_token;
use crate::wire::http::Request;
use crate::wire::origin::PageOrigin;
use crate::wire::response::Response;

/// How an origin is in `--allow-origin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// By its name.
    Named,
    /// As every other: `*`.
    Any,
}

/// How `--allow-origin` lists this value of an Origin field, if it does.
pub fn listing(config: &Config, origin: &str) -> Option<Listing> {
    if config.allow_origins.is_empty() {
        return None;
    }
    let sent = PageOrigin::parse(origin);
    let mut listed = config.allow_origins.iter();
    if sent.is_some() && listed.any(|allowed| PageOrigin::parse(allowed) == sent) {
        return Some(Listing::Named);
    }
    let mut listed = config.allow_origins.iter();
    listed.any(|allowed| allowed == "*").then_some(Listing::Any)
}

/// The CORS fields that a response gets.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    /// The request's Origin, as it was sent, if it is listed.
    allowed: Option<(Box<str>, Listing)>,
    /// The fields of a request on which a response depends.
    vary: Option<&'static str>,
}

impl Cors {
    /// For the response to a request of this Origin, and perhaps of a preflight.
    pub fn of(config: &Config, origin: Option<&str>, is_options: bool) -> Self {
        if config.allow_origins.is_empty() {
            return Self::default();
        }
        // It becomes the value of a field, so it must be an origin.
        let origin = origin.filter(|origin| PageOrigin::parse(origin).is_some());
        Self {
            allowed: origin.and_then(|origin| Some((origin.into(), listing(config, origin)?))),
            vary: Some(match is_options {
                true => "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
                false => "Origin",
            }),
        }
    }

    /// Adds the fields. A response to an origin that is not allowed depends on it, too.
    pub fn complete(&self, mut response: Response) -> Response {
        if let Some(vary) = self.vary {
            response = response.varying_with(vary);
        }
        let Some((origin, listing)) = &self.allowed else {
            return response;
        };
        response = response
            .field("Access-Control-Allow-Origin", origin.to_string())
            .field(
                "Access-Control-Expose-Headers",
                "Retry-After, Location, WWW-Authenticate",
            );
        match listing {
            Listing::Named => response.field("Access-Control-Allow-Credentials", "true"),
            Listing::Any => response,
        }
    }
}

/// The response to OPTIONS on a resource with these methods; a preflight of a listed origin is granted them, and the
/// fields it asks for.
pub fn preflight(config: &Config, request: &Request, allow: &'static str) -> Response {
    let response = Response::empty(204).field("Allow", allow);
    let fields = &request.fields;
    let origin = fields.origin.as_deref();
    let is_listed = origin.is_some_and(|origin| listing(config, origin).is_some());
    if !is_listed || fields.preflight_method.is_none() {
        return response;
    }
    let response = response
        .field("Access-Control-Allow-Methods", allow)
        .field("Access-Control-Max-Age", "600");
    let asked = fields.preflight_headers.as_deref().unwrap_or_default();
    match are_field_names(asked) {
        true => response.field("Access-Control-Allow-Headers", asked.to_owned()),
        false => response,
    }
}

/// Whether it is a list of field names that a preflight may ask for.
fn are_field_names(list: &str) -> bool {
    let mut names = list.split(',').map(|name| name.trim_matches([' ', '\t']));
    (1..=PREFLIGHT_FIELDS_BYTES_MAX).contains(&list.len())
        && names.all(|name| name.is_empty() || is_token(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_listed_by_its_name_whatever_its_spelling_or_as_every_other() {
        let config = |origins: &[&str]| Config {
            allow_origins: origins.iter().map(|one| (*one).to_owned()).collect(),
            ..Config::default()
        };
        let named = config(&["https://x:443", "null", "file://", "app://obsidian.md"]);
        for (origin, expected) in [
            ("https://x", Some(Listing::Named)),
            ("HTTPS://X:443", Some(Listing::Named)),
            ("null", Some(Listing::Named)),
            ("file://", Some(Listing::Named)),
            ("app://obsidian.md", Some(Listing::Named)),
            ("http://x", None),
            ("https://x:80", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(listing(&named, origin), expected, "{origin}");
        }
        let all = config(&["*", "https://x"]);
        for (origin, expected) in [
            ("https://x:443", Listing::Named),
            ("https://y", Listing::Any),
            ("what?", Listing::Any),
        ] {
            assert_eq!(listing(&all, origin), Some(expected), "{origin}");
        }
        assert_eq!(listing(&config(&[]), "https://x"), None);
    }

    #[test]
    fn a_preflight_may_ask_for_a_bounded_list_of_field_names() {
        let longest = "x".repeat(PREFLIGHT_FIELDS_BYTES_MAX);
        for good in [
            "a",
            "traceparent, x-requested-with,\tlast-event-id",
            "a,,b",
            &longest,
        ] {
            assert!(are_field_names(good), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a;b",
            "a:",
            "\"a\"",
            "가",
            "a\u{1}",
            &format!("{longest}x"),
        ] {
            assert!(!are_field_names(bad), "{bad}");
        }
    }
}
