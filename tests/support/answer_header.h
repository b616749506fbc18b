/* answer_header - a header of an exchange's answer, for tests. */
#ifndef TESTS_SUPPORT_ANSWER_HEADER_H
#define TESTS_SUPPORT_ANSWER_HEADER_H

#include "server/http/exchange.h"

#include <string.h>

/* Borrowed; NULL: there is none of that name. */
static const char *answer_header(const struct exchange *x, const char *name)
{
    for (int i = 0; i < x->n_out; i++) {
        if (strcmp(x->out[i].name, name) == 0) {
            return x->out[i].value;
        }
    }
    return NULL;
}

#endif
