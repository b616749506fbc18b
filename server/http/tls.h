/* tls - certificate and private key: the contents of the configured files, and the identity made from them for TLS
 * sessions.
 *
 * TLS 1.2 or later. An identity is shared by the sessions begun with it and freed with the last of them, so that a new
 * certificate can replace it at any time.
 *
 * Ownership: the texts belong to the struct tls, which the caller releases (the key is wiped); identities are counted.
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

struct tls_identity;
/* From PEM texts, which need not be kept. */
MUST_USE enum err tls_identity_create(struct tls_identity **out, const char *certificate, const char *key,
                                      struct errbuf *e);
struct tls_identity *tls_identity_keep(struct tls_identity *i);
void tls_identity_drop(struct tls_identity *i); /* NULL is fine */
/* A server's session on the descriptor (a gnutls_session_t); NULL: out of memory. */
void *tls_identity_session(struct tls_identity *i, int fd);

#endif
