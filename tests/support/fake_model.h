/* fake_model - stands in for engine/model/model.h in tests of the engine's threads: answers come from a hash of the
 * input at once, every step is written down, and steps can be held until the test lets them go on.
 *
 * Include in one test program; its definitions take the place of the library's. A caption of features with hash h has
 * 3 + h % 5 words (at most max_tokens). One of a NaN text ("nan") fails. */
#ifndef TESTS_SUPPORT_FAKE_MODEL_H
#define TESTS_SUPPORT_FAKE_MODEL_H

#include "engine/base/hash.h"
#include "engine/base/mem.h"
#include "engine/model/model.h"
#include "engine/model/tee/regions.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum { FAKE_TEE, FAKE_FUSION, FAKE_STAGES };
enum { FAKE_MAX_STEPS = 4096, FAKE_ANSWERS = 15, FAKE_REGIONS = 6, FAKE_DIM = 10 };

struct fake_step {
    int n_items, rows, n_captions;
    uint64_t session;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_held[FAKE_STAGES];
    int n_inside[FAKE_STAGES]; /* threads in a step, held ones too */
    int n_passes[FAKE_STAGES]; /* held: this many may still go on */
    int n_tee;
    int n_steps;
    struct fake_step steps[FAKE_MAX_STEPS];
    enum err tee_error;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- the test's side ---- */

__attribute__((unused)) static void fake_hold(int stage)
{
    pthread_mutex_lock(&fake.lock);
    fake.is_held[stage] = true;
    fake.n_passes[stage] = 0;
    pthread_mutex_unlock(&fake.lock);
}

__attribute__((unused)) static void fake_release(int stage)
{
    pthread_mutex_lock(&fake.lock);
    fake.is_held[stage] = false;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

/* Lets one held step go on. */
__attribute__((unused)) static void fake_pass(int stage)
{
    pthread_mutex_lock(&fake.lock);
    fake.n_passes[stage]++;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

/* Until n threads are in a step of this stage. */
__attribute__((unused)) static void fake_wait_inside(int stage, int n)
{
    pthread_mutex_lock(&fake.lock);
    while (fake.n_inside[stage] != n) {
        pthread_cond_wait(&fake.changed, &fake.lock);
    }
    pthread_mutex_unlock(&fake.lock);
}

__attribute__((unused)) static void fake_reset(void)
{
    pthread_mutex_lock(&fake.lock);
    fake.n_tee = fake.n_steps = 0;
    fake.tee_error = OK;
    pthread_mutex_unlock(&fake.lock);
}

static void fake_enter(int stage)
{
    pthread_mutex_lock(&fake.lock);
    fake.n_inside[stage]++;
    pthread_cond_broadcast(&fake.changed);
    while (fake.is_held[stage] && fake.n_passes[stage] == 0) {
        pthread_cond_wait(&fake.changed, &fake.lock);
    }
    fake.n_passes[stage] -= fake.is_held[stage];
    fake.n_inside[stage]--;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

/* ---- model ---- */

struct model {
    struct model_config config;
    struct wordpiece *wordpiece;
};

enum err model_open(struct model **out, const char *dir, const struct model_options *options, struct errbuf *e)
{
    static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\ndog\ncat\nruns\nsits\nred\nnan\nwhat\nis\n?\n";
    struct model *m;
    (void)options;
    *out = NULL;
    if (strcmp(dir, "missing") == 0) {
        return err_set(e, ERR_BAD_MODEL, "missing/config.json: no such file");
    }
    enum err rc = mem_alloc(&m, sizeof(*m));
    if (rc) {
        return rc;
    }
    rc = wordpiece_parse(&m->wordpiece, vocab, sizeof(vocab) - 1, "vocab", e);
    if (rc) {
        mem_free(m);
        return rc;
    }
    struct model_config *c = &m->config;
    memcpy(c->name, "fake", 5);
    memcpy(c->version, "1", 2);
    c->image.resize = MODEL_RESIZE_SQUARE;
    c->image.size = c->image.max_size = c->image.divisor = 32;
    for (int i = 0; i < 3; i++) {
        c->image.std[i] = 1;
    }
    c->roi.max_regions = FAKE_REGIONS;
    c->roi.hidden = FAKE_DIM - 6;
    c->roi.classes = 3;
    c->text.caption_length = 14;
    c->text.text_length = 12;
    c->text.tags_length = 4;
    c->caption.num_beams = 3;
    c->caption.max_tokens = 8;
    c->caption.length_penalty = 1;
    c->vqa.answers = FAKE_ANSWERS;
    *out = m;
    return OK;
}

void model_close(struct model *m)
{
    if (m) {
        wordpiece_close(m->wordpiece);
        mem_free(m);
    }
}

void model_enter(const struct model *m, struct crew *crew, int self)
{
    (void)m;
    (void)crew;
    (void)self;
}

const struct model_config *model_config(const struct model *m)
{
    return &m->config;
}

const struct wordpiece *model_wordpiece(const struct model *m)
{
    return m->wordpiece;
}

const struct kernels *model_kernels(const struct model *m)
{
    (void)m;
    return kernels_select(ISA_REF, GEMM_NATIVE);
}

const char *model_object_name(const struct model *m, int label)
{
    static const char *const names[] = {"", "dog", "cat", "tree"};
    (void)m;
    return names[label];
}

const char *model_answer_name(const struct model *m, int answer)
{
    static const char *const names[FAKE_ANSWERS] = {"a0", "a1", "a2",  "a3",  "a4",  "a5",  "a6", "a7",
                                                    "a8", "a9", "a10", "a11", "a12", "a13", "a14"};
    (void)m;
    return names[answer];
}

const char *model_sha256(const struct model *m)
{
    (void)m;
    return "00";
}

const char *model_precision(const struct model *m)
{
    (void)m;
    return "fp32";
}

const char *model_identity(const struct model *m)
{
    (void)m;
    return "00";
}

size_t model_memory_bytes(const struct model *m)
{
    (void)m;
    return 1000;
}

size_t model_parameters(const struct model *m)
{
    (void)m;
    return 10;
}

/* ---- features ---- */

size_t features_bytes(const struct model_config *c)
{
    return sizeof(struct features) + (size_t)c->roi.max_regions * (sizeof(struct region) + FAKE_DIM * sizeof(float)) +
           (size_t)c->text.tags_length * sizeof(int);
}

void features_init(struct features *f, const struct model_config *c)
{
    memset(f, 0, features_bytes(c));
    f->dim = FAKE_DIM;
    f->max_regions = c->roi.max_regions;
    f->max_tags = c->text.tags_length;
}

bool features_valid(const struct features *f, size_t n_bytes, const struct model_config *c)
{
    return n_bytes == features_bytes(c) && f->dim == FAKE_DIM;
}

struct region *features_regions(struct features *f)
{
    return (struct region *)(void *)f->data;
}

const struct region *features_regions_const(const struct features *f)
{
    return (const struct region *)(const void *)f->data;
}

/* As many regions but one; which one makes no difference here. */
void regions_leave_out(const struct model *m, const struct features *from, int index, struct features *out)
{
    (void)index;
    memcpy(out, from, features_bytes(model_config(m)));
    out->n_regions--;
}

/* ---- sessions ---- */

struct session {
    const struct model *model;
    struct session_limits limits;
};

enum err session_create(struct session **out, const struct model *m, const struct session_limits *limits)
{
    struct session *s;
    enum err rc = mem_alloc(&s, sizeof(*s));
    *out = s;
    if (!rc) {
        s->model = m;
        s->limits = *limits;
    }
    return rc;
}

void session_destroy(struct session *s)
{
    mem_free(s);
}

size_t session_memory_bytes(const struct session *s)
{
    return sizeof(*s);
}

enum err session_regions(struct session *s, const struct tee_input *in, struct features *out)
{
    fake_enter(FAKE_TEE);
    size_t n = (size_t)in->padded_width * (size_t)in->padded_height * 3;
    uint32_t h = (uint32_t)hash_bytes(in->pixels, n * sizeof(float));
    pthread_mutex_lock(&fake.lock);
    fake.n_tee++;
    enum err rc = fake.tee_error;
    pthread_mutex_unlock(&fake.lock);
    out->n_regions = 1 + (int)(h % FAKE_REGIONS);
    out->n_tags = 2;
    out->width = in->width;
    out->height = in->height;
    for (int i = 0; i < out->n_regions; i++) {
        features_regions(out)[i] =
            (struct region){.label = 1 + (int)((h + (uint32_t)i) % 3), .score = 1.0f / (float)(i + 1)};
    }
    memcpy(out->data + (size_t)FAKE_REGIONS * sizeof(struct region), &h, sizeof(h)); /* where tags would be */
    (void)s;
    return rc;
}

/* ---- fusion ---- */

struct caption_state {
    struct caption_params params;
    int max_beams, max_tokens;
    int n_words, steps;
    int tokens[64];
};

enum err caption_state_create(struct caption_state **out, const struct model *m, int max_beams, int max_tokens)
{
    (void)m;
    enum err rc = mem_alloc(out, sizeof(**out));
    if (!rc) {
        (*out)->max_beams = max_beams;
        (*out)->max_tokens = max_tokens;
    }
    return rc;
}

void caption_state_destroy(struct caption_state *c)
{
    mem_free(c);
}

size_t caption_state_bytes(const struct model *m, int max_beams, int max_tokens)
{
    (void)m;
    return (size_t)(max_beams * max_tokens);
}

void caption_state_reset(struct caption_state *c, const struct caption_params *p)
{
    BUG_ON(p->num_beams > c->max_beams || p->max_tokens > c->max_tokens);
    c->params = *p;
    c->n_words = c->steps = 0;
}

bool caption_state_is_done(const struct caption_state *c)
{
    return c->steps > 0 && c->steps >= c->n_words;
}

int caption_state_rows(const struct caption_state *c, const struct features *f)
{
    return c->steps == 0 ? fusion_caption_rows(NULL, f) : 2 * c->params.num_beams;
}

int caption_state_n_tokens(const struct caption_state *c)
{
    return c->steps;
}

int caption_state_token(const struct caption_state *c, int i)
{
    return c->tokens[i];
}

int caption_state_n_results(const struct caption_state *c)
{
    return c->params.num_captions;
}

const int *caption_state_result(const struct caption_state *c, int i, int *n_tokens, float *score)
{
    *n_tokens = c->steps;
    *score = -1.0f - (float)i;
    return c->tokens;
}

int fusion_caption_rows(const struct model *m, const struct features *f)
{
    (void)m;
    return f->n_tags + f->n_regions + 2;
}

int fusion_item_rows(const struct model *m, const struct fusion_item *item)
{
    int room = m->config.text.text_length - 2;
    if (item->kind == FUSION_CAPTION) {
        return caption_state_rows(item->caption, item->features);
    }
    return item->features->n_regions + item->features->n_tags + 2 + (item->n_tokens < room ? item->n_tokens : room);
}

static uint32_t fake_features_hash(const struct features *f)
{
    uint32_t h;
    memcpy(&h, f->data + (size_t)FAKE_REGIONS * sizeof(struct region), sizeof(h));
    return h;
}

static enum err fake_item(const struct fusion_item *item)
{
    uint32_t h = fake_features_hash(item->features);
    for (int i = 0; item->region_attention && i < item->features->n_regions; i++) {
        item->region_attention[i] = (float)(1 + (h + (uint32_t)i) % 7) / 7.0f;
    }
    if (item->kind == FUSION_CAPTION) {
        struct caption_state *c = item->caption;
        c->n_words = 3 + (int)(h % 5);
        c->n_words = c->n_words < c->params.max_tokens ? c->n_words : c->params.max_tokens;
        c->tokens[c->steps] = 5 + (int)((h >> c->steps) % 6);
        c->steps++;
        return OK;
    }
    h ^= (uint32_t)hash_bytes(item->tokens, (size_t)item->n_tokens * sizeof(int));
    int n_out = item->kind == FUSION_VQA ? FAKE_ANSWERS : 1;
    for (int i = 0; i < n_out; i++) {
        item->out[i] = (float)((h >> (i % 8)) % 1000u) / 1000.0f;
    }
    return item->n_tokens == 1 && item->tokens[0] == 11 ? ERR_INTERNAL : OK; /* "nan" */
}

void session_fusion_step(struct session *s, struct fusion_item *items, int n_items, enum err *item_err)
{
    struct fake_step step = {.n_items = n_items, .session = (uint64_t)(uintptr_t)s};
    for (int i = 0; i < n_items; i++) {
        step.rows += fusion_item_rows(s->model, &items[i]);
        step.n_captions += items[i].kind == FUSION_CAPTION;
    }
    BUG_ON(n_items < 1 || step.rows > s->limits.max_rows);
    pthread_mutex_lock(&fake.lock);
    if (fake.n_steps < FAKE_MAX_STEPS) {
        fake.steps[fake.n_steps++] = step;
    }
    pthread_mutex_unlock(&fake.lock);
    fake_enter(FAKE_FUSION);
    for (int i = 0; i < n_items; i++) {
        item_err[i] = fake_item(&items[i]);
    }
}

#endif
