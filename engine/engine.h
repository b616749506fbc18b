/* engine - the only door to MiniVLM: open, submit jobs, drain, close.
 *
 * decode workers   image bytes -> input slot (hash, cache look-up, decode, resize, normalise)
 * engine threads   each owns a session and repeatedly takes the step that the policy chooses (engine/batcher.h):
 *                  a fusion step (captions, answers and scores of all callers together, token by token) or an image
 *                  for the TEE; in turn where both wait. All share one model.
 * feature cache    region features by image id, least recently used out, bounded in bytes; equal images in flight are
 *                  computed once.
 *
 * Ownership: the engine owns model, threads, queues, cache. Jobs belong to the caller (engine/job.h).
 * Threads:   engine_submit, engine_stats and engine_cache_* may be called from any thread and never
 *            block on work. engine_open, engine_drain and engine_close belong to one owner.
 * Errors:    engine_open says what is wrong with the model or the options. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "engine/base/err.h"
#include "engine/job.h"

#include <stdint.h>

enum { ENGINE_ISA_AUTO = -1, ENGINE_MAX_SPLIT = 16 };

struct engine_options {
    const char *model_dir;
    int isa_cap;            /* best instruction set to use: of engine_find_isa, or ENGINE_ISA_AUTO */
    int precision;          /* of engine_find_precision */
    bool use_openblas;      /* GEMM by OpenBLAS instead of our own kernels */
    bool verify_hash;       /* compare the weights with config.json */
    int nice;               /* 0..19: nice value of its threads, so that the caller's event loop goes first */
    int engine_threads;     /* 0: usable CPUs */
    int decode_threads;     /* 0: max(1, usable CPUs / 4) */
    int split_threads;      /* engine threads that may work on one step while nothing else waits, at most
                             * ENGINE_MAX_SPLIT; 1: steps are not shared */
    int max_jobs;           /* submitted and not yet done; more are ERR_OVERLOADED */
    int max_texts;          /* of one job */
    size_t max_text_bytes;  /* of one text; longer is ERR_TEXT_TOO_LONG */
    int input_slots;        /* decoded images waiting or running */
    int max_captions;       /* captions under way at once */
    int max_step_rows;      /* rows of one fusion step */
    int max_image_batch;    /* images a thread takes in one go */
    uint64_t batch_wait_us; /* longest an image may wait for batch mates while others are being decoded */
    bool continuous;        /* false: a fusion batch runs to its end before new work joins (for comparison) */
    size_t cache_bytes;     /* 0: no cache */
    size_t decode_bytes;    /* of all pictures being decoded, pixels and decoders' memory; 0: no limit */
    uint64_t max_pixels, max_progressive_pixels;
    bool fast_scaling; /* large JPEGs are decoded smaller than they are, never below twice the network's input */
};
/* Sensible defaults for this machine; model_dir must still be set. */
void engine_default_options(struct engine_options *o);
/* "auto", or the name of an instruction set that the kernels know (engine/base/isa_list.h); false: unknown. */
bool engine_find_isa(const char *name, int *out);
/* "auto" (as the model directory has them; 0), "fp32", "int8". */
bool engine_find_precision(const char *name, int *out);

MUST_USE enum err engine_open(struct engine **out, const struct engine_options *options, struct errbuf *e);
/* Lowers the memory budgets of the options: call between engine_open and the service's first job, while nothing runs.
 * The contents of the cache (from a self-test) are dropped. */
void engine_limit(struct engine *e, size_t cache_bytes, size_t decode_bytes);
/* Accepts the job, or refuses it with text: ERR_OVERLOADED, ERR_DRAINING, ERR_BAD_REQUEST, ERR_TOO_MANY_INPUTS or
 * ERR_TEXT_TOO_LONG; then on_done is not called. */
MUST_USE enum err engine_submit(struct engine *e, struct job *job, struct errbuf *why);
/* Accepts no more jobs; waits up to timeout_us for all submitted ones, then cancels the rest and waits for them. */
void engine_drain(struct engine *e, uint64_t timeout_us);
void engine_close(struct engine *e); /* NULL is fine; all jobs must have been delivered */

/* ---- what it runs ---- */
struct engine_info {
    const char *model_name, *model_version, *model_sha256; /* of the weights' file */
    const char *model_identity;         /* hex: engines with the same value have interchangeable features */
    const char *isa, *gemm, *precision; /* "fp32", "int8", "mixed": what the fusion's matrices run in */
    int engine_threads, decode_threads, split_threads;
    size_t parameters;
    size_t features_bytes; /* of one image, as the cache and collections keep it */
    size_t memory_bytes;   /* planned: weights, sessions, slots, captions; without the cache */
    int max_regions, n_answers;
    int cells, cell_channels, own_blocks, pool; /* context cells of an image at most, and what they are; 0: none */
    int regions_seen;                           /* that the fusion sees, at most */
    const char *decoder;                        /* of captions: "mask", "causal" */
    int num_beams, max_tokens;                  /* the model's defaults */
    float length_penalty;
    int longest_caption; /* tokens that a caption may have */
};
void engine_info(const struct engine *e, struct engine_info *out);
/* features_bytes of `from` without its region `index`, as if it had not been found. */
void engine_leave_out(const struct engine *e, const struct features *from, int index, struct features *out);

/* Number of pixels according to a picture's header, 0 if unknown: for admission control. Any thread, less than a
 * microsecond. */
uint64_t engine_pixels(const uint8_t *image, size_t n_bytes);

/* ---- cache ---- */
bool engine_cache_has(struct engine *e, const struct image_id *id);

/* ---- how it is doing ---- */
enum engine_stage { ENGINE_DECODE, ENGINE_REGIONS, ENGINE_FUSION, ENGINE_STAGE_COUNT };
enum { ENGINE_BATCH_BUCKETS = 8 }; /* 1, 2, 4, 8, 16, 32, 64, more */
struct engine_stats {
    int queued[ENGINE_STAGE_COUNT];  /* jobs (decode, regions) and items (fusion) waiting */
    int running[ENGINE_STAGE_COUNT]; /* being worked on */
    int jobs;                        /* submitted, not yet done */
    uint64_t steps[ENGINE_STAGE_COUNT], items[ENGINE_STAGE_COUNT], busy_us[ENGINE_STAGE_COUNT];
    uint64_t split_steps[ENGINE_STAGE_COUNT]; /* of these, the ones that several threads worked on */
    uint64_t batch_count[ENGINE_STAGE_COUNT][ENGINE_BATCH_BUCKETS];
    uint64_t cancelled[ENGINE_STAGE_COUNT];
    uint64_t fusion_rows, fusion_tokens;
    /* the costs of which requests are made up, for estimating them */
    uint64_t decoded_pixels;
    uint64_t captions, caption_first_rows; /* begun, and the rows of their first steps */
    uint64_t caption_steps, caption_rows;  /* later steps, a step of b beams counted b times, and their rows */
    uint64_t caption_ends, caption_tokens; /* finished, and their steps */
    uint64_t pairs, pair_rows;             /* questions and sentences done */
    uint64_t cache_hits, cache_misses, cache_coalesced, cache_evictions;
    size_t cache_bytes;
    int cache_entries;
    size_t decode_bytes, decode_peak_bytes; /* reserved for pictures being decoded, now and at most so far */
    uint64_t heartbeat_us; /* clock_us() of the last step any engine thread began or ended, or of now when all idle */
    double load_ratio;     /* 0..1: busy threads and predicted backlog over capacity */
};
void engine_stats(struct engine *e, struct engine_stats *out);

#endif
