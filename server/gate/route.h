/* route - method and path to a handler: how a table of routes (api/api_routes.c) is read.
 *
 * Threads: the loop thread. */
#ifndef SERVER_ROUTE_H
#define SERVER_ROUTE_H

#include "engine/base/buf.h"
#include "engine/job.h"
#include "server/http/exchange.h"

struct api;

enum route_flags {
    ROUTE_PUBLIC = 1,  /* no API key */
    ROUTE_WORK = 2,    /* needs the engine and a place at the gate */
    ROUTE_OPS = 4,     /* health, metrics: on the admin port if there is one, else on the main port */
    ROUTE_ADMIN = 8,   /* on the admin port only */
    ROUTE_BOTH = 16,   /* on either port */
    ROUTE_PLAIN = 32,  /* errors are {"error": "message"} */
    ROUTE_PAGE = 64,   /* for browsers, not part of the API; absent with server.page=false */
    ROUTE_STORE = 128, /* stores under names in the path, which are checked before a body is read */
};

struct route {
    const char *method, *path, *name;
    int flags;
    enum job_task task; /* of ROUTE_WORK: the kind of work, for the gate */
    void (*run)(struct api *a, struct exchange *x);
    const char *query; /* names of the parameters it takes, separated by spaces; NULL: the handler checks, or any */
};

struct route_table {
    const struct route *routes;
    int n;
};

enum route_result { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };
/* `{}` in a path stands for one segment, a last `{*}` for all that follows. HEAD finds GET. hidden: routes with one of
 * these flags do not exist. allow: the methods of a path that exists, but not with this method. */
enum route_result route_find(const struct route_table *t, const char *method, const char *path, bool is_admin_port,
                             bool has_admin_port, int hidden, const struct route **out, struct buf *allow);
/* The path in lower case, without repeated or trailing slashes. False: that changes nothing, or it does not fit. */
bool route_tidy(const char *path, char *out, size_t size);
/* The first query parameter that the route does not accept; NULL: none. */
const char *route_unknown_query(const struct route *r, const struct exchange *x);
/* Segment n of the path, counted from 0; false when there is none or it is too long. */
bool route_segment(const char *path, int n, char *out, size_t size);

#endif
