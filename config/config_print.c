#include "config/config_private.h"

#include "engine/base/usage.h"

#include <stdio.h>
#include <string.h>

#define SECTION_HELP(section, help) {#section, help},
static const struct {
    const char *name, *help;
} sections[] = {CONFIG_SECTIONS(SECTION_HELP)};
enum { N_SECTIONS = sizeof(sections) / sizeof(sections[0]), HELP_INDENT = 40, HELP_WIDTH = 100 };

/* ---- values as text ---- */

static void print_text(const char *text, struct buf *out)
{
    buf_text(out, "\"");
    for (; *text; text++) {
        unsigned char ch = (unsigned char)*text;
        if (ch == '"' || ch == '\\') {
            buf_printf(out, "\\%c", ch);
        } else if (ch < 0x20) {
            buf_printf(out, "\\u%04x", ch);
        } else {
            buf_append(out, text, 1);
        }
    }
    buf_text(out, "\"");
}

static void print_value(const struct config *c, const struct config_key *k, struct buf *out)
{
    const void *value = config_value(c, k);
    switch (k->kind) {
    case INT:
        buf_printf(out, "%lld", *(const long long *)value);
        break;
    case BYTES:
        buf_printf(out, "%llu", (unsigned long long)*(const uint64_t *)value);
        break;
    case BOOL:
        buf_text(out, *(const bool *)value ? "true" : "false");
        break;
    default:
        print_text(value, out);
    }
}

void config_print_json(const struct config *c, struct buf *out)
{
    buf_text(out, "{");
    for (int s = 0; s < N_SECTIONS; s++) {
        bool is_first = true;
        buf_printf(out, "%s\n  \"%s\": {", s ? "," : "", sections[s].name);
        for (int i = 0; i < config_n_keys; i++) {
            if (strcmp(config_keys[i].section, sections[s].name) == 0) {
                buf_printf(out, "%s\n    \"%s\": ", is_first ? "" : ",", config_keys[i].name);
                print_value(c, &config_keys[i], out);
                is_first = false;
            }
        }
        buf_text(out, "\n  }");
    }
    buf_text(out, "\n}\n");
}

/* ---- help ---- */

/* Words from column HELP_INDENT on, broken at HELP_WIDTH. */
static void print_wrapped(const char *text, struct buf *out)
{
    int column = HELP_INDENT;
    const char *between = "";
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (column + n > HELP_WIDTH) {
            buf_printf(out, "\n%*s", HELP_INDENT, "");
            column = HELP_INDENT;
            between = "";
        }
        buf_printf(out, "%s%.*s", between, n, text);
        between = " ";
        column += n + 1;
        text += n;
        text += strspn(text, " ");
    }
    buf_text(out, "\n");
}

void config_print_help(struct buf *out)
{
    struct config c;
    char help[512];
    config_defaults(&c);
    buf_text(out, "usage: minivlm-server [--config FILE] [--SECTION.KEY=VALUE]...\n"
                  "Captions photographs, answers questions about them and matches them with sentences, over HTTP.\n\n"
                  "Each key can be set in a JSON file, in the environment (MINIVLM_SERVER_PORT=8080) or by a flag;\n"
                  "the last of these wins. SIGHUP reloads the keys marked with *.\n\n");
    buf_printf(out, "  %-24s %s\n", "--config FILE", "JSON file: {\"server\": {\"port\": 8080}}");
    for (int i = 0; i < config_n_actions; i++) {
        const struct config_action_flag *a = &config_actions[i];
        char left[32];
        snprintf(left, sizeof(left), "%s%s%s", a->name, a->argument ? " " : "", a->argument ? a->argument : "");
        buf_printf(out, "  %-24s %s\n", left, a->help);
    }
    for (int s = 0; s < N_SECTIONS; s++) {
        buf_printf(out, "\n%s\n", sections[s].help);
        for (int i = 0; i < config_n_keys; i++) {
            const struct config_key *k = &config_keys[i];
            if (strcmp(k->section, sections[s].name) == 0) {
                char name[64];
                struct buf value;
                buf_init(&value, 2048);
                print_value(&c, k, &value);
                snprintf(name, sizeof(name), "  --%s.%s%s", k->section, k->name, k->when == RELOAD ? " *" : "");
                snprintf(help, sizeof(help), "%s (%s)", k->help, value.bytes ? value.bytes : "");
                buf_printf(out, "%-*s ", HELP_INDENT - 1, name);
                print_wrapped(help, out);
                buf_release(&value);
            }
        }
    }
}

/* ---- manual page and completions ---- */

static const char *argument_of(const struct config_key *k)
{
    static const char *const names[] = {[INT] = "N", [BYTES] = "BYTES", [BOOL] = "true|false", [TEXT] = "TEXT"};
    return k->words ? k->words : names[k->kind];
}

enum { MAX_OPTIONS = 256 };

/* What the texts of an option are kept in. */
struct option_texts {
    char name[64], value[128];
};

static int fill_options(struct usage_option options[MAX_OPTIONS], struct option_texts texts[MAX_OPTIONS])
{
    struct config c;
    int n = 0;
    config_defaults(&c);
    BUG_ON(config_n_keys + config_n_actions + 1 > MAX_OPTIONS);
    options[n++] = (struct usage_option){.name = "config", .argument = "FILE", .help = "the configuration file, JSON"};
    for (int i = 0; i < config_n_actions; i++) {
        const struct config_action_flag *a = &config_actions[i];
        options[n++] = (struct usage_option){.name = a->name + 2, .argument = a->argument, .help = a->help};
    }
    for (int s = 0; s < N_SECTIONS; s++) {
        for (int i = 0; i < config_n_keys; i++) {
            const struct config_key *k = &config_keys[i];
            if (strcmp(k->section, sections[s].name) == 0) {
                struct option_texts *t = &texts[n];
                struct buf value;
                buf_init(&value, sizeof(t->value));
                print_value(&c, k, &value);
                snprintf(t->name, sizeof(t->name), "%s.%s", k->section, k->name);
                snprintf(t->value, sizeof(t->value), "%s", value.bytes ? value.bytes : "");
                buf_release(&value);
                options[n++] = (struct usage_option){.name = t->name,
                                                     .argument = argument_of(k),
                                                     .help = k->help,
                                                     .group = sections[s].help,
                                                     .value = t->value};
            }
        }
    }
    return n;
}

static void print_usage(const char *shell, struct buf *out)
{
    struct option_texts texts[MAX_OPTIONS];
    struct usage_option options[MAX_OPTIONS];
    const struct usage u = {
        "minivlm-server",
        "captions, answers and matches for photographs over HTTP",
        "[--config FILE] [--SECTION.KEY=VALUE]...",
        "Serves a vision-language model over HTTP. Each key can be set in a JSON file, in the environment "
        "(MINIVLM_SERVER_PORT=8080) or by a flag; the last of these wins. SIGHUP reloads the keys that can be "
        "changed while it runs, SIGTERM stops it once accepted requests are answered.",
        8,
        NULL,
        0,
        options,
        fill_options(options, texts)};
    if (shell) {
        (void)usage_completion(&u, shell, out);
    } else {
        usage_man(&u, out);
    }
}

void config_print_man(struct buf *out)
{
    print_usage(NULL, out);
}

void config_print_bash(struct buf *out)
{
    print_usage("bash", out);
}

void config_print_zsh(struct buf *out)
{
    print_usage("zsh", out);
}

/* ---- reference and schema ---- */

void config_print_reference(struct buf *out)
{
    struct config c;
    config_defaults(&c);
    buf_text(
        out,
        "# Configuration\n\nGenerated by `minivlm-server --print-reference`; do not edit.\n\n"
        "A key can be set in a JSON file (`--config FILE`: `{\"server\": {\"port\": 8080}}`), in the environment\n"
        "(`MINIVLM_SERVER_PORT=8080`) or by a flag (`--server.port=8080`); the last of these wins. All faults are\n"
        "reported at once. Sizes may have a unit: `64MiB`, `1.5GB`. *Reload*: SIGHUP applies a new value.\n");
    for (int s = 0; s < N_SECTIONS; s++) {
        buf_printf(out, "\n## %s\n\n%s\n\n| key | default | allowed | reload | meaning |\n|---|---|---|---|---|\n",
                   sections[s].name, sections[s].help);
        for (int i = 0; i < config_n_keys; i++) {
            const struct config_key *k = &config_keys[i];
            if (strcmp(k->section, sections[s].name) != 0) {
                continue;
            }
            buf_printf(out, "| `%s.%s` | `", k->section, k->name);
            print_value(&c, k, out);
            buf_text(out, "` | ");
            if (k->kind == CHOICE) {
                for (const char *w = k->words; *w; w++) {
                    buf_printf(out, *w == '|' ? ", " : "%c", *w);
                }
            } else {
                config_expected(k, out);
            }
            buf_printf(out, " | %s | %s |\n", k->when == RELOAD ? "yes" : "", k->help);
        }
    }
}

static void print_property(const struct config *c, const struct config_key *k, struct buf *out)
{
    buf_printf(out, "        \"%s\": {\"description\": ", k->name);
    print_text(k->help, out);
    buf_text(out, ", \"default\": ");
    print_value(c, k, out);
    if (k->kind == BOOL) {
        buf_text(out, ", \"type\": \"boolean\"");
    } else if (k->kind == INT) {
        buf_printf(out, ", \"type\": \"integer\", \"minimum\": %.0f, \"maximum\": %.0f", k->min, k->max);
    } else if (k->kind == BYTES) {
        buf_printf(out, ", \"type\": [\"integer\", \"string\"], \"minimum\": %.0f, \"maximum\": %.0f", k->min, k->max);
    } else if (k->kind == TEXT) {
        buf_printf(out, ", \"type\": \"string\", \"minLength\": %.0f, \"maxLength\": %.0f", k->min, k->max);
    } else {
        buf_text(out, ", \"enum\": [\"");
        for (const char *w = k->words; *w; w++) {
            buf_printf(out, *w == '|' ? "\", \"" : "%c", *w);
        }
        buf_text(out, "\"]");
    }
    buf_text(out, "}");
}

void config_print_schema(struct buf *out)
{
    struct config c;
    config_defaults(&c);
    buf_text(out, "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
                  "  \"title\": \"minivlm-server configuration\",\n  \"type\": \"object\",\n"
                  "  \"additionalProperties\": false,\n  \"properties\": {\n    \"$schema\": {\"type\": \"string\"}");
    for (int s = 0; s < N_SECTIONS; s++) {
        bool is_first = true;
        buf_printf(out,
                   ",\n    \"%s\": {\n      \"description\": \"%s\",\n      \"type\": \"object\",\n"
                   "      \"additionalProperties\": false,\n      \"properties\": {\n",
                   sections[s].name, sections[s].help);
        for (int i = 0; i < config_n_keys; i++) {
            if (strcmp(config_keys[i].section, sections[s].name) == 0) {
                buf_text(out, is_first ? "" : ",\n");
                print_property(&c, &config_keys[i], out);
                is_first = false;
            }
        }
        buf_text(out, "\n      }\n    }");
    }
    buf_text(out, "\n  }\n}\n");
}
