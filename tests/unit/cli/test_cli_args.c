/* The command line: what is taken from it, and which are refused. What is printed is a matter of
 * tests/e2e/test_cli.py. */
#include "cli/cli_args.h"

#include "tests/support/check.h"

#include <math.h>
#include <unistd.h>

enum { MAX_ARGS = 16 };

static enum cli_args_result parse(struct cli_args *a, const char *const *words)
{
    static char room[MAX_ARGS][64]; /* getopt may move them */
    char *argv[MAX_ARGS + 1] = {NULL};
    int argc = 0;
    for (; words[argc]; argc++) {
        snprintf(room[argc], sizeof(room[argc]), "%s", words[argc]);
        argv[argc] = room[argc];
    }
    return cli_args_parse(a, argc, argv);
}
#define PARSE(a, ...) parse(a, (const char *[]){"minivlm", __VA_ARGS__, NULL})

static void test_defaults(void)
{
    struct cli_args a;
    CHECK_INT(PARSE(&a, "caption", "a.jpg"), CLI_ARGS_RUN);
    CHECK_INT(a.command, CLI_CAPTION);
    CHECK(a.n_files == 1 && a.n_texts == 0 && !a.use_json && !a.model_dir && a.threads == 0);
    CHECK(a.isa_cap == ENGINE_ISA_AUTO && a.top_k == 5 && isnan(a.length_penalty) && a.min_score < 0);
    cli_args_release(&a);
}

static void test_values(void)
{
    struct cli_args a;
    CHECK_INT(PARSE(&a, "vqa", "--question", "who?", "a.jpg", "--question=where?", "-m", "dir", "--top-k", "3",
                    "--isa=ref", "--json", "--", "--b.jpg"),
              CLI_ARGS_RUN);
    CHECK_INT(a.n_texts, 2);
    CHECK_STR(a.texts[1], "where?");
    CHECK_INT(a.n_files, 2);
    CHECK_STR(a.files[1], "--b.jpg");
    CHECK_STR(a.model_dir, "dir");
    CHECK(a.top_k == 3 && a.isa_cap == 0 && a.use_json);
    cli_args_release(&a);
    CHECK_INT(PARSE(&a, "caption", "--length-penalty=-0.5", "--num-beams=10", "--num-captions=10", "-"), CLI_ARGS_RUN);
    CHECK(a.length_penalty == -0.5F && a.num_beams == 10 && a.num_captions == 10);
    cli_args_release(&a);
}

static void test_refused(void)
{
    struct cli_args a;
    CHECK_INT(PARSE(&a, "draw"), CLI_ARGS_WRONG);
    cli_args_release(&a);
    CHECK_INT(PARSE(&a, "caption"), CLI_ARGS_WRONG);
    cli_args_release(&a);
    CHECK_INT(PARSE(&a, "caption", "--num-beams", "0", "a.jpg"), CLI_ARGS_WRONG);
    cli_args_release(&a);
    CHECK_INT(PARSE(&a, "caption", "--num-beams", "99999999999", "a.jpg"), CLI_ARGS_WRONG);
    cli_args_release(&a);
    CHECK_INT(PARSE(&a, "caption", "--isa", "mmx", "a.jpg"), CLI_ARGS_WRONG);
    cli_args_release(&a);
    CHECK_INT(PARSE(&a, "caption", "--top-k", "3", "a.jpg"), CLI_ARGS_WRONG); /* of another command */
    cli_args_release(&a);
    CHECK_INT(PARSE(&a, "caption", "-", "-"), CLI_ARGS_WRONG);
    cli_args_release(&a);
    CHECK_INT(PARSE(&a, "vqa", "a.jpg"), CLI_ARGS_WRONG);
    cli_args_release(&a);
    CHECK_INT(PARSE(&a, "regions", "--draw", "x", "a.jpg", "b.jpg"), CLI_ARGS_WRONG);
    cli_args_release(&a);
}

int main(void)
{
    close(STDERR_FILENO); /* complaints */
    test_defaults();
    test_values();
    test_refused();
    return check_result();
}
