/* model - MiniVLM from a model directory: weights, vocabulary, labels, and the two networks that run on them.
 *
 * `struct model` is immutable after model_open and shared by all threads. `struct session` is the workspace of one
 * thread: allocated once, sized for the limits given; nothing below allocates afterwards.
 * The network: docs/model-format.md ("Exact arithmetic"); Wang et al., arXiv 2012.06946.
 * Errors: ERR_BAD_MODEL names the file, the key or the tensor. */
#ifndef ENGINE_MODEL_MODEL_H
#define ENGINE_MODEL_MODEL_H

#include "engine/base/err.h"
#include "engine/kernels/split.h"
#include "engine/kernels/trace.h"
#include "engine/model/load/model_config.h"
#include "engine/text/wordpiece.h"

struct model;
struct session;

struct model_options {
    enum isa isa_cap;
    enum gemm_backend gemm_backend;
    enum model_precision precision;
    bool verify_hash; /* compare the weights with config.json's sha256 */
    bool is_split;    /* calls of kernels may be shared among threads: model_enter */
    /* NULL, or the trace that records all its kernels: the model then runs only in the thread that has entered the
     * trace. */
    struct trace *trace;
};

MUST_USE enum err model_open(struct model **out, const char *dir, const struct model_options *options,
                             struct errbuf *e);
void model_close(struct model *m); /* NULL is fine; no session may be left */

const struct model_config *model_config(const struct model *m);
const struct wordpiece *model_wordpiece(const struct model *m);
const struct kernels *model_kernels(const struct model *m);
const char *model_object_name(const struct model *m, int label);  /* label 1..classes */
const char *model_answer_name(const struct model *m, int answer); /* 0..answers-1 */
/* 64 hex digits over config.json and the weights: equal for two models whose features are interchangeable. */
const char *model_identity(const struct model *m);
const char *model_sha256(const struct model *m);  /* 64 hex digits of the weights file */
size_t model_memory_bytes(const struct model *m); /* repacked weights, without the weights file */
/* What the matrices of the fusion run in: "fp32" (F16 included), "int8", "mixed" if some layers keep a higher
 * precision. */
const char *model_precision(const struct model *m);
size_t model_parameters(const struct model *m);

/* ---- features of an image: passed between the two stages and kept by the feature cache ---- */

/* One region. */
struct region {
    float box[4]; /* x0, y0, x1, y1 in pixels of the upright image */
    float score;
    int label; /* 1..classes */
};

/* Plain data in one block of features_bytes(config), no pointers: may be copied, cached, stored, and read back by the
 * same build and model. */
struct features {
    int n_regions;
    int n_tags;        /* tokens of the tags with their [SEP]; 0 without tags */
    int width, height; /* upright image */
    int dim;           /* floats of a vector: roi.hidden + 6 */
    int max_regions, max_tags;
    int max_cells; /* 0: a model without context cells */
    /* struct region [max_regions], int tags [max_tags], with cells the context, float vectors [max_seen, dim] */
    _Alignas(8) unsigned char data[];
};

/* Additional part for a model with context cells, followed by float boxes [max_cells, 4] (pixels of the upright image)
 * and float rows [max_cells, dim] (as they enter the fusion). The fusion sees the first n_seen regions, which alone
 * have a vector; a model without cells sees all. */
struct features_context {
    int n_seen, max_seen;
    int n_cells;
    int dim; /* floats of a row: fusion.hidden */
};
size_t features_bytes(const struct model_config *c);
void features_init(struct features *f, const struct model_config *c);
/* True when the block could have been written by features_init of this config (for blocks read from disk). */
bool features_valid(const struct features *f, size_t n_bytes, const struct model_config *c);
struct region *features_regions(struct features *f);
const struct region *features_regions_const(const struct features *f);
int *features_tags(struct features *f);
const int *features_tags_const(const struct features *f);
float *features_vectors(struct features *f); /* [features_n_seen, dim] */
const float *features_vectors_const(const struct features *f);
int features_n_seen(const struct features *f);
int features_n_cells(const struct features *f);
/* Rows in a fusion sequence: tags, regions seen, cells. */
int features_rows(const struct features *f);
/* Only with max_cells > 0. */
struct features_context *features_context(struct features *f);
float *features_cell_boxes(struct features *f); /* [n_cells, 4] */
const float *features_cell_boxes_const(const struct features *f);
float *features_cells(struct features *f); /* [n_cells, D] */
const float *features_cells_const(const struct features *f);

/* ---- sessions ---- */

/* For a model opened with is_split: each thread calls this once before it runs sessions. A session's step is then
 * shared with helpers at board `self` of the crew; crew NULL: not shared. */
void model_enter(const struct model *m, struct crew *crew, int self);

struct session_limits {
    int max_input_width, max_input_height; /* padded input of the TEE */
    int max_rows;                          /* rows of one fusion step, all items together */
};

MUST_USE enum err session_create(struct session **out, const struct model *m, const struct session_limits *limits);
void session_destroy(struct session *s);
size_t session_memory_bytes(const struct session *s);

/* TEE: input [padded_height, padded_width, 3] (image/preprocess.h) to features. */
struct tee_input {
    const float *pixels;
    int padded_width, padded_height;
    int resized_width, resized_height;
    int width, height; /* upright image */
};
MUST_USE enum err session_regions(struct session *s, const struct tee_input *in, struct features *out);

/* ---- fusion: a step machine over packed items ----
 *
 * One call runs the twelve layers once over the rows of all items together, whatever their task. VQA and retrieval
 * items are finished by one step; a caption advances by one token a step: its first step encodes tags and regions and
 * predicts the first token, every later one feeds one or two rows per live beam (config caption.decoder). */

struct caption_params {
    int num_beams;    /* 1..CAPTION_MAX_BEAMS; 1 is greedy */
    int num_captions; /* <= num_beams */
    int max_tokens;   /* 1..config caption positions */
    float length_penalty;
};
enum { CAPTION_MAX_BEAMS = 10, CAPTION_MAX_TOKENS = 64 };

/* Keys, values and hypotheses of one caption under way. The caller keeps a fixed pool: create once, reset per use. */
struct caption_state;
MUST_USE enum err caption_state_create(struct caption_state **out, const struct model *m, int max_beams,
                                       int max_tokens);
void caption_state_destroy(struct caption_state *c);
size_t caption_state_bytes(const struct model *m, int max_beams, int max_tokens);
void caption_state_reset(struct caption_state *c, const struct caption_params *p);
bool caption_state_is_done(const struct caption_state *c);
int caption_state_rows(const struct caption_state *c, const struct features *f); /* rows its next step needs */
/* Tokens of greedy decoding so far (for streaming): count, and token i. */
int caption_state_n_tokens(const struct caption_state *c);
int caption_state_token(const struct caption_state *c, int i);
/* When done: results best first. tokens without [CLS] and [SEP]. */
int caption_state_n_results(const struct caption_state *c);
const int *caption_state_result(const struct caption_state *c, int i, int *n_tokens, float *score);

enum fusion_kind { FUSION_CAPTION, FUSION_VQA, FUSION_RETRIEVE };
struct fusion_item {
    enum fusion_kind kind;
    const struct features *features;
    /* vqa, retrieve: wordpiece ids of the text without special tokens; longer ones are cut as docs/model-format.md
     * says */
    const int *tokens;
    int n_tokens;
    struct caption_state *caption;
    float *out; /* vqa: [answers] sigmoid scores; retrieve: [1] match probability; caption: NULL */
    /* Optional: mean attention over layers and heads that the deciding row ([CLS], or the last one of the best beam)
     * paid to each region, [max_regions]; NULL when not asked for. Attention to a context cell is credited to every
     * region in proportion to how much of the cell lies in the region's box. */
    float *region_attention;
};
/* Rows that the item needs in the next step. */
int fusion_item_rows(const struct model *m, const struct fusion_item *item);
/* Rows of a caption's first step, which is its largest unless there are many beams. */
int fusion_caption_rows(const struct model *m, const struct features *f);
/* Sum of rows must be <= limits.max_rows. A non-finite result fails that item alone: item_err[i]. */
void session_fusion_step(struct session *s, struct fusion_item *items, int n_items, enum err *item_err);

#endif
