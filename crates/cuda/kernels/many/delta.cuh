// The gated delta rule over many tokens, 64 at a time.
//
// With S the state before a chunk, G the sums of its logarithmic decays, and for token i: d_i = beta_i (v_i - exp(G_i) S^T k_i - sum over j < i of
// exp(G_i - G_j) (k_i . k_j) d_j). So (I + A) D = beta V - beta exp(G) K S with A strictly lower, and D = U - W S where U and W do not know S:
// all chunks compute them at once (`delta_chunks`). What does know S goes from chunk to chunk (`delta_scan`): outputs exp(G) Q S + P D, and
// the state exp(G_63) S + (exp(G_63 - G) K)^T D. Blocks have some columns of values each, since columns do not meet. Last, the gated norm (`delta_out`).

constexpr int CHUNK = 64, KEYS = 128, WIDE = KEYS + 8, NARROW = CHUNK + 8;
// A chunk of a head, in f16, as shared memory has it: rows are padded so that eight of them meet no bank twice.
struct Chunk {
    u16 q[CHUNK][WIDE], k[CHUNK][WIDE], p[CHUNK][NARROW];
    u16 w[KEYS][NARROW];  // (key, token)
    u16 u[KEYS][NARROW];  // (value, token)
    float end[32];        // exp(G_63), once
};
// Of it, what all columns of values need; and all that `delta_chunks` writes at once.
constexpr u32 SCANNED_BYTES = sizeof(u16) * (2 * CHUNK * WIDE + CHUNK * NARROW + KEYS * NARROW), LEFT_BYTES = sizeof(Chunk) - 128;
constexpr u32 K_AT = sizeof(u16) * CHUNK * WIDE, P_AT = 2 * K_AT, W_AT = P_AT + sizeof(u16) * CHUNK * NARROW, COLUMN_BYTES = sizeof(u16) * NARROW;
struct Delta {
    const u16* qkv; const float* a; const float* b; const u16* z;  // (token, channel), before the convolution, bf16; (token, head)
    const float* taps;    // (tap, channel)
    float* recent;        // (place, channel): the last four inputs, at position mod 4
    const float* decay_rate; const float* dt_bias; const float* weight;
    float* state;         // (value head, tile of 32 values, key, value of the tile)
    Chunk* chunks;        // (value head, chunk)
    float* o;             // (token, value head, value)
    u16* out;             // the same, bf16
    u32 tokens, position, key_heads, value_heads, grouped;
    float eps, norm_eps;
};
static_assert(sizeof(Delta) == DELTA_BYTES && sizeof(Chunk) == CHUNK_BYTES, "the host's structures are others");
static_assert(SCANNED_BYTES == SCANNED, "the host gives another amount of shared memory");

DEVICE void mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
DEVICE void load_matrices(u32 (&a)[4], u32 at) { asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(at) : "memory"); }
DEVICE void load_turned(u32 (&a)[4], u32 at) { asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(at) : "memory"); }
DEVICE u32 pair_of(float low, float high) { u32 r; asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low)); return r; }
DEVICE float low_half(u32 pair) { return from_half(pair & 0xffff); }
DEVICE float high_half(u32 pair) { return from_half(pair >> 16); }

// What `delta_chunks` has in shared memory: what it leaves, and in the places of that which is computed last what it is computed from.
struct Lower { float a[CHUNK][16]; u16 inverse[CHUNK][24]; };  // of A, blocks on the diagonal
struct ChunkScratch {
    u16 q[CHUNK][WIDE], k[CHUNK][WIDE], p[CHUNK][NARROW];
    union { u16 w[KEYS][NARROW]; Lower lower; };
    u16 u[KEYS][NARROW];      // first (token, value), rows of WIDE
    u16 minus_a[CHUNK][NARROW];
    float sums[CHUNK], beta[CHUNK], by_key[CHUNK];
};
static_assert(sizeof(ChunkScratch) == CHUNKS_SHARED, "the host gives another amount of shared memory");

// One channel of N tokens of a chunk, convolved.
template <int N> DEVICE void convolve(const Delta& p, u32 channels, u32 channel, u32 first, u16* to) {
    constexpr float MOST_HALF = 65504;
    float taps[4], before[3], x[N];
    const u16* from = p.qkv + channel;
    int last = p.tokens - 1;
#pragma unroll
    for (int i = 0; i < N; i++) x[i] = from_bf16(from[(u64)min((int)first + i, last) * channels]);
#pragma unroll
    for (int i = 0; i < 3; i++) {
        int token = min((int)first - 3 + i, last);
        before[i] = token >= 0 ? from_bf16(from[(u64)token * channels]) : p.recent[(p.position + token & 3) * channels + channel];
    }
#pragma unroll
    for (int i = 0; i < 4; i++) taps[i] = p.taps[i * channels + channel];
#pragma unroll
    for (int i = 0; i < N; i++) {
        float now = x[i], y = silu(taps[0] * before[0] + taps[1] * before[1] + taps[2] * before[2] + taps[3] * now);
        to[i * WIDE] = (int)first + i <= last ? to_half(y > MOST_HALF ? MOST_HALF : y) : 0;
        before[0] = before[1]; before[1] = before[2]; before[2] = now;
    }
}

extern "C" __global__ void __launch_bounds__(256, 2) delta_chunks(const Delta p) {
    extern __shared__ __align__(1024) u8 memory[];
    ChunkScratch& in = *(ChunkScratch*)memory;
    u32 t = threadIdx.x, lane = t % 32, warp = t / 32, head = blockIdx.x, first = blockIdx.y * CHUNK, count = gridDim.y;
    u32 ratio = p.value_heads / p.key_heads, key_head = p.grouped ? head / ratio : head % p.key_heads, keys = p.key_heads * KEYS, channels = 2 * keys + p.value_heads * KEYS;
    Chunk& to = p.chunks[(u64)head * count + blockIdx.y];
    u16* values = in.u[0];
    {
        // 384 channels of 64 tokens: half of the tokens of a query's, and one of a key or of values.
        u32 column = t % KEYS, half = t / KEYS;
        convolve<CHUNK / 2>(p, channels, key_head * KEYS + column, first + half * (CHUNK / 2), in.q[half * (CHUNK / 2)] + column);
        u32 channel = half ? keys + key_head * KEYS + column : 2 * keys + head * KEYS + column;
        u16* out = (half ? in.k[0] : values) + column;
        convolve<CHUNK / 2>(p, channels, channel, first, out);
        convolve<CHUNK / 2>(p, channels, channel, first + CHUNK / 2, out + CHUNK / 2 * WIDE);
    }
    if (t < CHUNK) {
        u32 token = first + t;
        float a = token < p.tokens ? p.a[(u64)token * p.value_heads + head] + p.dt_bias[head] : 0;
        in.sums[t] = token < p.tokens ? p.decay_rate[head] * (a > 20 ? a : log1pf(__expf(a))) : 0;
        in.beta[t] = token < p.tokens ? sigmoid(p.b[(u64)token * p.value_heads + head]) : 0;
    }
    __syncthreads();
    if (warp == 0) {
        float a = in.sums[2 * lane], sum = a + in.sums[2 * lane + 1];
#pragma unroll
        for (int d = 1; d < 32; d <<= 1) {
            float other = __shfl_up_sync(~0u, sum, d);
            if (lane >= d) sum += other;
        }
        float before = __shfl_up_sync(~0u, sum, 1);
        if (lane == 0) before = 0;
        in.sums[2 * lane] = before + a;
        in.sums[2 * lane + 1] = sum;
    }
#pragma unroll
    for (int i = 0; i < CHUNK / 8; i++) {
        u32 token = warp * (CHUNK / 8) + i;
        uint2 &q_at = *(uint2*)(in.q[token] + 4 * lane), &k_at = *(uint2*)(in.k[token] + 4 * lane);
        float4 q = make_float4(low_half(q_at.x), high_half(q_at.x), low_half(q_at.y), high_half(q_at.y)), k = make_float4(low_half(k_at.x), high_half(k_at.x), low_half(k_at.y), high_half(k_at.y));
        float qq = warp_sum(q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w), kk = warp_sum(k.x * k.x + k.y * k.y + k.z * k.z + k.w * k.w);
        float qn = rsqrtf(qq + p.eps) * 0.08838834764831845f, kn = rsqrtf(kk + p.eps);
        q_at = make_uint2(pair_of(q.x * qn, q.y * qn), pair_of(q.z * qn, q.w * qn));
        k_at = make_uint2(pair_of(k.x * kn, k.y * kn), pair_of(k.z * kn, k.w * kn));
    }
    __syncthreads();
    {
        // Keys by keys, then queries by keys: 16 rows to a warp.
        bool of_queries = warp >= 4;
        u32 row = warp % 4 * 16;
        u32 left = shared_address(of_queries ? in.q[row + lane % 16] : in.k[row + lane % 16]) + lane / 16 * 16, right = shared_address(in.k[lane % 8 + lane / 16 * 8]) + lane / 8 % 2 * 16;
        float g[8][4] = {};
#pragma unroll
        for (int k = 0; k < KEYS / 16; k++) {
            u32 a[4], b[4];
            load_matrices(a, left + 32 * k);
#pragma unroll
            for (int n = 0; n < 4; n++) {
                load_matrices(b, right + n * 16 * WIDE * 2 + 32 * k);
                mma(g[2 * n], a, b[0], b[1]);
                mma(g[2 * n + 1], a, b[2], b[3]);
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            u32 i = row + lane / 4 + 8 * half;
            float sum = in.sums[i], beta = of_queries ? 1 : in.beta[i];
#pragma unroll
            for (int n = 0; n < 8; n++) {
                u32 j = 8 * n + lane % 4 * 2;
                float2 sums = *(const float2*)(in.sums + j);
                float a = j <= i ? g[n][2 * half] * beta * __expf(sum - sums.x) : 0, b = j + 1 <= i ? g[n][2 * half + 1] * beta * __expf(sum - sums.y) : 0;
                if (of_queries) {
                    *(u32*)(in.p[i] + j) = pair_of(a, b);
                } else {
                    if (j == i) a = 0;
                    if (j + 1 == i) b = 0;
                    if (j / 16 == i / 16) *(float2*)(in.lower.a[i] + j % 16) = make_float2(a, b);
                    *(u32*)(in.minus_a[i] + j) = pair_of(-a, -b);
                }
            }
        }
        if (t < CHUNK) in.by_key[t] = in.beta[t] * __expf(in.sums[t]);
    }
    __syncthreads();
    if (t < CHUNK) {
        // The inverses of I + A's four blocks on the diagonal: a column to a thread.
        u32 block = t / 16 * 16, column = t % 16;
        float x[16];
#pragma unroll
        for (int i = 0; i < 16; i++) {
            float sum = i == column ? 1 : 0;
#pragma unroll
            for (int j = 0; j < i; j++) sum -= in.lower.a[block + i][j] * x[j];
            x[i] = sum;
            in.lower.inverse[block + i][column] = to_half(sum);
        }
    } else {
        // Meanwhile what the scan reads of queries and keys is scaled; products with keys are done.
        float last = in.sums[CHUNK - 1];
        for (u32 i = t - CHUNK; i < CHUNK * KEYS / 8; i += 256 - CHUNK) {
            u32 token = i / (KEYS / 8), at = i % (KEYS / 8) * 8;
            float by = __expf(in.sums[token]);
            uint4& q = *(uint4*)(in.q[token] + at);
            u32 v[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
            for (int e = 0; e < 4; e++) v[e] = pair_of(low_half(v[e]) * by, high_half(v[e]) * by);
            q = make_uint4(v[0], v[1], v[2], v[3]);
        }
        if (t == CHUNK) to.end[0] = __expf(last);
    }
    __syncthreads();
    // (I + A) X = B by blocks of 16 tokens: X_i = T_i (B_i - sum over j < i of A_ij X_j), where T_i is the block's inverse. All of it turned, so
    // that what one product leaves in registers is the next one's left side. A warp has 32 columns of 256: values, then keys.
    bool of_keys = warp >= 4;
    u32 column = warp % 4 * 32;
    u32 solved[2][4][4];
    {
        u32 from = of_keys ? shared_address(in.k[0]) : shared_address(values);
        // Tiles of (token, column), turned: columns lane / 4, then 8 more; tokens, then 8 more.
        u32 start = from + (lane % 8 + lane / 16 * 8) * WIDE * 2 + (column + lane / 8 % 2 * 8) * 2;
        u32 lower = shared_address(in.minus_a[lane % 8 + lane / 16 * 8]) + lane / 8 % 2 * 16, inverse = shared_address(in.lower.inverse[lane % 8 + lane / 16 * 8]) + lane / 8 % 2 * 16;
        const float* by = of_keys ? in.by_key : in.beta;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float2 scale[2] = {*(const float2*)(by + 16 * i + lane % 4 * 2), *(const float2*)(by + 16 * i + 8 + lane % 4 * 2)};
            u32 turned[4];
            load_matrices(turned, inverse + i * 16 * 24 * 2);
            float r[2][2][4];
#pragma unroll
            for (int m = 0; m < 2; m++) {
                u32 x[4];
                load_turned(x, start + i * 16 * WIDE * 2 + m * 32);
                // x: columns 0..7 and 8..15 of the first eight tokens, then of the others.
#pragma unroll
                for (int n = 0; n < 2; n++)
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        r[m][n][2 * half] = low_half(x[2 * n + half]) * scale[n].x;
                        r[m][n][2 * half + 1] = high_half(x[2 * n + half]) * scale[n].y;
                    }
            }
#pragma unroll
            for (int j = 0; j < i; j++) {
                u32 b[4];
                load_matrices(b, lower + i * 16 * NARROW * 2 + j * 32);
#pragma unroll
                for (int m = 0; m < 2; m++) {
                    mma(r[m][0], solved[m][j], b[0], b[1]);
                    mma(r[m][1], solved[m][j], b[2], b[3]);
                }
            }
#pragma unroll
            for (int m = 0; m < 2; m++) {
                u32 left[4] = {pair_of(r[m][0][0], r[m][0][1]), pair_of(r[m][0][2], r[m][0][3]), pair_of(r[m][1][0], r[m][1][1]), pair_of(r[m][1][2], r[m][1][3])};
                float x[2][4] = {};
                mma(x[0], left, turned[0], turned[1]);
                mma(x[1], left, turned[2], turned[3]);
                solved[m][i][0] = pair_of(x[0][0], x[0][1]);
                solved[m][i][1] = pair_of(x[0][2], x[0][3]);
                solved[m][i][2] = pair_of(x[1][0], x[1][1]);
                solved[m][i][3] = pair_of(x[1][2], x[1][3]);
            }
        }
    }
    __syncthreads();
    {
        // Its columns' rows in the places of what it came from.
        u16(*rows)[NARROW] = of_keys ? in.w : in.u;
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int e = 0; e < 4; e++) *(u32*)(rows[column + 16 * m + lane / 4 + e % 2 * 8] + 16 * i + e / 2 * 8 + lane % 4 * 2) = solved[m][i][e];
    }
    float last = in.sums[CHUNK - 1];
    for (u32 i = t; i < CHUNK * KEYS / 8; i += 256) {
        u32 token = i / (KEYS / 8), at = i % (KEYS / 8) * 8;
        float by = __expf(last - in.sums[token]);
        uint4& k = *(uint4*)(in.k[token] + at);
        u32 v[4] = {k.x, k.y, k.z, k.w};
#pragma unroll
        for (int e = 0; e < 4; e++) v[e] = pair_of(low_half(v[e]) * by, high_half(v[e]) * by);
        k = make_uint4(v[0], v[1], v[2], v[3]);
    }
    leave_shared((u8*)&to, shared_address(memory), LEFT_BYTES);
}

// A block has 32 columns of values for each 128 threads; four warps have 16 tokens each, and 32 keys of the state.
extern "C" __global__ void __launch_bounds__(256, 1) delta_scan(const Delta p) {
    extern __shared__ __align__(1024) u8 memory[];
    __shared__ alignas(8) u64 full[2];
    u32 columns = blockDim.x / 4, slices = KEYS / columns, head = blockIdx.x / slices, slice = blockIdx.x % slices, stride = columns + 8;
    u32 t = threadIdx.x, lane = t % 32, warp = t / 32, quarter = warp % 4, column = warp / 4 * 32;
    u32 count = (p.tokens + CHUNK - 1) / CHUNK, place_bytes = SCANNED_BYTES + columns * COLUMN_BYTES, places = shared_address(memory), full_at = shared_address(full);
    u16* state16 = (u16*)(memory + 2 * place_bytes);
    u16* delta16 = state16 + KEYS * stride;
    const Chunk* chunks = p.chunks + (u64)head * count;
    // A chunk, and of its U this block's columns.
    auto fetch = [&](u32 c) {
        u32 to = places + c % 2 * place_bytes, barrier = full_at + c % 2 * 8;
        expect_bytes(barrier, place_bytes);
        copy_part(to, (const u8*)(chunks + c), SCANNED_BYTES, barrier);
        copy_part(to + SCANNED_BYTES, (const u8*)chunks[c].u[slice * columns], columns * COLUMN_BYTES, barrier);
    };
    if (t == 0) {
        barrier_of_one(full_at);
        barrier_of_one(full_at + 8);
        barriers_are_there();
        for (u32 i = 0; i < 2 && i < count; i++) fetch(i);
    }
    // The warp's keys and columns of the state: a thread has pairs of columns of keys lane / 4 + 8 i.
    float* state = p.state + (u64)head * KEYS * KEYS + (slice * columns + column) / 32 * KEYS * 32;
    float s[2][4][4];
    u32 key = 32 * quarter + lane / 4, pair = lane % 4 * 2;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float2 v = *(const float2*)(state + (key + 16 * m + 8 * half) * 32 + 8 * n + pair);
                s[m][n][2 * half] = v.x;
                s[m][n][2 * half + 1] = v.y;
            }
    auto keep = [&]() {
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int n = 0; n < 4; n++)
#pragma unroll
                for (int half = 0; half < 2; half++) *(u32*)(state16 + (key + 16 * m + 8 * half) * stride + column + 8 * n + pair) = pair_of(s[m][n][2 * half], s[m][n][2 * half + 1]);
    };
    keep();
    __syncthreads();
    u32 token = 16 * quarter + lane / 4, from = slice * columns + column + pair;
    // Addresses of eight rows of eight for each quarter of a warp.
    u32 right = (lane % 16) * stride * 2 + (column + lane / 16 * 8) * 2, states = shared_address(state16) + right, deltas = shared_address(delta16) + right;
    u32 wide = (16 * quarter + lane % 16) * WIDE * 2 + lane / 16 * 16, by_key = W_AT + (lane % 8 + lane / 16 * 8) * COLUMN_BYTES + 32 * quarter + lane / 8 % 2 * 16, narrow = (16 * quarter + lane % 16) * NARROW * 2 + lane / 16 * 16;
    u32 turned = (lane % 8 + lane / 16 * 8) * WIDE * 2 + (32 * quarter + lane / 8 % 2 * 8) * 2;
    u32 by_value = SCANNED_BYTES + (column + lane % 8 + lane / 16 * 8) * COLUMN_BYTES + 32 * quarter + lane / 8 % 2 * 16;
    for (u32 c = 0; c < count; c++) {
        u32 place = places + c % 2 * place_bytes;
        float end = chunks[c].end[0];
        wait_for_copy(full_at + c % 2 * 8, c / 2 & 1);
        float d[4][4] = {}, o[4][4] = {};
#pragma unroll
        for (int k = 0; k < KEYS / 16; k++) {
            u32 w[4], q[4];
            load_turned(w, place + by_key + k * 16 * COLUMN_BYTES);
            load_matrices(q, place + wide + 32 * k);
#pragma unroll
            for (int n = 0; n < 2; n++) {
                u32 b[4];
                load_turned(b, states + k * 16 * stride * 2 + n * 32);
                mma(d[2 * n], w, b[0], b[1]);
                mma(d[2 * n + 1], w, b[2], b[3]);
                mma(o[2 * n], q, b[0], b[1]);
                mma(o[2 * n + 1], q, b[2], b[3]);
            }
        }
#pragma unroll
        for (int n = 0; n < 4; n += 2) {
            // Of eight columns tokens 0..7 and 8..15, then of eight more.
            u32 u[4];
            load_turned(u, place + by_value + n * 8 * COLUMN_BYTES);
#pragma unroll
            for (int e = 0; e < 4; e++)
                *(u32*)(delta16 + (token + e % 2 * 8) * stride + column + 8 * (n + e / 2) + pair) = pair_of(low_half(u[e]) - d[n + e / 2][e % 2 * 2], high_half(u[e]) - d[n + e / 2][e % 2 * 2 + 1]);
        }
        __syncthreads();
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int n = 0; n < 4; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) s[m][n][e] *= end;
#pragma unroll
        for (int k = 0; k < CHUNK / 16; k++) {
            u32 a[4], b[2][4];
            load_turned(b[0], deltas + k * 16 * stride * 2);
            load_turned(b[1], deltas + k * 16 * stride * 2 + 32);
            if (k <= quarter) {
                // Tokens see those before them.
                load_matrices(a, place + P_AT + narrow + 32 * k);
#pragma unroll
                for (int n = 0; n < 4; n++) mma(o[n], a, b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
            }
#pragma unroll
            for (int m = 0; m < 2; m++) {
                load_turned(a, place + K_AT + turned + k * 16 * WIDE * 2 + m * 32);
#pragma unroll
                for (int n = 0; n < 4; n++) mma(s[m][n], a, b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
            }
        }
        keep();
#pragma unroll
        for (int half = 0; half < 2; half++) {
            u32 at = c * CHUNK + token + 8 * half;
            if (at < p.tokens)
#pragma unroll
                for (int n = 0; n < 4; n++) *(float2*)(p.o + ((u64)at * p.value_heads + head) * KEYS + from + 8 * n) = make_float2(o[n][2 * half], o[n][2 * half + 1]);
        }
        __syncthreads();
        if (t == 0 && c + 2 < count) fetch(c + 2);
    }
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int half = 0; half < 2; half++) *(float2*)(state + (key + 16 * m + 8 * half) * 32 + 8 * n + pair) = make_float2(s[m][n][2 * half], s[m][n][2 * half + 1]);
}

// The gated norm, a warp to a head of a token; blocks behind those keep the last inputs of the convolution.
extern "C" __global__ void __launch_bounds__(256) delta_out(const Delta p) {
    u32 blocks = (p.tokens * p.value_heads + 7) / 8, lane = threadIdx.x % 32;
    if (blockIdx.x >= blocks) {
        u32 channel = (blockIdx.x - blocks) * 256 + threadIdx.x, channels = (2 * p.key_heads + p.value_heads) * KEYS;
        if (channel >= channels) return;
        for (u32 token = p.tokens > 4 ? p.tokens - 4 : 0; token < p.tokens; token++) p.recent[(p.position + token & 3) * channels + channel] = from_bf16(p.qkv[(u64)token * channels + channel]);
        return;
    }
    u64 i = (u64)blockIdx.x * 8 + threadIdx.x / 32;
    if (i >= (u64)p.tokens * p.value_heads) return;
    float4 o = ((const float4*)p.o)[i * 32 + lane], w = ((const float4*)p.weight)[lane];
    uint2 z = ((const uint2*)p.z)[i * 32 + lane];
    float r = rsqrtf(warp_sum(o.x * o.x + o.y * o.y + o.z * o.z + o.w * o.w) / KEYS + p.norm_eps);
    u32 a = to_bf16(o.x * r * w.x * silu(low_bf16(z.x))), b = to_bf16(o.y * r * w.y * silu(high_bf16(z.x))), c = to_bf16(o.z * r * w.z * silu(low_bf16(z.y))), d = to_bf16(o.w * r * w.w * silu(high_bf16(z.y)));
    ((uint2*)p.out)[i * 32 + lane] = make_uint2(a | b << 16, c | d << 16);
}
