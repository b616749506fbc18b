/* Manual pages and completions out of tables. */
#include "engine/base/usage.h"
#include "tests/support/check.h"

static const struct usage_command commands[] = {{"eat", "FRUIT...", "eat a fruit"}, {"peel", "FRUIT", "peel it"}};
static const struct usage_option options[] = {
    {"version", NULL, "print the version", NULL, 0},
    {"how", "raw|cooked", "what [it] shall be: don't ask", "The kitchen.", 1},
    {"knife", "FILE", ".a path\\", "The kitchen.", 3},
};
static const struct usage usage = {"fruit-knife", "eats", "COMMAND", "A program.", 1, commands, 2, options, 3};

static void check_holds(const struct buf *b, const char *text)
{
    if (!strstr(b->bytes, text)) {
        fprintf(stderr, "not found: %s\nin:\n%s\n", text, b->bytes);
    }
    CHECK(strstr(b->bytes, text) != NULL);
}

static void test_man(void)
{
    struct buf b;
    buf_init(&b, 65536);
    usage_man(&usage, &b);
    check_holds(&b, ".TH \"FRUIT-KNIFE\" \"1\"");
    check_holds(&b, "\\fBeat\\fR FRUIT...\neat a fruit.\n");
    check_holds(&b, "\\fB\\-\\-how\\fR \\fIraw|cooked\\fR\nwhat [it] shall be: don't ask (eat)\n");
    check_holds(&b, "\\&.a path\\e\n"); /* of both commands: none is named */
    CHECK(strstr(strstr(b.bytes, ".SS The kitchen."), ".SS") && !strstr(strstr(b.bytes, ".SS ") + 1, ".SS"));
    buf_release(&b);
}

static void test_completions(void)
{
    struct buf b;
    buf_init(&b, 65536);
    CHECK(usage_completion(&usage, "bash", &b));
    check_holds(&b, "--how) words='raw cooked' ;;\n");
    check_holds(&b, "--knife) return ;;\n");
    check_holds(&b, "eat) words='--how --knife' ;;\n");
    check_holds(&b, "peel) words='--knife' ;;\n");
    check_holds(&b, "*) words='eat peel --version' ;;\n");
    check_holds(&b, "complete -o default -F _fruit_knife fruit-knife\n");
    buf_reset(&b);
    CHECK(usage_completion(&usage, "zsh", &b));
    check_holds(&b, "#compdef fruit-knife\n");
    check_holds(&b, "'--how=[what \\[it\\] shall be\\: don'\\''t ask]:value:(raw cooked)'");
    check_holds(&b, "'--knife=[.a path\\\\]:FILE:_files'");
    CHECK(!usage_completion(&usage, "fish", &b));
    buf_release(&b);
}

int main(void)
{
    test_man();
    test_completions();
    return check_result();
}
