//! What may happen to the engine, and what its clients see of it.

use std::time::Duration;

use crate::engine::{Client, Engine};

const UNIX: Duration = Duration::from_secs(1_700_000_000);

fn send(engine: &mut Engine, client: Client, words: &[&str]) {
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes += &format!("${}\r\n{word}\r\n", word.len());
    }
    engine.receive(client, bytes.as_bytes(), UNIX);
}

fn ask(engine: &mut Engine, client: Client, words: &[&str]) -> String {
    send(engine, client, words);
    String::from_utf8(engine.take_output(client)).expect("text")
}

fn engine() -> (Engine, Client) {
    let mut engine = Engine::new(7);
    let client = engine.connect();
    ask(&mut engine, client, &["HELLO", "3"]);
    (engine, client)
}

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";

#[test]
fn without_memory_a_script_stops_before_it_writes_and_not_after() {
    let (mut engine, client) = engine();
    engine.set_out_of_memory(true);
    assert_eq!(
        ask(&mut engine, client, &["SET", "k", "v"]),
        format!("{OOM}\r\n")
    );
    let refused = ask(
        &mut engine,
        client,
        &["EVAL", "return redis.call('SET', 'k', 'v')", "0"],
    );
    assert!(refused.starts_with(&format!("{OOM} script: ")), "{refused}");
    let begun = "redis.call('DEL', 'x') return redis.call('SET', 'k', 'v')";
    assert_eq!(ask(&mut engine, client, &["EVAL", begun, "0"]), "+OK\r\n");
    assert_eq!(ask(&mut engine, client, &["GET", "k"]), "$1\r\nv\r\n");
    engine.set_out_of_memory(false);
    assert_eq!(ask(&mut engine, client, &["SET", "k", "w"]), "+OK\r\n");
}

#[test]
fn a_replica_refuses_to_write_and_says_what_it_is() {
    let (mut engine, client) = engine();
    engine.set_read_only(true);
    let refused = "-READONLY You can't write against a read only replica.";
    assert_eq!(
        ask(&mut engine, client, &["HSET", "k", "f", "v"]),
        format!("{refused}\r\n")
    );
    let script = ask(
        &mut engine,
        client,
        &["EVAL", "return redis.call('INCR', 'k')", "0"],
    );
    assert!(
        script.starts_with(&format!("{refused} script: ")),
        "{script}"
    );
    assert_eq!(
        ask(
            &mut engine,
            client,
            &["EVAL", "return redis.call('EXISTS', 'k')", "0"]
        ),
        ":0\r\n"
    );
    assert!(ask(&mut engine, client, &["INFO", "replication"]).contains("role:slave"));
}

#[test]
fn a_script_that_fails_keeps_what_it_wrote() {
    let (mut engine, client) = engine();
    let failed = ask(
        &mut engine,
        client,
        &["EVAL", "redis.call('SET', 'k', 'v') error('stop')", "0"],
    );
    assert!(
        failed.starts_with("-ERR user_script:1: stop script: "),
        "{failed}"
    );
    assert_eq!(ask(&mut engine, client, &["GET", "k"]), "$1\r\nv\r\n");
}

#[test]
fn a_promoted_replica_has_the_data_of_its_moment_but_no_scripts_and_no_clients() {
    let (mut engine, client) = engine();
    ask(&mut engine, client, &["SET", "k", "old"]);
    let digest = ask(&mut engine, client, &["SCRIPT", "LOAD", "return 1"])[5..45].to_owned();
    let (before, data) = (ask(&mut engine, client, &["INFO"]), engine.snapshot());
    ask(&mut engine, client, &["SET", "k", "lost"]);
    engine.promote(data);
    assert!(engine.is_closed(client));
    let client = engine.connect();
    assert_eq!(ask(&mut engine, client, &["GET", "k"]), "$3\r\nold\r\n");
    assert!(ask(&mut engine, client, &["EVALSHA", &digest, "0"]).starts_with("-NOSCRIPT "));
    let after = ask(&mut engine, client, &["INFO"]);
    for name in ["run_id:", "master_replid:"] {
        let value = |info: &str| {
            info.lines()
                .find(|line| line.starts_with(name))
                .map(str::to_owned)
        };
        assert!(value(&before).is_some());
        assert_ne!(value(&before), value(&after), "{name}");
    }
}

#[test]
fn a_restart_keeps_data_and_counts_its_connections_anew() {
    let (mut engine, client) = engine();
    let first = ask(&mut engine, client, &["CLIENT", "ID"]);
    ask(&mut engine, client, &["SET", "k", "v"]);
    engine.restart();
    assert!(engine.is_closed(client));
    let again = engine.connect();
    assert_eq!(ask(&mut engine, again, &["CLIENT", "ID"]), first);
    assert_eq!(ask(&mut engine, again, &["GET", "k"]), "$1\r\nv\r\n");
}

#[test]
fn flushed_data_leaves_scripts_and_flushed_scripts_leave_data() {
    let (mut engine, client) = engine();
    let digest = ask(&mut engine, client, &["SCRIPT", "LOAD", "return 1"])[5..45].to_owned();
    ask(&mut engine, client, &["SET", "k", "v"]);
    engine.flush_all();
    assert_eq!(ask(&mut engine, client, &["EXISTS", "k"]), ":0\r\n");
    assert_eq!(
        ask(&mut engine, client, &["EVALSHA", &digest, "0"]),
        ":1\r\n"
    );
    ask(&mut engine, client, &["SET", "k", "v"]);
    engine.flush_scripts();
    assert!(ask(&mut engine, client, &["EVALSHA", &digest, "0"]).starts_with("-NOSCRIPT "));
    assert_eq!(ask(&mut engine, client, &["EXISTS", "k"]), ":1\r\n");
}

#[test]
fn a_closed_connection_hears_nothing_more() {
    let (mut engine, listener) = engine();
    let (killed, speaker) = (engine.connect(), engine.connect());
    ask(&mut engine, killed, &["HELLO", "3"]);
    for client in [listener, killed] {
        ask(&mut engine, client, &["SUBSCRIBE", "news"]);
    }
    let id = ask(&mut engine, killed, &["CLIENT", "ID"])
        .trim_start_matches(':')
        .trim_end()
        .to_owned();
    assert_eq!(
        ask(&mut engine, speaker, &["CLIENT", "KILL", "ID", &id]),
        ":1\r\n"
    );
    assert!(engine.is_closed(killed));
    assert_eq!(
        ask(&mut engine, speaker, &["CLIENT", "KILL", "ID", &id]),
        ":0\r\n"
    );
    assert_eq!(
        ask(&mut engine, speaker, &["PUBLISH", "news", "x"]),
        ":1\r\n"
    );
    assert_eq!(
        engine.take_output(listener),
        b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"
    );
    engine.disconnect(listener);
    assert_eq!(
        ask(&mut engine, speaker, &["PUBLISH", "news", "x"]),
        ":0\r\n"
    );
    assert!(engine.take_output(killed).is_empty());
}

#[test]
fn a_password_is_asked_for() {
    let (mut engine, _) = engine();
    engine.set_password(Some("right"));
    let client = engine.connect();
    assert_eq!(
        ask(&mut engine, client, &["GET", "k"]),
        "-NOAUTH Authentication required.\r\n"
    );
    assert!(ask(&mut engine, client, &["HELLO", "3"]).starts_with("-NOAUTH HELLO must be called"));
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    assert_eq!(
        ask(
            &mut engine,
            client,
            &["HELLO", "3", "AUTH", "default", "wrong"]
        ),
        wrong
    );
    assert!(
        ask(
            &mut engine,
            client,
            &["HELLO", "3", "AUTH", "default", "right"]
        )
        .starts_with("%7\r\n")
    );
    assert_eq!(ask(&mut engine, client, &["GET", "k"]), "_\r\n");
}

#[test]
fn replicas_and_the_policy_are_what_was_set() {
    let (mut engine, client) = engine();
    engine.set_replicas(2);
    engine.set_policy("allkeys-lru");
    assert_eq!(ask(&mut engine, client, &["WAIT", "1", "100"]), ":2\r\n");
    let policy = ask(&mut engine, client, &["CONFIG", "GET", "maxmemory-policy"]);
    assert_eq!(
        policy,
        "%1\r\n$16\r\nmaxmemory-policy\r\n$11\r\nallkeys-lru\r\n"
    );
    assert!(ask(&mut engine, client, &["INFO"]).contains("maxmemory_policy:allkeys-lru\r\n"));
}

#[test]
fn keys_are_listed_with_the_time_they_have_left() {
    let (mut engine, client) = engine();
    ask(&mut engine, client, &["SET", "a", "v", "EX", "10"]);
    ask(&mut engine, client, &["SET", "b", "v"]);
    let all = [
        ("a".to_owned(), Some(Duration::from_secs(4))),
        ("b".to_owned(), None),
    ];
    assert_eq!(engine.keys(UNIX + Duration::from_secs(6)), all);
    assert_eq!(engine.keys(UNIX + Duration::from_secs(11)), all[1..]);
}

#[test]
fn a_scan_finds_every_field_that_stays_once() {
    let (mut engine, client) = engine();
    let script = "for i = 1, 100 do redis.call('HSET', 'h', 'f' .. i, i) end
        local cursor, found, rounds = '0', {}, 0
        repeat
            local reply = redis.call('HSCAN', 'h', cursor, 'COUNT', 7)
            cursor, rounds = reply[1], rounds + 1
            for i = 1, #reply[2], 2 do
                found[reply[2][i]] = (found[reply[2][i]] or 0) + 1
                redis.call('HDEL', 'h', 'f' .. rounds)
                redis.call('HSET', 'h', 'new' .. rounds, 'x')
            end
        until cursor == '0'
        for i = rounds + 1, 100 do if found['f' .. i] ~= 1 then return 'f' .. i end end
        return rounds > 10";
    assert_eq!(ask(&mut engine, client, &["EVAL", script, "0"]), ":1\r\n");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let mut engine = Engine::new(seed);
        let client = engine.connect();
        send(
            &mut engine,
            client,
            &["SADD", "s", "a", "b", "c", "d", "e", "f", "g", "h"],
        );
        for words in [
            ["SMEMBERS", "s"],
            ["SPOP", "s"],
            ["SRANDMEMBER", "s"],
            ["INFO", "all"],
        ] {
            send(&mut engine, client, &words);
        }
        engine.take_output(client)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
