/* Threads of our own and not XLA's, as XLA's number decides how it rounds, and is fixed once it has
   started: ours may become more when other processes leave their cores idle. */
#define _GNU_SOURCE /* for processor affinity */
#include "tasks.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

enum { MOST = 256 };         /* threads */
enum { FEWEST = 80 * 1000 }; /* values: of fewer, another thread begins when most is done */

typedef struct Tasks Tasks;
struct Tasks {
    Work *work;
    void *with;
    int count, shares, wanted; /* parts; shares of them, one for each thread; threads that may still join */
    atomic_int threads, helping;
    atomic_int done[MOST]; /* parts of each share that were begun */
    Tasks *after; /* in the queue */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static Tasks *queue;
static int helpers;
static _Atomic int64_t helped; /* nanoseconds that helpers have worked */

static const volatile int *allowed; /* threads; another process may write it */
static const int *cores;
static int core_count;

/* What Python says: where to read how many threads there may be, and the cores that they may use. */
EXPORTED void pennyweight_threads(const volatile int *threads, const int *core, int count)
{
    allowed = threads;
    cores = core;
    core_count = count;
}

/* Seconds that helpers have worked, all together. */
EXPORTED double pennyweight_helped(void) { return 1e-9 * (double)atomic_load(&helped); }

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

int pays(size_t values) { return values >= FEWEST; }

int threads_for(int parts, size_t values)
{
    const int most = allowed && pays(values) ? *allowed : 1, threads = most < parts ? most : parts;
    return threads < 1 ? 1 : threads > MOST ? MOST : threads;
}

static int begin_of(const Tasks *tasks, int share)
{
    return (int)((int64_t)tasks->count * share / tasks->shares);
}

/* Begins with a share of its own, as one piece of work after the other is on the same pictures: what a core
   has in its caches, it finds there again. Then it does what others have not begun. */
static void work_on(Tasks *tasks, int own)
{
    const int thread = atomic_fetch_add(&tasks->threads, 1);
    for (int i = 0; i < tasks->shares; i++) {
        const int share = (own + i) % tasks->shares;
        const int begin = begin_of(tasks, share), end = begin_of(tasks, share + 1);
        for (int part; (part = begin + atomic_fetch_add(&tasks->done[share], 1)) < end;)
            tasks->work(tasks->with, part, thread);
    }
}

/* A worker of a search is pinned to its own core, and its helper would be too. */
static void spread(void)
{
#ifdef __linux__
    pthread_setname_np(pthread_self(), "pennyweight"); /* for whoever looks at a process */
    cpu_set_t all;
    CPU_ZERO(&all);
    for (int i = 0; i < core_count; i++)
        if (cores[i] < CPU_SETSIZE)
            CPU_SET(cores[i], &all);
    if (core_count)
        sched_setaffinity(0, sizeof all, &all);
#endif
}

/* The first work in the queue that has a share for helper `own`: what waits for others keeps its place. */
static Tasks **wanting(int own)
{
    for (Tasks **at = &queue; *at; at = &(*at)->after)
        if (own < (*at)->shares)
            return at;
    return NULL;
}

static void *help(void *number)
{
    const int own = (int)(intptr_t)number;
    spread();
    pthread_mutex_lock(&lock);
    for (;;) {
        Tasks **at;
        while (!(at = wanting(own)))
            pthread_cond_wait(&more, &lock);
        Tasks *tasks = *at;
        atomic_fetch_add(&tasks->helping, 1);
        if (--tasks->wanted == 0)
            *at = tasks->after;
        pthread_mutex_unlock(&lock);
        const int64_t began = now();
        work_on(tasks, own);
        atomic_fetch_add(&helped, now() - began);
        atomic_fetch_sub(&tasks->helping, 1); /* now they may be gone */
        pthread_mutex_lock(&lock);
    }
    return NULL;
}

static void enqueue(Tasks *tasks)
{
    pthread_mutex_lock(&lock);
    for (; helpers < tasks->wanted; helpers++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, help, (void *)(intptr_t)(helpers + 1)))
            break;
        pthread_detach(thread);
    }
    tasks->after = queue;
    queue = tasks;
    pthread_cond_broadcast(&more);
    pthread_mutex_unlock(&lock);
}

static void withdraw(Tasks *tasks)
{
    pthread_mutex_lock(&lock);
    for (Tasks **at = &queue; *at; at = &(*at)->after)
        if (*at == tasks) {
            *at = tasks->after;
            break;
        }
    pthread_mutex_unlock(&lock);
}

void do_all(int count, int threads, Work *work, void *with)
{
    Tasks tasks = {.work = work, .with = with, .count = count, .shares = threads, .wanted = threads - 1};
    if (tasks.wanted > 0)
        enqueue(&tasks);
    work_on(&tasks, 0);
    if (threads > 1) {
        withdraw(&tasks);
        while (atomic_load(&tasks.helping))
            sched_yield(); /* for parts that others have begun */
    }
}
