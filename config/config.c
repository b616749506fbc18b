#include "config/config.h"

#include "config/config_private.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void config_defaults(struct config *c)
{
    struct buf none;
    buf_init(&none, 1024);
    memset(c, 0, sizeof(*c));
    for (int i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        if (k->default_text) {
            BUG_ON(!config_set_text(c, k, k->default_text, "default", &none));
        } else if (k->kind == BOOL) {
            *(bool *)config_place(c, k) = k->default_number != 0;
        } else {
            BUG_ON(!config_set_number(c, k, k->default_number, "default", &none));
        }
    }
    buf_release(&none);
}

/* ---- environment ---- */

static void key_variable(const struct config_key *k, char *out, size_t size)
{
    snprintf(out, size, "MINIVLM_%s_%s", k->section, k->name);
    for (char *p = out; *p; p++) {
        *p = (char)toupper((unsigned char)*p);
    }
}

static void read_variable(struct config *c, const char *name, size_t n_name, const char *value, struct buf *faults)
{
    char known[128], given[128];
    snprintf(given, sizeof(given), "%.*s", (int)(n_name < 120 ? n_name : 120), name);
    for (int i = 0; i < config_n_keys; i++) {
        key_variable(&config_keys[i], known, sizeof(known));
        if (strcmp(known, given) == 0) {
            config_set_text(c, &config_keys[i], value, given, faults);
            return;
        }
    }
    for (char *p = given + 8; *p; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
    char *dot = strchr(given + 8, '_');
    if (dot) {
        *dot = '.';
    }
    config_fault_unknown(given + 8, "environment", faults);
}

/* What Kubernetes (enableServiceLinks) and Docker links put there for a service named minivlm or minivlm-server:
   MINIVLM_SERVICE_HOST, MINIVLM_SERVER_PORT=tcp://10.0.0.7:8080, MINIVLM_SERVER_PORT_8080_TCP_ADDR, ... */
static bool is_service_link(const char *variable, const char *equals)
{
    static const char *const marks[] = {"_SERVICE_HOST=", "_SERVICE_PORT=", "_SERVICE_PORT_",
                                        "_PORT=tcp://",   "_PORT=udp://",   "_PORT=sctp://"};
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        const char *found = strstr(variable, marks[i]);
        if (found && found < equals) {
            return true;
        }
    }
    const char *port = strstr(variable, "_PORT_");
    return port && port < equals && isdigit((unsigned char)port[6]);
}

static void read_environment(struct config *c, char **environ, struct buf *faults)
{
    static const char *const others[] = {
        "MINIVLM_CONFIG=", "MINIVLM_MODEL=", "MINIVLM_SERVER=", "MINIVLM_API_KEY=", /* the command line's */
        "MINIVLM_TEST_",   "MINIVLM_BUILD_", "MINIVLM_GOLDEN_"};
    for (; environ && *environ; environ++) {
        const char *equals = strchr(*environ, '=');
        bool is_ours = strncmp(*environ, "MINIVLM_", 8) == 0 && equals && !is_service_link(*environ, equals);
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) && is_ours; i++) {
            is_ours = strncmp(*environ, others[i], strlen(others[i])) != 0;
        }
        if (is_ours) {
            read_variable(c, *environ, (size_t)(equals - *environ), equals + 1, faults);
        }
    }
}

static const char *find_variable(char **environ, const char *name)
{
    size_t n = strlen(name);
    for (; environ && *environ; environ++) {
        if (strncmp(*environ, name, n) == 0 && (*environ)[n] == '=') {
            return *environ + n + 1;
        }
    }
    return NULL;
}

/* ---- flags ---- */

const struct config_action_flag config_actions[] = {
    {"--print-config", CONFIG_PRINT, "print the resulting configuration as JSON", NULL},
    {"--check-config", CONFIG_CHECK, "check the configuration and open everything it names", NULL},
    {"--print-schema", CONFIG_SCHEMA, "print the JSON Schema of the configuration file", NULL},
    {"--print-reference", CONFIG_REFERENCE, "print the reference of all keys as Markdown", NULL},
    {"--print-api", CONFIG_API, "print the routes and the errors of the API as JSON", NULL},
    {"--print-man", CONFIG_MAN, "print the manual page", NULL},
    {"--print-completion=bash", CONFIG_BASH, "print completions for bash", NULL},
    {"--print-completion=zsh", CONFIG_ZSH, "print completions for zsh", NULL},
    {"--healthcheck", CONFIG_HEALTHCHECK, "ask the running service with this configuration; exit code 0 or 1", NULL},
    {"--make-key", CONFIG_MAKE_KEY, "print a new API key and its line for the keys file", "NAME"},
    {"--role", CONFIG_MAKE_KEY, "with --make-key: client (the default), metrics, admin, or several with commas",
     "ROLE"},
    {"--rate", CONFIG_MAKE_KEY, "with --make-key: requests per second or minute that the key may send, such as 5/s",
     "RATE"},
    {"--share", CONFIG_MAKE_KEY, "with --make-key: share of the service that the key may use, such as 25%", "SHARE"},
    {"--version", CONFIG_VERSION, "print the version", NULL},
    {"--help", CONFIG_HELP, "print this help", NULL},
};
const int config_n_actions = sizeof(config_actions) / sizeof(config_actions[0]);

static bool set_action(const char *flag, struct config_request *request)
{
    if (strcmp(flag, "-h") == 0) {
        flag = "--help";
    }
    for (int i = 0; i < config_n_actions; i++) {
        if (config_actions[i].action != CONFIG_MAKE_KEY && strcmp(flag, config_actions[i].name) == 0) {
            request->action = config_actions[i].action;
            return true;
        }
    }
    return false;
}

/* One flag of argv; returns how many arguments it took. */
static int read_flag(struct config *c, char **argv, int left, struct buf *faults)
{
    char full[128];
    const char *equals = strchr(argv[0], '=');
    size_t n = equals ? (size_t)(equals - argv[0]) : strlen(argv[0]);
    if (strncmp(argv[0], "--", 2) != 0 || n >= sizeof(full)) {
        buf_printf(faults, "%.80s: not a flag; flags look like --server.port=8080, see --help\n", argv[0]);
        return 1;
    }
    n -= 2;
    memcpy(full, argv[0] + 2, n);
    full[n] = '\0';
    char *dot = strchr(full, '.');
    if (dot) {
        *dot = '\0';
    }
    const struct config_key *k = dot ? config_find(full, dot + 1) : NULL;
    if (dot) {
        *dot = '.';
    }
    if (!k) {
        config_fault_unknown(full, "flag", faults);
        return 1;
    }
    bool has_next = !equals && left > 1 && strncmp(argv[1], "--", 2) != 0 && k->kind != BOOL;
    if (equals || has_next || k->kind == BOOL) {
        config_set_text(c, k, equals ? equals + 1 : has_next ? argv[1] : "true", "flag", faults);
    } else {
        buf_printf(faults, "flag: %s: expected ", full);
        config_expected(k, faults);
        buf_text(faults, ", found nothing\n");
    }
    return has_next ? 2 : 1;
}

/* The value of --config, also as --config=FILE; *n_args: how many arguments it takes, 0: it is another flag. */
static const char *config_file_flag(char **argv, int left, int *n_args)
{
    *n_args = 0;
    if (strncmp(argv[0], "--config=", 9) == 0) {
        *n_args = 1;
        return argv[0] + 9;
    }
    if (strcmp(argv[0], "--config") == 0 && left > 1) {
        *n_args = 2;
        return argv[1];
    }
    return NULL;
}

/* --make-key NAME and what belongs to it; returns how many arguments it took, 0: it is another flag. */
static int read_key_flag(struct config_request *request, char **argv, int left, struct buf *faults)
{
    const struct {
        const char *flag, **value;
    } flags[] = {{"--make-key", &request->key.name},
                 {"--role", &request->key.role},
                 {"--rate", &request->key.rate},
                 {"--share", &request->key.share}};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        size_t n = strlen(flags[i].flag);
        if (strncmp(argv[0], flags[i].flag, n) != 0 || (argv[0][n] != '=' && argv[0][n])) {
            continue;
        }
        bool has_next = !argv[0][n] && left > 1 && strncmp(argv[1], "--", 2) != 0;
        *flags[i].value = argv[0][n] ? argv[0] + n + 1 : has_next ? argv[1] : "";
        if (!(*flags[i].value)[0]) {
            buf_printf(faults, "flag: %s: expected a value after it, found nothing\n", flags[i].flag);
        }
        if (i == 0) {
            request->action = CONFIG_MAKE_KEY;
        }
        return has_next ? 2 : 1;
    }
    return 0;
}

static void read_flags(struct config *c, struct config_request *request, int argc, char **argv, struct buf *faults)
{
    for (int i = 1; i < argc;) {
        int n;
        config_file_flag(argv + i, argc - i, &n);
        n = n <= 0 && set_action(argv[i], request) ? 1 : n;
        n = n > 0 ? n : read_key_flag(request, argv + i, argc - i, faults);
        i += n > 0 ? n : read_flag(c, argv + i, argc - i, faults);
    }
    const char *const options[] = {request->key.role, request->key.rate, request->key.share};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (options[i][0] && request->action != CONFIG_MAKE_KEY) {
            buf_text(faults, "flag: --role, --rate and --share belong to --make-key NAME\n");
            break;
        }
    }
}

/* ---- all ---- */

/* /a or /a/b of unreserved characters: nothing that a proxy could write otherwise. */
static bool is_prefix(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '/' ? p[1] == '/' || p[1] == '\0' || (p[1] == '.' && strchr("./", p[2]))
                      : !isalnum((unsigned char)*p) && !strchr("-._~", *p)) {
            return false;
        }
    }
    return !text[0] || text[0] == '/';
}

/* As browsers write it, which is compared letter by letter: scheme://host or scheme://host:port in small letters, or
 * null. n: its length. */
static bool is_origin(const char *text, size_t n)
{
    const char *colon = memmem(text, n, "://", 3);
    if (n == 4 && memcmp(text, "null", 4) == 0) {
        return true;
    }
    if (!colon || colon == text || colon + 3 == text + n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        bool is_mark = text + i >= colon && text + i < colon + 3;
        if (!is_mark && !islower((unsigned char)text[i]) && !isdigit((unsigned char)text[i]) &&
            !strchr("-._:[]+", text[i])) {
            return false;
        }
    }
    return true;
}

static void check_origins(const char *list, struct buf *faults)
{
    if (strcmp(list, "*") == 0) {
        return;
    }
    for (list += strspn(list, " "); *list; list += strspn(list, " ")) {
        size_t n = strcspn(list, " ");
        if (!is_origin(list, n)) {
            buf_printf(
                faults,
                "server.cors_origins: expected * or origins like https://app.example or http://localhost:3000, in "
                "small letters, without a path, with spaces between, found \"%.*s\"\n",
                (int)n, list);
        }
        list += n;
    }
}

static void check_server(const struct config *c, struct buf *faults)
{
    check_origins(c->server.cors_origins, faults);
    const char *mode = c->server.socket_mode;
    if (!is_prefix(c->server.prefix)) {
        buf_printf(
            faults,
            "server.prefix: expected a path like /vision of letters, digits, - . _ ~ without a slash at its end, "
            "found \"%s\"\n",
            c->server.prefix);
    }
    size_t n_mode = strlen(mode);
    if (strspn(mode, "01234567") != n_mode || !(n_mode == 3 || (n_mode == 4 && mode[0] == '0'))) {
        buf_printf(faults, "server.socket_mode: expected three octal digits like 0660, found \"%s\"\n", mode);
    }
    if (c->server.port < 0 && !c->server.socket[0]) {
        buf_text(faults, "server.port: expected a port, or -1 together with server.socket, found \"-1\"\n");
    }
    if (c->server.proxy_protocol && !c->server.trusted_proxies[0]) {
        buf_text(faults, "server.proxy_protocol: expected server.trusted_proxies to be set too, found none\n");
    }
}

static void check_together(const struct config *c, struct buf *faults)
{
    check_server(c, faults);
    if (c->limits.body_memory_bytes > 0 && c->limits.body_bytes > c->limits.body_memory_bytes) {
        buf_printf(faults, "limits.body_bytes: expected at most limits.body_memory_bytes, %llu, found \"%llu\"\n",
                   (unsigned long long)c->limits.body_memory_bytes, (unsigned long long)c->limits.body_bytes);
    }
    if (c->server.admin_port > 0 && c->server.admin_port == c->server.port) {
        buf_printf(faults, "server.admin_port: expected another port than server.port, found \"%lld\"\n",
                   c->server.admin_port);
    }
}

enum err config_load(struct config *c, struct config_request *request, int argc, char **argv, char **environ,
                     struct buf *faults)
{
    const char *file = find_variable(environ, "MINIVLM_CONFIG");
    *request = (struct config_request){.action = CONFIG_RUN, .key = {"", "", "", ""}};
    config_defaults(c);
    for (int i = 1, n; i < argc; i += n ? n : 1) {
        const char *given = config_file_flag(argv + i, argc - i, &n);
        file = given ? given : file;
    }
    if (file && file[0]) {
        snprintf(request->file, sizeof(request->file), "%s", file);
        config_read_file(c, file, faults);
    }
    read_environment(c, environ, faults);
    read_flags(c, request, argc, argv, faults);
    check_together(c, faults);
    return faults->err == ERR_NOMEM ? ERR_NOMEM : faults->n > 0 || faults->err ? ERR_BAD_CONFIG : OK;
}

static size_t value_bytes(const struct config_key *k)
{
    return k->kind == INT     ? sizeof(long long)
           : k->kind == BYTES ? sizeof(uint64_t)
           : k->kind == BOOL  ? sizeof(bool)
                              : CONFIG_TEXT_MAX;
}

void config_merge_reload(struct config *now, const struct config *fresh, struct buf *ignored)
{
    for (int i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        bool is_text = k->kind == TEXT || k->kind == CHOICE;
        bool is_same = is_text ? strcmp(config_value(now, k), config_value(fresh, k)) == 0
                               : memcmp(config_value(now, k), config_value(fresh, k), value_bytes(k)) == 0;
        if (!is_same && k->when == RELOAD) {
            memcpy(config_place(now, k), config_value(fresh, k), value_bytes(k));
        } else if (!is_same) {
            buf_printf(ignored, "%s%s.%s", ignored->n ? " " : "", k->section, k->name);
        }
    }
}
