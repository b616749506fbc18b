/* scratch_folder - a fresh folder for files that are written again and again: in memory where the system has such a
 * place, because there fsync costs nothing.
 *
 * Ownership: the caller empties and removes it. */
#ifndef TESTS_SUPPORT_SCRATCH_FOLDER_H
#define TESTS_SUPPORT_SCRATCH_FOLDER_H

#include "engine/base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SCRATCH_FOLDER_MAX = 40 };

/* Named after `what` (at most 16 characters). */
static void scratch_folder(char out[SCRATCH_FOLDER_MAX], const char *what)
{
    snprintf(out, SCRATCH_FOLDER_MAX, "%s/%.16s_XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", what);
    BUG_ON(!mkdtemp(out));
}

#endif
