/* Files of results: never overwritten, complete rows only, and what a second run keeps of the first. */
#include "cli/cli_output.h"

#include "tests/support/check.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/slurp.h"

#include <sys/stat.h>

static char folder[SCRATCH_FOLDER_MAX];
static struct engine_info info;
static struct cli_args args;

static void put(const char *name, const char *text)
{
    FILE *file = fopen(name, "wb");
    CHECK(fwrite(text, 1, strlen(text), file) == strlen(text));
    fclose(file);
}

static void check_file(const char *name, const char *expected)
{
    size_t n;
    char *text = slurp(name, &n);
    CHECK_STR(text, expected);
    free(text);
}

static enum err open_it(struct cli_output **out, const char *name, bool resume, struct errbuf *e)
{
    args = (struct cli_args){.command = CLI_CAPTION, .output = name, .resume = resume};
    errbuf_clear(e);
    enum err rc = cli_output_open(out, &args, &info, e);
    CHECK(!rc == (*out != NULL) && (!rc || e->text[0]));
    return rc;
}

static void add(struct cli_output *o, const char *name, const char *caption)
{
    char path[32];
    struct job_caption c = {.score = -1};
    struct job job = {.result = {.captions = &c, .n_captions = 1}};
    struct cli_input in = {.path = path};
    snprintf(path, sizeof(path), "%s", name);
    snprintf(c.text, sizeof(c.text), "%s", caption);
    cli_output_result(o, &in, &job);
}

static void add_error(struct cli_output *o, const char *name)
{
    char path[32];
    struct errbuf e = {"broken"};
    struct cli_input in = {.path = path};
    snprintf(path, sizeof(path), "%s", name);
    cli_output_error(o, &in, ERR_CORRUPT_IMAGE, &e, "decode");
}

static void test_fresh(void)
{
    struct cli_output *o;
    struct errbuf e;
    CHECK_INT(open_it(&o, "a.csv", false, &e), OK);
    CHECK(!cli_output_has(o, "x.jpg"));
    add(o, "x.jpg", "a dog");
    add_error(o, "y.jpg");
    check_file("a.csv", "file,caption,score,error\nx.jpg,a dog,-1,\ny.jpg,,,broken\n"); /* at once, not at the end */
    CHECK(!cli_output_has_failed(o));
    CHECK_INT(cli_output_close(o, &e), OK);
    CHECK_INT(open_it(&o, "a.csv", false, &e), ERR_IO); /* never overwritten */
    CHECK(strstr(e.text, "--resume") != NULL);
    CHECK_INT(open_it(&o, "none/a.csv", false, &e), ERR_IO);
    CHECK_INT(cli_output_close(NULL, &e), OK);
}

/* What succeeded stays, what failed or was cut off goes, links and permissions are as before. */
static void test_resume_csv(void)
{
    struct cli_output *o;
    struct errbuf e;
    struct stat st;
    put("b.csv",
        "file,caption,score,error\nx.jpg,a dog,-1,\ny.jpg,,,broken\n\"./-z,1.jpg\",\"two\nlines\",-2,\ncut.jpg,a c");
    CHECK_INT(chmod("b.csv", 0640), 0);
    CHECK_INT(symlink("b.csv", "link.csv"), 0);
    CHECK_INT(open_it(&o, "link.csv", true, &e), OK);
    CHECK(cli_output_has(o, "x.jpg") && cli_output_has(o, "-z,1.jpg"));
    CHECK(!cli_output_has(o, "y.jpg") && !cli_output_has(o, "cut.jpg") && !cli_output_has(o, ""));
    add(o, "y.jpg", "a cat");
    CHECK_INT(cli_output_close(o, &e), OK);
    check_file("b.csv",
               "file,caption,score,error\nx.jpg,a dog,-1,\n\"./-z,1.jpg\",\"two\nlines\",-2,\ny.jpg,a cat,-1,\n");
    CHECK(lstat("link.csv", &st) == 0 && S_ISLNK(st.st_mode));
    CHECK(stat("b.csv", &st) == 0 && (st.st_mode & 07777) == 0640);
}

static void test_resume_jsonl(void)
{
    struct cli_output *o;
    struct errbuf e;
    put("c.jsonl", "{\"file\":\"x.jpg\",\"caption\":\"a dog\",\"captions\":[]}\n"
                   "{\"file\":\"y.jpg\",\"error\":{\"code\":\"io_error\",\"message\":\"gone\"}}\n"
                   "{\"file\":\"z.jpg\",\"capt");
    CHECK_INT(open_it(&o, "c.jsonl", true, &e), OK);
    CHECK(cli_output_has(o, "x.jpg") && !cli_output_has(o, "y.jpg") && !cli_output_has(o, "z.jpg"));
    CHECK_INT(cli_output_close(o, &e), OK);
    check_file("c.jsonl", "{\"file\":\"x.jpg\",\"caption\":\"a dog\",\"captions\":[]}\n");
}

/* Another command's file, or none of ours: it stays as it is, byte for byte. */
static void test_foreign(void)
{
    static const char *const files[][2] = {{"d.csv", "file,question,answer,score,error\nx.jpg,who?,cat,1,\n"},
                                           {"d.jsonl", "{\"file\":\"x.jpg\",\"answer\":\"cat\"}\n"},
                                           {"e.jsonl", "a shopping list\n"}};
    struct cli_output *o;
    struct errbuf e;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        put(files[i][0], files[i][1]);
        CHECK_INT(open_it(&o, files[i][0], true, &e), ERR_BAD_REQUEST);
        CHECK(strstr(e.text, "name another --output") != NULL);
        check_file(files[i][0], files[i][1]);
    }
    CHECK_INT(mkfifo("pipe.csv", 0600), 0);
    CHECK_INT(open_it(&o, "pipe.csv", true, &e), ERR_IO);
    CHECK(strstr(e.text, "not a regular file") != NULL);
}

/* The table of names grows: 3,000 of them, each found, none invented. */
static void test_many(void)
{
    struct cli_output *o;
    struct errbuf e;
    char name[32];
    FILE *file = fopen("f.csv", "wb");
    fputs("file,caption,score,error\n", file);
    for (int i = 0; i < 3000; i++) {
        fprintf(file, "%d.jpg,a dog,-1,\n", 2 * i);
    }
    fclose(file);
    CHECK_INT(open_it(&o, "f.csv", true, &e), OK);
    for (int i = 0; i < 6000; i++) {
        snprintf(name, sizeof(name), "%d.jpg", i);
        CHECK_INT(cli_output_has(o, name), i % 2 == 0);
    }
    CHECK_INT(cli_output_close(o, &e), OK);
}

static void test_full_disc(void)
{
    struct cli_output *o;
    struct errbuf e;
    if (symlink("/dev/full", "full.csv") == 0 && access("/dev/full", W_OK) == 0) {
        CHECK_INT(open_it(&o, "full.csv", false, &e), ERR_IO); /* it exists: no fresh file */
        CHECK_INT(open_it(&o, "full.csv", true, &e), ERR_IO);
    }
}

int main(void)
{
    scratch_folder(folder, "output");
    CHECK_INT(chdir(folder), 0);
    test_fresh();
    test_resume_csv();
    test_resume_jsonl();
    test_foreign();
    test_many();
    test_full_disc();
    static const char *const made[] = {"a.csv",   "b.csv",   "link.csv", "c.jsonl", "d.csv",
                                       "d.jsonl", "e.jsonl", "pipe.csv", "f.csv",   "full.csv"};
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        CHECK_INT(unlink(made[i]), 0);
    }
    CHECK_INT(rmdir(folder), 0); /* and no half-written file beside them */
    return check_result();
}
