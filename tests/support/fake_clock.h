/* fake_clock - engine/base/clock.h with a time that the test sets. */
#ifndef TESTS_SUPPORT_FAKE_CLOCK_H
#define TESTS_SUPPORT_FAKE_CLOCK_H

#include "engine/base/clock.h"

static uint64_t fake_now_us;

uint64_t clock_us(void)
{
    return fake_now_us;
}

uint64_t clock_since(uint64_t now_us, uint64_t from_us)
{
    return now_us > from_us ? now_us - from_us : 0;
}

#endif
