// Attention of one token over its cache: split over the keys, heads that share keys together, on the tensor cores.
//
// The cache lies in tiles of 32 positions: keys as (half, 32 dimensions of it, position, dimension), then values as (half, 32 dimensions of it,
// dimension, position), 2 KiB for each half and 32 dimensions. Those come through the rings, as weights do; the token's own key and value do not.
// A block has some of the tiles of a key head; two warps have one at a time, each half of the dimensions. Scores are queries (padded to 16 rows)
// times keys, sums are values times probabilities; what the one leaves in registers the other takes as it is, if keys are taken in an order of
// their own. The last block of a key head to finish joins all blocks' parts.
struct Attend {
    const u64* q; const u64* gate; const u64* k; const u64* v;  // marked
    const float* qn; const float* kn;
    const u64* turn;  // marked by the first operation: cosines, then sines, of the position
    u16* cache;
    u64* out;         // marked pairs of bf16
    float* parts;   // (kv head, split, head of the group, dimension), then (kv head, split, head of the group, 2)
    u32* finished;  // per kv head
    u32 heads, kv_heads, capacity, splits;
    float eps, scale;
};
// A head's dimensions, how many of them turn, the most heads that share keys, a tile's positions.
constexpr int DIM = 256, TURNED = 64, GROUP = 8, TILE_KEYS = 32, PAIRS = WARPS / 2;
constexpr u32 TILE_HALVES = 2 * TILE_KEYS * DIM;

DEVICE void mma(float (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
DEVICE u32 pair_of(float low, float high) { u32 r; asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low)); return r; }

// A head's norm and rotation by one warp: lane has dimensions lane, lane + 32, ...: the two halves of what turns are the first two.
DEVICE void norm_and_turn(float (&x)[8], const float (&weight)[8], float cosine, float sine, float eps) {
    float squares = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) squares += x[i] * x[i];
    float r = rsqrtf(warp_sum(squares) / DIM + eps);
#pragma unroll
    for (int i = 0; i < 8; i++) x[i] *= r * weight[i];
    float a = x[0] * cosine - x[1] * sine, b = x[1] * cosine + x[0] * sine;
    x[0] = a;
    x[1] = b;
}

// This block's tiles, of the positions before this one.
struct Tiles { u32 kv, split, used, first, behind; };
DEVICE Tiles tiles_of(u32 kv_heads, u32 splits, u32 position) {
    u32 all = (position + TILE_KEYS - 1) / TILE_KEYS, used = max(1u, min(splits, (all + PAIRS - 1) / PAIRS));
    u32 kv = blockIdx.x / splits, split = blockIdx.x % splits;
    if (kv >= kv_heads || split >= used) return {kv, split, used, 0, 0};
    return {kv, split, used, all * split / used, all * (split + 1) / used};
}
// The first of its tiles into L2, while another operation runs: rings hold less than a tile of each pair.
DEVICE void attend_ahead(const Attend& p, u32 position, u32 t) {
    if (t >= 64 && t < 80) prefetch_line((t < 72 ? p.qn : p.kn) + t % 8 * 32);
    constexpr u32 PIECE = 16384, PIECES = 2 * PAIRS;
    Tiles tiles = tiles_of(p.kv_heads, p.splits, position);
    u32 pieces = min((tiles.behind - tiles.first) * TILE_HALVES * 2 / PIECE, PIECES);
    if (t < pieces) prefetch_l2((const u8*)(p.cache + (u64)tiles.kv * p.capacity * 2 * DIM + tiles.first * TILE_HALVES) + t * PIECE, PIECE);
}
// Two warps with the same keys.
DEVICE void meet_pair(u32 pair) { asm volatile("bar.sync %0, 64;" :: "r"(1 + pair) : "memory"); }

DEVICE void attend(const Floor& floor, const Attend& p, Fetch& fetch, u32& place, u32& phase, u32 ring, u32 full, const Stream* streams, u32 count, u32 needed, u32 mark) {
    __shared__ alignas(16) u16 q[GROUP][DIM + 8];
    __shared__ float own_key[DIM], own_value[DIM], own_score[GROUP];
    __shared__ bool is_last;
    u32 now = thread_now(), lane = now % 32, warp = now / 32, group = p.heads / p.kv_heads, position = floor.position;
    Tiles tiles = tiles_of(p.kv_heads, p.splits, position);
    float weight[8];
#pragma unroll
    for (int i = 0; i < 8; i++) weight[i] = (warp < GROUP ? p.qn : p.kn)[lane + 32 * i];
    if (tiles.kv >= p.kv_heads || tiles.split >= tiles.used) return;
    float cosine = take_float(p.turn + lane, floor.base), sine = take_float(p.turn + 32 + lane, floor.base);
    u32 kv = tiles.kv;
    bool has_own = tiles.split == tiles.used - 1;
    if (warp < GROUP) {
        float x[8] = {};
        if (warp < group) {
            take_floats(x, p.q + (u64)(kv * group + warp) * DIM + lane, needed);
            norm_and_turn(x, weight, cosine, sine, p.eps);
        }
#pragma unroll
        for (int i = 0; i < 8; i++) q[warp][lane + 32 * i] = to_half(x[i] * (p.scale * 1.4426950408889634f));
    } else if (has_own && warp == GROUP) {
        float x[8], y[8];
        u16* tile = p.cache + (u64)kv * p.capacity * 2 * DIM + position / TILE_KEYS * TILE_HALVES;
        u32 place = position % TILE_KEYS;
        take_floats(x, p.k + kv * DIM + lane, needed);
        take_floats(y, p.v + kv * DIM + lane, needed);
        norm_and_turn(x, weight, cosine, sine, p.eps);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            u16 key = to_half(x[i]), value = to_half(y[i]);
            tile[i * 1024 + place * 32 + lane] = key;
            tile[TILE_HALVES / 2 + i * 1024 + lane * 32 + place] = value;
            own_key[lane + 32 * i] = from_half(key);
            own_value[lane + 32 * i] = from_half(value);
        }
    }
    __syncthreads();
    if (has_own && warp < group) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < 8; i++) sum += from_half(q[warp][lane + 32 * i]) * own_key[lane + 32 * i];
        sum = warp_sum(sum);
        if (lane == 0) own_score[warp] = sum;
    }
    u32 dim = now % DIM, joiner = now / DIM;
    // Read now, used at the end.
    float gate[GROUP * DIM / THREADS];
#pragma unroll
    for (int i = 0; i < GROUP * DIM / THREADS; i++) gate[i] = take_float(p.gate + (u64)(kv * group + min(joiner + i * THREADS / DIM, group - 1)) * DIM + dim, needed);
    u32 g = lane / 4, t = lane % 4, pair = warp % PAIRS, half = warp / PAIRS;
    u32 scratch = (u32)__cvta_generic_to_shared(floor.scratch), mine = scratch + warp * 1024 + lane * 4, other = scratch + (warp ^ PAIRS) * 1024 + lane * 4;
    u32 q_at = (u32)__cvta_generic_to_shared(&q[g][128 * half + 8 * t]), key_at = (8 * (g / 2) + g % 2) * 64 + t * 16, value_at = g * 64 + t * 16;
    float o[8][4] = {}, most = -1e30f, sum = 0;  // most and sum of head g
    auto next_chunk = [&]() {
        __syncwarp();
        fetch.one(ring + place * STAGE, full + 8 * place, streams, count, warp);
        if (++place == DEPTH) { place = 0; phase ^= 1; }
    };
#pragma unroll 1
    for (u32 tile = tiles.first + pair; tile < tiles.behind; tile += PAIRS) {
        u32 base = tile * TILE_KEYS;
        float s[4][4] = {};
#pragma unroll 1
        for (int n = 0; n < 4; n++) {
            // Heads as rows: dimensions 8 t + 0..7 of 32 are two steps of 16.
            uint4 a = shared16(q_at + 64 * n);
            wait_for_copy(full + 8 * place, phase);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                uint4 v = shared16(ring + place * STAGE + key_at + j * 128);
                mma(s[j], a.x, 0, a.y, 0, v.x, v.y);
                mma(s[j], a.z, 0, a.w, 0, v.z, v.w);
            }
            next_chunk();
        }
        // The other half of the dimensions' scores.
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) to_shared4(mine + (2 * j + e) * 128, __float_as_uint(s[j][e]));
        meet_pair(pair);
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) s[j][e] += shared4(other + (2 * j + e) * 128);
        meet_pair(pair);
        // s[j][e]: head g, key 8 t + 2 j + e.
        float here = -1e30f;
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                if (base + 8 * t + 2 * j + e >= position) s[j][e] = -1e30f;
                here = fmaxf(here, s[j][e]);
            }
        here = fmaxf(here, __shfl_xor_sync(~0u, here, 1));
        here = fmaxf(here, __shfl_xor_sync(~0u, here, 2));
        float top = fmaxf(most, here), shrink = exp2f(most - top);
        most = top;
        sum *= shrink;
        u32 pb[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float a = exp2f(s[j][0] - most), b = exp2f(s[j][1] - most);
            sum += a + b;
            pb[j] = pair_of(a, b);
        }
        float even = __shfl_sync(~0u, shrink, 8 * t), odd = __shfl_sync(~0u, shrink, 8 * t + 4);
#pragma unroll
        for (int c = 0; c < 4; c++) {
            wait_for_copy(full + 8 * place, phase);
#pragma unroll
            for (int m = 2 * c; m < 2 * c + 2; m++) {
                o[m][0] *= even; o[m][1] *= odd; o[m][2] *= even; o[m][3] *= odd;
                u32 at = ring + place * STAGE + value_at + m % 2 * 1024;
                uint4 low = shared16(at), high = shared16(at + 512);
                mma(o[m], low.x, high.x, low.y, high.y, pb[0], pb[1]);
                mma(o[m], low.z, high.z, low.w, high.w, pb[2], pb[3]);
            }
            next_chunk();
        }
    }
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    // The warps' parts, joined in order.
    float* all = (float*)floor.scratch;  // (pair, head, dimension)
    float2* marks = (float2*)(all + PAIRS * group * DIM);
    __syncthreads();
    if (2 * t < group) {
#pragma unroll
        for (int m = 0; m < 8; m++) {
            float* at = all + (pair * group + 2 * t) * DIM + 128 * half + 16 * m + g;
            at[0] = o[m][0]; at[8] = o[m][2];
            if (2 * t + 1 < group) { at[DIM] = o[m][1]; at[DIM + 8] = o[m][3]; }
        }
    }
    if (half == 0 && t == 0 && g < group) marks[pair * group + g] = make_float2(most, sum);
    __syncthreads();
    auto give_out = [&](u32 head, float value) {
        u32 y = to_bf16(value), next = __shfl_down_sync(~0u, y, 1);
        if (dim % 2 == 0) put_marked(p.out + (head * DIM + dim) / 2, y | next << 16, mark);
    };
    u32 working = min((u32)PAIRS, tiles.behind - tiles.first);
    float* parts = p.parts + (u64)kv * p.splits * GROUP * DIM;
    float2* part_marks = (float2*)(p.parts + (u64)p.kv_heads * p.splits * GROUP * DIM) + kv * p.splits * GROUP;
#pragma unroll
    for (int i = 0; i < GROUP * DIM / THREADS; i++) {
        u32 h = joiner + i * THREADS / DIM;
        if (h >= group) break;
        float top = has_own ? own_score[h] : -1e30f;
#pragma unroll 1
        for (u32 w = 0; w < working; w++) top = fmaxf(top, marks[w * group + h].x);
        float total = has_own ? exp2f(own_score[h] - top) : 0, value = has_own ? total * own_value[dim] : 0;
#pragma unroll 1
        for (u32 w = 0; w < working; w++) {
            float2 mark = marks[w * group + h];
            float scale = exp2f(mark.x - top);
            total += scale * mark.y;
            value += scale * all[(w * group + h) * DIM + dim];
        }
        if (tiles.used == 1) {
            give_out(kv * group + h, value / total * sigmoid(gate[i]));
        } else {
            parts[(tiles.split * GROUP + h) * DIM + dim] = value;
            if (dim == 0) part_marks[tiles.split * GROUP + h] = make_float2(top, total);
        }
    }
    if (tiles.used == 1) return;
    __threadfence();
    __syncthreads();
    if (now == 0) is_last = atomicAdd(p.finished + kv, 1) == tiles.used - 1;
    __syncthreads();
    if (!is_last) return;
    __threadfence();
#pragma unroll
    for (int i = 0; i < GROUP * DIM / THREADS; i++) {
        u32 h = joiner + i * THREADS / DIM;
        if (h >= group) break;
        float top = -1e30f, total = 0, value = 0;
#pragma unroll 4
        for (u32 s = 0; s < tiles.used; s++) top = fmaxf(top, __ldcg(&part_marks[s * GROUP + h].x));
#pragma unroll 4
        for (u32 s = 0; s < tiles.used; s++) {
            float2 mark = __ldcg(&part_marks[s * GROUP + h]);
            float scale = exp2f(mark.x - top);
            total += scale * mark.y;
            value += scale * __ldcg(&parts[(s * GROUP + h) * DIM + dim]);
        }
        give_out(kv * group + h, value / total * sigmoid(gate[i]));
    }
    if (now == 0) p.finished[kv] = 0;
}
