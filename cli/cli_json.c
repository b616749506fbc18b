#include "cli/cli_json.h"

#include "engine/answer/answer.h"
#include "engine/answer/answer_dump.h"
#include "engine/base/base64.h"
#include "engine/base/mem.h"
#include "engine/base/utf8.h"

enum { LINE_MAX_BYTES = 1 << 30 };

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
    l->has_text_list = json_is_array(texts);
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
    return strcmp(l->image, "-") == 0
               ? err_set(e, ERR_BAD_REQUEST, "\"image\" must be the path of a file here, not standard input")
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

/* `to` is empty. */
static void write_line(struct buf *to, json_t *line)
{
    answer_dump(line, to);
    json_decref(line);
    if (!line || to->err) {
        buf_reset(to);
        buf_text(to, "{\"error\":{\"code\":\"internal\",\"message\":\"out of memory\"}}");
    }
    buf_text(to, "\n");
}

static void print_buf(FILE *to, struct buf *b)
{
    if (b->n > 0) {
        fwrite(b->bytes, 1, b->n, to);
    }
    buf_release(b);
}

static void print(FILE *to, json_t *line)
{
    struct buf b;
    buf_init(&b, LINE_MAX_BYTES);
    write_line(&b, line);
    print_buf(to, &b);
}

static json_t *text_of(const char *text)
{
    return answer_text(text, strlen(text));
}

/* What was asked, which a client of HTTP knows, and then the answer as it would have been over HTTP. Takes both. */
static json_t *whole_line(json_t *line, json_t *answer, const struct engine_info *info)
{
    if (!answer || json_object_update_new(line, answer) || json_object_set_new(line, "model", answer_model(info))) {
        json_decref(line);
        return NULL;
    }
    return line;
}

/* A name that is no UTF-8 cannot stand in JSON as it is: "file" then has marks for its odd bytes, "file_base64" has
 * them. */
static void add_file(json_t *line, const char *path)
{
    char *encoded = NULL;
    size_t n = strlen(path);
    json_object_set_new(line, "file", text_of(path));
    if (utf8_valid(path, n) < n && !mem_alloc(&encoded, base64_encoded_size(n) + 1)) {
        base64_encode(path, n, encoded);
        json_object_set_new(line, "file_base64", json_string(encoded));
        mem_free(encoded);
    }
}

static json_t *begin_line(const struct cli_input *in)
{
    json_t *line = json_object();
    if (in->path) {
        add_file(line, in->path);
    }
    return line;
}

static json_t *texts_of(const char *const *texts, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_array_append_new(list, text_of(texts[i]));
    }
    return list;
}

/* ---- one picture ---- */

static struct answer_view view_of(const struct cli_args *a, const struct cli_input *in, const struct job *job)
{
    return (struct answer_view){.id = &job->result.id,
                                .texts = in->texts,
                                .text_bytes = in->text_bytes,
                                .n_texts = in->n_texts,
                                .has_text_list = in->has_text_list,
                                .with_regions = a->with_regions || a->explain,
                                .with_weights = a->explain};
}

static json_t *regions(const struct cli_args *a, const struct job_result *r)
{
    return json_pack("{s:o, s:o}", "regions", answer_regions(r, a->min_score), "image", answer_image(&r->id, r));
}

static json_t *retrieved(const struct answer_view *v, const struct job *job)
{
    json_t *image = answer_retrieve_image(v, job);
    json_t *object = image ? answer_retrieve(&image, job->result.scores, 1, v->n_texts, 0) : NULL;
    json_decref(image);
    return object;
}

static void add_warnings(json_t *object, const struct job *job)
{
    json_t *warnings = answer_text_warnings(job);
    answer_add_warnings(object, warnings);
    json_decref(warnings);
}

void cli_json_result(struct buf *to, const struct cli_args *a, const struct engine_info *info,
                     const struct cli_input *in, const struct job *job)
{
    const struct answer_view v = view_of(a, in, job);
    json_t *line = begin_line(in), *answer;
    if (a->command == CLI_CAPTION) {
        answer = answer_caption(&v, job);
    } else if (a->command == CLI_VQA) {
        answer = answer_vqa(&v, job);
    } else if (a->command == CLI_RETRIEVE) {
        json_object_set_new(line, "texts", texts_of(in->texts, in->n_texts));
        answer = retrieved(&v, job);
    } else {
        answer = regions(a, &job->result);
    }
    add_warnings(answer, job);
    write_line(to, whole_line(line, answer, info));
}

void cli_json_print_result(FILE *to, const struct cli_args *a, const struct engine_info *info,
                           const struct cli_input *in, const struct job *job)
{
    struct buf b;
    buf_init(&b, LINE_MAX_BYTES);
    cli_json_result(&b, a, info, in, job);
    print_buf(to, &b);
}

bool cli_json_print_text_warnings(FILE *to, const struct job *job)
{
    json_t *warnings = answer_text_warnings(job), *warning;
    size_t i;
    json_array_foreach(warnings, i, warning)
    {
        fprintf(to, "minivlm: %s\n", json_string_value(warning));
    }
    json_decref(warnings);
    return i > 0;
}

static json_t *error_of(enum err rc, const struct errbuf *error, const char *stage)
{
    json_t *what = json_pack("{s:s, s:o}", "code", err_slug(rc), "message", text_of(errbuf_text(error, rc)));
    if (what && stage) {
        json_object_set_new(what, "stage", json_string(stage));
    }
    return what;
}

void cli_json_error(struct buf *to, const struct cli_input *in, enum err rc, const struct errbuf *error,
                    const char *stage)
{
    json_t *line = begin_line(in);
    json_object_set_new(line, "error", error_of(rc, error, stage));
    write_line(to, line);
}

void cli_json_print_error(FILE *to, const struct cli_input *in, enum err rc, const struct errbuf *error,
                          const char *stage)
{
    struct buf b;
    buf_init(&b, LINE_MAX_BYTES);
    cli_json_error(&b, in, rc, error, stage);
    print_buf(to, &b);
}

/* ---- lines of an earlier run ---- */

static bool answers_command(const json_t *line, enum cli_command c)
{
    bool has_caption = json_object_get(line, "caption"), has_scores = json_object_get(line, "scores");
    bool has_answer = json_object_get(line, "answer") || json_object_get(line, "results");
    switch (c) {
    case CLI_CAPTION:
        return has_caption;
    case CLI_VQA:
        return has_answer && !has_scores;
    case CLI_RETRIEVE:
        return has_scores;
    default:
        return json_object_get(line, "regions") && !has_caption && !has_answer && !has_scores;
    }
}

static bool decode_name(const char *encoded, struct buf *to)
{
    struct errbuf ignored;
    uint8_t *bytes = NULL;
    size_t n = strlen(encoded), n_bytes = 0;
    bool is_good = !mem_alloc(&bytes, n + 1) && !base64_decode(encoded, n, bytes, &n_bytes, &ignored);
    if (is_good) {
        buf_append(to, bytes, n_bytes);
    }
    mem_free(bytes);
    return is_good;
}

enum cli_json_seen cli_json_read_result(const char *line, size_t n, enum cli_command c, struct buf *file)
{
    json_t *root = json_loadb(line, n, 0, NULL);
    const char *name = json_string_value(json_object_get(root, "file"));
    const char *encoded = json_string_value(json_object_get(root, "file_base64"));
    enum cli_json_seen seen = CLI_JSON_FOREIGN;
    buf_reset(file);
    if (name && json_object_get(root, "error")) {
        seen = CLI_JSON_FAILED;
    } else if (name && answers_command(root, c) && (!encoded || decode_name(encoded, file))) {
        buf_text(file, encoded ? "" : name);
        seen = CLI_JSON_DONE;
    }
    json_decref(root);
    return seen;
}

/* ---- several pictures beside sentences ---- */

struct cli_json_images {
    json_t **images; /* [n] */
    int n;
    json_t *warnings; /* of the texts, the same for all images; NULL: none */
};

enum err cli_json_images_create(struct cli_json_images **out, int n)
{
    enum err rc = mem_alloc(out, sizeof(**out));
    rc = rc ? rc : mem_array(&(*out)->images, (size_t)n, sizeof(*(*out)->images));
    if (rc) {
        cli_json_images_destroy(*out);
        *out = NULL;
    } else {
        (*out)->n = n;
    }
    return rc;
}

void cli_json_images_destroy(struct cli_json_images *s)
{
    for (int i = 0; s && i < s->n; i++) {
        json_decref(s->images[i]);
    }
    if (s) {
        json_decref(s->warnings);
        mem_free(s->images);
    }
    mem_free(s);
}

void cli_json_images_add(struct cli_json_images *s, int i, const struct cli_args *a, const struct cli_input *in,
                         const struct job *job)
{
    const struct answer_view v = view_of(a, in, job);
    s->images[i] = answer_retrieve_image(&v, job);
    if (!s->warnings) {
        s->warnings = answer_text_warnings(job);
    }
}

void cli_json_images_add_error(struct cli_json_images *s, int i, enum err rc, const struct errbuf *error,
                               const char *stage)
{
    s->images[i] = json_pack("{s:o}", "error", error_of(rc, error, stage));
}

void cli_json_images_print(FILE *to, const struct cli_json_images *s, const struct cli_args *a,
                           const struct engine_info *info, const float *scores)
{
    json_t *line =
        json_pack("{s:o, s:o}", "files", texts_of(a->files, a->n_files), "texts", texts_of(a->texts, a->n_texts));
    json_t *answer = answer_retrieve(s->images, scores, s->n, a->n_texts, 0);
    answer_add_warnings(answer, s->warnings);
    print(to, whole_line(line, answer, info));
}

/* ---- the model and figures ---- */

void cli_json_print_inspect(FILE *to, const struct engine_info *i, const char *dir)
{
    json_t *line = json_pack(
        "{s:o, s:s, s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:i, s:i, s:i, s:i, s:f}", "directory", text_of(dir), "model",
        i->model_name, "version", i->model_version, "sha256", i->model_sha256, "parameters", (json_int_t)i->parameters,
        "isa", i->isa, "gemm", i->gemm, "features_bytes", (json_int_t)i->features_bytes, "memory_bytes",
        (json_int_t)i->memory_bytes, "engine_threads", i->engine_threads, "max_regions", i->max_regions, "answers",
        i->n_answers, "num_beams", i->num_beams, "length_penalty", (double)i->length_penalty);
    json_object_set_new(line, "max_tokens", json_integer(i->max_tokens));
    json_object_set_new(line, "split_threads", json_integer(i->split_threads));
    json_object_set_new(line, "precision", json_string(i->precision));
    json_object_set_new(line, "decoder", json_string(i->decoder));
    json_object_set_new(line, "regions_seen", json_integer(i->regions_seen));
    if (i->cells > 0) {
        json_object_set_new(line, "cells",
                            json_pack("{s:i, s:i, s:i, s:i}", "max", i->cells, "channels", i->cell_channels,
                                      "own_blocks", i->own_blocks, "pool", i->pool));
    }
    print(to, line);
}

void cli_json_print_figure(FILE *to, const struct cli_json_figure *f)
{
    print(to, json_pack("{s:s, s:s, s:f, s:f, s:f, s:i}", "name", f->name, "unit", f->unit, "median", f->median, "min",
                        f->min, "max", f->max, "n", f->n));
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
        json_object_set_new(line, "cuts", json_integer(r->cuts));
    } else {
        json_object_set_new(line, "runs", json_integer(p->n_runs));
        json_object_set_new(line, "ms", json_real(r->ms / p->n_runs));
        json_object_set_new(line, "gflops", json_real(r->ms > 0 ? (double)r->operations / (r->ms * 1e6) : 0.0));
        if (r->peak_ms > 0) {
            json_object_set_new(line, "peak_gflops", json_real((double)r->operations / (r->peak_ms * 1e6)));
            json_object_set_new(line, "share", json_real(profile_share(r)));
        }
    }
    print(to, line);
}
