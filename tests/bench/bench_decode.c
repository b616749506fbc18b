/* Cost of captions, decoder against decoder and model against model.
 *
 * Use: bench_decode MODEL_DIR... For each model with both decoders: milliseconds of one caption of all the words a
 * model may say ([SEP] is forbidden, so that lengths are the same whatever the weights), its picture seen before; by
 * beams and by how many captions share each step. And the image half. Time of the thread on its processor, median of
 * ROUNDS interleaved rounds and their least and most, so that others on the machine disturb less. */
#include "engine/base/mem.h"
#include "engine/model/model_private.h"
#include "engine/model/session.h"

#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 9, MAX_TOGETHER = 16, MAX_MODELS = 8, CASES = 6 };

static const struct {
    int beams, together;
} cases[CASES] = {{1, 1}, {1, 4}, {1, 16}, {3, 1}, {3, 4}, {3, 16}};

struct subject {
    const char *dir;
    struct model *model;
    struct session *session;
    struct features *features;
    float *pixels;
    struct tee_input input;
    double captions[2][CASES][ROUNDS], regions[ROUNDS]; /* ms */
};

static double thread_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static bool open_subject(struct subject *s, const char *dir)
{
    struct model_options options = {.isa_cap = ISA_COUNT - 1, .gemm_backend = GEMM_NATIVE};
    struct errbuf e;
    int shorter, longer;
    s->dir = dir;
    errbuf_clear(&e);
    if (model_open(&s->model, dir, &options, &e) != OK) {
        fprintf(stderr, "%s\n", e.text);
        return false;
    }
    const struct model_config *c = model_config(s->model);
    model_config_max_input(c, &shorter, &longer);
    int rows = MAX_TOGETHER * (model_config_max_context(c) + 2);
    struct session_limits limits = {longer, shorter, rows};
    size_t n_pixels = (size_t)longer * (size_t)shorter * 3;
    if (session_create(&s->session, s->model, &limits) != OK || mem_array(&s->pixels, n_pixels, sizeof(float)) != OK ||
        mem_alloc(&s->features, features_bytes(c)) != OK) {
        return false;
    }
    for (size_t i = 0; i < n_pixels; i++) {
        s->pixels[i] = (float)((i * 7919) % 1009) / 252.0f - 2.0f;
    }
    s->input = (struct tee_input){s->pixels, longer, shorter, longer, shorter, 640, 480};
    s->model->_is_forbidden[s->model->special.sep] = 1;
    features_init(s->features, c);
    return session_regions(s->session, &s->input, s->features) == OK;
}

static void close_subject(struct subject *s)
{
    mem_free(s->features);
    mem_free(s->pixels);
    session_destroy(s->session);
    model_close(s->model);
}

/* Milliseconds of one of `together` captions, all begun at once. */
static double time_captions(struct subject *s, enum model_decoder decoder, int beams, int together)
{
    struct model_config *c = &s->model->config;
    struct fusion_item items[MAX_TOGETHER];
    enum err errs[MAX_TOGETHER];
    struct caption_params params = {beams, 1, c->caption.max_tokens, c->caption.length_penalty};
    c->caption.decoder = decoder;
    for (int i = 0; i < together; i++) {
        items[i] = (struct fusion_item){.kind = FUSION_CAPTION, .features = s->features};
        BUG_ON(caption_state_create(&items[i].caption, s->model, beams, params.max_tokens) != OK);
        caption_state_reset(items[i].caption, &params);
    }
    double from = thread_ms();
    while (!caption_state_is_done(items[0].caption)) {
        session_fusion_step(s->session, items, together, errs);
    }
    double ms = (thread_ms() - from) / together;
    for (int i = 0; i < together; i++) {
        caption_state_destroy(items[i].caption);
    }
    return ms;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(const char *dir, const char *decoder, const char *what, double ms[ROUNDS])
{
    qsort(ms, ROUNDS, sizeof(*ms), by_value);
    printf("%-28s %-7s %-26s %8.2f %8.2f %8.2f ms\n", dir, decoder, what, ms[ROUNDS / 2], ms[0], ms[ROUNDS - 1]);
}

static void report(struct subject *s)
{
    print(s->dir, "", "regions", s->regions);
    for (int k = 0; k < CASES; k++) {
        for (int d = 0; d < 2; d++) {
            char what[64];
            snprintf(what, sizeof(what), "caption, %d beams, %d at once", cases[k].beams, cases[k].together);
            print(s->dir, model_config_decoder_name((enum model_decoder)d), what, s->captions[d][k]);
        }
    }
}

int main(int argc, char **argv)
{
    static struct subject subjects[MAX_MODELS];
    int n = argc - 1 < MAX_MODELS ? argc - 1 : MAX_MODELS;
    for (int i = 0; i < n; i++) {
        if (!open_subject(&subjects[i], argv[1 + i])) {
            return 1;
        }
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < n; i++) {
            struct subject *s = &subjects[i];
            double from = thread_ms();
            BUG_ON(session_regions(s->session, &s->input, s->features) != OK);
            s->regions[round] = thread_ms() - from;
            for (int k = 0; k < CASES; k++) {
                for (int d = 0; d < 2; d++) {
                    s->captions[d][k][round] =
                        time_captions(s, (enum model_decoder)d, cases[k].beams, cases[k].together);
                }
            }
        }
    }
    printf("%-28s %-7s %-26s %8s %8s %8s\n", "", "", "", "median", "min", "max");
    for (int i = 0; i < n; i++) {
        report(&subjects[i]);
        close_subject(&subjects[i]);
    }
    return n == 0;
}
