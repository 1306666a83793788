//! A profile survives being written and read, and a stranger's is refused where it could not run.

use super::{read, write};
use kernels::{BarrierStyle, KvType, Pinning, Role, RoleChoices, RuntimeProfile};

#[test]
fn what_is_written_is_read() {
    let mut profile = RuntimeProfile {
        threads: 3,
        pinning: Pinning::Spread,
        barrier: BarrierStyle::Park,
        prefill_chunk: 512,
        matmul_tile: 8,
        kv_type: KvType::Q8_0,
        idle_spins: 7,
        ..RuntimeProfile::default()
    };
    assert_eq!(read(&write(&profile)).unwrap(), profile);
    profile.roles[Role::FfnDown as usize] = RoleChoices {
        matmul_tile: Some(4),
        matvec_streams: Some(1),
        prefetch_bytes: Some(0),
    };
    profile.roles[Role::Head as usize].prefetch_bytes = Some(4096);
    assert_eq!(read(&write(&profile)).unwrap(), profile);
    let default = RuntimeProfile::default();
    assert_eq!(read(&write(&default)).unwrap(), default);
    assert_eq!(read("").unwrap(), RuntimeProfile::default());
    assert_eq!(read("note = 17").unwrap(), RuntimeProfile::default());
}

#[test]
fn a_role_has_lines_of_its_own() {
    let text = "matvec_streams = 4\nhead.matvec_streams = 1\nffn_up.matmul_tile = \"same\"\nhead.prefetch_bytes = 0";
    let profile = read(text).unwrap();
    let head = profile.of_role(Role::Head);
    assert_eq!((head.matvec_streams, head.prefetch_bytes), (1, 0));
    assert_eq!(profile.of_role(Role::Mixer).matvec_streams, 4);
    assert_eq!(
        profile.roles[Role::FfnUp as usize],
        RoleChoices::default(),
        "the same is no choice"
    );
    for role in Role::ALL {
        let text = format!("{}.matvec_streams = 1", role.name());
        let profile = read(&text).unwrap();
        assert_eq!(profile.roles[role as usize].matvec_streams, Some(1));
        let chosen = profile
            .roles
            .iter()
            .filter(|r| **r != RoleChoices::default());
        assert_eq!(chosen.count(), 1, "{text}");
    }
}

#[test]
fn what_could_not_run_is_refused_by_name() {
    for (text, word) in [
        ("threads = 0", "threads"),
        ("threads = -1", "threads"),
        ("threads = 1000000", "threads"),
        ("prefill_chunk = 100", "multiple of 64"),
        ("prefill_chunk = 0", "prefill_chunk"),
        ("matmul_tile = 5", "4, 8, 12"),
        ("isa = \"sse9\"", "isa"),
        ("kv_type = \"q2\"", "i16, f16, q8_0, f32"),
        ("attention_tile = 0", "attention_tile"),
        ("pages = 3", "pages"),
        (
            "pinning = \"tight\"",
            "pinning: expected none, compact, spread, came tight",
        ),
        (
            "barrier = \"sleep\"",
            "barrier: expected spin, yield, park, came sleep",
        ),
        (
            "head.matvec_streams = 3",
            "head.matvec_streams: expected 1, 2, 4 or \"same\", came 3",
        ),
        (
            "ffn_up.prefetch_bytes = 65537",
            "ffn_up.prefetch_bytes: expected 0 to 65536 or \"same\"",
        ),
        (
            "ffn_up.prefetch_bytes = -1",
            "expected a whole number or \"same\"",
        ),
        (
            "mixer.matmul_tile = true",
            "expected a whole number or \"same\"",
        ),
        (
            "mixer.matmul_tile = \"all\"",
            "expected a whole number or \"same\"",
        ),
        ("tail.matmul_tile = 4", "tail"),
        ("head.colour = 4", "colour"),
        ("colour = \"red\"", "colour"),
        ("threads", "threads"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}
