// Rows of tokens: their norms, their angles, and weights of four bits as bf16.

// The stream, normalised, as bf16; a block has a token.
struct Normed { const float* x; const float* weight; u16* out; u32 width; float eps; };
static_assert(sizeof(Normed) == NORMED_BYTES, "the host's structure is another");
extern "C" __global__ void __launch_bounds__(256) normed(const Normed p) {
    __shared__ float sums[8];
    let_next_begin();
    wait_for_earlier();
    u32 t = threadIdx.x, fours = p.width / 4;
    const float4* x = (const float4*)(p.x + (u64)blockIdx.x * p.width);
    // 8192 columns at most.
    float4 v[8];
    float squares = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        u32 at = t + 256 * i;
        v[i] = at < fours ? x[at] : make_float4(0, 0, 0, 0);
        squares += v[i].x * v[i].x + v[i].y * v[i].y + v[i].z * v[i].z + v[i].w * v[i].w;
    }
    squares = warp_sum(squares);
    if (t % 32 == 0) sums[t / 32] = squares;
    __syncthreads();
    float all = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) all += sums[i];
    float r = rsqrtf(all / p.width + p.eps);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        u32 at = t + 256 * i;
        if (at >= fours) break;
        float4 w = ((const float4*)p.weight)[at];
        u32 a = to_bf16(v[i].x * r * w.x), b = to_bf16(v[i].y * r * w.y), c = to_bf16(v[i].z * r * w.z), d = to_bf16(v[i].w * r * w.w);
        ((uint2*)(p.out + (u64)blockIdx.x * p.width))[at] = make_uint2(a | b << 16, c | d << 16);
    }
}

// Cosines, then sines, of positions from `position` on: angles in f64, as on the processor.
struct Turns { double rates[32]; float* out; u32 tokens, position; };
static_assert(sizeof(Turns) == TURNS_BYTES, "the host's structure is another");
extern "C" __global__ void turns(const __grid_constant__ Turns p) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x, token = i / 32, pair = i % 32;
    if (token >= p.tokens) return;
    double sine, cosine;
    sincos((double)(p.position + token) * p.rates[pair], &sine, &cosine);
    p.out[token * 64 + pair] = cosine;
    p.out[token * 64 + 32 + pair] = sine;
}

// Panels of Q4_0 as panels of bf16 (product.cuh): a thread has eight columns of a row.
struct Expand { const u8* from; u8* to; u64 eights; };
static_assert(sizeof(Expand) == EXPAND_BYTES, "the host's structure is another");
extern "C" __global__ void expand(const Expand p) {
    let_next_begin();
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= p.eights) return;
    // A chunk of four rows has 128 times eight columns in each of them.
    u32 piece = i % 128, r = i / 128 % 4, lane = piece / 4, part = piece % 4;
    const u8* chunk = p.from + i / 512 * 2304;
    float scale = from_half(*(const u16*)(chunk + 2048 + 8 * lane + 2 * r));
    uint2 q = *(const uint2*)(chunk + 512 * r + 16 * lane + part % 2 * 8);
    if (part >= 2) { q.x >>= 4; q.y >>= 4; }
    u32 y[8];
#pragma unroll
    for (int k = 0; k < 4; k++) {
        y[k] = to_bf16((float)((int)(q.x >> 8 * k & 15) - 8) * scale);
        y[4 + k] = to_bf16((float)((int)(q.y >> 8 * k & 15) - 8) * scale);
    }
    // Who reads what was there is done.
    wait_for_earlier();
    // Its bf16 are four chunks of 256 columns.
    u8* to = p.to + (i / 512 * 4 + piece / 32) * 2048 + 512 * r + piece % 32 * 16;
    *(uint4*)to = make_uint4(y[0] | y[1] << 16, y[2] | y[3] << 16, y[4] | y[5] << 16, y[6] | y[7] << 16);
}
