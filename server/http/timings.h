/* timings - where a piece of work spent its time, for log, history, metrics and Server-Timing. */
#ifndef SERVER_HTTP_TIMINGS_H
#define SERVER_HTTP_TIMINGS_H

#include <stdint.h>

struct timings {
    uint64_t decode_us, queue_us, regions_us, fusion_us; /* of its slowest image each */
    int regions_batch, fusion_batch;                     /* the largest */
    int n_images, n_texts;
    const char *cache; /* "miss", "regions", "coalesced"; NULL: nothing was looked up */
};

#endif
