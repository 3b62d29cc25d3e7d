/* Work in parts, on threads of our own. */

#include <stddef.h>

#define EXPORTED __attribute__((visibility("default"))) /* to Python */

typedef void Work(void *with, int number, int thread);

/* Whether another thread pays at all for a work on so many values. */
int pays(size_t values);

/* How many threads pay at this moment for a work of so many parts, on so many values in all. */
int threads_for(int parts, size_t values);

/* Does parts 0 to `count` - 1 of a work, here and on `threads` - 1 others as they become free; each of
   these has a number from 0. Each begins with a share of its own, but who does a part in the end is by
   chance, so no result may depend on it. */
void do_all(int count, int threads, Work *work, void *with);
