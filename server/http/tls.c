#include "server/http/tls.h"

#include "engine/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PEM = 1 << 20 };

static enum err read_pem(char **out, const char *key, const char *path, struct errbuf *e)
{
    FILE *file = fopen(path, "rbe");
    if (!file) {
        return err_set(e, ERR_BAD_CONFIG, "%s: %s: %s", key, path, strerror(errno));
    }
    char *text = NULL;
    enum err rc = mem_alloc(&text, MAX_PEM);
    size_t n = rc ? 0 : fread(text, 1, MAX_PEM, file);
    if (!rc && ferror(file)) {
        rc = err_set(e, ERR_IO, "%s: %s: %s", key, path, strerror(errno));
    } else if (!rc && (n == MAX_PEM || memchr(text, '\0', n) || !strstr(text, "-----BEGIN"))) {
        rc = err_set(e, ERR_BAD_CONFIG, "%s: %s is not a PEM file", key, path);
    }
    fclose(file);
    *out = text;
    return rc;
}

enum err tls_load(struct tls *t, const struct config *c, struct errbuf *e)
{
    const char *certificate = c->server.tls_certificate, *key = c->server.tls_key;
    *t = (struct tls){NULL, NULL};
    if (!certificate[0] && !key[0]) {
        return OK;
    }
    if (!certificate[0] || !key[0]) {
        return err_set(e, ERR_BAD_CONFIG, "server.tls_certificate and server.tls_key belong together; %s is not given",
                       key[0] ? "server.tls_certificate" : "server.tls_key");
    }
    enum err rc = read_pem(&t->certificate, "server.tls_certificate", certificate, e);
    return rc ? rc : read_pem(&t->key, "server.tls_key", key, e);
}

void tls_release(struct tls *t)
{
    mem_free(t->certificate);
    if (t->key) {
        explicit_bzero(t->key, MAX_PEM);
        mem_free(t->key);
    }
    *t = (struct tls){NULL, NULL};
}
