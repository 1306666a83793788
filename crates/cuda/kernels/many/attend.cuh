// Attention of many tokens: heads' norms and rotation, keys and values into the cache, then 128 queries of a head over 64 keys at a time.
//
// The cache is that of single tokens (attend.cuh beside this folder): tiles of 32 positions, which the copy engine brings as the tensor cores take them.

constexpr int DIM = 256, TILE_KEYS = 32, QUERIES = 128, KEYS_AT_ONCE = 64, ATTEND_THREADS = 384;
struct Attend {
    const u16* q; const u16* gate; const u16* k; const u16* v;  // (token, head, dimension), bf16
    const float* qn; const float* kn;
    const float* turns;  // (token, 64): cosines, then sines
    u16* cache;          // (key head, tile, keys or values, 32 dimensions, 32 x 32)
    u16* queries;        // (token, head, dimension), f16
    u16* out;            // the same, bf16
    u32 tokens, position, heads, kv_heads, capacity;
    float eps, scale;
};
static_assert(sizeof(Attend) == ATTEND_BYTES, "the host's structure is another");

// A block has a tile of positions of one head: first the queries' heads, then those of keys.
extern "C" __global__ void __launch_bounds__(256) attend_heads(const Attend p) {
    __shared__ u16 values[TILE_KEYS][DIM + 2];
    u32 t = threadIdx.x, lane = t % 32, warp = t / 32, head = blockIdx.y;
    u32 tile = p.position / TILE_KEYS + blockIdx.x;
    bool is_query = head < p.heads;
    u32 kv = head - p.heads, count = is_query ? p.heads : p.kv_heads, own = is_query ? head : kv;
    u16* cache = p.cache + (((u64)kv * p.capacity) / TILE_KEYS + tile) * 2 * TILE_KEYS * DIM;
    float weight[8];
#pragma unroll
    for (int i = 0; i < 8; i++) weight[i] = (is_query ? p.qn : p.kn)[lane + 32 * i];
#pragma unroll
    for (int step = 0; step < TILE_KEYS / 8; step++) {
        u32 within = step * 8 + warp;
        int token = (int)(tile * TILE_KEYS + within) - (int)p.position;
        if (token < 0 || token >= (int)p.tokens) continue;
        float x[8], squares = 0;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            x[i] = from_bf16((is_query ? p.q : p.k)[((u64)token * count + own) * DIM + lane + 32 * i]);
            squares += x[i] * x[i];
        }
        float r = rsqrtf(warp_sum(squares) / DIM + p.eps), cosine = p.turns[token * 64 + lane], sine = p.turns[token * 64 + 32 + lane];
#pragma unroll
        for (int i = 0; i < 8; i++) x[i] *= r * weight[i];
        float a = x[0] * cosine - x[1] * sine, b = x[1] * cosine + x[0] * sine;
        x[0] = a;
        x[1] = b;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (is_query) p.queries[((u64)token * p.heads + head) * DIM + lane + 32 * i] = to_half(x[i] * (p.scale * 1.4426950408889634f));
            else cache[i * 1024 + within * 32 + lane] = to_half(x[i]);
        }
        if (!is_query)
#pragma unroll
            for (int i = 0; i < 8; i++) values[within][lane + 32 * i] = to_half(from_bf16(p.v[((u64)token * p.kv_heads + kv) * DIM + lane + 32 * i]));
    }
    if (is_query) return;
    __syncthreads();
    int token = (int)(tile * TILE_KEYS + lane) - (int)p.position;
    if (token < 0 || token >= (int)p.tokens) return;
    for (u32 dim = warp; dim < DIM; dim += 8) cache[TILE_KEYS * DIM + dim * 32 + lane] = values[lane][dim];
}

constexpr u32 QUERY_BYTES = QUERIES * DIM * 2, KEY_BYTES = KEYS_AT_ONCE * DIM * 2, ATTEND_PLACES = 2;
static_assert(QUERY_BYTES + 2 * ATTEND_PLACES * KEY_BYTES == ATTEND_SHARED, "the host gives another amount of shared memory");
extern "C" __global__ void __launch_bounds__(ATTEND_THREADS, 1) attend_many(const __grid_constant__ TensorMap query_map, const __grid_constant__ TensorMap key_map, const __grid_constant__ TensorMap value_map, const __grid_constant__ Attend p) {
#if HOPPER
    extern __shared__ __align__(1024) u8 memory[];
    __shared__ alignas(8) u64 barriers[1 + 3 * ATTEND_PLACES];
    u32 queries = shared_address(memory), ring = queries + QUERY_BYTES, there = shared_address(barriers), keys_at = there + 8, values_at = keys_at + 8 * ATTEND_PLACES, empty_at = values_at + 8 * ATTEND_PLACES;
    // Those with the most keys first.
    u32 blocks = (p.tokens + QUERIES - 1) / QUERIES, first = (blocks - 1 - blockIdx.x / p.heads) * QUERIES, head = blockIdx.x % p.heads, kv = head / (p.heads / p.kv_heads);
    u32 group = threadIdx.x / 128, place = 0, phase = 0, behind = p.position + min(first + QUERIES, p.tokens), tiles = (behind + KEYS_AT_ONCE - 1) / KEYS_AT_ONCE;
    if (threadIdx.x == 0) {
        barrier_of(there, 1);
        for (u32 i = 0; i < ATTEND_PLACES; i++) {
            barrier_of(keys_at + 8 * i, 1);
            barrier_of(values_at + 8 * i, 1);
            barrier_of(empty_at + 8 * i, 2);
        }
        barriers_are_there();
    }
    __syncthreads();
    if (group == 0) {
        leave_registers<24>();
        if (threadIdx.x == 0) {
            expect_bytes(there, QUERY_BYTES);
            for (int i = 0; i < DIM / 64; i++) copy_tile(queries + i * QUERIES * 128, &query_map, head * DIM + 64 * i, first, there);
            int tile = kv * (p.capacity / TILE_KEYS);
            for (u32 i = 0; i < tiles; i++, tile += 2) {
                u32 to = ring + place * 2 * KEY_BYTES;
                wait_for(empty_at + 8 * place, phase ^ 1);
                expect_bytes(keys_at + 8 * place, KEY_BYTES);
                copy_tile(to, &key_map, 0, 0, tile, 0, keys_at + 8 * place);
                expect_bytes(values_at + 8 * place, KEY_BYTES);
                copy_tile(to + KEY_BYTES, &value_map, 0, 0, tile, 8, values_at + 8 * place);
                copy_tile(to + KEY_BYTES + KEY_BYTES / 2, &value_map, 0, 0, tile + 1, 8, values_at + 8 * place);
                if (++place == ATTEND_PLACES) { place = 0; phase ^= 1; }
            }
        }
    } else {
        take_registers<240>();
        u32 thread = threadIdx.x % 128, lane = thread % 32, four = lane % 4, own = (group - 1) * 64, token = first + own + thread / 32 * 16 + lane / 4;
        float o[128], most[2] = {-1e30f, -1e30f}, sum[2] = {0, 0};
#pragma unroll
        for (int i = 0; i < 128; i++) o[i] = 0;
        wait_for(there, 0);
        for (u32 i = 0; i < tiles; i++) {
            u32 at = ring + place * 2 * KEY_BYTES;
            float s[32];
            wait_for(keys_at + 8 * place, phase);
            begin_products();
#pragma unroll
            for (int k = 0; k < DIM / 16; k++) multiply_64(s, rows_of_128(queries + k / 4 * QUERIES * 128 + own * 128) + k % 4 * 2, rows_of_64(at + k / 2 * KEYS_AT_ONCE * 64) + k % 2 * 2, k);
            end_products();
            wait_for_products<0>();
            u32 key = i * KEYS_AT_ONCE + 2 * four;
            if (i * KEYS_AT_ONCE + KEYS_AT_ONCE > p.position + first + own) {
                // Keys that come behind a query, or are not there.
#pragma unroll
                for (int j = 0; j < 8; j++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        if (key + 8 * j + e % 2 > p.position + token + e / 2 * 8) s[4 * j + e] = -1e30f;
            }
            u32 a[4][4];
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float here = most[half];
#pragma unroll
                for (int j = 0; j < 8; j++) here = fmaxf(here, fmaxf(s[4 * j + 2 * half], s[4 * j + 2 * half + 1]));
                here = fmaxf(here, __shfl_xor_sync(~0u, here, 1));
                here = fmaxf(here, __shfl_xor_sync(~0u, here, 2));
                float shrink = exp2f(most[half] - here);
                most[half] = here;
                sum[half] *= shrink;
#pragma unroll
                for (int j = 0; j < 8; j++) {
                    float x = exp2f(s[4 * j + 2 * half] - here), y = exp2f(s[4 * j + 2 * half + 1] - here);
                    sum[half] += x + y;
                    a[j / 2][j % 2 * 2 + half] = pair_of(x, y);
                }
#pragma unroll
                for (int j = 0; j < 32; j++) { o[4 * j + 2 * half] *= shrink; o[4 * j + 2 * half + 1] *= shrink; }
            }
            wait_for(values_at + 8 * place, phase);
            begin_products();
#pragma unroll
            for (int k = 0; k < KEYS_AT_ONCE / 16; k++) multiply_256_by(o, a[k], rows_of_64(at + KEY_BYTES + k / 2 * (KEY_BYTES / 2)) + k % 2 * 2);
            end_products();
            wait_for_products<0>();
            if (thread == 0) arrive(empty_at + 8 * place);
            if (++place == ATTEND_PLACES) { place = 0; phase ^= 1; }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            sum[half] += __shfl_xor_sync(~0u, sum[half], 1);
            sum[half] += __shfl_xor_sync(~0u, sum[half], 2);
            u32 row = token + 8 * half;
            if (row >= p.tokens) continue;
            float by = __fdividef(1.0f, sum[half]);
            u64 begin = ((u64)row * p.heads + head) * DIM + 2 * four;
#pragma unroll
            for (int j = 0; j < 32; j++) {
                u32 gate = *(const u32*)(p.gate + begin + 8 * j);
                u32 low = to_bf16(o[4 * j + 2 * half] * by * sigmoid(low_bf16(gate))), high = to_bf16(o[4 * j + 2 * half + 1] * by * sigmoid(high_bf16(gate)));
                *(u32*)(p.out + begin + 8 * j) = low | high << 16;
            }
        }
    }
#endif
}
