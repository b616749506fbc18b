/* One weight changed in a copy of a small model: the comparison must say so, and name the stage where it begins. A copy
 * without a change must pass. */
#include "tests/support/check.h"
#include "tests/support/golden_fusion.h"
#include "tests/support/golden_tee.h"

#include <unistd.h>

static const struct fault {
    int place; /* of golden_places; its weights are in F32 */
    const char *tensor;
    size_t element;
    float add;
    const char *stage; /* the first that differs */
} faults[] = {
    {GOLDEN_TINY, "tee.backbone.stem.weight", 31, 0.2F, "tap2"},
    {GOLDEN_TINY, "tee.backbone.blocks.3.depthwise.weight", 17, 0.5F, "tap3"},
    {GOLDEN_TINY, "tee.backbone.blocks.4.se_expand.bias", 2, 2.0F, "tap3"},
    {GOLDEN_TINY, "tee.backbone.blocks.9.project.bias", 3, 1.0F, "tap5"},
    {GOLDEN_TINY, "tee.bifpn.lateral2.0.weight", 5, 0.5F, "pyramid2"},
    {GOLDEN_TINY, "tee.bifpn.cells.0.nodes.7.pointwise.weight", 9, 2.0F, "pyramid2"},
    {GOLDEN_TINY, "tee.bifpn.cells.1.nodes.7.depthwise.weight", 40, 2.0F, "pyramid6"},
    {GOLDEN_TINY, "tee.rpn.cls.weight", 20, 0.5F, "rpn.logits2"},
    {GOLDEN_TINY, "tee.rpn.box.bias", 11, 0.2F, "rpn.deltas2"},
    {GOLDEN_TINY, "tee.roi.fc6.weight", 100, 0.5F, "roi.features"},
    {GOLDEN_TINY, "tee.roi.cls.bias", 4, 0.5F, "roi.probabilities"},
    {GOLDEN_TINY, "tee.roi.box.weight", 7, 0.5F, "roi.deltas"},
    {GOLDEN_TINY, "fusion.embeddings.position.weight", 48, 1.0F, "vqa0.embeddings"},
    {GOLDEN_TINY, "fusion.embeddings.segment.weight", 50, 1.0F, "vqa0.embeddings"},
    {GOLDEN_TINY, "fusion.regions.project.weight", 45, 0.5F, "vqa0.embeddings"}, /* the last column: height */
    {GOLDEN_TINY, "fusion.layers.0.attention.key.weight", 7, 0.5F, "vqa0.layer0"},
    {GOLDEN_TINY, "fusion.layers.1.ffn.down.bias", 3, 0.5F, "vqa0.layer1"},
    {GOLDEN_TINY, "heads.vqa.pooler.weight", 5, 0.5F, "vqa0.logits"},
    {GOLDEN_TINY, "heads.vqa.classifier.bias", 14, 0.5F, "vqa0.logits"},
    {GOLDEN_TINY, "heads.retrieve.classifier.bias", 0, 0.1F, "retrieve0.logits"},
    {GOLDEN_TINY, "heads.caption.transform.weight", 9, 0.5F, "caption.logits1"},
    {GOLDEN_TINY, "heads.caption.bias", 200, 0.5F, "caption.logits1"},
    {GOLDEN_TINY_BOTH, "tee.backbone.blocks.9.project.bias", 3, 1.0F, "tap5"},
    {GOLDEN_TINY_BOTH, "cells.head.weight", 40, 0.5F, "cells.map"},
    {GOLDEN_TINY_BOTH, "cells.head.bias", 16, 0.5F, "cells.map"},
    {GOLDEN_TINY_BOTH, "fusion.regions.norm.bias", 5, 0.5F, "vqa0.embeddings"},
    {GOLDEN_TINY_BOTH, "fusion.cells.project.weight", 22, 2.0F, "vqa0.embeddings"}, /* the last column: height */
    {GOLDEN_TINY_BOTH, "fusion.cells.norm.weight", 47, 0.5F, "vqa0.embeddings"},
    {GOLDEN_TINY_CELLS, "cells.blocks.0.depthwise.bias", 8, 2.0F, "cells.map"},
    {GOLDEN_TINY_CELLS, "cells.blocks.2.project.bias", 1, 2.0F, "cells.map"},
    {GOLDEN_TINY_CELLS, "fusion.layers.1.attention.value.bias", 0, 0.5F, "vqa0.layer1"},
    {GOLDEN_TINY_CELLS, "heads.caption.norm.bias", 9, 0.5F, "caption.logits1"},
    {GOLDEN_TINY_LITE_BYTES, "fusion.layers.0.attention.value.weight.scale", 11, 0.01F, "vqa0.layer0"},
    {GOLDEN_TINY_LITE_BYTES, "fusion.layers.0.ffn.up.weight.scale", 5, 0.01F, "vqa0.layer0"},
    {GOLDEN_TINY_LITE_BYTES, "heads.vqa.classifier.weight.scale", 2, 0.01F, "vqa0.logits"},
    {GOLDEN_TINY_LITE_BYTES, "heads.caption.transform.weight.scale", 30, 0.01F, "caption.logits1"},
    {GOLDEN_TINY_LITE_BYTES, "fusion.embeddings.word.weight.scale", 3, 0.01F, "caption.logits1"},
};
enum { N_FAULTS = sizeof(faults) / sizeof(faults[0]) };

static void write_file(const char *folder, const char *name, const char *bytes, size_t n)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    bool is_written = file && fwrite(bytes, 1, n, file) == n;
    if (file) {
        is_written &= fclose(file) == 0;
    }
    CHECK(is_written);
}

/* The weights of a place with fault f, or as they are where f is NULL. */
static void write_weights(const char *folder, int place, const struct fault *f)
{
    char path[PATH_MAX];
    size_t n;
    snprintf(path, sizeof(path), "%s/model.safetensors", golden_places[place].model);
    char *bytes = slurp(path, &n);
    struct weights *w;
    CHECK_INT(weights_parse(&w, bytes, n, "copy", NULL), OK);
    const struct tensor *t = f ? weights_find(w, f->tensor) : NULL;
    if (t && t->type == TENSOR_F32 && f->element < weights_elements(t)) {
        float *at = (float *)(void *)(bytes + ((const char *)t->data - bytes)) + f->element; /* not const here */
        *at += f->add;
    } else {
        CHECK(!f);
    }
    weights_close(w);
    write_file(folder, "model.safetensors", bytes, n);
    free(bytes);
}

/* Compares the first picture; returns what differs first, "" when nothing does. */
static void first_stage(const char *folder, int of, char stage[128])
{
    struct golden g;
    struct golden_place place = golden_places[of];
    place.model = folder;
    stage[0] = '\0';
    if (golden_open(&g, &place, ISA_AVX512, GEMM_NATIVE, 512)) {
        const char *picture = json_object_iter_key(json_object_iter(g.pictures));
        if (golden_tee(&g, picture)) {
            golden_vqa(&g);
            golden_retrieve(&g);
            golden_caption(&g);
        }
        CHECK(g.n_compared > 50);
        CHECK_INT(g.n_differing == 0, g.first[0] == '\0');
        snprintf(stage, 128, "%s", g.n_differing ? g.first + strlen(picture) + 1 : "");
    } else {
        CHECK(!"the copy opens");
    }
    golden_close(&g);
}

static const char *const files[] = {"config.json", "vocab.txt", "labels.json", "model.safetensors"};

static void copy_folder(const char *folder, int place)
{
    for (int i = 0; i < 3; i++) {
        char path[PATH_MAX];
        size_t n;
        snprintf(path, sizeof(path), "%s/%s", golden_places[place].model, files[i]);
        char *bytes = slurp(path, &n);
        write_file(folder, files[i], bytes, n);
        free(bytes);
    }
}

static void remove_folder(const char *folder)
{
    for (int i = 0; i < 4; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        CHECK_INT(unlink(path), 0);
    }
    CHECK_INT(rmdir(folder), 0);
}

int main(void)
{
    char folder[] = "/tmp/golden_XXXXXX", stage[128];
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    for (int i = 0; i < N_FAULTS; i++) {
        if (i == 0 || faults[i].place != faults[i - 1].place) {
            copy_folder(folder, faults[i].place);
            write_weights(folder, faults[i].place, NULL);
            first_stage(folder, faults[i].place, stage);
            CHECK_STR(stage, "");
        }
        write_weights(folder, faults[i].place, &faults[i]);
        first_stage(folder, faults[i].place, stage);
        CHECK_STR(stage, faults[i].stage);
        if (strcmp(stage, faults[i].stage) != 0) {
            fprintf(stderr, "    with a change in %s[%zu]\n", faults[i].tensor, faults[i].element);
        }
    }
    remove_folder(folder);
    return check_result();
}
