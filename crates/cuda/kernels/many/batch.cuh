// One token of each of several sequences: weights are read once for all.
//
// Products are bound by memory: a block fetches tiles of 128 rows through a deep ring and multiplies them with all tokens. Where a product has too few tiles for the multiprocessors, each is cut along the columns; the parts lie beside each other and are
// summed, in order, by whoever reads them, so that what a sequence computes depends on no other.

// A part of a product's results: (split, token, row), f32. The parts of one are `tokens` rows of `rows` apart.
struct Given { const float* at; u32 rows, splits; };
constexpr u32 MOST_SEQUENCES = 64;
DEVICE float sum_of(const Given& g, u32 token, u32 i) {
    const float* at = g.at + (u64)token * g.rows + i;
    // All are on their way before the first is added.
    float part[MOST_SPLITS], sum = 0;
#pragma unroll
    for (int s = 0; s < MOST_SPLITS; s++) part[s] = s < g.splits ? at[(u64)s * MOST_SEQUENCES * g.rows] : 0;
#pragma unroll
    for (int s = 0; s < MOST_SPLITS; s++) sum += part[s];
    return sum;
}

struct Few {
    float* out;
    u32 tiles, splits, steps, rows, tokens;
    u32 is_made;  // its weights are what the kernel before has written
};
static_assert(sizeof(Few) == FEW_BYTES, "the host's structure is another");
// What a block fetches: steps of 64 columns of its tiles' parts.
struct Walk {
    u32 unit, step, end;
    DEVICE void begin(const Few& f) {
        u32 split = unit / f.tiles;
        step = f.steps * split / f.splits;
        end = f.steps * (split + 1) / f.splits;
    }
    DEVICE bool is_there(const Few& f) const { return unit < f.tiles * f.splits; }
    DEVICE void next(const Few& f) {
        if (++step < end) return;
        unit += gridDim.x;
        begin(f);
    }
};
constexpr int FEW_ROWS = 128, FEW_THREADS = 384;
constexpr u32 FEW_W_BYTES = FEW_ROWS * TILE_COLUMNS * 2;
DEVICE void copy_weights(u32 to, const TensorMap& weights, const Few& f, const Walk& walk, u32 barrier) {
    copy_tile(to, &weights, walk.step % 4 * TILE_COLUMNS, 0, walk.step / 4, walk.unit % f.tiles * (FEW_ROWS / 4), barrier);
}
// Sums of 128 rows times N tokens.
template <int N, int DEPTH> DEVICE void few(const TensorMap& weights, const TensorMap& input, const Few& f) {
#if HOPPER
    extern __shared__ __align__(1024) u8 places[];
    __shared__ alignas(8) u64 full[DEPTH], empty[DEPTH];
    constexpr u32 BYTES = FEW_W_BYTES + N * TILE_COLUMNS * 2;
    static_assert(DEPTH * BYTES <= FEW_SHARED, "the host gives less shared memory");
    u32 group = threadIdx.x / 128, units = f.tiles * f.splits, ring = shared_address(places), full_at = shared_address(full), empty_at = shared_address(empty), place = 0, phase = 0;
    if (threadIdx.x == 0) {
        for (int i = 0; i < DEPTH; i++) {
            barrier_of(full_at + 8 * i, 1);
            barrier_of(empty_at + 8 * i, 2);
        }
        barriers_are_there();
    }
    __syncthreads();
    let_next_begin();
    if (group == 0) {
        if (threadIdx.x == 0) {
            // Weights fill the ring before the input is there: it comes from the kernel in front, which may still run.
            if (f.is_made) wait_for_earlier();
            Walk walk = {blockIdx.x}, ahead = {blockIdx.x};
            walk.begin(f);
            ahead.begin(f);
            u32 fetched = 0;
            for (; fetched < DEPTH && ahead.is_there(f); fetched++, ahead.next(f)) {
                expect_bytes(full_at + 8 * fetched, BYTES);
                copy_weights(ring + fetched * BYTES, weights, f, ahead, full_at + 8 * fetched);
            }
            if (!f.is_made) wait_for_earlier();
            for (u32 i = 0; walk.is_there(f); i++, walk.next(f)) {
                u32 to = ring + place * BYTES, barrier = full_at + 8 * place;
                if (i >= fetched) {
                    wait_for(empty_at + 8 * place, phase ^ 1);
                    expect_bytes(barrier, BYTES);
                    copy_weights(to, weights, f, walk, barrier);
                }
                copy_tile(to + FEW_W_BYTES, &input, walk.step * TILE_COLUMNS, 0, barrier);
                if (++place == DEPTH) { place = 0; phase ^= 1; }
            }
        }
    } else {
        u32 thread = threadIdx.x % 128, lane = thread % 32, own = (group - 1) * 64;
        for (u32 unit = blockIdx.x; unit < units; unit += gridDim.x) {
            u32 tile = unit % f.tiles, split = unit / f.tiles, begin = f.steps * split / f.splits, end = f.steps * (split + 1) / f.splits, before = 0;
            float sums[N / 2];
            for (u32 step = begin; step < end; step++) {
                u32 at = ring + place * BYTES;
                wait_for(full_at + 8 * place, phase);
                begin_products();
                u64 w = rows_of_128(at + own * 128), x = rows_of_128(at + FEW_W_BYTES);
#pragma unroll
                for (int k = 0; k < TILE_COLUMNS / 16; k++) multiply_few(sums, w + 2 * k, x + 2 * k, step - begin | k);
                end_products();
                wait_for_products<1>();
                if (step > begin && thread == 0) arrive(empty_at + 8 * before);
                before = place;
                if (++place == DEPTH) { place = 0; phase ^= 1; }
            }
            wait_for_products<0>();
            if (thread == 0) arrive(empty_at + 8 * before);
            u32 row = tile * FEW_ROWS + own + thread / 32 * 16 + lane / 4;
            float* out = f.out + (u64)split * MOST_SEQUENCES * f.rows + row;
#pragma unroll
            for (int j = 0; j < N / 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    u32 token = 8 * j + lane % 4 * 2 + e % 2;
                    if (token < f.tokens && row + e / 2 * 8 < f.rows) out[(u64)token * f.rows + e / 2 * 8] = sums[4 * j + e];
                }
        }
    }
#endif
}
extern "C" __global__ void __launch_bounds__(FEW_THREADS, 1) few_32(const __grid_constant__ TensorMap weights, const __grid_constant__ TensorMap input, const __grid_constant__ Few f) { few<32, 11>(weights, input, f); }
extern "C" __global__ void __launch_bounds__(FEW_THREADS, 1) few_64(const __grid_constant__ TensorMap weights, const __grid_constant__ TensorMap input, const __grid_constant__ Few f) { few<64, 9>(weights, input, f); }

// A product onto the stream, and the norm that follows; a block has a token.
struct AddNormed { Given given; float* x; const float* weight; u16* out; u32 width; float eps; };
static_assert(sizeof(AddNormed) == ADD_BYTES, "the host's structure is another");
extern "C" __global__ void __launch_bounds__(512) few_add(const AddNormed p) {
    __shared__ float sums[16];
    let_next_begin();
    wait_for_earlier();
    u32 t = threadIdx.x, token = blockIdx.x;
    float* x = p.x + (u64)token * p.width;
    // 8192 columns at most.
    float v[16], squares = 0;
#pragma unroll
    for (int i = 0; i < 16; i++) {
        u32 at = t + 512 * i;
        v[i] = at < p.width ? x[at] : 0;
    }
    for (u32 s = 0; s < p.given.splits; s++) {
        const float* part = p.given.at + ((u64)s * MOST_SEQUENCES + token) * p.given.rows;
#pragma unroll
        for (int i = 0; i < 16; i++) {
            u32 at = t + 512 * i;
            if (at < p.width) v[i] += part[at];
        }
    }
#pragma unroll
    for (int i = 0; i < 16; i++) {
        u32 at = t + 512 * i;
        if (at < p.width) x[at] = v[i];
        squares += v[i] * v[i];
    }
    squares = warp_sum(squares);
    if (t % 32 == 0) sums[t / 32] = squares;
    __syncthreads();
    float all = 0;
#pragma unroll
    for (int i = 0; i < 16; i++) all += sums[i];
    float r = rsqrtf(all / p.width + p.eps);
#pragma unroll
    for (int i = 0; i < 16; i++) {
        u32 at = t + 512 * i;
        if (at < p.width) p.out[(u64)token * p.width + at] = to_bf16(v[i] * r * p.weight[at]);
    }
}
// A gate and what it multiplies, in turns, to half as many; blocks in the second dimension have a token.
struct FewGlu { Given given; u16* out; u32 width; };
static_assert(sizeof(FewGlu) == GLU_BYTES, "the host's structure is another");
extern "C" __global__ void __launch_bounds__(256) few_glu(const FewGlu p) {
    u32 i = blockIdx.x * 256 + threadIdx.x, token = blockIdx.y;
    let_next_begin();
    wait_for_earlier();
    if (i >= p.width) return;
    const float* at = p.given.at + (u64)token * p.given.rows + 2 * i;
    float2 sum = *(const float2*)at;
    for (u32 s = 1; s < p.given.splits; s++) {
        float2 v = *(const float2*)(at + (u64)s * MOST_SEQUENCES * p.given.rows);
        sum.x += v.x;
        sum.y += v.y;
    }
    p.out[(u64)token * p.width + i] = to_bf16(silu(sum.x) * sum.y);
}

// Where each sequence's caches and states begin, and where it is.
struct Members { u8* caches[MOST_SEQUENCES]; u8* states[MOST_SEQUENCES]; u32 positions[MOST_SEQUENCES]; };
static_assert(sizeof(Members) == MEMBERS_BYTES, "the host's structure is another");

// A step of the delta rule: a block has a head of a sequence; as in `delta_step` of single tokens (delta.cuh beside this folder), whose comments say how.
struct DeltaEach {
    Given qkv, a, b, z;
    const float* taps; const float* decay_rate; const float* dt_bias; const float* weight;
    const Members* members;
    u64 state, recent;  // bytes from where a sequence's states begin
    u16* out;           // (token, head, value)
    u32 key_heads, value_heads, grouped;
    float eps, norm_eps;
};
static_assert(sizeof(DeltaEach) == DELTA_EACH_BYTES, "the host's structure is another");
extern "C" __global__ void __launch_bounds__(512, 2) delta_each(const __grid_constant__ DeltaEach p) {
    __shared__ float q_in[KEYS], k_in[KEYS], v_in[KEYS], norms[3][4], delta[KEYS], squares[4];
    __shared__ alignas(16) float reads[2][16][32];
    u32 head = blockIdx.x, token = blockIdx.y, t = threadIdx.x, tile = t / KEYS, within = t % KEYS, position = p.members->positions[token];
    let_next_begin();
    u32 ratio = p.value_heads / p.key_heads, key_head = p.grouped ? head / ratio : head % p.key_heads;
    bool first = p.grouped ? head % ratio == 0 : head < p.key_heads;
    u32 keys = p.key_heads * KEYS, channels = 2 * keys + p.value_heads * KEYS;
    u32 channel = (tile == 0 ? key_head * KEYS : tile == 1 ? keys + key_head * KEYS : 2 * keys + head * KEYS) + within;
    u8* states = p.members->states[token];
    float4* state = (float4*)(states + p.state) + ((u64)head * KEYS * KEYS + tile * KEYS * 32) / 4;
    float* recent = (float*)(states + p.recent);
    u32 column = within % 8, row = within / 8;
    float4 s[8];
#pragma unroll
    for (int i = 0; i < 8; i++) s[i] = state[(row + 16 * i) * 8 + column];
    float x = 0, z = 0, weight = 0, taps[4], last[3];
    if (tile < 3) {
#pragma unroll
        for (int i = 0; i < 4; i++) taps[i] = p.taps[i * channels + channel];
#pragma unroll
        for (int i = 0; i < 3; i++) last[i] = recent[(position + 1 + i & 3) * channels + channel];
    }
    // States are of the token before: they come while the products in front still run.
    wait_for_earlier();
    if (tile < 3) {
        float now = sum_of(p.qkv, token, channel), y = taps[3] * now;
#pragma unroll
        for (int i = 0; i < 3; i++) y += taps[i] * last[i];
        x = silu(y);
        (tile == 0 ? q_in : tile == 1 ? k_in : v_in)[within] = x;
        // Who else has these queries and keys reads the places of the three tokens before, never this one.
        if (tile == 2 || first) recent[(position & 3) * channels + channel] = now;
    } else {
        z = sum_of(p.z, token, head * KEYS + within);
        weight = p.weight[within];
    }
    float a = sum_of(p.a, token, head) + p.dt_bias[head], gate = sum_of(p.b, token, head), decay_rate = p.decay_rate[head];
    __syncthreads();
    float q = q_in[within], k = k_in[within];
    if (tile < 3) {
        float sum = warp_sum(tile == 0 ? q * q : tile == 1 ? k * k : q * k);
        if (t % 32 == 0) norms[tile][within / 32] = sum;
    }
    float4 u = make_float4(0, 0, 0, 0), w = u;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float ki = k_in[row + 16 * i], qi = q_in[row + 16 * i];
        u.x += s[i].x * ki; u.y += s[i].y * ki; u.z += s[i].z * ki; u.w += s[i].w * ki;
        w.x += s[i].x * qi; w.y += s[i].y * qi; w.z += s[i].z * qi; w.w += s[i].w * qi;
    }
    auto rows = [](float& x) { x += __shfl_xor_sync(~0u, x, 8); x += __shfl_xor_sync(~0u, x, 16); };
    rows(u.x); rows(u.y); rows(u.z); rows(u.w); rows(w.x); rows(w.y); rows(w.z); rows(w.w);
    if (t % 32 < 8) {
        ((float4*)reads[0][t / 32])[column] = u;
        ((float4*)reads[1][t / 32])[column] = w;
    }
    __syncthreads();
    float qq = 0, kk = 0, qk = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) { qq += norms[0][i]; kk += norms[1][i]; qk += norms[2][i]; }
    float qn = rsqrtf(qq + p.eps) * 0.08838834764831845f, kn = rsqrtf(kk + p.eps);
    float alpha = __expf(decay_rate * (a > 20 ? a : log1pf(__expf(a)))), beta = sigmoid(gate), o = 0;
    if (tile == 3) {
        u32 at = within / 32 * 4;
        float uk = 0, wq = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) { uk += reads[0][at + i][within % 32]; wq += reads[1][at + i][within % 32]; }
        float d = beta * (v_in[within] - alpha * kn * uk);
        delta[within] = d;
        o = alpha * qn * wq + qk * qn * kn * d;
        float sum = warp_sum(o * o);
        if (t % 32 == 0) squares[within / 32] = sum;
    }
    __syncthreads();
    if (tile == 3) {
        float r = rsqrtf((squares[0] + squares[1] + squares[2] + squares[3]) / KEYS + p.norm_eps);
        p.out[((u64)token * p.value_heads + head) * KEYS + within] = to_bf16(o * r * weight * silu(z));
    }
    float4 d = ((float4*)(delta + tile * 32))[column];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float ki = k_in[row + 16 * i] * kn;
        s[i].x = alpha * s[i].x + ki * d.x; s[i].y = alpha * s[i].y + ki * d.y; s[i].z = alpha * s[i].z + ki * d.z; s[i].w = alpha * s[i].w + ki * d.w;
        state[(row + 16 * i) * 8 + column] = s[i];
    }
}

// Attention of a token of each sequence over its cache: a block has a key head of a sequence. Its warps take tiles of 32 positions in turn, eight
// heads (those that share the keys) by 32 keys at a time, as single tokens do (attend.cuh beside this folder).
struct AttendEach {
    Given q, gate, k, v;
    const float* qn; const float* kn;
    const float* turns;  // (token, 64)
    const Members* members;
    u64 cache;           // bytes from where a sequence's caches begin
    u16* out;
    u32 heads, kv_heads, capacity;
    float eps, scale;
};
static_assert(sizeof(AttendEach) == ATTEND_EACH_BYTES, "the host's structure is another");
constexpr int SHARING = 8, EACH_WARPS = 16;
extern "C" __global__ void __launch_bounds__(32 * EACH_WARPS, 1) attend_each(const __grid_constant__ AttendEach p) {
    extern __shared__ __align__(1024) u8 memory[];
    __shared__ alignas(16) u16 q[SHARING][DIM + 8];
    __shared__ float2 marks[EACH_WARPS][SHARING];
    float(*parts)[SHARING][DIM] = (float(*)[SHARING][DIM])memory;  // of each warp
    u32 kv = blockIdx.x, token = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = p.heads / p.kv_heads, position = p.members->positions[token];
    u16* cache = (u16*)(p.members->caches[token] + p.cache) + (u64)kv * p.capacity * 2 * DIM;
    const float* turn = p.turns + token * 64;
    constexpr u32 TILE_HALVES = 2 * TILE_KEYS * DIM;
    let_next_begin();
    wait_for_earlier();
    if (warp <= SHARING) {
        bool is_key = warp == SHARING;
        float x[8] = {}, squares = 0;
        if (is_key || warp < group) {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                x[i] = is_key ? sum_of(p.k, token, kv * DIM + lane + 32 * i) : sum_of(p.q, token, (kv * group + warp) * DIM + lane + 32 * i);
                squares += x[i] * x[i];
            }
        }
        float r = rsqrtf(warp_sum(squares) / DIM + p.eps), cosine = turn[lane], sine = turn[32 + lane];
#pragma unroll
        for (int i = 0; i < 8; i++) x[i] *= r * (is_key ? p.kn : p.qn)[lane + 32 * i];
        float a = x[0] * cosine - x[1] * sine, b = x[1] * cosine + x[0] * sine;
        x[0] = a;
        x[1] = b;
        u16* tile = cache + position / TILE_KEYS * TILE_HALVES;
        u32 place = position % TILE_KEYS;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (is_key) {
                tile[i * 1024 + place * 32 + lane] = to_half(x[i]);
                tile[TILE_HALVES / 2 + i * 1024 + lane * 32 + place] = to_half(sum_of(p.v, token, kv * DIM + lane + 32 * i));
            } else {
                q[warp][lane + 32 * i] = to_half(x[i] * (p.scale * 1.4426950408889634f));
            }
        }
    }
    // The token's own key and value are read with the others.
    __threadfence_block();
    __syncthreads();
    u32 g = lane / 4, t = lane % 4, q_at = shared_address(&q[g][8 * t]), key_at = (8 * (g / 2) + g % 2) * 32 + t * 8, value_at = g * 32 + t * 8, count = position + 1;
    float o[16][4] = {}, most = -1e30f, sum = 0;
    for (u32 base = warp * TILE_KEYS; base < count; base += EACH_WARPS * TILE_KEYS) {
        const u16* tile = cache + base / TILE_KEYS * TILE_HALVES;
        float s[4][4] = {};
#pragma unroll
        for (int n = 0; n < 8; n++) {
            uint4 a = shared16(q_at + 64 * n);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                uint4 v = *(const uint4*)(tile + n * 1024 + key_at + j * 64);
                u32 low[4] = {a.x, 0, a.y, 0}, high[4] = {a.z, 0, a.w, 0};
                mma(s[j], low, v.x, v.y);
                mma(s[j], high, v.z, v.w);
            }
        }
        // s[j][e]: head g, key 8 t + 2 j + e.
        float here = most;
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                if (base + 8 * t + 2 * j + e >= count) s[j][e] = -1e30f;
                here = fmaxf(here, s[j][e]);
            }
        here = fmaxf(here, __shfl_xor_sync(~0u, here, 1));
        here = fmaxf(here, __shfl_xor_sync(~0u, here, 2));
        float shrink = exp2f(most - here);
        most = here;
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
        for (int m = 0; m < 16; m++) {
            o[m][0] *= even; o[m][1] *= odd; o[m][2] *= even; o[m][3] *= odd;
            const u16* at = tile + TILE_HALVES / 2 + m * 512 + value_at;
            uint4 low = *(const uint4*)at, high = *(const uint4*)(at + 256);
            u32 first[4] = {low.x, high.x, low.y, high.y}, second[4] = {low.z, high.z, low.w, high.w};
            mma(o[m], first, pb[0], pb[1]);
            mma(o[m], second, pb[2], pb[3]);
        }
    }
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    // o[m]: dimensions 16 m + g and 8 more, heads 2 t and 2 t + 1; of warps that had a tile.
    u32 working = min((u32)EACH_WARPS, (count + TILE_KEYS - 1) / TILE_KEYS);
    if (warp < working) {
#pragma unroll
        for (int m = 0; m < 16; m++) {
            parts[warp][2 * t][16 * m + g] = o[m][0];
            parts[warp][2 * t + 1][16 * m + g] = o[m][1];
            parts[warp][2 * t][16 * m + g + 8] = o[m][2];
            parts[warp][2 * t + 1][16 * m + g + 8] = o[m][3];
        }
    }
    if (t == 0) marks[warp][g] = make_float2(most, sum);
    __syncthreads();
    for (u32 i = threadIdx.x; i < group * DIM; i += 32 * EACH_WARPS) {
        u32 h = i / DIM, dim = i % DIM, head = kv * group + h;
        float top = -1e30f, total = 0, value = 0;
        for (u32 w = 0; w < working; w++) top = fmaxf(top, marks[w][h].x);
        for (u32 w = 0; w < working; w++) {
            float scale = exp2f(marks[w][h].x - top);
            total += scale * marks[w][h].y;
            value += scale * parts[w][h][dim];
        }
        p.out[((u64)token * p.heads + head) * DIM + dim] = to_bf16(value / total * sigmoid(sum_of(p.gate, token, head * DIM + dim)));
    }
}

// The likeliest token of each row of logits, as `rank_of` of single tokens (token.cu) orders them; blocks in the first dimension share a row.
extern "C" __global__ void __launch_bounds__(512) likeliest(const float* logits, u32 vocabulary, u64* best) {
    __shared__ u64 bests[16];
    wait_for_earlier();
    const float* row = logits + (u64)blockIdx.y * vocabulary;
    u64 most = 0;
    for (u32 i = blockIdx.x * 512 + threadIdx.x; i < vocabulary; i += gridDim.x * 512) {
        u32 bits = __float_as_uint(row[i]);
        u32 order = (bits & 0x7f800000u) == 0x7f800000u ? ~0u : bits & 0x80000000u ? ~bits : bits | 0x80000000u;
        u64 rank = (u64)order << 32 | (u32)~i;
        most = rank > most ? rank : most;
    }
    for (int d = 16; d > 0; d >>= 1) {
        u64 other = __shfl_xor_sync(~0u, most, d);
        most = other > most ? other : most;
    }
    if (threadIdx.x % 32 == 0) bests[threadIdx.x / 32] = most;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int i = 1; i < 16; i++) most = bests[i] > most ? bests[i] : most;
        atomicMax(best + blockIdx.y, most);
    }
}
