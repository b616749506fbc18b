/* cli_collection - `minivlm import` and `minivlm search`: collections of a running server.
 *
 * An import sends several pictures at once, waits when the server asks it to, and finishes a picture once the server
 * has confirmed that it is on disk. The key of a picture is its path relative to the named folder, or the file name.
 *
 * Threads: one owner; an import has threads of its own, which it joins. */
#ifndef CLI_COLLECTION_H
#define CLI_COLLECTION_H

#include "cli/cli_args.h"

/* CLI_OK, or CLI_FAILED when anything failed; errors are printed. */
int cli_collection_import(const struct cli_args *a);
int cli_collection_search(const struct cli_args *a);

#endif
