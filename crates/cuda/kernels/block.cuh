// A whole token as one kernel: a block for each multiprocessor goes through the operations, and takes from the others what they have done.
//
// Weights do not wait for that. Each warp has a ring in shared memory that the copy engine fills with what this warp will need next, whichever
// operation that belongs to: while a block waits for others, memory goes on.
// Warps of a block, places of a warp's ring, bytes of a place, and the most products of a token.
#ifndef DEPTH_
#define DEPTH_ 4
#endif
constexpr int WARPS = 16, THREADS = 32 * WARPS, DEPTH = DEPTH_, STAGE = 2304, MOST_PRODUCTS = 320;

enum Kind { EMBED = 0, PRODUCT = 1, DELTA = 2, ATTEND = 3 };

// What the ring needs to know of a product: this block's part.
struct Stream { const u8* weights; u32 begin, panels; u16 chunks, bytes; u32 run; };
// Its chunks are dealt to the warps in runs of one chunk, or of all chunks of a panel. Of attention, `run` is 0 and `panels` are tiles of the cache.
DEVICE u32 parts_of(u32 run, u32 chunks) { return run > 1 ? 1 : min(chunks, (u32)WARPS); }
// How many of `all` chunks a warp has.
DEVICE u32 dealt(u32 panels, u32 chunks, u32 run, u32 warp) { return ((run > 1 ? panels : panels * chunks) + WARPS - 1 - warp) / WARPS * run; }
// How many blocks are done, and the likeliest token so far.
struct Meeting { u32 left, unused; u64 best; };

// A block's panels of all: as many as any other's, or one more.
struct Part { u32 begin, end; };
DEVICE Part part_of(u32 panels) { return {(u32)((u64)blockIdx.x * panels / gridDim.x), (u32)((u64)(blockIdx.x + 1) * panels / gridDim.x)}; }

constexpr u32 MOST_OWN = 256;  // rows of the stream that a block may own

struct Floor {
    u32 position;
    u32 base;     // marks of this token are above it
    u8* scratch;  // what an operation may use
    // Waits until most of `units` have their mark: a few threads ask for a few of them, so that the many do not take from memory's time.
    DEVICE void expect(const u64* from, u32 units, u32 mark) const {
        constexpr u32 ASKED = 16;
        u32 t = thread_now();
        if (t < ASKED) take_marked(from + (u64)t * units / ASKED, mark);
        __syncthreads();
    }
};

// What a warp fetches next: runs of chunks, and how far it is from the end of one to the next.
struct Fetch {
    const u8* from;
    u32 left, in_run, run, bytes, jump, other_jump, stream;
    DEVICE void begin(const Stream* streams, u32 count, u32 warp) {
        left = 0;
        while (stream < count) {
            const Stream& s = streams[stream];
            if (s.run) {
                run = s.run;
                bytes = s.bytes;
                left = dealt(s.panels, s.chunks, run, warp);
                from = s.weights + warp * run * bytes;
                jump = other_jump = (WARPS - 1) * run * bytes;
            } else {
                // Of each tile four chunks of keys, then four of values.
                constexpr u32 PAIRS = WARPS / 2, QUARTER = 8192;
                u32 pair = warp % PAIRS, half = warp / PAIRS;
                run = 4;
                bytes = QUARTER / 4;
                left = pair < s.panels ? (s.panels - pair + PAIRS - 1) / PAIRS * 8 : 0;
                from = s.weights + pair * 4 * QUARTER + half * QUARTER;
                jump = QUARTER;
                other_jump = PAIRS * 4 * QUARTER - 3 * QUARTER;
            }
            in_run = run;
            if (left) return;
            stream++;
        }
    }
    DEVICE void one(u32 to, u32 full, const Stream* streams, u32 count, u32 warp) {
        if (!left) return;
        if (elected()) copy_in(to, from, bytes, full);
        from += bytes;
        if (--in_run == 0) { in_run = run; from += jump; u32 j = jump; jump = other_jump; other_jump = j; }
        if (--left == 0) { stream++; begin(streams, count, warp); }
    }
};
