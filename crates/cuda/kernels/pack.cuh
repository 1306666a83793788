// Weights from rows as files have them into panels (product.cuh), once, at load. Row r goes to row `first + stride * r` of the product's.
struct Packing {
    u8* to;
    const u8* from;
    u32* bad;       // set where a weight or a scale is no number
    u32 rows, cols, chunks, first, stride;
};
DEVICE u8* place_of(const Packing& p, u32 row, u32 chunk, u32 bytes, u32& lane_row) {
    u32 r = p.first + p.stride * row;
    lane_row = r % PANEL;
    return p.to + ((u64)(r / PANEL) * p.chunks + chunk) * bytes;
}
// A block of 32 weights by each thread: a scale and 16 bytes, on an address that is a multiple of 2.
extern "C" __global__ void pack_q4_0(Packing p) {
    u64 blocks = p.cols / 32, i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= p.rows * blocks) return;
    u32 row = i / blocks, block = i % blocks, lane = block % 32, r;
    const u16* from = (const u16*)p.from + 9 * i;
    u8* chunk = place_of(p, row, block / 32, Form<Q4_0>::BYTES, r);
    u16 scale = from[0];
    if ((scale & 0x7c00) == 0x7c00) *p.bad = 1;
    *(u16*)(chunk + PANEL * 512 + 8 * lane + 2 * r) = scale;
    *(uint4*)(chunk + 512 * r + 16 * lane) = make_uint4(from[1] | (u32)from[2] << 16, from[3] | (u32)from[4] << 16, from[5] | (u32)from[6] << 16, from[7] | (u32)from[8] << 16);
}
// Eight weights by each thread.
extern "C" __global__ void pack_bf16(Packing p) {
    u64 eights = p.cols / 8, i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= p.rows * eights) return;
    u32 row = i / eights, eight = i % eights, lane = eight % 32, r;
    uint4 v = ((const uint4*)p.from)[i];
    u8* chunk = place_of(p, row, eight / 32, Form<BF16>::BYTES, r);
    u32 words[4] = {v.x, v.y, v.z, v.w};
    for (u32 w : words)
        if ((w & 0x7f80) == 0x7f80 || (w & 0x7f800000) == 0x7f800000) *p.bad = 1;
    *(uint4*)(chunk + 512 * r + 16 * lane) = v;
}
