/* fmap - a whole file in memory of our own, read once and never changed.
 *
 * Only regular files: a directory, device or pipe is refused instead of hanging or growing. What happens to the file
 * afterwards (overwritten in place, cut short, deleted) does not matter: nothing here points into it. A file that
 * changes its size while it is read is refused; one that is overwritten meanwhile is for a checksum to find.
 *
 * Ownership: an fmap owns the memory; the bytes are valid until fmap_close. Threads: immutable after open.
 * Errors:    ERR_IO with the path and the system's reason, ERR_NOMEM. */
#ifndef ENGINE_BASE_FMAP_H
#define ENGINE_BASE_FMAP_H

#include "engine/base/err.h"

struct fmap;

MUST_USE enum err fmap_open(struct fmap **out, const char *path, struct errbuf *e);
void fmap_close(struct fmap *m); /* NULL is fine */

/* These bytes will not be read again: whole pages within them are given back, and reading them is a crash. */
void fmap_forget(const struct fmap *m, size_t at, size_t n);

const unsigned char *fmap_bytes(const struct fmap *m); /* page-aligned; not NULL for an empty file */
size_t fmap_size(const struct fmap *m);

#endif
