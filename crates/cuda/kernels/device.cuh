// What all parts share: types without headers (NVRTC has none), loads past the caches, copies by the engine, shared memory by its own
// addresses, sums over a warp.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define DEVICE __device__ __forceinline__

DEVICE float from_half(u16 h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h)); return f; }
DEVICE u16 to_half(float f) { u16 h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f)); return h; }
DEVICE u16 to_bf16(float f) { u16 h; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(f)); return h; }
DEVICE float from_bf16(u16 h) { return __uint_as_float((u32)h << 16); }
DEVICE float low_bf16(u32 pair) { return __uint_as_float(pair << 16); }
DEVICE float high_bf16(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }

// Into L2, for a later read.
DEVICE void prefetch_line(const void* p) { asm volatile("prefetch.global.L2 [%0];" :: "l"(p)); }
DEVICE void prefetch_l2(const u8* p, u32 bytes) {
#if __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" :: "l"(p), "r"(bytes) : "memory");
#endif
}

DEVICE float warp_sum(float x) {
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) x += __shfl_xor_sync(~0u, x, d);
    return x;
}
DEVICE float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }
DEVICE float silu(float x) { return x * sigmoid(x); }

// One lane of a warp whose lanes are all here. The compiler knows it for what it is, where `lane == 0` makes it loop over lanes.
DEVICE bool elected() { u32 e; asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.u32 %0, 1, 0, p;\n}" : "=r"(e)); return e; }
// Copies by the engine, and the barriers that tell of them. Addresses are of shared memory.
DEVICE void barrier_of_one(u32 barrier) { asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(barrier) : "memory"); }
DEVICE void barriers_are_there() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
// Without a hint for L2: that weights leave it first made tokens 2% slower.
DEVICE void copy_in(u32 to, const u8* from, u32 bytes, u32 barrier) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(barrier), "r"(bytes) : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" :: "r"(to), "l"(from), "r"(bytes), "r"(barrier) : "memory");
}
DEVICE void wait_for_copy(u32 barrier, u32 phase) {
    asm volatile("{\n.reg .pred done;\nAGAIN:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@!done bra AGAIN;\n}" :: "r"(barrier), "r"(phase) : "memory");
}

// Eight bytes into shared memory, while the thread goes on; a group of such copies, and until at most N groups are on their way.
DEVICE void copy8(u32 to, const void* from) { asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" :: "r"(to), "l"(from) : "memory"); }
DEVICE void end_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> DEVICE void wait_for_groups() { asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory"); }

// Shared memory by its own addresses: a pointer would be taken for any memory's.
DEVICE uint4 shared16(u32 at) { uint4 v; asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(at)); return v; }
DEVICE uint2 shared8(u32 at) { uint2 v; asm volatile("ld.shared.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "r"(at)); return v; }
DEVICE float shared4(u32 at) { float v; asm volatile("ld.shared.f32 %0, [%1];" : "=f"(v) : "r"(at)); return v; }
DEVICE void to_shared16(u32 at, float4 v) { asm volatile("st.shared.v4.f32 [%0], {%1,%2,%3,%4};" :: "r"(at), "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w) : "memory"); }
DEVICE void to_shared8(u32 at, float a, float b) { asm volatile("st.shared.v2.f32 [%0], {%1,%2};" :: "r"(at), "f"(a), "f"(b) : "memory"); }
DEVICE void to_shared4(u32 at, u32 v) { asm volatile("st.shared.u32 [%0], %1;" :: "r"(at), "r"(v) : "memory"); }

// Values that blocks hand to each other carry the mark of who wrote them, in one piece of 8 bytes: who sees the mark has the value, and
// nobody needs to say that all is written.
DEVICE void put_marked(u64* to, u32 value, u32 mark) { asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" :: "l"(to), "l"((u64)mark << 32 | value) : "memory"); }
DEVICE u64 look(const u64* from) { u64 v; asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(from) : "memory"); return v; }
DEVICE ulonglong2 look2(const u64* from) { ulonglong2 v; asm volatile("ld.relaxed.gpu.global.v2.u64 {%0,%1}, [%2];" : "=l"(v.x), "=l"(v.y) : "l"(from) : "memory"); return v; }
DEVICE bool has_mark(u64 v, u32 mark) { return (u32)(v >> 32) == mark; }
DEVICE u32 take_marked(const u64* from, u32 mark) {
    u64 v;
    while (v = look(from), !has_mark(v, mark)) __nanosleep(40);
    return (u32)v;
}
DEVICE float take_float(const u64* from, u32 mark) { return __uint_as_float(take_marked(from, mark)); }
// N floats, 32 apart.
template <int N> DEVICE void take_floats(float (&x)[N], const u64* from, u32 mark) {
    u64 v[N];
#pragma unroll
    for (int i = 0; i < N; i++) v[i] = look(from + 32 * i);
#pragma unroll
    for (int i = 0; i < N; i++) {
        while (!has_mark(v[i], mark)) v[i] = look(from + 32 * i);
        x[i] = __uint_as_float((u32)v[i]);
    }
}

// The thread's number, read anew: what follows from it is not kept in registers over all operations.
DEVICE u32 thread_now() { u32 t; asm volatile("mov.u32 %0, %%tid.x;" : "=r"(t)); return t; }
