/* answer_dump - JSON as text: without spaces, numbers with six digits, everywhere the same.
 *
 * Ownership: borrows the object, appends to b. Threads: pure. Errors: in b->err, ERR_NOMEM too. */
#ifndef ENGINE_ANSWER_ANSWER_DUMP_H
#define ENGINE_ANSWER_ANSWER_DUMP_H

#include "engine/base/buf.h"

#include <jansson.h>

void answer_dump(const json_t *object, struct buf *b);

#endif
