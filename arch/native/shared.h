/* What all native code shares: vectors, and what XLA hands over.

   A vector holds one value of LANES pictures. Sums over pictures are made in an order that depends on
   neither the number of threads nor the width of the processor's vectors. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tasks.h"
#include "xla/ffi/api/c_api.h"

#if BITS == 64 /* to check the same code more closely */
typedef double real;
typedef int64_t whole;
#define NAMED(name) name##_float64
#else
typedef float real;
typedef int32_t whole;
#define NAMED(name) name##_float32
#endif

enum { LANES = 16 }; /* pictures in a vector */

typedef real vec __attribute__((vector_size(sizeof(real) * LANES)));
typedef whole mask __attribute__((vector_size(sizeof(real) * LANES)));
typedef real loose __attribute__((vector_size(sizeof(real) * LANES), aligned(sizeof(real))));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

INLINE vec all(real x)
{
    return (vec){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}

/* `count` values and zeros. */
INLINE vec get(const real *x, int count)
{
    if (count >= LANES)
        return *(const loose *)x;
    vec y = all(0);
    memcpy(&y, x, sizeof(real) * (size_t)count);
    return y;
}

INLINE void put(real *x, vec y, int count)
{
    if (count >= LANES) {
        *(loose *)x = y;
    } else {
        const vec some = y; /* by itself, so that y stays in a register */
        memcpy(x, &some, sizeof(real) * (size_t)count);
    }
}

/* Into the second cache: a row ahead is more than the first one holds. */
INLINE void prefetch(const real *x) { __builtin_prefetch(x, 0, 2); }
INLINE void prefetch_to_write(const real *x) { __builtin_prefetch(x, 1, 2); }

/* Where pictures fill their vectors, as they mostly do, what is compiled for that, `full`, need not ask of each
   value whether it does: in what is no product that took a tenth of the time. */
static inline int is_full(int pictures) { return pictures % LANES == 0; }

/* How many of the pictures are left from `lane` on, or LANES, when more do not count. */
INLINE int left_of(const int full, int pictures, int lane) { return full ? LANES : pictures - lane; }

/* `count` values of x, and zeros. */
INLINE vec first_of(vec x, int count)
{
    const mask lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return (vec)((mask)x & (lanes < (whole)count));
}

INLINE vec pick(mask where, vec yes, vec no)
{
    return (vec)(((mask)yes & where) | ((mask)no & ~where));
}

static inline real sum_of(vec x)
{
    real sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += x[lane];
    return sum;
}

static inline int larger(int a, int b) { return a > b ? a : b; }
static inline int smaller(int a, int b) { return a < b ? a : b; }
static inline int up(int a, int to) { return (a + to - 1) / to; }

/* ---- What XLA calls --------------------------------------------------------------------------- */

/* Memory that a thread keeps from call to call. */
static inline vec *memory_of(size_t vectors)
{
    static _Thread_local vec *kept;
    static _Thread_local size_t size;
    if (size < vectors) {
        free(kept);
        kept = aligned_alloc(sizeof(vec), sizeof(vec) * vectors);
        size = kept ? vectors : 0;
    }
    return kept;
}

static inline XLA_FFI_Error *failure(const XLA_FFI_CallFrame *call, const char *message)
{
    XLA_FFI_Error_Create_Args args = {
        XLA_FFI_Error_Create_Args_STRUCT_SIZE, NULL, message, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED};
    return call->api->XLA_FFI_Error_Create(&args);
}

static inline int is_question(XLA_FFI_CallFrame *call)
{
    XLA_FFI_Extension_Base *extension = call->extension_start;
    if (!extension || extension->type != XLA_FFI_Extension_Metadata)
        return 0;
    XLA_FFI_Metadata *told = ((XLA_FFI_Metadata_Extension *)extension)->metadata;
    told->api_version.major_version = XLA_FFI_API_MAJOR;
    told->api_version.minor_version = XLA_FFI_API_MINOR;
    told->traits = 0;
    return 1;
}

static inline const XLA_FFI_Buffer *argument(const XLA_FFI_CallFrame *call, int i) { return call->args.args[i]; }
static inline real *result(const XLA_FFI_CallFrame *call, int i) { return ((XLA_FFI_Buffer *)call->rets.rets[i])->data; }
