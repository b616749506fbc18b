/* Every stage of the engine against the reference: the small models, all pictures, all instruction sets of this CPU,
 * both GEMM back ends.
 *
 * With MINIVLM_GOLDEN_DIR (golden.h) another model instead: loose, and only with the best instruction set and our own
 * GEMM. */
#include "tests/support/check.h"
#include "tests/support/golden_fusion.h"
#include "tests/support/golden_tee.h"

/* Every tensor of the file must have been looked at. */
static int count_unseen(const struct golden *g)
{
    int n = 0;
    for (int i = 0; i < weights_count(g->tensors); i++) {
        if (!g->seen[i]) {
            fprintf(stderr, "%s was not compared\n", weights_at(g->tensors, i)->name);
            n++;
        }
    }
    return n;
}

static void compare(const struct golden_place *place, enum isa isa, enum gemm_backend backend)
{
    struct golden g;
    const char *picture;
    json_t *about;
    if (!golden_open(&g, place, isa, backend, 512)) {
        CHECK(!"the golden results open");
        golden_close(&g);
        return;
    }
    CHECK_INT(g.model->kernels->isa, isa);
    CHECK_INT(g.model->kernels->gemm_backend, backend);
    CHECK_STR(json_string_value(json_object_get(g.page, "weights_sha256")), model_sha256(g.model));
    g.is_loud = true;
    json_object_foreach(g.pictures, picture, about)
    {
        if (golden_tee(&g, picture)) {
            golden_vqa(&g);
            golden_retrieve(&g);
            golden_caption(&g);
        }
    }
    printf("%s %s %s: %d comparisons, largest error %.2g (%s)\n", model_config(g.model)->name, isa_name(isa),
           gemm_backend_name(backend), g.n_compared, g.worst, g.worst_name);
    CHECK_INT(g.n_differing, 0);
    CHECK_INT(count_unseen(&g), 0);
    golden_close(&g);
}

int main(void)
{
    struct golden_given given;
    if (golden_is_given(&given)) {
        compare(&given.place, isa_best(), GEMM_NATIVE);
        return check_result();
    }
    for (int place = 0; place < GOLDEN_PLACES; place++) {
        for (int isa = 0; isa <= (int)isa_best(); isa++) {
            for (int backend = 0; isa_can_run((enum isa)isa) && backend < GEMM_BACKEND_COUNT; backend++) {
                compare(&golden_places[place], (enum isa)isa, (enum gemm_backend)backend);
            }
        }
    }
    return check_result();
}
