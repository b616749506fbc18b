/* gate_private - what the parts of the gate share. gate.c: admission; gate_client.c: clients and their shares;
 * gate_cost.c: costs; gate_feedback.c: how accurate forecasts were. */
#ifndef SERVER_GATE_GATE_PRIVATE_H
#define SERVER_GATE_GATE_PRIVATE_H

#include "server/gate/gate.h"
#include "server/gate/gate_cost.h"

struct gate_client {
    TAILQ_ENTRY(gate_client) link; /* of all that have anything inside or uploading */
    struct gate_client *next;      /* in its bucket */
    uint64_t id;
    int inside, jobs; /* requests, and the places that they take */
    uint64_t bytes;   /* of uploads */
    int uploads;
    uint64_t held[LEDGER_ACCOUNT_COUNT], n_held; /* of other accounts; their sum */
    double engine_us, decode_us;                 /* still to be done */
};
TAILQ_HEAD(gate_clients, gate_client);

enum {
    GATE_RESERVE = 8,       /* this part of every room is kept for clients that hold little of it: */
    GATE_BYTES_RESERVE = 4, /* of bytes that are held for a short time; the largest body's fit into it (plan.c) */
    GATE_BUCKETS = 1024,
    GATE_LATELY_US = 1000000
};

/* When a client was last served; clients of the same bucket overwrite it, which does no harm. */
struct gate_served {
    uint64_t id, us;
};

struct gate {
    struct gate_options options;
    int engine_threads, decode_threads;
    struct gate_cost cost;
    /* inside */
    struct gate_places places; /* by deadline */
    int inside, jobs;
    double engine_us, decode_us;           /* of all, still to be done; pictures in progress count in full */
    double engine_flow_us, decode_flow_us; /* of that, what is left at flowed_us if work drains evenly */
    uint64_t flowed_us, tried_us;          /* tried_us: the last time something was admitted */
    uint64_t long_since_us;                /* since when the backlog has persisted; 0: it does not */
    /* clients */
    struct gate_clients clients;
    struct gate_client *buckets[GATE_BUCKETS];
    struct gate_served served[GATE_BUCKETS];
    int n_clients, n_lately; /* clients with something here; clients served recently */
    uint64_t upload_bytes;
    /* feedback */
    double ratio; /* mean and deviation together */
    double mean, deviation;
    double margin;
    uint64_t widened_us;
    /* counts */
    uint64_t accepted, refused[GATE_VERDICT_COUNT], done, late, abandoned;
};

/* ---- gate_client.c ---- */
struct gate_client *gate_client_find(const struct gate *g, uint64_t id); /* NULL: it has nothing here */
struct gate_client *gate_client_get(struct gate *g, uint64_t id);        /* created if there is none; NULL: no memory */
void gate_client_put(struct gate *g, struct gate_client *c);             /* removed when it has nothing left here */
/* May this client have so many more places for pictures? Clients that ask again at once would never give up theirs. */
bool gate_client_may_enter(const struct gate *g, uint64_t now_us, uint64_t id, int jobs);
/* Something of this client has left. */
void gate_client_served(struct gate *g, uint64_t now_us, uint64_t id);
/* Counts the clients served recently. */
void gate_client_count(struct gate *g, uint64_t now_us);

/* ---- gate_feedback.c ---- */
void gate_feedback_left(struct gate *g, uint64_t now_us, const struct gate_place *p, enum gate_end end);
/* Checks the requests inside: when many are overdue, the service has become slow, and forecasts adapt without waiting
 * for them to finish. */
void gate_feedback_look(struct gate *g, uint64_t now_us);

#endif
