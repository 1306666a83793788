// The operations of a token, as the host writes them.
struct Embed { u64* x; u64* turn; u32 width; };
struct Op {
    u32 kind, format, input, output;
    u32 needs, mark;  // the mark of what it reads, and its own, above the token's base
    union { Embed embed; Product product; Delta delta; Attend attend; };
};
static_assert(sizeof(Op) == OP_BYTES, "the host's operation is another");
// Operations that a block has at hand: half of them to come.
constexpr u32 AHEAD = 8;
DEVICE void fetch_op(u32 here, const Op* ops, u32 i, u32 count) {
    u32 t = thread_now();
    if (t < sizeof(Op) / 8 && i < count) copy8(here + i % AHEAD * sizeof(Op) + 8 * t, (const u8*)(ops + i) + 8 * t);
    end_group();
}
// A norm's weights into L2: each block a line.
DEVICE void norm_ahead(const Op& op) {
    const Product& p = op.product;
    if (op.input == NORM && thread_now() == 0)
        for (u32 line = blockIdx.x; line < p.width / 32; line += gridDim.x) prefetch_line(p.weight + line * 32);
}
// Orders logits, of equal ones the first; above all of them what is no number.
DEVICE u64 rank_of(float logit, u32 token) {
    u32 bits = __float_as_uint(logit);
    u32 order = (bits & 0x7f800000u) == 0x7f800000u ? ~0u : bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (u64)order << 32 | (u32)~token;
}
// Sums of the rows' parts go where they belong: a thread has a row. Code that runs once an operation is kept short: its instructions come from
// far away.
DEVICE void give(const Op& op, u32 begin, u32 panels, u32 parts, u32 partial, const float* sums, float* own, u64* best, u32 mark) {
    u32 t = thread_now();
    const Product& p = op.product;
    u32 rows = panels * PANEL, output = op.output;
    float size = op.input == NORM ? inverse_rms(p, sums) : 1.0f;
    u64 most = 0;
#pragma unroll 1
    for (u32 first = 0; first < rows; first += THREADS) {
        u32 i = first + t;
        bool is = i < rows;
        float sum = 0;
#pragma unroll 1
        for (u32 part = 0; is && part < parts; part++) sum += shared4(partial + (part * rows + i) * 4);
        sum *= size;
        if (output == ADD) {
            // The rows are this block's in all operations, so their sums stay here too.
            if (is) put_marked(p.segments[0].out + begin * PANEL + i, __float_as_uint(own[i] += sum), mark);
        } else if (output == GLU) {
            // A gate, what it multiplies, a gate, what it multiplies.
            float y = silu(sum) * __shfl_down_sync(~0u, sum, 1);
            u32 low = to_bf16(y), high = to_bf16(__shfl_down_sync(~0u, y, 2));
            if (is && i % 4 == 0) put_marked(p.segments[0].out + begin + i / 4, low | high << 16, mark);
        } else if (output == LOGITS) {
            // The likeliest token beside: the host rarely wants all of them.
            u32 r = begin * PANEL + i;
            if (is && r < p.segments[0].rows) {
                ((float*)p.segments[0].out)[r] = sum;
                u64 ranked = rank_of(sum, r);
                most = ranked > most ? ranked : most;
            }
        } else if (is) {
            u32 r = begin * PANEL + i;
            int at = 0;
#pragma unroll 1
            while (at < MOST_SEGMENTS - 1 && r >= p.segments[at].panels * PANEL) { r -= p.segments[at].panels * PANEL; at++; }
            if (r < p.segments[at].rows) put_marked(p.segments[at].out + r, __float_as_uint(sum), mark);
        }
    }
    if (output != LOGITS) return;
#pragma unroll 1
    for (int d = 16; d > 0; d >>= 1) {
        u64 other = __shfl_xor_sync(~0u, most, d);
        most = other > most ? other : most;
    }
    if (t % 32 == 0 && most) atomicMax(best, most);
}

template <int F> DEVICE void product(Fetch& fetch, u32& place, u32& phase, u32 ring, u32 full, u32 scratch, const Floor& floor, const Op& op, const Stream* streams, u32 stream, u32 count, float* sums, float* own, u64* best, const Op* following) {
    typedef Form<F> Of;
    u32 t = thread_now(), lane = t % 32, warp = t / 32, cols = op.product.cols, partial = scratch + Row<F>::bytes(cols);
    u32 needed = floor.base + op.needs;
    if (op.input == NORM) take_normed<F>(floor, op.product, needed, scratch, sums);
    else take_plain<F>(floor, op.product, needed, scratch);
    __syncthreads();

    if (following && following->kind == DELTA) delta_ahead(following->delta, t);
    else if (following && following->kind == ATTEND) attend_ahead(following->attend, floor.position, t);
    const Stream& s = streams[stream];
    u32 chunks = s.chunks, run = s.run, panels = s.panels, parts = parts_of(run, chunks), left = dealt(panels, chunks, run, warp);
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
    __syncthreads();
    give(op, s.begin, panels, parts, partial, sums, own, best, floor.base + op.mark);
}

// Marks of this token begin at `base`, which is the first operation's. In the host's memory: `row`, the token's embedding and then the cosines and sines of its position; `answer`, the likeliest token by `rank_of`.
extern "C" __global__ void __launch_bounds__(THREADS, 1) token(const Op* ops, u32 count, Meeting* meeting, u32 position, u32 base, const float* row, u64* answer) {
    extern __shared__ __align__(1024) uint4 shared[];
    __shared__ alignas(8) u64 full[WARPS][DEPTH];
    __shared__ Stream streams[MOST_PRODUCTS];
    __shared__ alignas(16) Op here[AHEAD];
    __shared__ float sums[WARPS], own[MOST_OWN];
    __shared__ u32 stream_count;
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, stream = 0;
    u32 shared_at = (u32)__cvta_generic_to_shared(shared), scratch = shared_at + WARPS * DEPTH * STAGE;
    u32 ring = shared_at + warp * DEPTH * STAGE, full_at = (u32)__cvta_generic_to_shared(full[warp]), place = 0, phase = 0;
    Floor floor = {position, base, (u8*)shared + WARPS * DEPTH * STAGE};
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
    // Operations come before they are needed, while threads go on.
    u32 here_at = (u32)__cvta_generic_to_shared(here);
    for (u32 i = 0; i < AHEAD / 2; i++) fetch_op(here_at, ops, i, count);
    wait_for_groups<1>();
    __syncthreads();
    u32 products = stream_count;
    Fetch fetch;
    fetch.stream = 0;
    fetch.begin(streams, products, warp);
    for (int i = 0; i < DEPTH; i++) fetch.one(ring + i * STAGE, full_at + 8 * i, streams, products, warp);

#pragma unroll 1
    for (u32 i = 0; i < count; i++) {
        const Op& op = here[i % AHEAD];
        fetch_op(here_at, ops, i + AHEAD / 2, count);
        if (i + 2 < count && here[(i + 2) % AHEAD].kind == PRODUCT) norm_ahead(here[(i + 2) % AHEAD]);
        switch (op.kind) {
        case EMBED: {
            const Embed& e = op.embed;
            Part mine = part_of(e.width / PANEL);
            u32 begin = mine.begin * PANEL, end = mine.end * PANEL;
            for (u32 c = begin + threadIdx.x; c < end; c += THREADS) {
                float x = row[c];
                own[c - begin] = x;
                put_marked(e.x + c, __float_as_uint(x), base + op.mark);
            }
            if (blockIdx.x == gridDim.x - 1 && threadIdx.x < TURNED) put_marked(e.turn + threadIdx.x, __float_as_uint(row[e.width + threadIdx.x]), base + op.mark);
            break;
        }
        case PRODUCT:
            // Who has none of its rows does not wait for its input, which may be gone by then.
            if (streams[stream].panels == 0) {}
            else if (op.format == BF16) product<BF16>(fetch, place, phase, ring, full_at, scratch, floor, op, streams, stream, products, sums, own, &meeting->best, i + 1 < count ? &here[(i + 1) % AHEAD] : nullptr);
            else product<Q4_0>(fetch, place, phase, ring, full_at, scratch, floor, op, streams, stream, products, sums, own, &meeting->best, i + 1 < count ? &here[(i + 1) % AHEAD] : nullptr);
            stream++;
            break;
        case DELTA: delta_step(floor, op.delta, base + op.needs, base + op.mark); break;
        case ATTEND:
            attend(floor, op.attend, fetch, place, phase, ring, full_at, streams, products, base + op.needs, base + op.mark);
            stream++;
            break;
        }
        wait_for_groups<1>();
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        // The last one out leaves everything as it was found, for the next token.
        __threadfence();
        if (atomicAdd(&meeting->left, 1) == gridDim.x - 1) {
            meeting->left = 0;
            *answer = atomicExch(&meeting->best, 0);
        }
    }
}
