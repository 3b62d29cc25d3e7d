/* Pooling for training on a CPU, with what stands around it: the normalisation and activation of the input
   before, another map added and the statistics of the output after. Windows of one value leave just these.
   What each does is told in native_pool.py, which calls it through XLA.

   A task is one channel, which lies in one piece. */
#include "maps.h"

enum { MEAN, MAX, LARGEST }; /* LARGEST: a MAX before what is pending, or where its scale falls, the smallest */

typedef struct {
    int c, h, w, n;        /* of the input */
    int high, wide;        /* rows and columns of the output */
    int kh, kw;            /* of the window */
    int down, across;      /* from one window to the next */
    int function, affine, activation;
    int plus, statistics;  /* whether a map is added; whether statistics are taken, or back there, used */
    int places;            /* whether it is kept which value of a window is the largest */
} Pool;

typedef uint16_t places __attribute__((vector_size(sizeof(uint16_t) * LANES)));

/* Which value of its window each of `count` outputs is. */
INLINE mask get_places(const uint16_t *which, int count)
{
    places some = {0};
    memcpy(&some, which, sizeof(uint16_t) * (size_t)smaller(count, LANES));
    return __builtin_convertvector(some, mask);
}

INLINE void put_places(uint16_t *which, mask place, int count)
{
    const places some = __builtin_convertvector(place, places);
    memcpy(which, &some, sizeof(uint16_t) * (size_t)smaller(count, LANES));
}

/* What is done to a channel before its activation: what is pending or, for LARGEST, that a falling one turns. */
static Channel before_of(const Pool *s, Affine of, int c)
{
    if (s->function == LARGEST)
        return (Channel){all(0), all(s->affine && of.scale[c] < 0 ? -1 : 1), all(0)};
    return channel_of(s->affine, of, c);
}

typedef struct {
    Pool s;
    const real *x, *plus, *g;
    real *y, *dx, *sums; /* sums: (3, c) */
    uint16_t *which;
    Affine of, of_y; /* of_y: what the statistics add to g */
    real below;
    vec *moments, *memory; /* of all channels; of all threads */
    size_t each;           /* the memory of one thread */
} Call;

/* A row of outputs, `to` of all, from the row of x where its windows begin. */
INLINE void pool_row(const int kh, const int kw, const Call *call, Channel before, const real *x, size_t to)
{
    const Pool *s = &call->s;
    const vec share = all(1 / (real)(kh * kw)), slope = all(call->below);
    for (int column = 0; column < s->wide; column++)
        for (int lane = 0; lane < s->n; lane += LANES) {
            const int count = s->n - lane;
            const size_t at = to + (size_t)column * s->n + lane;
            vec best = all(0);
            mask place = {0};
            for (int i = 0; i < kh; i++) {
                vec sum = all(0); /* of a row by itself: sums that are short round less */
                for (int j = 0; j < kw; j++) {
                    const size_t from = ((size_t)i * s->w + column * s->across + j) * s->n + lane;
                    const vec z = activated(s->activation, mapped(get(x + from, count), before), slope);
                    const mask better = (z > best) | (z != z); /* what is no number stays in sight */
                    if (s->function == MEAN) {
                        sum += z;
                    } else if (i + j == 0) {
                        best = z;
                    } else {
                        best = pick(better, z, best);
                        place = (better & (i * kw + j)) | (~better & place);
                    }
                }
                if (s->function == MEAN)
                    best += sum;
            }
            if (s->function == MEAN)
                best *= share;
            if (s->places)
                put_places(call->which + at, place, count);
            if (s->function == LARGEST)
                best *= before.scale; /* 1 or -1 */
            if (s->plus)
                best += get(call->plus + at, count);
            put(call->y + at, best, count);
        }
}

static void forward_task(void *with, int c, int thread)
{
    const Call *call = with;
    const Pool *s = &call->s;
    const size_t row_apart = (size_t)s->wide * s->n, channel = c * s->high * row_apart;
    const Channel before = before_of(s, call->of, c);
    (void)thread;
    for (int line = 0; line < s->high; line++) {
        const size_t to = channel + line * row_apart;
        const real *x = call->x + ((size_t)c * s->h + (size_t)line * s->down) * s->w * s->n;
        if (s->kh == 1 && s->kw == 1)
            pool_row(1, 1, call, before, x, to);
        else if (s->kh == 2 && s->kw == 2)
            pool_row(2, 2, call, before, x, to);
        else if (s->kh == 3 && s->kw == 3)
            pool_row(3, 3, call, before, x, to);
        else
            pool_row(s->kh, s->kw, call, before, x, to);
        for (int block = 0; s->statistics && block < up(s->n, LANES); block++) {
            const Row row = row_of(call->y + channel, s->high, s->wide, s->n, line, block);
            add_moments(&row, 0, s->wide, line, moments_of(call->moments, block, c, s->c));
        }
    }
}

/* Adds to a row of the gradient of what is pooled, (columns, blocks), what row `line` of the output gives
   to it, which is row `i` of its windows. */
INLINE void spread_row(const int kw, const Call *call, int c, int line, int i, vec *row)
{
    const Pool *s = &call->s;
    const int blocks = up(s->n, LANES);
    const vec share = all(1 / (real)(s->kh * s->kw));
    const Channel of_y = channel_of(s->statistics, call->of_y, c);
    for (int column = 0; column < s->wide; column++)
        for (int block = 0; block < blocks; block++) {
            const int count = s->n - block * LANES;
            const size_t at = (((size_t)c * s->high + line) * s->wide + column) * s->n + block * LANES;
            vec g = get(call->g + at, count), *to = row + (size_t)column * s->across * blocks + block;
            if (s->statistics)
                g += mapped(get(call->y + at, count), of_y);
            if (s->function == MEAN) {
                for (int j = 0; j < kw; j++)
                    to[j * blocks] += g * share;
            } else {
                const mask place = get_places(call->which + at, count);
                for (int j = 0; j < kw; j++)
                    to[j * blocks] += pick(place == i * kw + j, g, all(0));
            }
        }
}

static void backward_task(void *with, int c, int thread)
{
    const Call *call = with;
    const Pool *s = &call->s;
    const int blocks = up(s->n, LANES), pending = s->function != LARGEST && (s->affine || s->activation);
    const Channel before = before_of(s, call->of, c);
    vec *row = call->memory + thread * call->each, sums[3] = {all(0), all(0), all(0)};
    for (int r = 0; r < s->h; r++) {
        memset(row, 0, sizeof(vec) * s->w * blocks);
        for (int line = smaller(r / s->down, s->high - 1); line >= 0 && line * s->down + s->kh > r; line--)
            switch (s->kw) {
            case 1: spread_row(1, call, c, line, r - line * s->down, row); break;
            case 2: spread_row(2, call, c, line, r - line * s->down, row); break;
            case 3: spread_row(3, call, c, line, r - line * s->down, row); break;
            default: spread_row(s->kw, call, c, line, r - line * s->down, row);
            }
        vec here[3] = {all(0), all(0), all(0)};
        for (int column = 0; column < s->w; column++)
            for (int block = 0; block < blocks; block++) {
                const int count = s->n - block * LANES;
                const size_t at = (((size_t)c * s->h + r) * s->w + column) * s->n + block * LANES;
                vec g = row[column * blocks + block];
                if (pending) {
                    const vec x = get(call->x + at, count);
                    g = activation_back(s->activation, first_of(g, count), x, before, all(call->below), here);
                    g *= before.scale;
                }
                put(call->dx + at, g, count);
            }
        for (int i = 0; i < 3; i++)
            sums[i] += here[i];
    }
    for (int i = 0; i < 3; i++)
        call->sums[i * s->c + c] = sum_of(sums[i]);
}

/* Arguments: forward the first four; of the gradient, Y and what follows it instead of PLUS. What is not
   needed is of whatever shape. */
enum { X, AFFINE, BELOW, PLUS, Y = PLUS, G, WHICH, OF_Y };

/* The attribute `kind`: c, h, w, n, high, wide, kh, kw, down, across, function, affine, activation, plus,
   statistics, places. */
static Pool pool_of(const XLA_FFI_CallFrame *call)
{
    const int64_t *kind = ((XLA_FFI_Array *)call->attrs.attrs[0])->data;
    return (Pool){
        .c = (int)kind[0], .h = (int)kind[1], .w = (int)kind[2], .n = (int)kind[3], .high = (int)kind[4],
        .wide = (int)kind[5], .kh = (int)kind[6], .kw = (int)kind[7], .down = (int)kind[8],
        .across = (int)kind[9], .function = (int)kind[10], .affine = (int)kind[11],
        .activation = (int)kind[12], .plus = (int)kind[13], .statistics = (int)kind[14],
        .places = (int)kind[15]};
}

static XLA_FFI_Error *run(XLA_FFI_CallFrame *frame, int backward)
{
    if (is_question(frame))
        return NULL;
    Call call = {.s = pool_of(frame)};
    const Pool *s = &call.s;
    const int blocks = up(s->n, LANES), threads = threads_for(s->c, (size_t)s->c * s->h * s->w * s->n);
    call.each = (size_t)s->w * blocks;
    const size_t moments = s->statistics ? 2 * (size_t)blocks * s->c : 0;
    call.memory = memory_of((backward ? threads * call.each : moments) + 1);
    if (!call.memory)
        return failure(frame, "A pooling has not enough memory.");
    call.moments = call.memory;
    call.x = argument(frame, X)->data;
    call.of = affine_of(argument(frame, AFFINE)->data, s->c);
    call.below = *(real *)argument(frame, BELOW)->data;
    if (backward) {
        call.y = argument(frame, Y)->data;
        call.g = argument(frame, G)->data;
        call.which = argument(frame, WHICH)->data;
        call.of_y = affine_of(argument(frame, OF_Y)->data, s->c);
        call.dx = result(frame, 0);
        call.sums = result(frame, 1);
        do_all(s->c, threads, backward_task, &call);
    } else {
        call.plus = argument(frame, PLUS)->data;
        call.y = result(frame, 0);
        call.which = (uint16_t *)result(frame, 1);
        do_all(s->c, threads, forward_task, &call);
        if (s->statistics)
            join_moments(call.moments, s->c, s->n, result(frame, 2));
    }
    return NULL;
}

EXPORTED XLA_FFI_Error *NAMED(pennyweight_pool)(XLA_FFI_CallFrame *frame) { return run(frame, 0); }
EXPORTED XLA_FFI_Error *NAMED(pennyweight_pool_gradient)(XLA_FFI_CallFrame *frame) { return run(frame, 1); }
