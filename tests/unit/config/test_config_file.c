/* Files as configuration, the hostile ones too: a fault that says where, and never a value out of its range. */
#include "tests/unit/config/test_config.h"

#include <sys/stat.h>

#define READ(text) read_text(text, sizeof(text) - 1)

static void test_good_files(void)
{
    CHECK_INT(READ("{}"), OK);
    CHECK_INT(READ("{\"$schema\": \"x\", \"server\": {}, \"limits\": {\"body_bytes\": \"1.5MiB\"}}"), OK);
    CHECK_INT(config.limits.body_bytes, 1572864);
    CHECK_INT(READ("{\"server\": {\"port\": 80.0, \"admin-port\": 81, \"host\": \"h\\u00e9\"}, "
                   "\"engine\": {\"openblas\": true}, \"cache\": {\"bytes\": 1e6}}"),
              OK);
    CHECK(config.server.port == 80 && config.server.admin_port == 81 && config.engine.openblas);
    CHECK_STR(config.server.host, "h\xc3\xa9");
    CHECK_INT(config.cache.bytes, 1000000);
}

/* One row: a text and the fault it gives. */
static void test_bad_files(void)
{
    static const struct {
        const char *text, *fault;
    } cases[] = {
        {"", "file:1:0: not JSON: "},
        {" \n", "not JSON: "},
        {"{", "not JSON: "},
        {"{\"server\": {\"port\": 1},}", "file:1:24: not JSON: "},
        {"{\n\"server\": {\n\"port\" 1}}", "file:3:"},
        {"{} {}", "not JSON: "},
        {"\xef\xbb\xbf{}", "not JSON: "},
        {"{\"server\": {\"host\": \"\xff\"}}", "not JSON: "},
        {"{\"server\": {\"host\": \"a\\u0000b\"}}", "not JSON: "},
        {"{\"server\": {\"port\": 1, \"port\": 2}}", "duplicate object key"},
        {"{\"server\": {}, \"server\": {}}", "duplicate object key"},
        {"{\"cache\": {\"bytes\": 1e999}}", "not JSON: real number overflow"},
        {"{\"cache\": {\"bytes\": 99999999999999999999}}", "not JSON: too big integer"},
        {"{\"cache\": {\"bytes\": NaN}}", "not JSON: "},
        {"[]", "file: expected a JSON object of sections\n"},
        {"7", "not JSON: "},
        {"null", "not JSON: "},
        {"{\"server\": 1}", "file: server: expected an object of keys\n"},
        {"{\"server\": []}", "file: server: expected an object of keys\n"},
        {"{\"nothing\": {}}", "file: nothing: no such section"},
        {"{\"serve\": {\"port\": 1}}", "file: serve.port: no such key; did you mean server.port?\n"},
        {"{\"server\": {\"\": 1}}", "file: server.: no such key"},
        {"{\"server\": {\"port\": \"80\"}}", "server.port: expected a whole number from -1 to 65535, found a string\n"},
        {"{\"server\": {\"port\": 80.5}}", "server.port: expected a whole number from -1 to 65535, found \"80.5\"\n"},
        {"{\"server\": {\"port\": null}}", "found null\n"},
        {"{\"server\": {\"port\": {}}}", "found an object\n"},
        {"{\"server\": {\"port\": []}}", "found a list\n"},
        {"{\"server\": {\"port\": false}}", "found false\n"},
        {"{\"server\": {\"host\": 1}}", "expected text of 1 to 255 characters, found a number\n"},
        {"{\"server\": {\"overload_status\": 429}}", "expected one of 429|503, found a number\n"},
        {"{\"engine\": {\"openblas\": 1}}", "expected true or false, found a number\n"},
        {"{\"engine\": {\"openblas\": \"true\"}}", "expected true or false, found a string\n"},
        {"{\"cache\": {\"bytes\": -1}}", "found \"-1\"\n"},
        {"{\"cache\": {\"bytes\": 0.5}}", "found \"0.5\"\n"},
        {"{\"cache\": {\"bytes\": \"1 pound\"}}", "found \"1 pound\"\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_INT(read_text(cases[i].text, strlen(cases[i].text)), ERR_BAD_CONFIG);
        CHECK_FAULT(cases[i].fault);
        CHECK_INT(n_faults(), 1);
        CHECK(strncmp(fault_text(), "file", 4) == 0);
    }
}

static void test_nul_bytes(void)
{
    CHECK_INT(READ("{}\0"), ERR_BAD_CONFIG);
    CHECK_INT(READ("\0"), ERR_BAD_CONFIG);
    CHECK_INT(READ("{\"server\": {\"host\": \"a\0b\"}}"), ERR_BAD_CONFIG);
    CHECK_INT(READ("{\"server\"\0: {}}"), ERR_BAD_CONFIG);
}

/* A million brackets cost no stack. */
static void test_depth(void)
{
    enum { N = 1000000 };
    char *text = malloc(N);
    memset(text, '[', N);
    CHECK_INT(read_text(text, N), ERR_BAD_CONFIG);
    CHECK_FAULT("maximum parsing depth reached");
    for (int i = 0; i + 5 <= N; i += 5) {
        memcpy(text + i, "{\"a\":", 5);
    }
    CHECK_INT(read_text(text, N), ERR_BAD_CONFIG);
    free(text);
}

/* Names as long as the file: cut in the message. */
static void test_long_names(void)
{
    enum { N = 200000 };
    char *text = malloc(N + 32);
    int n = snprintf(text, 32, "{\"");
    memset(text + n, 'n', N);
    snprintf(text + n + N, 16, "\": {\"k\": 1}}");
    CHECK_INT(read_text(text, strlen(text)), ERR_BAD_CONFIG);
    CHECK(n_faults() == 1 && faults.n < 300);
    memcpy(text + n + N, "\": 1}", 6);
    CHECK_INT(read_text(text, strlen(text)), ERR_BAD_CONFIG);
    CHECK(n_faults() == 1 && faults.n < 300);
    n = snprintf(text, 32, "{\"server\": {\"");
    memset(text + n, 'n', N / 2);
    snprintf(text + n + N / 2, 16, "\": 1}}");
    CHECK_INT(read_text(text, strlen(text)), ERR_BAD_CONFIG);
    CHECK(n_faults() == 1 && faults.n < 300);
    free(text);
}

/* ---- paths ---- */

static void test_paths(void)
{
    char expected[256];
    CHECK_INT(load(ARGS("--config=/nonexistent/file"), NO_ENV), ERR_BAD_CONFIG);
    CHECK_STR(fault_text(), "configuration: /nonexistent/file: No such file or directory\n");
    CHECK_INT(load(ARGS("--config", "/tmp"), NO_ENV), ERR_BAD_CONFIG);
    CHECK_STR(fault_text(), "configuration: /tmp is not a regular file\n");
    CHECK_INT(load(NO_ARGS, ENV("MINIVLM_CONFIG=/nonexistent/file")), ERR_BAD_CONFIG);
    CHECK_INT(load(ARGS("--config", "/dev/null"), NO_ENV), ERR_BAD_CONFIG);
    const char *path = file_of("{\"x\": 1", 7);
    CHECK_INT(load(ARGS("--config", path), NO_ENV), ERR_BAD_CONFIG);
    snprintf(expected, sizeof(expected), "%s:1:7: not JSON: '}' expected near end of file\n", path);
    CHECK_STR(fault_text(), expected);
    chmod(path, 0);
    CHECK(geteuid() == 0 || load(ARGS("--config", path), NO_ENV) == ERR_BAD_CONFIG);
    unlink(path);
    CHECK_INT(mkfifo(path, 0600), 0); /* which nobody writes: at SIGHUP, opening it would stop the service */
    CHECK_INT(load(ARGS("--config", path), NO_ENV), ERR_BAD_CONFIG);
    CHECK(strstr(fault_text(), "is not a regular file\n") != NULL);
    unlink(path);
}

static void test_size_of_a_file(void)
{
    enum { MIB = 1 << 20 };
    char *text = malloc(MIB + 1);
    memset(text, ' ', MIB + 1);
    memcpy(text, "{}", 2);
    const char *path = file_of(text, MIB);
    CHECK_INT(load(ARGS("--config", path), NO_ENV), OK);
    unlink(path);
    path = file_of(text, MIB + 1);
    CHECK_INT(load(ARGS("--config", path), NO_ENV), ERR_BAD_CONFIG);
    CHECK_FAULT(": larger than a configuration can be\n");
    unlink(path);
    free(text);
}

int main(void)
{
    test_good_files();
    test_bad_files();
    test_nul_bytes();
    test_depth();
    test_long_names();
    test_paths();
    test_size_of_a_file();
    buf_release(&faults);
    return check_result();
}
