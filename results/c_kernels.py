"""The operations of a deployed network in C99, once for float and once for int8 programs.

Maps lie row by row, pixel by pixel, channels last. What makes an inner loop is contiguous: of a
kernel, the taps and inputs of one output. A kernel's `finish` (float) or `store` (int8) does what
is to be done to each value by itself, before it is written down.

A word that begins with $ is one that differs between float and int8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Template

FLOAT = {
    "value": "float",
    "weight": "float",
    "total": "float",
    "out": "float",
    "less": "",
    "fields": "\n    float (*finish)(float x, int channel);",
    "store": "y[at] = s->finish(sum, channel)",
    "store_mean": "y[at] = s->finish(sum / (float)(s->rows * s->columns), channel)",
    "dot_end": "",
    "sum_of_two": "a[at] + b[at]",
    "sum_fields": "",
}

INT8 = {
    "value": "int8_t",
    "weight": "int8_t",
    "total": "int32_t",
    "out": "void",
    "less": " - s->zero",
    "fields": "\n    int zero; /* the level that stands for 0 in the input */"
    "\n    void (*store)(void *y, int at, int channel, float x);",
    "store": "s->store(y, at, channel, (float)sum)",
    "store_mean": "s->store(y, at, channel, (float)sum)",
    "dot_end": ", s->zero",
    "sum_of_two": "(float)(a[at] - s->zero) * s->scale + (float)(b[at] - s->other_zero) * s->other",
    "sum_fields": "\n    float scale, other; /* what a level is worth in each input */"
    "\n    int other_zero;",
}

_WINDOW = """
typedef struct { /* a window that moves over a map */
    int height, width, channels;      /* of the input */
    int high, wide, outputs;          /* of the output: rows, columns and channels */
    int rows, columns;                /* of the window */
    int down, across, dilation;       /* from window to window, and from tap to tap */
    int top, left;                    /* rows and columns of zeros around, or to move it by */
    const $weight *kernel;$fields
} Window;
"""

_TAPS = """
/* The first tap of a window that begins at `start` (which may be outside) that is inside. */
static int first_tap(int start, int dilation)
{
    return start < 0 ? (dilation - 1 - start) / dilation : 0;
}

/* One more than the last tap that is inside. */
static int last_tap(int start, int dilation, int taps, int size)
{
    int inside = (size - start + dilation - 1) / dilation;
    return inside < taps ? inside : taps;
}
"""

_DOT = {
    "float": """
/* Four sums, none of which waits for another. */
static float dot(const float *x, const float *w, int n)
{
    float a = 0, b = 0, c = 0, d = 0;
    for (; n >= 4; n -= 4, x += 4, w += 4) {
        a += x[0] * w[0];
        b += x[1] * w[1];
        c += x[2] * w[2];
        d += x[3] * w[3];
    }
    for (; n > 0; n--)
        a += *x++ * *w++;
    return (a + b) + (c + d);
}
""",
    "int8_t": """
static int32_t dot(const int8_t *x, const int8_t *w, int n, int zero)
{
    int32_t sum = 0;
    for (; n >= 4; n -= 4, x += 4, w += 4)
        sum += (x[0] - zero) * w[0] + (x[1] - zero) * w[1] + (x[2] - zero) * w[2]
            + (x[3] - zero) * w[3];
    for (; n > 0; n--)
        sum += (*x++ - zero) * *w++;
    return sum;
}
""",
}

_CONVOLVE = """
/* The kernel is [outputs][rows][columns][channels]. */
static void convolve(const Window *s, const $value *x, $out *y)
{
    int at = 0;
    for (int row = 0; row < s->high; row++) {
        const int up = row * s->down - s->top;
        const int i0 = first_tap(up, s->dilation);
        const int i1 = last_tap(up, s->dilation, s->rows, s->height);
        for (int column = 0; column < s->wide; column++) {
            const int left = column * s->across - s->left;
            const int j0 = first_tap(left, s->dilation);
            const int j1 = last_tap(left, s->dilation, s->columns, s->width);
            const int together = s->dilation == 1 ? j1 - j0 : 1; /* taps that lie side by side */
            for (int channel = 0; channel < s->outputs; channel++, at++) {
                $total sum = 0;
                for (int i = i0; i < i1; i++) {
                    const $value *from = x + (up + i * s->dilation) * s->width * s->channels;
                    const $weight *w = s->kernel
                        + (channel * s->rows + i) * s->columns * s->channels;
                    for (int j = j0; j < j1; j += together)
                        sum += dot(from + (left + j * s->dilation) * s->channels,
                                   w + j * s->channels, together * s->channels$dot_end);
                }
                $store;
            }
        }
    }
}
"""

_DEPTHWISE = """
/* Each channel by itself; the kernel is [rows][columns][channels]. */
static void depthwise(const Window *s, const $value *x, $out *y)
{
    int at = 0;
    for (int row = 0; row < s->high; row++) {
        const int up = row * s->down - s->top;
        const int i0 = first_tap(up, s->dilation);
        const int i1 = last_tap(up, s->dilation, s->rows, s->height);
        for (int column = 0; column < s->wide; column++) {
            const int left = column * s->across - s->left;
            const int j0 = first_tap(left, s->dilation);
            const int j1 = last_tap(left, s->dilation, s->columns, s->width);
            for (int channel = 0; channel < s->channels; channel++, at++) {
                $total sum = 0;
                for (int i = i0; i < i1; i++) {
                    const $value *from = x + channel
                        + (up + i * s->dilation) * s->width * s->channels;
                    const $weight *w = s->kernel + i * s->columns * s->channels + channel;
                    for (int j = j0; j < j1; j++)
                        sum += (from[(left + j * s->dilation) * s->channels]$less)
                            * w[j * s->channels];
                }
                $store;
            }
        }
    }
}
"""

_POOL = """
static void NAME(const Window *s, const $value *x, $out *y)
{
    int at = 0;
    for (int row = 0; row < s->high; row++)
        for (int column = 0; column < s->wide; column++)
            for (int channel = 0; channel < s->channels; channel++, at++) {
                const $value *from = x + channel
                    + (row * s->down * s->width + column * s->across) * s->channels;
                $total sum = START;
                for (int i = 0; i < s->rows; i++)
                    for (int j = 0; j < s->columns; j++) {
                        const $total here = from[(i * s->width + j) * s->channels]$less;
                        sum = HERE;
                    }
                $storeMEAN;
            }
}
"""


def _pool(**words: str) -> str:
    text = _POOL
    for name, word in words.items():
        text = text.replace(name, word)
    return text


_POOL_MAX = _pool(
    NAME="pool_max", START="from[0]$less", HERE="here > sum ? here : sum", storeMEAN="store"
)
_POOL_AVERAGE = _pool(NAME="pool_average", START="0", HERE="sum + here", storeMEAN="store_mean")

_SHIFT = """
/* Moved by `top` pixels down and `left` to the right; the edges repeat. */
static void shift(const Window *s, const $value *x, $out *y)
{
    int at = 0;
    for (int row = 0; row < s->high; row++)
        for (int column = 0; column < s->wide; column++) {
            const int up = row - s->top, i = up < 0 ? 0 : up < s->height ? up : s->height - 1;
            const int before = column - s->left;
            const int j = before < 0 ? 0 : before < s->width ? before : s->width - 1;
            for (int channel = 0; channel < s->channels; channel++, at++) {
                const $total sum = x[(i * s->width + j) * s->channels + channel]$less;
                $store;
            }
        }
}
"""

_MULTIPLY = """
typedef struct { /* a matrix: [outputs][inputs] */
    int inputs, outputs;
    const $weight *kernel;$fields
} Matrix;

static void multiply(const Matrix *s, const $value *x, $out *y)
{
    for (int channel = 0; channel < s->outputs; channel++) {
        const int at = channel;
        const $total sum = dot(x, s->kernel + channel * s->inputs, s->inputs$dot_end);
        $store;
    }
}
"""

_VALUES = """
typedef struct { /* values that are computed one by one */
    int size, channels;$sum_fields$fields
} Values;
"""

_ADD = """
static void add(const Values *s, const $value *a, const $value *b, $out *y)
{
    for (int at = 0; at < s->size;)
        for (int channel = 0; channel < s->channels; channel++, at++) {
            const float sum = $sum_of_two;
            $store;
        }
}
"""

_PASS = """
static void pass(const Values *s, const $value *x, $out *y)
{
    for (int at = 0; at < s->size;)
        for (int channel = 0; channel < s->channels; channel++, at++) {
            const $total sum = x[at]$less;
            $store;
        }
}
"""


def kernels(used: Iterable[str], words: Mapping[str, str]) -> str:
    """The C of the functions `used` (by their names in C), and of what these need."""
    used = set(used)
    needed = {
        "Window": used & {"convolve", "depthwise", "pool_max", "pool_average", "shift"},
        "taps": used & {"convolve", "depthwise"},
        "dot": used & {"convolve", "multiply"},
        "Values": used & {"add", "pass"},
    }
    parts = {
        "Window": _WINDOW,
        "taps": _TAPS,
        "dot": _DOT[words["value"]],
        "convolve": _CONVOLVE,
        "depthwise": _DEPTHWISE,
        "pool_max": _POOL_MAX,
        "pool_average": _POOL_AVERAGE,
        "shift": _SHIFT,
        "multiply": _MULTIPLY,
        "Values": _VALUES,
        "add": _ADD,
        "pass": _PASS,
    }
    wanted = [text for name, text in parts.items() if name in used or needed.get(name)]
    return Template("".join(wanted)).substitute(words)
