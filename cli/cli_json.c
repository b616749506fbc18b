#include "cli/cli_json.h"

#include "engine/base/mem.h"
#include "engine/base/sha256.h"

#include <jansson.h>

/* ---- lines in ---- */

static enum err check_keys(const json_t *root, enum cli_command c, struct errbuf *e)
{
    const char *key;
    const json_t *value;
    void *iterator = json_object_iter((json_t *)root);
    while (iterator) {
        key = json_object_iter_key(iterator);
        value = json_object_iter_value(iterator);
        bool is_known = strcmp(key, "image") == 0 || (c == CLI_RETRIEVE && strcmp(key, "texts") == 0) ||
                        (c == CLI_VQA && (strcmp(key, "question") == 0 || strcmp(key, "questions") == 0));
        if (!is_known || !value) {
            return err_set(e, ERR_BAD_REQUEST, "unknown key \"%s\"", key);
        }
        iterator = json_object_iter_next((json_t *)root, iterator);
    }
    return OK;
}

/* Texts as a list; a single string counts as one. */
static enum err find_texts(struct cli_json_line *l, const char *key, struct errbuf *e)
{
    json_t *texts = json_object_get(l->_root, key);
    l->_texts = texts;
    if (json_is_string(texts)) {
        l->n_texts = 1;
        return OK;
    }
    if (!json_is_array(texts) || json_array_size(texts) == 0 || json_array_size(texts) > INT32_MAX) {
        return err_set(e, ERR_BAD_REQUEST, "\"%s\" is missing, or neither a text nor a list of texts", key);
    }
    l->n_texts = (int)json_array_size(texts);
    for (int i = 0; i < l->n_texts; i++) {
        if (!json_is_string(json_array_get(texts, (size_t)i))) {
            return err_set(e, ERR_BAD_REQUEST, "\"%s\"[%d] is not a text", key, i);
        }
    }
    return OK;
}

/* Standard input may be where the lines come from. */
static enum err find_image(struct cli_json_line *l, struct errbuf *e)
{
    l->image = json_string_value(json_object_get(l->_root, "image"));
    if (!l->image) {
        return err_set(e, ERR_BAD_REQUEST, "\"image\" is missing or not a text");
    }
    return strcmp(l->image, "-") == 0 ? err_set(e, ERR_BAD_REQUEST, "\"image\" is a file here, not standard input")
                                      : OK;
}

static enum err find_questions(struct cli_json_line *l, struct errbuf *e)
{
    bool has_one = json_object_get(l->_root, "question"), has_many = json_object_get(l->_root, "questions");
    if (has_one && has_many) {
        return err_set(e, ERR_BAD_REQUEST, "\"question\" and \"questions\" exclude each other");
    }
    return find_texts(l, has_many ? "questions" : "question", e);
}

enum err cli_json_parse_line(struct cli_json_line *out, enum cli_command c, const char *line, size_t n,
                             struct errbuf *e)
{
    json_error_t why;
    *out = (struct cli_json_line){0};
    json_t *root = json_loadb(line, n, JSON_REJECT_DUPLICATES, &why);
    if (!root) {
        return err_set(e, ERR_BAD_REQUEST, "not JSON: %s at column %d", why.text, why.column);
    }
    out->_root = root;
    enum err rc = json_is_object(root) ? check_keys(root, c, e) : err_set(e, ERR_BAD_REQUEST, "not a JSON object");
    rc = rc ? rc : find_image(out, e);
    if (!rc && c == CLI_VQA) {
        rc = find_questions(out, e);
    } else if (!rc && c == CLI_RETRIEVE) {
        rc = find_texts(out, "texts", e);
    }
    if (rc) {
        cli_json_release_line(out);
    }
    return rc;
}

const char *cli_json_line_text(const struct cli_json_line *l, int i)
{
    const json_t *texts = l->_texts;
    return json_string_value(json_is_array(texts) ? json_array_get(texts, (size_t)i) : texts);
}

void cli_json_release_line(struct cli_json_line *l)
{
    json_decref(l->_root);
    *l = (struct cli_json_line){0};
}

/* ---- lines out ---- */

static void print(FILE *to, json_t *line)
{
    json_dumpf(line, to, JSON_COMPACT | JSON_REAL_PRECISION(7));
    fputc('\n', to);
    json_decref(line);
}

/* File names need not be UTF-8: of such a one only the ASCII characters are shown. */
static json_t *text_of(const char *bytes)
{
    json_t *text = json_string(bytes);
    char *ascii = NULL;
    if (!text && mem_alloc(&ascii, strlen(bytes) + 1) == OK) {
        for (size_t i = 0; bytes[i]; i++) {
            ascii[i] = '?';
            if ((unsigned char)bytes[i] < 0x80) {
                ascii[i] = bytes[i];
            }
        }
        text = json_string(ascii);
        mem_free(ascii);
    }
    return text;
}

static json_t *regions_of(const struct job_result *r, float min_score)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_regions && r->regions[i].score >= min_score; i++) {
        const struct job_region *g = &r->regions[i];
        json_array_append_new(list, json_pack("{s:s, s:f, s:[f, f, f, f]}", "label", g->label, "score", g->score, "box",
                                              g->box[0], g->box[1], g->box[2], g->box[3]));
    }
    return list;
}

static json_t *image_of(const struct job_result *r)
{
    char id[SHA256_HEX];
    sha256_hex(r->id.bytes, id);
    json_t *image = json_pack("{s:s, s:i, s:i}", "id", id, "width", r->width, "height", r->height);
    json_t *warnings = json_array();
    for (int bit = 0; job_warning_text(bit); bit++) {
        if (r->warnings >> bit & 1) {
            json_array_append_new(warnings, json_string(job_warning_text(bit)));
        }
    }
    json_object_set_new(image, "warnings", warnings);
    return image;
}

static void add_caption(json_t *line, const struct job_result *r)
{
    json_t *captions = json_array();
    for (int i = 0; i < r->n_captions; i++) {
        json_array_append_new(captions,
                              json_pack("{s:s, s:f}", "text", r->captions[i].text, "score", r->captions[i].score));
    }
    json_object_set_new(line, "caption", json_string(r->n_captions > 0 ? r->captions[0].text : ""));
    json_object_set_new(line, "score", json_real(r->n_captions > 0 ? r->captions[0].score : 0));
    json_object_set_new(line, "captions", captions);
}

/* Of one question, into `to`. */
static void add_answers(json_t *to, const struct job *job, int text)
{
    const struct job_answer *a = job->result.answers + (size_t)text * (size_t)job->request.top_k;
    json_t *answers = json_array();
    for (int i = 0; i < job->result.n_answers[text]; i++) {
        json_array_append_new(answers, json_pack("{s:s, s:f}", "answer", a[i].answer, "score", a[i].score));
    }
    json_object_set_new(to, "answer", json_string(a[0].answer));
    json_object_set_new(to, "score", json_real(a[0].score));
    json_object_set_new(to, "answers", answers);
}

static void add_vqa(json_t *line, const struct cli_input *in, const struct job *job)
{
    if (in->n_texts == 1) {
        json_object_set_new(line, "question", text_of(in->texts[0]));
        add_answers(line, job, 0);
        return;
    }
    json_t *results = json_array();
    for (int i = 0; i < in->n_texts; i++) {
        json_t *one = json_pack("{s:o}", "question", text_of(in->texts[i]));
        add_answers(one, job, i);
        json_array_append_new(results, one);
    }
    json_object_set_new(line, "results", results);
}

static void add_retrieve(json_t *line, const struct cli_input *in, const struct job *job)
{
    json_t *scores = json_array(), *texts = json_array();
    for (int i = 0; i < in->n_texts; i++) {
        json_array_append_new(scores, json_real(job->result.scores[i]));
        json_array_append_new(texts, text_of(in->texts[i]));
    }
    json_object_set_new(line, "texts", texts);
    json_object_set_new(line, "scores", scores);
}

static json_t *weights_of(const struct job *job)
{
    const struct job_result *r = &job->result;
    int rows = job->request.n_texts > 0 ? job->request.n_texts : 1;
    json_t *all = json_array();
    for (int i = 0; i < rows; i++) {
        json_t *row = json_array();
        for (int k = 0; k < r->n_regions; k++) {
            json_array_append_new(row, json_real(r->region_weights[i * r->n_regions + k]));
        }
        json_array_append_new(all, row);
    }
    return all;
}

static json_t *begin_line(const struct cli_args *a, const struct cli_input *in)
{
    json_t *line = json_object();
    if (in->path) {
        json_object_set_new(line, a->jsonl ? "image" : "file", text_of(in->path));
    }
    return line;
}

void cli_json_print_result(FILE *to, const struct cli_args *a, const char *model, const struct cli_input *in,
                           const struct job *job)
{
    const struct job_result *r = &job->result;
    json_t *line = begin_line(a, in);
    if (a->command == CLI_CAPTION) {
        add_caption(line, r);
    } else if (a->command == CLI_VQA) {
        add_vqa(line, in, job);
    } else if (a->command == CLI_RETRIEVE) {
        add_retrieve(line, in, job);
    }
    if (a->with_regions || a->explain || a->command == CLI_REGIONS) {
        json_object_set_new(line, "regions", regions_of(r, a->min_score));
    }
    if (a->jsonl && a->command == CLI_REGIONS) {
        json_object_set_new(line, "width", json_integer(r->width));
        json_object_set_new(line, "height", json_integer(r->height));
    }
    if (r->region_weights) {
        json_object_set_new(line, "region_weights", weights_of(job));
    }
    if (!a->jsonl) {
        int tokens = r->n_captions > 0 ? r->captions[0].n_tokens : 0;
        json_object_set_new(line, "image", image_of(r));
        json_object_set_new(line, "model", json_string(model));
        json_object_set_new(line, "usage", json_pack("{s:i, s:i}", "regions", r->n_regions, "tokens", tokens));
    }
    print(to, line);
}

void cli_json_print_error(FILE *to, const struct cli_args *a, const struct cli_input *in, enum err rc,
                          const struct errbuf *error, const char *stage)
{
    json_t *line = begin_line(a, in);
    json_t *what = json_pack("{s:s, s:o}", "code", err_slug(rc), "message", text_of(errbuf_text(error, rc)));
    if (stage) {
        json_object_set_new(what, "stage", json_string(stage));
    }
    json_object_set_new(line, "error", what);
    print(to, line);
}

void cli_json_print_ranking(FILE *to, const char *text, const struct cli_args *a, const int *order, const float *scores,
                            int n)
{
    json_t *results = json_array();
    for (int i = 0; i < n; i++) {
        json_array_append_new(results,
                              json_pack("{s:o, s:f}", "file", text_of(a->files[order[i]]), "score", scores[order[i]]));
    }
    print(to, json_pack("{s:o, s:o}", "text", text_of(text), "results", results));
}

void cli_json_print_inspect(FILE *to, const struct engine_info *i, const char *dir)
{
    json_t *line = json_pack(
        "{s:o, s:s, s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:i, s:i, s:i, s:i, s:f}", "directory", text_of(dir), "model",
        i->model_name, "version", i->model_version, "sha256", i->model_sha256, "parameters", (json_int_t)i->parameters,
        "isa", i->isa, "gemm", i->gemm, "features_bytes", (json_int_t)i->features_bytes, "memory_bytes",
        (json_int_t)i->memory_bytes, "engine_threads", i->engine_threads, "max_regions", i->max_regions, "answers",
        i->n_answers, "num_beams", i->num_beams, "length_penalty", (double)i->length_penalty);
    json_object_set_new(line, "max_tokens", json_integer(i->max_tokens));
    json_object_set_new(line, "decoder", json_string(i->decoder));
    json_object_set_new(line, "regions_seen", json_integer(i->regions_seen));
    if (i->cells > 0) {
        json_object_set_new(line, "cells",
                            json_pack("{s:i, s:i, s:i, s:i}", "at_most", i->cells, "channels", i->cell_channels,
                                      "own_blocks", i->own_blocks, "pool", i->pool));
    }
    print(to, line);
}

void cli_json_print_figure(FILE *to, const struct cli_json_figure *f)
{
    print(to, json_pack("{s:s, s:s, s:f, s:f, s:f, s:i}", "name", f->name, "unit", f->unit, "median", f->median, "min",
                        f->least, "max", f->most, "n", f->n));
}

void cli_json_print_profile_row(FILE *to, const struct profile *p, const struct profile_row *r)
{
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "stage", r->stage, "step", r->step,
                  "kernel", r->kernel, "format", r->format, "activation", r->act, "m", (json_int_t)r->m, "n",
                  (json_int_t)r->n, "k", (json_int_t)r->k, "calls", (json_int_t)r->calls, "operations",
                  (json_int_t)r->operations, "bytes", (json_int_t)r->bytes);
    if (r->turn > 0) {
        json_object_set_new(line, "turn", json_integer(r->turn));
    } else {
        json_object_set_new(line, "runs", json_integer(p->n_runs));
        json_object_set_new(line, "ms", json_real(r->ms / p->n_runs));
        json_object_set_new(line, "gflops", json_real(r->ms > 0 ? (double)r->operations / (r->ms * 1e6) : 0.0));
        json_object_set_new(line, "peak_gflops", json_real(p->peak_gflops));
    }
    print(to, line);
}
