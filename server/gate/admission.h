/* admission - the first check of a request, on its headers: route, key, size, state, load. Most refusals happen here,
 * in microseconds and before the body is read.
 *
 * Nothing is reserved yet: memory is charged as bytes arrive, and a place at the gate (gate.h) when the request is
 * complete.
 *
 * Ownership: borrows all parts, which live as long as the service. Threads: the loop thread.
 * Errors:    become answers of the exchange. */
#ifndef SERVER_GATE_ADMISSION_H
#define SERVER_GATE_ADMISSION_H

#include "config/config.h"
#include "server/gate/auth.h"
#include "server/gate/gate.h"
#include "server/gate/route.h"

enum admission_state { ADMISSION_LOADING, ADMISSION_OPEN, ADMISSION_DRAINING };

struct admission {
    const struct config *config;
    const struct auth *auth;
    const struct route_table *routes;
    struct gate *gate;
    bool has_admin_port;
    enum admission_state state;
};

/* Answers with the error for a verdict of the gate. */
void admission_refuse(struct exchange *x, enum gate_verdict verdict, uint64_t after_us);

/* Answers 413: the body, as announced or so far, has more than `max` bytes. */
void admission_too_large(struct exchange *x, uint64_t max);

/* True: x has its route, caller and deadline and may continue. False: x has been answered. */
bool admission_headers(const struct admission *a, struct exchange *x);

#endif
