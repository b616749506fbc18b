/* clock - monotonic time in microseconds. Threads: any. */
#ifndef ENGINE_BASE_CLOCK_H
#define ENGINE_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_us(void);

#endif
