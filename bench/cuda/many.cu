// The kernels of many tokens (crates/cuda/kernels/many) against plain ones, and their time, on a GPU of Hopper:
//
//     nvcc -O2 -std=c++20 -gencode=arch=compute_90a,code=sm_90a -I crates/cuda/kernels -o /tmp/many bench/cuda/many.cu -lcuda && /tmp/many
//
// What is compared are relative errors, root mean square over root mean square: of results in bf16 1.7e-3 is their rounding. Those of single tokens,
// and of batches, are compared with the processor as a whole (crates/runtime/examples/gpu_against_cpu.rs).

// As the host hands it over (crates/cuda/src/many/op.rs).
#define MATMUL_BYTES 80
#define DELTA_BYTES 136
#define ATTEND_BYTES 112
#define CHUNK_BYTES 81024
#define SCANNED 62464
#define MATMUL_SHARED 196608
#define CHUNKS_SHARED 90880
#define ATTEND_SHARED 196608
#define FEW_SHARED 225280
#define MEMBERS_BYTES 1280
#define NORMED_BYTES 32
#define TURNS_BYTES 272
#define EXPAND_BYTES 24
#define FEW_BYTES 32
#define ADD_BYTES 48
#define GLU_BYTES 32
#define MANY 256
#define MOST_SPLITS 8
#define DELTA_EACH_BYTES 152
#define ATTEND_EACH_BYTES 136
#include <cuda.h>
#include <cuda_runtime.h>
#include <cstdio>
#include <cstdlib>
#include <vector>
#include <cmath>
#include <algorithm>
#include "device.cuh"
#include "many/wgmma.cuh"
#include "many/matmul.cuh"
#include "many/rows.cuh"
#include "many/delta.cuh"
#include "many/attend.cuh"
#include "many/batch.cuh"
#include "plain.cuh"
#define CK(x)                                                                                                \
    do {                                                                                                     \
        auto e = (x);                                                                                        \
        if (e != 0) {                                                                                        \
            printf("FAIL %s:%d code %d %s\n", #x, __LINE__, (int)e, cudaGetErrorString(cudaGetLastError())); \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)
template <class T>
T* alloc(size_t n) {
    T* p;
    CK(cudaMalloc(&p, n * sizeof(T)));
    CK(cudaMemset(p, 0, n * sizeof(T)));
    return p;
}
__device__ u32 hash(u64 i, u32 seed) {
    u64 z = (i + 1) * 0x9E3779B97F4A7C15ull + seed * 0xBF58476D1CE4E5B9ull;
    z ^= z >> 30;
    z *= 0xBF58476D1CE4E5B9ull;
    z ^= z >> 27;
    z *= 0x94D049BB133111EBull;
    z ^= z >> 31;
    return z >> 32;
}
__device__ float uni(u64 i, u32 seed) { return (float)hash(i, seed) * (2.0f / 4294967296.0f) - 1.0f; }
__global__ void fill_f(float* p, u64 n, u32 seed, float scale, float bias) {
    for (u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x; i < n; i += (u64)gridDim.x * blockDim.x) p[i] = bias + scale * uni(i, seed);
}
__global__ void fill_b(u16* p, u64 n, u32 seed, float scale) {
    for (u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x; i < n; i += (u64)gridDim.x * blockDim.x) p[i] = to_bf16(scale * uni(i, seed));
}
TensorMap map(CUtensorMapDataType type, void* p, int rank, std::vector<cuuint64_t> dims, std::vector<cuuint64_t> strides, std::vector<cuuint32_t> box,
              CUtensorMapSwizzle sw) {
    CUtensorMap m;
    cuuint32_t es[5] = {1, 1, 1, 1, 1};
    CK(cuTensorMapEncodeTiled(&m, type, rank, p, dims.data(), strides.data(), box.data(), es, CU_TENSOR_MAP_INTERLEAVE_NONE, sw,
                              CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
    TensorMap r;
    memcpy(&r, &m, 128);
    return r;
}
TensorMap rows_map(void* p, u64 width, u64 rows, bool half) {
    return map(half ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, p, 2, {width, rows}, {width * 2}, {64, 128},
               CU_TENSOR_MAP_SWIZZLE_128B);
}
TensorMap panels_map(void* p, u64 chunks, u64 panels) {
    return map(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, p, 4, {256, 4, chunks, panels}, {512, 2048, 2048 * chunks}, {64, 4, 1, 32},
               CU_TENSOR_MAP_SWIZZLE_128B);
}
TensorMap cache_map(void* p, u64 tiles, u32 at_once) {
    return map(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, p, 4, {32, 32, tiles, 16}, {64, 32768, 2048}, {32, 32, at_once, 8}, CU_TENSOR_MAP_SWIZZLE_64B);
}
bool failed = false;
// How far `a` is from `b`, relative to its size; beyond what rounding to bf16 explains it is a failure.
double rel(const std::vector<float>& a, const std::vector<float>& b) {
    double d = 0, s = 0;
    for (size_t i = 0; i < a.size(); i++) {
        d += (double)(a[i] - b[i]) * (a[i] - b[i]);
        s += (double)b[i] * b[i];
    }
    double e = sqrt(d / (s + 1e-30));
    if (!(e < 2.5e-3)) failed = true;
    return e;
}
template <class T>
std::vector<T> down(const T* p, size_t n) {
    std::vector<T> v(n);
    CK(cudaMemcpy(v.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost));
    return v;
}
std::vector<float> bf(const u16* p, size_t n) {
    auto v = down(p, n);
    std::vector<float> f(n);
    for (size_t i = 0; i < n; i++) {
        u32 b = (u32)v[i] << 16;
        memcpy(&f[i], &b, 4);
    }
    return f;
}
float time_of(int n, auto&& f) {
    cudaEvent_t a, b;
    cudaEventCreate(&a);
    cudaEventCreate(&b);
    f();
    std::vector<float> all;
    for (int i = 0; i < n; i++) {
        cudaEventRecord(a);
        f();
        cudaEventRecord(b);
        cudaEventSynchronize(b);
        float ms;
        cudaEventElapsedTime(&ms, a, b);
        all.push_back(ms);
    }
    CK(cudaGetLastError());
    std::sort(all.begin(), all.end());
    return all[n / 2];
}

void run_matmul(const TensorMap& w, const TensorMap& x, const Matmul& m, int sms) {
    CK(cudaFuncSetAttribute(matmul, cudaFuncAttributeMaxDynamicSharedMemorySize, PLACES * PLACE_BYTES));
    matmul<<<sms / CLUSTER * CLUSTER, MATMUL_THREADS, PLACES * PLACE_BYTES>>>(w, x, m);
}
void test_matmul(u32 tokens, u32 rows, u32 width, int sms) {
    u32 chunks = (width + 255) / 256, panels = rows / 4, cap = (tokens + 255) / 256 * 256;
    u16* w = alloc<u16>((u64)panels * chunks * 1024);
    u16* x = alloc<u16>((u64)cap * width);
    float* ref = alloc<float>((u64)rows * tokens);
    float* y = alloc<float>((u64)rows * cap);
    u16* g = alloc<u16>((u64)rows * cap);
    fill_b<<<1000, 256>>>(w, (u64)panels * chunks * 1024, 1, 1 / sqrtf(width));
    fill_b<<<1000, 256>>>(x, (u64)cap * width, 2, 1);
    matmul_ref<<<((u64)rows * tokens + 255) / 256, 256>>>(w, chunks, x, width, rows, tokens, ref);
    TensorMap wm = panels_map(w, chunks, panels), xm = rows_map(x, width, cap, false);
    Matmul m = {};
    m.tokens = tokens;
    m.rows = rows;
    m.steps = (width + 63) / 64;
    m.result = STORE;
    u32 half = rows / 2 / 32 * 32;
    m.parts[0] = {y, 0, half};
    m.parts[1] = {y + (u64)half * tokens, half, rows - half};
    run_matmul(wm, xm, m, sms);
    CK(cudaDeviceSynchronize());
    auto r = down(ref, (u64)rows * tokens), a = down(y, (u64)rows * tokens);
    std::vector<float> b(a.size());
    auto a0 = half >= 256 ? bf((u16*)y, (u64)half * tokens) : down(y, (u64)half * tokens),
         a1 = rows - half >= 256 ? bf((u16*)(y + (u64)half * tokens), (u64)(rows - half) * tokens)
                                 : down(y + (u64)half * tokens, (u64)(rows - half) * tokens);
    for (u32 t = 0; t < tokens; t++)
        for (u32 i = 0; i < rows; i++) b[(u64)t * rows + i] = i < half ? a0[(u64)t * half + i] : a1[(u64)t * (rows - half) + i - half];
    printf("matmul %u x %u x %u: store %.2e", tokens, rows, width, rel(b, r));
    fill_f<<<1000, 256>>>(y, (u64)rows * cap, 5, 1, 0);
    auto before = down(y, (u64)rows * tokens);
    m.result = ADD;
    m.parts[0] = {y, 0, rows};
    run_matmul(wm, xm, m, sms);
    CK(cudaDeviceSynchronize());
    a = down(y, (u64)rows * tokens);
    for (size_t i = 0; i < a.size(); i++) before[i] += r[i];
    printf(" add %.2e", rel(a, before));
    m.result = GLU;
    m.parts[0] = {(float*)g, 0, rows};
    run_matmul(wm, xm, m, sms);
    CK(cudaDeviceSynchronize());
    auto q = bf(g, (u64)rows / 2 * tokens);
    std::vector<float> e(q.size());
    for (u32 t = 0; t < tokens; t++)
        for (u32 i = 0; i < rows / 2; i++) {
            float gg = r[(u64)t * rows + 2 * i];
            e[(u64)t * (rows / 2) + i] = gg / (1 + expf(-gg)) * r[(u64)t * rows + 2 * i + 1];
        }
    printf(" glu %.2e\n", rel(q, e));
    fflush(stdout);
    for (void* p : {(void*)w, (void*)x, (void*)ref, (void*)y, (void*)g}) cudaFree(p);
}
void time_matmul(const char* name, u32 tokens, u32 rows, u32 width, u32 kind, int sms) {
    u32 chunks = (width + 255) / 256, panels = rows / 4, cap = (tokens + 255) / 256 * 256;
    u16* w = alloc<u16>((u64)panels * chunks * 1024);
    u16* x = alloc<u16>((u64)cap * width);
    float* y = alloc<float>((u64)rows * cap);
    fill_b<<<1000, 256>>>(w, (u64)panels * chunks * 1024, 1, 1 / sqrtf(width));
    fill_b<<<1000, 256>>>(x, (u64)cap * width, 2, 1);
    TensorMap wm = panels_map(w, chunks, panels), xm = rows_map(x, width, cap, false);
    Matmul m = {};
    m.tokens = tokens;
    m.rows = rows;
    m.steps = (width + 63) / 64;
    m.result = kind;
    m.parts[0] = {y, 0, rows};
    float ms = time_of(15, [&] { run_matmul(wm, xm, m, sms); });
    float run = time_of(3,
                        [&] {
                            for (int i = 0; i < 10; i++) run_matmul(wm, xm, m, sms);
                        }) /
                10;
    printf("%s: %u x %u x %u kind %u: %.3f ms %.0f TFLOP/s; ten in a row %.0f\n", name, tokens, rows, width, kind, ms,
           2.0 * tokens * rows * width / ms / 1e9, 2.0 * tokens * rows * width / run / 1e9);
    fflush(stdout);
    for (void* p : {(void*)w, (void*)x, (void*)y}) cudaFree(p);
}
void do_delta(u32 tokens, u32 position, u32 kh, u32 vh, u32 grouped, u32 columns, bool check) {
    u32 channels = (2 * kh + vh) * 128, count = (tokens + 63) / 64;
    Delta p = {};
    u16* qkv = alloc<u16>((u64)tokens * channels);
    float* a = alloc<float>(tokens * vh);
    float* b = alloc<float>(tokens * vh);
    u16* z = alloc<u16>((u64)tokens * vh * 128);
    float* taps = alloc<float>(4 * channels);
    float* recent = alloc<float>(4 * channels);
    float* dr = alloc<float>(vh);
    float* dt = alloc<float>(vh);
    float* nw = alloc<float>(128);
    float* st = alloc<float>(vh * 16384);
    float* st2 = alloc<float>(vh * 16384);
    fill_b<<<1000, 256>>>(qkv, (u64)tokens * channels, 11, 2);
    fill_f<<<100, 256>>>(a, tokens * vh, 12, 1, 0);
    fill_f<<<100, 256>>>(b, tokens * vh, 13, 2, 0);
    fill_b<<<100, 256>>>(z, (u64)tokens * vh * 128, 14, 1);
    fill_f<<<100, 256>>>(taps, 4 * channels, 15, 0.5, 0.2);
    fill_f<<<100, 256>>>(recent, 4 * channels, 16, 2, 0);
    fill_f<<<1, 256>>>(dr, vh, 17, 0.1, -0.15);
    fill_f<<<1, 256>>>(dt, vh, 18, 1, 0);
    fill_f<<<1, 128>>>(nw, 128, 19, 0.2, 1);
    fill_f<<<100, 256>>>(st, vh * 16384, 20, 0.3, 0);
    p = {qkv,
         a,
         b,
         z,
         taps,
         recent,
         dr,
         dt,
         nw,
         st,
         alloc<Chunk>(vh * count),
         alloc<float>((u64)tokens * vh * 128),
         alloc<u16>((u64)tokens * vh * 128),
         tokens,
         position,
         kh,
         vh,
         grouped,
         1e-6f,
         1e-6f};
    u32 scan_bytes = 2 * (SCANNED_BYTES + columns * 144) + (128 + 64) * (columns + 8) * 2;
    CK(cudaFuncSetAttribute(delta_chunks, cudaFuncAttributeMaxDynamicSharedMemorySize, CHUNKS_SHARED));
    CK(cudaFuncSetAttribute(delta_scan, cudaFuncAttributeMaxDynamicSharedMemorySize, scan_bytes));
    auto f1 = [&] { delta_chunks<<<dim3(vh, count), 256, CHUNKS_SHARED>>>(p); };
    auto f2 = [&] { delta_scan<<<vh * (128 / columns), 4 * columns, scan_bytes>>>(p); };
    auto f3 = [&] { delta_out<<<(tokens * vh + 7) / 8 + (channels + 255) / 256, 256>>>(p); };
    if (check) {
        float* o2 = alloc<float>((u64)tokens * vh * 128);
        auto s0 = down(st, vh * 16384);
        std::vector<float> s1(s0.size());
        for (u32 h = 0; h < vh; h++)
            for (u32 k = 0; k < 128; k++)
                for (u32 v = 0; v < 128; v++) s1[(h * 128 + k) * 128 + v] = s0[h * 16384 + v / 32 * 4096 + k * 32 + v % 32];
        cudaMemcpy(st2, s1.data(), s1.size() * 4, cudaMemcpyHostToDevice);
        delta_ref<<<vh, 128>>>(p, o2, st2);
        CK(cudaDeviceSynchronize());
        f1();
        CK(cudaDeviceSynchronize());
        f2();
        CK(cudaDeviceSynchronize());
        auto got = down(p.o, (u64)tokens * vh * 128), want = down(o2, (u64)tokens * vh * 128);
        printf("delta %u tokens at %u, heads %u %u grouped %u columns %u: o %.2e (first chunk %.2e)", tokens, position, kh, vh, grouped, columns,
               rel(got, want),
               rel(std::vector<float>(got.begin(), got.begin() + std::min(64u, tokens) * vh * 128),
                   std::vector<float>(want.begin(), want.begin() + std::min(64u, tokens) * vh * 128)));
        auto s2 = down(st, vh * 16384), s3 = down(st2, vh * 16384);
        for (u32 h = 0; h < vh; h++)
            for (u32 k = 0; k < 128; k++)
                for (u32 v = 0; v < 128; v++) s1[h * 16384 + v / 32 * 4096 + k * 32 + v % 32] = s3[(h * 128 + k) * 128 + v];
        printf(" state %.2e", rel(s2, s1));
        f3();
        CK(cudaDeviceSynchronize());
        auto y = bf(p.out, (u64)tokens * vh * 128), zz = bf(z, (u64)tokens * vh * 128), ww = down(nw, 128);
        std::vector<float> e(y.size());
        for (size_t i = 0; i < y.size(); i += 128) {
            double s = 0;
            for (int k = 0; k < 128; k++) s += want[i + k] * want[i + k];
            for (int k = 0; k < 128; k++) e[i + k] = want[i + k] / sqrt(s / 128 + 1e-6) * ww[k] * zz[i + k] / (1 + exp(-zz[i + k]));
        }
        printf(" out %.2e", rel(y, e));
        auto rr = down(recent, 4 * channels), qq = bf(qkv, (u64)tokens * channels);
        double bad = 0;
        for (u32 t = tokens > 4 ? tokens - 4 : 0; t < tokens; t++)
            for (u32 c = 0; c < channels; c++) bad += fabs(rr[((position + t) & 3) * channels + c] - qq[(u64)t * channels + c]);
        failed |= bad != 0;
        printf(" recent %.1e\n", bad);
    } else {
        printf("delta %u tokens, heads %u %u columns %u: chunks %.3f scan %.3f out %.3f ms\n", tokens, kh, vh, columns, time_of(9, f1),
               time_of(9, f2), time_of(9, f3));
    }
    fflush(stdout);
    for (void* q : {(void*)qkv, (void*)a, (void*)b, (void*)z, (void*)taps, (void*)recent, (void*)dr, (void*)dt, (void*)nw, (void*)st, (void*)st2,
                    (void*)p.chunks, (void*)p.o, (void*)p.out})
        cudaFree(q);
}
void do_attend(u32 tokens, u32 position, u32 heads, u32 kv, u32 capacity, bool check) {
    Attend p = {};
    u32 cap = (tokens + 127) / 128 * 128;
    u16* q = alloc<u16>((u64)cap * heads * 256);
    u16* gate = alloc<u16>((u64)cap * heads * 256);
    u16* k = alloc<u16>((u64)cap * kv * 256);
    u16* v = alloc<u16>((u64)cap * kv * 256);
    float* qn = alloc<float>(256);
    float* kn = alloc<float>(256);
    float* tu = alloc<float>(cap * 64);
    u16* cache = alloc<u16>((u64)kv * capacity * 512);
    u16* qs = alloc<u16>((u64)cap * heads * 256);
    u16* out = alloc<u16>((u64)cap * heads * 256);
    fill_b<<<1000, 256>>>(q, (u64)cap * heads * 256, 31, 1);
    fill_b<<<1000, 256>>>(gate, (u64)cap * heads * 256, 32, 1);
    fill_b<<<1000, 256>>>(k, (u64)cap * kv * 256, 33, 1);
    fill_b<<<1000, 256>>>(v, (u64)cap * kv * 256, 34, 1);
    fill_f<<<1, 256>>>(qn, 256, 35, 0.3, 1.5);
    fill_f<<<1, 256>>>(kn, 256, 36, 0.3, 1.5);
    // What came before: halves of small numbers.
    std::vector<u16> old((u64)kv * capacity * 512);
    for (size_t i = 0; i < old.size(); i++) old[i] = 0x3000 + (i * 7919 % 2048) + (i * 31 % 3 == 0 ? 0x8000 : 0);
    cudaMemcpy(cache, old.data(), old.size() * 2, cudaMemcpyHostToDevice);
    Turns tp = {};
    for (int i = 0; i < 32; i++) tp.rates[i] = pow(1e7, -2.0 * i / 64);
    tp.out = tu;
    tp.tokens = tokens;
    tp.position = position;
    turns<<<(tokens * 32 + 255) / 256, 256>>>(tp);
    p = {q, gate, k, v, qn, kn, tu, cache, qs, out, tokens, position, heads, kv, capacity, 1e-6f, 0.0625f};
    TensorMap qm = rows_map(qs, heads * 256, cap, true), km = cache_map(cache, (u64)kv * capacity / 32, 2),
              vm = cache_map(cache, (u64)kv * capacity / 32, 1);
    u32 bytes = QUERY_BYTES + 2 * ATTEND_PLACES * KEY_BYTES;
    CK(cudaFuncSetAttribute(attend_many, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    auto f1 = [&] { attend_heads<<<dim3((position + tokens - 1) / 32 - position / 32 + 1, heads + kv), 256>>>(p); };
    auto f2 = [&] { attend_many<<<(tokens + 127) / 128 * heads, ATTEND_THREADS, bytes>>>(qm, km, vm, p); };
    f1();
    CK(cudaDeviceSynchronize());
    f2();
    CK(cudaDeviceSynchronize());
    if (check) {
        float* want = alloc<float>((u64)tokens * heads * 256);
        attend_ref<<<dim3(tokens, heads), 256>>>(p, want);
        CK(cudaDeviceSynchronize());
        // Heads by hand, some of them.
        auto hq = bf(q, (u64)tokens * heads * 256), hk = bf(k, (u64)tokens * kv * 256), hv = bf(v, (u64)tokens * kv * 256);
        auto hqn = down(qn, 256), hkn = down(kn, 256);
        auto gq = down(qs, (u64)tokens * heads * 256);
        auto gc = down(cache, (u64)kv * capacity * 512);
        auto half = [](u16 h) {
            int e = h >> 10 & 31, m = h & 1023;
            double x = e ? ldexp(1 + m / 1024.0, e - 15) : ldexp(m / 1024.0, -14);
            return (float)(h & 0x8000 ? -x : x);
        };
        std::vector<float> g, w;
        for (u32 t = 0; t < tokens; t += 7)
            for (u32 h = 0; h < heads + kv; h++) {
                bool isq = h < heads;
                u32 hh = isq ? h : h - heads, n = isq ? heads : kv;
                std::vector<double> x(256);
                double s = 0;
                for (int d = 0; d < 256; d++) {
                    x[d] = (isq ? hq : hk)[((u64)t * n + hh) * 256 + d];
                    s += x[d] * x[d];
                }
                for (int d = 0; d < 256; d++) x[d] *= (isq ? hqn : hkn)[d] / sqrt(s / 256 + 1e-6);
                for (int d = 0; d < 32; d++) {
                    double an = (position + t) * tp.rates[d], c = cos(an), si = sin(an), aa = x[d] * c - x[d + 32] * si,
                           bb = x[d + 32] * c + x[d] * si;
                    x[d] = aa;
                    x[d + 32] = bb;
                }
                u32 pos = position + t;
                const u16* tile = gc.data() + ((u64)hh * capacity / 32 + pos / 32) * 16384;
                for (int d = 0; d < 256; d++) {
                    if (isq) {
                        g.push_back(half(gq[((u64)t * heads + h) * 256 + d]));
                        w.push_back(x[d] * 0.0625 * 1.4426950408889634);
                    } else {
                        g.push_back(half(tile[d / 32 * 1024 + pos % 32 * 32 + d % 32]));
                        w.push_back(x[d]);
                        g.push_back(half(tile[8192 + d * 32 + pos % 32]));
                        w.push_back(hv[((u64)t * kv + hh) * 256 + d]);
                    }
                }
            }
        printf("attend %u tokens at %u, heads %u %u: heads %.2e", tokens, position, heads, kv, rel(g, w));
        printf(" out %.2e\n", rel(bf(out, (u64)tokens * heads * 256), down(want, (u64)tokens * heads * 256)));
        cudaFree(want);
    } else {
        float ms = time_of(9, f2);
        double flops = 4.0 * 256 * heads * ((double)tokens * position + (double)tokens * tokens / 2);
        printf("attend %u tokens at %u, heads %u %u: heads %.3f attend %.3f ms %.0f TFLOP/s\n", tokens, position, heads, kv, time_of(9, f1), ms,
               flops / ms / 1e9);
    }
    fflush(stdout);
    for (void* x : {(void*)q, (void*)gate, (void*)k, (void*)v, (void*)qn, (void*)kn, (void*)tu, (void*)cache, (void*)qs, (void*)out}) cudaFree(x);
}
int main() {
    cudaDeviceProp d;
    CK(cudaGetDeviceProperties(&d, 0));
    int sms = d.multiProcessorCount;
    printf("%s %d SMs\n", d.name, sms);
    do_delta(200, 0, 2, 4, 0, 32, true);
    do_delta(200, 5, 2, 4, 1, 64, true);
    do_delta(3, 2, 2, 2, 0, 32, true);
    do_delta(1024, 1, 1, 2, 0, 128 / 4, true);
    do_attend(100, 0, 8, 2, 256, true);
    do_attend(130, 37, 4, 2, 512, true);
    do_attend(300, 1000, 6, 1, 1312, true);
    do_attend(1, 31, 8, 2, 256, true);
    test_matmul(256, 256, 256, sms);
    test_matmul(300, 1088, 1024, sms);
    test_matmul(1000, 4096, 3584, sms);
    test_matmul(17, 480, 288, sms);
    do_delta(4096, 0, 16, 32, 0, 32, false);
    do_delta(4096, 0, 16, 16, 0, 32, false);
    do_delta(4096, 0, 16, 48, 0, 64, false);
    do_attend(4096, 0, 16, 4, 4096, false);
    do_attend(4096, 0, 8, 2, 4096, false);
    do_attend(4096, 28672, 16, 4, 32768, false);
    time_matmul("9B gate_up", 4096, 24576, 4096, GLU, sms);
    time_matmul("9B gate_up as store", 4096, 24576, 4096, STORE, sms);
    time_matmul("9B down", 4096, 4096, 12288, ADD, sms);
    time_matmul("9B qkvz", 4096, 12352, 4096, STORE, sms);
    time_matmul("9B out", 4096, 4096, 4096, ADD, sms);
    time_matmul("0.8B gate_up", 4096, 7168, 1024, GLU, sms);
    time_matmul("0.8B down", 4096, 1024, 3584, ADD, sms);
    time_matmul("0.8B qkvz", 4096, 8224, 1024, STORE, sms);
    time_matmul("27B gate_up", 4096, 34816, 5120, GLU, sms);
    time_matmul("square", 8192, 8192, 8192, STORE, sms);
    u64 n = (u64)24576 * 4096 / 8;
    u8* from = alloc<u8>(n * 8 / 4096 * 2304);
    u8* to = alloc<u8>(n * 16);
    float ms = time_of(9, [&] { expand<<<n / 256, 256>>>(Expand{from, to, n}); });
    printf("expand %.3f ms %.0f GB/s\n", ms, n * 20.5 / ms / 1e6);
    float* x = alloc<float>(4096 * 4096);
    float* w = alloc<float>(4096);
    ms = time_of(9, [&] { normed<<<4096, 256>>>(Normed{x, w, (u16*)to, 4096, 1e-6f}); });
    printf("normed %.3f ms %.0f GB/s\n", ms, 4096.0 * 4096 * 6 / ms / 1e6);
    printf(failed ? "FAILED\n" : "all as they should be\n");
    return failed;
}
