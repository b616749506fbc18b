#include "server/gate/ledger.h"

#include "tests/support/check.h"

#include <pthread.h>

static struct ledger_limits limits_of(uint64_t each, uint64_t total)
{
    struct ledger_limits l = {.total = total};
    for (int a = 0; a < LEDGER_ACCOUNT_COUNT; a++) {
        l.account[a] = each;
    }
    return l;
}

static void test_limits(void)
{
    struct ledger l;
    struct ledger_figures f;
    struct ledger_limits limits = limits_of(100, 150);
    ledger_init(&l, &limits);
    CHECK(ledger_take(&l, LEDGER_BODIES, 100));
    CHECK(!ledger_take(&l, LEDGER_BODIES, 1));
    CHECK(!ledger_take(&l, LEDGER_PARSING, 51)); /* the total */
    CHECK(ledger_take(&l, LEDGER_PARSING, 50));
    CHECK(!ledger_take(&l, LEDGER_ANSWERS, UINT64_MAX)); /* no sum may wrap */
    ledger_give(&l, LEDGER_BODIES, 60);
    ledger_figures(&l, &f);
    CHECK_INT(f.held[LEDGER_BODIES], 40);
    CHECK_INT(f.peak[LEDGER_BODIES], 100);
    CHECK_INT(f.held[LEDGER_PARSING], 50); /* what the total refused was put back */
    CHECK_INT(f.refused[LEDGER_BODIES], 1);
    CHECK_INT(f.refused[LEDGER_PARSING], 1);
    CHECK_INT(f.refused[LEDGER_ANSWERS], 1);
    CHECK_INT(f.total, 90);
    CHECK_INT(f.total_peak, 150);
}

static void test_note_and_mirror(void)
{
    struct ledger l;
    struct ledger_figures f;
    struct ledger_limits limits = limits_of(10, 20);
    ledger_init(&l, &limits);
    ledger_note(&l, LEDGER_COLLECTIONS, 30); /* above every limit, and counted */
    CHECK(!ledger_take(&l, LEDGER_BODIES, 1));
    ledger_give(&l, LEDGER_COLLECTIONS, 30);
    ledger_mirror(&l, LEDGER_CACHES, 3, 8); /* it held more between two looks */
    ledger_mirror(&l, LEDGER_CACHES, 5, 5);
    ledger_figures(&l, &f);
    CHECK_INT(f.held[LEDGER_CACHES], 5);
    CHECK_INT(f.peak[LEDGER_CACHES], 8);
    CHECK_INT(f.total, 0); /* the engine's own budget */
    limits = limits_of(UINT64_MAX, UINT64_MAX);
    ledger_set_limits(&l, &limits);
    CHECK(ledger_take(&l, LEDGER_BODIES, UINT64_MAX / 2));
}

enum { THREADS = 4, ROUNDS = 20000, ROOM = 3 };

static struct ledger shared;
static atomic_int inside;
static atomic_bool was_over;

static void *borrow_and_return(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        if (ledger_take(&shared, LEDGER_PARSING, 1)) {
            if (atomic_fetch_add(&inside, 1) + 1 > ROOM) {
                atomic_store(&was_over, true);
            }
            atomic_fetch_sub(&inside, 1);
            ledger_give(&shared, LEDGER_PARSING, 1);
        }
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];
    struct ledger_limits limits = limits_of(UINT64_MAX, ROOM);
    struct ledger_figures f;
    ledger_init(&shared, &limits);
    for (int i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, borrow_and_return, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    ledger_figures(&shared, &f);
    CHECK(!atomic_load(&was_over));
    CHECK_INT(f.total, 0);
    CHECK_INT(f.held[LEDGER_PARSING], 0);
    CHECK(f.total_peak <= ROOM);
}

static void test_names(void)
{
    for (int a = 0; a < LEDGER_ACCOUNT_COUNT; a++) {
        CHECK(ledger_account_name(a)[0]);
    }
}

int main(void)
{
    test_limits();
    test_note_and_mirror();
    test_threads();
    test_names();
    return check_result();
}
