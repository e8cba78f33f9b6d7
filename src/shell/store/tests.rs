use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::domain::message_keys::Person;
use crate::domain::position::Position;
use crate::domain::random::split_mix;
use crate::domain::record::{Record, SaidAt};
use crate::domain::time::Timestamp;
use crate::domain::working_set::WorkingSet;
use crate::domain::working_set::tests::{everything, everything_of_format_1};

/// A folder that is removed with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sarang-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("sarang.redb")
    }

    fn open(&self) -> Opened {
        open(&self.0, [7; 32]).expect("opens")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn batch(number: u64) -> Batch {
    let mut changes = Changes::default();
    let epoch = 1 + number % 3;
    let seq = number.div_ceil(3);
    if seq == 1 {
        changes.put(&Record::Room {
            epoch,
            max_users: 100,
            is_kept: true,
            created_at: Timestamp(number),
            creator: None,
            name: &format!("방 {epoch}"),
        });
    }
    let position = Position { epoch, seq };
    changes.put(&Record::Message {
        position,
        timestamp: Timestamp(1_705_314_600),
        is_guest: true,
        username: "홍길동",
        content: &format!("안녕하세요! {number} ").repeat(1 + (number % 40) as usize),
    });
    changes.put(&Record::Newest(position));
    changes.put(&Record::Said {
        at: SaidAt::from(position),
        second: number,
        fingerprint: number,
        sender: Person {
            name: "홍길동".into(),
            is_account: false,
            holder: None,
        },
        to: None,
        id: &number.to_string(),
    });
    changes.put(&Record::Event {
        id: number,
        name: "deploys",
        data: "{}",
    });
    if number > 50 {
        changes.remove(&crate::domain::record::Key::Event(number - 50));
    }
    Batch { number, changes }
}

fn fill(keeper: &mut Keeper, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let committed = keeper.store(&batch(number), false);
        assert!(committed.expect("is committed").file_bytes > 0);
    }
}

#[test]
fn what_was_committed_is_loaded_and_only_the_owner_may_read_it() {
    let scratch = Scratch::new();
    let mut opened = scratch.open();
    assert_eq!((opened.kept.batch, opened.kept.secret), (0, Some([7; 32])));
    fill(&mut opened.store, 1..=20);
    drop(opened);
    let opened = open(&scratch.0, [8; 32]).expect("opens");
    assert_eq!((opened.kept.batch, opened.kept.secret), (20, Some([7; 32])));
    assert_eq!(opened.kept.rooms.len(), 3);
    assert_eq!(opened.kept.ids.len(), 20);
    let mode = |path: PathBuf| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(scratch.0.clone()), 0o700);
    for name in ["sarang.redb", "lock"] {
        assert_eq!(mode(scratch.0.join(name)), 0o600, "{name}");
    }
}

#[test]
fn a_folder_is_used_by_one_server_at_a_time() {
    let scratch = Scratch::new();
    let first = scratch.open();
    let refused = open(&scratch.0, [7; 32])
        .map(|_| ())
        .expect_err("is in use");
    let process = std::process::id().to_string();
    assert!(
        refused.contains("another sarang") && refused.contains(&process),
        "{refused}"
    );
    drop(first);
    scratch.open();
}

#[test]
fn after_a_rewrite_there_is_just_what_was_written() {
    let scratch = Scratch::new();
    let mut opened = scratch.open();
    fill(&mut opened.store, 1..=9);
    // As after a failed commit.
    opened.store.file = None;
    assert!(opened.store.store(&batch(10), false).is_err());
    let mut all = Changes::default();
    (1..=6).for_each(|number| all.append(&batch(number).changes));
    let rewrite = Batch {
        number: 11,
        changes: all,
    };
    let done = opened.store.store(&rewrite, true);
    assert!(done.is_ok(), "{done:?}");
    let mut next = batch(7);
    next.number = 12;
    let done = opened.store.store(&next, false);
    assert!(done.is_ok(), "{done:?}");
    drop(opened);
    let opened = scratch.open();
    assert_eq!((opened.kept.batch, opened.kept.ids.len()), (12, 7));
    assert!(!scratch.0.join("sarang.redb.new").exists());
}

#[test]
fn what_a_crash_left_half_made_is_removed_at_the_start() {
    let scratch = Scratch::new();
    drop(scratch.open());
    let half = scratch.0.join("sarang.redb.new");
    fs::write(&half, "half").expect("can be written");
    drop(scratch.open());
    assert!(!half.exists());
}

/// Every kind of damage to a file.
fn damages(good: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let page = 4096;
    for cut in [
        0,
        1,
        9,
        64,
        320,
        page,
        page + 1,
        good.len() / 2,
        good.len() - page,
        good.len() - 1,
    ] {
        all.push((format!("cut to {cut}"), good[..cut].to_vec()));
    }
    for (from, to) in [(0, 9), (0, 64), (0, 320), (64, 192), (192, 320)] {
        let mut bytes = good.to_vec();
        bytes[from..to].fill(0);
        all.push((format!("zeros from {from} to {to}"), bytes));
    }
    for part in 1..=8 {
        let mut bytes = good.to_vec();
        let from = good.len() - good.len() * part / 8;
        bytes[from..].fill(0);
        all.push((format!("zeros from {from}"), bytes));
    }
    for number in 1..good.len() / page {
        let mut bytes = good.to_vec();
        bytes[number * page..][..page].fill(0);
        all.push((format!("page {number} of zeros"), bytes));
        let mut bytes = good.to_vec();
        let (first, second) = bytes.split_at_mut(number * page);
        first[..page].swap_with_slice(&mut second[..page]);
        all.push((format!("page {number} is the first"), bytes));
    }
    let mut seed = 5;
    for number in 0..320 {
        // Every bit of the header's first bytes, then bits anywhere.
        let at = match number {
            ..80 => number,
            80..160 => (split_mix(&mut seed) % (320 * 8)) as usize,
            _ => (split_mix(&mut seed) % (good.len() as u64 * 8)) as usize,
        };
        let mut bytes = good.to_vec();
        bytes[at / 8] ^= 1 << (at % 8);
        all.push((format!("bit {at} is flipped"), bytes));
    }
    all.push(("another file".into(), b"#!/bin/sh\nexit 0\n".repeat(999)));
    all
}

#[test]
fn damage_is_never_taken_for_the_truth() {
    let scratch = Scratch::new();
    let mut opened = scratch.open();
    fill(&mut opened.store, 1..=150);
    let killed = fs::read(scratch.file()).expect("is there");
    let witness = fs::read(scratch.0.join("lock")).expect("is there");
    drop(opened);
    let closed = fs::read(scratch.file()).expect("is there");
    let expected = scratch.open().kept;
    for (how, good) in [("killed", killed), ("closed", closed)] {
        let (mut same, mut aside) = (0, 0);
        for (what, bytes) in damages(&good) {
            let scratch = Scratch::new();
            fs::create_dir_all(&scratch.0).expect("can be made");
            fs::write(scratch.file(), bytes).expect("can be written");
            fs::write(scratch.0.join("lock"), &witness).expect("can be written");
            let opened = open(&scratch.0, [8; 32])
                .map_err(|sentence| format!("{how}, {what}: {sentence}"))
                .expect("goes on");
            let is_moved = opened
                .remarks
                .iter()
                .any(|one| one.event == "storage_damaged");
            match is_moved {
                false => {
                    assert_eq!(opened.kept, expected, "{how}, {what}");
                    same += 1;
                }
                true => {
                    assert_eq!(opened.kept.rooms, [], "{how}, {what}");
                    let kept = fs::read_dir(&scratch.0).expect("is there");
                    let kept = kept.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
                    assert_eq!(kept.filter(|name| name.contains("damaged")).count(), 1);
                    aside += 1;
                }
            }
        }
        println!("{how}: {same} are as before, {aside} were moved aside");
        assert!(same > 0 && aside > 75);
    }
}

/// A store of each format with everything that it has, compressed. Every later version opens them.
const SAMPLE_1: &[u8] = include_bytes!("../../../tests/value/samples/store-1.redb.gz");
const SAMPLE_2: &[u8] = include_bytes!("../../../tests/value/samples/store-2.redb.gz");

#[test]
fn a_store_of_every_earlier_format_opens() {
    opens(SAMPLE_1, everything_of_format_1());
    opens(SAMPLE_2, everything());
}

fn opens(sample: &[u8], mut expected: WorkingSet) {
    let scratch = Scratch::new();
    fs::create_dir_all(&scratch.0).expect("can be made");
    let mut whole = Vec::new();
    let mut sample = flate2::read::GzDecoder::new(sample);
    io::Read::read_to_end(&mut sample, &mut whole).expect("is whole");
    fs::write(scratch.file(), whole).expect("can be written");
    let opened = scratch.open();
    let events: Vec<&str> = opened.remarks.iter().map(|one| one.event).collect();
    assert_eq!(events, ["folder_open"]);
    expected.batch = 17;
    expected.latest.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(opened.kept, expected);
}

/// Makes the sample. It is made once for each format.
#[test]
#[ignore = "makes a file"]
fn make_sample() {
    let scratch = Scratch::new();
    fs::create_dir_all(&scratch.0).expect("can be made");
    let file = StoreFile::make(&scratch.file(), [9; 32], 17, &everything().changes());
    drop(file.expect("is made"));
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/value/samples/store-2.redb.gz"
    );
    let target = fs::File::create_new(path).expect("is not there yet");
    let mut target = flate2::write::GzEncoder::new(target, flate2::Compression::best());
    let whole = fs::read(scratch.file()).expect("is there");
    io::Write::write_all(&mut target, &whole).expect("can be written");
    target.finish().expect("can be written");
}

#[test]
fn a_store_of_an_unknown_format_is_refused_and_left_as_it_is() {
    let scratch = Scratch::new();
    drop(scratch.open());
    let database = redb::Database::open(scratch.file()).expect("opens");
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    let transaction = database.begin_write().expect("begins");
    transaction
        .open_table(meta)
        .and_then(|mut table| table.insert("format", 3).map(|_| ()).map_err(Into::into))
        .expect("is written");
    transaction.commit().expect("is committed");
    drop(database);
    let refused = open(&scratch.0, [7; 32])
        .map(|_| ())
        .expect_err("is refused");
    assert!(refused.contains("format 3"), "{refused}");
    assert!(scratch.file().exists());
}
