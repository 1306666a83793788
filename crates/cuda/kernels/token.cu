// The operations of a token, as the host writes them.
struct Embed { float* x; float* turn; u32 width; };
struct Op {
    u32 kind, format, input, output;
    union { Embed embed; Product product; Delta delta; Attend attend; };
};
static_assert(sizeof(Op) == OP_BYTES, "the host's operation is another");
// Orders logits, of equal ones the first; above all of them what is no number.
DEVICE u64 rank_of(float logit, u32 token) {
    u32 bits = __float_as_uint(logit);
    u32 order = (bits & 0x7f800000u) == 0x7f800000u ? ~0u : bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (u64)order << 32 | (u32)~token;
}
// Sums of the rows' parts go where they belong.
DEVICE void give(const Op& op, u32 begin, u32 panels, u32 parts, u32 partial, float* own, u64* best) {
    u32 t = thread_now();
    const Product& p = op.product;
    u32 rows = panels * PANEL;
    auto total = [&](u32 i) {
        float sum = 0;
        for (u32 part = 0; part < parts; part++) sum += shared4(partial + (part * rows + i) * 4);
        return sum;
    };
    if (op.output == GLU) {
        u16* out = (u16*)p.segments[0].out + begin * PANEL / 2;
        for (u32 i = t; i < rows / 2; i += THREADS) out[i] = to_bf16(silu(total(2 * i)) * total(2 * i + 1));
        return;
    }
    if (op.output == ADD) {
        // The rows are this block's in all operations, so their sums stay here too.
        float* out = p.segments[0].out + begin * PANEL;
        for (u32 i = t; i < rows; i += THREADS) out[i] = own[i] += total(i);
        return;
    }
    if (op.output == LOGITS) {
        // The likeliest token beside: the host rarely wants all of them.
        u64 most = 0;
        for (u32 i = t; i < rows; i += THREADS) {
            u32 r = begin * PANEL + i;
            if (r >= p.segments[0].rows) continue;
            float logit = total(i);
            p.segments[0].out[r] = logit;
            u64 ranked = rank_of(logit, r);
            most = ranked > most ? ranked : most;
        }
#pragma unroll
        for (int d = 16; d > 0; d >>= 1) {
            u64 other = __shfl_xor_sync(~0u, most, d);
            most = other > most ? other : most;
        }
        if (t % 32 == 0 && most) atomicMax(best, most);
        return;
    }
    for (u32 i = t; i < rows; i += THREADS) {
        u32 r = begin * PANEL + i;
        int at = 0;
        while (at < MOST_SEGMENTS - 1 && r >= p.segments[at].panels * PANEL) { r -= p.segments[at].panels * PANEL; at++; }
        float* out = p.segments[at].out + r;
        if (r < p.segments[at].rows) *out = total(i);
    }
}

template <int F> DEVICE void product(Fetch& fetch, u32& place, u32& phase, u32 ring, u32 full, u32 scratch, const Floor& floor, const Op& op, const Stream* streams, u32 stream, u32 count, float* sums, float* own, u64* best, const Op* following, long long* trace) {
    typedef Form<F> Of;
    u32 t = thread_now(), lane = t % 32, warp = t / 32, cols = op.product.cols, partial = scratch + Row<F>::bytes(cols);
    if (op.input == NORM) take_normed<F>(floor, op.product, scratch, sums);
    else take_plain<F>(floor, op.product, scratch);
    __syncthreads();
    if (trace && t == 0) trace[1] = clock64();

    if (following && following->kind == DELTA) delta_ahead(following->delta, t);
    else if (following && following->kind == ATTEND) attend_ahead(following->attend, floor.position, t);
    const Stream& s = streams[stream];
    u32 chunks = s.chunks, run = s.run, panels = s.panels, parts = parts_of(run, chunks), left = dealt(panels * chunks, run, warp);
    u32 panel = run > 1 ? warp : warp / chunks, column = run > 1 ? 0 : warp % chunks;
    u32 more = run > 1 ? 1 : WARPS, on = run > 1 ? WARPS : 1;
    float acc[PANEL] = {0, 0, 0, 0};
#pragma unroll 1
    for (; left; left--) {
        wait_for_copy(full + 8 * place, phase);
        typename Of::Item item;
        Of::load(item, ring + place * STAGE, lane);
        multiply(item, scratch, cols, column, lane, acc);
        __syncwarp();
        fetch.one(ring + place * STAGE, full + 8 * place, streams, count, warp);
        if (++place == DEPTH) { place = 0; phase ^= 1; }
        u32 was = panel, part = run > 1 ? 0 : column % WARPS;
        column += more;
        while (column >= chunks) { column -= chunks; panel += on; }
        if (panel != was) {
            float sum = sum_rows(acc, lane);
            if (lane % 8 == 0) to_shared4(partial + ((part * panels + was) * PANEL + lane / 8) * 4, __float_as_uint(sum));
#pragma unroll
            for (int r = 0; r < PANEL; r++) acc[r] = 0;
        }
    }
    if (trace && t == 0) trace[2] = clock64();
    __syncthreads();
    if (trace && t == 0) trace[3] = clock64();
    give(op, s.begin, panels, parts, partial, own, best);
}

// In the host's memory: `row`, the token's embedding and then the cosines and sines of its position; `answer`, the likeliest token by `rank_of`.
extern "C" __global__ void __launch_bounds__(THREADS, 1) token(const Op* ops, u32 count, Meeting* meeting, u32 position, const float* row, u64* answer, long long* trace) {
    extern __shared__ __align__(1024) uint4 shared[];
    __shared__ alignas(8) u64 full[WARPS][DEPTH];
    __shared__ Stream streams[MOST_PRODUCTS];
    __shared__ Op here[2];
    __shared__ float sums[WARPS], own[MOST_OWN];
    __shared__ u32 stream_count;
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, stream = 0;
    u32 shared_at = (u32)__cvta_generic_to_shared(shared), scratch = shared_at + WARPS * DEPTH * STAGE;
    u32 ring = shared_at + warp * DEPTH * STAGE, full_at = (u32)__cvta_generic_to_shared(full[warp]), place = 0, phase = 0;
    Floor floor = {meeting, position, (u8*)shared + WARPS * DEPTH * STAGE, 0, nullptr};
    if (threadIdx.x < 32) {
        // In the order of the operations.
        u32 n = 0;
        for (u32 base = 0; base < count; base += 32) {
            u32 kind = base + lane < count ? ops[base + lane].kind : EMBED;
            bool is = kind == PRODUCT || kind == ATTEND;
            u32 all = __ballot_sync(~0u, is);
            if (is) {
                const Op& op = ops[base + lane];
                Stream& s = streams[n + __popc(all & ((1u << lane) - 1))];
                if (kind == PRODUCT) {
                    const Product& p = op.product;
                    Part mine = part_of(p.panels);
                    u32 begin = mine.begin, end = mine.end;
                    u32 cols = op.format == BF16 ? 256 : 1024, bytes = op.format == BF16 ? Form<BF16>::BYTES : Form<Q4_0>::BYTES, chunks = p.cols / cols;
                    s = {p.weights + (u64)begin * chunks * bytes, begin, end - begin, (u16)chunks, (u16)bytes, p.by_panel ? chunks : 1};
                } else {
                    const Attend& p = op.attend;
                    Tiles tiles = tiles_of(p.kv_heads, p.splits, floor.position);
                    s = {(const u8*)(p.cache + (u64)tiles.kv * p.capacity * 2 * DIM + tiles.first * TILE_HALVES), 0, tiles.behind - tiles.first, 0, 0, 0};
                }
            }
            n += __popc(all);
        }
        if (lane == 0) stream_count = n;
    }
    if (lane == 0) {
        for (int i = 0; i < DEPTH; i++) barrier_of_one(full_at + 8 * i);
        barriers_are_there();
    }
    for (u32 i = threadIdx.x; i < sizeof(Op) / 4; i += THREADS) ((u32*)&here[0])[i] = ((const u32*)ops)[i];
    __syncthreads();
    u32 products = stream_count;
    Fetch fetch;
    fetch.stream = 0;
    fetch.policy = once();
    fetch.begin(streams, products, warp);
    for (int i = 0; i < DEPTH; i++) fetch.one(ring + i * STAGE, full_at + 8 * i, streams, products, warp);

#pragma unroll 1
    for (u32 i = 0; i < count; i++) {
        const Op& op = here[i % 2];
        if (i + 1 < count)
            for (u32 w = threadIdx.x; w < sizeof(Op) / 4; w += THREADS) ((u32*)&here[(i + 1) % 2])[w] = ((const u32*)(ops + i + 1))[w];
        long long* traced = trace ? trace + (blockIdx.x * count + i) * 8 : nullptr;
        if (traced && threadIdx.x == 0) traced[0] = clock64();
        floor.trace = traced;
        switch (op.kind) {
        case EMBED: {
            const Embed& e = op.embed;
            Part mine = part_of(e.width / PANEL);
            u32 begin = mine.begin * PANEL, end = mine.end * PANEL;
            for (u32 c = begin + threadIdx.x; c < end; c += THREADS) e.x[c] = own[c - begin] = row[c];
            if (blockIdx.x == gridDim.x - 1 && threadIdx.x < TURNED) e.turn[threadIdx.x] = row[e.width + threadIdx.x];
            break;
        }
        case PRODUCT:
            if (op.format == BF16) product<BF16>(fetch, place, phase, ring, full_at, scratch, floor, op, streams, stream, products, sums, own, &meeting->best, i + 1 < count ? &here[(i + 1) % 2] : nullptr, traced);
            else product<Q4_0>(fetch, place, phase, ring, full_at, scratch, floor, op, streams, stream, products, sums, own, &meeting->best, i + 1 < count ? &here[(i + 1) % 2] : nullptr, traced);
            stream++;
            break;
        case DELTA: delta_step(floor, op.delta); break;
        case ATTEND:
            attend(floor, op.attend, fetch, place, phase, ring, full_at, streams, products);
            stream++;
            break;
        }
        if (traced && threadIdx.x == 0) traced[4] = clock64();
        floor.arrive();
        if (traced && threadIdx.x == 0) traced[5] = clock64();
    }
    if (threadIdx.x == 0) {
        // The last one out leaves everything as it was found, for the next token.
        if (atomicAdd(&meeting->left, 1) == gridDim.x - 1) {
            meeting->arrived = 0;
            meeting->left = 0;
            *answer = atomicExch(&meeting->best, 0);
        }
    }
}
