#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/version.h"
#include "server/api/api.h"
#include "server/app.h"
#include "server/watch/health_client.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum { PRINT_MAX_BYTES = 1 << 20, LAST_LINES_MS = 300 /* for a reader of the log that stalls */ };

/* Prints and releases it; returns the exit code. */
static int put(struct buf *b, const char *what)
{
    bool is_good = !b->err && fwrite(b->bytes, 1, b->n, stdout) == b->n && fflush(stdout) == 0;
    buf_release(b);
    if (!is_good) {
        fprintf(stderr, "minivlm-server: cannot print %s\n", what);
    }
    return is_good ? 0 : 1;
}

static int print(void (*write)(struct buf *), const char *what)
{
    struct buf b;
    buf_init(&b, PRINT_MAX_BYTES);
    write(&b);
    return put(&b, what);
}

static int print_config(const struct config *c)
{
    struct buf b;
    buf_init(&b, PRINT_MAX_BYTES);
    config_print_json(c, &b);
    return put(&b, "the configuration");
}

static void set_up_log(const struct config *c)
{
    enum log_level level = LOG_INFO;
    bool is_json = strcmp(c->log.format, "json") == 0 || (strcmp(c->log.format, "auto") == 0 && !isatty(STDERR_FILENO));
    if (!log_level_parse(c->log.level, &level)) {
        level = LOG_INFO;
    }
    log_setup(level, is_json ? LOG_JSON : LOG_TEXT, STDERR_FILENO);
    log_set_request_rate((unsigned)c->log.requests_per_second);
}

/* The key goes to who asked, and nowhere else; the line holds its hash. */
static int make_key(const struct config_request *r)
{
    char key[AUTH_KEY_MAX];
    struct buf line;
    struct errbuf e;
    errbuf_clear(&e);
    buf_init(&line, 1024);
    enum err rc = auth_make(r->key.name, r->key.role, r->key.rate, r->key.share, key, &line, &e);
    bool is_good = !rc && printf("key:  %s\nline: %s\n", key, line.bytes) > 0 && fflush(stdout) == 0;
    buf_release(&line);
    if (rc) {
        fprintf(stderr, "minivlm-server: --make-key: %s\n", errbuf_text(&e, rc));
    } else if (is_good) {
        fprintf(stderr, "The key is not shown again. Send it as \"Authorization: Bearer KEY\"; the line belongs in the "
                        "file of auth.keys_file.\n");
    }
    return rc == ERR_BAD_CONFIG ? 2 : rc || !is_good;
}

static int serve(struct app *a)
{
    set_up_log(&a->config);
    int exit_code = app_run(a);
    (void)log_stop(LAST_LINES_MS);
    return exit_code;
}

/* Started without standard streams (docker run without a terminal, cron, a careless parent) the first sockets would
   become descriptors 0 to 2, and libuv refuses to close those. */
static void open_standard_streams(void)
{
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO) {
        fd = dup(fd);
    }
    if (fd > STDERR_FILENO) {
        close(fd);
    }
}

int main(int argc, char **argv)
{
    open_standard_streams();
    static struct app app;
    struct config_request request;
    struct buf faults;
    app.argc = argc;
    app.argv = argv;
    app.environ = environ;
    buf_init(&faults, 65536);
    enum err rc = config_load(&app.config, &request, argc, argv, environ, &faults);
    if (rc) {
        fprintf(stderr, "%s", faults.bytes ? faults.bytes : "out of memory\n");
    }
    buf_release(&faults);
    if (rc) {
        return 2;
    }
    switch (request.action) {
    case CONFIG_HELP:
        return print(config_print_help, "the help");
    case CONFIG_SCHEMA:
        return print(config_print_schema, "the schema");
    case CONFIG_REFERENCE:
        return print(config_print_reference, "the reference");
    case CONFIG_API:
        return print(api_print, "the API");
    case CONFIG_MAN:
        return print(config_print_man, "the manual page");
    case CONFIG_BASH:
        return print(config_print_bash, "the completions");
    case CONFIG_ZSH:
        return print(config_print_zsh, "the completions");
    case CONFIG_PRINT:
        return print_config(&app.config);
    case CONFIG_VERSION:
        return printf("minivlm-server %s\n", VERSION_TEXT) < 0;
    case CONFIG_CHECK:
        return app_check(&app.config);
    case CONFIG_MAKE_KEY:
        return make_key(&request);
    case CONFIG_HEALTHCHECK:
        return health_client_ask(&app.config);
    default:
        app.config_file = request.file;
        return serve(&app);
    }
}
