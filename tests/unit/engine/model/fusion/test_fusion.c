/* How attention is told: what is paid to cells goes to the regions that cover them, by how much. */
#include "engine/model/fusion/fusion.c"

#include "tests/support/check.h"

#include <stdlib.h>

enum { SIDE = 64, CELLS = 4, REGIONS = 3, SEEN = 1 };

/* Four cells of 32 x 32; regions: the left half, the lower right quarter of the first cell, all of it. */
static struct features *make(const struct model_config *c)
{
    static const float boxes[REGIONS][4] = {{0, 0, 31, 63}, {16, 16, 31, 31}, {0, 0, 63, 63}};
    struct features *f = calloc(1, features_bytes(c));
    if (!f) {
        abort();
    }
    features_init(f, c);
    f->n_regions = REGIONS;
    for (int i = 0; i < REGIONS; i++) {
        memcpy(features_regions(f)[i].box, boxes[i], sizeof(boxes[i]));
    }
    if (f->max_cells > 0) {
        features_context(f)->n_seen = SEEN;
        features_context(f)->n_cells = CELLS;
        for (int i = 0; i < CELLS; i++) {
            float x = (float)(i % 2 * 32), y = (float)(i / 2 * 32);
            float box[4] = {x, y, x + 31.0F, y + 31.0F};
            memcpy(features_cell_boxes(f) + 4 * i, box, sizeof(box));
        }
    }
    return f;
}

static void test_sharing(struct model_config *c)
{
    static const float paid[SEEN + CELLS] = {0.5F, 0.2F, 0.1F, 0.04F, 0.02F};
    float attention[REGIONS] = {0.25F, 0.0F, 0.0F};
    struct features *f = make(c);
    CHECK_INT(image_rows(f), SEEN + CELLS);
    share_out(f, paid, attention);
    CHECK_NEAR(attention[0], 0.25 + 0.5 + 0.2 + 0.04, 1e-6);
    CHECK_NEAR(attention[1], 0.2 / 4, 1e-6);
    CHECK_NEAR(attention[2], 0.2 + 0.1 + 0.04 + 0.02, 1e-6);
    free(f);
}

static void test_regions_alone(struct model_config *c)
{
    static const float paid[REGIONS] = {0.5F, 0.2F, 0.1F};
    float attention[REGIONS] = {0.0F, 0.1F, 0.0F};
    c->context.channels = 0;
    struct features *f = make(c);
    CHECK_INT(image_rows(f), REGIONS);
    share_out(f, paid, attention);
    CHECK_NEAR(attention[0], 0.5, 1e-6);
    CHECK_NEAR(attention[1], 0.3, 1e-6);
    CHECK_NEAR(attention[2], 0.1, 1e-6);
    free(f);
}

int main(void)
{
    struct model_config c = {.image = {.resize = MODEL_RESIZE_SQUARE, .size = SIDE, .divisor = 32},
                             .roi = {.hidden = 3, .max_regions = REGIONS},
                             .fusion = {.hidden = 5},
                             .context = {.channels = 1, .pool = 1, .regions = SEEN}};
    test_sharing(&c);
    test_regions_alone(&c);
    return check_result();
}
