/* Lines of --jsonl: what is taken from them, and the complaint about each fault. */
#include "cli/cli_json.h"
#include "tests/support/check.h"

static void check_fault(enum cli_command c, const char *line, const char *expected)
{
    struct cli_json_line l;
    struct errbuf e = {{0}};
    CHECK_INT(cli_json_parse_line(&l, c, line, strlen(line), &e), ERR_BAD_REQUEST);
    CHECK_STR(e.text, expected);
}

static void test_texts(void)
{
    static const char many[] = "{\"texts\": [\"a\", \"b\"], \"image\": \"x.jpg\"}";
    static const char one[] = "{\"image\": \"x.jpg\", \"question\": \"who?\"}\r";
    struct cli_json_line l;
    CHECK_INT(cli_json_parse_line(&l, CLI_RETRIEVE, many, sizeof(many) - 1, NULL), OK);
    CHECK_STR(l.image, "x.jpg");
    CHECK_INT(l.n_texts, 2);
    CHECK_STR(cli_json_line_text(&l, 1), "b");
    cli_json_release_line(&l);
    CHECK_INT(cli_json_parse_line(&l, CLI_VQA, one, sizeof(one) - 1, NULL), OK);
    CHECK_INT(l.n_texts, 1);
    CHECK_STR(cli_json_line_text(&l, 0), "who?");
    cli_json_release_line(&l);
}

static void test_faults(void)
{
    struct cli_json_line l;
    check_fault(CLI_CAPTION, "[]", "not a JSON object");
    check_fault(CLI_CAPTION, "{}", "\"image\" is missing or not a text");
    check_fault(CLI_CAPTION, "{\"image\": 5}", "\"image\" is missing or not a text");
    check_fault(CLI_CAPTION, "{\"image\": \"-\"}", "\"image\" must be the path of a file here, not standard input");
    check_fault(CLI_CAPTION, "{\"image\": \"x\", \"question\": \"a\"}", "unknown key \"question\"");
    check_fault(CLI_VQA, "{\"image\": \"x\", \"question\": \"a\", \"questions\": [\"b\"]}",
                "\"question\" and \"questions\" exclude each other");
    check_fault(CLI_VQA, "{\"image\": \"x\"}", "\"question\" is missing, or neither a text nor a list of texts");
    check_fault(CLI_RETRIEVE, "{\"image\": \"x\", \"texts\": []}",
                "\"texts\" is missing, or neither a text nor a list of texts");
    check_fault(CLI_RETRIEVE, "{\"image\": \"x\", \"texts\": [\"a\", 3]}", "\"texts\"[1] is not a text");
    CHECK_INT(cli_json_parse_line(&l, CLI_CAPTION, "{\"image\": \"x\"}\0{}", 17, NULL), ERR_BAD_REQUEST);
    CHECK_INT(cli_json_parse_line(&l, CLI_CAPTION, "{\"image\": \"x\", \"image\": \"y\"}", 28, NULL), ERR_BAD_REQUEST);
}

int main(void)
{
    test_texts();
    test_faults();
    return check_result();
}
