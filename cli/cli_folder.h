/* cli_folder - expands folders named on the command line into the pictures at any depth below each, sorted by name.
 *
 * A picture is a file with the extension of a readable format. Names that begin with a dot and links to folders are
 * skipped. Files given as arguments are kept, whatever their extension; with --output, names that do not exist are
 * reported on stderr, counted in a->n_missing and left out. An unreadable subfolder is kept as if it were a picture, so
 * that it alone fails.
 *
 * Threads: one owner. Errors: ERR_NOMEM; ERR_IO for a named folder that cannot be read or that holds no picture, and
 * when no name is left. */
#ifndef CLI_FOLDER_H
#define CLI_FOLDER_H

#include "cli/cli_args.h"

/* Replaces the folders in a->files; the new names belong to the args. */
MUST_USE enum err cli_folder_expand(struct cli_args *a, struct errbuf *e);

#endif
