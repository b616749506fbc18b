#include "cli/cli_args.h"

#include "engine/base/mem.h"
#include "engine/base/version.h"
#include "engine/image/image.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <strings.h>

/* ---- what there is ---- */

enum { FOR_IMAGES = 1 << CLI_CAPTION | 1 << CLI_VQA | 1 << CLI_RETRIEVE | 1 << CLI_REGIONS };
enum { FOR_WORDS = 1 << CLI_CAPTION | 1 << CLI_VQA | 1 << CLI_RETRIEVE };
enum { FOR_ALL = (1 << CLI_COMMAND_COUNT) - 1 };

enum option_id {
    OPT_HELP = 'h',
    OPT_MODEL = 'm',
    OPT_JSON = 256,
    OPT_THREADS,
    OPT_ISA,
    OPT_OPENBLAS,
    OPT_VERIFY,
    OPT_JSONL,
    OPT_NO_PROGRESS,
    OPT_TRUNCATED,
    OPT_REGIONS,
    OPT_EXPLAIN,
    OPT_QUESTION,
    OPT_TEXT,
    OPT_TOP_K,
    OPT_BEAMS,
    OPT_CAPTIONS,
    OPT_TOKENS,
    OPT_PENALTY,
    OPT_DRAW,
    OPT_MIN_SCORE,
    OPT_ROUNDS,
    OPT_PLAN,
    OPT_STAGES,
    OPT_OUTPUT,
    OPT_RESUME,
    OPT_SIDECAR,
};

struct known_option {
    const char *name, *argument; /* argument NULL: none */
    enum option_id id;
    int commands; /* bits */
    const char *help;
};
static const struct known_option options[] = {
    {"question", "Q", OPT_QUESTION, 1 << CLI_VQA, "what to ask; may be repeated"},
    {"text", "T", OPT_TEXT, 1 << CLI_RETRIEVE, "a sentence to match; may be repeated"},
    {"top-k", "N", OPT_TOP_K, 1 << CLI_VQA, "answers of a question, 1 to 20 (default 5)"},
    {"num-beams", "N", OPT_BEAMS, 1 << CLI_CAPTION, "beams of the search, 1 to 10; 1 is greedy (default: the model's)"},
    {"num-captions", "N", OPT_CAPTIONS, 1 << CLI_CAPTION, "captions of an image, at most num-beams (default 1)"},
    {"max-tokens", "N", OPT_TOKENS, 1 << CLI_CAPTION, "longest caption (default: the model's)"},
    {"length-penalty", "X", OPT_PENALTY, 1 << CLI_CAPTION, "above 0 favours long captions (default: the model's)"},
    {"regions", NULL, OPT_REGIONS, FOR_WORDS, "print the regions too (with --json)"},
    {"explain", NULL, OPT_EXPLAIN, FOR_WORDS, "print how much each region mattered (with --json)"},
    {"draw", "FILE", OPT_DRAW, 1 << CLI_REGIONS, "write the picture with its regions as a JPEG"},
    {"min-score", "X", OPT_MIN_SCORE, 1 << CLI_REGIONS, "leave out regions below (default 0, for --draw 0.3)"},
    {"tolerate-truncated", NULL, OPT_TRUNCATED, FOR_IMAGES, "accept JPEG files whose end is missing"},
    {"jsonl", "FILE", OPT_JSONL, FOR_IMAGES, "read JSON lines (- is standard input), print JSON lines; see below"},
    {"output", "FILE", OPT_OUTPUT, FOR_IMAGES,
     "write the results to FILE, by its ending JSON lines (.jsonl) or CSV (.csv)"},
    {"resume", NULL, OPT_RESUME, FOR_IMAGES, "go on with --output: skip what it has, try again what failed"},
    {"sidecar", "xmp", OPT_SIDECAR, 1 << CLI_CAPTION, "write each caption to PICTURE.xmp as dc:description"},
    {"no-progress", NULL, OPT_NO_PROGRESS, FOR_IMAGES, "no progress bar"},
    {"rounds", "N", OPT_ROUNDS, 1 << CLI_BENCH, "how often each image is run (default 5)"},
    {"stages", NULL, OPT_STAGES, 1 << CLI_BENCH, "where the time of a picture goes, kernel by kernel, on one thread"},
    {"plan", NULL, OPT_PLAN, 1 << CLI_INSPECT,
     "every step with its shapes, number format, kernel, bytes and operations"},
    {"json", NULL, OPT_JSON, FOR_ALL, "print one JSON object a line"},
    {"model", "DIR", OPT_MODEL, FOR_ALL, "model directory (default: $MINIVLM_MODEL, models/minivlm-base)"},
    {"verify", NULL, OPT_VERIFY, FOR_ALL, "compare the weights with the model's checksum"},
    {"threads", "N", OPT_THREADS, FOR_ALL, "engine threads (default: usable CPUs)"},
    {"isa", "NAME", OPT_ISA, FOR_ALL, "at most these: ref, avx2, avxvnni, avx512, avx512vnni (default: the best)"},
    {"openblas", NULL, OPT_OPENBLAS, FOR_ALL, "multiply matrices with OpenBLAS"},
    {"help", NULL, OPT_HELP, FOR_ALL, "print this"},
};
enum { N_OPTIONS = sizeof(options) / sizeof(options[0]) };

static const struct {
    const char *name, *arguments, *summary, *more;
} commands[CLI_COMMAND_COUNT] = {
    [CLI_CAPTION] = {"caption", "IMAGE...", "say what is to be seen", "Lines of --jsonl: {\"image\": \"dog.jpg\"}\n"},
    [CLI_VQA] = {"vqa", "--question Q IMAGE...", "answer questions about images",
                 "Lines of --jsonl: {\"image\": \"dog.jpg\", \"question\": \"what colour is the dog?\"}\n"},
    [CLI_RETRIEVE] = {"retrieve", "--text T IMAGE...", "match sentences and images",
                      "Prints the sentences of each image, best first; with several images, then the images of each "
                      "sentence.\nLines of --jsonl: {\"image\": \"dog.jpg\", \"texts\": [\"a dog\", \"a cat\"]}\n"},
    [CLI_REGIONS] = {"regions", "IMAGE...", "list the things found, with boxes: score, x0, y0, x1, y1, label",
                     "Lines of --jsonl: {\"image\": \"dog.jpg\"}\n"},
    [CLI_INSPECT] = {"inspect", "", "show the model and what it needs", ""},
    [CLI_BENCH] = {"bench", "IMAGE...", "measure how long everything takes", ""},
};

/* ---- help ---- */

static void print_commands(FILE *to)
{
    fprintf(to, "usage: minivlm COMMAND [OPTION]... [IMAGE]...\n\ncommands:\n");
    for (int i = 0; i < CLI_COMMAND_COUNT; i++) {
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(
        to,
        "\nImages are %s files, or folders of them; - is standard input.\nminivlm COMMAND --help lists its options,\n"
        "minivlm --version prints the version.\n"
        "Exit code: 0 all fine, 1 something failed, 2 wrong usage.\n",
        image_formats_text());
}

static void print_help(enum cli_command c)
{
    printf("usage: minivlm %s [OPTION]...%s%s\n%s.\n\n", commands[c].name, commands[c].arguments[0] ? " " : "",
           commands[c].arguments, commands[c].summary);
    for (int i = 0; i < N_OPTIONS; i++) {
        const struct known_option *o = &options[i];
        if (o->commands >> c & 1) {
            char left[32];
            const char *key = o->id == OPT_MODEL ? "-m, " : o->id == OPT_HELP ? "-h, " : "";
            snprintf(left, sizeof(left), "%s--%s%s%s", key, o->name, o->argument ? " " : "",
                     o->argument ? o->argument : "");
            printf("  %-22s %s\n", left, o->help);
        }
    }
    printf("%s%s", commands[c].more[0] ? "\n" : "", commands[c].more);
}

/* ---- values ---- */

static bool parse_int(const char *name, const char *text, int least, int most, int *out)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < least || value > most) {
        fprintf(stderr, "minivlm: --%s is \"%s\"; a number from %d to %d is expected\n", name, text, least, most);
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

static bool parse_isa(const char *text, int *out)
{
    if (engine_find_isa(text, out)) {
        return true;
    }
    fprintf(stderr, "minivlm: --isa is \"%s\"; ref, avx2, avxvnni, avx512, avx512vnni or auto is expected\n", text);
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

static bool take_option(struct cli_args *a, const struct known_option *o, const char *value)
{
    switch (o->id) {
    case OPT_MODEL:
        a->model_dir = value;
        return true;
    case OPT_JSON:
        return a->use_json = true;
    case OPT_OPENBLAS:
        return a->use_openblas = true;
    case OPT_VERIFY:
        return a->verify = true;
    case OPT_NO_PROGRESS:
        return a->no_progress = true;
    case OPT_TRUNCATED:
        return a->tolerate_truncated = true;
    case OPT_REGIONS:
        return a->with_regions = true;
    case OPT_EXPLAIN:
        return a->explain = true;
    case OPT_PLAN:
        return a->with_plan = true;
    case OPT_STAGES:
        return a->with_stages = true;
    case OPT_JSONL:
        a->jsonl = value;
        return true;
    case OPT_OUTPUT:
        a->output = value;
        return true;
    case OPT_RESUME:
        return a->resume = true;
    case OPT_SIDECAR:
        return a->with_sidecar = parse_sidecar(value);
    case OPT_DRAW:
        a->draw = value;
        return true;
    case OPT_QUESTION:
    case OPT_TEXT:
        a->texts[a->n_texts++] = value;
        return true;
    case OPT_THREADS:
        return parse_int(o->name, value, 1, 1024, &a->threads);
    case OPT_TOP_K:
        return parse_int(o->name, value, 1, JOB_MAX_TOP_K, &a->top_k);
    case OPT_BEAMS:
        return parse_int(o->name, value, 1, JOB_MAX_CAPTIONS, &a->num_beams);
    case OPT_CAPTIONS:
        return parse_int(o->name, value, 1, JOB_MAX_CAPTIONS, &a->num_captions);
    case OPT_TOKENS:
        return parse_int(o->name, value, 1, JOB_MAX_TOKENS, &a->max_tokens);
    case OPT_ROUNDS:
        return parse_int(o->name, value, 1, 100000, &a->rounds);
    case OPT_PENALTY:
        return parse_real(o->name, value, &a->length_penalty);
    case OPT_MIN_SCORE:
        return parse_real(o->name, value, &a->min_score);
    case OPT_ISA:
        return parse_isa(value, &a->isa_cap);
    default:
        return false;
    }
}

static const struct known_option *find_option(int id)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        if ((int)options[i].id == id) {
            return &options[i];
        }
    }
    return NULL;
}

/* What getopt_long stumbled over. */
static void print_wrong_option(const struct cli_args *a, int id, char **argv)
{
    const char *name = commands[a->command].name;
    const struct known_option *known = find_option(optopt);
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
    struct option table[N_OPTIONS + 1] = {{0}};
    int n = 0, id;
    for (int i = 0; i < N_OPTIONS; i++) {
        if (options[i].commands >> a->command & 1) {
            table[n++] = (struct option){.name = options[i].name,
                                         .has_arg = options[i].argument ? required_argument : no_argument,
                                         .val = (int)options[i].id};
        }
    }
    optind = 0; /* begin anew, also in a second call */
    opterr = 0;
    while ((id = getopt_long(argc, argv, ":hm:", table, NULL)) != -1) {
        const struct known_option *o = find_option(id);
        if (id == OPT_HELP) {
            print_help(a->command);
            return CLI_ARGS_HELP;
        }
        if (!o) {
            print_wrong_option(a, id, argv);
            return CLI_ARGS_WRONG;
        }
        if (!take_option(a, o, optarg)) {
            return CLI_ARGS_WRONG;
        }
    }
    for (; optind < argc; optind++) {
        a->files[a->n_files++] = argv[optind];
    }
    return CLI_ARGS_RUN;
}

static const char *find_output_conflict(const struct cli_args *a)
{
    if (a->output && !ends_with(a->output, ".csv") && !ends_with(a->output, ".jsonl")) {
        return "--output is a file that ends in .jsonl or .csv";
    }
    if (a->resume && (!a->output || a->jsonl)) {
        return a->output ? "--resume goes with files and folders, not with --jsonl" : "--resume needs --output";
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
    bool is_for_images = FOR_IMAGES >> a->command & 1;
    int n_stdin = a->jsonl && strcmp(a->jsonl, "-") == 0;
    for (int i = 0; i < a->n_files; i++) {
        n_stdin += strcmp(a->files[i], "-") == 0;
    }
    if (a->command == CLI_INSPECT) {
        return a->n_files > 0 ? "no image is expected" : NULL;
    }
    if (a->jsonl && (a->n_files > 0 || a->n_texts > 0)) {
        return "with --jsonl, images and texts stand in its lines";
    }
    if (!a->jsonl && a->n_files == 0) {
        return "an image is missing";
    }
    if (n_stdin > 1) {
        return "standard input can be read once only";
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
        if (strcmp(commands[c].name, name) == 0) {
            *out = (enum cli_command)c;
            return true;
        }
    }
    return false;
}

enum cli_args_result cli_args_parse(struct cli_args *a, int argc, char **argv)
{
    *a = (struct cli_args){.isa_cap = ENGINE_ISA_AUTO, .top_k = 5, .length_penalty = NAN, .min_score = -1, .rounds = 5};
    if (argc < 2) {
        print_commands(stderr);
        return CLI_ARGS_WRONG;
    }
    bool is_help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0;
    if (is_help && argc < 3) {
        print_commands(stdout);
        return CLI_ARGS_HELP;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("minivlm %s\n", VERSION_TEXT);
        return CLI_ARGS_HELP;
    }
    const char *name = argv[is_help ? 2 : 1];
    if (!find_command(name, &a->command)) {
        fprintf(stderr,
                name[0] == '-' ? "minivlm: %s stands before the command; see minivlm --help\n"
                               : "minivlm: unknown command \"%s\"; minivlm --help lists them\n",
                name);
        return CLI_ARGS_WRONG;
    }
    if (is_help) {
        print_help(a->command);
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
    mem_free(a->files);
    mem_free(a->texts);
    *a = (struct cli_args){0};
}
