#include "server/http/wire.h"

#include "server/http/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <sys/socket.h>
#include <unistd.h>

enum err wire_open(struct wire *w, int fd, struct tls_identity *identity)
{
    *w = (struct wire){.fd = fd};
    if (!identity) {
        return OK;
    }
    w->session = tls_identity_session(identity, fd);
    if (!w->session) {
        wire_close(w);
        return ERR_NOMEM;
    }
    w->identity = tls_identity_keep(identity);
    return OK;
}

void wire_close(struct wire *w)
{
    if (w->session) {
        gnutls_deinit(w->session);
        w->session = NULL;
    }
    if (w->identity) {
        tls_identity_drop(w->identity);
        w->identity = NULL;
    }
    if (w->fd >= 0) {
        close(w->fd);
        w->fd = -1;
    }
}

/* What a signal cut short is done again at once. */
static bool is_interrupted(ssize_t n)
{
    return n < 0 && errno == EINTR;
}

static ssize_t socket_result(ssize_t n)
{
    return n >= 0 ? n : errno == EAGAIN || errno == EWOULDBLOCK ? WIRE_WAIT : WIRE_DEAD;
}

static bool is_wait(ssize_t rc)
{
    return rc == GNUTLS_E_AGAIN;
}

int wire_handshake(struct wire *w)
{
    if (!w->session) {
        return 1;
    }
    int rc;
    do {
        rc = gnutls_handshake(w->session);
    } while (rc == GNUTLS_E_INTERRUPTED);
    w->is_writing = is_wait(rc) && gnutls_record_get_direction(w->session) == 1;
    if (rc == GNUTLS_E_SUCCESS) {
        return 1;
    }
    if (rc < 0 && (is_wait(rc) || !gnutls_error_is_fatal(rc))) {
        return WIRE_WAIT;
    }
    gnutls_alert_send_appropriate(w->session, rc);
    return WIRE_DEAD;
}

ssize_t wire_read(struct wire *w, char *out, size_t n)
{
    ssize_t rc;
    if (!w->session) {
        do {
            rc = recv(w->fd, out, n, 0);
        } while (is_interrupted(rc));
        return socket_result(rc);
    }
    do {
        rc = gnutls_record_recv(w->session, out, n);
    } while (rc == GNUTLS_E_INTERRUPTED);
    if (rc >= 0) {
        return rc;
    }
    if (rc == GNUTLS_E_PREMATURE_TERMINATION) { /* the socket's end without TLS's goodbye */
        return 0;
    }
    if (rc == GNUTLS_E_REHANDSHAKE) { /* TLS 1.2: no, and who asks may go on without */
        gnutls_alert_send(w->session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
    }
    return is_wait(rc) || !gnutls_error_is_fatal((int)rc) ? WIRE_WAIT : WIRE_DEAD;
}

/* Again after a signal: with nothing, since the record is made already. */
static ssize_t send_record(struct wire *w, const char *bytes, size_t n)
{
    ssize_t rc = gnutls_record_send(w->session, bytes, n), made = rc;
    while (made == GNUTLS_E_INTERRUPTED) {
        made = gnutls_record_send(w->session, NULL, 0);
    }
    return rc == GNUTLS_E_INTERRUPTED && made >= 0 ? (ssize_t)n : made;
}

ssize_t wire_write(struct wire *w, const char *bytes, size_t n)
{
    ssize_t rc;
    if (!w->session) {
        do {
            rc = send(w->fd, bytes, n, MSG_NOSIGNAL);
        } while (is_interrupted(rc));
        return socket_result(rc);
    }
    if (w->n_stuck) { /* the record is made already: only the rest of it is to be sent */
        rc = send_record(w, NULL, 0);
        if (rc < 0) {
            return is_wait(rc) ? WIRE_WAIT : WIRE_DEAD;
        }
        rc = (ssize_t)w->n_stuck;
        w->n_stuck = 0;
        return rc;
    }
    size_t max = gnutls_record_get_max_size(w->session);
    n = n < max ? n : max;
    rc = send_record(w, bytes, n);
    if (is_wait(rc)) {
        w->n_stuck = n;
        return WIRE_WAIT;
    }
    return rc < 0 ? WIRE_DEAD : rc;
}

bool wire_has_pending(const struct wire *w)
{
    return w->session && gnutls_record_check_pending(w->session) > 0;
}

void wire_finish(struct wire *w)
{
    if (w->session) {
        gnutls_bye(w->session, GNUTLS_SHUT_WR);
    }
    shutdown(w->fd, SHUT_WR);
}
