#include "server/http/tls.h"

#include "engine/base/mem.h"
#include "engine/base/open.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PEM = 1 << 20 };

static enum err read_pem(char **out, const char *key, const char *path, struct errbuf *e)
{
    FILE *file;
    enum err rc = open_regular(&file, key, path, e);
    if (rc) {
        return rc;
    }
    char *text = NULL;
    rc = mem_alloc(&text, MAX_PEM);
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

/* ---- identities ---- */

struct tls_identity {
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priority;
    int references;
};

static int load_identity(struct tls_identity *i, const char *certificate, const char *key)
{
    /* gnutls wants writable pointers and only reads */
    gnutls_datum_t c = {(unsigned char *)(uintptr_t)certificate, (unsigned)strlen(certificate)};
    gnutls_datum_t k = {(unsigned char *)(uintptr_t)key, (unsigned)strlen(key)};
    int rc = gnutls_certificate_allocate_credentials(&i->credentials);
    rc = rc < 0 ? rc : gnutls_certificate_set_x509_key_mem(i->credentials, &c, &k, GNUTLS_X509_FMT_PEM);
    return rc < 0 ? rc
                  : gnutls_priority_init(&i->priority, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE",
                                         NULL);
}

enum err tls_identity_create(struct tls_identity **out, const char *certificate, const char *key, struct errbuf *e)
{
    enum err rc = mem_alloc(out, sizeof(**out));
    if (rc) {
        return rc;
    }
    (*out)->references = 1;
    int fault = load_identity(*out, certificate, key);
    if (fault < 0) {
        tls_identity_drop(*out);
        *out = NULL;
        return err_set(e, ERR_BAD_CONFIG,
                       "%s: are server.tls_certificate and server.tls_key PEM files that belong together?",
                       gnutls_strerror(fault));
    }
    return OK;
}

struct tls_identity *tls_identity_keep(struct tls_identity *i)
{
    i->references++;
    return i;
}

void tls_identity_drop(struct tls_identity *i)
{
    if (!i || --i->references > 0) {
        return;
    }
    if (i->priority) {
        gnutls_priority_deinit(i->priority);
    }
    if (i->credentials) {
        gnutls_certificate_free_credentials(i->credentials);
    }
    mem_free(i);
}

void *tls_identity_session(struct tls_identity *i, int fd)
{
    gnutls_session_t s;
    static const gnutls_datum_t protocols[] = {{(unsigned char *)(uintptr_t) "http/1.1", 8},
                                               {(unsigned char *)(uintptr_t) "http/1.0", 8}};
    if (gnutls_init(&s, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
        return NULL;
    }
    if (gnutls_priority_set(s, i->priority) < 0 ||
        gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, i->credentials) < 0 ||
        gnutls_alpn_set_protocols(s, protocols, sizeof(protocols) / sizeof(protocols[0]), GNUTLS_ALPN_MANDATORY) < 0) {
        gnutls_deinit(s);
        return NULL;
    }
    gnutls_certificate_server_set_request(s, GNUTLS_CERT_IGNORE);
    gnutls_transport_set_int(s, fd);
    return s;
}
