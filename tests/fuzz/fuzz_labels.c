/* Any bytes as labels.json: an error that says something, or lists of proper strings. */
#include "engine/model/load/labels.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_list(const char *const *list, int n)
{
    for (int i = 0; i < n; i++) {
        BUG_ON(strlen(list[i]) < 1 || strlen(list[i]) > 200);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct labels *l = NULL;
    struct errbuf e;
    errbuf_clear(&e);
    enum err rc = labels_parse(&l, (const char *)data, size, "input", &e);
    BUG_ON(rc != OK && (rc != ERR_BAD_MODEL || l || !e.text[0]));
    if (rc == OK) {
        check_list(l->objects, l->n_objects);
        check_list(l->attributes, l->n_attributes);
        check_list(l->answers, l->n_answers);
    }
    labels_close(l);
    return 0;
}
