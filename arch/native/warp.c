/* Pictures read through affine maps: what `warp` in augment.py computes, which calls it through XLA. */
#include "shared.h"
#ifdef __AVX512F__
#include <immintrin.h>
#endif

enum { EACH = 16 }; /* pictures of a task */
enum { IMAGES, ORDER, MATRIX, SHIFT };

typedef struct {
    const uint8_t *images; /* (any, h, w, c) */
    const int32_t *order;  /* (n) */
    const real *matrix, *shift;
    real *warped; /* (n, h, w, c) */
    vec *memory; /* of all threads */
    size_t each; /* the memory of one */
    int n, h, w, c;
} Call;

/* A word is a value with its neighbours below and to the right; there is one for each place from two
   before the picture to one after it, so that what is read beyond it is zeros. Rows are whole vectors. */
static inline int high_of(const Call *s) { return s->h + 3; }
static inline int wide_of(const Call *s) { return up(s->w + 3, LANES) * LANES; }
static inline size_t bordered_of(const Call *s) { return (size_t)(s->h + 4) * (size_t)(wide_of(s) + 1); }
static inline size_t words_of(const Call *s) { return (size_t)high_of(s) * (size_t)wide_of(s); }

static void pack_row(const uint8_t *restrict over, const uint8_t *restrict under, int wide, uint32_t *restrict words)
{
    for (int column = 0; column < wide; column++)
        words[column] = over[column] | (uint32_t)under[column] << 8 | (uint32_t)over[column + 1] << 16 |
                        (uint32_t)under[column + 1] << 24;
}

/* One channel of a picture as words, by way of its values with zeros around them. */
static void pack(const Call *s, const uint8_t *image, uint8_t *restrict bordered, uint32_t *restrict words)
{
    const int high = high_of(s), wide = wide_of(s), w = s->w, c = s->c;
    for (int row = 0; row < s->h; row++, image += (size_t)w * c) {
        uint8_t *to = bordered + (row + 2) * (wide + 1) + 2;
        if (c == 1)
            memcpy(to, image, (size_t)w);
        else
            for (int column = 0; column < w; column++)
                to[column] = image[column * c];
    }
    for (int row = 0; row < high; row++, words += wide) {
        const uint8_t *over = bordered + row * (wide + 1);
        pack_row(over, over + wide + 1, wide, words);
    }
}

INLINE vec clipped(vec x, real least, real most)
{
#if defined __AVX512F__ && BITS == 32
    return (vec)_mm512_min_ps(_mm512_max_ps((__m512)x, _mm512_set1_ps(least)), _mm512_set1_ps(most));
#else
    const vec high = pick(x > all(least), x, all(least)); /* of no number the least, too */
    return pick(high < all(most), high, all(most));
#endif
}

INLINE vec values(mask words, int from)
{
    return __builtin_convertvector(words >> from & 255, vec);
}

INLINE mask gathered(const uint32_t *words, mask places)
{
#if defined __AVX512F__ && BITS == 32
    return (mask)_mm512_i32gather_epi32((__m512i)places, words, sizeof *words);
#else
    mask word;
    for (int lane = 0; lane < LANES; lane++)
        word[lane] = words[places[lane]];
    return word;
#endif
}

static void read_row(const Call *s, const uint32_t *words, const real *m, const real *t, int row, real *to)
{
    const real middle = (real)(s->w - 1) / 2, y = row - (real)(s->h - 1) / 2;
    const real down = m[0] * y + t[0] * s->h + (real)(s->h - 1) / 2, right = m[2] * y + t[1] * s->w + middle;
    const vec lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int next = 0; next < s->w; next += LANES) {
        /* Whole vectors, of which the last may begin before the one before it ends. */
        const int first = larger(smaller(next, s->w - LANES), 0);
        const vec x = lanes + (first - middle);
        /* Clipped into the zeros around the picture. */
        const vec low = clipped(m[1] * x + down, -2, s->h) + 2, far = clipped(m[3] * x + right, -2, s->w) + 2;
        const mask top = __builtin_convertvector(low, mask), left = __builtin_convertvector(far, mask);
        const mask places = top * wide_of(s) + left;
        const mask word = gathered(words, places);
        const vec under = low - __builtin_convertvector(top, vec), after = far - __builtin_convertvector(left, vec);
        const vec upper = (1 - after) * values(word, 0) + after * values(word, 16);
        const vec lower = (1 - after) * values(word, 8) + after * values(word, 24);
        const vec read = (1 - under) * upper + under * lower;
        if (s->c == 1)
            put(to + first, read, s->w);
        else
            for (int lane = 0; lane < LANES && first + lane < s->w; lane++)
                to[(size_t)(first + lane) * s->c] = read[lane];
    }
}

static void warp_task(void *with, int number, int thread)
{
    const Call *s = with;
    uint32_t *words = (uint32_t *)(s->memory + thread * s->each);
    uint8_t *bordered = (uint8_t *)(words + words_of(s));
    memset(bordered, 0, bordered_of(s));
    const size_t size = (size_t)s->h * s->w * s->c;
    for (int i = number * EACH; i < s->n && i < (number + 1) * EACH; i++)
        for (int c = 0; c < s->c; c++) {
            pack(s, s->images + s->order[i] * size + c, bordered, words);
            for (int row = 0; row < s->h; row++)
                read_row(s, words, s->matrix + 4 * i, s->shift + 2 * i, row,
                         s->warped + i * size + (size_t)row * s->w * s->c + c);
        }
}

EXPORTED XLA_FFI_Error *NAMED(pennyweight_warp)(XLA_FFI_CallFrame *frame)
{
    if (is_question(frame))
        return NULL;
    const int64_t *images = argument(frame, IMAGES)->dims;
    Call call = {.images = argument(frame, IMAGES)->data, .order = argument(frame, ORDER)->data,
                 .matrix = argument(frame, MATRIX)->data, .shift = argument(frame, SHIFT)->data,
                 .warped = result(frame, 0), .n = (int)argument(frame, ORDER)->dims[0],
                 .h = (int)images[1], .w = (int)images[2], .c = (int)images[3]};
    const int tasks = up(call.n, EACH), threads = threads_for(tasks, (size_t)call.n * call.h * call.w * call.c);
    const size_t bytes = sizeof(uint32_t) * words_of(&call) + bordered_of(&call);
    call.each = (bytes + sizeof(vec) - 1) / sizeof(vec);
    call.memory = memory_of(call.each * (size_t)threads);
    if (!call.memory)
        return failure(frame, "Augmenting has not enough memory.");
    do_all(tasks, threads, warp_task, &call);
    return NULL;
}
