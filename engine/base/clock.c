#include "engine/base/clock.h"

#include <time.h>

uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_us(void)
{
    return clock_ns() / 1000u;
}

uint64_t clock_since(uint64_t now_us, uint64_t from_us)
{
    return now_us > from_us ? now_us - from_us : 0;
}
