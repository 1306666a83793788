// Products of one row with matrices: y = W x, where every byte of W is read once.
//
// Layout: a panel is 4 rows; along the columns it is cut into chunks of 32 lanes, so that a lane reads 16 bytes of each of the four rows and
// then the four rows' scales. Q4_0: a lane has a block of 32 columns. bf16: 8 columns.
// A block of threads owns whole panels. It fetches the first of them before its input is there.

enum Format { Q4_0 = 0, BF16 = 1 };
enum Input { PLAIN = 0, NORM = 1 };
enum Output { STORE = 0, ADD = 1, GLU = 2, LOGITS = 3 };

constexpr int PANEL = 4;
constexpr int MOST_SEGMENTS = 4;

struct Segment {
    u64* out;  // marked, f32 or pairs of bf16; of logits plain
    u32 panels;  // this segment's
    u32 rows;
};
struct Product {
    const u8* weights;  // all segments' panels, one behind the other
    const u64* x;         // marked: f32 where it is normed, else pairs of bf16
    const float* weight;  // of the norm
    Segment segments[MOST_SEGMENTS];
    u32 panels;  // all
    u32 cols;      // of the weights: whole chunks
    u32 width;     // of the input; what is behind it is zero
    u32 by_panel;  // warps take whole panels, else chunks in turn
    float eps;
};

template <int F> struct Form;
template <> struct Form<Q4_0> {
    static constexpr int COLS = 1024, BYTES = PANEL * 512 + 256;
    struct Item { uint4 q[PANEL]; uint2 d; };
    static DEVICE void load(Item& item, u32 chunk, u32 lane) {
#pragma unroll
        for (int r = 0; r < PANEL; r++) item.q[r] = shared16(chunk + 512 * r + 16 * lane);
        item.d = shared8(chunk + PANEL * 512 + 8 * lane);
    }
};
template <> struct Form<BF16> {
    static constexpr int COLS = 256, BYTES = PANEL * 512;
    struct Item { uint4 q[PANEL]; };
    static DEVICE void load(Item& item, u32 chunk, u32 lane) {
#pragma unroll
        for (int r = 0; r < PANEL; r++) item.q[r] = shared16(chunk + 512 * r + 16 * lane);
    }
};

// The input row in shared memory at `at`, as the format's products want it.
template <int F> struct Row;
// 8 bits, in blocks of 32 columns: two planes of 16 bytes, so that lanes meet no bank twice; (scale, 8 scale sum).
template <> struct Row<Q4_0> {
    static __host__ __device__ constexpr u32 bytes(u32 cols) { return cols + cols / 4; }
    // Eight neighbouring threads bring a block.
    static DEVICE void put(u32 at, u32 cols, u32 col, float4 v) {
        float most = fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w)));
#pragma unroll
        for (int d = 4; d > 0; d >>= 1) most = fmaxf(most, __shfl_xor_sync(~0u, most, d));
        float scale = most * (1 / 127.0f), inverse = most > 0 ? __fdividef(127.0f, most) : 0.0f;
        int a = __float2int_rn(v.x * inverse), b = __float2int_rn(v.y * inverse), c = __float2int_rn(v.z * inverse), e = __float2int_rn(v.w * inverse);
        int sum = a + b + c + e;
#pragma unroll
        for (int d = 4; d > 0; d >>= 1) sum += __shfl_xor_sync(~0u, sum, d);
        u32 block = col / 32, place = col % 32;
        u32 packed = (a & 255) | (b & 255) << 8 | (c & 255) << 16 | (u32)(e & 255) << 24;
        to_shared4(at + (place < 16 ? 0 : cols / 2) + block * 16 + place % 16, packed);
        if (place == 0) to_shared8(at + cols + block * 8, scale, 8.0f * scale * sum);
    }
    // Four neighbouring threads bring a block, of eight bf16 each.
    static DEVICE void put8(u32 at, u32 cols, u32 col, uint4 v) {
        float x[8] = {low_bf16(v.x), high_bf16(v.x), low_bf16(v.y), high_bf16(v.y), low_bf16(v.z), high_bf16(v.z), low_bf16(v.w), high_bf16(v.w)};
        float most = 0;
#pragma unroll
        for (int i = 0; i < 8; i++) most = fmaxf(most, fabsf(x[i]));
#pragma unroll
        for (int d = 2; d > 0; d >>= 1) most = fmaxf(most, __shfl_xor_sync(~0u, most, d));
        float scale = most * (1 / 127.0f), inverse = most > 0 ? __fdividef(127.0f, most) : 0.0f;
        int q[8], sum = 0;
#pragma unroll
        for (int i = 0; i < 8; i++) { q[i] = __float2int_rn(x[i] * inverse); sum += q[i]; }
#pragma unroll
        for (int d = 2; d > 0; d >>= 1) sum += __shfl_xor_sync(~0u, sum, d);
        u32 block = col / 32, place = col % 32, to = at + (place < 16 ? 0 : cols / 2) + block * 16 + place % 16;
        to_shared4(to, (q[0] & 255) | (q[1] & 255) << 8 | (q[2] & 255) << 16 | (u32)(q[3] & 255) << 24);
        to_shared4(to + 4, (q[4] & 255) | (q[5] & 255) << 8 | (q[6] & 255) << 16 | (u32)(q[7] & 255) << 24);
        if (place == 0) to_shared8(at + cols + block * 8, scale, 8.0f * scale * sum);
    }
};
template <> struct Row<BF16> {
    static __host__ __device__ constexpr u32 bytes(u32 cols) { return 4 * cols; }
    // Lanes read 8 columns: two planes of four.
    static DEVICE void put(u32 at, u32 cols, u32 col, float4 v) {
        u32 chunk = col / 256, in = col % 256;
        to_shared16(at + (chunk * 64 + (in % 8 / 4) * 32 + in / 8) * 16, v);
    }
    static DEVICE void put8(u32 at, u32 cols, u32 col, uint4 v) {
        put(at, cols, col, make_float4(low_bf16(v.x), high_bf16(v.x), low_bf16(v.y), high_bf16(v.y)));
        put(at, cols, col + 4, make_float4(low_bf16(v.z), high_bf16(v.z), low_bf16(v.w), high_bf16(v.w)));
    }
};

DEVICE float dot_q4(uint4 q, const int (&a)[8]) {
    const u32 M = 0x0f0f0f0f;
    int sum = 0, more = 0;
    sum = __dp4a((int)(q.x & M), a[0], sum);
    sum = __dp4a((int)(q.y & M), a[1], sum);
    sum = __dp4a((int)(q.z & M), a[2], sum);
    sum = __dp4a((int)(q.w & M), a[3], sum);
    more = __dp4a((int)(q.x >> 4 & M), a[4], more);
    more = __dp4a((int)(q.y >> 4 & M), a[5], more);
    more = __dp4a((int)(q.z >> 4 & M), a[6], more);
    more = __dp4a((int)(q.w >> 4 & M), a[7], more);
    return (float)(sum + more);
}
DEVICE void multiply(const Form<Q4_0>::Item& item, u32 row, u32 cols, u32 chunk, u32 lane, float (&acc)[PANEL]) {
    u32 block = chunk * 32 + lane;
    uint4 f = shared16(row + block * 16), s = shared16(row + cols / 2 + block * 16);
    uint2 both = shared8(row + cols + block * 8);
    float scale = __uint_as_float(both.x), offset = __uint_as_float(both.y);
    int a[8] = {(int)f.x, (int)f.y, (int)f.z, (int)f.w, (int)s.x, (int)s.y, (int)s.z, (int)s.w};
    u16 d[4] = {(u16)item.d.x, (u16)(item.d.x >> 16), (u16)item.d.y, (u16)(item.d.y >> 16)};
#pragma unroll
    for (int r = 0; r < PANEL; r++) acc[r] += from_half(d[r]) * (scale * dot_q4(item.q[r], a) - offset);
}
DEVICE float4 floats_of(uint4 v) { return make_float4(__uint_as_float(v.x), __uint_as_float(v.y), __uint_as_float(v.z), __uint_as_float(v.w)); }
DEVICE void multiply(const Form<BF16>::Item& item, u32 row, u32 cols, u32 chunk, u32 lane, float (&acc)[PANEL]) {
    float4 a = floats_of(shared16(row + (chunk * 64 + lane) * 16)), b = floats_of(shared16(row + (chunk * 64 + 32 + lane) * 16));
#pragma unroll
    for (int r = 0; r < PANEL; r++) {
        uint4 q = item.q[r];
        float even = low_bf16(q.x) * a.x, odd = high_bf16(q.x) * a.y;
        even += low_bf16(q.y) * a.z; odd += high_bf16(q.y) * a.w;
        even += low_bf16(q.z) * b.x; odd += high_bf16(q.z) * b.y;
        even += low_bf16(q.w) * b.z; odd += high_bf16(q.w) * b.w;
        acc[r] += even + odd;
    }
}

// Four sums over a warp in six exchanges; lanes 0, 8, 16 and 24 end with the sums of rows 0, 1, 2 and 3.
DEVICE float sum_rows(const float (&acc)[PANEL], int lane) {
    bool upper = lane & 16;
    float a = upper ? acc[2] : acc[0], b = upper ? acc[3] : acc[1];
    a += __shfl_xor_sync(~0u, upper ? acc[0] : acc[2], 16);
    b += __shfl_xor_sync(~0u, upper ? acc[1] : acc[3], 16);
    bool odd = lane & 8;
    float c = odd ? b : a;
    c += __shfl_xor_sync(~0u, odd ? a : b, 8);
    c += __shfl_xor_sync(~0u, c, 4);
    c += __shfl_xor_sync(~0u, c, 2);
    c += __shfl_xor_sync(~0u, c, 1);
    return c;
}

// float4 of a thread: 8192 columns of a stream; of a feed-forward network more, some at a time.
constexpr int MOST = 4, AT_ONCE = 3;

// The input into shared memory, once it is there, times the norm's weights: what its size is, is known by the time that products are given.
// Constants are fetched before that.
template <int F> DEVICE void take_normed(const Floor& floor, const Product& p, u32 mark, u32 row, float* sums) {
    u32 t = thread_now();
    const u64* x = p.x;
    u32 cols = p.cols, all = cols / 4, fours = p.width / 4;
    float4 weight[MOST];
#pragma unroll
    for (int i = 0; i < MOST; i++) {
        u32 at = i * THREADS + t;
        weight[i] = at < fours ? ((const float4*)p.weight)[at] : make_float4(0, 0, 0, 0);
    }
    floor.expect(x, p.width, mark);
    ulonglong2 nothing = {(u64)mark << 32, (u64)mark << 32};
    // Nothing is asked for that is not needed: all blocks would ask the same part of L2 for the same.
    ulonglong2 low[MOST], high[MOST];
#pragma unroll
    for (int i = 0; i < MOST; i++) {
        u32 at = i * THREADS + t;
        low[i] = high[i] = nothing;
        if (at < fours) {
            low[i] = look2(x + 4 * at);
            high[i] = look2(x + 4 * at + 2);
        }
    }
    float squares = 0;
#pragma unroll
    for (int i = 0; i < MOST; i++) {
        u32 at = i * THREADS + t;
        while (!(has_mark(low[i].x, mark) && has_mark(low[i].y, mark) && has_mark(high[i].x, mark) && has_mark(high[i].y, mark))) {
            low[i] = look2(x + 4 * at);
            high[i] = look2(x + 4 * at + 2);
        }
        float4 y = make_float4(__uint_as_float((u32)low[i].x), __uint_as_float((u32)low[i].y), __uint_as_float((u32)high[i].x), __uint_as_float((u32)high[i].y)), g = weight[i];
        squares += y.x * y.x + y.y * y.y + y.z * y.z + y.w * y.w;
        if (at < all) Row<F>::put(row, cols, 4 * at, make_float4(y.x * g.x, y.y * g.y, y.z * g.z, y.w * g.w));
    }
    squares = warp_sum(squares);
    if (t % 32 == 0) sums[t / 32] = squares;
}
// What a normed input's products are still to be multiplied with.
DEVICE float inverse_rms(const Product& p, const float* sums) {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < WARPS; w++) sum += sums[w];
    return rsqrtf(sum / p.width + p.eps);
}
// As it is, in pairs of bf16.
template <int F> DEVICE void take_plain(const Floor& floor, const Product& p, u32 mark, u32 row) {
    u32 t = thread_now();
    const u64* x = p.x;
    u32 cols = p.cols, all = cols / 8, eights = p.width / 8;
    floor.expect(x, p.width / 2, mark);
    ulonglong2 nothing = {(u64)mark << 32, (u64)mark << 32};
#pragma unroll 1
    for (u32 first = t; first < all; first += AT_ONCE * THREADS) {
        ulonglong2 low[AT_ONCE], high[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            u32 at = first + i * THREADS;
            low[i] = high[i] = nothing;
            if (at < eights) {
                low[i] = look2(x + 4 * at);
                high[i] = look2(x + 4 * at + 2);
            }
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            u32 at = first + i * THREADS;
            while (!(has_mark(low[i].x, mark) && has_mark(low[i].y, mark) && has_mark(high[i].x, mark) && has_mark(high[i].y, mark))) {
                low[i] = look2(x + 4 * at);
                high[i] = look2(x + 4 * at + 2);
            }
            if (at < all) Row<F>::put8(row, cols, 8 * at, make_uint4((u32)low[i].x, (u32)low[i].y, (u32)high[i].x, (u32)high[i].y));
        }
    }
}
