#include "cli/cli.h"

#include "cli/cli_args.h"
#include "cli/cli_batch.h"
#include "cli/cli_bench.h"
#include "cli/cli_collection.h"
#include "cli/cli_folder.h"
#include "cli/cli_json.h"
#include "cli/cli_profile.h"
#include "cli/cli_text.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

/* Lines of a batch may ask a lot about one image. */
enum { MAX_TEXTS = 4096, STDOUT_BYTES = 1 << 16 };

/* ---- the model directory ---- */

static bool is_model(const char *dir)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/config.json", dir);
    return n > 0 && (size_t)n < sizeof(path) && access(path, R_OK) == 0;
}

/* Beside the program: .../bin/minivlm and .../share/minivlm/models/minivlm-base. */
static bool find_installed(char *dir, size_t size)
{
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (n <= 0) {
        return false;
    }
    program[n] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(program, '/');
        if (!slash) {
            return false;
        }
        *slash = '\0';
    }
    int length = snprintf(dir, size, "%s/share/minivlm/models/minivlm-base", program);
    return length > 0 && (size_t)length < size && is_model(dir);
}

static const char *find_model(const struct cli_args *a, char *room, size_t size)
{
    const char *from_environment = getenv("MINIVLM_MODEL");
    if (a->model_dir) {
        return a->model_dir;
    }
    if (from_environment && from_environment[0]) {
        return from_environment;
    }
    if (!is_model("models/minivlm-base") && find_installed(room, size)) {
        return room;
    }
    return "models/minivlm-base";
}

/* ---- commands ---- */

static void inspect(struct engine *e, const struct cli_args *a, const char *dir)
{
    struct engine_info info;
    engine_info(e, &info);
    if (a->use_json) {
        cli_json_print_inspect(stdout, &info, dir);
    } else {
        cli_text_print_inspect(stdout, &info, dir);
    }
}

static int run_command(const struct cli_args *a)
{
    char room[PATH_MAX];
    struct engine *e = NULL;
    struct engine_options o;
    struct errbuf why;
    engine_default_options(&o);
    o.model_dir = find_model(a, room, sizeof(room));
    if (!is_model(o.model_dir)) {
        fprintf(stderr,
                "minivlm: no model in %s: its config.json cannot be read; --model DIR or MINIVLM_MODEL names one\n",
                o.model_dir);
        return CLI_FAILED;
    }
    o.isa_cap = a->isa_cap;
    o.precision = a->precision;
    o.use_openblas = a->use_openblas;
    o.verify_hash = !a->no_verify;
    o.fast_scaling = !a->no_fast_scaling;
    o.engine_threads = a->threads ? a->threads : o.engine_threads;
    o.split_threads = a->split ? a->split : o.split_threads;
    o.max_texts = a->n_texts > MAX_TEXTS ? a->n_texts : MAX_TEXTS;
    if (a->command == CLI_BENCH) {
        return cli_bench_run(&o, a);
    }
    if (a->with_plan) {
        return cli_profile_run(&o, a, NULL, 0);
    }
    enum err rc = engine_open(&e, &o, &why);
    if (rc) {
        fprintf(stderr, "minivlm: %s\n", errbuf_text(&why, rc));
        return CLI_FAILED;
    }
    int code = CLI_OK;
    if (a->command == CLI_INSPECT) {
        inspect(e, a, o.model_dir);
    } else {
        code = cli_batch_run(e, a);
    }
    engine_drain(e, UINT64_MAX);
    engine_close(e);
    return code;
}

static int open_folders_and_run(struct cli_args *a)
{
    if (a->command == CLI_SEARCH) {
        return cli_collection_search(a);
    }
    struct errbuf why;
    enum err rc = cli_folder_expand(a, &why);
    if (rc) {
        fprintf(stderr, "minivlm: %s\n", errbuf_text(&why, rc));
        return CLI_FAILED;
    }
    return a->command == CLI_IMPORT ? cli_collection_import(a) : run_command(a);
}

int cli_run(int argc, char **argv)
{
    struct cli_args a;
    int code = CLI_USAGE;
    setvbuf(stdout, NULL, _IOLBF, STDOUT_BYTES); /* whole lines also when a signal ends the program */
    switch (cli_args_parse(&a, argc, argv)) {
    case CLI_ARGS_RUN:
        code = open_folders_and_run(&a);
        break;
    case CLI_ARGS_HELP:
        code = CLI_OK;
        break;
    case CLI_ARGS_WRONG:
        break;
    }
    cli_args_release(&a);
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "minivlm: standard output: %s\n", errno ? strerror(errno) : "cannot be written");
        code = CLI_FAILED;
    }
    return code;
}
