/* Context cells: means over windows that the map's edges cut, the grid of pictures whose sides are no multiples of
 * anything, what is not finite, and the plan of own blocks from every block of the small network on. */
#include "engine/model/tee/cells.c"

#include "engine/base/mem.h"
#include "engine/model/model_private.h"
#include "engine/model/session.h"
#include "tests/support/check.h"

#include <math.h>
#include <stdlib.h>

enum { CHANNELS = 7, MAX_SIDE = 9 };

/* ---- pooling ---- */

static void check_pool(int h, int w, int pool, float *arena)
{
    struct plan_step s = {.in = {{.h = h, .w = w, .c = CHANNELS, .at = 0}}, .conv = {.kernel = pool}};
    s.out = (struct plan_map){parts(h, pool), parts(w, pool), CHANNELS, (size_t)h * (size_t)w * CHANNELS};
    struct plan_run run = {NULL, arena, NULL};
    for (int i = 0; i < h * w * CHANNELS; i++) {
        arena[i] = (float)(rand() % 100) / 8.0F;
    }
    run_pool(&s, &run);
    for (int y = 0; y < s.out.h; y++) {
        for (int x = 0; x < s.out.w; x++) {
            for (int c = 0; c < CHANNELS; c++) {
                double sum = 0.0;
                int n = 0;
                for (int i = 0; i < h * w; i++) {
                    if (i / w / pool == y && i % w / pool == x) {
                        sum += (double)arena[i * CHANNELS + c];
                        n++;
                    }
                }
                CHECK_NEAR(arena[s.out.at + (size_t)((y * s.out.w + x) * CHANNELS + c)], sum / n, 1e-5);
            }
        }
    }
}

static void test_pool(void)
{
    static float arena[2 * MAX_SIDE * MAX_SIDE * CHANNELS];
    for (int h = 1; h <= MAX_SIDE; h++) {
        for (int w = 1; w <= MAX_SIDE; w += 2) {
            for (int pool = 1; pool <= 5; pool++) {
                check_pool(h, w, pool, arena);
            }
        }
    }
}

/* ---- the grid ---- */

static void check_grid(int width, int height, int pool, const struct tee_input *in)
{
    const struct model_config c = {.context = {.channels = CHANNELS, .pool = pool}};
    int columns = parts(parts(in->padded_width, 32), pool), rows = parts(parts(in->padded_height, 32), pool);
    struct plan_map map = {rows, columns, CHANNELS, 0};
    size_t cells = (size_t)(rows * columns);
    float *values = calloc(cells * CHANNELS, sizeof(float)), *boxes = calloc(cells * 4, sizeof(float));
    float *inputs = calloc(cells * (CHANNELS + 6), sizeof(float));
    for (size_t i = 0; i < cells * CHANNELS; i++) {
        values[i] = (float)(i / CHANNELS);
    }
    int n = cells_inputs(&c, map, values, in, inputs, boxes), side = 32 * pool, want_columns = parts(width, side);
    CHECK_INT(n, want_columns * parts(height, side));
    for (int i = 0; i < n; i++) {
        const float *box = boxes + 4 * i, *row = inputs + i * (CHANNELS + 6);
        int x = i % want_columns, y = i / want_columns;
        CHECK(row[0] == (float)(y * columns + x) && row[CHANNELS - 1] == row[0]);
        CHECK_NEAR(box[0], (double)x * side * in->width / width, 1e-3);
        CHECK_NEAR(box[1], (double)y * side * in->height / height, 1e-3);
        CHECK_NEAR(box[2], ((double)min_int((x + 1) * side, width) - 1) * in->width / width, 1e-3);
        CHECK_NEAR(box[3], ((double)min_int((y + 1) * side, height) - 1) * in->height / height, 1e-3);
        CHECK_NEAR(row[CHANNELS + 1], (double)box[1] / in->height, 1e-6);
        CHECK_NEAR(row[CHANNELS + 2], (double)box[2] / in->width, 1e-6);
        CHECK_NEAR(row[CHANNELS + 4], (double)(box[2] - box[0]) / in->width, 1e-6);
        CHECK_NEAR(row[CHANNELS + 5], (double)(box[3] - box[1]) / in->height, 1e-6);
    }
    free(values);
    free(boxes);
    free(inputs);
}

static void test_grid(void)
{
    static const int sides[] = {1, 31, 32, 33, 63, 64, 65, 127, 224, 225};
    for (int i = 0; i < 10; i++) {
        for (int j = 0; j < 10; j++) {
            for (int pool = 1; pool <= 3; pool++) {
                struct tee_input in = {.padded_width = (sides[i] + 63) / 64 * 64,
                                       .padded_height = (sides[j] + 63) / 64 * 64,
                                       .resized_width = sides[i],
                                       .resized_height = sides[j],
                                       .width = 3 * sides[i] + 1,
                                       .height = 2 * sides[j] + 5};
                check_grid(sides[i], sides[j], pool, &in);
            }
        }
    }
}

/* ---- rows ---- */

/* In 8 bits, and with the file's numbers converted to floats. */
static void test_embedding(struct model *m)
{
    const struct bind_fusion *w = &m->bound->fusion;
    float inputs[3 * 64], rows[3 * 64];
    uint8_t q[3 * 64];
    struct gemm8_row row[3];
    size_t k = linear_k(&w->cells);
    const struct linear_scratch bytes = {q, row};
    CHECK(k <= 64 && linear_n(&w->cells) <= 64);
    for (size_t i = 0; i < 3 * k; i++) {
        inputs[i] = (float)(rand() % 100) / 50.0F;
    }
    CHECK(cells_embed(m->kernels, w, &bytes, inputs, 3, rows));
    CHECK(cells_embed(m->kernels, w, &bytes, inputs, 0, rows));
    inputs[2 * k + 5] = NAN;
    CHECK(cells_embed(m->kernels, w, &bytes, inputs, 2, rows));
    CHECK(!cells_embed(m->kernels, w, &bytes, inputs, 3, rows));
    inputs[2 * k + 5] = INFINITY;
    CHECK(!cells_embed(m->kernels, w, &bytes, inputs, 3, rows));
}

/* ---- own blocks ---- */

/* With the backbone's own blocks as the cells' blocks, the map is the same wherever it branches off; and everything
 * else stays what it was. */
static void test_branches(struct model *m)
{
    struct bind_cells *cells = &m->bound->cells;
    struct bind_cells before = *cells;
    struct tee t = {.model = m};
    float pixels[96 * 96 * 3], *arena = NULL;
    float first[64 * 64], first_tap[64 * 64];
    int n = m->bound->tee.n_blocks;
    for (int i = 0; i < 96 * 96 * 3; i++) {
        pixels[i] = (float)(rand() % 1000) / 250.0F - 2.0F;
    }
    for (int own = 0; own <= n; own++) {
        m->config.context.own_blocks = own;
        *cells = (struct bind_cells){own, m->bound->tee.blocks + (n - own), before.head};
        CHECK_INT(tee_init(&t, m), OK);
        size_t floats = tee_plan(&t, 64, 96);
        CHECK_INT(mem_array(&arena, floats, sizeof(float)), OK);
        struct plan_run run = {m->kernels, arena, pixels};
        plan_execute(&t.plan, &run, 0, t.plan.n_steps);
        size_t map = plan_floats(t.cells), tap = plan_floats(t.taps[3]);
        CHECK(map > 0 && map <= 64 * 64 && tap <= 64 * 64);
        if (own == 0) {
            memcpy(first, plan_at(&run, t.cells), map * sizeof(float));
            memcpy(first_tap, plan_at(&run, t.taps[3]), tap * sizeof(float));
        }
        CHECK_INT(memcmp(first, plan_at(&run, t.cells), map * sizeof(float)), 0);
        CHECK_INT(memcmp(first_tap, plan_at(&run, t.taps[3]), tap * sizeof(float)), 0);
        mem_free(arena);
        arena = NULL;
        tee_release(&t);
    }
    m->config.context.own_blocks = before.n_blocks;
    *cells = before;
}

int main(void)
{
    struct model_options options = {.isa_cap = ISA_AVX512, .gemm_backend = GEMM_NATIVE, .verify_hash = true};
    static const char *const dirs[] = {"tests/data/tiny-cells", "tests/data/tiny-both"};
    srand(5);
    test_pool();
    test_grid();
    for (int i = 0; i < 2; i++) {
        struct model *m = NULL;
        CHECK_INT(model_open(&m, dirs[i], &options, NULL), OK);
        if (m) {
            test_embedding(m);
            test_branches(m);
        }
        model_close(m);
    }
    return check_result();
}
