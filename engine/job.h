/* job - one image and what to do with it: the unit of work between a caller (server, command line) and the engine.
 *
 * A job is created once by job_create for an engine (all result memory is allocated then), filled, submitted, returned
 * through on_done exactly once, read, reset and reused. A request with several images is several jobs.
 *
 * Ownership: from engine_submit until on_done the job belongs to the engine: the caller touches nothing but
 *            job_cancel. Request pointers (image bytes, texts, given features) are borrowed for the same time.
 * Threads:   on_done and on_token are called on an engine or decode thread; they must only hand over the result and
 *            wake another thread, never block and never call the engine. job_cancel may be called by any thread.
 * Errors:    inside the job: err, error text. ERR_CANCELLED and ERR_DEADLINE come back like results. */
#ifndef ENGINE_JOB_H
#define ENGINE_JOB_H

#include "engine/base/err.h"

#include <stdatomic.h>
#include <stdint.h>

struct engine;
struct features;

/* JOB_CHECK only decodes: no cache look-up, no regions, nothing kept. */
enum job_task { JOB_REGIONS, JOB_CAPTION, JOB_VQA, JOB_RETRIEVE, JOB_CHECK, JOB_TASK_COUNT };
enum { JOB_MAX_CAPTIONS = 10, JOB_MAX_TOP_K = 20, JOB_CAPTION_BYTES = 512, JOB_PRIORITIES = 8, JOB_MAX_TOKENS = 64 };

/* Name of an image: SHA-256 of its bytes, or HMAC-SHA-256 when the caller gives a key (one name space per API key). */
struct image_id {
    uint8_t bytes[32];
};

enum job_cache_result { JOB_CACHE_MISS, JOB_CACHE_HIT, JOB_CACHE_COALESCED };

struct job_request {
    enum job_task task;
    /* the image: bytes, or the id of one seen before (image NULL), or features kept by the caller */
    const uint8_t *image;
    size_t image_bytes;
    struct image_id id;              /* read when image and features are NULL */
    const struct features *features; /* info.features_bytes; the job fails if they are not of this engine's model */
    const uint8_t *id_key;           /* NULL or 32 bytes: HMAC key of the id */
    bool no_store;                   /* keep nothing of this image in the cache */
    bool tolerate_truncated;
    bool whole_texts; /* texts with more word pieces than the model reads are ERR_TEXT_TOO_LONG instead of cut */
    bool explain;     /* fill region_weights */
    /* vqa: questions; retrieve: sentences; caption, regions: none. UTF-8, not necessarily NUL-terminated. */
    const char *const *texts;
    const size_t *text_bytes;
    int n_texts; /* <= engine_options.max_texts */
    int top_k;   /* vqa, 1..JOB_MAX_TOP_K */
    /* caption; zero means the model's default (length_penalty: NAN) */
    int num_beams, num_captions, max_tokens;
    float length_penalty;
    int priority;         /* 0 (most urgent) .. 7, default 3 */
    uint64_t client;      /* identifies the client: fair shares for clients, however many jobs each has waiting */
    uint64_t deadline_us; /* clock_us() time, 0 for none */
    void *user;
    /* Greedy captions only, may be NULL: called after each token with the whole text so far. */
    void (*on_token)(struct job_request *request, const char *text, size_t n_bytes);
};

struct job_region {
    const char *label; /* borrowed from the engine's model */
    float score;
    float box[4]; /* x0, y0, x1, y1, pixels of the upright image */
};

struct job_answer {
    const char *answer; /* borrowed from the engine's model */
    float score;
};

struct job_caption {
    char text[JOB_CAPTION_BYTES];
    float score; /* mean log-probability per token */
    int n_tokens;
};

struct job_result {
    enum err err;
    struct errbuf error;
    /* image */
    struct image_id id;
    int width, height; /* upright */
    uint32_t warnings; /* bits; job_warning_text says what each means */
    enum job_cache_result cache;
    /* check only */
    const char *format; /* as image_format_name gives it: "jpeg", "png", ... */
    int orientation;    /* EXIF 1..8 */
    bool is_progressive;
    int n_regions;
    struct job_region *regions;      /* [n_regions], best first */
    const struct features *features; /* valid until the job is reset; NULL on error */
    /* vqa, retrieve: [n_texts] word pieces; where a text has more than max_text_tokens, the rest was not read. NULL
     * on error */
    const int *text_tokens;
    int max_text_tokens;
    /* caption */
    int n_captions;
    struct job_caption *captions; /* best first */
    /* vqa: answers of text i at answers[i * top_k], n_answers[i] of them */
    struct job_answer *answers;
    int *n_answers;
    /* retrieve: match probability of each text */
    float *scores;
    /* explain: [max(1, n_texts), n_regions], sums to 1; NULL when not requested */
    float *region_weights;
    /* microseconds spent; queue is all the time spent waiting between stages */
    uint64_t decode_us, queue_us, regions_us, fusion_us, total_us;
    int regions_batch, fusion_batch; /* items that shared the (largest) step, including this one */
    const char *stage;               /* where an error happened: "decode", "queue", "regions", "fusion" */
};

struct job {
    struct job_request request;
    struct job_result result;
    void (*on_done)(struct job *job); /* set once by the owner */
    struct job_private *_private;     /* the engine's */
};

MUST_USE enum err job_create(struct job **out, struct engine *e);
void job_destroy(struct job *job); /* NULL is fine; not while submitted */
/* Empties request and result for the next use and clears a cancellation; memory is kept. A job may also be submitted
 * again unchanged: then only the result is emptied. */
void job_reset(struct job *job);
/* Asks the engine to drop the job at its next hand-over; it is still returned through on_done. */
void job_cancel(struct job *job);
/* What was done to the picture: text of bit 0, 1, ...; NULL beyond the last. */
const char *job_warning_text(int bit);

#endif
