#include "cli/cli_options.h"

#include "tests/support/check.h"

#include <string.h>

static void test_rename(void)
{
    static const struct {
        const char *engine, *told;
    } rows[] = {
        {"send the whole file, or take it as it is with tolerate_truncated=true",
         "send the whole file, or take it as it is with --tolerate-truncated"},
        {"max_tokens is 60; this model allows 1 to 39", "--max-tokens is 60; this model allows 1 to 39"},
        {"allowed are 1 to num_beams, 3", "allowed are 1 to --num-beams, 3"},
        {"a text of the model", "a text of the model"},
        {"max_tokens_2, a_max_tokens, dir/max_tokens.jpg", "max_tokens_2, a_max_tokens, dir/max_tokens.jpg"},
        {"max_tokens", "--max-tokens"},
        {"", ""},
    };
    struct errbuf e;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        err_set(&e, ERR_BAD_REQUEST, "%s", rows[i].engine);
        cli_options_rename(&e);
        CHECK_STR(e.text, rows[i].told);
    }
    memset(e.text, 'x', sizeof(e.text) - 1); /* no room for what is longer: as it was */
    memcpy(e.text, "max_tokens ", 11);
    e.text[sizeof(e.text) - 1] = '\0';
    cli_options_rename(&e);
    CHECK(strncmp(e.text, "max_tokens xxx", 14) == 0 && strlen(e.text) == sizeof(e.text) - 1);
}

int main(void)
{
    test_rename();
    return check_result();
}
