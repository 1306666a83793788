//! A role's own choices come before those for all products.

use super::{Role, RoleChoices};
use crate::RuntimeProfile;

#[test]
fn parts_have_the_role_that_their_name_says() {
    for (part, role) in [
        ("attn_qkv", Role::Mixer),
        ("attn_output", Role::Mixer),
        ("mamba_in", Role::Mixer),
        ("time_rkv", Role::Mixer),
        ("ffn_gate_up", Role::FfnUp),
        ("ffn_experts_gate_up", Role::FfnUp),
        ("ffn_shared_gate_up", Role::FfnUp),
        ("ffn_router", Role::FfnUp),
        ("channel_key", Role::FfnUp),
        ("ffn_down", Role::FfnDown),
        ("ffn_experts_down", Role::FfnDown),
        ("ffn_shared_down", Role::FfnDown),
        ("channel_value", Role::FfnDown),
    ] {
        assert_eq!(Role::of_part(part), role, "{part}");
    }
}

#[test]
fn what_a_role_leaves_open_is_as_for_all() {
    let mut profile = RuntimeProfile {
        matmul_tile: 8,
        ..RuntimeProfile::default()
    };
    profile.roles[Role::Head as usize] = RoleChoices {
        matvec_streams: Some(4),
        prefetch_bytes: Some(0),
        ..RoleChoices::default()
    };
    let head = profile.of_role(Role::Head);
    let got = (head.matmul_tile, head.matvec_streams, head.prefetch_bytes);
    assert_eq!(got, (8, 4, 0));
    assert_eq!(profile.of_role(Role::Mixer), profile);
    for (place, role) in Role::ALL.into_iter().enumerate() {
        assert_eq!(role as usize, place);
    }
}
