/* Any bytes as config.json: an error that says something, or values within their ranges. */
#include "engine/model/load/model_config.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct model_config *c)
{
    BUG_ON(!memchr(c->name, 0, sizeof(c->name)) || !memchr(c->version, 0, sizeof(c->version)));
    BUG_ON(!memchr(c->weights.file, 0, sizeof(c->weights.file)) || strlen(c->weights.sha256) != 64);
    BUG_ON(strchr(c->weights.file, '/') || c->image.size < 32 || c->image.divisor % 32 != 0);
    BUG_ON(c->backbone.n_stages < 1 || c->backbone.n_stages > MODEL_MAX_STAGES);
    int stride = 2;
    for (int i = 0; i < c->backbone.n_stages; i++) {
        stride *= c->backbone.stages[i].stride;
        BUG_ON(c->backbone.stages[i].kernel % 2 != 1 || c->backbone.stages[i].repeats < 1);
    }
    BUG_ON(stride != 32 || c->fusion.hidden % c->fusion.heads != 0);
    BUG_ON(c->text.caption_length + c->text.tags_length > c->fusion.positions);
    BUG_ON(c->caption.max_tokens >= c->text.caption_length || c->caption.num_beams < 1);
    BUG_ON(c->context.channels < 0 || c->context.own_blocks < 0 || c->context.regions > c->roi.max_regions);
    BUG_ON((c->context.channels > 0) != (model_config_max_cells(c) > 0) || model_config_max_context(c) < 2);
    BUG_ON(!model_config_decoder_name(c->caption.decoder));
    BUG_ON(!(c->rpn.nms >= 0.0f && c->rpn.nms <= 1.0f) || !(c->image.std[2] > 0.0f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model_config c;
    struct errbuf e;
    errbuf_clear(&e);
    enum err rc = model_config_parse(&c, (const char *)data, size, "input", &e);
    BUG_ON(rc != OK && (rc != ERR_BAD_MODEL || !e.text[0]));
    if (rc == OK) {
        check(&c);
    }
    return 0;
}
