/* wire - one client's socket, plain or TLS: bytes in and out that never wait.
 *
 * On a TLS wire only the TLS library writes to the socket.
 *
 * Ownership: wire_open takes the descriptor and a reference of the identity; wire_close gives both back.
 * Threads: one. Errors: WIRE_DEAD, for good. */
#ifndef SERVER_WIRE_H
#define SERVER_WIRE_H

#include "engine/base/err.h"

#include <sys/types.h>

struct tls_identity;

struct wire {
    int fd;
    void *session; /* of TLS; NULL: plain */
    struct tls_identity *identity;
    size_t n_stuck;  /* bytes the TLS library holds until the socket takes them */
    bool is_writing; /* the handshake waits for the socket to take bytes */
};

enum { WIRE_WAIT = -1, WIRE_DEAD = -2 };

/* identity NULL: plain. On an error the descriptor is closed. */
MUST_USE enum err wire_open(struct wire *w, int fd, struct tls_identity *identity);
void wire_close(struct wire *w); /* at once; also fine when already closed */
/* 1: done, WIRE_WAIT or WIRE_DEAD. */
int wire_handshake(struct wire *w);
/* Bytes read, 0: the client has ended its side, WIRE_WAIT or WIRE_DEAD. */
ssize_t wire_read(struct wire *w, char *out, size_t n);
/* Bytes the kernel has taken, WIRE_WAIT or WIRE_DEAD. After WIRE_WAIT, call again with the same bytes. */
ssize_t wire_write(struct wire *w, const char *bytes, size_t n);
/* Decrypted bytes are waiting: no socket event will report them. */
bool wire_has_pending(const struct wire *w);
/* Ends our side: TLS close notification, then the socket's. */
void wire_finish(struct wire *w);

#endif
