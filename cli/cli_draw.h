/* cli_draw - a picture with its regions drawn on it. Threads: one owner. */
#ifndef CLI_DRAW_H
#define CLI_DRAW_H

#include "cli/cli_input.h"

/* Writes the upright picture of the input as a JPEG, with boxes and labels of the regions that score min_score or more
 * (negative: a default that keeps the picture readable). */
MUST_USE enum err cli_draw_regions(const char *path, const struct cli_input *in, const struct job_result *r,
                                   float min_score, struct errbuf *e);

#endif
