/* Maps (channels, portions, height, width, pictures of a portion), what is done to one before it is used, and
   its statistics. */
#include "shared.h"

typedef struct { /* by channel: (x - mean) * scale + shift */
    const real *mean, *scale, *shift;
} Affine;

static inline Affine affine_of(const real *x, int channels)
{
    return (Affine){x, x + channels, x + 2 * channels};
}

typedef struct { /* the same of one channel */
    vec mean, scale, shift;
} Channel;

/* Where there is no map, values stay what they are. */
INLINE Channel channel_of(int affine, Affine of, int c)
{
    return (Channel){all(affine ? of.mean[c] : 0), all(affine ? of.scale[c] : 1), all(affine ? of.shift[c] : 0)};
}

INLINE vec mapped(vec x, Channel to) { return (x - to.mean) * to.scale + to.shift; }

enum { NO_ACTIVATION, RELU, SLOPE }; /* a slope below 0; of a ReLU it is 0 */

INLINE vec activated(int activation, vec z, vec slope)
{
    return activation == NO_ACTIVATION ? z : pick(z >= all(0), z, slope * z);
}

/* The gradient of what is activated, which `of` made of x, from that of its activation; adds to the sums (3)
   of scale, shift and slope. */
INLINE vec activation_back(int activation, vec g, vec x, Channel of, vec slope, vec *sums)
{
    const vec zero = all(0), apart = x - of.mean, z = apart * of.scale + of.shift;
    if (activation == RELU)
        g = pick(z > zero, g, zero); /* 0 itself is the flat part */
    if (activation == SLOPE) {
        sums[2] += pick(z >= zero, zero, z * g);
        g = pick(z >= zero, g, slope * g);
    }
    sums[0] += g * apart;
    sums[1] += g;
    return g;
}

/* A row of a block of pictures, of which `left` are left: see `left_of`. */
typedef struct {
    real *at;
    size_t output_apart, row_apart, column_apart;
    int left;
} Row;

/* Of the first portion in maps (outputs, portions, high, wide, pictures). */
INLINE Row row_of(const int full, real *maps, int portions, int high, int wide, int pictures, int row, int block)
{
    const int lane = block * LANES, left = left_of(full, pictures, lane);
    const size_t column_apart = pictures, row_apart = wide * column_apart;
    return (Row){maps + row * row_apart + lane, portions * high * row_apart, row_apart, column_apart, left};
}

INLINE real *place_of(const Row *row, int output, int column)
{
    return row->at + output * row->output_apart + column * row->column_apart;
}

/* Writes a value, and asks for the place of that below. */
INLINE void put_at(const Row *row, int output, int column, vec y)
{
    real *here = place_of(row, output, column);
    put(here, y, row->left);
    prefetch_to_write(here + row->row_apart);
}

/* How many pictures a block has. */
static inline int pictures_of(int block, int pictures) { return smaller(LANES, pictures - block * LANES); }

/* For each block and output a vector of means and one of variances, of the pictures by themselves. */
INLINE vec *moments_of(vec *moments, int block, int output, int outputs)
{
    return moments + 2 * ((size_t)block * outputs + output);
}

/* Adds row `line` of an output to what those before it gave. */
INLINE void add_moments(const Row *row, int output, int wide, int line, vec *so_far)
{
    const vec share = all(1 / (real)(line + 1)), each = all(1 / (real)wide);
    const vec begin = get(place_of(row, output, 0), row->left);
    vec mean = all(0), var = all(0);
    for (int w = 1; w < wide; w++) /* exact to the variance, however large the mean is */
        mean += get(place_of(row, output, w), row->left) - begin;
    mean = begin + mean * each;
    for (int w = 0; w < wide; w++) {
        const vec from = get(place_of(row, output, w), row->left) - mean;
        var += from * from;
    }
    var *= each;
    const vec apart = line ? mean - so_far[0] : mean, within = line ? so_far[1] : all(0);
    so_far[0] = line ? so_far[0] + share * apart : mean; /* law of total variance */
    so_far[1] = line ? within + share * (var - within) + share * (1 - share) * apart * apart : var;
}

/* Means and variances (2, outputs) of all pictures, of which each portion has so many, from those of each. */
static inline void join_moments(vec *moments, int outputs, int portions, int pictures, real *statistics)
{
    const int blocks = up(pictures, LANES), every = portions * blocks, count = portions * pictures;
    for (int o = 0; o < outputs; o++) {
        double mean = 0, var = 0;
        for (int block = 0; block < every; block++)
            for (int i = 0; i < pictures_of(block % blocks, pictures); i++)
                mean += moments_of(moments, block, o, outputs)[0][i];
        mean /= count;
        for (int block = 0; block < every; block++) {
            const vec *of = moments_of(moments, block, o, outputs);
            for (int i = 0; i < pictures_of(block % blocks, pictures); i++) {
                const double apart = of[0][i] - mean;
                var += of[1][i] + apart * apart;
            }
        }
        statistics[o] = (real)mean;
        statistics[outputs + o] = (real)(var / count);
    }
}
