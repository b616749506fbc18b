/* cli_collection - `minivlm import` and `minivlm search`: collections of a running server.
 *
 * An import sends several pictures at once, waits where the server asks for it, and is done with a picture when the
 * server has answered that it is on disk. The key of a picture is its path below the folder that was named, or the name
 * of a file.
 *
 * Threads: one owner; an import has threads of its own, which it joins. */
#ifndef CLI_COLLECTION_H
#define CLI_COLLECTION_H

#include "cli/cli_args.h"

/* CLI_OK, or CLI_FAILED when anything failed; complaints are printed. */
int cli_collection_import(const struct cli_args *a);
int cli_collection_search(const struct cli_args *a);

#endif
