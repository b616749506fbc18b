#include "cli/cli_options.h"

#include "engine/base/buf.h"
#include "engine/base/isa_list.h"
#include "engine/base/usage.h"
#include "engine/image/image.h"

#include <ctype.h>
#include <string.h>

/* ---- what there is ---- */

const struct cli_option cli_options[] = {
    {"question", "Q", OPT_QUESTION, 1 << CLI_VQA, "what to ask; may be repeated"},
    {"text", "T", OPT_TEXT, 1 << CLI_RETRIEVE, "a sentence to match; may be repeated"},
    {"top-k", "N", OPT_TOP_K, 1 << CLI_VQA | 1 << CLI_SEARCH,
     "how many answers or images to print, 1 to 20 (default 5)"},
    {"num-beams", "N", OPT_BEAMS, 1 << CLI_CAPTION, "beam width, 1 to 10; 1 is greedy search (default: the model's)"},
    {"num-captions", "N", OPT_CAPTIONS, 1 << CLI_CAPTION, "captions per image, at most as many as beams (default 1)"},
    {"max-tokens", "N", OPT_TOKENS, 1 << CLI_CAPTION, "maximum length of a caption (default: the model's)"},
    {"length-penalty", "X", OPT_PENALTY, 1 << CLI_CAPTION, "above 0 favours longer captions (default: the model's)"},
    {"regions", NULL, OPT_REGIONS, CLI_FOR_WORDS, "print the regions too (with --json)"},
    {"explain", NULL, OPT_EXPLAIN, CLI_FOR_WORDS, "print how much each region contributed (with --json)"},
    {"draw", "FILE", OPT_DRAW, 1 << CLI_REGIONS, "write the image with its regions as a JPEG"},
    {"min-score", "X", OPT_MIN_SCORE, 1 << CLI_REGIONS,
     "leave out regions with a lower score (default 0, with --draw 0.3)"},
    {"tolerate-truncated", NULL, OPT_TRUNCATED, CLI_FOR_IMAGES | 1 << CLI_IMPORT, "accept truncated JPEG files"},
    {"jsonl", "FILE", OPT_JSONL, CLI_FOR_IMAGES,
     "read requests from a JSON Lines file (- is standard input); see below"},
    {"no-fast-scaling", NULL, OPT_NO_FAST_SCALING, CLI_FOR_IMAGES | 1 << CLI_BENCH,
     "decode all pixels of large JPEGs, instead of a half, a quarter or an eighth of their size"},
    {"output", "FILE", OPT_OUTPUT, CLI_FOR_IMAGES, "write the results to FILE, as JSON lines (.jsonl) or CSV (.csv)"},
    {"resume", NULL, OPT_RESUME, CLI_FOR_IMAGES,
     "continue the file of --output: skip the images in it, retry those that failed"},
    {"sidecar", "xmp", OPT_SIDECAR, 1 << CLI_CAPTION, "write each caption to PICTURE.xmp as dc:description"},
    {"collection", "NAME", OPT_COLLECTION, CLI_FOR_SERVER, "the collection"},
    {"server", "URL", OPT_SERVER, CLI_FOR_SERVER,
     "the server, or unix:SOCKET (default: $MINIVLM_SERVER, http://localhost:8080)"},
    {"parallel", "N", OPT_PARALLEL, 1 << CLI_IMPORT, "images sent at once, 1 to 16 (default 4)"},
    {"no-progress", NULL, OPT_NO_PROGRESS, CLI_FOR_IMAGES | 1 << CLI_IMPORT, "do not show a progress bar"},
    {"rounds", "N", OPT_ROUNDS, 1 << CLI_BENCH, "runs per image (default 5)"},
    {"at-once", "N", OPT_AT_ONCE, 1 << CLI_BENCH,
     "captions in progress when throughput is measured, 1 to 64 (default 16)"},
    {"stages", NULL, OPT_STAGES, 1 << CLI_BENCH,
     "print where the time of an image goes, kernel by kernel, on one thread"},
    {"plan", NULL, OPT_PLAN, 1 << CLI_INSPECT,
     "print every step with its shapes, number format, kernel, bytes and operations"},
    {"json", NULL, OPT_JSON, CLI_FOR_ENGINE | 1 << CLI_SEARCH, "print JSON, one object per line"},
    {"model", "DIR", OPT_MODEL, CLI_FOR_ENGINE, "model directory (default: $MINIVLM_MODEL, models/minivlm-base)"},
    {"no-verify", NULL, OPT_NO_VERIFY, CLI_FOR_ENGINE, "do not compare the weights with the checksum in config.json"},
    {"threads", "N", OPT_THREADS, CLI_FOR_ENGINE, "engine threads (default: usable CPUs)"},
    {"split", "N", OPT_SPLIT, 1 << CLI_BENCH | 1 << CLI_INSPECT,
     "engine threads that work on one image while nothing else waits, 1 to 16 (default: bench 1, inspect 4)"},
    {"isa", ISA_CHOICES, OPT_ISA, CLI_FOR_ENGINE, "newest instruction set to use (default auto)"},
    {"precision", "auto|fp32|int8", OPT_PRECISION, CLI_FOR_ENGINE,
     "number format of matrices (default auto: as in the model directory; int8: the fusion in 8 bits in any case)"},
    {"openblas", NULL, OPT_OPENBLAS, CLI_FOR_ENGINE, "use OpenBLAS for matrix products"},
    {"help", NULL, OPT_HELP, CLI_FOR_ALL, "print this help"},
};
enum { N_OPTIONS = sizeof(cli_options) / sizeof(cli_options[0]) };
_Static_assert((int)N_OPTIONS <= (int)CLI_OPTIONS_MAX, "CLI_OPTIONS_MAX is too small");
const int cli_options_n = N_OPTIONS;

const struct cli_command_text cli_options_commands[CLI_COMMAND_COUNT] = {
    [CLI_CAPTION] = {"caption", "IMAGE...", "describe images in a sentence",
                     "Lines of --jsonl: {\"image\": \"dog.jpg\"}\n"},
    [CLI_VQA] = {"vqa", "--question Q IMAGE...", "answer questions about images",
                 "Lines of --jsonl: {\"image\": \"dog.jpg\", \"question\": \"what colour is the dog?\"}\n"},
    [CLI_RETRIEVE] = {"retrieve", "--text T IMAGE...", "score how well sentences and images match",
                      "Prints the sentences of each image, best first; with several images, then the images of each "
                      "sentence.\nLines of --jsonl: {\"image\": \"dog.jpg\", \"texts\": [\"a dog\", \"a cat\"]}\n"},
    [CLI_REGIONS] = {"regions", "IMAGE...", "list detected objects with their boxes: score, x0, y0, x1, y1, label",
                     "Lines of --jsonl: {\"image\": \"dog.jpg\"}\n"},
    [CLI_INSPECT] = {"inspect", "", "describe the model and the memory it needs", ""},
    [CLI_BENCH] = {"bench", "IMAGE...", "measure the speed of every stage", ""},
    [CLI_IMPORT] =
        {"import", "--collection NAME IMAGE...", "store images in a collection of a running server",
         "The key of an image is its path relative to the folder given as argument. Set MINIVLM_API_KEY if the server "
         "requires an API key.\n"},
    [CLI_SEARCH] = {"search", "--collection NAME TEXT", "find images in a collection of a running server",
                    "Prints score and key, best first. Set MINIVLM_API_KEY if the server requires an API key.\n"},
};

/* ---- messages ---- */

/* The option whose name begins here, with _ for -; only names of several words are no words of a sentence. */
static const struct cli_option *named_at(const char *at)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        const char *name = cli_options[i].name;
        size_t n = strlen(name), k = 0;
        while (k < n && at[k] == (name[k] == '-' ? '_' : name[k])) {
            k++;
        }
        if (k == n && strchr(name, '-') && !isalnum((unsigned char)at[n]) && at[n] != '_') {
            return &cli_options[i];
        }
    }
    return NULL;
}

void cli_options_rename(struct errbuf *message)
{
    static const char is_set[] = "=true";
    struct buf out;
    buf_init(&out, ERRBUF_MAX - 1);
    for (const char *at = message->text; *at && !out.err;) {
        bool may_begin = at == message->text || (!isalnum((unsigned char)at[-1]) && !strchr("_./", at[-1]));
        const struct cli_option *o = may_begin ? named_at(at) : NULL;
        if (!o) {
            buf_append(&out, at++, 1);
            continue;
        }
        buf_text(&out, "--");
        buf_text(&out, o->name);
        at += strlen(o->name);
        at += strncmp(at, is_set, sizeof(is_set) - 1) == 0 ? sizeof(is_set) - 1 : 0;
    }
    if (!out.err && out.n > 0) {
        memcpy(message->text, out.bytes, out.n);
        message->text[out.n] = '\0';
    }
    buf_release(&out);
}

/* ---- help ---- */

void cli_options_print_commands(FILE *to)
{
    fprintf(to, "usage: minivlm COMMAND [OPTION]... [IMAGE]...\n\ncommands:\n");
    for (int i = 0; i < CLI_COMMAND_COUNT; i++) {
        fprintf(to, "  %-9s %s\n", cli_options_commands[i].name, cli_options_commands[i].summary);
    }
    fprintf(to,
            "\nImages are %s files, or folders of them; - is standard input.\n"
            "minivlm COMMAND --help lists the options of a command;\n"
            "minivlm --version prints the version.\n"
            "Exit code: 0 success, 1 failure, 2 usage error.\n",
            image_formats_text());
}

void cli_options_print_help(enum cli_command c)
{
    printf("usage: minivlm %s [OPTION]...%s%s\n%s.\n\n", cli_options_commands[c].name,
           cli_options_commands[c].arguments[0] ? " " : "", cli_options_commands[c].arguments,
           cli_options_commands[c].summary);
    for (int i = 0; i < N_OPTIONS; i++) {
        const struct cli_option *o = &cli_options[i];
        if (o->commands >> c & 1) {
            char left[64];
            const char *key = o->id == OPT_MODEL ? "-m, " : o->id == OPT_HELP ? "-h, " : "";
            snprintf(left, sizeof(left), "%s--%s%s%s", key, o->name, o->argument ? " " : "",
                     o->argument ? o->argument : "");
            bool fits = strlen(left) <= 22;
            printf("  %-*s%s%s\n", fits ? 23 : 0, left, fits ? "" : "\n                         ", o->help);
        }
    }
    printf("%s%s", cli_options_commands[c].more[0] ? "\n" : "", cli_options_commands[c].more);
}

bool cli_options_print_usage(const char *shell)
{
    struct usage_option list[N_OPTIONS + 2] = {{.name = "help", .help = "list the commands"},
                                               {.name = "version", .help = "print the version"}};
    struct usage_command known[CLI_COMMAND_COUNT];
    struct buf out;
    buf_init(&out, 1 << 20);
    for (int i = 0; i < N_OPTIONS; i++) {
        const struct cli_option *o = &cli_options[i];
        list[i + 2] = (struct usage_option){.name = o->name,
                                            .argument = o->argument,
                                            .help = o->help,
                                            .commands = (unsigned)o->commands,
                                            .repeats = o->id == OPT_QUESTION || o->id == OPT_TEXT};
    }
    for (int i = 0; i < CLI_COMMAND_COUNT; i++) {
        known[i] = (struct usage_command){cli_options_commands[i].name, cli_options_commands[i].arguments,
                                          cli_options_commands[i].summary,
                                          strstr(cli_options_commands[i].arguments, "IMAGE") != NULL};
    }
    const struct usage u = {"minivlm",
                            "captions, answers and matches for photographs",
                            "COMMAND [OPTION]... [IMAGE]...",
                            "Describes photographs, answers questions about them and matches them with sentences, on "
                            "the CPU. Only import and search use the network, to reach a server.\n"
                            "Exit code: 0 success, 1 failure, 2 usage error.",
                            1,
                            known,
                            CLI_COMMAND_COUNT,
                            list,
                            N_OPTIONS + 2};
    bool is_known = true;
    if (shell) {
        is_known = usage_completion(&u, shell, &out);
    } else {
        usage_man(&u, &out);
    }
    is_known = is_known && !out.err && fwrite(out.bytes, 1, out.n, stdout) == out.n;
    buf_release(&out);
    return is_known;
}
