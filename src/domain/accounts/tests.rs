//! The users file, its marks and its costs.

use super::*;

fn accepts(accounts: &Accounts, name: &str, password: &str) -> bool {
    let verifier = accounts.verifier(name);
    verifier.accepts(
        password.as_bytes(),
        &mut vec![Block::default(); verifier.blocks()],
    )
}

#[test]
fn the_demo_account_is_admin_with_the_password_secret() {
    let accounts = Accounts::parse(DEMO_ACCOUNTS, [0; 32]).expect("reads");
    assert!(accepts(&accounts, "admin", "secret"));
    assert!(!accepts(&accounts, "admin", "Secret"));
    assert!(!accepts(&accounts, "nobody", "secret"));
}

#[test]
fn a_password_fits_the_hash_that_was_made_of_it() {
    let line = format!(
        "# people\n\n김철수:{}\n",
        hash_password("비밀번호".as_bytes(), &[7; 16]).expect("hashes")
    );
    let accounts = Accounts::parse(&line, [0; 32]).expect("reads");
    assert!(accounts.has("김철수"));
    assert!(accepts(&accounts, "김철수", "비밀번호"));
    assert!(!accepts(&accounts, "김철수", ""));
}

/// The demo's account under another name, and perhaps at another cost.
fn line(name: &str, cost: &str) -> String {
    let demo = DEMO_ACCOUNTS.replacen("admin", name, 1);
    demo.replace("m=19456,t=2,p=1", cost)
}

#[test]
fn every_name_costs_the_same_also_with_hashes_of_different_costs() {
    let demo = "m=19456,t=2,p=1";
    let (small, large) = ("m=64,t=3,p=1", "m=256,t=1,p=4");
    let same = line("a", demo) + &line("b", demo);
    // The first account is the cheapest here, and the costliest there.
    let mixed = line("a", small) + &line("b", demo) + &line("c", large) + &line("d", small);
    for (text, runs, blocks) in [
        (String::new(), 1, 19_456),
        (same, 1, 19_456),
        (mixed.clone(), 3, 19_456),
        (mixed.replace(demo, "m=32,t=1,p=1"), 3, 256),
    ] {
        let accounts = Accounts::parse(&text, [0; 32]).expect("reads");
        let costs = accounts.costs();
        assert_eq!((costs.0.len(), costs.blocks()), (runs, blocks), "{text}");
        for name in ["a", "b", "c", "d", "nobody"] {
            let verifier = accounts.verifier(name);
            let runs = costs.runs(&verifier).map(|run| run.cost());
            assert_eq!(runs.collect::<Vec<_>>(), costs.0, "{name} in {text}");
            let is_own = |run: &Cow<'_, Verifier>| **run == *verifier;
            assert_eq!(costs.runs(&verifier).filter(is_own).count(), 1, "{name}");
        }
    }
}

#[test]
fn a_password_is_right_or_wrong_whatever_else_is_in_the_file() {
    let text = line("admin", "m=19456,t=2,p=1") + &line("kim", "m=64,t=1,p=1");
    for text in [text, line("lee", "m=19460,t=3,p=1") + DEMO_ACCOUNTS] {
        let accounts = Accounts::parse(&text, [0; 32]).expect("reads");
        let costs = accounts.costs();
        let mut memory = vec![Block::default(); costs.blocks()];
        for (name, password, is_right) in [
            ("admin", "secret", true),
            ("admin", "Secret", false),
            ("nobody", "secret", false),
        ] {
            let is_accepted =
                costs.check(&accounts.verifier(name), password.as_bytes(), &mut memory);
            assert_eq!(is_accepted, is_right, "{name} {password}");
        }
    }
}

#[test]
fn a_file_with_too_many_costs_is_refused() {
    let lines = |count: usize| -> String {
        let costs = (0..count).map(|n| format!("m={},t=1,p=1", 64 + n));
        let twice = costs.clone().chain(costs).enumerate();
        twice.map(|(n, cost)| line(&n.to_string(), &cost)).collect()
    };
    let parse = |text: &str| Accounts::parse(text, [0; 32]).map(|_| ());
    assert_eq!(parse(&lines(PASSWORD_COSTS_MAX)), Ok(()));
    let what = "line 9: the hashes have more than 8 different costs".to_owned();
    assert_eq!(parse(&lines(PASSWORD_COSTS_MAX + 1)), Err(what));
}

#[test]
fn a_bad_line_is_named_by_its_number_and_never_shown() {
    let good = DEMO_ACCOUNTS.trim();
    for (text, what) in [
        ("admin", "line 1 is not NAME:HASH"),
        ("\nadmin:hunter2", "line 2: the hash is no PHC string"),
        (
            &good.replace("argon2id", "argon2i"),
            "line 1: the hash is not argon2id, version 19",
        ),
        (
            &good.replace("m=19456", "m=99999999"),
            "line 1: the hash costs more than is allowed",
        ),
        (
            &good.replacen("admin", "", 1),
            "line 1: the name is not 1 to 64 plain characters",
        ),
        (&format!("{good}\n{good}"), "line 2: the name stands twice"),
        (
            &good.replace(":admin", ":root"),
            "line 1: only admin may follow the hash",
        ),
        (
            &format!("{good}:admin"),
            "line 1: only admin may follow the hash",
        ),
        (
            &good.replace(":admin", ":"),
            "line 1: only admin may follow the hash",
        ),
    ] {
        assert_eq!(
            Accounts::parse(text, [0; 32]).map(|_| ()),
            Err(what.to_owned())
        );
    }
}

#[test]
fn a_name_is_one_however_it_is_composed_and_its_key_is_known() {
    let lines = |names: [&str; 2]| names.map(|name| line(name, "m=64,t=1,p=1")).concat();
    let accounts = Accounts::parse(&lines(["e\u{301}", "Kim"]), [0; 32]).expect("reads");
    let keys = ["é", "kim", "Kim", "e"].map(|key| accounts.has_key(key));
    assert!(accounts.has("é") && keys == [true, true, true, false]);
    let twice = Accounts::parse(&lines(["é", "e\u{301}"]), [0; 32]).map(|_| ());
    assert_eq!(twice, Err("line 2: the name stands twice".to_owned()));
}

#[test]
fn a_moderator_is_marked_behind_the_hash_and_a_mark_is_no_other_password() {
    let demo = DEMO_ACCOUNTS.trim();
    let plain = demo.strip_suffix(":admin").expect("is a moderator's");
    let parse = |lines: &[&str]| {
        let names = ["a", "e\u{301}", "c", "d"].iter();
        let lines = names
            .zip(lines)
            .map(|(name, line)| line.replacen("admin", name, 1) + "\n");
        Accounts::parse(&lines.collect::<String>(), [0; 32]).expect("reads")
    };
    let old = parse(&[demo, demo, plain, plain]);
    let new = parse(&[demo, plain, demo, plain]);
    let marks = |accounts: &Accounts| {
        ["a", "é", "c", "d", "nobody"].map(|name| accounts.is_moderator(name))
    };
    assert_eq!(marks(&old), [true, true, false, false, false]);
    assert_eq!(marks(&new), [true, false, true, false, false]);
    let marked: Vec<&str> = old.marked_in(&new).map(|name| &**name).collect();
    assert_eq!(marked, ["c", "é"]);
    assert_eq!(old.gone_in(&new).count(), 0);
}

#[test]
fn a_hash_may_cost_what_is_allowed_and_no_more() {
    let hash = |memory: u32, passes: u32, lanes: u32| {
        let cost = format!("m={memory},t={passes},p={lanes}");
        DEMO_ACCOUNTS.trim().replace("m=19456,t=2,p=1", &cost)
    };
    let (memory, passes) = (ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX);
    assert!(Accounts::parse(&hash(memory, passes, 16), [0; 32]).is_ok());
    for over in 1..3 {
        for text in [
            hash(memory + over, 1, 1),
            hash(19_456, passes + over, 1),
            hash(19_456, 1, 16 + over),
        ] {
            let what = "line 1: the hash costs more than is allowed".to_owned();
            assert_eq!(
                Accounts::parse(&text, [0; 32]).map(|_| ()),
                Err(what),
                "{text}"
            );
        }
    }
}

#[test]
fn who_is_gone_or_has_another_password_is_known_and_no_hash_is_shown() {
    let hash = DEMO_ACCOUNTS
        .trim()
        .strip_prefix("admin")
        .expect("is its name");
    let other = hash.replace("t=2", "t=3");
    let parse = |text: String| Accounts::parse(&text, [0; 32]).expect("reads");
    let old = parse(format!("kept{hash}\ngone{hash}\nchanged{hash}"));
    let new = parse(format!("kept{hash}\nchanged{other}\nnew{hash}"));
    let gone: Vec<&str> = old.gone_in(&new).map(|name| &**name).collect();
    assert_eq!(gone, ["changed", "gone"]);
    let added: Vec<&str> = old.added_in(&new).map(|name| &**name).collect();
    assert_eq!(added, ["new"]);
    assert!(old.has("gone") && !new.has("gone"));
    assert_eq!(new.names().count(), 3);
    assert_eq!(format!("{:?}", old.verifier("kept")), "Verifier(…)");
}
