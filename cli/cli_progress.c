#include "cli/cli_progress.h"

#include <unistd.h>

enum { WIDTH = 24, QUIET_US = 500000, REDRAW_US = 100000 };

void cli_progress_begin(struct cli_progress *p, bool is_wanted, int total, uint64_t now_us)
{
    const char *term = getenv("TERM");
    bool can = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    *p = (struct cli_progress){.is_on = is_wanted && can && total != 1, .total = total, .began_us = now_us};
}

void cli_progress_text(char *out, size_t size, int done, int total, uint64_t spent_us)
{
    double seconds = (double)spent_us / 1e6, rate = seconds > 0 ? done / seconds : 0;
    if (total <= 0) {
        snprintf(out, size, "%d done  %.1f/s", done, rate);
        return;
    }
    char bar[WIDTH + 1];
    int full = (int)((long long)done * WIDTH / total);
    for (int i = 0; i < WIDTH; i++) {
        bar[i] = '-';
        if (i < full) {
            bar[i] = '#';
        }
    }
    bar[WIDTH] = '\0';
    if (done > 0) {
        snprintf(out, size, "[%s]  %d/%d  %.1f/s  %.0f s left", bar, done, total, rate, (total - done) / rate);
    } else {
        snprintf(out, size, "[%s]  %d/%d", bar, done, total);
    }
}

void cli_progress_show(struct cli_progress *p, int done, uint64_t now_us)
{
    if (!p->is_on || now_us - p->began_us < QUIET_US || (p->is_shown && now_us - p->drawn_us < REDRAW_US)) {
        return;
    }
    char text[128];
    cli_progress_text(text, sizeof(text), done, p->total, now_us - p->began_us);
    fprintf(stderr, "\r%s\033[K", text);
    fflush(stderr);
    p->is_shown = true;
    p->drawn_us = now_us;
}

void cli_progress_clear(struct cli_progress *p)
{
    if (p->is_shown) {
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
        p->is_shown = false;
    }
}
