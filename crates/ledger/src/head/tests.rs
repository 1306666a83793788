//! The two slots, and what is left when one of them, or the file, is not as it was.

use super::*;

fn mark(seq: u64) -> Mark {
    Mark {
        seq,
        hash: Hash::of(&seq.to_le_bytes()),
    }
}

#[test]
fn slots_are_written_in_turn_and_the_newer_counts() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    assert_eq!(read(&ledger).unwrap(), Found::Nothing);
    let mut head = HeadFile::open(&ledger, mark(0));
    for seq in 1..=200 {
        head.remember(mark(seq));
        assert_eq!(head.trouble(), None);
        assert_eq!(read(&ledger).unwrap(), Found::Mark(mark(seq)));
        if seq > 2 {
            let older = slots(&ledger)
                .unwrap()
                .unwrap()
                .into_iter()
                .flatten()
                .map(|mark| mark.seq)
                .min();
            assert_eq!(older, Some(seq - 1));
        }
    }
    // Opened again with the same mark, it goes on with the older slot.
    let mut head = HeadFile::open(&ledger, mark(200));
    head.remember(mark(201));
    assert_eq!(
        slots(&ledger)
            .unwrap()
            .unwrap()
            .map(|slot| slot.unwrap().seq)
            .iter()
            .sum::<u64>(),
        401
    );
}

#[test]
fn a_file_that_cannot_be_written_is_trouble_and_is_made_anew_later() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let in_the_way = beside(&path_of(&ledger), ".new");
    fs::create_dir(&in_the_way).unwrap();
    let mut head = HeadFile::open(&ledger, mark(3));
    assert!(head.trouble().is_some());
    assert_eq!(read(&ledger).unwrap(), Found::Nothing);
    fs::remove_dir(&in_the_way).unwrap();
    head.remember(mark(4));
    assert_eq!(head.trouble(), None);
    assert_eq!(read(&ledger).unwrap(), Found::Mark(mark(4)));
}
