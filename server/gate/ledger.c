#include "server/gate/ledger.h"

#include "engine/base/err.h"

static const char *const names[LEDGER_ACCOUNT_COUNT] = {
#define LEDGER_ACCOUNT_NAME(symbol, name, text) [symbol] = name,
    LEDGER_ACCOUNTS(LEDGER_ACCOUNT_NAME)
#undef LEDGER_ACCOUNT_NAME
};

const char *ledger_account_name(enum ledger_account a)
{
    return names[a];
}

void ledger_set_limits(struct ledger *l, const struct ledger_limits *limits)
{
    for (int a = 0; a < LEDGER_ACCOUNT_COUNT; a++) {
        atomic_store(&l->_limit[a], limits->account[a]);
    }
    atomic_store(&l->_total_limit, limits->total);
}

void ledger_init(struct ledger *l, const struct ledger_limits *limits)
{
    for (int a = 0; a < LEDGER_ACCOUNT_COUNT; a++) {
        atomic_init(&l->_held[a], 0);
        atomic_init(&l->_peak[a], 0);
        atomic_init(&l->_refused[a], 0);
        atomic_init(&l->_limit[a], limits->account[a]);
    }
    atomic_init(&l->_total, 0);
    atomic_init(&l->_total_peak, 0);
    atomic_init(&l->_total_limit, limits->total);
}

static void raise_to(atomic_uint_fast64_t *peak, uint64_t value)
{
    uint64_t before = atomic_load_explicit(peak, memory_order_relaxed);
    while (before < value && !atomic_compare_exchange_weak(peak, &before, value)) {
    }
}

/* The comparison and the addition are one step: two takers never both get the last bytes. */
static bool add_within(atomic_uint_fast64_t *held, uint64_t n, uint64_t limit, uint64_t *now)
{
    uint64_t before = atomic_load_explicit(held, memory_order_relaxed);
    do {
        if (n > limit || before > limit - n) {
            return false;
        }
        *now = before + n;
    } while (!atomic_compare_exchange_weak(held, &before, *now));
    return true;
}

static void subtract(atomic_uint_fast64_t *held, uint64_t n)
{
    uint64_t before = atomic_fetch_sub(held, n);
    BUG_ON(before < n);
}

bool ledger_take(struct ledger *l, enum ledger_account a, uint64_t n_bytes)
{
    uint64_t held, total;
    if (!add_within(&l->_held[a], n_bytes, atomic_load(&l->_limit[a]), &held)) {
        atomic_fetch_add(&l->_refused[a], 1);
        return false;
    }
    if (!add_within(&l->_total, n_bytes, atomic_load(&l->_total_limit), &total)) {
        subtract(&l->_held[a], n_bytes);
        atomic_fetch_add(&l->_refused[a], 1);
        return false;
    }
    raise_to(&l->_peak[a], held);
    raise_to(&l->_total_peak, total);
    return true;
}

void ledger_note_refusal(struct ledger *l, enum ledger_account a)
{
    atomic_fetch_add(&l->_refused[a], 1);
}

void ledger_note(struct ledger *l, enum ledger_account a, uint64_t n_bytes)
{
    raise_to(&l->_peak[a], atomic_fetch_add(&l->_held[a], n_bytes) + n_bytes);
    raise_to(&l->_total_peak, atomic_fetch_add(&l->_total, n_bytes) + n_bytes);
}

void ledger_give(struct ledger *l, enum ledger_account a, uint64_t n_bytes)
{
    subtract(&l->_held[a], n_bytes);
    subtract(&l->_total, n_bytes);
}

void ledger_mirror(struct ledger *l, enum ledger_account a, uint64_t n_bytes, uint64_t peak)
{
    atomic_store(&l->_held[a], n_bytes);
    raise_to(&l->_peak[a], peak > n_bytes ? peak : n_bytes);
}

void ledger_figures(struct ledger *l, struct ledger_figures *out)
{
    for (int a = 0; a < LEDGER_ACCOUNT_COUNT; a++) {
        out->held[a] = atomic_load(&l->_held[a]);
        out->peak[a] = atomic_load(&l->_peak[a]);
        out->limit[a] = atomic_load(&l->_limit[a]);
        out->refused[a] = atomic_load(&l->_refused[a]);
    }
    out->total = atomic_load(&l->_total);
    out->total_peak = atomic_load(&l->_total_peak);
    out->total_limit = atomic_load(&l->_total_limit);
}
