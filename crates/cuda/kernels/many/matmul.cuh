// Products of many rows with matrices: Y = X W^T, on the tensor cores.
//
// A block computes 128 tokens by 256 rows of W at a time; two blocks of a cluster have the same rows, of which each fetches half for both. One warp
// fetches, 64 columns in each place of a ring; eight compute, four of them 64 tokens. W lies in panels as for single tokens (product.cuh).

enum Result { STORE = 0, ADD = 1, GLU = 2 };
// Rows of W that belong together, and where (token, row) of them is stored: as bf16 where they are many, then in whole groups of 32; else as f32.
struct Rows { void* out; u32 first, rows; };
struct Matmul {
    Rows parts[4];
    u32 tokens, rows, steps;  // of 64 columns
    u32 result;
};
static_assert(sizeof(Matmul) == MATMUL_BYTES, "the host's structure is another");
constexpr int TILE_TOKENS = 128, TILE_ROWS = 256, TILE_COLUMNS = 64, PLACES = 4, CLUSTER = 2, MATMUL_THREADS = 384;
constexpr u32 X_BYTES = TILE_TOKENS * TILE_COLUMNS * 2, W_BYTES = TILE_ROWS * TILE_COLUMNS * 2, PLACE_BYTES = X_BYTES + W_BYTES;
static_assert(PLACES * PLACE_BYTES == MATMUL_SHARED, "the host gives another amount of shared memory");
constexpr int GROUP_OF_TOKENS = 8;  // tiles of two blocks' tokens that are computed beside each other, for L2

struct Tile { u32 token, row; };
DEVICE Tile tile_of(const Matmul& m, u32 i) {
    u32 pairs = (m.tokens + CLUSTER * TILE_TOKENS - 1) / (CLUSTER * TILE_TOKENS), across = (m.rows + TILE_ROWS - 1) / TILE_ROWS;
    u32 group = i / (GROUP_OF_TOKENS * across), within = i % (GROUP_OF_TOKENS * across), high = min((u32)GROUP_OF_TOKENS, pairs - group * GROUP_OF_TOKENS);
    return {(group * GROUP_OF_TOKENS + within % high) * CLUSTER * TILE_TOKENS, within / high * TILE_ROWS};
}
DEVICE u32 tiles_of(const Matmul& m) {
    return (m.tokens + CLUSTER * TILE_TOKENS - 1) / (CLUSTER * TILE_TOKENS) * ((m.rows + TILE_ROWS - 1) / TILE_ROWS);
}
DEVICE void add_to(float* at, float a, float b) { asm volatile("red.relaxed.gpu.global.add.v2.f32 [%0], {%1, %2};" :: "l"(at), "f"(a), "f"(b) : "memory"); }

// What a thread has of a tile goes where it belongs: rows `token` and `token + 8`, of every eight columns two.
DEVICE void give(const Matmul& m, const float (&sums)[128], u32 token, u32 row, u32 lane) {
    u32 four = lane % 4;
    if (m.result == GLU) {
        // Rows of a gate and of what it multiplies, in turns. Lanes of four exchange, so that each has four results of one token behind each other.
        u16* out = (u16*)m.parts[0].out;
        u32 width = m.rows / 2;
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int j = 0; j < 32; j += 4) {
                u32 y[4];
#pragma unroll
                for (int i = 0; i < 4; i++) y[i] = to_bf16(silu(sums[4 * (j + i) + 2 * half]) * sums[4 * (j + i) + 2 * half + 1]);
                // With the neighbour: pairs of columns. Even lanes keep blocks 0 and 2, odd ones 1 and 3.
                bool odd = four & 1;
                u32 other = __shfl_xor_sync(~0u, odd ? y[0] | y[2] << 16 : y[1] | y[3] << 16, 1);
                u32 a = odd ? (other & 0xffff) | y[1] << 16 : y[0] | other << 16, b = odd ? other >> 16 | y[3] << 16 : y[2] | (other & 0xffff0000);
                // With the next pair: lanes 0 and 1 keep the first of their blocks, 2 and 3 the second.
                bool high = four & 2;
                u32 more = __shfl_xor_sync(~0u, high ? a : b, 2);
                u32 block = j + (four & 1) + (high ? 2 : 0), at = row + 8 * block;
                if (token + 8 * half < m.tokens && at < m.rows) *(uint2*)(out + (u64)(token + 8 * half) * width + at / 2) = high ? make_uint2(more, b) : make_uint2(a, more);
            }
        return;
    }
    if (m.result == ADD) {
        float* out = (float*)m.parts[0].out + (u64)token * m.rows + row + 2 * four;
#pragma unroll
        for (int j = 0; j < 32; j++) {
            if (row + 8 * j >= m.rows) break;
            if (token < m.tokens) add_to(out + 8 * j, sums[4 * j], sums[4 * j + 1]);
            if (token + 8 < m.tokens) add_to(out + 8 * j + 8 * (u64)m.rows, sums[4 * j + 2], sums[4 * j + 3]);
        }
        return;
    }
    u32 part = 0;
#pragma unroll
    for (int j = 0; j < 32; j += 4) {
        if (row + 8 * j >= m.rows) break;
        while (part < 3 && row + 8 * j >= m.parts[part].first + m.parts[part].rows) part++;
        if (m.parts[part].rows >= MANY) {
            const Rows& p = m.parts[part];
#pragma unroll
            for (int half = 0; half < 2; half++) {
                u32 v[4];
#pragma unroll
                for (int i = 0; i < 4; i++) v[i] = (u32)to_bf16(sums[4 * (j + i) + 2 * half]) | (u32)to_bf16(sums[4 * (j + i) + 2 * half + 1]) << 16;
                // Four lanes exchange, so that each has all eight columns of one block: first with the neighbour, then with the next pair.
                bool odd = four & 1, high = four & 2;
                u32 a = __shfl_xor_sync(~0u, odd ? v[0] : v[1], 1), b = __shfl_xor_sync(~0u, odd ? v[2] : v[3], 1);
                uint2 low = odd ? make_uint2(a, v[1]) : make_uint2(v[0], a), up = odd ? make_uint2(b, v[3]) : make_uint2(v[2], b);
                u32 c = __shfl_xor_sync(~0u, high ? low.x : up.x, 2), d = __shfl_xor_sync(~0u, high ? low.y : up.y, 2);
                u16* out = (u16*)p.out + (u64)(token + 8 * half) * p.rows + row + 8 * (j + four) - p.first;
                if (token + 8 * half < m.tokens) *(uint4*)out = high ? make_uint4(c, d, up.x, up.y) : make_uint4(low.x, low.y, c, d);
            }
        } else {
#pragma unroll
            for (int i = j; i < j + 4; i++) {
                u32 at = row + 8 * i;
                if (at >= m.rows) break;
                while (part < 3 && at >= m.parts[part].first + m.parts[part].rows) part++;
                const Rows& p = m.parts[part];
                float* out = (float*)p.out + (u64)token * p.rows + at - p.first + 2 * four;
                if (token < m.tokens) *(float2*)out = make_float2(sums[4 * i], sums[4 * i + 1]);
                if (token + 8 < m.tokens) *(float2*)(out + 8 * (u64)p.rows) = make_float2(sums[4 * i + 2], sums[4 * i + 3]);
            }
        }
    }
}

extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(MATMUL_THREADS, 1) matmul(const __grid_constant__ TensorMap weights, const __grid_constant__ TensorMap input, const __grid_constant__ Matmul m) {
#if HOPPER
    extern __shared__ __align__(1024) u8 places[];
    __shared__ alignas(8) u64 full[PLACES], empty[PLACES];
    u32 group = threadIdx.x / 128, rank = rank_in_cluster(), clusters = gridDim.x / CLUSTER, tiles = tiles_of(m);
    u32 ring = shared_address(places), full_at = shared_address(full), empty_at = shared_address(empty), place = 0, phase = 0;
    if (threadIdx.x == 0) {
        for (int i = 0; i < PLACES; i++) {
            barrier_of(full_at + 8 * i, 1);
            barrier_of(empty_at + 8 * i, 2 * CLUSTER);
        }
        barriers_are_there();
    }
    meet_cluster();
    if (group == 0) {
        leave_registers<40>();
        if (threadIdx.x == 0) {
            for (u32 i = blockIdx.x / CLUSTER; i < tiles; i += clusters) {
                Tile tile = tile_of(m, i);
                int token = tile.token + rank * TILE_TOKENS, panel = tile.row / 4 + rank * (TILE_ROWS / 8);
                for (u32 step = 0; step < m.steps; step++) {
                    u32 to = ring + place * PLACE_BYTES, barrier = full_at + 8 * place;
                    wait_for(empty_at + 8 * place, phase ^ 1);
                    expect_bytes(barrier, PLACE_BYTES);
                    copy_tile(to, &input, step * TILE_COLUMNS, token, barrier);
                    copy_tile_to_both(to + X_BYTES + rank * (W_BYTES / 2), &weights, step % 4 * TILE_COLUMNS, 0, step / 4, panel, barrier);
                    if (++place == PLACES) { place = 0; phase ^= 1; }
                }
            }
        }
        __syncwarp();
    } else {
        take_registers<232>();
        u32 thread = threadIdx.x % 128, lane = thread % 32, own = (group - 1) * 64;
        float sums[128];
        for (u32 i = blockIdx.x / CLUSTER; i < tiles; i += clusters) {
            Tile tile = tile_of(m, i);
            u32 before = 0;
            for (u32 step = 0; step < m.steps; step++) {
                u32 at = ring + place * PLACE_BYTES;
                wait_for(full_at + 8 * place, phase);
                begin_products();
                u64 x = rows_of_128(at + own * 128), w = rows_of_128(at + X_BYTES);
#pragma unroll
                for (int k = 0; k < TILE_COLUMNS / 16; k++) multiply_256(sums, x + 2 * k, w + 2 * k, step | k);
                end_products();
                wait_for_products<1>();
                // What the step before has read is read.
                if (step && thread < CLUSTER) arrive_at(empty_at + 8 * before, thread);
                before = place;
                if (++place == PLACES) { place = 0; phase ^= 1; }
            }
            wait_for_products<0>();
            if (thread < CLUSTER) arrive_at(empty_at + 8 * before, thread);
            give(m, sums, tile.token + rank * TILE_TOKENS + own + thread / 32 * 16 + lane / 4, tile.row, lane);
        }
    }
    // A block's shared memory is written by the other.
    meet_cluster();
#endif
}
