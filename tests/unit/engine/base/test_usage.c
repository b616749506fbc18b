/* Manual pages and completions from tables. */
#include "engine/base/usage.h"
#include "tests/support/check.h"

static const struct usage_command commands[] = {{"eat", "FRUIT...", "eat a fruit", true},
                                                {"peel", "", "peel it", false}};
static const struct usage_option options[] = {
    {.name = "version", .help = "print the version"},
    {"how", "raw|cooked", "what [it] shall be: don't ask", "The kitchen.", 1, false, NULL},
    {"knife", "FILE", ".a path\\", "The kitchen.", 3, false, NULL},
    {"bowl", "DIR", "where", "The kitchen.", 2, false, NULL},
    {"bites", "N", "how many", "The kitchen.", 2, true, "three-and-a-half"},
    {"spice", "salt", "with", "The kitchen.", 2, false, NULL},
};
static const struct usage usage = {"fruit-knife", "eats", "COMMAND", "A program.", 1, commands, 2, options, 6};

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
    check_holds(&b, "\\fBpeel\\fR\npeel it.\n");
    check_holds(&b, "\nhow many (default three\\-and\\-a\\-half) (peel)\n");
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
    check_holds(&b, "--knife) kind=file ;;\n");
    check_holds(&b, "--bowl) kind=directory ;;\n");
    check_holds(&b, "--bites) kind=none ;;\n");
    check_holds(&b, "--spice) words='salt' ;;\n");
    check_holds(&b, "eat) kind=file words='--how --knife' ;;\n");
    check_holds(&b, "peel) words='--knife --bowl --bites --spice' ;;\n");
    check_holds(&b, "*) words='eat peel --version' ;;\n");
    check_holds(&b, "complete -F _fruit_knife fruit-knife\n");
    buf_reset(&b);
    CHECK(usage_completion(&usage, "zsh", &b));
    check_holds(&b, "#compdef fruit-knife\n");
    check_holds(&b, "'--how=[what \\[it\\] shall be\\: don'\\''t ask]:value:(raw cooked)'");
    check_holds(&b, "'--knife=[.a path\\\\]:FILE:_files'");
    check_holds(&b, "'--bowl=[where]:DIR:_files -/'");
    check_holds(&b, "'*--bites=[how many]:N:'");
    check_holds(&b, "eat)\n    _arguments '*:file:_files' \\\n");
    check_holds(&b, "peel)\n    _arguments '*:argument:' \\\n");
    CHECK(!usage_completion(&usage, "fish", &b));
    buf_release(&b);
}

int main(void)
{
    test_man();
    test_completions();
    return check_result();
}
