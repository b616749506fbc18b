/* The image half in 8 bits, where the file has its matrices so, against the same numbers in floats: maps, context cells
 * and the region head stay near, a wrong scale shows, and the same picture gives the same bits. How right the bytes are
 * is for tests/golden/test_image_bytes.c. */
#include "engine/base/mem.h"
#include "engine/model/model_private.h"
#include "engine/model/session.h"
#include "tests/support/check.h"
#include "tests/support/kernel_check.h"

#include <string.h>

enum { SIDE = 64, ROWS = 40, REGIONS = 7 };
static const double max_apart = 0.08; /* of the length of a map; these random networks are not kind to bytes */

struct half {
    struct model *model;
    struct session *session;
    struct features *features;
};

static float pixels[SIDE * SIDE * 3];

static bool make(struct half *h, const char *dir, enum isa isa, enum model_precision precision)
{
    struct model_options options = {.isa_cap = isa, .gemm_backend = GEMM_NATIVE, .precision = precision};
    struct session_limits limits = {SIDE, SIDE, ROWS};
    memset(h, 0, sizeof(*h));
    CHECK_INT(model_open(&h->model, dir, &options, NULL), OK);
    if (!h->model) {
        return false;
    }
    CHECK_INT(session_create(&h->session, h->model, &limits), OK);
    h->features = calloc(1, features_bytes(model_config(h->model)));
    return h->session && h->features;
}

static void release(struct half *h)
{
    free(h->features);
    session_destroy(h->session);
    model_close(h->model);
}

static void run(struct half *h)
{
    struct tee_input in = {pixels, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE};
    features_init(h->features, model_config(h->model));
    CHECK_INT(session_regions(h->session, &in, h->features), OK);
}

static double apart(const float *a, const float *b, size_t n)
{
    double difference = 0.0, length = 0.0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        length += (double)b[i] * b[i];
    }
    return sqrt(difference / length);
}

/* The plans differ by the places of bytes, hence each map by its own tee. */
static double worst_map(const struct half *bytes, const struct half *floats)
{
    double worst = 0.0;
    for (int i = 0; i < MODEL_LEVELS; i++) {
        const struct plan_map a = bytes->session->tee.pyramid[i], b = floats->session->tee.pyramid[i];
        double d = apart(bytes->session->arena + a.at, floats->session->arena + b.at, plan_floats(b));
        worst = d > worst ? d : worst;
    }
    return worst;
}

static void check_cells(const struct half *bytes, const struct half *floats)
{
    if (model_config(floats->model)->context.channels > 0) {
        const struct plan_map a = bytes->session->tee.cells, b = floats->session->tee.cells;
        double d = apart(bytes->session->arena + a.at, floats->session->arena + b.at, plan_floats(b));
        CHECK(d > 0.0 && d < max_apart);
    }
}

/* The same pooled regions through both heads. */
static double heads_apart(const struct half *bytes, const struct half *floats)
{
    const struct model_config *c = model_config(floats->model);
    struct regions r[2];
    struct arena a;
    void *room[2];
    size_t pooled = (size_t)c->roi.pool * (size_t)c->roi.pool * (size_t)c->bifpn.channels;
    arena_init(&a, NULL, 0);
    regions_place(&r[0], &a, c);
    size_t n_bytes = arena_needed(&a);
    for (int i = 0; i < 2; i++) {
        BUG_ON(mem_alloc(&room[i], n_bytes));
        arena_init(&a, room[i], n_bytes);
        regions_place(&r[i], &a, c);
        r[i].n = REGIONS;
        fill_random(r[i].aligned, REGIONS * pooled, 5);
        const struct half *h = i == 0 ? bytes : floats;
        regions_head(&r[i], model_kernels(h->model), h->session->tee.weights);
    }
    double d = apart(r[0].predictions, r[1].predictions, REGIONS * ((size_t)c->roi.classes + 5));
    mem_free(room[0]);
    mem_free(room[1]);
    return d;
}

/* INT8 leaves the image half as it is stored, which is in bytes here; for the fusion alone it is in floats. */
static void test_precisions(const char *dir)
{
    static const enum model_precision pairs[2][2] = {{MODEL_PRECISION_AUTO, MODEL_PRECISION_INT8},
                                                     {MODEL_PRECISION_FP32, MODEL_PRECISION_FUSION}};
    for (int i = 0; i < 2; i++) {
        struct half a, b;
        if (make(&a, dir, ISA_REF, pairs[i][0]) && make(&b, dir, ISA_REF, pairs[i][1])) {
            run(&a);
            run(&b);
            CHECK_INT(memcmp(a.features, b.features, features_bytes(model_config(a.model))), 0);
            CHECK_INT(a.session->tee.weights->fc6.bytes.n > 0, i == 0);
            CHECK_INT(b.session->tee.weights->fc6.bytes.n > 0, i == 0);
            CHECK(b.model->bound->n_bytes == b.model->bound->n_linear);
        }
        release(&a);
        release(&b);
    }
}

static void test_near(const char *dir, enum isa isa)
{
    struct half bytes, floats;
    if (make(&bytes, dir, isa, MODEL_PRECISION_AUTO) && make(&floats, dir, isa, MODEL_PRECISION_FP32)) {
        const struct bind_tee *w = bytes.session->tee.weights;
        CHECK(w->fc6.bytes.n > 0 && w->blocks[1].expand.bytes.n > 0 && w->lateral[3].bytes.n > 0);
        CHECK(w->rpn.bytes.n == 0 && floats.session->tee.weights->fc6.bytes.n == 0);
        run(&bytes);
        run(&floats);
        double d = worst_map(&bytes, &floats), head = heads_apart(&bytes, &floats);
        fprintf(stderr, "%s %s: maps %.4f, head %.4f apart\n", dir, isa_name(isa), d, head);
        CHECK(d > 0.0 && d < max_apart);
        CHECK(head > 0.0 && head < max_apart);
        check_cells(&bytes, &floats);

        struct features *first = bytes.features;
        size_t n = features_bytes(model_config(bytes.model));
        bytes.features = calloc(1, n);
        run(&bytes);
        CHECK_INT(memcmp(first, bytes.features, n), 0);
        free(first);

        const struct gemm8_weights *p2 = &w->cells[w->n_cells - 1].nodes[3].pointwise.bytes; /* whose output is P2 */
        for (size_t i = 0; i < p2->n; i++) {
            ((float *)p2->scale)[i] *= 1.5F;
        }
        run(&bytes);
        CHECK(worst_map(&bytes, &floats) > max_apart);
        ((float *)w->fc6.bytes.scale)[1] *= 9.0F;
        CHECK(heads_apart(&bytes, &floats) > head);
    }
    release(&bytes);
    release(&floats);
}

int main(void)
{
    fill_random(pixels, sizeof(pixels) / sizeof(pixels[0]), 3);
    for (int isa = ISA_REF; isa <= (int)isa_best(); isa++) {
        test_near("tests/data/tiny-lite", (enum isa)isa);
        test_near("tests/data/tiny-cells", (enum isa)isa);
    }
    test_precisions("tests/data/tiny-lite");
    return check_result();
}
