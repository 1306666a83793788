//! Choices by role, and how threads are bound and wait: all of them give the same bits.

use super::{
    VOCABULARY,
    hybrid::{hybrid, in_passes},
    profile,
};
use crate::{
    BarrierStyle, Isa, Pinning, Pool, Role, RoleChoices, RuntimeProfile, fixture::assert_same_bits,
    program::Node,
};
use ops::Dtype;

/// Profiles whose roles differ, and whose threads are bound and wait in every way.
fn by_role_and_by_thread(base: &RuntimeProfile) -> Vec<RuntimeProfile> {
    let own = |matvec_streams, prefetch_bytes, matmul_tile| RoleChoices {
        matmul_tile: Some(matmul_tile),
        matvec_streams: Some(matvec_streams),
        prefetch_bytes: Some(prefetch_bytes),
    };
    let roles = [own(1, 0, 4), own(4, 512, 8), own(2, 64, 12), own(4, 0, 4)];
    let turned = [roles[3], roles[2], roles[0], roles[1]];
    let mut all = Vec::new();
    for (roles, pinning, barrier) in [
        (roles, Pinning::None, BarrierStyle::Yield),
        (turned, Pinning::Compact, BarrierStyle::Park),
        (base.roles, Pinning::Spread, BarrierStyle::Spin),
    ] {
        all.push(RuntimeProfile {
            threads: 2,
            roles,
            pinning,
            barrier,
            barrier_spins: 10,
            ..base.clone()
        });
    }
    all
}

#[test]
fn roles_and_threads_change_no_bit() {
    let tokens: Vec<u32> = (0..30).map(|i| (i * i + 3) % VOCABULARY as u32).collect();
    for dtype in [Dtype::F32, Dtype::Q4_0, Dtype::Q8_0] {
        let program = hybrid(dtype);
        let products = program
            .nodes()
            .iter()
            .filter(|n| matches!(n.node, Node::MatMul { .. }));
        let roles: Vec<Role> = products.map(|n| n.role).collect();
        assert!(Role::ALL.iter().all(|role| roles.contains(role)));
        let base = profile(Isa::detect(), 2);
        let one = Pool::new(1, 100, 100).expect("threads");
        let want = in_passes(&program, &base, &one, &tokens, (30, 1));
        // One token at a time at last: streams are theirs alone.
        for other in by_role_and_by_thread(&base) {
            let pool = Pool::of(&other, &[vec![0], vec![1]]).expect("threads");
            let got = in_passes(&program, &other, &pool, &tokens, (20, 1));
            assert_same_bits(&got, &want, &format!("{dtype}, {other:?}"));
        }
    }
}
