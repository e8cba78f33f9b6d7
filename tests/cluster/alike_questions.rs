//! What nodes ask of the engine and of each other, for moderators: pages of rooms and people, questions, the audit. On the model,
//! and on real engines as in `alike.rs`.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use sarang::config::{AUDIT_EVENTS_KEPT, QUESTION_PATIENCE, QUESTIONS_MAX};
use sarang::domain::error::ErrorCode;
use sarang::domain::event::Page;
use sarang::domain::message_keys::Person;
use sarang::server::node::news::{Claim, News};

use crate::bare::{Nodes, on_all_engines};

type Told = Vec<(u64, String)>;

/// A page of the rooms: their names, and where the next one begins.
fn page(nodes: &mut Nodes, after: Option<&str>, limit: usize) -> (Vec<String>, Option<String>) {
    let page = Page {
        after: after.map(Into::into),
        limit,
    };
    let now = nodes.now();
    let number = nodes.all[1].node.list(&page, now);
    nodes.settle();
    let told = nodes.told(1).into_iter().find_map(|news| match news {
        News::Rooms(of, rooms) if of == number => Some(rooms),
        _ => None,
    });
    let (rooms, next) = told.expect("is answered").expect("is read");
    let names = rooms.iter().map(|room| room.name.to_string()).collect();
    (names, next.map(|name| name.to_string()))
}

#[test]
fn rooms_of_all_nodes_are_listed_in_pages_by_name() {
    on_all_engines(2, |mut nodes| {
        assert_eq!(page(&mut nodes, None, 1_000), (vec![], None));
        let mut all: Vec<String> = (0..600).map(|number| format!("room{number}")).collect();
        all.push("사랑방".into());
        for room in &all {
            nodes.open(0, room);
        }
        all.sort();
        assert_eq!(page(&mut nodes, None, 1_000), (all.clone(), None));
        assert_eq!(page(&mut nodes, None, 601), (all.clone(), None));
        let last = Some(all[299].clone());
        assert_eq!(page(&mut nodes, None, 300), (all[..300].to_vec(), last));
        let next = Some(all[599].clone());
        let second = page(&mut nodes, Some(&all[299]), 300);
        assert_eq!(second, (all[300..600].to_vec(), next));
        let third = page(&mut nodes, Some(&all[599]), 300);
        assert_eq!(third, (all[600..].to_vec(), None));
        // One that the engine has lost is listed no more, and a page that has it goes on.
        let said = nodes.engine.operate(&["ZADD", "sg:rooms", "0", "lost"]);
        assert_eq!(said.shown(), "Integer(1)");
        assert_eq!(page(&mut nodes, None, 1), (vec![], Some("lost".into())));
        assert_eq!(page(&mut nodes, Some("lost"), 1_000), (all, None));
        assert_eq!(
            nodes.engine.operate(&["ZCARD", "sg:rooms"]).shown(),
            "Integer(601)"
        );
    });
}

#[test]
fn a_page_of_rooms_that_cannot_be_read_is_refused_once() {
    on_all_engines(1, |mut nodes| {
        nodes.open(0, "tech");
        let (page, now) = (
            Page {
                after: None,
                limit: 9,
            },
            nodes.now(),
        );
        let number = nodes.all[0].node.list(&page, now);
        nodes.cut(0);
        nodes.mend(0);
        let refused = News::Rooms(number, Err(ErrorCode::BackendUnavailable));
        let told = nodes.told(0);
        let pages = told.iter().filter(|news| matches!(news, News::Rooms(..)));
        assert_eq!(pages.collect::<Vec<_>>(), [&refused]);
    });
}

fn come(nodes: &mut Nodes, number: usize, name: &str) {
    let (serial, now) = (nodes.serial(), nodes.now());
    let key = sarang::domain::names::key(name).into_owned();
    let claim = Claim {
        serial,
        key: key.into(),
        person: Person {
            name: name.into(),
            is_account: false,
            holder: None,
        },
        is_renewal: false,
    };
    nodes.all[number].node.claim(claim, now);
    nodes.settle();
}

fn people(nodes: &mut Nodes, after: Option<&str>, limit: usize) -> (Vec<Rc<str>>, bool) {
    let (serial, now) = (nodes.serial(), nodes.now());
    nodes.all[0].node.names_after(serial, after, limit, now);
    nodes.settle();
    let told = nodes.told(0).into_iter().find_map(|news| match news {
        News::Names(of, names) if of == serial => Some(names),
        _ => None,
    });
    told.expect("is answered").expect("is read")
}

#[test]
fn people_of_all_nodes_are_told_in_pages_each_of_them_once() {
    on_all_engines(2, |mut nodes| {
        assert_eq!(people(&mut nodes, None, 50), (vec![], false));
        let mut all = BTreeSet::new();
        for number in 0..300 {
            // Some have one key, and so one tag.
            let name = match number % 3 {
                0 => format!("user{number}"),
                1 => format!("User{}", number - 1),
                _ => format!("사랑{number}"),
            };
            come(&mut nodes, number % 2, &name);
            all.insert(name);
        }
        nodes.forget();
        for limit in [1, 7, 50, 299, 300, 301] {
            let (mut told, mut after) = (Vec::new(), None);
            loop {
                let (names, has_more) = people(&mut nodes, after.as_deref(), limit);
                assert_eq!(names.len(), limit.min(300 - told.len()));
                after = names.last().cloned();
                told.extend(names.iter().map(ToString::to_string));
                assert_eq!(has_more, told.len() < 300, "{limit}");
                if !has_more {
                    break;
                }
            }
            assert_eq!(told.len(), 300);
            assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), all);
        }
        // The one after which a page begins may have gone.
        let (names, has_more) = people(&mut nodes, Some("nobody"), 300);
        assert!(names.len() < 300 && !has_more);
    });
}

/// A node asks, and what is on its way gets there.
fn ask(nodes: &mut Nodes, text: &str) -> sarang::domain::ids::Serial {
    let (serial, now) = (nodes.serial(), nodes.now());
    nodes.all[0].node.ask_all(serial, text, now);
    nodes.settle();
    serial
}

/// Nodes answer what they were asked.
fn answer(nodes: &mut Nodes, number: usize, text: &str) {
    let now = nodes.now();
    for news in nodes.told(number) {
        if let News::Asked(node, question, asked) = news {
            let text = format!("{text} to {asked}");
            nodes.all[number].node.answer(&node, question, &text, now);
        }
    }
    nodes.settle();
}

/// What others have answered, and whether all have; nothing if the question may not have been heard.
type Answers = Option<(Vec<String>, bool)>;

fn answers(nodes: &mut Nodes) -> Vec<(u64, Answers)> {
    let told = nodes.told(0).into_iter();
    told.filter_map(|news| match news {
        News::Answers(serial, answers) => {
            let answers = answers.ok().map(|(texts, is_complete)| {
                let texts = texts.into_iter().map(|text| text.to_string());
                (texts.collect(), is_complete)
            });
            Some((serial.0, answers))
        }
        _ => None,
    })
    .collect()
}

#[test]
fn a_question_is_answered_by_all_nodes_or_by_those_that_are_in_time() {
    on_all_engines(3, |mut nodes| {
        // They know of each other by their signs of life.
        nodes.pass(Duration::from_secs(4));
        nodes.forget();
        let serial = ask(&mut nodes, "who is\nthere?").0;
        assert_eq!(answers(&mut nodes), []);
        answer(&mut nodes, 1, "I");
        assert_eq!(answers(&mut nodes), []);
        answer(&mut nodes, 2, "and I");
        let both = ["I to who is\nthere?", "and I to who is\nthere?"];
        let both = both.map(Into::into).into();
        assert_eq!(answers(&mut nodes), [(serial, Some((both, true)))]);
        // One is silent.
        let serial = ask(&mut nodes, "and now?").0;
        answer(&mut nodes, 1, "I");
        nodes.pass(QUESTION_PATIENCE);
        let one = vec!["I to and now?".to_owned()];
        assert_eq!(answers(&mut nodes), [(serial, Some((one, false)))]);
        // What it says later is the answer to nothing.
        answer(&mut nodes, 2, "I");
        assert_eq!(answers(&mut nodes), []);
        // Without an engine, and when too many are asked, nobody hears it.
        for _ in 0..QUESTIONS_MAX {
            ask(&mut nodes, "?");
        }
        assert_eq!(answers(&mut nodes), []);
        let serial = ask(&mut nodes, "?").0;
        assert_eq!(answers(&mut nodes), [(serial, None)]);
        nodes.pass(QUESTION_PATIENCE);
        assert_eq!(answers(&mut nodes).len(), QUESTIONS_MAX);
        nodes.cut(0);
        let serial = ask(&mut nodes, "?").0;
        assert_eq!(answers(&mut nodes), [(serial, None)]);
    });
}

fn write(nodes: &mut Nodes, number: usize, lines: &[&str]) {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let now = nodes.now();
    nodes.all[number].node.tell_audit(&lines, now);
}

/// What a node was told of the audit: each time it was loaded, and each event.
fn audit(nodes: &mut Nodes, number: usize) -> (Vec<(Told, u64)>, Told) {
    let (mut loads, mut events) = (Vec::new(), Vec::new());
    for news in nodes.told(number) {
        match news {
            News::AuditLoaded(all, newest) => {
                let all = all.into_iter().map(|(id, line)| (id, line.to_string()));
                loads.push((all.collect(), newest));
            }
            News::Audit(id, line) => events.push((id, line.to_string())),
            _ => {}
        }
    }
    (loads, events)
}

#[test]
fn the_audit_is_numbered_kept_and_told_in_order_to_who_follows_it() {
    on_all_engines(3, |mut nodes| {
        write(&mut nodes, 0, &["a", "b"]);
        nodes.settle();
        let now = nodes.now();
        for _ in 0..2 {
            nodes.all[1].node.follow_audit(now);
        }
        nodes.settle();
        let (loads, events) = audit(&mut nodes, 1);
        let [(all, newest)] = &loads[..] else {
            panic!("it is loaded once: {loads:?}");
        };
        let first = newest - 1;
        assert_eq!(*all, [(first, "a".into()), (first + 1, "b".into())]);
        // Numbers begin at the clock of the engine, so that one that is emptied gives none out again.
        assert!(first > 1_705_000_000_000 && events.is_empty());
        write(&mut nodes, 1, &["c\nc"]);
        write(&mut nodes, 2, &["d", "e"]);
        nodes.settle();
        let (loads, events) = audit(&mut nodes, 1);
        let lines: Vec<&str> = events.iter().map(|(_, line)| &**line).collect();
        assert!(
            loads.is_empty() && lines == ["c\nc", "d", "e"],
            "{events:?}"
        );
        assert!(events.iter().map(|(id, _)| *id).eq(first + 2..first + 5));
        assert_eq!(audit(&mut nodes, 0), (vec![], vec![]));
    });
}

#[test]
fn a_node_that_was_away_loads_the_audit_anew_and_lines_are_written_once() {
    on_all_engines(2, |mut nodes| {
        let now = nodes.now();
        nodes.all[1].node.follow_audit(now);
        write(&mut nodes, 0, &["a"]);
        nodes.settle();
        nodes.forget();
        nodes.cut(1);
        // Their answer is lost: they are sent again.
        write(&mut nodes, 0, &["b", "c"]);
        nodes.lose_answers(0);
        nodes.mend(0);
        nodes.mend(1);
        let (loads, events) = audit(&mut nodes, 1);
        let lines: Vec<&str> = loads[0].0.iter().map(|(_, line)| &**line).collect();
        assert!(loads.len() == 1 && lines == ["a", "b", "c"], "{loads:?}");
        assert!(events.is_empty());
        let newest = loads[0].1;
        // An engine that has lost all of it counts on.
        nodes.engine.operate(&["DEL", "sg:au", "sg:aus"]);
        nodes.engine.operate(&["SET", "sg:aus", "7"]);
        write(&mut nodes, 1, &["d"]);
        nodes.settle();
        let (_, events) = audit(&mut nodes, 1);
        assert_eq!(events, [(newest + 1, "d".into())]);
        for number in 0..AUDIT_EVENTS_KEPT {
            write(&mut nodes, 0, &[&number.to_string()]);
        }
        nodes.settle();
        assert_eq!(audit(&mut nodes, 1).1.len(), AUDIT_EVENTS_KEPT);
        let kept = nodes.engine.operate(&["XLEN", "sg:au"]).shown();
        assert_eq!(kept, format!("Integer({AUDIT_EVENTS_KEPT})"));
    });
}
