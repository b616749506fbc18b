/* Every fault of a weights file is named: each tensor of the small models taken away or spoilt in turn; and no memory
 * is lost, whichever allocation fails. */
#include "engine/model/load/bind.h"

#include "engine/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/slurp.h"

#include <math.h>
#include <stdint.h>

struct copy {
    struct model_config config;
    char *bytes;
    size_t n_bytes;
};

static bool load(struct copy *c, const char *folder)
{
    char path[128];
    size_t n;
    struct errbuf e;
    snprintf(path, sizeof(path), "%s/config.json", folder);
    char *text = slurp(path, &n);
    enum err rc = model_config_parse(&c->config, text, n, path, &e);
    free(text);
    snprintf(path, sizeof(path), "%s/model.safetensors", folder);
    c->bytes = slurp(path, &c->n_bytes);
    return rc == OK;
}

static enum err bind_copy(const struct copy *c, struct errbuf *e)
{
    struct weights *w = NULL;
    struct bind *b = NULL;
    errbuf_clear(e);
    enum err rc = weights_parse(&w, c->bytes, c->n_bytes, "copy", e);
    if (rc == OK) {
        rc = bind_open(&b, w, &c->config, kernels_select(ISA_REF, GEMM_NATIVE), MODEL_PRECISION_AUTO, e);
    }
    CHECK((rc == OK) == (b != NULL));
    bind_close(b);
    weights_close(w);
    return rc;
}

/* The error must be ERR_BAD_MODEL and contain both. */
static void check_fault(const struct copy *c, const char *name, const char *what)
{
    struct errbuf e;
    CHECK_INT(bind_copy(c, &e), ERR_BAD_MODEL);
    if (!strstr(e.text, name) || !strstr(e.text, what)) {
        fprintf(stderr, "expected %s and %s in: %s\n", name, what, e.text);
        CHECK(!"the fault is named");
    }
}

static char *find_in_header(const struct copy *c, const char *text)
{
    char *at = memmem(c->bytes + 8, c->n_bytes - 8, text, strlen(text));
    CHECK(at != NULL);
    return at;
}

/* A tensor that a file may lack. */
static const char said[] = "fusion.embeddings.word.said";

/* Another tensor name of the same length, and back. */
static void test_missing(const struct copy *c, const char *name)
{
    char quoted[WEIGHTS_MAX_NAME + 3];
    snprintf(quoted, sizeof(quoted), "\"%s\"", name);
    char *at = find_in_header(c, quoted);
    if (at) {
        char *last = at + strlen(name), before = *last;
        *last = '_';
        check_fault(c, strcmp(name, said) == 0 ? "word.sai_" : name, strcmp(name, said) == 0 ? "unknown" : "missing");
        *last = before;
    }
}

static void test_not_finite(const struct copy *c, const struct tensor *t, size_t offset)
{
    static const uint32_t odd[] = {0x7fc00000u, 0x7f800000u, 0xff800000u}; /* NaN and both infinities */
    uint32_t before;
    size_t n = weights_elements(t);
    for (int i = 0; i < 3; i++) {
        char *at = c->bytes + offset + (i == 0 ? 0 : n - 1) * sizeof(float);
        memcpy(&before, at, sizeof(before));
        memcpy(at, &odd[i], sizeof(before));
        check_fault(c, t->name, "finite");
        memcpy(at, &before, sizeof(before));
    }
}

static void test_each(const struct copy *c)
{
    struct weights *w = NULL;
    struct errbuf e;
    CHECK_INT(bind_copy(c, &e), OK);
    CHECK_INT(weights_parse(&w, c->bytes, c->n_bytes, "copy", &e), OK);
    for (int i = 0; w && i < weights_count(w); i++) {
        const struct tensor *t = weights_at(w, i);
        test_missing(c, t->name);
        if (t->type == TENSOR_F32) {
            test_not_finite(c, t, (size_t)((const char *)t->data - c->bytes));
        }
    }
    CHECK(weights_count(w) > 100);
    weights_close(w);
}

/* Text of the header behind `name` replaced by one of the same length. */
static void test_header(const struct copy *c, const char *name, const char *from, const char *to, const char *what)
{
    char quoted[WEIGHTS_MAX_NAME + 3];
    size_t n = strlen(from);
    snprintf(quoted, sizeof(quoted), "\"%s\"", name);
    char *at = find_in_header(c, quoted);
    at = at ? strstr(at, from) : NULL;
    CHECK(at && strlen(to) == n);
    if (at && strlen(to) == n) {
        memcpy(at, to, n);
        check_fault(c, name, what);
        memcpy(at, from, n);
    }
}

static void test_shapes(const struct copy *c)
{
    test_header(c, "heads.retrieve.classifier.weight", "[2,48]", "[48,2]", "shape [48, 2], expected [2, 48]");
    test_header(c, "heads.retrieve.classifier.weight", "[2,48]", "[96,1]", "shape [96, 1], expected [2, 48]");
    test_header(c, "fusion.embeddings.word.weight", "[247,48]", "[48,247]", "expected [247, 48]");
    test_header(c, "tee.roi.fc7.weight", "[40,40]", "[20,80]", "expected [40, 40]");
    test_header(c, "tee.rpn.cls.weight", "[3,12,1,1]", "[12,3,1,1]", "expected [3, 12, 1, 1]");
    test_header(c, "fusion.embeddings.norm.bias", "\"F32\",\"shape\":[48]", "\"I8\",\"shape\":[192]", "must be F32");
}

/* The rows of the words that can be said stand beside int8 word embeddings, one for each such word. */
static void test_said(const struct copy *c)
{
    test_header(c, said, "[167,48]", "[48,167]", "expected [167, 48]");
    test_header(c, said, "\"F16\",\"shape\":[167,48]", "\"I8\", \"shape\":[167,96]", "belongs in F16");
}

/* The cells' tensors follow from config.json's context, and the regions' are absent where the fusion sees none. */
static void test_context(struct copy *cells, struct copy *both)
{
    test_header(cells, "cells.head.weight", "[21,22,1,1]", "[22,21,1,1]", "expected [21, 22, 1, 1]");
    test_header(cells, "cells.blocks.2.project.weight", "[22,54,1,1]", "[54,22,1,1]", "expected [22, 54, 1, 1]");
    test_header(cells, "fusion.cells.project.weight", "[48,27]", "[27,48]", "expected [48, 27]");
    cells->config.context.regions = 1;
    check_fault(cells, "fusion.regions.project.weight", "missing");
    cells->config.context.regions = 0;
    cells->config.context.own_blocks = 2;
    check_fault(cells, "cells.blocks.0.", "expected");
    cells->config.context.own_blocks = 0;
    check_fault(cells, "cells.blocks.", "unknown");
    cells->config.context.own_blocks = 3;
    cells->config.context.channels = 20;
    check_fault(cells, "cells.head.weight", "shape [21, 22, 1, 1], expected [20, 22, 1, 1]");
    cells->config.context.channels = 0;
    check_fault(cells, "fusion.regions.project.weight", "missing");
    both->config.context.regions = 0;
    check_fault(both, "fusion.regions.", "unknown");
    both->config.context.own_blocks = 1;
    check_fault(both, "cells.blocks.0.expand.weight", "missing");
    both->config.context.channels = 0;
    both->config.context.own_blocks = 0;
    check_fault(both, "cells.", "unknown");
}

/* A network without squeeze-excite has no use for its tensors. */
static void test_unknown(struct copy *c)
{
    c->config.backbone.squeeze_excite = false;
    check_fault(c, "tee.backbone.blocks.", "se_");
    c->config.backbone.squeeze_excite = true;
}

/* One row of a matrix times a row that is 1 at `i`: the column of the weights, plus the bias. */
static void column_of(const struct kernels *k, const struct gemm_weights *w, size_t i, float *out)
{
    float *row = calloc(w->k, sizeof(float));
    if (row) {
        row[i] = 1.0F;
        k->gemm(w, row, w->k, 1, out, w->n, ACT_NONE, NULL, 0);
    }
    free(row);
}

/* Matrices in F16 stay halves where the kernels take them, and are the same numbers as the floats of plain C. */
static void test_halves(void)
{
    const struct kernels *plain = kernels_select(ISA_REF, GEMM_NATIVE), *fast = kernels_select(ISA_AVX512, GEMM_NATIVE);
    struct copy c;
    struct weights *w = NULL;
    struct bind *floats = NULL, *halves = NULL;
    CHECK(load(&c, "models/minivlm-base"));
    CHECK_INT(weights_parse(&w, c.bytes, c.n_bytes, "copy", NULL), OK);
    CHECK_INT(bind_open(&floats, w, &c.config, plain, MODEL_PRECISION_FP32, NULL), OK);
    CHECK_INT(bind_open(&halves, w, &c.config, fast, MODEL_PRECISION_FP32, NULL), OK);
    if (floats && halves) {
        static const char *const names[] = {"tee.roi.fc6.weight", "fusion.layers.0.attention.query.weight",
                                            "fusion.layers.1.ffn.down.weight", "heads.caption.transform.weight"};
        const struct gemm_weights *a[] = {&floats->tee.fc6.floats, &floats->fusion.layers[0].qkv.floats,
                                          &floats->fusion.layers[1].down.floats,
                                          &floats->fusion.caption_transform.floats};
        const struct gemm_weights *b[] = {&halves->tee.fc6.floats, &halves->fusion.layers[0].qkv.floats,
                                          &halves->fusion.layers[1].down.floats,
                                          &halves->fusion.caption_transform.floats};
        for (int i = 0; i < 4; i++) {
            float *expected = calloc(a[i]->n, sizeof(float)), *out = calloc(a[i]->n, sizeof(float));
            bool is_half = fast->gemm_takes_halves && weights_find(w, names[i])->type == TENSOR_F16;
            CHECK(a[i]->packed && !a[i]->halves && (b[i]->halves != NULL) == is_half);
            for (size_t column = 0; expected && out && column < a[i]->k; column += 1 + a[i]->k / 7) {
                column_of(plain, a[i], column, expected);
                column_of(fast, b[i], column, out);
                CHECK_INT(memcmp(expected, out, a[i]->n * sizeof(float)), 0);
            }
            free(expected);
            free(out);
        }
        CHECK(!fast->gemm_takes_halves || halves->block_bytes < floats->block_bytes);
    }
    bind_close(floats);
    bind_close(halves);
    weights_close(w);
    free(c.bytes);
}

/* The same in 8 bits: the numbers of a column within half a step of the floats', those of a file in I8 exactly. */
static void check_bytes(const char *folder, enum model_precision precision, bool is_exact)
{
    const struct kernels *k = kernels_select(ISA_COUNT - 1, GEMM_NATIVE);
    struct copy c;
    struct weights *w = NULL;
    struct bind *floats = NULL, *bytes = NULL;
    CHECK(load(&c, folder));
    CHECK_INT(weights_parse(&w, c.bytes, c.n_bytes, "copy", NULL), OK);
    CHECK_INT(bind_open(&floats, w, &c.config, k, MODEL_PRECISION_FP32, NULL), OK);
    CHECK_INT(bind_open(&bytes, w, &c.config, k, precision, NULL), OK);
    if (floats && bytes) {
        const struct bind_fusion *a = &floats->fusion, *b = &bytes->fusion;
        const struct bind_linear *x[] = {&a->layers[0].qkv, &a->layers[1].down, &a->caption_transform},
                                 *y[] = {&b->layers[0].qkv, &b->layers[1].down, &b->caption_transform};
        CHECK(floats->n_bytes == 0 && bytes->n_bytes == bytes->n_linear && bytes->n_linear == floats->n_linear);
        CHECK(b->caption_words.weights.bytes.n == a->caption_words.weights.floats.n);
        for (int i = 0; i < 3; i++) {
            size_t n = x[i]->floats.n, depth = x[i]->floats.k;
            float *expected = calloc(n, sizeof(float)), *out = calloc(n, sizeof(float));
            uint8_t *row = calloc(depth + GEMM8_ALIGN, 1);
            struct gemm8_row one = {1.0F, 0};
            CHECK(y[i]->bytes.n == n && y[i]->bytes.k == depth);
            for (size_t column = 0; expected && out && row && column < depth; column += 1 + depth / 7) {
                struct gemm8_in in = {row, depth + GEMM8_ALIGN, &one, 1};
                struct gemm8_out to = {.c = out, .ld = n};
                row[column] = 1;
                k->gemm8(&y[i]->bytes, &in, 1, &to);
                row[column] = 0;
                column_of(k, &x[i]->floats, column, expected);
                for (size_t j = 0; j < n; j++) {
                    CHECK(fabsf(out[j] - expected[j]) <= (is_exact ? 1e-6F : 0.501F * y[i]->bytes.scale[j]) + 1e-6F);
                }
            }
            free(expected);
            free(out);
            free(row);
        }
    }
    bind_close(floats);
    bind_close(bytes);
    weights_close(w);
    free(c.bytes);
}

static void test_bytes(void)
{
    check_bytes("tests/data/tiny", MODEL_PRECISION_INT8, false);
    check_bytes("tests/data/tiny-lite", MODEL_PRECISION_INT8, true);
    check_bytes("tests/data/tiny-lite", MODEL_PRECISION_AUTO, true);
    check_bytes("models/minivlm-base", MODEL_PRECISION_INT8, false);
}

static void test_no_memory(const struct copy *c)
{
    struct errbuf e;
    size_t live = mem_live_bytes();
    enum err rc = ERR_NOMEM;
    int n = 0;
    for (; rc != OK && n < 100; n++) {
        mem_fail_after(n + 1);
        rc = bind_copy(c, &e);
        mem_fail_after(0);
        CHECK(rc == OK || rc == ERR_NOMEM);
        CHECK_INT(mem_live_bytes(), live);
    }
    CHECK(rc == OK && n > 3);
}

int main(void)
{
    struct copy tiny, lite, cells, both;
    CHECK(load(&tiny, "tests/data/tiny"));
    CHECK(load(&lite, "tests/data/tiny-lite"));
    CHECK(load(&cells, "tests/data/tiny-cells"));
    CHECK(load(&both, "tests/data/tiny-both"));
    test_each(&tiny);
    test_each(&lite); /* int8 and its scales */
    test_each(&cells);
    test_each(&both);
    test_shapes(&tiny);
    test_said(&lite);
    test_unknown(&tiny);
    test_no_memory(&tiny);
    test_no_memory(&cells);
    test_halves();
    test_bytes();
    test_context(&cells, &both);
    free(tiny.bytes);
    free(lite.bytes);
    free(cells.bytes);
    free(both.bytes);
    return check_result();
}
