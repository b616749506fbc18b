/* clock - monotonic time, in microseconds unless the name says otherwise. Threads: any. */
#ifndef ENGINE_BASE_CLOCK_H
#define ENGINE_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_us(void);
uint64_t clock_ns(void);
/* From one time to a later one; 0 if it is not later, as when the two were read on different threads. */
uint64_t clock_since(uint64_t now_us, uint64_t from_us);

#endif
