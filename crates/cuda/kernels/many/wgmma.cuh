// The tensor cores of Hopper: copies of tiles by the engine, and products of tiles in shared memory by four warps together.

// A description of an array in memory, made by the driver.
struct alignas(64) TensorMap { u64 words[16]; };

// Kernels of many tokens run where these instructions exist; elsewhere the bodies of those that use them are empty, and nobody launches any.
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define HOPPER 1
#else
#define HOPPER 0
#endif

// Where a kernel is launched before the one in front of it has ended: the next may come now; until all in front have ended and can be seen.
DEVICE void let_next_begin() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
DEVICE void wait_for_earlier() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

DEVICE u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Barriers with counts, and arrivals at them: of this block, and of another of its cluster.
DEVICE void barrier_of(u32 barrier, u32 count) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(barrier), "r"(count) : "memory"); }
DEVICE void expect_bytes(u32 barrier, u32 bytes) { asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(barrier), "r"(bytes) : "memory"); }
DEVICE void arrive(u32 barrier) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(barrier) : "memory"); }
DEVICE void arrive_at(u32 barrier, u32 block) {
    asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\nmbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n}" :: "r"(barrier), "r"(block) : "memory");
}
// Until the phase of this parity is over; seen by a cluster.
DEVICE void wait_for(u32 barrier, u32 phase) {
    asm volatile("{\n.reg .pred done;\nAGAIN:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n@!done bra AGAIN;\n}" :: "r"(barrier), "r"(phase) : "memory");
}
DEVICE u32 rank_in_cluster() { u32 r; asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r)); return r; }
DEVICE void meet_cluster() { asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory"); }

// Tiles of arrays with two and four dimensions, the first along memory.
DEVICE void copy_tile(u32 to, const TensorMap* map, int a, int b, u32 barrier) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" :: "r"(to), "l"(map), "r"(a), "r"(b), "r"(barrier) : "memory");
}
DEVICE void copy_tile(u32 to, const TensorMap* map, int a, int b, int c, int d, u32 barrier) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6];" :: "r"(to), "l"(map), "r"(a), "r"(b), "r"(c), "r"(d), "r"(barrier) : "memory");
}
// To the same place in two blocks, whose barriers both hear of it.
DEVICE void copy_tile_to_both(u32 to, const TensorMap* map, int a, int b, int c, int d, u32 barrier) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, %3, %4, %5}], [%6], %7;" :: "r"(to), "l"(map), "r"(a), "r"(b), "r"(c), "r"(d), "r"(barrier), "h"((u16)3) : "memory");
}

// A piece of memory, beside others that a barrier waits for.
DEVICE void copy_part(u32 to, const u8* from, u32 bytes, u32 barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" :: "r"(to), "l"(from), "r"(bytes), "r"(barrier) : "memory");
}
// What a block has written into its shared memory goes into memory; returns when it has been read.
DEVICE void leave_shared(u8* to, u32 from, u32 bytes) {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    if (threadIdx.x == 0) {
        asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" :: "l"(to), "r"(from), "r"(bytes) : "memory");
        asm volatile("cp.async.bulk.commit_group;\ncp.async.bulk.wait_group.read 0;" ::: "memory");
    }
}

// Tiles whose rows are 128 or 64 bytes, in groups of eight rows, as the copy engine turns them.
DEVICE u64 rows_of_128(u32 at) { return (u64)(at >> 4 & 0x3fff) | (u64)1 << 16 | (u64)(1024 >> 4) << 32 | (u64)1 << 62; }
DEVICE u64 rows_of_64(u32 at) { return (u64)(at >> 4 & 0x3fff) | (u64)1 << 16 | (u64)(512 >> 4) << 32 | (u64)2 << 62; }

DEVICE void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void end_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> DEVICE void wait_for_products() { asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(N) : "memory"); }

#define SUMS_4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SUMS_32(d, i) SUMS_4(d, i), SUMS_4(d, i + 4), SUMS_4(d, i + 8), SUMS_4(d, i + 12), SUMS_4(d, i + 16), SUMS_4(d, i + 20), SUMS_4(d, i + 24), SUMS_4(d, i + 28)
#define NAMES_32 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES_128 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

// 64 x 256 sums of bf16 products over 16: both sides in shared memory. `more` is 0 where nothing is there yet.
DEVICE void multiply_256(float (&d)[128], u64 a, u64 b, u32 more) {
#if HOPPER
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" NAMES_128 "}, %128, %129, p, 1, 1, 0, 0;\n}"
        : SUMS_32(d, 0), SUMS_32(d, 32), SUMS_32(d, 64), SUMS_32(d, 96) : "l"(a), "l"(b), "r"(more));
#endif
}
// The same of f16, the left side in registers; onto what is there.
DEVICE void multiply_256_by(float (&d)[128], const u32 (&a)[4], u64 b) {
#if HOPPER
    asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {" NAMES_128 "}, {%128, %129, %130, %131}, %132, 1, 1, 1, 0;"
        : SUMS_32(d, 0), SUMS_32(d, 32), SUMS_32(d, 64), SUMS_32(d, 96) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#endif
}
// 64 x 64 sums of f16 products over 16.
DEVICE void multiply_64(float (&d)[32], u64 a, u64 b, u32 more) {
#if HOPPER
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {" NAMES_32 "}, %32, %33, p, 1, 1, 0, 0;\n}"
        : SUMS_32(d, 0) : "l"(a), "l"(b), "r"(more));
#endif
}
// 64 x N sums of bf16 products over 16, for few columns.
DEVICE void multiply_few(float (&d)[16], u64 a, u64 b, u32 more) {
#if HOPPER
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\nwgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {" "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15" "}, %16, %17, p, 1, 1, 0, 0;\n}"
        : SUMS_4(d, 0), SUMS_4(d, 4), SUMS_4(d, 8), SUMS_4(d, 12) : "l"(a), "l"(b), "r"(more));
#endif
}
DEVICE void multiply_few(float (&d)[32], u64 a, u64 b, u32 more) {
#if HOPPER
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" NAMES_32 "}, %32, %33, p, 1, 1, 0, 0;\n}"
        : SUMS_32(d, 0) : "l"(a), "l"(b), "r"(more));
#endif
}
template <int REGISTERS> DEVICE void take_registers() {
#if HOPPER
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(REGISTERS));
#endif
}
template <int REGISTERS> DEVICE void leave_registers() {
#if HOPPER
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(REGISTERS));
#endif
}
