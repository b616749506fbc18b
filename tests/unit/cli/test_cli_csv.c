/* Rows of results as CSV: what is quoted, what a spreadsheet must not run, and reading them back. */
#include "cli/cli_csv.h"

#include "tests/support/check.h"

static struct buf out;

static const char *text(void)
{
    CHECK_INT(out.err, OK);
    return out.bytes ? out.bytes : "";
}

static char photo[] = "a.jpg";

/* ---- writing ---- */

static void test_captions(void)
{
    static const struct {
        const char *caption, *written;
    } rows[] = {{"a dog", "a dog"},      {"a \"big\" dog, black", "\"a \"\"big\"\" dog, black\""},
                {"a\nb", "\"a\nb\""},    {"=1+1", "'=1+1"},
                {"@cmd", "'@cmd"},       {"-5", "-5"}, /* a number may stay */
                {"-5 dogs", "'-5 dogs"}, {"", ""}};
    struct cli_args a = {.command = CLI_CAPTION};
    struct cli_input in = {.path = photo};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct job_caption caption = {.score = -0.5F};
        struct job job = {.result = {.captions = &caption, .n_captions = 1}};
        char expected[128];
        snprintf(caption.text, sizeof(caption.text), "%s", rows[i].caption);
        snprintf(expected, sizeof(expected), "a.jpg,%s,-0.5,\n", rows[i].written);
        buf_reset(&out);
        cli_csv_result(&out, &a, &in, &job);
        CHECK_STR(text(), expected);
    }
}

static void test_names(void)
{
    static const char *const names[][2] = {
        {"-x.jpg", "./-x.jpg"}, {"=a,b.jpg", "\"./=a,b.jpg\""}, {"a b.jpg", "a b.jpg"}};
    struct errbuf e = {"it, too"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[32], expected[64];
        snprintf(path, sizeof(path), "%s", names[i][0]);
        snprintf(expected, sizeof(expected), "%s,,,\"it, too\"\n", names[i][1]);
        struct cli_input in = {.path = path};
        buf_reset(&out);
        cli_csv_error(&out, CLI_CAPTION, &in, ERR_IO, &e);
        CHECK_STR(text(), expected);
    }
}

static void test_answers_and_matches(void)
{
    static const char *const texts[] = {"who?", "=what?"};
    struct job_answer answers[] = {{"cat", 0.5F}, {"dog", 0.25F}, {"tree, old", 0.75F}, {"none", 0.1F}};
    float scores[] = {0.125F, 1};
    struct cli_args vqa = {.command = CLI_VQA}, retrieve = {.command = CLI_RETRIEVE};
    struct cli_input in = {.path = photo, .texts = texts, .n_texts = 2};
    struct job job = {.request = {.top_k = 2}, .result = {.answers = answers, .scores = scores}};
    buf_reset(&out);
    cli_csv_result(&out, &vqa, &in, &job);
    CHECK_STR(text(), "a.jpg,who?,cat,0.5,\na.jpg,'=what?,\"tree, old\",0.75,\n");
    buf_reset(&out);
    cli_csv_result(&out, &retrieve, &in, &job);
    CHECK_STR(text(), "a.jpg,who?,0.125,\na.jpg,'=what?,1,\n");
}

static void test_regions(void)
{
    struct job_region regions[] = {{"cat", 0.9F, {1, 2, 3.25F, 4}}, {"dog", 0.2F, {0, 0, 1, 1}}};
    struct cli_args a = {.command = CLI_REGIONS, .min_score = 0.5F};
    struct cli_input in = {.path = photo};
    struct job job = {.result = {.regions = regions, .n_regions = 2}};
    buf_reset(&out);
    cli_csv_result(&out, &a, &in, &job);
    CHECK_STR(text(), "a.jpg,cat,0.9,1.0,2.0,3.2,4.0,\n");
    a.min_score = 0.95F; /* none is left: a row all the same, so that the picture counts as done */
    buf_reset(&out);
    cli_csv_result(&out, &a, &in, &job);
    CHECK_STR(text(), "a.jpg,,,,,,,\n");
}

/* ---- all rows have the columns of their header ---- */

static int count(const char *s, char c)
{
    int n = 0;
    for (; *s && *s != '\n'; s++) {
        n += *s == c;
    }
    return n;
}

static void test_columns(void)
{
    static const enum cli_command commands[] = {CLI_CAPTION, CLI_VQA, CLI_RETRIEVE, CLI_REGIONS};
    struct errbuf e = {"why"};
    struct cli_input in = {.path = photo};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        buf_reset(&out);
        cli_csv_error(&out, commands[i], &in, ERR_IO, &e);
        CHECK_INT(count(text(), ','), count(cli_csv_header(commands[i]), ','));
    }
}

/* ---- reading ---- */

static void test_reading(void)
{
    static const char rows[] = "a.jpg,x,1,\n\"b, \"\"c\"\".jpg\",\"two\nlines\",2,why\n,,\ncut.jpg,x";
    static const char *const files[] = {"a.jpg", "b, \"c\".jpg", ""}, *const errors[] = {"", "why", ""};
    const char *at = rows, *end = rows + strlen(rows);
    struct buf first, last;
    buf_init(&first, 1024);
    buf_init(&last, 1024);
    for (int i = 0; i < 3; i++) {
        CHECK(cli_csv_read(&at, end, &first, &last));
        CHECK_INT(first.n, strlen(files[i]));
        CHECK(first.n == 0 || strcmp(first.bytes, files[i]) == 0);
        CHECK_INT(last.n, strlen(errors[i]));
        CHECK(last.n == 0 || strcmp(last.bytes, errors[i]) == 0);
    }
    CHECK(!cli_csv_read(&at, end, &first, &last)); /* no end of line: it may be half a row */
    CHECK(strncmp(at, "cut.jpg", 7) == 0);
    at = "\"never closed,1\n";
    CHECK(!cli_csv_read(&at, at + strlen(at), &first, &last));
    buf_release(&first);
    buf_release(&last);
}

int main(void)
{
    buf_init(&out, 65536);
    test_captions();
    test_names();
    test_answers_and_matches();
    test_regions();
    test_columns();
    test_reading();
    buf_release(&out);
    return check_result();
}
