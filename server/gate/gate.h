/* gate - admission control: what is accepted is answered in time, and no client shuts others out.
 *
 *     headers   gate_glance: refuses what cannot be served now whatever the body says; takes nothing
 *     body      gate_upload_*: memory for the bytes as they arrive, at most a fair share for one client
 *     whole     gate_enter: the cost is known; accepted with a forecast, or refused
 *     inside    gate_progress after each picture; gate_leave exactly once
 *     any time  gate_bytes_*: memory for parsing, results, answers, at most a fair share for one client
 *
 * Policy. Each request is weighed by what it will cost the engine: pictures to decode, pictures for the network, rows
 * of the fusion transformer (texts, beams, tokens), priced by measured times (gate_learn). A request is accepted if
 *   - its own forecast, in the engine's order (fair between clients, engine/batcher.h), ends before its deadline,
 *   - everything accepted earlier still meets its deadline with this request inside,
 *   - there is room for others: a client that holds more than its fair share of places, bytes or backlog is refused
 *     before the gate is full, so that the gate is always open for clients that ask for little. The last eighth of the
 *     places is for clients that were not served a moment ago (one that asks again at once would never give up its
 *     place), the last sixteenth for small requests from them.
 * Forecasts are corrected by actual times (`ratio`: quickly up, slowly down) and kept at a distance from the deadline
 * (`margin`), which widens whenever something accepted is late. A backlog longer than what keeps the threads busy gains
 * nothing: in a burst it may be as long as the deadlines allow, but once it has persisted for GATE_PATIENCE_US only a
 * quarter of the time until the deadline (and GATE_STANDING_US) may be used for it. An empty gate accepts anything that
 * is not already too late, so that costs are learnt.
 *
 * Ownership: a gate owns its client records; places and uploads lie in the caller's structs and must have left
 *            (gate_leave, gate_upload_end) before they are freed or the gate is destroyed.
 * Threads:   the loop thread only. Time is a parameter (clock_us() or synthetic), never read from a clock here. No
 * engine calls.
 * Errors:    verdicts; gate_create ERR_NOMEM. */
#ifndef SERVER_GATE_GATE_H
#define SERVER_GATE_GATE_H

#include "engine/engine.h"
#include "server/gate/ledger.h"

#include <sys/queue.h>

enum { GATE_PATIENCE_US = 1000000, GATE_STANDING_US = 500000 };

struct gate;
struct gate_client; /* everything of one address or key */

struct gate_options {
    int max_jobs;          /* pictures inside at once, of all requests together: limits.requests */
    struct ledger *ledger; /* borrowed; uploads are taken from LEDGER_BODIES */
};
MUST_USE enum err gate_create(struct gate **out, const struct gate_options *options);
void gate_destroy(struct gate *g); /* NULL is fine; nothing may be inside or uploading */
/* Before the first request and after each reload: sets threads and defaults of the engine that serves from now on. */
void gate_set_engine(struct gate *g, const struct engine_info *info);

enum gate_verdict {
    GATE_ACCEPTED,
    GATE_FULL,       /* no room for more pictures or bytes: 429 */
    GATE_SHARE_USED, /* this client already holds its fair share of the room: 429 */
    GATE_TOO_LATE,   /* the answer would come after the deadline: 429 (503 if configured) */
    GATE_VERDICT_COUNT
};
const char *gate_verdict_name(enum gate_verdict v); /* "accepted", "full", "share_used", "too_late" */

/* ---- headers ---- */

/* content_length: of the body, 0 when there is none or it is unknown. retry_after_us: how long to wait before another
 * try; written unless accepted. */
enum gate_verdict gate_glance(struct gate *g, uint64_t now_us, uint64_t client, enum job_task task,
                              uint64_t content_length, uint64_t deadline_us, uint64_t *retry_after_us);

/* ---- body ---- */

/* The bytes of one request's body, from the first that arrives until its work is over. Begins as zeros. */
struct gate_upload {
    struct gate_client *_client;
    uint64_t _held;
};
/* n more bytes have arrived or are about to. On a refusal (full, or share used) nothing is taken. */
enum gate_verdict gate_upload_take(struct gate *g, struct gate_upload *u, uint64_t client, uint64_t n_bytes);
/* Gives everything back; also fine if nothing was taken, and twice. */
void gate_upload_end(struct gate *g, struct gate_upload *u);

/* ---- other bytes ---- */

/* n bytes of an account of the ledger will be held for this client: of JSON while it is parsed, of results, of an
 * answer until it has been read. They are shared out like an upload's bytes; on a refusal nothing is taken. */
enum gate_verdict gate_bytes_take(struct gate *g, uint64_t client, enum ledger_account a, uint64_t n_bytes);
void gate_bytes_give(struct gate *g, uint64_t client, enum ledger_account a, uint64_t n_bytes); /* at most as many */

/* ---- work ---- */

struct gate_request {
    uint64_t client;
    enum job_task task;
    int images;        /* pictures that come as bytes */
    int known;         /* pictures whose features exist: image ids, rows of a collection, occlusion's second round */
    int texts;         /* questions or sentences beside each picture */
    int beams, tokens; /* captions; 0: the model's defaults */
    uint64_t pixels;   /* of all `images` together, 0: unknown */
    uint64_t deadline_us;
};

/* Of one accepted request. Begins as zeros; plain data of the gate. */
struct gate_place {
    TAILQ_ENTRY(gate_place) _link; /* of all inside, by deadline */
    struct gate_client *_client;   /* NULL: outside */
    double _engine_us, _decode_us; /* core time, still to be done */
    double _expected_us;           /* from entering to leaving, by the model alone */
    uint64_t _entered_us, _deadline_us;
    int _jobs, _left; /* places that it takes; pictures not yet done */
};
TAILQ_HEAD(gate_places, gate_place);

enum gate_verdict gate_enter(struct gate *g, uint64_t now_us, const struct gate_request *r, struct gate_place *p,
                             uint64_t *retry_after_us);
/* n of its pictures are done. Optional, but it improves forecasts for requests with many pictures. */
void gate_progress(struct gate *g, uint64_t now_us, struct gate_place *p, int n);

enum gate_end {
    GATE_DONE,      /* answered in time, even with an error */
    GATE_LATE,      /* wholly or in part after its deadline */
    GATE_ABANDONED, /* the client left, or the service drains: not evidence about the forecast */
};
/* Also fine on a place that has already left. */
void gate_leave(struct gate *g, uint64_t now_us, struct gate_place *p, enum gate_end end);

/* ---- costs and figures ---- */

/* Takes what the engine has measured so far; call it every 50 to 250 ms while anything is inside. Counters that went
 * back mean a new engine: what was learnt is kept until the new engine has measured enough. */
void gate_learn(struct gate *g, uint64_t now_us, const struct engine_stats *s);

/* Microseconds until such a request, from a client with nothing else inside, would be done; 0 while its parts are
 * unmeasured. n_images 0: one picture whose features are known. */
uint64_t gate_forecast_us(const struct gate *g, enum job_task task, int n_images, int n_texts);

struct gate_stats {
    uint64_t accepted, refused[GATE_VERDICT_COUNT]; /* by verdict, glances and uploads included */
    uint64_t done, late, abandoned;
    int inside, jobs; /* requests, and the places that they take */
    int clients;      /* with anything inside or being uploaded */
    uint64_t upload_bytes;
    uint64_t backlog_us; /* until all that is inside is done */
    double margin;       /* share of the time until a deadline that is kept free, 0..1 */
    double ratio;        /* actual time divided by the model's forecast */
};
void gate_stats(const struct gate *g, struct gate_stats *out);

#endif
