// What the kernels of many tokens compute, in the plainest way: one sum, one token, one key after the other.
__global__ void matmul_ref(const u16* w, u32 chunks, const u16* x, u32 width, u32 rows, u32 tokens, float* y) {
    u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x;
    if (i >= (u64)rows * tokens) return;
    u32 r = i % rows, t = i / rows;
    float s = 0;
    for (u32 c = 0; c < width; c++)
        s += __uint_as_float((u32)w[((u64)(r / 4) * chunks + c / 256) * 1024 + r % 4 * 256 + c % 256] << 16) *
             __uint_as_float((u32)x[(u64)t * width + c] << 16);
    y[i] = s;
}
__global__ void delta_ref(Delta p, float* o, float* state) {  // block: head; 128 threads: value column; state (head, key, value)
    __shared__ float q[128], k[128], v[128], red[2];
    u32 head = blockIdx.x, c = threadIdx.x, ratio = p.value_heads / p.key_heads, kh = p.grouped ? head / ratio : head % p.key_heads,
        keys = p.key_heads * 128, channels = 2 * keys + p.value_heads * 128;
    float s[128];
    for (int i = 0; i < 128; i++) s[i] = state[(head * 128 + i) * 128 + c];
    for (u32 t = 0; t < p.tokens; t++) {
        for (int part = 0; part < 3; part++) {
            u32 ch = part == 0 ? kh * 128 + c : part == 1 ? keys + kh * 128 + c : 2 * keys + head * 128 + c;
            float y = 0;
            for (int i = 0; i < 4; i++) {
                int tt = (int)t - 3 + i;
                y += p.taps[i * channels + ch] *
                     (tt >= 0 ? from_bf16(p.qkv[(u64)tt * channels + ch]) : p.recent[((p.position + tt) & 3) * channels + ch]);
            }
            (part == 0 ? q : part == 1 ? k : v)[c] = y / (1 + expf(-y));
        }
        __syncthreads();
        if (c == 0) {
            float a = 0, b = 0;
            for (int i = 0; i < 128; i++) {
                a += q[i] * q[i];
                b += k[i] * k[i];
            }
            red[0] = rsqrtf(a + p.eps) * 0.08838834764831845f;
            red[1] = rsqrtf(b + p.eps);
        }
        __syncthreads();
        float a = p.a[t * p.value_heads + head] + p.dt_bias[head], alpha = expf(p.decay_rate[head] * log1pf(expf(a))),
              beta = 1 / (1 + expf(-p.b[t * p.value_heads + head]));
        float r = 0;
        for (int i = 0; i < 128; i++) {
            s[i] *= alpha;
            r += s[i] * k[i] * red[1];
        }
        float d = beta * (v[c] - r), y = 0;
        for (int i = 0; i < 128; i++) {
            s[i] += k[i] * red[1] * d;
            y += s[i] * q[i] * red[0];
        }
        o[((u64)t * p.value_heads + head) * 128 + c] = y;
        __syncthreads();
    }
    for (int i = 0; i < 128; i++) state[(head * 128 + i) * 128 + c] = s[i];
}
__global__ void attend_ref(Attend p, float* out) {  // block (token, head), 256 threads; earlier positions from the cache
    u32 t = blockIdx.x, h = blockIdx.y, d = threadIdx.x, kv = h / (p.heads / p.kv_heads), behind = p.position + t + 1;
    __shared__ float red[256];
    float top = -1e30f, sum = 0, acc = 0;
    for (u32 j = 0; j < behind; j++) {
        const u16* tile = p.cache + ((u64)kv * p.capacity / 32 + j / 32) * 16384;
        red[d] = from_half(p.queries[((u64)t * p.heads + h) * 256 + d]) * from_half(tile[d / 32 * 1024 + j % 32 * 32 + d % 32]);
        __syncthreads();
        for (int n = 128; n > 0; n /= 2) {
            if (d < n) red[d] += red[d + n];
            __syncthreads();
        }
        float s = red[0];
        __syncthreads();
        float nt = fmaxf(top, s), sh = exp2f(top - nt), e = exp2f(s - nt);
        sum = sum * sh + e;
        acc = acc * sh + e * from_half(tile[8192 + d * 32 + j % 32]);
        top = nt;
    }
    out[((u64)t * p.heads + h) * 256 + d] = acc / sum / (1 + expf(-from_bf16(p.gate[((u64)t * p.heads + h) * 256 + d])));
}
