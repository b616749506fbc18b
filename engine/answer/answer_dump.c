#include "engine/answer/answer_dump.h"

static int dump_piece(const char *bytes, size_t n, void *user)
{
    struct buf *b = user;
    buf_append(b, bytes, n);
    return b->err ? -1 : 0;
}

void answer_dump(const json_t *object, struct buf *b)
{
    if (json_dump_callback(object, dump_piece, b, JSON_COMPACT | JSON_REAL_PRECISION(6)) && !b->err) {
        b->err = ERR_NOMEM;
    }
}
