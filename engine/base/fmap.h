/* fmap - a whole file copied into memory, read once and never changed.
 *
 * Only regular files: a directory, device or pipe is refused instead of hanging or growing. Later changes to the file
 * (overwritten in place, truncated, deleted) have no effect: nothing here points into it. A file that changes its size
 * while it is being read is refused; an overwrite during the read is left to a checksum to detect.
 *
 * Ownership: an fmap owns the memory; the bytes are valid until fmap_close. Threads: immutable after open.
 * Errors:    ERR_IO with the path and the system's reason, ERR_NOMEM. */
#ifndef ENGINE_BASE_FMAP_H
#define ENGINE_BASE_FMAP_H

#include "engine/base/err.h"

struct fmap;

MUST_USE enum err fmap_open(struct fmap **out, const char *path, struct errbuf *e);
void fmap_close(struct fmap *m); /* NULL is fine */

/* These bytes will not be read again: whole pages within them are returned to the system, and reading them crashes. */
void fmap_forget(const struct fmap *m, size_t at, size_t n);

const unsigned char *fmap_bytes(const struct fmap *m); /* page-aligned; not NULL for an empty file */
size_t fmap_size(const struct fmap *m);

#endif
