//! The tokens this server issues: their ids, their order and their lifetime.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::time::Now;
use crate::config::REFRESH_SECS_MAX;

/// Distinguishes one run of the server from all others.
pub type Run = [u8; 8];

/// When a token was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// By this server since its start: the place of the token in the order of issue. It is exact within a second, and
    /// does not depend on a clock that may be set back.
    Here(u64),
    /// By another back end, or before the start: `iat`, in seconds since 1970; 0 if the token has none.
    Elsewhere(u64),
}

/// What this server knows of the tokens it issues.
#[derive(Debug)]
pub struct Issuer {
    run: Run,
    /// The place of the newest token in the order of issue.
    newest: u64,
    /// The latest second in which a token was issued, since 1970.
    latest_secs: u64,
    token_ttl_secs: u64,
}

impl Issuer {
    /// No tokens issued. `run` is random.
    pub fn new(run: Run, token_ttl_secs: u64) -> Self {
        Self {
            run,
            newest: 0,
            latest_secs: 0,
            token_ttl_secs,
        }
    }

    /// The lifetime of a token, in seconds.
    pub fn token_ttl_secs(&self) -> u64 {
        self.token_ttl_secs
    }

    /// The place of the newest token in the order of issue; 0 before the first one.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// The latest second in which a token was issued, since 1970; 0 before the first one.
    pub fn latest_secs(&self) -> u64 {
        self.latest_secs
    }

    /// The `jti` of the next token: this run, and the token's place. Places are nanoseconds since the start, made
    /// unique, so they do not tell how many tokens were issued.
    pub fn next_id(&mut self, now: Now) -> String {
        let nanoseconds = u64::try_from(now.monotonic.as_nanos()).unwrap_or(u64::MAX);
        self.newest = nanoseconds.max(self.newest.saturating_add(1));
        self.latest_secs = self.latest_secs.max(now.unix.as_secs());
        let place = self.newest.to_be_bytes();
        URL_SAFE_NO_PAD.encode([self.run, place].as_flattened())
    }

    /// When one of our tokens was issued, by its `jti` and `iat`.
    pub fn issued(&self, id: &str, at: u64) -> Issued {
        // As long as the decoder expects 22 characters to need at most.
        let mut bytes = [0; 18];
        match URL_SAFE_NO_PAD.decode_slice(id, &mut bytes) {
            Ok(16) if bytes[..8] == self.run => {
                let [.., a, b, c, d, e, f, g, h, _, _] = bytes;
                Issued::Here(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            _ => Issued::Elsewhere(at),
        }
    }

    /// When one of our tokens expires (seconds since 1970). `--token-ttl` holds for all of them, also for those issued
    /// before a restart with a longer one: so the last expiry of a sign-in is known.
    pub fn expiry(&self, issued_at: u64, exp: u64) -> u64 {
        exp.min(issued_at.saturating_add(self.token_ttl_secs))
    }

    /// When the last token expires that may have been issued until now for a sign-in at `authenticated_at` (seconds
    /// since 1970). The clock may have been set back since the token was refreshed.
    pub fn last_expiry(&self, authenticated_at: u64, now: Now) -> u64 {
        let latest = now.unix.as_secs().max(self.latest_secs);
        let last_refresh = authenticated_at.saturating_add(REFRESH_SECS_MAX);
        latest.min(last_refresh).saturating_add(self.token_ttl_secs)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(monotonic: u64, unix: u64) -> Now {
        Now {
            monotonic: Duration::from_secs(monotonic),
            unix: Duration::from_secs(unix),
        }
    }

    #[test]
    fn the_tokens_of_a_run_have_an_order_whatever_the_clocks_say() {
        let mut issuer = Issuer::new([1; 8], 60);
        let times = [at(0, 500), at(0, 500), at(3, 400), at(3, 500), at(2, 0)];
        let ids = times.map(|now| issuer.next_id(now));
        let places = ids.each_ref().map(|id| match issuer.issued(id, 7) {
            Issued::Here(place) => place,
            elsewhere => panic!("{elsewhere:?}"),
        });
        assert_eq!(places[..2], [1, 2]);
        assert_eq!(places[2..], [3_000_000_000, 3_000_000_001, 3_000_000_002]);
        assert_eq!(issuer.newest(), places[4]);
        let other = Issuer::new([2; 8], 60);
        assert_eq!(other.issued(&ids[0], 7), Issued::Elsewhere(7));
        for id in ["", "a", &ids[0][1..], &format!("{}A", ids[0]), "日本"] {
            assert_eq!(issuer.issued(id, 7), Issued::Elsewhere(7), "{id}");
        }
    }

    #[test]
    fn the_lifetime_in_force_bounds_tokens_of_a_longer_one() {
        let issuer = Issuer::new([1; 8], 60);
        assert_eq!(issuer.expiry(1_000, 1_060), 1_060);
        assert_eq!(issuer.expiry(1_000, 1_030), 1_030);
        assert_eq!(issuer.expiry(1_000, u64::MAX), 1_060);
        assert_eq!(issuer.expiry(u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn the_last_expiry_of_a_sign_in_is_that_of_a_token_refreshed_just_now() {
        let mut issuer = Issuer::new([1; 8], 60);
        assert_eq!(issuer.last_expiry(1_000, at(0, 1_500)), 1_560);
        // Nothing is refreshed after a day.
        let day_after = 1_000 + REFRESH_SECS_MAX;
        assert_eq!(issuer.last_expiry(1_000, at(0, u64::MAX)), day_after + 60);
        // A token may have been refreshed before the clock was set back.
        issuer.next_id(at(0, 1_500));
        assert_eq!(issuer.last_expiry(1_000, at(0, 1_200)), 1_560);
    }
}
