/* Convolutions for training on a CPU, with what stands around them: the normalisation and activation
   of the input before, the statistics of the output after. What each does is told in
   native_convolution.py, which calls them through XLA.

   Pictures lie last in memory (c, portions, h, w, n), so every lane of a vector does the same. Of each
   channel, a portion is in one piece. A row of the map at a time is laid out in blocks of LANES pictures,
   with zeros around it, and stays in the cache while it is used; the row after it is asked for meanwhile. */
#include "maps.h"

enum { GROUP = 4 };  /* vectors of pictures whose gradients are summed together, at most */
enum { ALONE = 8 };  /* and in a task of a thread alone: where maps outgrow the caches, longer runs are read faster */
enum { WIDEST = 6 }; /* columns at a time; TAPS, the largest side of a kernel, is what Python says */
#ifdef __AVX512F__
enum { DEEP = 4, WIDE = WIDEST }; /* outputs times columns whose sums stay in registers */
#else
enum { DEEP = 2, WIDE = 3 };
#endif

typedef struct {
    int c, h, w, n;    /* of the input; n pictures in each portion */
    int portions;
    int o, high, wide; /* of the output: channels, rows, columns */
    int kh, kw, stride, dilation, top, left, depthwise;
    int affine;     /* whether the input is normalised first */
    int activation; /* of it then: none, ReLU, or a slope below 0 */
    int statistics; /* whether those of the output are taken, or back there, used */
    int group;      /* blocks whose pictures' gradients are summed together: no more than one task has */
} Conv;

/* A row of outputs is the sum over `rows` of inputs and the `taps` in each: at `off[tap]` from where
   the row begins, one column every `step`, times weights of DEEP outputs each. */
typedef struct {
    int rows, taps, step;
    const vec *x[TAPS];
    const real *k[TAPS];
    const int *off;
} Sum;

INLINE void sum_tile(const int columns, const Sum *s, int column, int output, const Row *y, int outputs)
{
    vec sums[DEEP][WIDEST];
    for (int o = 0; o < DEEP; o++)
        for (int w = 0; w < columns; w++)
            sums[o][w] = all(0);
    for (int row = 0; row < s->rows; row++) {
        const vec *from = s->x[row] + column * s->step;
        const real *k = s->k[row] + output * s->taps;
        for (int tap = 0; tap < s->taps; tap++, k += DEEP) {
            const vec *x = from + s->off[tap];
            UNROLL for (int w = 0; w < columns; w++) {
                const vec value = x[w * s->step];
                UNROLL for (int o = 0; o < DEEP; o++)
                    sums[o][w] += value * k[o];
            }
        }
    }
    for (int o = 0; o < outputs; o++)
        for (int w = 0; w < columns; w++)
            put_at(y, output + o, column + w, sums[o][w]);
}

static void sum_row(const Sum *s, const Row *y, int wide, int outputs)
{
    for (int o = 0; o < outputs; o += DEEP) {
        const int some = outputs - o < DEEP ? outputs - o : DEEP;
        int w = 0;
        for (; w + WIDE <= wide; w += WIDE)
            sum_tile(WIDE, s, w, o, y, some);
        switch (wide - w) {
        case 5: sum_tile(5, s, w, o, y, some); break;
        case 4: sum_tile(4, s, w, o, y, some); break;
        case 3: sum_tile(3, s, w, o, y, some); break;
        case 2: sum_tile(2, s, w, o, y, some); break;
        case 1: sum_tile(1, s, w, o, y, some); break;
        }
    }
}

/* The same of one channel by itself: a weight a tap. */
INLINE void sum_tile_alone(const int columns, const int step, const Sum *s, int channel, int column, const Row *y)
{
    vec sums[WIDEST];
    for (int w = 0; w < columns; w++)
        sums[w] = all(0);
    for (int row = 0; row < s->rows; row++)
        for (int tap = 0; tap < s->taps; tap++) {
            const vec *x = s->x[row] + s->off[tap] + column * step;
            const real k = s->k[row][channel * s->taps + tap];
            UNROLL for (int w = 0; w < columns; w++)
                sums[w] += x[w * step] * k;
        }
    for (int w = 0; w < columns; w++)
        put_at(y, channel, column + w, sums[w]);
}

INLINE void sum_channel(const int step, const Sum *s, int channel, int wide, const Row *y)
{
    int w = 0;
    for (; w + WIDE <= wide; w += WIDE)
        sum_tile_alone(WIDE, step, s, channel, w, y);
    switch (wide - w) {
    case 5: sum_tile_alone(5, step, s, channel, w, y); break;
    case 4: sum_tile_alone(4, step, s, channel, w, y); break;
    case 3: sum_tile_alone(3, step, s, channel, w, y); break;
    case 2: sum_tile_alone(2, step, s, channel, w, y); break;
    case 1: sum_tile_alone(1, step, s, channel, w, y); break;
    }
}

/* `apart` is from channel to channel of the inputs. */
static void sum_row_alone(Sum s, const Row *y, int wide, int channels, int apart)
{
    for (int c = 0; c < channels; c++) {
        if (s.step == 1) /* told when this is compiled, it saves half of the instructions */
            sum_channel(1, &s, c, wide, y);
        else
            sum_channel(s.step, &s, c, wide, y);
        for (int row = 0; row < s.rows; row++)
            s.x[row] += apart;
    }
}

/* Adds to rows of sums, from `place` on, the products of as many rows of gradients with inputs at `off`,
   over `wide` columns that are `step` apart in both. */
INLINE void pair_tile(const int some, const int deep, const vec *const *g, const vec *x, const int *off, int wide,
                      int step, vec *const *sums, int place)
{
    vec here[DEEP][WIDEST];
    for (int o = 0; o < deep; o++)
        for (int p = 0; p < some; p++)
            here[o][p] = all(0);
    for (int w = 0; w < wide; w++) {
        vec from[DEEP];
        UNROLL for (int o = 0; o < deep; o++)
            from[o] = g[o][w * step];
        UNROLL for (int p = 0; p < some; p++) {
            const vec value = x[off[place + p] + w * step];
            UNROLL for (int o = 0; o < deep; o++)
                here[o][p] += from[o] * value;
        }
    }
    for (int o = 0; o < deep; o++)
        for (int p = 0; p < some; p++)
            sums[o][place + p] += here[o][p];
}

INLINE void pair_row(const int deep, const vec *const *g, const vec *x, const int *off, int wide, int step,
                     vec *const *sums, int places)
{
    int p = 0;
    for (; p + WIDE <= places; p += WIDE)
        pair_tile(WIDE, deep, g, x, off, wide, step, sums, p);
    switch (places - p) {
    case 5: pair_tile(5, deep, g, x, off, wide, step, sums, p); break;
    case 4: pair_tile(4, deep, g, x, off, wide, step, sums, p); break;
    case 3: pair_tile(3, deep, g, x, off, wide, step, sums, p); break;
    case 2: pair_tile(2, deep, g, x, off, wide, step, sums, p); break;
    case 1: pair_tile(1, deep, g, x, off, wide, step, sums, p); break;
    }
}

/* The same of DEEP outputs, whose gradients are `apart`. */
static void pair_outputs(const vec *g, int apart, const vec *x, const int *off, int wide, int step, vec *sums,
                         int places)
{
    const vec *from[DEEP];
    vec *to[DEEP];
    for (int o = 0; o < DEEP; o++) {
        from[o] = g + o * apart;
        to[o] = sums + o * places;
    }
    pair_row(DEEP, from, x, off, wide, step, to, places);
}

/* The same of one channel by itself: of `rows` of its gradient, each with a row of the kernel. */
static void pair_alone(int rows, const vec *const *g, const vec *x, const int *off, int wide, int step,
                       vec *const *sums, int places)
{
    for (int r = 0; r < rows; r += DEEP)
        switch (smaller(rows - r, DEEP)) {
        case 1: pair_row(1, g + r, x, off, wide, step, sums + r, places); break;
        case 2: pair_row(2, g + r, x, off, wide, step, sums + r, places); break;
#ifdef __AVX512F__
        case 3: pair_row(3, g + r, x, off, wide, step, sums + r, places); break;
        case 4: pair_row(4, g + r, x, off, wide, step, sums + r, places); break;
#endif
        }
}

/* What a task works with: some blocks of a portion's pictures, and memory of its own. */
typedef struct {
    int portion, first, blocks; /* of LANES pictures */
    vec *memory;
} Part;

/* Where a row of its portion begins, in maps that are so `high` and `wide`. */
INLINE size_t row_at(const Conv *s, const Part *part, int high, int wide, int channel, int row)
{
    return ((size_t)(channel * s->portions + part->portion) * high + row) * wide * s->n;
}

INLINE Row block_row(const int full, const Conv *s, const Part *part, real *maps, int high, int wide, int row,
                     int block)
{
    real *portion = maps + row_at(s, part, high, wide, 0, 0);
    return row_of(full, portion, s->portions, high, wide, s->n, row, part->first + block);
}

INLINE vec *take(Part *part, size_t vectors)
{
    vec *here = part->memory;
    part->memory += vectors;
    return here;
}

/* Lays out row `row` of the input, ready for its products: block by block, channels `apart`. */
INLINE void lay_row(const int full, const Conv *s, const Part *part, const real *x, Affine of, real below, int row,
                    vec *to, int apart, size_t block)
{
    const vec slope = all(below);
    for (int c = 0; c < s->c; c++) {
        const Channel map = channel_of(s->affine, of, c);
        for (int w = 0; w < s->w; w++) {
            const real *from = x + row_at(s, part, s->h, s->w, c, row) + (size_t)w * s->n;
            vec *at = to + c * apart + w;
            for (int b = 0; b < part->blocks; b++, at += block) {
                const int lane = (part->first + b) * LANES;
                prefetch(from + lane + (size_t)s->w * s->n); /* of the row after this one */
                vec z = get(from + lane, left_of(full, s->n, lane));
                z = s->affine ? mapped(z, map) : z;
                *at = activated(s->activation, z, slope);
            }
        }
    }
}

static int forward_columns(const Conv *s)
{
    return larger(s->left + s->w, (s->wide - 1) * s->stride + (s->kw - 1) * s->dilation + 1);
}

/* Rows of the input that are held at once. */
static int forward_ring(const Conv *s) { return smaller((s->kh - 1) * s->dilation + 1, s->h); }

/* Vectors of memory for so many blocks: rows of inputs. */
static size_t forward_memory(const Conv *s, int blocks)
{
    return (size_t)blocks * forward_ring(s) * s->c * forward_columns(s);
}

/* The kernel as sums of rows read it: of DEEP `outputs` of these sums together, (row of the kernel, outputs,
   column, input, output), whose weights lie `out` and `in` apart; or, depthwise, (row, channel, column). */
static void pack(const Conv *s, const real *kernel, real *k, int outputs, int out, int inputs, int in)
{
    for (int i = 0; i < s->kh; i++) {
        const real *row = kernel + (size_t)i * s->kw * inputs * outputs;
        if (s->depthwise)
            for (int c = 0; c < s->c; c++)
                for (int j = 0; j < s->kw; j++)
                    *k++ = kernel[(i * s->kw + j) * s->c + c];
        else
            for (int first = 0; first < outputs; first += DEEP)
                for (int j = 0; j < s->kw; j++)
                    for (int from = 0; from < inputs; from++)
                        for (int to = first; to < first + DEEP; to++)
                            *k++ = to < outputs ? row[j * inputs * outputs + from * in + to * out] : 0;
    }
}

/* moments: for each block and output, a vector of means and one of variances. */
INLINE void forward_part(const int full, const Conv *s, Part part, const real *x, Affine of, real below,
                         const real *k, real *y, vec *moments)
{
    const int ring = forward_ring(s), columns = forward_columns(s), slot = s->c * columns;
    const int channels = s->depthwise ? 1 : s->c, taps = s->kw * channels;
    const int weights = s->depthwise ? s->c * s->kw : up(s->o, DEEP) * DEEP * taps;
    const int of_portion = part.portion * up(s->n, LANES) + part.first;
    const size_t block = (size_t)ring * slot;
    vec *rows = take(&part, block * part.blocks);
    memset(rows, 0, sizeof(vec) * block * part.blocks);
    int off[taps], next = 0;
    for (int j = 0; j < s->kw; j++)
        for (int c = 0; c < channels; c++)
            off[j * channels + c] = c * columns + j * s->dilation;
    for (int line = 0; line < s->high; line++) {
        const int first = line * s->stride - s->top;
        Sum sum = {.taps = taps, .step = s->stride, .off = off};
        int slots[TAPS], last = -1;
        for (int i = 0; i < s->kh; i++) {
            const int row = first + i * s->dilation;
            if (row < 0 || row >= s->h)
                continue;
            last = row;
            slots[sum.rows] = row % ring * slot;
            sum.k[sum.rows++] = k + i * weights;
        }
        for (next = larger(next, first); next <= last; next++)
            lay_row(full, s, &part, x, of, below, next, rows + next % ring * slot + s->left, columns, block);
        for (int b = 0; b < part.blocks; b++) {
            const Row to = block_row(full, s, &part, y, s->high, s->wide, line, b);
            for (int row = 0; row < sum.rows; row++)
                sum.x[row] = rows + b * block + slots[row];
            if (s->depthwise)
                sum_row_alone(sum, &to, s->wide, s->c, columns);
            else
                sum_row(&sum, &to, s->wide, s->o);
        }
        for (int o = 0; s->statistics && o < s->o; o++)
            for (int b = 0; b < part.blocks; b++) {
                const Row row = block_row(full, s, &part, y, s->high, s->wide, line, b);
                add_moments(&row, o, s->wide, line, moments_of(moments, of_portion + b, o, s->o));
            }
    }
}

typedef struct {
    int reach, left, columns, ring, outputs; /* of rows of the output's gradient */
    int inputs;                              /* columns of a row of the input */
    int places;                              /* of a kernel's row, an output's weights */
} Back;

static Back back_of(const Conv *s)
{
    Back back = {.reach = (s->kw - 1) * s->dilation};
    const int end = (s->wide - 1) * s->stride + 1;
    back.left = larger(back.reach - s->left, 0);
    back.columns = larger(back.left + end, back.left + s->left + s->w);
    back.ring = smaller((s->kh - 1) * s->dilation / s->stride + 2, s->high);
    back.outputs = s->depthwise ? s->o : up(s->o, DEEP) * DEEP;
    back.inputs = larger(s->left + s->w, end + back.reach);
    back.places = s->depthwise ? s->kw : s->c * s->kw;
    return back;
}

/* What a group adds to the gradient of the kernel, and to the sums of the input. */
static size_t backward_sums(const Conv *s)
{
    const Back back = back_of(s);
    return (size_t)s->kh * back.outputs * back.places + 3 * (size_t)s->c;
}

static size_t backward_memory(const Conv *s, int blocks)
{
    const Back back = back_of(s);
    return (size_t)blocks * ((size_t)back.ring * back.outputs * back.columns + (size_t)s->c * back.inputs) +
           up(blocks, s->group) * backward_sums(s);
}

typedef struct {
    const real *x, *y, *g, *k;
    Affine of, of_y; /* of_y: what the statistics add to g */
    real below;
    real *dx;   /* or NULL */
} Backward;

INLINE void lay_gradient(const int full, const Conv *s, const Part *part, const Backward *from, int row, vec *to,
                         int apart, size_t block)
{
    for (int o = 0; o < s->o; o++) {
        const Channel of_y = channel_of(s->statistics, from->of_y, o);
        for (int w = 0; w < s->wide; w++) {
            const size_t at = row_at(s, part, s->high, s->wide, o, row) + (size_t)w * s->n;
            vec *here = to + o * apart + w * s->stride;
            for (int b = 0; b < part->blocks; b++, here += block) {
                const int lane = (part->first + b) * LANES, count = left_of(full, s->n, lane);
                const size_t next = (size_t)s->wide * s->n;
                vec g = get(from->g + at + lane, count);
                prefetch(from->g + at + lane + next);
                if (s->statistics) {
                    prefetch(from->y + at + lane + next);
                    g += mapped(get(from->y + at + lane, count), of_y);
                }
                *here = first_of(g, count);
            }
        }
    }
}

/* Makes row `row` of dx, the gradient of what the products took, that of the input; sums: of the first group. */
INLINE void finish_row(const int full, const Conv *s, const Part *part, const Backward *from, int row, vec *sums)
{
    const vec slope = all(from->below), zero = all(0);
    for (int c = 0; c < s->c; c++) {
        const Channel of = channel_of(s->affine, from->of, c);
        vec *to = sums + c;
        for (int first = 0; first < part->blocks; first += s->group, to += backward_sums(s)) {
            const int last = smaller(first + s->group, part->blocks);
            vec here[3] = {zero, zero, zero};
            for (int w = 0; w < s->w; w++) {
                const size_t at = row_at(s, part, s->h, s->w, c, row) + (size_t)w * s->n;
                for (int b = first; b < last; b++) {
                    const int lane = (part->first + b) * LANES, count = left_of(full, s->n, lane);
                    real *to_x = from->dx + at + lane;
                    const vec x = get(from->x + at + lane, count);
                    const vec g = activation_back(s->activation, get(to_x, count), x, of, slope, here);
                    put(to_x, s->affine ? g * of.scale : g, count);
                }
            }
            for (int i = 0; i < 3; i++)
                to[i * s->c] += here[i];
        }
    }
}

INLINE void backward_part(const int full, const Conv *s, Part part, const Backward *from, real *added)
{
    const Back back = back_of(s);
    const int slot = back.outputs * back.columns, channels = s->depthwise ? 1 : s->o, taps = s->kw * channels;
    const int weights = s->depthwise ? s->c * s->kw : up(s->c, DEEP) * DEEP * taps;
    const size_t block = (size_t)back.ring * slot, results = up(part.blocks, s->group) * backward_sums(s);
    vec *rows = take(&part, block * part.blocks), *inputs = take(&part, (size_t)part.blocks * s->c * back.inputs);
    vec *sums = take(&part, results);
    memset(sums, 0, sizeof(vec) * results);
    memset(rows, 0, sizeof(vec) * block * part.blocks);
    memset(inputs, 0, sizeof(vec) * part.blocks * s->c * back.inputs);
    int off[taps], places[back.places], next = 0;
    for (int j = 0; j < s->kw; j++)
        for (int o = 0; o < channels; o++)
            off[j * channels + o] = o * back.columns + back.left + s->left - j * s->dilation;
    for (int p = 0; p < back.places; p++)
        places[p] = p / s->kw * back.inputs + p % s->kw * s->dilation;
    for (int row = 0; row < s->h; row++) {
        Sum sum = {.taps = taps, .step = 1, .off = off};
        int slots[TAPS], of[TAPS], last = -1;
        for (int i = 0; i < s->kh; i++) {
            const int place = row + s->top - i * s->dilation, line = place / s->stride;
            if (place < 0 || place % s->stride || line >= s->high)
                continue;
            last = larger(last, line);
            slots[sum.rows] = line % back.ring * slot;
            of[sum.rows] = i;
            sum.k[sum.rows++] = from->k + i * weights;
        }
        for (; next <= last; next++)
            lay_gradient(full, s, &part, from, next, rows + next % back.ring * slot + back.left, back.columns, block);
        lay_row(full, s, &part, from->x, from->of, from->below, row, inputs + s->left, back.inputs,
                (size_t)s->c * back.inputs);
        for (int b = 0; b < part.blocks; b++) {
            const vec *z = inputs + (size_t)b * s->c * back.inputs;
            vec *of_group = sums + b / s->group * backward_sums(s);
            const vec *g[TAPS];
            vec *to[TAPS];
            for (int r = 0; r < sum.rows; r++) {
                sum.x[r] = rows + b * block + slots[r];
                g[r] = sum.x[r] + back.left;
                to[r] = of_group + (size_t)of[r] * back.outputs * back.places;
            }
            if (s->depthwise)
                for (int c = 0; c < s->c; c++) {
                    pair_alone(sum.rows, g, z + c * back.inputs, places, s->wide, s->stride, to, s->kw);
                    for (int r = 0; r < sum.rows; r++) {
                        g[r] += back.columns;
                        to[r] += s->kw;
                    }
                }
            else
                for (int r = 0; r < sum.rows; r++)
                    for (int o = 0; o < s->o; o += DEEP)
                        pair_outputs(g[r] + o * back.columns, back.columns, z, places, s->wide, s->stride,
                                     to[r] + o * back.places, back.places);
            if (!from->dx)
                continue;
            const Row into = block_row(full, s, &part, from->dx, s->h, s->w, row, b);
            if (s->depthwise)
                sum_row_alone(sum, &into, s->w, s->c, back.columns);
            else
                sum_row(&sum, &into, s->w, s->c);
        }
        if (from->dx && (s->affine || s->activation != NO_ACTIVATION))
            finish_row(full, s, &part, from, row, sums + (size_t)s->kh * back.outputs * back.places);
    }
    for (size_t i = 0; i < results; i++)
        added[i] = sum_of(sums[i]);
}

/* The gradient of the kernel, and (3, c) of scale, shift and slope: the groups' sums, in order. */
static void join_sums(const Conv *s, int groups, const real *added, real *dkernel, real *of_input)
{
    const Back back = back_of(s);
    const size_t each = backward_sums(s), weights = (size_t)s->kh * back.outputs * back.places;
    const int channels = s->depthwise ? 1 : s->c;
    for (int i = 0; i < s->kh; i++)
        for (int j = 0; j < s->kw; j++)
            for (int c = 0; c < channels; c++)
                for (int o = 0; o < s->o; o++) {
                    const real *of = added + ((size_t)i * back.outputs + o) * back.places + c * s->kw + j;
                    real sum = 0;
                    for (int group = 0; group < groups; group++)
                        sum += of[group * each];
                    *dkernel++ = sum;
                }
    for (int i = 0; i < 3 * s->c; i++) {
        of_input[i] = 0;
        for (int group = 0; group < groups; group++)
            of_input[i] += added[group * each + weights + i];
    }
}

enum { X, AFFINE, BELOW, KERNEL, Y, G, OF_Y };

/* The attribute `kind`: stride, dilation, top, left, depthwise, affine, activation, high, wide, statistics,
   wanted. */
static const int64_t *kind_of(const XLA_FFI_CallFrame *call)
{
    return ((XLA_FFI_Array *)call->attrs.attrs[0])->data;
}

static size_t values_of(const Conv *s)
{
    return ((size_t)s->c * s->h * s->w + (size_t)s->o * s->high * s->wide) * s->portions * s->n;
}

static Conv conv_of(const XLA_FFI_CallFrame *call)
{
    const XLA_FFI_Buffer *maps = argument(call, X);
    const int64_t *x = maps->dims + maps->rank - 3, *k = argument(call, KERNEL)->dims, *kind = kind_of(call);
    Conv s = {
        .c = (int)maps->dims[0], .h = (int)x[0], .w = (int)x[1], .n = (int)x[2],
        .portions = maps->rank == 5 ? (int)maps->dims[1] : 1, .kh = (int)k[0], .kw = (int)k[1],
        .o = (int)k[3], .stride = (int)kind[0], .dilation = (int)kind[1], .top = (int)kind[2],
        .left = (int)kind[3], .depthwise = (int)kind[4], .affine = (int)kind[5], .activation = (int)kind[6],
        .high = (int)kind[7], .wide = (int)kind[8], .statistics = (int)kind[9]};
    s.depthwise |= s.c == 1 && s.o == 1; /* the same, without idle outputs */
    const int blocks = up(s.n, LANES);
    /* One portion becomes two groups, for two threads. On small maps that would cost more than it gains. */
    s.group = s.portions == 1 && pays(values_of(&s)) ? smaller(up(blocks, 2), GROUP) : GROUP;
    return s;
}

typedef struct {
    Conv s;
    Backward from;
    real *y;
    vec *moments, *memory; /* of all blocks; of all threads */
    real *added;           /* of all groups */
    size_t each;           /* the memory of one thread */
    int most, parts;       /* blocks in a task: whole groups, or all; tasks of a portion */
} Call;

static Part part_of(const Call *call, int number, int thread)
{
    const int first = number % call->parts * call->most, left = up(call->s.n, LANES) - first;
    return (Part){number / call->parts, first, smaller(left, call->most), call->memory + thread * call->each};
}

static void forward_task(void *with, int number, int thread)
{
    const Call *call = with;
    const Conv *s = &call->s;
    const Part part = part_of(call, number, thread);
    const Backward *from = &call->from;
    if (is_full(s->n))
        forward_part(1, s, part, from->x, from->of, from->below, from->k, call->y, call->moments);
    else
        forward_part(0, s, part, from->x, from->of, from->below, from->k, call->y, call->moments);
}

static void backward_task(void *with, int number, int thread)
{
    const Call *call = with;
    const Conv *s = &call->s;
    const Part part = part_of(call, number, thread);
    const int group = part.portion * up(up(s->n, LANES), s->group) + part.first / s->group;
    real *added = call->added + group * backward_sums(s);
    if (is_full(s->n))
        backward_part(1, s, part, &call->from, added);
    else
        backward_part(0, s, part, &call->from, added);
}

static XLA_FFI_Error *run(XLA_FFI_CallFrame *frame, int backward)
{
    if (is_question(frame))
        return NULL;
    Call call = {.s = conv_of(frame)};
    Conv *s = &call.s;
    const int blocks = up(s->n, LANES), groups = s->portions * up(blocks, s->group);
    const int threads = threads_for(groups, values_of(s));
    /* A thread alone has groups side by side. */
    call.most = smaller(threads > 1 ? s->group : ALONE / s->group * s->group, blocks);
    call.parts = up(blocks, call.most);
    const int deep = up(backward ? s->c : s->o, DEEP) * DEEP;
    const size_t weights = s->depthwise ? (size_t)s->kh * s->kw * s->c : (size_t)s->kh * s->kw * deep * (backward ? s->o : s->c);
    const size_t packed = (weights + LANES - 1) / LANES;
    const size_t moments = s->statistics ? 2 * (size_t)s->portions * blocks * s->o : 0;
    const size_t results = backward ? (groups * backward_sums(s) + LANES - 1) / LANES : moments;
    call.each = backward ? backward_memory(s, call.most) : forward_memory(s, call.most);
    vec *memory = memory_of(packed + results + threads * call.each);
    if (!memory)
        return failure(frame, "A convolution has not enough memory.");
    real *k = (real *)memory;
    call.moments = memory + packed;
    call.added = (real *)call.moments;
    call.memory = call.moments + results;
    call.from = (Backward){.x = argument(frame, X)->data, .k = k,
                           .of = affine_of(argument(frame, AFFINE)->data, s->c),
                           .below = *(real *)argument(frame, BELOW)->data};
    if (backward) {
        const int64_t *kind = kind_of(frame);
        call.from.y = argument(frame, Y)->data;
        call.from.g = argument(frame, G)->data;
        call.from.of_y = affine_of(argument(frame, OF_Y)->data, s->o);
        call.from.dx = kind[10] ? result(frame, 0) : NULL;
        pack(s, argument(frame, KERNEL)->data, k, s->c, s->o, s->o, 1);
        do_all(s->portions * call.parts, threads, backward_task, &call);
        join_sums(s, groups, call.added, result(frame, 1), result(frame, 2));
    } else {
        call.y = result(frame, 0);
        pack(s, argument(frame, KERNEL)->data, k, s->o, 1, s->c, s->o);
        do_all(s->portions * call.parts, threads, forward_task, &call);
        if (s->statistics)
            join_moments(call.moments, s->o, s->portions, s->n, result(frame, 1));
    }
    return NULL;
}

EXPORTED XLA_FFI_Error *NAMED(pennyweight_conv)(XLA_FFI_CallFrame *frame) { return run(frame, 0); }
EXPORTED XLA_FFI_Error *NAMED(pennyweight_conv_gradient)(XLA_FFI_CallFrame *frame) { return run(frame, 1); }
