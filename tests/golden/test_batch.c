/* An answer does not depend on its batch mates, bit for bit; and a step allocates nothing.
 *
 * Every item is first run alone. Then all of them run many times in batches of random items in random order, captions
 * of different ages side by side, and must leave the same bytes. For our own kernels of every instruction set, with
 * both decoders of captions; OpenBLAS makes no such promise. With MINIVLM_GOLDEN_DIR (golden.h) for another model
 * instead, with the best instruction set only. */
#include "tests/support/check.h"
#include "tests/support/golden.h"

enum { MAX_ITEMS = 160, MAX_REGIONS = 64, MAX_ROWS = 4096, MAX_TEXT = 40, MAX_ANSWERS = 4096 };
#ifdef MINIVLM_EMULATED /* where a round takes minutes */
enum { ROUNDS = 2 };
#else
enum { ROUNDS = 4 };
#endif

struct result {
    float out[MAX_ANSWERS]; /* answers or match; captions: unused */
    float attention[MAX_REGIONS];
    int n_steps, n_kept;
    struct caption_hypothesis kept[CAPTION_MAX_BEAMS + 1];
};

struct subject {
    struct fusion_item item;
    struct caption_params params;
    int tokens[MAX_TEXT];
    bool is_done;
    struct result alone, together;
};

struct bench {
    struct golden golden;
    int n_pictures, n_subjects;
    struct features *features[8];
    struct subject *subjects;
};

static unsigned long long random_state = 1;
static int random_below(int n)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (int)((random_state >> 33) % (unsigned)n);
}

/* ---- making ---- */

static struct subject *add(struct bench *b, enum fusion_kind kind, const struct features *f)
{
    BUG_ON(b->n_subjects == MAX_ITEMS);
    struct subject *s = &b->subjects[b->n_subjects++];
    s->item = (struct fusion_item){.kind = kind, .features = f, .tokens = s->tokens, .out = s->together.out};
    s->item.region_attention = s->together.attention;
    return s;
}

static void add_text(struct bench *b, enum fusion_kind kind, const struct features *f, int n_tokens)
{
    struct subject *s = add(b, kind, f);
    s->item.n_tokens = n_tokens;
    for (int i = 0; i < n_tokens; i++) {
        s->tokens[i] = random_below(b->golden.model->config.fusion.vocab);
    }
}

static void add_caption(struct bench *b, const struct features *f, int num_beams)
{
    const struct model_config *c = model_config(b->golden.model);
    struct subject *s = add(b, FUSION_CAPTION, f);
    int max_tokens = c->caption.max_tokens - random_below(3);
    s->params = (struct caption_params){num_beams, num_beams, max_tokens, c->caption.length_penalty};
    CHECK_INT(caption_state_create(&s->item.caption, b->golden.model, num_beams, max_tokens), OK);
}

/* More answers, matches and running beams than FUSION_HEAD_ROWS, so that the heads take several goes. */
static bool make(struct bench *b, const struct golden_place *place, enum isa isa, enum model_decoder decoder)
{
    static const int beams[] = {1, 2, 3, 5, 10};
    struct golden *g = &b->golden;
    const char *picture;
    json_t *about;
    if (!golden_open(g, place, isa, GEMM_NATIVE, MAX_ROWS) ||
        mem_array(&b->subjects, MAX_ITEMS, sizeof(struct subject)) != OK) {
        return false;
    }
    g->model->config.caption.decoder = decoder;
    size_t bytes = features_bytes(model_config(g->model));
    json_object_foreach(g->pictures, picture, about)
    {
        struct features **f = &b->features[b->n_pictures++];
        if (mem_alloc(f, bytes) != OK || !golden_prepare(g, picture)) {
            return false;
        }
        features_init(*f, model_config(g->model));
        if (session_regions(g->session, &g->input, *f) != OK) {
            return false;
        }
        for (int i = 0; i < 12; i++) {
            add_text(b, FUSION_VQA, *f, random_below(MAX_TEXT)); /* none to more than fit */
            add_text(b, FUSION_RETRIEVE, *f, random_below(MAX_TEXT));
        }
        for (size_t i = 0; i < sizeof(beams) / sizeof(beams[0]); i++) {
            add_caption(b, *f, beams[i]);
        }
    }
    return g->model->config.vqa.answers <= MAX_ANSWERS && g->model->config.roi.max_regions <= MAX_REGIONS;
}

static void release(struct bench *b)
{
    for (int i = 0; i < b->n_subjects; i++) {
        caption_state_destroy(b->subjects[i].item.caption);
    }
    for (int i = 0; i < b->n_pictures; i++) {
        mem_free(b->features[i]);
    }
    mem_free(b->subjects);
    golden_close(&b->golden);
}

/* ---- running ---- */

static void restart(struct subject *s)
{
    s->is_done = false;
    memset(&s->together, 0, sizeof(s->together));
    if (s->item.caption) {
        caption_state_reset(s->item.caption, &s->params);
    }
}

static void after_step(struct subject *s)
{
    const struct caption_state *c = s->item.caption;
    s->together.n_steps++;
    s->is_done = !c || caption_state_is_done(c);
    for (int i = 0; c && s->is_done && i < c->search.n_kept; i++) {
        struct caption_hypothesis *to = &s->together.kept[s->together.n_kept++];
        to->total = c->search.kept[i].total;
        to->n = c->search.kept[i].n;
        memcpy(to->tokens, c->search.kept[i].tokens, (size_t)to->n * sizeof(int));
    }
}

static void step(struct bench *b, struct subject **batch, int n)
{
    struct fusion_item items[MAX_ITEMS];
    enum err errors[MAX_ITEMS];
    for (int i = 0; i < n; i++) {
        items[i] = batch[i]->item;
    }
    uint64_t before = mem_count();
    session_fusion_step(b->golden.session, items, n, errors);
    CHECK_INT(mem_count() - before, 0);
    for (int i = 0; i < n; i++) {
        CHECK_INT(errors[i], OK);
        after_step(batch[i]);
    }
}

static void run_alone(struct bench *b)
{
    for (int i = 0; i < b->n_subjects; i++) {
        struct subject *s = &b->subjects[i];
        restart(s);
        while (!s->is_done) {
            step(b, &s, 1);
        }
        s->alone = s->together;
    }
}

/* A random choice of those not done, at most `most`, in random order. */
static int choose(struct bench *b, struct subject **batch, int max)
{
    int n = 0, rows = 0;
    struct subject *waiting[MAX_ITEMS];
    for (int i = 0; i < b->n_subjects; i++) {
        if (!b->subjects[i].is_done) {
            waiting[n++] = &b->subjects[i];
        }
    }
    int n_batch = 0;
    while (n > 0 && n_batch < max) {
        int i = random_below(n);
        struct subject *s = waiting[i];
        waiting[i] = waiting[--n];
        rows += fusion_item_rows(b->golden.model, &s->item);
        if (rows > MAX_ROWS) {
            break;
        }
        batch[n_batch++] = s;
    }
    return n_batch;
}

static void run_together(struct bench *b, int max)
{
    struct subject *batch[MAX_ITEMS];
    int n;
    for (int i = 0; i < b->n_subjects; i++) {
        restart(&b->subjects[i]);
    }
    while ((n = choose(b, batch, max)) > 0) {
        step(b, batch, n);
    }
    for (int i = 0; i < b->n_subjects; i++) {
        CHECK_INT(memcmp(&b->subjects[i].alone, &b->subjects[i].together, sizeof(struct result)), 0);
    }
}

/* The regions of a picture do not depend on what the session did before, a picture of another size above all. */
static void test_pictures(struct bench *b)
{
    struct golden *g = &b->golden;
    const char *picture;
    json_t *about;
    size_t bytes = features_bytes(model_config(g->model));
    for (int round = 0; round < 2; round++) {
        int i = 0;
        json_object_foreach(g->pictures, picture, about)
        {
            CHECK(golden_prepare(g, picture));
            uint64_t before = mem_count();
            CHECK_INT(session_regions(g->session, &g->input, g->features), OK);
            CHECK_INT(mem_count() - before, 0);
            CHECK_INT(memcmp(g->features, b->features[i++], bytes), 0);
            features_init(g->features, model_config(g->model));
        }
    }
}

static bool is_alive(const struct subject *s)
{
    float sum = 0.0F;
    for (int i = 0; i < s->item.features->n_regions; i++) {
        sum += s->alone.attention[i];
    }
    return sum > 0.0F && (s->item.caption ? s->alone.n_kept > 0 : s->alone.out[0] > 0.0F);
}

static void test(const struct golden_place *place, enum isa isa, enum model_decoder decoder, int rounds)
{
    struct bench b = {.n_subjects = 0};
    bool is_made = make(&b, place, isa, decoder);
    CHECK(is_made);
    if (is_made) {
        run_alone(&b);
        for (int i = 0; i < b.n_subjects; i++) {
            CHECK(is_alive(&b.subjects[i]));
        }
        for (int round = 0; round < rounds; round++) {
            run_together(&b, round == 0 ? MAX_ITEMS : 1 + random_below(MAX_ITEMS));
        }
        test_pictures(&b);
    }
    release(&b);
}

int main(void)
{
    struct golden_given given;
    if (golden_is_given(&given)) {
        test(&given.place, isa_best(), MODEL_DECODER_MASK, 2);
        test(&given.place, isa_best(), MODEL_DECODER_CAUSAL, 2);
        return check_result();
    }
    for (int place = 0; place < GOLDEN_PLACES; place++) {
        for (int isa = 0; isa <= (int)isa_best(); isa++) {
            if (!isa_can_run((enum isa)isa)) {
                continue;
            }
            test(&golden_places[place], (enum isa)isa, MODEL_DECODER_MASK, ROUNDS);
            test(&golden_places[place], (enum isa)isa, MODEL_DECODER_CAUSAL, ROUNDS);
        }
    }
    return check_result();
}
