/* What the tests of config share: a configuration loaded from arguments, variables and files, and its faults.
 * Threads: one. */
#ifndef TESTS_UNIT_CONFIG_TEST_CONFIG_H
#define TESTS_UNIT_CONFIG_TEST_CONFIG_H

#include "config/config.h"
#include "config/config_private.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <unistd.h>

#define ARGS(...) ((const char *const[]){"minivlm-server", __VA_ARGS__, NULL})
#define ENV(...)  ((const char *const[]){__VA_ARGS__, NULL})
#define NO_ARGS   ((const char *const[]){"minivlm-server", NULL})
#define NO_ENV    ((const char *const[]){NULL})

static struct config config;
static struct config_request request;
static struct buf faults;

/* Loads into the statics above; faults are those of this call alone. */
__attribute__((unused)) static enum err load(const char *const *args, const char *const *env)
{
    int n = 0;
    while (args[n]) {
        n++;
    }
    buf_release(&faults);
    buf_init(&faults, 65536);
    return config_load(&config, &request, n, (char **)(uintptr_t)args, (char **)(uintptr_t)env, &faults);
}

/* A text as a configuration file, into `config` over the defaults; OK or ERR_BAD_CONFIG. */
__attribute__((unused)) static enum err read_text(const char *text, size_t n)
{
    buf_release(&faults);
    buf_init(&faults, 65536);
    config_defaults(&config);
    config_read_text(&config, text, n, "file", &faults);
    return faults.n > 0 || faults.err ? ERR_BAD_CONFIG : OK;
}

__attribute__((unused)) static const char *fault_text(void)
{
    return faults.bytes ? faults.bytes : "";
}

__attribute__((unused)) static int n_faults(void)
{
    int n = 0;
    for (const char *c = fault_text(); *c; c++) {
        n += *c == '\n';
    }
    return n;
}

#define CHECK_FAULT(line)                                                                                              \
    do {                                                                                                               \
        CHECK(strstr(fault_text(), line) != NULL);                                                                     \
        if (!strstr(fault_text(), line)) {                                                                             \
            fprintf(stderr, "  the faults are:\n%s", fault_text());                                                    \
        }                                                                                                              \
    } while (0)

/* A file of these bytes; the path lives until the next call. */
__attribute__((unused)) static const char *file_of(const char *text, size_t n)
{
    static char path[64];
    snprintf(path, sizeof(path), "/tmp/test_config_XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, text, n) == (ssize_t)n);
    close(fd);
    return path;
}

#endif
