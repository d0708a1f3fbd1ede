/* A pool of workers that share ranges of work. Sums are integers and tasks own their outputs, so
 * who does which piece never changes a bit. */
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "native.h"

#define SPINS 4000

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __builtin_ia32_pause()
#else
#define RELAX() ((void)0)
#endif

struct pool {
    int num_threads;
    pthread_t threads[MAX_THREADS];
    struct worker {
        struct pool *pool;
        int index;
    } workers[MAX_THREADS];
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    atomic_uint generation;
    atomic_int num_sleeping;
    atomic_int num_busy;
    atomic_int stop;
    range_fn fn;
    void *task;
    int64_t count, grain;
    atomic_llong next;
};

static void work(struct pool *pool, int index) {
    for (;;) {
        int64_t begin = atomic_fetch_add(&pool->next, pool->grain);
        if (begin >= pool->count) return;
        int64_t end = begin + pool->grain;
        pool->fn(pool->task, begin, end < pool->count ? end : pool->count, index);
    }
}

static void *run_worker(void *argument) {
    struct worker *worker = argument;
    struct pool *pool = worker->pool;
    unsigned seen = 0;
    fesetenv(FE_DFL_ENV);
    for (;;) {
        int spins = 0;
        while (atomic_load(&pool->generation) == seen && spins++ < SPINS) RELAX();
        if (atomic_load(&pool->generation) == seen) {
            pthread_mutex_lock(&pool->mutex);
            atomic_fetch_add(&pool->num_sleeping, 1);
            while (atomic_load(&pool->generation) == seen)
                pthread_cond_wait(&pool->wake, &pool->mutex);
            atomic_fetch_sub(&pool->num_sleeping, 1);
            pthread_mutex_unlock(&pool->mutex);
        }
        seen = atomic_load(&pool->generation);
        if (atomic_load(&pool->stop)) return NULL;
        work(pool, worker->index);
        atomic_fetch_sub(&pool->num_busy, 1);
    }
}

static void start_generation(struct pool *pool) {
    /* Under the lock, so that no worker goes to sleep between the test and the wait. */
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->num_sleeping)) pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

void pool_run(struct context *context, range_fn fn, void *task, int64_t count, int64_t grain) {
    struct pool *pool = context->pool;
    if (!pool || count <= grain) {
        if (count > 0) fn(task, 0, count, 0);
        return;
    }
    pool->fn = fn;
    pool->task = task;
    pool->count = count;
    pool->grain = grain;
    atomic_store(&pool->next, 0);
    atomic_store(&pool->num_busy, pool->num_threads - 1);
    start_generation(pool);
    work(pool, 0);
    for (int spins = 0; atomic_load(&pool->num_busy); spins++) {
        RELAX();
        if (spins > SPINS) sched_yield();
    }
}

struct pool *pool_create(int num_threads) {
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->num_threads = 1;
    for (int i = 1; i < num_threads; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].index = i;
        if (pthread_create(&pool->threads[i], NULL, run_worker, &pool->workers[i])) break;
        pool->num_threads++;
    }
    return pool;
}

void pool_destroy(struct pool *pool) {
    atomic_store(&pool->stop, 1);
    start_generation(pool);
    for (int i = 1; i < pool->num_threads; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

char *reserve(struct context *context, struct workspace *workspace, int64_t size) {
    if (workspace->size < size) {
        free(workspace->data);
        size += size / 4 + 4096;
        workspace->data = NULL;
        workspace->size = 0;
        if (posix_memalign((void **)&workspace->data, 64, (size_t)size)) {
            context->out_of_memory = 1;
            workspace->data = NULL;
            return NULL;
        }
        workspace->size = size;
    }
    return workspace->data;
}
