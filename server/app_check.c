/* --check-config: opens what the configuration names, as a start would, and changes nothing. */
#include "engine/base/log.h"
#include "engine/base/open.h"
#include "server/app.h"

#include <errno.h>
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
    return rc != OK;
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

static enum err check_model(const struct config *c, struct errbuf *e)
{
    static const char *const files[] = {"config.json", "model.safetensors", "vocab.txt", "labels.json"};
    char path[CONFIG_TEXT_MAX + 32];
    enum err rc = OK;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !rc; i++) {
        FILE *file;
        snprintf(path, sizeof(path), "%s/%s", c->model.dir, files[i]);
        rc = open_regular(&file, "model.dir", path, e);
        if (!rc) {
            fclose(file);
        }
    }
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
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + (slash == path)) : 1, slash ? path : ".");
    if (stat(folder, &st) || !S_ISDIR(st.st_mode) || access(folder, W_OK)) {
        int why = errno ? errno : ENOTDIR;
        return err_set(e, ERR_BAD_CONFIG, "%s: %s: its folder: %s", key, path, strerror(why));
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
    n_faults += tell(check_folder("server.socket", c->server.socket, &e), &e);
    n_faults += tell(check_certificate(c, &e), &e);
    n_faults += tell(auth_load(&auth, c->auth.keys_file, NULL, &e), &e);
    auth_release(&auth);
    n_faults += tell(check_folder("collections.path", c->collections.path, &e), &e);
    return n_faults ? 1 : puts("the configuration is valid") < 0;
}
