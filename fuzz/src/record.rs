//! What a store may hold after damage: any keys and values. What is read is written as the same bytes, and what is loaded is
//! loaded again from what is written of it.

use std::collections::BTreeMap;

use sarang::domain::changes::{Change, Changes};
use sarang::domain::record::Record;
use sarang::domain::working_set::{Loader, WorkingSet};

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Each entry is the length of its key, that of its value, and both.
pub fn run(data: &[u8]) {
    let mut records = Records::new();
    let mut rest = data;
    while let [key, value, behind @ ..] = rest {
        let Some((key, behind)) = behind.split_at_checked(usize::from(*key)) else {
            break;
        };
        let Some((value, behind)) = behind.split_at_checked(usize::from(*value)) else {
            break;
        };
        records.insert(key.to_vec(), value.to_vec());
        rest = behind;
    }
    for (key, value) in &records {
        check_codec(key, value);
    }
    if let Some(loaded) = load(&records) {
        check_loaded(loaded);
    }
}

fn check_codec(key: &[u8], value: &[u8]) {
    let Some(record) = Record::decode(key, value) else {
        return;
    };
    let mut changes = Changes::default();
    changes.put(&record);
    changes.remove(&record.key());
    assert!(
        changes
            .iter()
            .eq([Change::Put(key, value), Change::Remove(key)])
    );
    assert_eq!(changes.len(), 2);
}

fn load(records: &Records) -> Option<WorkingSet> {
    let mut loader = Loader::default();
    for (key, value) in records {
        loader.add(key, value).ok()?;
    }
    loader.finish().ok()
}

fn check_loaded(mut loaded: WorkingSet) {
    let written = |set: &WorkingSet| {
        let mut records = Records::new();
        for change in set.changes().iter() {
            let Change::Put(key, value) = change else {
                panic!("nothing is removed");
            };
            records.insert(key.to_vec(), value.to_vec());
        }
        records
    };
    loaded.stale = Changes::default();
    let again = load(&written(&loaded)).expect("what is written is whole");
    assert_eq!(again, loaded);
    // A restored backup is whole, too, and has no position of before.
    let epochs: Vec<u64> = loaded.rooms.iter().map(|kept| kept.room.epoch).collect();
    let mut epoch = epochs.iter().max().copied().unwrap_or(0);
    loaded.renew(|| {
        epoch = epoch.wrapping_add(1);
        epoch
    });
    let renewed = load(&written(&loaded));
    if epochs.iter().max().is_none_or(|max| *max < u64::MAX / 2) {
        let renewed = renewed.expect("what is renewed is whole");
        assert!(
            renewed
                .rooms
                .iter()
                .all(|kept| !epochs.contains(&kept.room.epoch))
        );
        assert!(renewed.events.is_empty());
    }
}
