#include "engine/base/crew.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    LOOKS = 32,     /* without success, between two looks at the clock */
    PATIENCE = 4096 /* looks of a leader that waits for others before it lets them have its CPU */
};

/* What changes together shares a line of the cache, what does not stands apart. */
struct board {
    /* Which loop, in the upper half, and the cuts of it that nobody has taken, a bit each. */
    _Alignas(64) _Atomic uint64_t cuts;
    void (*cut)(void *arg, int i); /* these two are read by those who hold a cut */
    void *arg;
    uint64_t missed_ns;             /* of loops while a helper slept; the leader's own */
    _Alignas(64) atomic_int n_left; /* cuts not done */
    _Atomic uint64_t helped_cuts, helped_ns;
    _Alignas(64) atomic_int n_awake, n_asleep; /* helpers */
    atomic_bool is_open;
    atomic_int cpu;                       /* on which the leader was when it opened the board */
    _Alignas(64) atomic_bool is_recalled; /* this thread, as a helper */
};

struct crew {
    _Alignas(64) _Atomic uint32_t bell; /* sleepers wait for it to change */
    atomic_int n_asleep;
    int n;
    struct board boards[];
};

enum err crew_create(struct crew **out, int n_threads)
{
    struct crew *c = NULL;
    enum err rc = mem_alloc(&c, sizeof(*c) + (size_t)n_threads * sizeof(c->boards[0]));
    if (!rc) {
        c->n = n_threads;
    }
    *out = c;
    return rc;
}

void crew_destroy(struct crew *c)
{
    mem_free(c);
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* All who sleep look around. */
static void ring(struct crew *c)
{
    atomic_fetch_add(&c->bell, 1);
    if (atomic_load(&c->n_asleep) > 0) {
        (void)syscall(SYS_futex, &c->bell, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    }
}

/* ---- cuts ---- */

/* A cut that nobody has taken, if there is one the `seat`th or the first after it; -1: none. */
static int grab(struct board *b, int seat)
{
    uint64_t cuts = atomic_load_explicit(&b->cuts, memory_order_acquire);
    while ((uint32_t)cuts) {
        uint32_t mask = (uint32_t)cuts, behind = mask >> seat << seat;
        int i = __builtin_ctz(behind ? behind : mask);
        if (atomic_compare_exchange_weak(&b->cuts, &cuts, cuts & ~((uint64_t)1 << i))) {
            return i;
        }
    }
    return -1;
}

void crew_open(struct crew *c, int self)
{
    struct board *b = &c->boards[self];
    atomic_store_explicit(&b->helped_cuts, 0, memory_order_relaxed);
    atomic_store_explicit(&b->helped_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&b->cpu, sched_getcpu(), memory_order_relaxed);
    b->missed_ns = 0;
    atomic_store(&b->is_open, true);
}

struct crew_work crew_close(struct crew *c, int self)
{
    struct board *b = &c->boards[self];
    atomic_store(&b->is_open, false);
    if (atomic_load(&b->n_asleep) > 0) {
        ring(c);
    }
    return (struct crew_work){atomic_load_explicit(&b->helped_cuts, memory_order_relaxed),
                              atomic_load_explicit(&b->helped_ns, memory_order_relaxed)};
}

/* Those who sleep at the board are woken for a long loop, for which they will be in time, and after many short ones,
 * for more will come. Returns how many are in time. */
static int wake_sleepers(struct crew *c, struct board *b, uint64_t ns)
{
    int n_asleep = atomic_load(&b->n_asleep);
    b->missed_ns = n_asleep > 0 ? b->missed_ns + ns : 0;
    if (b->missed_ns < CREW_WAKE_NS) {
        return 0;
    }
    b->missed_ns = 0;
    ring(c);
    return ns >= CREW_WAKE_NS ? n_asleep : 0;
}

int crew_cuts(struct crew *c, int self, uint64_t ns, int max)
{
    struct board *b = &c->boards[self];
    int n = 1 + atomic_load_explicit(&b->n_awake, memory_order_relaxed) + wake_sleepers(c, b, ns);
    uint64_t worth = ns / CREW_CUT_NS;
    n = n > max ? max : n;
    n = (uint64_t)n > worth ? (int)worth : n;
    return n < 1 ? 1 : n > CREW_MAX ? CREW_MAX : n;
}

void crew_run(struct crew *c, int self, int n_cuts, void (*cut)(void *arg, int i), void *arg)
{
    struct board *b = &c->boards[self];
    uint64_t loop = atomic_load_explicit(&b->cuts, memory_order_relaxed) >> 32;
    BUG_ON(n_cuts < 1 || n_cuts > CREW_MAX);
    b->cut = cut;
    b->arg = arg;
    atomic_store_explicit(&b->n_left, n_cuts, memory_order_relaxed);
    atomic_store(&b->cuts, (loop + 1) << 32 | ((UINT64_C(1) << n_cuts) - 1));
    for (int i; (i = grab(b, 0)) >= 0;) {
        cut(arg, i);
        atomic_fetch_sub_explicit(&b->n_left, 1, memory_order_release);
    }
    for (int looks = 0; atomic_load_explicit(&b->n_left, memory_order_acquire) > 0; looks++) {
        if (looks < PATIENCE) {
            relax();
        } else {
            (void)sched_yield();
        }
    }
}

void crew_pretend(struct crew *c, int self, int n_helpers)
{
    atomic_store(&c->boards[self].n_awake, n_helpers);
}

/* ---- helpers ---- */

static bool do_cut(struct board *b, int seat)
{
    int i = grab(b, seat);
    if (i < 0) {
        return false;
    }
    uint64_t from_ns = clock_ns();
    b->cut(b->arg, i);
    atomic_fetch_add_explicit(&b->helped_ns, clock_ns() - from_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&b->helped_cuts, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&b->n_left, 1, memory_order_release);
    return true;
}

static bool has_cuts(struct board *b)
{
    return (uint32_t)atomic_load(&b->cuts) != 0;
}

/* Until the bell rings; not at all if there is something to see. */
static void sleep_at(struct crew *c, struct board *b, const struct board *own)
{
    uint32_t bell = atomic_load(&c->bell);
    atomic_fetch_sub(&b->n_awake, 1);
    atomic_fetch_add(&b->n_asleep, 1);
    atomic_fetch_add(&c->n_asleep, 1);
    if (!atomic_load(&own->is_recalled) && atomic_load(&b->is_open) && !has_cuts(b)) {
        (void)syscall(SYS_futex, &c->bell, FUTEX_WAIT_PRIVATE, bell, NULL, NULL, 0);
    }
    atomic_fetch_sub(&c->n_asleep, 1);
    atomic_fetch_sub(&b->n_asleep, 1);
    atomic_fetch_add(&b->n_awake, 1);
}

static bool is_in_the_way(struct board *b)
{
    int cpu = sched_getcpu();
    return cpu >= 0 && cpu == atomic_load_explicit(&b->cpu, memory_order_relaxed) && atomic_load(&b->is_open);
}

bool crew_help(struct crew *c, int self, int leader)
{
    struct board *b = &c->boards[leader], *own = &c->boards[self];
    int seat = 1 + atomic_fetch_add(&b->n_awake, 1), looks = 0;
    uint64_t since_ns = 0;
    bool is_of_use = true;
    seat = seat < CREW_MAX ? seat : CREW_MAX - 1;
    while (!atomic_load_explicit(&own->is_recalled, memory_order_relaxed)) {
        if (do_cut(b, seat)) {
            looks = 0;
            continue;
        }
        relax();
        if (++looks % LOOKS != 0) {
            continue;
        }
        if (is_in_the_way(b)) {
            is_of_use = false;
            break;
        }
        uint64_t now_ns = clock_ns();
        since_ns = looks == LOOKS ? now_ns : since_ns;
        if (now_ns - since_ns < CREW_SPIN_NS) {
            continue;
        }
        if (!atomic_load(&b->is_open)) {
            break;
        }
        sleep_at(c, b, own);
        looks = 0;
    }
    atomic_fetch_sub(&b->n_awake, 1);
    atomic_store(&own->is_recalled, false);
    return is_of_use;
}

void crew_recall(struct crew *c, int helper)
{
    atomic_store(&c->boards[helper].is_recalled, true);
    ring(c);
}
