#include "engine/base/err.h"

#include "engine/base/log.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAY_MS = 500 };

static const char *const slugs[] = {
#define ERR_SLUG(symbol, slug, text) [symbol] = slug,
    ERR_LIST(ERR_SLUG)
#undef ERR_SLUG
};

static const char *const texts[] = {
#define ERR_TEXT(symbol, slug, text) [symbol] = text,
    ERR_LIST(ERR_TEXT)
#undef ERR_TEXT
};

const char *err_slug(enum err e)
{
    BUG_ON(e >= ERR_COUNT);
    return slugs[e];
}

const char *err_text(enum err e)
{
    BUG_ON(e >= ERR_COUNT);
    return texts[e];
}

enum err err_set(struct errbuf *buf, enum err e, const char *fmt, ...)
{
    if (buf) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(buf->text, sizeof(buf->text), fmt, args);
        va_end(args);
    }
    return e;
}

void errbuf_clear(struct errbuf *buf)
{
    if (buf) {
        buf->text[0] = '\0';
    }
}

const char *errbuf_text(const struct errbuf *buf, enum err e)
{
    return buf && buf->text[0] ? buf->text : err_text(e);
}

/* A reader that stalls must not keep a broken process from ending. */
static void say(const char *text)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&p, 1, SAY_MS) > 0 && (p.revents & POLLOUT)) {
        ssize_t written = write(STDERR_FILENO, text, strlen(text));
        (void)written; /* nobody can be told */
    }
}

void bug(const char *file, int line, const char *what)
{
    char text[ERRBUF_MAX];
    log_flush(SAY_MS);
    snprintf(text, sizeof(text), "BUG %s:%d: %s\n", file, line, what);
    say(text);
    abort();
}
