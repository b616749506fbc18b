/* profile - where the time of a picture goes, kernel by kernel.
 *
 * Opens a model of its own and runs it on the caller's thread, one picture after the other: decoding, regions, a
 * question, a greedy caption. Every call of a kernel is counted and timed (engine/kernels/trace.h says how operations
 * and bytes are counted); the rest of a stage's time is in a row "rest".
 *
 * A plan (`is_plan`) runs once on a synthetic picture, and its rows are the steps in order, with their shapes and the
 * threads that would share them while nothing else waits. Otherwise the pictures are run `rounds` times, and a row
 * covers all calls of a kernel in steps of one name.
 *
 * Ownership: a profile owns its rows; names in them are constants. Threads: one owner, runs nothing in others.
 * Errors:    those of model_open and image_decode, with text. */
#ifndef ENGINE_PROFILE_H
#define ENGINE_PROFILE_H

#include "engine/engine.h"
#include "engine/kernels/trace.h"

struct profile_picture {
    const char *name; /* for messages */
    const uint8_t *bytes;
    size_t n_bytes;
};

struct profile_request {
    const struct engine_options
        *engine; /* uses model_dir, isa_cap, use_openblas, verify_hash; for a plan also the threads */
    bool is_plan;
    const struct profile_picture *pictures; /* [n_pictures]; a plan takes none */
    int n_pictures, rounds;
    const char *question;
};

struct profile_row {
    const char *stage;               /* "picture", "regions", "question", "caption", "words" */
    const char *step, *kernel, *act; /* act: "" for none */
    const char *format;              /* of the weights, or of what is read: "f32", "f16"; "" of a row without kernel */
    int turn;                        /* in a plan: which step of its stage, from 1 */
    uint64_t m, n, k;                /* summed over all calls: rows or pixels; columns or channels; terms per output */
    uint64_t calls, operations, bytes;
    int cuts; /* in a plan: threads that a call would be split among */
    double ms;
    double peak_ms; /* what the operations take at the measured peak of what the kernel multiplies */
};

/* Operations a nanosecond (Gop/s) in registers alone, the best of many short runs. */
struct profile_peaks {
    double of[TRACE_UNITS];
};

struct profile {
    struct profile_row *rows; /* [n_rows], stage by stage */
    int n_rows;
    int n_runs; /* pictures times rounds: divide the sums by this */
    int words;  /* steps of the stage "words" in all runs */
    struct profile_peaks peaks;
    const char *isa, *gemm;
};

MUST_USE enum err profile_run(struct profile *out, const struct profile_request *request, struct errbuf *e);
double profile_peak_ms(const struct profile_peaks *p, enum trace_unit unit, uint64_t operations);
/* The sum of all numbers of the rows; names are those of the first. Its peak_ms is that of a mixture. */
struct profile_row profile_sum(const struct profile_row *rows, int n);
/* How near the limit, in %; 0 where no time was measured. */
double profile_share(const struct profile_row *r);
void profile_release(struct profile *p); /* also after an error */

#endif
