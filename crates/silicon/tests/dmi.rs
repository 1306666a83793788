//! The SMBIOS parser: hand-made tables with known answers, and hostile ones.

use proptest::prelude::*;
use silicon::probe::dmi::{MemoryModule, bandwidth, memory_modules};

/// A type 17 structure of the length that SMBIOS 2.7 and later use.
fn slot(locator: &str, bank: &str, size: u16, rate: u16) -> Vec<u8> {
    let mut structure = vec![0u8; 0x22];
    structure[0] = 17;
    structure[1] = 0x22;
    structure[0x0A..0x0C].copy_from_slice(&64u16.to_le_bytes());
    structure[0x0C..0x0E].copy_from_slice(&size.to_le_bytes());
    structure[0x10] = 1;
    // SMBIOS has no empty strings: number 0 says that there is none.
    structure[0x11] = if bank.is_empty() { 0 } else { 2 };
    structure[0x12] = 0x22;
    structure[0x15..0x17].copy_from_slice(&6400u16.to_le_bytes());
    structure[0x20..0x22].copy_from_slice(&rate.to_le_bytes());
    structure.extend_from_slice(locator.as_bytes());
    if !bank.is_empty() {
        structure.push(0);
    }
    structure.extend_from_slice(bank.as_bytes());
    structure.extend_from_slice(&[0, 0]);
    structure
}

fn table(slots: &[Vec<u8>]) -> Vec<u8> {
    let mut table = vec![1, 4, 0, 0, b'x', 0, 0];
    table.extend(slots.concat());
    table.extend_from_slice(&[127, 4, 0, 0, 0, 0]);
    table
}

#[test]
fn two_channels_of_ddr5_5600_give_89_6() {
    let table = table(&[
        slot("DIMM 0", "P0 CHANNEL A", 16_384, 5600),
        slot("DIMM 1", "P0 CHANNEL A", 0, 0),
        slot("DIMM 0", "P0 CHANNEL B", 16_384, 5600),
    ]);
    let modules = memory_modules(&table);
    assert_eq!(modules.len(), 2, "the empty slot is left out");
    assert_eq!(
        (modules[0].technology.as_str(), modules[0].size_mib),
        ("DDR5", Some(16_384))
    );
    let sum = bandwidth(&modules).unwrap();
    assert!((sum.gb_s - 89.6).abs() < 1e-9);
    assert_eq!((sum.channels, sum.channels_named), (2, true));
}

#[test]
fn a_second_module_on_a_channel_adds_nothing() {
    for (a, b) in [
        ("DIMM_A1", "DIMM_A2"),
        ("ChannelA-DIMM0", "ChannelA-DIMM1"),
        ("Controller0-ChannelA", "Controller0-ChannelA"),
    ] {
        let sum = bandwidth(&memory_modules(&table(&[
            slot(a, "", 8192, 3200),
            slot(b, "", 8192, 3200),
        ])))
        .unwrap();
        assert_eq!((sum.gb_s, sum.channels), (25.6, 1), "{a} {b}");
    }
    for (a, b) in [
        ("Controller0-ChannelA", "Controller1-ChannelA"),
        ("DIMM_A1", "DIMM_B1"),
        ("DIMM1", "DIMM2"),
    ] {
        let sum = bandwidth(&memory_modules(&table(&[
            slot(a, "", 8192, 3200),
            slot(b, "", 8192, 3200),
        ])))
        .unwrap();
        assert_eq!((sum.gb_s, sum.channels), (51.2, 2), "{a} {b}");
    }
}

#[test]
fn a_missing_speed_is_named() {
    let mut unknown = slot("DIMM_A1", "", 8192, 0);
    unknown[0x15..0x17].fill(0);
    let reason = bandwidth(&memory_modules(&table(&[unknown]))).unwrap_err();
    assert!(
        reason.contains("speed") && reason.contains("DIMM_A1"),
        "{reason}"
    );
    assert!(bandwidth(&[]).is_err());
}

#[test]
fn the_rated_speed_stands_in_for_the_configured_one() {
    let modules = memory_modules(&table(&[slot("DIMM_A1", "", 8192, 0)]));
    assert_eq!(modules[0].rate_mt_s, Some(6400));
}

#[test]
fn truncated_tables_give_what_came_before() {
    let whole = table(&[
        slot("DIMM_A1", "", 8192, 3200),
        slot("DIMM_B1", "", 8192, 3200),
    ]);
    for end in 0..whole.len() {
        assert!(memory_modules(&whole[..end]).len() <= 2);
    }
    assert_eq!(memory_modules(&[17, 0, 0, 0, 0, 0]), []);
    assert_eq!(memory_modules(&[17, 255, 0, 0]), []);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let modules = memory_modules(&bytes);
        prop_assert!(modules.len() <= bytes.len() / 4);
        let _ = bandwidth(&modules);
    }

    #[test]
    fn any_slot_contents_are_survived(mut body in prop::collection::vec(any::<u8>(), 0x5C), length in 4u8..0x5C, names in "\\PC{0,30}") {
        body[0] = 17;
        body[1] = length;
        body.truncate(usize::from(length));
        body.extend_from_slice(names.as_bytes());
        body.extend_from_slice(&[0, 0]);
        let _ = bandwidth(&memory_modules(&body));
    }

    #[test]
    fn any_names_are_survived(locator in "\\PC{0,20}", bank in "(?i)\\PC{0,5}channel\\PC{0,9}") {
        let module = MemoryModule {
            locator, bank, technology: "DDR5".into(), size_mib: Some(1), data_bits: Some(64), rate_mt_s: Some(4800),
        };
        let sum = bandwidth(&[module.clone(), module]).unwrap();
        prop_assert!(sum.channels == 1 || sum.channels == 2);
    }
}
