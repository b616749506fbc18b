/* --check-config: opens what the configuration names, as a start would, and changes nothing. */
#include "engine/base/log.h"
#include "engine/base/open.h"
#include "server/app.h"

#include <errno.h>
#include <jansson.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int tell(enum err rc, struct errbuf *e)
{
    if (rc) {
        fprintf(stderr, "%s\n", errbuf_text(e, rc));
        errbuf_clear(e);
    }
    return rc ? 1 : 0;
}

static enum err check_hosts(const char *key, const char *list, struct errbuf *e)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found;
    char host[CONFIG_TEXT_MAX];
    for (list += strspn(list, " ,"); *list; list += strspn(list, " ,")) {
        size_t n = strcspn(list, " ,");
        snprintf(host, sizeof(host), "%.*s", (int)n, list);
        int rc = getaddrinfo(host, NULL, &hints, &found);
        if (rc) {
            return err_set(e, ERR_BAD_CONFIG, "%s: %s: %s", key, host, gai_strerror(rc));
        }
        freeaddrinfo(found);
        list += n;
    }
    return OK;
}

static enum err open_of_model(FILE **out, const struct config *c, const char *name, struct errbuf *e)
{
    char path[2 * CONFIG_TEXT_MAX];
    snprintf(path, sizeof(path), "%s/%s", c->model.dir, name);
    return open_regular(out, "model.dir", path, e);
}

/* The weights have the name that config.json gives them. */
static enum err check_model(const struct config *c, struct errbuf *e)
{
    FILE *file;
    json_error_t why;
    const char *names[] = {NULL, "vocab.txt", "labels.json"};
    enum err rc = open_of_model(&file, c, "config.json", e);
    if (rc) {
        return rc;
    }
    json_t *model = json_loadf(file, 0, &why);
    fclose(file);
    if (json_unpack(model, "{s:{s:s}}", "weights", "file", &names[0])) {
        rc = err_set(e, ERR_BAD_CONFIG, "model.dir: %.200s/config.json: %s", c->model.dir,
                     model ? "weights.file is missing" : why.text);
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !rc; i++) {
        rc = open_of_model(&file, c, names[i], e);
        if (!rc) {
            fclose(file);
        }
    }
    json_decref(model);
    return rc;
}

/* The folder in which a file is to be made. */
static enum err check_folder(const char *key, const char *path, struct errbuf *e)
{
    char folder[CONFIG_TEXT_MAX];
    struct stat st;
    const char *slash = strrchr(path, '/');
    if (!path[0]) {
        return OK;
    }
    errno = ENOTDIR;
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + (slash == path)) : 1, slash ? path : ".");
    if (stat(folder, &st) || !S_ISDIR(st.st_mode) || access(folder, W_OK)) {
        return err_set(e, ERR_BAD_CONFIG, "%s: %s: its folder: %s", key, path, strerror(errno));
    }
    return OK;
}

/* What is there already must be what it is going to be. */
static enum err check_socket(const char *path, struct errbuf *e)
{
    struct stat st;
    if (path[0] && stat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
        return err_set(e, ERR_BAD_CONFIG, "server.socket: %s exists and is not a socket: move it away, or name another",
                       path);
    }
    return check_folder("server.socket", path, e);
}

static enum err check_collections(const char *path, struct errbuf *e)
{
    static const char magic[] = "SQLite format 3";
    char head[sizeof(magic)] = "";
    FILE *file;
    if (!path[0] || access(path, F_OK) != 0) {
        return check_folder("collections.path", path, e);
    }
    enum err rc = open_regular(&file, "collections.path", path, e);
    if (rc) {
        return rc;
    }
    size_t n = fread(head, 1, sizeof(head), file);
    fclose(file);
    return n == 0 || memcmp(head, magic, sizeof(magic)) == 0
               ? check_folder("collections.path", path, e)
               : err_set(e, ERR_BAD_CONFIG, "collections.path: %s is not an SQLite database", path);
}

static enum err check_folders(const char *key, const char *list, struct errbuf *e)
{
    char folder[CONFIG_TEXT_MAX];
    struct stat st;
    for (list += strspn(list, ":"); *list; list += strspn(list, ":")) {
        size_t n = strcspn(list, ":");
        snprintf(folder, sizeof(folder), "%.*s", (int)n, list);
        errno = ENOTDIR;
        if (stat(folder, &st) || !S_ISDIR(st.st_mode)) {
            return err_set(e, ERR_BAD_CONFIG, "%s: %s: %s", key, folder, strerror(errno));
        }
        list += n;
    }
    return OK;
}

static enum err check_certificate(const struct config *c, struct errbuf *e)
{
    struct tls tls;
    struct tls_identity *identity = NULL;
    enum err rc = tls_load(&tls, c, e);
    if (!rc && tls.key) {
        rc = tls_identity_create(&identity, tls.certificate, tls.key, e);
    }
    tls_identity_drop(identity);
    tls_release(&tls);
    return rc;
}

int app_check(const struct config *c)
{
    struct errbuf e;
    struct networks trusted;
    struct auth auth;
    errbuf_clear(&e);
    log_set_level(LOG_OFF); /* the sentences below say it all */
    int n_faults = tell(check_model(c, &e), &e);
    n_faults += c->server.port >= 0 ? tell(check_hosts("server.host", c->server.host, &e), &e) : 0;
    n_faults += c->server.admin_port >= 0 ? tell(check_hosts("server.admin_host", c->server.admin_host, &e), &e) : 0;
    n_faults += tell(address_networks_parse(&trusted, c->server.trusted_proxies, "server.trusted_proxies", &e), &e);
    n_faults += tell(check_socket(c->server.socket, &e), &e);
    n_faults += tell(check_folders("server.sandbox_read", c->server.sandbox_read, &e), &e);
    n_faults += tell(check_certificate(c, &e), &e);
    n_faults += tell(auth_load(&auth, c->auth.keys_file, NULL, &e), &e);
    auth_release(&auth);
    n_faults += tell(check_collections(c->collections.path, &e), &e);
    return n_faults ? 1 : puts("the configuration is valid") < 0;
}
