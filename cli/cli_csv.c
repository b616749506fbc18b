#include "cli/cli_csv.h"

const char *cli_csv_header(enum cli_command c)
{
    switch (c) {
    case CLI_VQA:
        return "file,question,answer,score,error";
    case CLI_RETRIEVE:
        return "file,text,score,error";
    case CLI_REGIONS:
        return "file,label,score,x0,y0,x1,y1,error";
    default:
        return "file,caption,score,error";
    }
}

/* ---- writing ---- */

/* prefix: has nothing that needs quotation marks. */
static void field(struct buf *to, const char *prefix, const char *text)
{
    bool is_quoted = text[strcspn(text, ",\"\r\n")];
    buf_text(to, is_quoted ? "\"" : "");
    buf_text(to, prefix);
    for (const char *c = text; *c; c++) {
        buf_append(to, c, 1);
        if (*c == '"') {
            buf_text(to, "\"");
        }
    }
    buf_text(to, is_quoted ? "\"" : "");
}

static bool may_be_formula(const char *text)
{
    return text[0] && strchr("=+-@\t\r", text[0]);
}

/* Spreadsheets run what looks like a formula: an apostrophe before it makes it a text. -5 is a number, and may stay. */
static void text_field(struct buf *to, const char *text)
{
    char *end;
    (void)strtod(text, &end);
    field(to, may_be_formula(text) && (end == text || *end) ? "'" : "", text);
}

const char *cli_csv_name_prefix(const char *file)
{
    return may_be_formula(file) ? "./" : "";
}

static void begin(struct buf *to, const struct cli_input *in)
{
    const char *file = in->path ? in->path : "";
    field(to, cli_csv_name_prefix(file), file);
    buf_text(to, ",");
}

/* A text, its score, and the empty error. */
static void row(struct buf *to, const struct cli_input *in, const char *text, float score)
{
    begin(to, in);
    text_field(to, text);
    buf_printf(to, ",%.6g,\n", (double)score);
}

static void regions(struct buf *to, const struct cli_args *a, const struct cli_input *in, const struct job_result *r)
{
    int n = 0;
    for (; n < r->n_regions && r->regions[n].score >= a->min_score; n++) {
        const struct job_region *g = &r->regions[n];
        begin(to, in);
        text_field(to, g->label);
        buf_printf(to, ",%.6g,%.1f,%.1f,%.1f,%.1f,\n", (double)g->score, (double)g->box[0], (double)g->box[1],
                   (double)g->box[2], (double)g->box[3]);
    }
    if (n == 0) {
        begin(to, in);
        buf_text(to, ",,,,,,\n");
    }
}

void cli_csv_result(struct buf *to, const struct cli_args *a, const struct cli_input *in, const struct job *job)
{
    const struct job_result *r = &job->result;
    switch (a->command) {
    case CLI_VQA:
        for (int i = 0; i < in->n_texts; i++) {
            const struct job_answer *best = &r->answers[(size_t)i * (size_t)job->request.top_k];
            begin(to, in);
            text_field(to, in->texts[i]);
            buf_text(to, ",");
            text_field(to, best->answer);
            buf_printf(to, ",%.6g,\n", (double)best->score);
        }
        break;
    case CLI_RETRIEVE:
        for (int i = 0; i < in->n_texts; i++) {
            row(to, in, in->texts[i], r->scores[i]);
        }
        break;
    case CLI_REGIONS:
        regions(to, a, in, r);
        break;
    default:
        for (int i = 0; i < r->n_captions; i++) {
            row(to, in, r->captions[i].text, r->captions[i].score);
        }
    }
}

void cli_csv_error(struct buf *to, enum cli_command c, const struct cli_input *in, enum err rc,
                   const struct errbuf *error)
{
    begin(to, in);
    for (const char *h = strchr(cli_csv_header(c), ',') + 1; (h = strchr(h, ',')); h++) {
        buf_text(to, ",");
    }
    field(to, "", errbuf_text(error, rc));
    buf_text(to, "\n");
}

/* ---- reading ---- */

/* Up to the comma or the end of the row, which stays; NULL: the text ends first. */
static const char *read_field(const char *at, const char *end, struct buf *to)
{
    bool is_quoted = false;
    buf_reset(to);
    for (; at < end && (is_quoted || (*at != ',' && *at != '\n')); at++) {
        if (*at != '"') {
            buf_append(to, at, 1);
        } else if (is_quoted && at + 1 < end && at[1] == '"') {
            buf_append(to, at++, 1);
        } else {
            is_quoted = !is_quoted;
        }
    }
    return at < end ? at : NULL;
}

bool cli_csv_read(const char **text, const char *end, struct buf *first, struct buf *last)
{
    const char *at = read_field(*text, end, first);
    buf_reset(last);
    while (at && *at == ',') {
        at = read_field(at + 1, end, last);
    }
    if (!at) {
        return false;
    }
    *text = at + 1;
    return true;
}
