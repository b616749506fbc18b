/* fmap - a whole file, mapped read-only.
 *
 * Only regular files: a directory, device or pipe is refused instead of hanging or growing. Replacing the file by
 * rename is harmless (the old one stays mapped); cutting it short in place while it is mapped is not, and no reader of
 * mapped files can catch that: models are replaced by rename.
 *
 * Ownership: an fmap owns the mapping; the bytes are valid until fmap_close. Threads: immutable after open.
 * Errors:    ERR_IO with the path and the system's reason, ERR_NOMEM. */
#ifndef ENGINE_BASE_FMAP_H
#define ENGINE_BASE_FMAP_H

#include "engine/base/err.h"

struct fmap;

MUST_USE enum err fmap_open(struct fmap **out, const char *path, struct errbuf *e);
void fmap_close(struct fmap *m); /* NULL is fine */

/* What was read is no longer counted as this process's memory; the bytes stay valid and come back when they are read.
 */
void fmap_forget(const struct fmap *m);

const unsigned char *fmap_bytes(const struct fmap *m); /* page-aligned; not NULL for an empty file */
size_t fmap_size(const struct fmap *m);

#endif
