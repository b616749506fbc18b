/* cli_progress - one line on standard error that shows the progress of a long run:
 *
 *     [#########-----------]  45/100  3.1/s  18 s left
 *
 * Only when standard error is a terminal, and not in the first half second. Threads: one owner. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli_progress {
    bool is_on, is_shown;
    int total; /* 0: unknown */
    uint64_t began_us, drawn_us;
};

void cli_progress_begin(struct cli_progress *p, bool is_wanted, int total, uint64_t now_us);
void cli_progress_show(struct cli_progress *p, int done, uint64_t now_us);
/* Call before anything else is written to the terminal, and at the end. */
void cli_progress_clear(struct cli_progress *p);

/* The text of the line; pure. */
void cli_progress_text(char *out, size_t size, int done, int total, uint64_t spent_us);

#endif
