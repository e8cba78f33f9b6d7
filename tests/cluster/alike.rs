//! The same commands, drawn by a seed, for the model and for real engines: all must answer alike. The real ones are those at
//! the addresses in SARANG_ENGINES, which are flushed; without it the model is compared with a second one that gets its
//! bytes in small pieces.

use std::time::Duration;

use crate::draw::Draw;
use crate::peer::{Peer, Said, command};

/// A reply without what may differ: the order of members, and the time that has passed for a real engine.
fn comparable(words: &[Vec<u8>], said: Said) -> Said {
    let has = |name: &str| {
        words
            .iter()
            .any(|word| word.eq_ignore_ascii_case(name.as_bytes()))
    };
    match words
        .first()
        .map(|word| String::from_utf8_lossy(word).to_uppercase())
        .as_deref()
    {
        Some("HGETALL" | "HKEYS" | "HVALS" | "SMEMBERS" | "SPOP") => said.sorted(),
        _ if has("TTL") && said.is_positive() => Said::Integer("some".into()),
        _ => said,
    }
}

/// Whether two replies are the same; the text of an error is only for an engine of the model's version.
fn is_alike(model: &Said, other: &Said, peer: &Peer) -> bool {
    if peer.is_of_model_version() {
        model == other
    } else {
        model.clone().coded() == other.clone().coded()
    }
}

fn show(words: &[Vec<u8>]) -> String {
    words
        .iter()
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

fn compare(peers: &mut [Peer], seed: u64, steps: usize) -> usize {
    let mut draw = Draw::new(seed);
    for peer in &mut *peers {
        peer.begin(seed.is_multiple_of(2));
    }
    let mut different = Vec::new();
    for step in 0..steps {
        let words = draw.step();
        let bytes = command(&words);
        let said: Vec<Said> = peers
            .iter_mut()
            .map(|peer| comparable(&words, peer.ask(&bytes)))
            .collect();
        for (peer, other) in peers.iter().zip(&said).skip(1) {
            if !is_alike(&said[0], other, peer) {
                let (name, words) = (peer.name(), show(&words));
                different.push(format!(
                    "seed {seed} step {step}: {words}\n  model: {:?}\n  {name}: {other:?}",
                    said[0]
                ));
            }
        }
        if different.len() >= 8 {
            break;
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    steps
}

#[test]
fn the_model_and_engines_answer_alike() {
    let (addresses, _alone) = crate::peer::real_engines();
    let is_real = !addresses.is_empty();
    let mut compared = 0;
    for seed in 0..if is_real { 40 } else { 10 } {
        let mut peers = vec![Peer::model(seed, usize::MAX)];
        match is_real {
            true => peers.extend(addresses.iter().map(|address| Peer::real(address))),
            false => peers.push(Peer::model(seed, 3)),
        }
        compared += compare(&mut peers, seed, 1500);
    }
    assert!(compared >= 15_000);
}

/// What can be said only step by step: its own replies, errors among them, in order.
#[test]
fn fixed_commands_are_answered_alike() {
    let (addresses, _alone) = crate::peer::real_engines();
    let mut peers = vec![Peer::model(1, usize::MAX)];
    peers.extend(addresses.iter().map(|address| Peer::real(address)));
    let fixed = crate::draw::fixed();
    for is_three in [true, false] {
        for peer in &mut peers {
            peer.begin(is_three);
        }
        let mut different = Vec::new();
        for words in &fixed {
            let bytes = command(words);
            let said: Vec<Said> = peers
                .iter_mut()
                .map(|peer| comparable(words, peer.ask(&bytes)))
                .collect();
            for (peer, other) in peers.iter().zip(&said).skip(1) {
                if !is_alike(&said[0], other, peer) {
                    different.push(format!(
                        "{}\n  model: {:?}\n  {}: {other:?}",
                        show(words),
                        said[0],
                        peer.name()
                    ));
                }
            }
            assert_ne!(said[0], Said::Nothing, "{}", show(words));
        }
        assert!(different.is_empty(), "{}", different.join("\n"));
    }
}

/// Redis 7.0 sends a connection what it publishes itself before the reply, later engines after it.
#[test]
fn a_push_of_its_own_command_comes_where_the_engine_puts_it() {
    let (addresses, _alone) = crate::peer::real_engines();
    let mut peers = vec![Peer::model(1, usize::MAX), Peer::model(1, 1)];
    peers[1].set_early_pushes();
    peers.extend(addresses.iter().map(|address| Peer::real(address)));
    for peer in &mut peers {
        peer.begin(true);
        let ask = |words: &[&str]| {
            command(
                &words
                    .iter()
                    .map(|word| word.as_bytes().to_vec())
                    .collect::<Vec<_>>(),
            )
        };
        let confirmed = peer.ask(&ask(&["SUBSCRIBE", "news"]));
        assert_eq!(
            confirmed.shown(),
            "Push[Bulk(subscribe), Bulk(news), Integer(1)]",
            "{}",
            peer.name()
        );
        let script = "redis.call('PUBLISH', 'news', 'a'); redis.call('SET', KEYS[1], 'v'); return redis.call('GET', KEYS[1])";
        for (words, reply, payload) in [
            (vec!["EVAL", script, "1", "k"], "Bulk(v)", "a"),
            (vec!["PUBLISH", "news", "b"], "Integer(1)", "b"),
        ] {
            let push = format!("Push[Bulk(message), Bulk(news), Bulk({payload})]");
            let said = [peer.ask(&ask(&words)).shown(), peer.next().shown()];
            let expected = if peer.has_early_pushes() {
                [push, reply.into()]
            } else {
                [reply.into(), push]
            };
            assert_eq!(said, expected, "{}", peer.name());
        }
        let left = peer.ask(&ask(&["UNSUBSCRIBE"]));
        assert_eq!(
            left.shown(),
            "Push[Bulk(unsubscribe), Bulk(news), Integer(0)]",
            "{}",
            peer.name()
        );
    }
}

/// Real engines need real time: the model's is set by hand.
#[test]
fn a_key_ends_after_its_last_millisecond() {
    let mut peer = Peer::model(1, usize::MAX);
    peer.begin(true);
    let ask = |peer: &mut Peer, words: &[&str], at: u64| {
        peer.set_clock(Duration::from_millis(at));
        peer.ask(&command(
            &words
                .iter()
                .map(|word| word.as_bytes().to_vec())
                .collect::<Vec<_>>(),
        ))
        .shown()
    };
    assert_eq!(
        ask(&mut peer, &["SET", "k", "v", "PX", "100"], 1000),
        "Status(OK)"
    );
    assert_eq!(ask(&mut peer, &["PTTL", "k"], 1100), "Integer(0)");
    assert_eq!(ask(&mut peer, &["GET", "k"], 1100), "Bulk(v)");
    assert_eq!(ask(&mut peer, &["GET", "k"], 1101), "Null");
}
