/* answer - results of jobs as JSON objects: the one builder behind the HTTP API and the command line's --json.
 *
 * Objects have the keys, order and precision of docs/api.md; the caller adds, last, what only a request has (its id,
 * its timings) and the key "model". Scores are floats as the engine gives them; boxes are rounded to hundredths of a
 * pixel. Bytes that are not UTF-8 are replaced by "?".
 *
 * Ownership: returns new references. Borrows everything else. Threads: pure functions. Errors: NULL when out of
 * memory. */
#ifndef ENGINE_ANSWER_ANSWER_H
#define ENGINE_ANSWER_ANSWER_H

#include "engine/engine.h"

#include <jansson.h>

/* Which parts of a job the caller asked for. */
struct answer_view {
    const struct image_id *id; /* the id to show: an API key's clients see a different one from the engine's */
    /* the job's questions or sentences */
    const char *const *texts;
    const size_t *text_bytes;
    int n_texts;
    bool has_text_list; /* vqa: results[] even for one question */
    bool with_regions;
    bool with_weights; /* explain=attention */
};

json_t *answer_text(const char *bytes, size_t n);
json_t *answer_model(const struct engine_info *info);
json_t *answer_image(const struct image_id *id, const struct job_result *r);
json_t *answer_regions(const struct job_result *r, float min_score);

/* Warnings that do not concern the picture: texts that were truncated. A list of strings for `warnings`; NULL: none. */
json_t *answer_text_warnings(const struct job *job);
/* Adds `warnings`, if there are any. */
void answer_add_warnings(json_t *object, json_t *warnings);

/* One picture's answer. Of a retrieval: its entry in `images`. */
json_t *answer_caption(const struct answer_view *v, const struct job *job);
json_t *answer_vqa(const struct answer_view *v, const struct job *job);
json_t *answer_retrieve_image(const struct answer_view *v, const struct job *job);

/* Upper bound in bytes for one picture's answer, as an object (with its pairs in answer_retrieve) plus its printed
 * form, for callers that reserve memory first. n_regions: the most a picture may have. */
size_t answer_max_bytes(const struct answer_view *v, enum job_task task, int top_k, int num_captions, int n_regions);

/* ---- pictures beside sentences ---- */

struct answer_hit {
    int image, text;
    float score;
};
/* All pairs, best first, ties in request order. scores: [n_images, n_texts]; images: [n_images], those
 * with "error" have no pairs. top_k 0: all. Release with mem_free; NULL without memory. */
struct answer_hit *answer_hits(json_t *const *images, const float *scores, int n_images, int n_texts, int top_k,
                               int *n_out);
/* {"scores", "results", "images"} */
json_t *answer_retrieve(json_t *const *images, const float *scores, int n_images, int n_texts, int top_k);

#endif
