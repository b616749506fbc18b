#include "server/gate/gate_cost.h"

#include <math.h>

/* While nothing better is known: rows of the shipped model's inputs, and steps of an ordinary caption. */
enum { GUESS_ROWS = 80, GUESS_STEPS = 12, GUESS_STEP_ROWS = 2 };
/* Things that a price remembers however long ago they were. */
enum { MEMORY_THINGS = 8 };

/* ---- learning ---- */

struct change {
    double amount, n;
};

/* What the counters say of each price since the last time. */
static void changes_of(const struct engine_stats *s, const struct engine_stats *last, struct change *out)
{
#define SINCE(field) ((double)(s->field - last->field))
    const struct change changes[GATE_PRICE_COUNT] = {
        [GATE_PRICE_DECODE] = {SINCE(busy_us[ENGINE_DECODE]), SINCE(items[ENGINE_DECODE])},
        [GATE_PRICE_PIXEL] = {SINCE(busy_us[ENGINE_DECODE]), SINCE(decoded_pixels)},
        [GATE_PRICE_REGIONS] = {SINCE(busy_us[ENGINE_REGIONS]), SINCE(items[ENGINE_REGIONS])},
        [GATE_PRICE_ROW] = {SINCE(busy_us[ENGINE_FUSION]), SINCE(fusion_rows)},
        [GATE_PRICE_FIRST_ROWS] = {SINCE(caption_first_rows), SINCE(captions)},
        [GATE_PRICE_STEP_ROWS] = {SINCE(caption_rows), SINCE(caption_steps)},
        [GATE_PRICE_STEPS] = {SINCE(caption_tokens), SINCE(caption_ends)},
        [GATE_PRICE_PAIR_ROWS] = {SINCE(pair_rows), SINCE(pairs)},
    };
#undef SINCE
    for (int i = 0; i < GATE_PRICE_COUNT; i++) {
        out[i] = changes[i];
    }
}

static bool went_back(const struct engine_stats *s, const struct engine_stats *last)
{
    bool is_less = s->fusion_rows < last->fusion_rows || s->decoded_pixels < last->decoded_pixels;
    for (int i = 0; i < ENGINE_STAGE_COUNT; i++) {
        is_less = is_less || s->busy_us[i] < last->busy_us[i] || s->items[i] < last->items[i];
    }
    return is_less;
}

void gate_cost_learn(struct gate_cost *c, uint64_t now_us, const struct engine_stats *s)
{
    struct change changes[GATE_PRICE_COUNT];
    if (went_back(s, &c->last)) { /* another engine */
        c->last = (struct engine_stats){0};
    }
    changes_of(s, &c->last, changes);
    double idle = now_us > c->last_us ? (double)(now_us - c->last_us) : 0;
    double forget = exp(-idle / GATE_COST_MEMORY_US);
    for (int i = 0; i < GATE_PRICE_COUNT; i++) {
        if (changes[i].n <= 0) {
            continue;
        }
        double things = i == GATE_PRICE_PIXEL ? s->items[ENGINE_DECODE] - c->last.items[ENGINE_DECODE] : changes[i].n;
        double keep = fmax(forget, MEMORY_THINGS / (MEMORY_THINGS + things));
        c->prices[i].amount = c->prices[i].amount * keep + changes[i].amount;
        c->prices[i].n = c->prices[i].n * keep + changes[i].n;
    }
    c->last = *s;
    c->last_us = now_us;
}

double gate_cost_price(const struct gate_cost *c, enum gate_price p)
{
    return c->prices[p].n > 0 ? c->prices[p].amount / c->prices[p].n : 0;
}

/* ---- weighing ---- */

static double price_or(const struct gate_cost *c, enum gate_price p, double guess)
{
    return c->prices[p].n > 0 ? gate_cost_price(c, p) : guess;
}

static double caption_rows(const struct gate_cost *c, const struct gate_request *r)
{
    int beams = r->beams > 0 ? r->beams : c->beams;
    double steps = price_or(c, GATE_PRICE_STEPS, GUESS_STEPS);
    if (r->tokens > 0 && r->tokens < steps) {
        steps = r->tokens;
    }
    double later = fmax(0, steps - 1) * fmax(1, beams) * price_or(c, GATE_PRICE_STEP_ROWS, GUESS_STEP_ROWS);
    return price_or(c, GATE_PRICE_FIRST_ROWS, GUESS_ROWS) + later;
}

/* Of one picture. */
static double fusion_rows(const struct gate_cost *c, const struct gate_request *r)
{
    if (r->task == JOB_CAPTION) {
        return caption_rows(c, r);
    }
    bool has_pairs = r->task == JOB_VQA || r->task == JOB_RETRIEVE;
    return has_pairs ? r->texts * price_or(c, GATE_PRICE_PAIR_ROWS, GUESS_ROWS) : 0;
}

struct gate_weight gate_cost_weigh(const struct gate_cost *c, const struct gate_request *r)
{
    double decode_us = gate_cost_price(c, GATE_PRICE_DECODE) * r->images;
    if (r->pixels > 0) {
        decode_us = gate_cost_price(c, GATE_PRICE_PIXEL) * (double)r->pixels;
    }
    double regions_us = r->task == JOB_CHECK ? 0 : gate_cost_price(c, GATE_PRICE_REGIONS);
    double rows = fusion_rows(c, r), fusion_us = gate_cost_price(c, GATE_PRICE_ROW) * rows;
    double first_us = r->images > 0 ? decode_us / r->images + regions_us : 0;
    return (struct gate_weight){
        .engine_us = regions_us * r->images + fusion_us * (r->images + r->known),
        .decode_us = decode_us,
        .chain_us = first_us + fusion_us,
        .is_known = (r->images == 0 || c->prices[GATE_PRICE_DECODE].n > 0) &&
                    (r->images == 0 || r->task == JOB_CHECK || c->prices[GATE_PRICE_REGIONS].n > 0) &&
                    (rows == 0 || c->prices[GATE_PRICE_ROW].n > 0),
    };
}
