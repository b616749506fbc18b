#include "cli/cli_args.h"

#include "cli/cli_options.h"
#include "engine/base/mem.h"
#include "engine/base/version.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <strings.h>

/* ---- values ---- */

static bool parse_int(const char *name, const char *text, int min, int max, int *out)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < min || value > max) {
        fprintf(stderr, "minivlm: --%s is \"%s\"; a number from %d to %d is expected\n", name, text, min, max);
        return false;
    }
    *out = (int)value;
    return true;
}

static bool parse_real(const char *name, const char *text, float *out)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value)) {
        fprintf(stderr, "minivlm: --%s is \"%s\"; a number is expected\n", name, text);
        return false;
    }
    *out = (float)value;
    return true;
}

static bool parse_isa(const struct cli_option *o, const char *text, int *out)
{
    if (engine_find_isa(text, out)) {
        return true;
    }
    fprintf(stderr, "minivlm: --isa is \"%s\"; one of %s is expected\n", text, o->argument);
    return false;
}

static bool parse_precision(const struct cli_option *o, const char *text, int *out)
{
    if (engine_find_precision(text, out)) {
        return true;
    }
    fprintf(stderr, "minivlm: --precision is \"%s\"; one of %s is expected\n", text, o->argument);
    return false;
}

static bool parse_sidecar(const char *text)
{
    if (strcmp(text, "xmp") == 0) {
        return true;
    }
    fprintf(stderr, "minivlm: --sidecar is \"%s\"; xmp is expected\n", text);
    return false;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcasecmp(text + n - m, end) == 0;
}

bool cli_args_wants_csv(const struct cli_args *a)
{
    return ends_with(a->output, ".csv");
}

/* ---- parsing ---- */

#define AT(member)            .at = offsetof(struct cli_args, member)
#define FIND_PLACE(table, id) find_place(table, sizeof(table) / sizeof((table)[0]), id)
struct place {
    int id;
    size_t at;
    int max; /* of numbers, which begin at 1 */
};
static const struct place switches[] = {
    {.id = OPT_JSON, AT(use_json)},           {.id = OPT_OPENBLAS, AT(use_openblas)},
    {.id = OPT_NO_VERIFY, AT(no_verify)},     {.id = OPT_NO_FAST_SCALING, AT(no_fast_scaling)},
    {.id = OPT_NO_PROGRESS, AT(no_progress)}, {.id = OPT_TRUNCATED, AT(tolerate_truncated)},
    {.id = OPT_REGIONS, AT(with_regions)},    {.id = OPT_EXPLAIN, AT(explain)},
    {.id = OPT_PLAN, AT(with_plan)},          {.id = OPT_STAGES, AT(with_stages)},
    {.id = OPT_RESUME, AT(resume)},
};
static const struct place words[] = {
    {.id = OPT_MODEL, AT(model_dir)}, {.id = OPT_JSONL, AT(jsonl)},           {.id = OPT_OUTPUT, AT(output)},
    {.id = OPT_SERVER, AT(server)},   {.id = OPT_COLLECTION, AT(collection)}, {.id = OPT_DRAW, AT(draw)},
};
static const struct place numbers[] = {
    {.id = OPT_AT_ONCE, AT(at_once), .max = CLI_MAX_AT_ONCE},
    {.id = OPT_PARALLEL, AT(parallel), .max = 16},
    {.id = OPT_THREADS, AT(threads), .max = 1024},
    {.id = OPT_SPLIT, AT(split), .max = ENGINE_MAX_SPLIT},
    {.id = OPT_TOP_K, AT(top_k), .max = JOB_MAX_TOP_K},
    {.id = OPT_BEAMS, AT(num_beams), .max = JOB_MAX_CAPTIONS},
    {.id = OPT_CAPTIONS, AT(num_captions), .max = JOB_MAX_CAPTIONS},
    {.id = OPT_TOKENS, AT(max_tokens), .max = JOB_MAX_TOKENS},
    {.id = OPT_ROUNDS, AT(rounds), .max = 100000},
};

static const struct place *find_place(const struct place *table, size_t n, int id)
{
    for (size_t i = 0; i < n; i++) {
        if (table[i].id == id) {
            return &table[i];
        }
    }
    return NULL;
}

static bool set_option(struct cli_args *a, const struct cli_option *o, const char *value)
{
    char *base = (char *)a;
    const struct place *p = FIND_PLACE(switches, o->id);
    if (p) {
        return *(bool *)(base + p->at) = true;
    }
    p = FIND_PLACE(words, o->id);
    if (p) {
        *(const char **)(void *)(base + p->at) = value;
        return true;
    }
    p = FIND_PLACE(numbers, o->id);
    if (p) {
        return parse_int(o->name, value, 1, p->max, (int *)(void *)(base + p->at));
    }
    switch (o->id) {
    case OPT_SIDECAR:
        return a->with_sidecar = parse_sidecar(value);
    case OPT_QUESTION:
    case OPT_TEXT:
        a->texts[a->n_texts++] = value;
        return true;
    case OPT_PENALTY:
        return parse_real(o->name, value, &a->length_penalty);
    case OPT_MIN_SCORE:
        return parse_real(o->name, value, &a->min_score);
    case OPT_ISA:
        return parse_isa(o, value, &a->isa_cap);
    case OPT_PRECISION:
        return parse_precision(o, value, &a->precision);
    default:
        return false;
    }
}

static const struct cli_option *find_option(int id)
{
    for (int i = 0; i < cli_options_n; i++) {
        if ((int)cli_options[i].id == id) {
            return &cli_options[i];
        }
    }
    return NULL;
}

/* What getopt_long stumbled over. */
static void print_wrong_option(const struct cli_args *a, int id, char **argv)
{
    const char *name = cli_options_commands[a->command].name;
    const struct cli_option *known = find_option(optopt);
    fprintf(stderr, "minivlm %s: ", name);
    if (id == ':') {
        fprintf(stderr, "a value is missing after %s", argv[optind - 1]);
    } else if (known) {
        fprintf(stderr, "--%s takes no value", known->name);
    } else if (optopt) {
        fprintf(stderr, "unknown option -%c", optopt);
    } else {
        fprintf(stderr, "unknown or ambiguous option %s", argv[optind - 1]);
    }
    fprintf(stderr, "; see minivlm %s --help\n", name);
}

static enum cli_args_result parse_options(struct cli_args *a, int argc, char **argv)
{
    struct option table[CLI_OPTIONS_MAX + 1] = {{0}};
    int n = 0, id;
    for (int i = 0; i < cli_options_n; i++) {
        if (cli_options_is_of(&cli_options[i], a->command)) {
            table[n++] = (struct option){.name = cli_options[i].name,
                                         .has_arg = cli_options[i].argument ? required_argument : no_argument,
                                         .val = (int)cli_options[i].id};
        }
    }
    optind = 0; /* begin anew, also in a second call */
    opterr = 0;
    while ((id = getopt_long(argc, argv, ":hm:", table, NULL)) != -1) {
        const struct cli_option *o = find_option(id);
        if (id == OPT_HELP) {
            cli_options_print_help(a->command);
            return CLI_ARGS_HELP;
        }
        if (!o) {
            print_wrong_option(a, id, argv);
            return CLI_ARGS_WRONG;
        }
        if (!set_option(a, o, optarg)) {
            return CLI_ARGS_WRONG;
        }
    }
    for (; optind < argc; optind++) {
        if (a->command == CLI_SEARCH) {
            a->texts[a->n_texts++] = argv[optind];
        } else {
            a->files[a->n_files++] = argv[optind];
        }
    }
    return CLI_ARGS_RUN;
}

static const char *find_output_conflict(const struct cli_args *a)
{
    if (a->output && !ends_with(a->output, ".csv") && !ends_with(a->output, ".jsonl")) {
        return "--output must be a file that ends in .jsonl or .csv";
    }
    if (a->resume && (!a->output || a->jsonl)) {
        return a->output ? "--resume works with files and folders, not with --jsonl" : "--resume needs --output";
    }
    if (a->output && a->draw) {
        return "--output and --draw exclude each other";
    }
    if ((a->with_regions || a->explain) && !a->use_json && (!a->output || cli_args_wants_csv(a))) {
        return "--regions and --explain need --json or an --output that ends in .jsonl";
    }
    return NULL;
}

/* What cannot go together; NULL when all is well. */
static const char *find_conflict(const struct cli_args *a)
{
    bool is_for_images = CLI_FOR_IMAGES >> a->command & 1;
    int n_stdin = a->jsonl && strcmp(a->jsonl, "-") == 0;
    for (int i = 0; i < a->n_files; i++) {
        n_stdin += strcmp(a->files[i], "-") == 0;
    }
    if ((CLI_FOR_SERVER >> a->command & 1) && !a->collection) {
        return "--collection is missing";
    }
    if (a->command == CLI_SEARCH) {
        return a->n_texts == 1 ? NULL : "one text is expected; put several words in quotes";
    }
    if (a->command == CLI_INSPECT) {
        return a->n_files > 0 ? "no image is expected" : NULL;
    }
    if (a->jsonl && (a->n_files > 0 || a->n_texts > 0)) {
        return "with --jsonl, images and texts belong in its lines";
    }
    if (!a->jsonl && a->n_files == 0) {
        return "an image is missing";
    }
    if (a->with_sidecar && n_stdin > 0 && !a->jsonl) {
        return "--sidecar needs files; an image from standard input has no path";
    }
    if (n_stdin > 1) {
        return "standard input can be read only once";
    }
    if (is_for_images && !a->jsonl && a->n_texts == 0 && (a->command == CLI_VQA || a->command == CLI_RETRIEVE)) {
        return a->command == CLI_VQA ? "--question is missing" : "--text is missing";
    }
    if (a->num_beams && a->num_captions > a->num_beams) {
        return "--num-captions is more than --num-beams";
    }
    if (a->draw && a->n_files != 1) {
        return "--draw takes one image";
    }
    return find_output_conflict(a);
}

static bool find_command(const char *name, enum cli_command *out)
{
    for (int c = 0; c < CLI_COMMAND_COUNT; c++) {
        if (strcmp(cli_options_commands[c].name, name) == 0) {
            *out = (enum cli_command)c;
            return true;
        }
    }
    return false;
}

enum cli_args_result cli_args_parse(struct cli_args *a, int argc, char **argv)
{
    *a = (struct cli_args){.isa_cap = ENGINE_ISA_AUTO,
                           .top_k = 5,
                           .length_penalty = NAN,
                           .min_score = -1,
                           .rounds = 5,
                           .at_once = 16,
                           .parallel = 4};
    if (argc < 2) {
        cli_options_print_commands(stderr);
        return CLI_ARGS_WRONG;
    }
    bool is_help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0;
    if (is_help && argc < 3) {
        cli_options_print_commands(stdout);
        return CLI_ARGS_HELP;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("minivlm %s\n", VERSION_TEXT);
        return CLI_ARGS_HELP;
    }
    const char *completion = "--print-completion=";
    bool is_completion = strncmp(argv[1], completion, strlen(completion)) == 0;
    if (is_completion || strcmp(argv[1], "--print-man") == 0) {
        return cli_options_print_usage(is_completion ? argv[1] + strlen(completion) : NULL) ? CLI_ARGS_HELP
                                                                                            : CLI_ARGS_WRONG;
    }
    const char *name = argv[is_help ? 2 : 1];
    if (!find_command(name, &a->command)) {
        fprintf(stderr,
                name[0] == '-' ? "minivlm: %s must follow the command; see minivlm --help\n"
                               : "minivlm: unknown command \"%s\"; minivlm --help lists them\n",
                name);
        return CLI_ARGS_WRONG;
    }
    if (is_help) {
        cli_options_print_help(a->command);
        return CLI_ARGS_HELP;
    }
    if (mem_array(&a->files, (size_t)argc, sizeof(*a->files)) ||
        mem_array(&a->texts, (size_t)argc, sizeof(*a->texts))) {
        fprintf(stderr, "minivlm: out of memory\n");
        return CLI_ARGS_WRONG;
    }
    enum cli_args_result rc = parse_options(a, argc - 1, argv + 1);
    const char *conflict = rc == CLI_ARGS_RUN ? find_conflict(a) : NULL;
    if (conflict) {
        fprintf(stderr, "minivlm %s: %s; see minivlm %s --help\n", name, conflict, name);
        return CLI_ARGS_WRONG;
    }
    return rc;
}

void cli_args_release(struct cli_args *a)
{
    for (size_t i = 0; i < a->n_own_files; i++) {
        mem_free(a->own_files[i]);
    }
    mem_free(a->own_files);
    mem_free(a->key_at);
    mem_free(a->files);
    mem_free(a->texts);
    *a = (struct cli_args){0};
}
