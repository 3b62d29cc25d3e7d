/* Pooling for training on a CPU, with what stands around it: the normalisation and activation of the input
   before, another map added and the statistics of the output after. Windows of one value leave just these.
   What each does is told in native_pool.py, which calls it through XLA.

   A task is one channel's maps of a portion's pictures, a plane, which lies in one piece. */
#include "maps.h"

enum { MEAN, MAX, LARGEST }; /* LARGEST: a MAX before what is pending, or where its scale falls, the smallest */

typedef struct {
    int c, portions;
    int h, w, n;           /* of the input; n pictures in each portion */
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
    real *y, *dx, *sums; /* sums: of each plane, of scale, shift and slope */
    uint16_t *which;
    Affine of, of_y; /* of_y: what the statistics add to g */
    real below;
    vec *moments, *memory; /* of all planes; of all threads */
    size_t each;           /* the memory of one thread */
} Call;

/* A row of outputs, `to` of all, from the row of x where its windows begin. */
INLINE void pool_row(const int full, const int kh, const int kw, const Call *call, Channel before, const real *x,
                     size_t to)
{
    const Pool *s = &call->s;
    const vec share = all(1 / (real)(kh * kw)), slope = all(call->below);
    const size_t next_x = (size_t)s->down * s->w * s->n, next_y = (size_t)s->wide * s->n; /* of the next row */
    for (int column = 0; column < s->wide; column++)
        for (int lane = 0; lane < s->n; lane += LANES) {
            const int count = left_of(full, s->n, lane);
            const size_t at = to + (size_t)column * s->n + lane;
            prefetch_to_write(call->y + at + next_y);
            vec best = all(0);
            mask place = {0};
            for (int i = 0; i < kh; i++) {
                vec sum = all(0); /* of a row by itself: sums that are short round less */
                for (int j = 0; j < kw; j++) {
                    const size_t from = ((size_t)i * s->w + column * s->across + j) * s->n + lane;
                    prefetch(x + from + next_x);
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

typedef struct {
    int portion, channel;
    size_t at; /* among all planes */
} Plane;

/* Portion by portion, as these stay with a thread. */
static Plane plane_of(const Pool *s, int number)
{
    const int portion = number / s->c, channel = number % s->c;
    return (Plane){portion, channel, (size_t)channel * s->portions + portion};
}

INLINE void forward_plane(const int full, const Call *call, Plane plane)
{
    const Pool *s = &call->s;
    const int blocks = up(s->n, LANES);
    const size_t row_apart = (size_t)s->wide * s->n, begin = plane.at * s->high * row_apart;
    const Channel before = before_of(s, call->of, plane.channel);
    for (int line = 0; line < s->high; line++) {
        const size_t to = begin + line * row_apart;
        const real *x = call->x + (plane.at * s->h + (size_t)line * s->down) * s->w * s->n;
        if (s->kh == 1 && s->kw == 1)
            pool_row(full, 1, 1, call, before, x, to);
        else if (s->kh == 2 && s->kw == 2)
            pool_row(full, 2, 2, call, before, x, to);
        else if (s->kh == 3 && s->kw == 3)
            pool_row(full, 3, 3, call, before, x, to);
        else
            pool_row(full, s->kh, s->kw, call, before, x, to);
        for (int block = 0; s->statistics && block < blocks; block++) {
            const Row row = row_of(full, call->y + begin, 1, s->high, s->wide, s->n, line, block);
            vec *moments = moments_of(call->moments, plane.portion * blocks + block, plane.channel, s->c);
            add_moments(&row, 0, s->wide, line, moments);
        }
    }
}

static void forward_task(void *with, int number, int thread)
{
    const Call *call = with;
    const Plane plane = plane_of(&call->s, number);
    (void)thread;
    if (is_full(call->s.n))
        forward_plane(1, call, plane);
    else
        forward_plane(0, call, plane);
}

/* Adds to a row of the gradient of what is pooled, (columns, blocks), what row `line` of the output gives
   to it, which is row `i` of its windows. */
INLINE void spread_row(const int full, const int kw, const Call *call, Plane plane, int line, int i, vec *row)
{
    const Pool *s = &call->s;
    const int blocks = up(s->n, LANES);
    const vec share = all(1 / (real)(s->kh * s->kw));
    const size_t next = (size_t)s->wide * s->n;
    for (int column = 0; column < s->wide; column++)
        for (int block = 0; block < blocks; block++) {
            const int count = left_of(full, s->n, block * LANES);
            const size_t at = ((plane.at * s->high + line) * s->wide + column) * s->n + block * LANES;
            vec g = get(call->g + at, count), *to = row + (size_t)column * s->across * blocks + block;
            prefetch(call->g + at + next);
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

/* Whether every value is a window by itself. */
static int is_alone(const Pool *s)
{
    return s->function == MEAN && s->kh == 1 && s->kw == 1 && s->down == 1 && s->across == 1;
}

/* The gradient of what a value by itself becomes. What its statistics need, y, is made of x again, and not kept. */
INLINE vec gradient_alone(const Call *call, Channel before, Channel of_y, size_t at, int count)
{
    const vec g = get(call->g + at, count);
    if (!call->s.statistics)
        return g;
    const vec y = activated(call->s.activation, mapped(get(call->x + at, count), before), all(call->below));
    return g + mapped(y, of_y);
}

/* The gradient of row `r` of what is pooled. */
INLINE void spread(const int full, const Call *call, Plane plane, int r, vec *row)
{
    const Pool *s = &call->s;
    memset(row, 0, sizeof(vec) * s->w * up(s->n, LANES));
    for (int line = smaller(r / s->down, s->high - 1); line >= 0 && line * s->down + s->kh > r; line--)
        switch (s->kw) {
        case 1: spread_row(full, 1, call, plane, line, r - line * s->down, row); break;
        case 2: spread_row(full, 2, call, plane, line, r - line * s->down, row); break;
        case 3: spread_row(full, 3, call, plane, line, r - line * s->down, row); break;
        default: spread_row(full, s->kw, call, plane, line, r - line * s->down, row);
        }
}

INLINE void backward_plane(const int full, const int alone, const Call *call, Plane plane, vec *row)
{
    const Pool *s = &call->s;
    const int blocks = up(s->n, LANES), pending = s->function != LARGEST && (s->affine || s->activation);
    const Channel before = before_of(s, call->of, plane.channel);
    const Channel of_y = channel_of(s->statistics, call->of_y, plane.channel);
    vec sums[3] = {all(0), all(0), all(0)};
    for (int r = 0; r < s->h; r++) {
        if (!alone)
            spread(full, call, plane, r, row);
        vec here[3] = {all(0), all(0), all(0)};
        const size_t next = (size_t)s->w * s->n;
        for (int column = 0; column < s->w; column++)
            for (int block = 0; block < blocks; block++) {
                const int count = left_of(full, s->n, block * LANES);
                const size_t at = ((plane.at * s->h + r) * s->w + column) * s->n + block * LANES;
                vec g = alone ? gradient_alone(call, before, of_y, at, count) : row[column * blocks + block];
                if (alone)
                    prefetch(call->g + at + next);
                prefetch_to_write(call->dx + at + next);
                if (pending) {
                    prefetch(call->x + at + next);
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
        call->sums[3 * plane.at + i] = sum_of(sums[i]);
}

static void backward_task(void *with, int number, int thread)
{
    const Call *call = with;
    const Plane plane = plane_of(&call->s, number);
    vec *row = call->memory + thread * call->each;
    const int full = is_full(call->s.n), alone = is_alone(&call->s);
    if (full && alone)
        backward_plane(1, 1, call, plane, row);
    else if (full)
        backward_plane(1, 0, call, plane, row);
    else
        backward_plane(0, alone, call, plane, row);
}

/* (3, c) of scale, shift and slope: the portions' sums, in order. */
static void join_sums(const Call *call, real *sums)
{
    const Pool *s = &call->s;
    for (int i = 0; i < 3; i++)
        for (int c = 0; c < s->c; c++) {
            real sum = 0;
            for (int portion = 0; portion < s->portions; portion++)
                sum += call->sums[3 * ((size_t)c * s->portions + portion) + i];
            sums[i * s->c + c] = sum;
        }
}

/* Arguments: forward the first four; of the gradient, G and what follows it instead of PLUS. What is not
   needed is of whatever shape. */
enum { X, AFFINE, BELOW, PLUS, G = PLUS, WHICH, OF_Y };

/* The attribute `kind`: c, portions, h, w, n, high, wide, kh, kw, down, across, function, affine, activation, plus,
   statistics, places. */
static Pool pool_of(const XLA_FFI_CallFrame *call)
{
    const int64_t *kind = ((XLA_FFI_Array *)call->attrs.attrs[0])->data;
    return (Pool){
        .c = (int)kind[0], .portions = (int)kind[1], .h = (int)kind[2], .w = (int)kind[3], .n = (int)kind[4],
        .high = (int)kind[5], .wide = (int)kind[6], .kh = (int)kind[7], .kw = (int)kind[8],
        .down = (int)kind[9], .across = (int)kind[10], .function = (int)kind[11], .affine = (int)kind[12],
        .activation = (int)kind[13], .plus = (int)kind[14], .statistics = (int)kind[15],
        .places = (int)kind[16]};
}

static XLA_FFI_Error *run(XLA_FFI_CallFrame *frame, int backward)
{
    if (is_question(frame))
        return NULL;
    Call call = {.s = pool_of(frame)};
    const Pool *s = &call.s;
    const int blocks = up(s->n, LANES), planes = s->c * s->portions;
    const int threads = threads_for(planes, (size_t)planes * s->h * s->w * s->n);
    call.each = (size_t)s->w * blocks;
    const size_t moments = s->statistics ? 2 * (size_t)planes * blocks : 0;
    const size_t results = backward ? (size_t)up(3 * planes, LANES) : moments;
    call.moments = memory_of(results + (backward ? threads * call.each : 0) + 1);
    if (!call.moments)
        return failure(frame, "A pooling has not enough memory.");
    call.sums = (real *)call.moments;
    call.memory = call.moments + results;
    call.x = argument(frame, X)->data;
    call.of = affine_of(argument(frame, AFFINE)->data, s->c);
    call.below = *(real *)argument(frame, BELOW)->data;
    if (backward) {
        call.g = argument(frame, G)->data;
        call.which = argument(frame, WHICH)->data;
        call.of_y = affine_of(argument(frame, OF_Y)->data, s->c);
        call.dx = result(frame, 0);
        do_all(planes, threads, backward_task, &call);
        join_sums(&call, result(frame, 1));
    } else {
        call.plus = argument(frame, PLUS)->data;
        call.y = result(frame, 0);
        call.which = (uint16_t *)result(frame, 1);
        do_all(planes, threads, forward_task, &call);
        if (s->statistics)
            join_moments(call.moments, s->c, s->portions, s->n, result(frame, 2));
    }
    return NULL;
}

EXPORTED XLA_FFI_Error *NAMED(pennyweight_pool)(XLA_FFI_CallFrame *frame) { return run(frame, 0); }
EXPORTED XLA_FFI_Error *NAMED(pennyweight_pool_gradient)(XLA_FFI_CallFrame *frame) { return run(frame, 1); }
