/* open - small files that a configuration names, opened without waiting.
 *
 * A FIFO or a device instead of a file would block the thread that reads it, which must not happen while serving. Links
 * are followed.
 *
 * Threads: pure. Errors: ERR_BAD_CONFIG with key, path and reason. */
#ifndef ENGINE_BASE_OPEN_H
#define ENGINE_BASE_OPEN_H

#include "engine/base/err.h"

#include <stdio.h>

/* key: of the configuration, for the message. */
MUST_USE enum err open_regular(FILE **out, const char *key, const char *path, struct errbuf *e);

#endif
