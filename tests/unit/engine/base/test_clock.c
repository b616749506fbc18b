#include "engine/base/clock.h"

#include "tests/support/check.h"

#include <time.h>

/* Never backwards, and microseconds: between two readings of the system's clock. */
int main(void)
{
    uint64_t last = clock_us();
    for (int i = 0; i < 1000; i++) {
        struct timespec before, after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        uint64_t now = clock_us();
        clock_gettime(CLOCK_MONOTONIC, &after);
        CHECK(now >= last);
        CHECK(now >= (uint64_t)before.tv_sec * 1000000 + (uint64_t)before.tv_nsec / 1000);
        CHECK(now <= (uint64_t)after.tv_sec * 1000000 + (uint64_t)after.tv_nsec / 1000);
        last = now;
    }
    CHECK_INT(clock_since(5, 3), 2);
    CHECK_INT(clock_since(3, 3), 0);
    CHECK_INT(clock_since(3, 5), 0);
    CHECK_INT(clock_since(UINT64_MAX, 0), UINT64_MAX);
    return check_result();
}
