/* tls - the certificate and private key of the main port, read from the files that the configuration names.
 *
 * Ownership: the texts belong to the tls and must outlive the http that borrows them. The key is wiped on release.
 * Errors: ERR_BAD_CONFIG, ERR_IO with the key of the configuration and the file. Threads: one. */
#ifndef SERVER_TLS_H
#define SERVER_TLS_H

#include "config/config.h"
#include "engine/base/err.h"

struct tls {
    char *certificate, *key; /* PEM; NULL: no TLS */
};

MUST_USE enum err tls_load(struct tls *t, const struct config *c, struct errbuf *e);
void tls_release(struct tls *t);

#endif
