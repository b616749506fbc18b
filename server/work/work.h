/* work - one request after its headers: owns everything it needs, and is the only thing handed to other threads.
 *
 *     ARRIVING --(body whole)--> PARSING --(gate)--> RUNNING --(kind's last step)--> FINISHED
 *
 * A piece of work belongs to an exchange until that is answered. If the client disconnects or the deadline passes
 * before that, the work is abandoned (w->x is NULL from then on): it cancels its jobs, and is freed when the last of
 * the things it handed out (jobs, a task of the side thread or of the archive) has come back. Until then it holds
 * everything it has: bytes, place at the gate, share of memory, service.
 *
 * RUNNING is up to the kind: it starts rounds of jobs (work_round) or tasks of other threads, and ends with an answer
 * and work_finish. A kind never sees another request and never frees w.
 *
 * Ownership: struct desk, the shared state of server/work, lists all works of the process; a piece of work destroys
 * itself.
 * Threads:   the loop thread. Other threads read what was handed to them, and it does not change meanwhile.
 * Errors:    become answers (reply.h). */
#ifndef SERVER_WORK_WORK_H
#define SERVER_WORK_WORK_H

#include "config/config.h"
#include "server/gate/gate.h"
#include "server/http/http.h"
#include "server/http/timings.h"
#include "server/input/input.h"
#include "server/work/services.h"

#include <sys/queue.h>

struct work;

/* State shared by all work. */
struct desk {
    const struct config *config;
    struct loop *loop;
    struct gate *gate;
    struct ledger *ledger;
    struct side *side;
    struct services *services;
    void *user;
    bool (*make_room)(void *user,
                      const struct exchange *x); /* for x: ends an upload that has stalled; false: none has */
    struct work *first;                          /* all there is */
    LIST_HEAD(, work) streaming;                 /* of these, those whose answer goes out in pieces */
    struct work *cleared;                        /* of these, the ones that are over and give back a large body */
    uint64_t parsing_since_us;                   /* bytes parsed on the loop thread in the current millisecond: */
    size_t parsed_weight;
    int n;
};

/* What to do once the input is complete. */
struct work_kind {
    enum input_route input;
    enum job_task task;              /* the kind of work, for the gate */
    void (*begin)(struct work *w);   /* w has input, service and (see work_enter) place; answers, or starts a round */
    void (*abandon)(struct work *w); /* cancels what it handed out; may be NULL */
    void (*release)(struct work *w); /* frees w->state; may be NULL */
    enum input_dialect dialect;      /* of the body */
    const struct work_kind *(*refine)(const struct input *in); /* the kind that the input asks for; may be NULL */
};

/* One round: a job for each item, as many at once as there are slots. */
struct work_round {
    enum job_task task;
    int n_items, n_texts;
    int next_item, n_running, n_done;
    struct service_slot **running;          /* [n_items]; NULL: no round */
    json_t **items;                         /* [n_items]: result, or {"error": ...} */
    enum fault *faults;                     /* [n_items]: FAULT_COUNT where it went well */
    json_t *warnings;                       /* of texts, for the whole answer; NULL: none */
    float *scores;                          /* [n_items, max(1, n_texts)], filled where `item` is NULL */
    const struct features *const *features; /* [n_items]: instead of images; NULL: images. The kind's. */
    /* NULL: only scores matter. Of a large answer (work_is_large) it runs on the side thread. */
    json_t *(*item)(struct work *w, const struct job *job, int index);
    void (*done)(struct work *w); /* all are done, and w still has its exchange */
};

enum work_phase { WORK_ARRIVING, WORK_PARSING, WORK_RUNNING, WORK_FINISHED };

struct work {
    struct desk *desk;
    struct exchange *x; /* NULL: abandoned */
    const struct work_kind *kind;
    enum work_phase phase;
    /* who asks, and how */
    struct caller caller;
    char path[EXCHANGE_PATH_MAX]; /* of collections: name and key are in it */
    char id[EXCHANGE_ID_MAX + 1]; /* of the request */
    int priority;
    bool no_store, accepts_stream;
    uint64_t began_us, deadline_us;
    /* what it holds */
    struct buf body;
    struct input input;
    struct gate_upload upload;         /* the body's share of memory */
    size_t body_bytes;                 /* that arrived */
    size_t held[LEDGER_ACCOUNT_COUNT]; /* other bytes of the ledger */
    struct gate_place place;
    bool has_place;
    enum gate_end end;
    struct service *service; /* counted; NULL before it runs */
    struct stream *stream;   /* NULL: the answer comes as a whole; set by work_stream */
    LIST_ENTRY(work) streaming;
    struct service_waiter in_line;
    struct services_waiter for_model;
    int n_out; /* handed to other threads and not yet returned */
    struct work_round round;
    struct side_task clearing; /* of a large round */
    void *state;               /* the kind's */
    struct timings timings;
    struct work *previous, *next, *next_cleared;
};

/* At the headers. NULL: out of memory, and x has been answered. */
struct work *work_create(struct desk *d, struct exchange *x);
/* A piece of the body; answers x (429, 413) when it does not fit. */
void work_body(struct work *w, const char *bytes, size_t n);
/* The body is complete: parse, enter the gate, begin. */
void work_run(struct work *w, const struct work_kind *kind);
/* Without input and gate: begins at once; for kinds whose `input` is 0. */
void work_run_plain(struct work *w, const struct work_kind *kind);

/* Bytes of the ledger; false and x answered with overloaded when there is no room, or none for this client. */
bool work_charge(struct work *w, enum ledger_account account, size_t n);
bool work_take(struct work *w, enum ledger_account account, size_t n); /* the same without the answer */
/* Some of them, before the work is over. */
void work_give_back(struct work *w, enum ledger_account account, size_t n);
/* Takes a place at the gate, for this many pictures with known features in addition to those of the input. False: x has
 * been answered with a refusal. Before `begin`, but for a search in a collection, which weighs what it has found. */
bool work_enter(struct work *w, int n_known);
/* Switches to the current model instead of the one it began on. */
void work_hold_current_service(struct work *w);

/* The answer will go out in pieces, through w->stream. False: x has been answered. */
bool work_stream(struct work *w, size_t n_bytes);

/* Starts n_items jobs; `done` is called when all are done, unless w was abandoned. False: x has been answered. */
bool work_round_begin(struct work *w, enum job_task task, int n_items,
                      json_t *(*item)(struct work *, const struct job *, int), void (*done)(struct work *));
/* As before with given features, n_items of them, which the kind keeps until the round is over. */
bool work_round_features(struct work *w, enum job_task task, int n_items, const struct features *const *features,
                         json_t *(*item)(struct work *, const struct job *, int), void (*done)(struct work *));
/* The first fault of the round; FAULT_COUNT: none. */
enum fault work_round_fault(const struct work *w);

/* Answers with the object (taken), printed on the side thread when it is large; NULL: out of memory. Then w is
 * finished. */
void work_answer(struct work *w, int status, json_t *object);
/* The same with what `make` makes of w: on the side thread when it is large. It may read what no longer changes: input,
 * round, service, id; and w may have lost its exchange meanwhile. */
void work_answer_made(struct work *w, int status, json_t *(*make)(const struct work *w));
/* The same with a body that is no JSON object or has been printed: takes the text. */
void work_answer_text(struct work *w, const char *content_type, struct buf *text);
/* The exchange has its answer: w releases it, and is freed when nothing is handed out. */
void work_finish(struct work *w);
/* Something handed out has come back (w->n_out was lowered): frees w if it was the last. True: w is freed. */
bool work_settle(struct work *w);

/* Gives back some of the bodies of work that is over, or all; true: there is more. Once a turn, and before a large body
 * is refused for lack of memory. */
bool work_clear(struct desk *d, bool all);

/* Handles deadlines; returns microseconds until the next call, UINT64_MAX: no work. */
uint64_t work_sweep(struct desk *d, uint64_t now_us);
/* Sends pending bytes of streams. */
void work_pump(struct desk *d);
/* Abandons all work and answers with `draining`. */
void work_cut_all(struct desk *d);

/* ---- for the parts work.c and work_round.c ---- */
bool work_is_large(const struct work *w); /* its answer, too large to be made, printed or freed on the loop thread */
/* Best answers of each question; for other tasks, 5 and without a meaning. */
int work_top_k(const struct work *w, enum job_task task);
void work_round_clear(struct work *w); /* frees the items, which takes long when they are many; any thread */
void work_round_release(struct work *w);
void work_round_cancel(struct work *w);

#endif
