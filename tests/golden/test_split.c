/* An answer does not depend on how many threads worked on it, bit for bit: alone, with helpers, and among 32. With the
 * shipped model, because the calls of a tiny one are too small to be split. */
#include "engine/base/sha256.h"
#include "engine/model/model.h"
#include "tests/support/check.h"
#include "tests/support/jobs.h"

#include <sched.h>
#include <stdatomic.h>

/* Instead of the kernel's: each thread has a CPU of its own, so that helpers stay on a busy machine too. */
int sched_getcpu(void)
{
    static atomic_int n;
    static _Thread_local int own;
    own = own ? own : 1 + atomic_fetch_add(&n, 1);
    return own;
}

/* Where each job takes seconds, the two ends say whether anything is raced or overrun; the kernels of the other
 * instruction sets are in tests/unit/engine/kernels/test_split.c. */
#if defined(MINIVLM_INSTRUMENTED) || defined(MINIVLM_EMULATED)
enum { AMONG = 8, WAY_STEP = 5, PASSES = 1 };
#else
enum { AMONG = 32, WAY_STEP = 1, PASSES = 2 };
#endif
enum { PICTURES = 2, KINDS = 4, SUBJECTS = PICTURES * KINDS, TOP = 5 };

static const char *const texts[] = {"what is in the picture?", "is there a cat?"};
static const size_t text_bytes[] = {23, 15};
static struct jobs_image pictures[PICTURES];

/* What a job answers; nothing but bytes that are written. */
struct answer {
    uint8_t features[SHA256_BYTES];
    char captions[3][JOB_CAPTION_BYTES];
    float caption_scores[3], answers[2 * TOP], match[2];
};

struct subject {
    struct job *job;
    uint8_t key[SHA256_BYTES]; /* equal pictures in flight shall not be computed together */
};

static void make(struct subject *s, struct engine *e, struct jobs_home *home, int i)
{
    static const enum job_task tasks[KINDS] = {JOB_CAPTION, JOB_CAPTION, JOB_VQA, JOB_RETRIEVE};
    int kind = i % KINDS;
    s->job = jobs_new(e, home);
    s->key[0] = (uint8_t)i;
    s->job->request.task = tasks[kind];
    s->job->request.id_key = s->key;
    s->job->request.client = (uint64_t)i % 3;
    jobs_set_image(s->job, &pictures[i / KINDS % PICTURES]);
    if (kind < 2) {
        s->job->request.num_beams = s->job->request.num_captions = kind == 0 ? 1 : 3;
    } else {
        s->job->request.top_k = kind == 2 ? TOP : 0;
        jobs_set_texts(s->job, texts, text_bytes, 2);
    }
}

static void hash_features(const struct features *f, uint8_t out[SHA256_BYTES])
{
    struct sha256 hash;
    size_t vectors = (size_t)features_n_seen(f) * (size_t)f->dim;
    sha256_begin(&hash);
    sha256_add(&hash, features_regions_const(f), (size_t)f->n_regions * sizeof(struct region));
    sha256_add(&hash, features_tags_const(f), (size_t)f->n_tags * sizeof(int));
    sha256_add(&hash, features_vectors_const(f), vectors * sizeof(float));
    sha256_add(&hash, features_cells_const(f),
               (size_t)(features_rows(f) - f->n_tags - features_n_seen(f)) * 384 * sizeof(float));
    sha256_end(&hash, out);
}

static struct answer answer_of(const struct job *job)
{
    const struct job_result *r = &job->result;
    struct answer a;
    memset(&a, 0, sizeof(a));
    CHECK_INT(r->err, OK);
    if (r->err) {
        return a;
    }
    hash_features(r->features, a.features);
    for (int i = 0; i < r->n_captions; i++) {
        snprintf(a.captions[i], sizeof(a.captions[i]), "%s", r->captions[i].text);
        a.caption_scores[i] = r->captions[i].score;
    }
    for (int i = 0; r->answers && i < 2 * TOP; i++) {
        a.answers[i] = r->answers[i].score;
    }
    for (int i = 0; r->scores && i < 2; i++) {
        a.match[i] = r->scores[i];
    }
    return a;
}

static struct engine *open_engine(int threads, int split_threads, int isa)
{
    struct engine *e = NULL;
    struct engine_options o;
    struct errbuf why;
    engine_default_options(&o);
    o.model_dir = "models/minivlm-base";
    o.isa_cap = isa;
    o.engine_threads = threads;
    o.split_threads = split_threads;
    o.cache_bytes = 0;
    CHECK_INT(engine_open(&e, &o, &why), OK);
    return e;
}

static bool is_same(const struct answer *a, const struct answer *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* All subjects one by one, then many at once. With `first`, what they answer alone is kept, else compared. */
static void check(struct answer expected[SUBJECTS], bool is_first, int threads, int split_threads, int isa)
{
    struct engine *e = open_engine(threads, split_threads, isa);
    struct jobs_home home = JOBS_HOME_INIT;
    struct subject s[AMONG] = {{0}};
    int alone = 0, together = 0;
    for (int i = 0; e && i < AMONG; i++) {
        make(&s[i], e, &home, i);
    }
    for (int i = 0; e && i < SUBJECTS; i++) {
        jobs_run(e, s[i].job);
        struct answer a = answer_of(s[i].job);
        expected[i] = is_first ? a : expected[i];
        alone += is_same(&a, &expected[i]);
    }
    for (int i = 0; e && i < AMONG; i++) {
        jobs_submit(e, s[i].job);
    }
    jobs_wait(&home, SUBJECTS + AMONG);
    for (int i = 0; e && i < AMONG; i++) {
        struct answer a = answer_of(s[i].job);
        together += is_same(&a, &expected[i % SUBJECTS]);
        job_destroy(s[i].job);
    }
    if (alone != SUBJECTS || together != AMONG) {
        fprintf(stderr, "isa %d, %d threads, at most %d a step:\n", isa, threads, split_threads);
    }
    CHECK_INT(alone, SUBJECTS);
    CHECK_INT(together, AMONG);
    engine_close(e);
}

int main(void)
{
    static const struct {
        int threads, split;
    } ways[] = {{1, 1}, {2, 1}, {2, 2}, {3, 4}, {4, 2}, {4, 4}};
    int avx2 = 0;
    pictures[0] = jobs_load("docs/photos/coffee.jpg");
    pictures[1] = jobs_load("docs/photos/cat.jpg");
    CHECK(engine_find_isa("avx2", &avx2));
    for (int pass = 0; pass < PASSES; pass++) {
        struct answer expected[SUBJECTS];
        for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i += pass == 0 ? WAY_STEP : 5) {
            check(expected, i == 0, ways[i].threads, ways[i].split, pass == 0 ? ENGINE_ISA_AUTO : avx2);
        }
    }
    for (int i = 0; i < PICTURES; i++) {
        free(pictures[i].bytes);
    }
    return check_result();
}
