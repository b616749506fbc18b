/* A timing wheel against a plain list of times, with a made-up clock. */
#include "server/http/wheel.h"

#include "tests/support/check.h"

enum { N = 300 };

static uint32_t seed = 1;

static uint32_t next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static void test_one(void)
{
    struct wheel w;
    struct wheel_entry e = {0};
    wheel_init(&w, 1000000);
    CHECK(wheel_pop_due(&w, 5000000) == NULL);
    wheel_set(&w, &e, 6000000);
    CHECK(wheel_pop_due(&w, 5999999) == NULL);
    CHECK(wheel_pop_due(&w, 6000000 + WHEEL_STEP_US) == &e);
    CHECK(wheel_due(&e) == UINT64_MAX);
    CHECK(wheel_pop_due(&w, 7000000) == NULL);
    wheel_set(&w, &e, 100); /* past: at the next look into a new step */
    CHECK(wheel_pop_due(&w, 7000000 + WHEEL_STEP_US) == &e);
    wheel_set(&w, &e, UINT64_MAX);
    CHECK(wheel_due(&e) == UINT64_MAX);
    CHECK(wheel_pop_due(&w, (uint64_t)1 << 60) == NULL);
    wheel_set(&w, &e, ((uint64_t)1 << 60) + 1);
    wheel_set(&w, &e, ((uint64_t)1 << 60) + 1000000);
    wheel_remove(&e);
    wheel_remove(&e);
    CHECK(wheel_pop_due(&w, (uint64_t)1 << 61) == NULL);
}

/* Nothing comes early, nothing later than a step and the time between looks, nothing twice. */
static void test_many(void)
{
    static struct wheel w;
    static struct wheel_entry entries[N];
    static uint64_t set_to[N];
    uint64_t now = 77777, before;
    wheel_init(&w, now);
    for (int round = 0; round < 4000; round++) {
        uint32_t at = next_random() % N;
        struct wheel_entry *e = &entries[at];
        uint32_t kind = next_random() % 10;
        if (kind == 0) {
            wheel_remove(e);
        } else {
            set_to[at] = now + next_random() % (kind < 8 ? 3000000 : 200000000);
            wheel_set(&w, e, set_to[at]);
            CHECK(wheel_due(e) == set_to[at]);
        }
        before = now;
        now += next_random() % (kind == 9 ? 40000000 : 70000);
        while ((e = wheel_pop_due(&w, now)) != NULL) {
            CHECK(set_to[e - entries] <= now && wheel_due(e) == UINT64_MAX);
        }
        for (int i = 0; i < N; i++) {
            uint64_t due = wheel_due(&entries[i]);
            CHECK(due >= before || due + 2 * WHEEL_STEP_US > now); /* in no wheel: never due */
        }
    }
}

int main(void)
{
    test_one();
    test_many();
    return check_result();
}
