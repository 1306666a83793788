// One token of the gated delta rule: convolution, gates, the state read and written once, and the gated norm of what it gives.
//
// A block has a value head. Its state, 128 x 128, lies in four tiles of 32 value columns; each quarter of the threads has one of them in registers.
struct Delta {
    const u64* qkv;          // marked, as all that follows up to z: q | k | v, before the convolution
    const u64* a;
    const u64* b;
    const u64* z;
    const float* taps;       // (tap, channel)
    float* recent;           // (place, channel): the last four inputs, at position mod 4
    const float* decay_rate;
    const float* dt_bias;
    const float* weight;     // of the norm
    float* state;            // (value head, tile of values, key, value of the tile)
    u64* out;                // marked pairs of bf16
    u32 key_heads, value_heads;
    u32 grouped;
    float eps, norm_eps;
};
constexpr int KEYS = 128, TILE = 32;
struct DeltaScratch { float q[KEYS], k[KEYS], v[KEYS], sums[3][4], reads[2][WARPS][TILE], delta[KEYS], squares[4]; };

// Its state and channels into L2, while another operation runs.
DEVICE void delta_ahead(const Delta& p, u32 t) {
    if (blockIdx.x < p.value_heads) prefetch_line(p.state + (u64)blockIdx.x * KEYS * KEYS + t * 32);
    if (blockIdx.x < p.value_heads) {
        if (t == 0) prefetch_line(p.decay_rate + blockIdx.x);
        if (t == 1) prefetch_line(p.dt_bias + blockIdx.x);
        if (t >= 32 && t < 36) prefetch_line(p.weight + (t - 32) * 32);
    }
    u32 channels = (2 * p.key_heads + p.value_heads) * KEYS, lines = 8 * channels / 32;
    u32 line = blockIdx.x * THREADS + t;
    if (line < lines) prefetch_line(line < lines / 2 ? p.taps + line * 32 : p.recent + (line - lines / 2) * 32);
}

DEVICE void delta_step(const Floor& floor, const Delta& p, u32 needed, u32 mark) {
    u32 head = blockIdx.x, t = thread_now(), tile = t / KEYS, within = t % KEYS;
    if (head >= p.value_heads) return;
    DeltaScratch& in = *(DeltaScratch*)floor.scratch;
    u32 ratio = p.value_heads / p.key_heads, key_head = p.grouped ? head / ratio : head % p.key_heads;
    bool first = p.grouped ? head % ratio == 0 : head < p.key_heads;
    u32 keys = p.key_heads * KEYS, channels = 2 * keys + p.value_heads * KEYS;
    // The first three quarters of the threads have a channel each: of the query, the key, the values.
    u32 channel = (tile == 0 ? key_head * KEYS : tile == 1 ? keys + key_head * KEYS : 2 * keys + head * KEYS) + within;
    float4* state = (float4*)(p.state + (u64)head * KEYS * KEYS + tile * KEYS * TILE);
    u32 column = within % 8, row = within / 8;  // of float4
    float taps[4], recent[3], z = 0, weight = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) taps[i] = tile < 3 ? p.taps[i * channels + channel] : 0;
#pragma unroll
    for (int i = 0; i < 3; i++) recent[i] = tile < 3 ? p.recent[((floor.position + 1 + i) & 3) * channels + channel] : 0;
    if (tile == 3) weight = p.weight[within];
    float4 s[8];
#pragma unroll
    for (int i = 0; i < 8; i++) s[i] = __ldcg(state + (row + 16 * i) * (TILE / 4) + column);
    float decay_rate = p.decay_rate[head], dt_bias = p.dt_bias[head];
    float x = 0;
    if (tile < 3) x = take_float(p.qkv + channel, needed);
    else z = take_float(p.z + head * KEYS + within, needed);
    float a = take_float(p.a + head, needed) + dt_bias, gate = take_float(p.b + head, needed);
    if (tile == 2 || tile < 2 && first) p.recent[(floor.position & 3) * channels + channel] = x;
    x = silu(taps[0] * recent[0] + taps[1] * recent[1] + taps[2] * recent[2] + taps[3] * x);
    if (tile < 3) (tile == 0 ? in.q : tile == 1 ? in.k : in.v)[within] = x;
    __syncthreads();
    float q = in.q[within], k = in.k[within];
    if (tile < 3) {
        float sum = warp_sum(tile == 0 ? q * q : tile == 1 ? k * k : q * k);
        if (t % 32 == 0) in.sums[tile][within / 32] = sum;
    }
    float4 u = make_float4(0, 0, 0, 0), w = u;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float ki = in.k[row + 16 * i], qi = in.q[row + 16 * i];
        u.x += s[i].x * ki; u.y += s[i].y * ki; u.z += s[i].z * ki; u.w += s[i].w * ki;
        w.x += s[i].x * qi; w.y += s[i].y * qi; w.z += s[i].z * qi; w.w += s[i].w * qi;
    }
    auto rows = [](float& x) { x += __shfl_xor_sync(~0u, x, 8); x += __shfl_xor_sync(~0u, x, 16); };
    rows(u.x); rows(u.y); rows(u.z); rows(u.w); rows(w.x); rows(w.y); rows(w.z); rows(w.w);
    if (t % 32 < 8) {
        ((float4*)in.reads[0][t / 32])[column] = u;
        ((float4*)in.reads[1][t / 32])[column] = w;
    }
    __syncthreads();
    float qq = 0, kk = 0, qk = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) { qq += in.sums[0][i]; kk += in.sums[1][i]; qk += in.sums[2][i]; }
    float qn = rsqrtf(qq + p.eps) * 0.08838834764831845f, kn = rsqrtf(kk + p.eps);
    float alpha = __expf(decay_rate * (a > 20 ? a : log1pf(__expf(a)))), beta = sigmoid(gate), o = 0;
    if (tile == 3) {
        // Column `within`: four warps have parts of what was read.
        u32 at = within / TILE * 4;
        float uk = 0, wq = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) { uk += in.reads[0][at + i][within % TILE]; wq += in.reads[1][at + i][within % TILE]; }
        float d = beta * (in.v[within] - alpha * kn * uk);
        in.delta[within] = d;
        o = alpha * qn * wq + qk * qn * kn * d;
        float squares = warp_sum(o * o);
        if (t % 32 == 0) in.squares[within / 32] = squares;
    }
    __syncthreads();
    if (tile == 3) {
        float r = rsqrtf((in.squares[0] + in.squares[1] + in.squares[2] + in.squares[3]) / KEYS + p.norm_eps);
        u32 y = to_bf16(o * r * weight * silu(z)), next = __shfl_down_sync(~0u, y, 1);
        if (within % 2 == 0) put_marked(p.out + (head * KEYS + within) / 2, y | next << 16, mark);
    }
    float4 d = ((float4*)(in.delta + tile * TILE))[column];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float ki = in.k[row + 16 * i] * kn;
        s[i].x = alpha * s[i].x + ki * d.x; s[i].y = alpha * s[i].y + ki * d.y; s[i].z = alpha * s[i].z + ki * d.z; s[i].w = alpha * s[i].w + ki * d.w;
        state[(row + 16 * i) * (TILE / 4) + column] = s[i];
    }
}
