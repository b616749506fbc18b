/* labels - labels.json of a model directory: names of object classes, attributes and answers.
 *
 * Three lists of strings, 1..200 bytes each, without control characters, at most 100,000 per list. Whether the counts
 * fit the networks is for the caller to check: the file does not know them.
 *
 * Ownership: the strings live in the labels until labels_close. Threads: immutable after open, shared by all. */
#ifndef ENGINE_MODEL_LABELS_H
#define ENGINE_MODEL_LABELS_H

#include "engine/base/err.h"

struct labels {
    int n_objects, n_attributes, n_answers;
    const char **objects;    /* [n_objects]: objects[i] names class i + 1 (0 is background) */
    const char **attributes; /* [n_attributes], may be none */
    const char **answers;    /* [n_answers] */
};

MUST_USE enum err labels_open(struct labels **out, const char *path, struct errbuf *e);
/* From memory; `name` stands for the file in messages. */
MUST_USE enum err labels_parse(struct labels **out, const char *json, size_t n, const char *name, struct errbuf *e);
void labels_close(struct labels *l); /* NULL is fine */

#endif
