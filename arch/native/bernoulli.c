/* Yes or no by chance: what `bernoulli` in native_bernoulli.py computes, which calls it through XLA, as JAX's
   threefry says, to the bit. */
#include "shared.h"

enum { ABREAST = 4 };                  /* vectors at a time: the rounds of one wait for each other */
enum { EACH = 256 * ABREAST * LANES }; /* values of a task */

typedef uint32_t words __attribute__((vector_size(sizeof(uint32_t) * LANES)));

/* Four rounds of all pairs of words: Salmon et al., SC 2011, threefry2x32. */
INLINE void mix(words *a, words *b, const int *turns)
{
    UNROLL for (int round = 0; round < 4; round++)
        UNROLL for (int i = 0; i < ABREAST; i++) {
            a[i] += b[i];
            b[i] = (b[i] << turns[round] | b[i] >> (32 - turns[round])) ^ a[i];
        }
}

/* What counters in a and b become under a key. */
INLINE void encipher(words *a, words *b, const uint32_t *key)
{
    static const int turns[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
    const uint32_t keys[3] = {key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDA};
    for (int i = 0; i < ABREAST; i++) {
        a[i] += keys[0];
        b[i] += keys[1];
    }
    UNROLL for (uint32_t group = 0; group < 5; group++) {
        mix(a, b, turns[group % 2]);
        UNROLL for (int i = 0; i < ABREAST; i++) {
            a[i] += keys[(group + 1) % 3];
            b[i] += keys[(group + 2) % 3] + group + 1;
        }
    }
}

/* From 0 to below 1: the bits are a float's fraction. */
INLINE vec uniform(words a, words b)
{
#if BITS == 64
    typedef uint64_t pairs __attribute__((vector_size(sizeof(uint64_t) * LANES)));
    const pairs bits = __builtin_convertvector(a, pairs) << 32 | __builtin_convertvector(b, pairs);
    return (vec)(bits >> 12 | 0x3FF0000000000000) - 1;
#else
    return (vec)((a ^ b) >> 9 | 0x3F800000) - 1;
#endif
}

typedef signed char answers __attribute__((vector_size(LANES))); /* of which one is a byte, 0 or 1 */

typedef struct {
    const uint32_t *key;
    real chance;
    int8_t *y;
    int channels, portions;
    size_t row, plane; /* values: pictures of a portion, which are whole vectors; of a channel in a portion */
    size_t apart;      /* numbers that other portions have between one row and the next */
} Call;

/* `count` values from y on, the first of them of a number that a row begins with. */
static void draw(const Call *s, size_t number, int8_t *y, size_t count)
{
    const words lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    size_t in_row = 0;
    for (size_t at = 0; at < count; at += ABREAST * LANES) {
        words a[ABREAST], b[ABREAST]; /* a value's number, which is its counter */
        for (int i = 0; i < ABREAST; i++) {
            a[i] = (words){0} + (uint32_t)(number >> 32);
            b[i] = lanes + (uint32_t)number;
            number += LANES;
            in_row += LANES;
            if (in_row == s->row) {
                in_row = 0;
                number += s->apart;
            }
        }
        encipher(a, b, s->key);
        for (int i = 0; i < ABREAST && at + (size_t)i * LANES < count; i++) {
            const size_t here = at + (size_t)i * LANES;
            const answers yes = __builtin_convertvector(uniform(a[i], b[i]) < s->chance, answers) & 1;
            memcpy(y + here, &yes, count - here < LANES ? count - here : LANES);
        }
    }
}

/* A piece of one portion; of several, the plane of a channel, portion by portion, as these stay with a thread. */
static void bernoulli_task(void *with, int number, int thread)
{
    const Call *s = with;
    (void)thread;
    if (s->portions == 1) {
        const size_t first = (size_t)number * EACH, left = s->plane - first;
        draw(s, first, s->y + first, left < EACH ? left : EACH);
        return;
    }
    const size_t portion = number / s->channels, channel = number % s->channels;
    draw(s, channel * s->plane * s->portions + portion * s->row, s->y + (channel * s->portions + portion) * s->plane,
         s->plane);
}

EXPORTED XLA_FFI_Error *NAMED(pennyweight_bernoulli)(XLA_FFI_CallFrame *frame)
{
    if (is_question(frame))
        return NULL;
    const XLA_FFI_Buffer *y = frame->rets.rets[0];
    Call call = {.key = argument(frame, 0)->data, .y = y->data, .channels = 1, .portions = 1,
                 .chance = *(real *)((XLA_FFI_Array *)frame->attrs.attrs[0])->data};
    size_t values = 1;
    for (int64_t i = 0; i < y->rank; i++)
        values *= (size_t)y->dims[i];
    call.plane = values;
    if (y->rank == 5 && y->dims[1] > 1) {
        call.channels = (int)y->dims[0];
        call.portions = (int)y->dims[1];
        call.row = (size_t)y->dims[4];
        call.plane = values / call.channels / call.portions;
        call.apart = (call.portions - 1) * call.row;
    }
    const int tasks = call.portions == 1 ? (int)((values + EACH - 1) / EACH) : call.channels * call.portions;
    do_all(tasks, threads_for(tasks, values), bernoulli_task, &call);
    return NULL;
}
