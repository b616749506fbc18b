/* gate_cost - what a request will cost the engine, from the engine's measurements.
 *
 * Unit: microseconds of one thread. Each price is a quotient of two decaying sums (over about GATE_COST_MEMORY_US of
 * busy time, or the last few events when little happens), so it follows the machine within a second or two and a single
 * outlier counts only for the time it took.
 *
 * Threads: the gate's. Failure: none. */
#ifndef SERVER_GATE_GATE_COST_H
#define SERVER_GATE_GATE_COST_H

#include "server/gate/gate.h"

enum { GATE_COST_MEMORY_US = 2000000 };

enum gate_price {
    GATE_PRICE_DECODE,     /* us a picture */
    GATE_PRICE_PIXEL,      /* us a pixel */
    GATE_PRICE_REGIONS,    /* us a picture */
    GATE_PRICE_ROW,        /* us per row of a fusion step */
    GATE_PRICE_FIRST_ROWS, /* rows of a caption's first step */
    GATE_PRICE_STEP_ROWS,  /* rows of a beam's later step */
    GATE_PRICE_STEPS,      /* steps of a caption */
    GATE_PRICE_PAIR_ROWS,  /* rows of a question or sentence */
    GATE_PRICE_COUNT
};

/* Begins as zeros. */
struct gate_cost {
    struct {
        double amount, n;
    } prices[GATE_PRICE_COUNT];
    struct engine_stats last; /* the counters as they were */
    uint64_t last_us;
    int beams, tokens; /* the model's defaults */
};

void gate_cost_learn(struct gate_cost *c, uint64_t now_us, const struct engine_stats *s);
/* 0 while unmeasured. */
double gate_cost_price(const struct gate_cost *c, enum gate_price p);

struct gate_weight {
    double engine_us, decode_us; /* of all threads of the stage together */
    double chain_us;             /* its longest picture from start to end: more threads do not make it shorter */
    bool is_known;               /* false: a part was never measured and counts as 0 */
};
struct gate_weight gate_cost_weigh(const struct gate_cost *c, const struct gate_request *r);

#endif
