/* Any bytes as a weights file: an error or tensors that can be read to their last byte and found by name. */
#include "engine/model/load/weights.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned sum;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weights *w = NULL;
    struct errbuf e;
    errbuf_clear(&e);
    enum err rc = weights_parse(&w, data, size, "input", &e);
    if (rc) {
        BUG_ON(rc != ERR_BAD_MODEL || w || !e.text[0]);
        return 0;
    }
    size_t n_bytes = 0;
    for (int i = 0; i < weights_count(w); i++) {
        const struct tensor *t = weights_at(w, i);
        const uint8_t *bytes = t->data;
        BUG_ON(weights_find(w, t->name) != t);
        BUG_ON(bytes < data || bytes + t->n_bytes > data + size);
        for (size_t j = 0; j < t->n_bytes; j++) {
            sum += bytes[j];
        }
        n_bytes += t->n_bytes;
    }
    BUG_ON(n_bytes > size || weights_count(w) < 1);
    rc = weights_check_finite(w, &e);
    BUG_ON(rc && !strstr(e.text, "tensor"));
    weights_close(w);
    return 0;
}
