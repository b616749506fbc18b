#include "engine/base/usage.h"

#include "engine/base/version.h"

#include <ctype.h>
#include <string.h>

static bool has_words(const struct usage_option *o)
{
    return o->argument && islower((unsigned char)o->argument[0]);
}

static bool is_file(const struct usage_option *o)
{
    return o->argument && strcmp(o->argument, "FILE") == 0;
}

static bool is_folder(const struct usage_option *o)
{
    return o->argument && strcmp(o->argument, "DIR") == 0;
}

/* Each word of "a|b", with a space between. */
static void put_words(const char *words, struct buf *out)
{
    for (; *words; words++) {
        buf_append(out, *words == '|' ? " " : words, 1);
    }
}

static bool is_of(const struct usage_option *o, int command)
{
    return command < 0 ? o->commands == 0 : (o->commands >> command & 1) != 0;
}

/* ---- manual page ---- */

static void put_roff(const char *text, struct buf *out)
{
    if (*text == '.' || *text == '\'') {
        buf_text(out, "\\&");
    }
    for (; *text; text++) {
        if (*text == '\\') {
            buf_text(out, "\\e");
        } else if (*text == '-') {
            buf_text(out, "\\-");
        } else {
            buf_append(out, text, 1);
        }
    }
}

static void put_upper(const char *text, struct buf *out)
{
    for (; *text; text++) {
        buf_printf(out, "%c", toupper((unsigned char)*text));
    }
}

/* "(caption, vqa)" where not every command takes it. */
static void put_commands(const struct usage *u, const struct usage_option *o, struct buf *out)
{
    const unsigned all = (1u << u->n_commands) - 1;
    const char *between = " (";
    if (o->commands == 0 || (o->commands & all) == all) {
        return;
    }
    for (int i = 0; i < u->n_commands; i++) {
        if (is_of(o, i)) {
            buf_printf(out, "%s%s", between, u->commands[i].name);
            between = ", ";
        }
    }
    buf_text(out, ")");
}

static void put_option(const struct usage *u, const struct usage_option *o, struct buf *out)
{
    buf_text(out, ".TP\n\\fB\\-\\-");
    put_roff(o->name, out);
    buf_text(out, "\\fR");
    if (o->argument) {
        buf_text(out, " \\fI");
        put_roff(o->argument, out);
        buf_text(out, "\\fR");
    }
    buf_text(out, "\n");
    put_roff(o->help, out);
    if (o->value) {
        buf_text(out, " (default ");
        put_roff(o->value, out);
        buf_text(out, ")");
    }
    put_commands(u, o, out);
    buf_text(out, "\n");
}

void usage_man(const struct usage *u, struct buf *out)
{
    const char *group = NULL;
    buf_text(out, ".TH \"");
    put_upper(u->program, out);
    buf_printf(out, "\" \"%d\" \"\" \"minivlm %s\"\n.SH NAME\n", u->section, VERSION_TEXT);
    put_roff(u->program, out);
    buf_text(out, " \\- ");
    put_roff(u->summary, out);
    buf_printf(out, "\n.SH SYNOPSIS\n\\fB");
    put_roff(u->program, out);
    buf_text(out, "\\fR ");
    put_roff(u->arguments, out);
    buf_text(out, "\n.SH DESCRIPTION\n");
    put_roff(u->description, out);
    buf_text(out, "\n");
    for (int i = 0; i < u->n_commands; i++) {
        buf_printf(out, "%s.TP\n\\fB%s\\fR%s", i ? "" : ".SH COMMANDS\n", u->commands[i].name,
                   u->commands[i].arguments[0] ? " " : "");
        put_roff(u->commands[i].arguments, out);
        buf_text(out, "\n");
        put_roff(u->commands[i].summary, out);
        buf_text(out, ".\n");
    }
    buf_text(out, ".SH OPTIONS\n");
    for (int i = 0; i < u->n_options; i++) {
        const struct usage_option *o = &u->options[i];
        if (o->group && (!group || strcmp(group, o->group) != 0)) {
            buf_text(out, ".SS ");
            put_roff(o->group, out);
            buf_text(out, "\n");
        }
        group = o->group;
        put_option(u, o, out);
    }
}

/* ---- bash ---- */

static void put_names(const struct usage *u, int command, struct buf *out)
{
    const char *between = "";
    for (int i = 0; i < u->n_options; i++) {
        if (is_of(&u->options[i], command)) {
            buf_printf(out, "%s--%s", between, u->options[i].name);
            between = " ";
        }
    }
}

static void put_function(const struct usage *u, struct buf *out)
{
    buf_text(out, "_");
    for (const char *c = u->program; *c; c++) {
        buf_append(out, *c == '-' ? "_" : c, 1);
    }
}

/* What follows each option that takes something. */
static void put_bash_values(const struct usage *u, struct buf *out)
{
    for (int i = 0; i < u->n_options; i++) {
        const struct usage_option *o = &u->options[i];
        if (has_words(o)) {
            buf_printf(out, "    --%s) words='", o->name);
            put_words(o->argument, out);
            buf_text(out, "' ;;\n");
        } else if (o->argument) {
            buf_printf(out, "    --%s) kind=%s ;;\n", o->name,
                       is_file(o)     ? "file"
                       : is_folder(o) ? "directory"
                                      : "none");
        }
    }
}

/* What each command takes, and the program without one. */
static void put_bash_commands(const struct usage *u, struct buf *out)
{
    for (int i = 0; i < u->n_commands; i++) {
        buf_printf(out, "        %s) %swords='", u->commands[i].name, u->commands[i].has_files ? "kind=file " : "");
        put_names(u, i, out);
        buf_text(out, "' ;;\n");
    }
    buf_text(out, "        *) words='");
    for (int i = 0; i < u->n_commands; i++) {
        buf_printf(out, "%s ", u->commands[i].name);
    }
    put_names(u, -1, out);
    buf_text(out, "' ;;\n");
}

/* `--option=value` comes as three words. A path that compgen does not find, such as one in quotation marks, is left to
 * readline. */
static void put_bash(const struct usage *u, struct buf *out)
{
    buf_printf(out, "# Completion of %s for bash; made by %s --print-completion=bash.\n", u->program, u->program);
    put_function(u, out);
    buf_text(out, "()\n{\n"
                  "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words= kind=\n"
                  "    [ \"$cur\" = = ] && cur=\n"
                  "    [ \"$prev\" = = ] && prev=${COMP_WORDS[COMP_CWORD-2]}\n"
                  "    COMPREPLY=()\n    case $prev in\n");
    put_bash_values(u, out);
    buf_text(out, "    *)\n        case ${COMP_WORDS[1]} in\n");
    put_bash_commands(u, out);
    buf_text(out, "        esac\n"
                  "        if [[ $cur == -* || $COMP_CWORD -eq 1 ]]; then\n"
                  "            kind=\n"
                  "        else\n"
                  "            words= kind=${kind:-none}\n"
                  "        fi\n"
                  "        ;;\n    esac\n"
                  "    case $kind in\n"
                  "    file | directory)\n"
                  "        compopt -o filenames -o default 2>/dev/null\n"
                  "        mapfile -t COMPREPLY < <(compgen -A \"$kind\" -- \"$cur\")\n"
                  "        ;;\n"
                  "    '') mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\") ;;\n"
                  "    esac\n}\ncomplete -F ");
    put_function(u, out);
    buf_printf(out, " %s\n", u->program);
}

/* ---- zsh ---- */

/* Inside '...[...]': quotes, brackets and colons mean something there. */
static void put_zsh_text(const char *text, struct buf *out)
{
    for (; *text; text++) {
        if (*text == '\'') {
            buf_text(out, "'\\''");
        } else if (strchr("[]:\\", *text)) {
            buf_printf(out, "\\%c", *text);
        } else {
            buf_append(out, text, 1);
        }
    }
}

static void put_zsh_options(const struct usage *u, int command, struct buf *out)
{
    for (int i = 0; i < u->n_options; i++) {
        const struct usage_option *o = &u->options[i];
        if (!is_of(o, command)) {
            continue;
        }
        buf_printf(out, " \\\n        '%s--%s%s[", o->repeats ? "*" : "", o->name, o->argument ? "=" : "");
        put_zsh_text(o->help, out);
        buf_text(out, "]");
        if (has_words(o)) {
            buf_text(out, ":value:(");
            put_words(o->argument, out);
            buf_text(out, ")");
        } else if (o->argument) {
            buf_printf(out, ":%s:%s", o->argument, is_file(o) ? "_files" : is_folder(o) ? "_files -/" : "");
        }
        buf_text(out, "'");
    }
    buf_text(out, "\n");
}

static void put_zsh(const struct usage *u, struct buf *out)
{
    buf_printf(out, "#compdef %s\n# Made by %s --print-completion=zsh.\n", u->program, u->program);
    if (u->n_commands == 0) {
        buf_text(out, "_arguments");
        put_zsh_options(u, -1, out);
        return;
    }
    buf_text(out, "local -a commands=(\n");
    for (int i = 0; i < u->n_commands; i++) {
        buf_printf(out, "    '%s:", u->commands[i].name);
        put_zsh_text(u->commands[i].summary, out);
        buf_text(out, "'\n");
    }
    buf_text(out, ")\nif (( CURRENT == 2 )); then\n    _describe command commands\n    _arguments");
    put_zsh_options(u, -1, out);
    buf_text(out, "    return\nfi\ncase $words[2] in\n");
    for (int i = 0; i < u->n_commands; i++) {
        /* The command is among the words that are completed: one that is not expected ends it. */
        buf_printf(out, "%s)\n    _arguments '*:%s'", u->commands[i].name,
                   u->commands[i].has_files ? "file:_files" : "argument:");
        put_zsh_options(u, i, out);
        buf_text(out, "    ;;\n");
    }
    buf_text(out, "esac\n");
}

bool usage_completion(const struct usage *u, const char *shell, struct buf *out)
{
    if (strcmp(shell, "bash") == 0) {
        put_bash(u, out);
    } else if (strcmp(shell, "zsh") == 0) {
        put_zsh(u, out);
    } else {
        return false;
    }
    return true;
}
