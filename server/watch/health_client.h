/* health_client - asks a running service of the same configuration for its health: what a container's HEALTHCHECK runs,
 * so that the image needs no other program. Threads: none. */
#ifndef SERVER_HEALTH_CLIENT_H
#define SERVER_HEALTH_CLIENT_H

#include "config/config.h"

/* Asks on the main port or, if that uses TLS, on the admin port. 0 when /healthz answers 200 within two seconds, else 1
 * with a message on standard error. */
int health_client_ask(const struct config *c);

#endif
