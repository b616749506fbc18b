#include "cli/cli_input.h"

#include "cli/cli_json.h"
#include "cli/cli_lines.h"
#include "engine/base/buf.h"
#include "engine/base/mem.h"
#include "engine/base/utf8.h"

#include <errno.h>
#include <sys/stat.h>

struct cli_source {
    const struct cli_args *args;
    int next;
    struct cli_lines lines; /* --jsonl */
    bool is_at_end;
};

enum err cli_source_open(struct cli_source **out, const struct cli_args *a, struct errbuf *e)
{
    struct cli_source *s = NULL;
    *out = NULL;
    enum err rc = mem_alloc(&s, sizeof(*s));
    if (rc) {
        return rc;
    }
    s->args = a;
    rc = a->jsonl ? cli_lines_open(&s->lines, a->jsonl, e) : OK;
    if (rc) {
        cli_source_close(s);
        return rc;
    }
    *out = s;
    return OK;
}

void cli_source_close(struct cli_source *s)
{
    if (s && s->args->jsonl) {
        cli_lines_close(&s->lines);
    }
    mem_free(s);
}

bool cli_source_is_ready(const struct cli_source *s)
{
    return !s->args->jsonl || cli_lines_is_ready(&s->lines);
}

int cli_source_count(const struct cli_source *s)
{
    return s->args->jsonl ? 0 : s->args->n_files;
}

/* ---- reading ---- */

const char *cli_input_why(const char *path)
{
    return errno == ENOENT && strstr(path, "://") ? "addresses are not fetched; download it and name the file"
                                                  : strerror(errno);
}

enum err cli_input_read(const char *path, uint8_t **bytes, size_t *n, struct errbuf *e)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    char piece[65536], *text;
    struct buf b;
    size_t got;
    if (!file) {
        return err_set(e, ERR_IO, "%s", cli_input_why(path));
    }
    struct stat st;
    buf_init(&b, CLI_INPUT_MAX_BYTES);
    if (fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode)) {
        buf_reserve(&b, (size_t)st.st_size);
    }
    while ((got = fread(piece, 1, sizeof(piece), file)) > 0) {
        buf_append(&b, piece, got);
    }
    enum err rc = ferror(file) ? err_set(e, ERR_IO, "%s", strerror(errno)) : OK;
    if (!is_stdin) {
        fclose(file);
    }
    if (!rc && b.n == 0 && !b.err) {
        rc = err_set(e, ERR_UNSUPPORTED_IMAGE, "the file is empty");
    }
    if (rc) {
        buf_release(&b);
        return rc;
    }
    rc = buf_take(&b, &text, n);
    *bytes = (uint8_t *)text;
    return rc == ERR_TEXT_TOO_LONG
               ? err_set(e, ERR_IMAGE_TOO_LARGE, "the file is larger than %d MB", CLI_INPUT_MAX_BYTES >> 20)
               : rc;
}

static enum err copy_text(char **out, const char *text)
{
    size_t n = strlen(text) + 1;
    enum err rc = mem_alloc(out, n);
    if (!rc) {
        memcpy(*out, text, n);
    }
    return rc;
}

static enum err measure_texts(struct cli_input *in)
{
    enum err rc = mem_array(&in->text_bytes, (size_t)in->n_texts, sizeof(*in->text_bytes));
    for (int i = 0; !rc && i < in->n_texts; i++) {
        in->text_bytes[i] = strlen(in->texts[i]);
    }
    return rc;
}

static enum err fill_from_file(struct cli_input *in, const struct cli_args *a, const char *path)
{
    in->texts = a->texts;
    in->n_texts = a->n_texts;
    enum err rc = copy_text(&in->path, path);
    return rc ? rc : measure_texts(in);
}

/* A picture where lines were expected: one sentence says more than a fault for each of its "lines". */
static bool is_text(const char *line, size_t n)
{
    return utf8_valid(line, n) == n && !memchr(line, '\0', n);
}

static enum err fill_from_line(struct cli_input *in, const struct cli_args *a, const char *line, size_t n)
{
    struct cli_json_line parsed;
    enum err rc = cli_json_parse_line(&parsed, a->command, line, n, &in->error);
    if (rc) {
        return rc;
    }
    rc = copy_text(&in->path, parsed.image);
    in->n_texts = rc ? 0 : parsed.n_texts;
    in->has_text_list = parsed.has_text_list;
    rc = rc ? rc : mem_array(&in->own_texts, (size_t)in->n_texts, sizeof(*in->own_texts));
    for (int i = 0; !rc && i < in->n_texts; i++) {
        rc = copy_text(&in->own_texts[i], cli_json_line_text(&parsed, i));
    }
    cli_json_release_line(&parsed);
    in->texts = (const char *const *)in->own_texts;
    return rc ? rc : measure_texts(in);
}

/* Empty lines are passed over; a line that cannot be read is the last. */
static bool next_line(struct cli_source *s, struct cli_input *in)
{
    const char *line;
    size_t n;
    do {
        if (s->is_at_end) {
            return false;
        }
        s->next++;
        s->is_at_end = !cli_lines_next(&s->lines, &line, &n);
    } while (!s->is_at_end && strspn(line, " \t\r") == n);
    if (s->is_at_end) {
        in->err = s->lines.err;
        in->error = s->lines.error;
    } else if (s->next == 1 && !is_text(line, n)) {
        s->is_at_end = true;
        in->err = err_set(&in->error, ERR_BAD_REQUEST,
                          "no text; --jsonl names a file with a JSON object in each line, --json prints JSON");
    } else {
        in->err = fill_from_line(in, s->args, line, n);
    }
    if (in->err && !in->path) {
        struct errbuf what = in->error;
        err_set(&in->error, in->err, "line %d: %.*s", s->next, ERRBUF_MAX - 20, errbuf_text(&what, in->err));
    }
    return !s->is_at_end || in->err;
}

bool cli_source_next(struct cli_source *s, struct cli_input *in)
{
    *in = (struct cli_input){0};
    if (s->args->jsonl) {
        if (!next_line(s, in)) {
            return false;
        }
    } else if (s->next == s->args->n_files) {
        return false;
    } else {
        in->err = fill_from_file(in, s->args, s->args->files[s->next++]);
    }
    if (!in->err) {
        in->err = cli_input_read(in->path, &in->bytes, &in->n_bytes, &in->error);
    }
    return true;
}

void cli_input_release(struct cli_input *in)
{
    for (int i = 0; in->own_texts && i < in->n_texts; i++) {
        mem_free(in->own_texts[i]);
    }
    mem_free(in->own_texts);
    mem_free(in->text_bytes);
    mem_free(in->path);
    mem_free(in->bytes);
    *in = (struct cli_input){0};
}
