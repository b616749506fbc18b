/* The file of keys with its faults, and who gets in. */
#include "server/gate/auth.h"

#include "engine/base/mem.h"
#include "engine/base/sha256.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <unistd.h>

static struct auth auth;
static struct errbuf e;
static char path[64];

static const char *hex_of(const char *key)
{
    static char hex[SHA256_HEX];
    uint8_t digest[SHA256_BYTES];
    sha256(key, strlen(key), digest);
    sha256_hex(digest, hex);
    return hex;
}

static enum err load(const char *text, size_t n)
{
    auth_release(&auth);
    errbuf_clear(&e);
    snprintf(path, sizeof(path), "/tmp/test_auth_XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, text, n) == (ssize_t)n);
    close(fd);
    enum err rc = auth_load(&auth, path, NULL, &e);
    unlink(path);
    return rc;
}

static enum err load_text(const char *text)
{
    return load(text, strlen(text));
}

/* The fault must say path:line. */
static void check_fault(const char *text, int line)
{
    char expected[128];
    CHECK_INT(load_text(text), ERR_BAD_CONFIG);
    snprintf(expected, sizeof(expected), "%s:%d: ", path, line);
    CHECK(strncmp(e.text, expected, strlen(expected)) == 0);
    CHECK(strstr(e.text, "64 hexadecimal digits") || strstr(e.text, "found \"") || strstr(e.text, "longer than"));
    CHECK(auth.keys == NULL && auth.n_keys == 0);
}

static const char *who(const char *header)
{
    const struct auth_key *key = auth_check(&auth, header);
    return key ? key->name : "nobody";
}

/* ---- the file ---- */

static void test_no_file(void)
{
    CHECK_INT(auth_load(&auth, "", NULL, &e), OK);
    CHECK(auth.keys == NULL);
    CHECK_STR(who("Bearer x"), "nobody");
    auth_release(&auth);
    errbuf_clear(&e);
    CHECK_INT(auth_load(&auth, "/nonexistent/keys", NULL, &e), ERR_BAD_CONFIG);
    CHECK_STR(e.text, "auth.keys_file: /nonexistent/keys: No such file or directory");
    errbuf_clear(&e);
    CHECK_INT(auth_load(&auth, "/tmp", NULL, &e), ERR_BAD_CONFIG);
    CHECK_STR(e.text, "auth.keys_file: /tmp is not a regular file");
    CHECK(auth.keys == NULL);
}

static void test_a_file_without_keys_lets_nobody_in(void)
{
    CHECK_INT(load_text(""), OK);
    CHECK(auth.keys != NULL && auth.n_keys == 0);
    CHECK_INT(load_text("# nobody\n\n   \n"), OK);
    CHECK(auth.keys != NULL && auth.n_keys == 0);
    CHECK_STR(who("Bearer x"), "nobody");
}

static void test_lines(void)
{
    char text[2000], upper[SHA256_HEX], comment[600];
    snprintf(upper, sizeof(upper), "%s", hex_of("two"));
    for (char *c = upper; *c; c++) {
        *c = *c >= 'a' && *c <= 'f' ? (char)(*c - 32) : *c;
    }
    memset(comment, '-', sizeof(comment));
    snprintf(comment + sizeof(comment) - 100, 100, " x %s", hex_of("comment")); /* no key stands in a comment */
    snprintf(text, sizeof(text), "# keys\r\none %s\n\n#%s\n \t\nb\tc\n", hex_of("one"), comment);
    check_fault(text, 6);
    snprintf(text, sizeof(text), "# keys\r\none %s\r\n\n#%s\ntwo \t %s  \nlast %s", hex_of("one"), comment, upper,
             "0000000000000000000000000000000000000000000000000000000000000000");
    CHECK_INT(load_text(text), OK);
    CHECK_INT(auth.n_keys, 3);
    CHECK_STR(who("Bearer one"), "one");
    CHECK_STR(who("Bearer two"), "two");
    CHECK_STR(who("Bearer comment"), "nobody");
}

static void test_faults(void)
{
    char text[1000];
    snprintf(text, sizeof(text), "a %s\nb\n", hex_of("a"));
    check_fault(text, 2);
    check_fault("name 0123\n", 1);
    check_fault("name zz23456789012345678901234567890123456789012345678901234567890123\n", 1);
    check_fault("name  \n", 1);
    snprintf(text, sizeof(text), "%s\n", hex_of("a"));
    check_fault(text, 1); /* a key without a name */
    snprintf(text, sizeof(text), " a %s\n", hex_of("a"));
    check_fault(text, 1);
    snprintf(text, sizeof(text), "\n\n# x\na %s0\n", hex_of("a"));
    check_fault(text, 4);
    snprintf(text, sizeof(text), "a %s b\n", hex_of("a"));
    check_fault(text, 1);
    snprintf(text, sizeof(text), "%064d %s\n", 1, hex_of("a")); /* 63 characters at most */
    check_fault(text, 1);
    snprintf(text, sizeof(text), "a%600s%s\n", " ", hex_of("a")); /* a line longer than a line can be */
    check_fault(text, 1);
    snprintf(text, sizeof(text), "a %s%600sb\n", hex_of("a"), " "); /* its beginning alone would be one */
    check_fault(text, 1);
    snprintf(text, sizeof(text), "x%510sa %s\n", " ", hex_of("a")); /* its end alone would be a key */
    check_fault(text, 1);
    snprintf(text, sizeof(text), "%063d %s\n", 1, hex_of("a"));
    CHECK_INT(load_text(text), OK);
    CHECK_INT(strlen(auth.keys[0].name), 63);
}

static void test_bytes_that_are_no_text(void)
{
    char text[100];
    size_t n = (size_t)snprintf(text, sizeof(text), "a %s\n", hex_of("a"));
    text[1] = '\0';
    CHECK_INT(load(text, n), ERR_BAD_CONFIG);
    snprintf(text, sizeof(text), "a  %s\n", hex_of("a"));
    text[2] = '\0'; /* good but for its NUL */
    CHECK_INT(load(text, n + 1), ERR_BAD_CONFIG);
    CHECK_INT(load("\0\n\0", 3), ERR_BAD_CONFIG);
    CHECK_INT(load("\xff\xfe", 2), ERR_BAD_CONFIG);
}

static void test_too_many_keys(void)
{
    enum { MAX = 10000 };
    size_t n_line = (size_t)snprintf(NULL, 0, "n %s\n", hex_of("a"));
    char *text = malloc((MAX + 1) * n_line + 1);
    for (size_t i = 0; i <= MAX; i++) {
        snprintf(text + i * n_line, n_line + 1, "n %s\n", hex_of("a"));
    }
    CHECK_INT(load(text, MAX * n_line), OK);
    CHECK_INT(auth.n_keys, MAX);
    CHECK_INT(load(text, (MAX + 1) * n_line), ERR_BAD_CONFIG);
    CHECK(strstr(e.text, "more than 10000 keys") != NULL);
    free(text);
}

/* ---- who gets in ---- */

static void test_who_gets_in(void)
{
    static const char *const bad[] = {"",
                                      "Bearer",
                                      "Bearer ",
                                      "Bearer secre",
                                      "Bearer secrets",
                                      "Bearer Secret",
                                      "Bearer secret ",
                                      "Basic secret",
                                      "secret",
                                      "Bearer\tsecret",
                                      "Bearersecret",
                                      "Bearer secret\xff",
                                      " Bearer secret"};
    char text[400], header[100];
    snprintf(text, sizeof(text), "ann %s\n", hex_of("secret"));
    size_t n = strlen(text);
    snprintf(text + n, sizeof(text) - n, "bob %s\n", hex_of("other"));
    CHECK_INT(load_text(text), OK);
    CHECK_STR(who("Bearer secret"), "ann");
    CHECK_STR(who("bearer  secret"), "ann");
    CHECK_STR(who("Bearer other"), "bob");
    CHECK_STR(who(NULL), "nobody");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_STR(who(bad[i]), "nobody");
    }
    snprintf(header, sizeof(header), "Bearer %s", hex_of("secret")); /* who stole the file has no key */
    CHECK_STR(who(header), "nobody");
}

/* ---- roles and limits ---- */

static const struct auth_key *with(const char *options)
{
    char text[400];
    snprintf(text, sizeof(text), "ann %s %s\n", hex_of("secret"), options);
    return load_text(text) ? NULL : auth_check(&auth, "Bearer secret");
}

static void test_options(void)
{
    char names[32];
    const struct auth_key *k = with("");
    CHECK(k && k->roles == AUTH_CLIENT && k->rate == 0 && k->share == 0);
    k = with("role=metrics,admin \trate=90/min share=25%");
    CHECK(k && k->roles == (AUTH_METRICS | AUTH_ADMIN) && k->share == 25);
    CHECK_NEAR(k->rate, 1.5, 1e-9);
    auth_role_names(k->roles, names);
    CHECK_STR(names, "metrics,admin");
    CHECK_NEAR(with("rate=0.5")->rate, 0.5, 1e-9);
    CHECK_NEAR(with("rate=36/h")->rate, 0.01, 1e-9);
    CHECK_NEAR(with("rate=12/s")->rate, 12, 1e-9);
    static const char *const bad[] = {"role=",    "role=root", "role=client,", "role=,admin", "role",
                                      "rate=",    "rate=0",    "rate=-1",      "rate=5/day",  "rate=1e3",
                                      "rate=0x5", "rate=5 /s", "rate=nan",     "rate=1.2.3",  "rate=2000000",
                                      "share=25", "share=0%",  "share=101%",   "share=2.5%",  "share=%",
                                      "admin",    "limit=5",   "ROLE=admin",   "role=Admin"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(with(bad[i]) == NULL);
        CHECK(strstr(e.text, ":1: ") && strstr(e.text, "found \""));
    }
    char text[200];
    snprintf(text, sizeof(text),
             "\xef\xbb\xbf"
             "ann %s\n",
             hex_of("secret")); /* as some editors begin a file */
    CHECK_INT(load_text(text), OK);
    CHECK_STR(who("Bearer secret"), "ann");
    snprintf(text, sizeof(text), "\xc3\xa9t\xc3\xa9 %s\n", hex_of("secret"));
    CHECK_INT(load_text(text), ERR_BAD_CONFIG);
    snprintf(text, sizeof(text), "_other %s\n", hex_of("secret"));
    CHECK_INT(load_text(text), ERR_BAD_CONFIG);
    CHECK(strstr(e.text, "metrics"));
    CHECK_INT(load_text("ann secret\n"), ERR_BAD_CONFIG); /* a key in the clear */
    CHECK(strstr(e.text, "--make-key NAME"));
}

static void test_rate(void)
{
    uint64_t after, t = 1000000;
    const struct auth_key *k = with("rate=2/s");
    CHECK_INT(auth_enter(k, t, 100, &after), AUTH_OK);
    CHECK_INT(auth_enter(k, t, 100, &after), AUTH_OK);
    CHECK_INT(auth_enter(k, t, 100, &after), AUTH_OVER_RATE);
    CHECK(after >= 500000 && after < 500100);
    CHECK_INT(auth_enter(k, t + after - 100, 100, &after), AUTH_OVER_RATE);
    CHECK_INT(auth_enter(k, t + 500010, 100, &after), AUTH_OK);
    t += 3600000000; /* silence saves no more than a burst */
    for (int i = 0; i < 3; i++) {
        CHECK_INT(auth_enter(k, t, 100, &after), i < 2 ? AUTH_OK : AUTH_OVER_RATE);
    }
    CHECK_INT(k->use->rate_refused, 3);
    CHECK_INT(k->use->in_flight, 5);
    for (int i = 0; i < 5; i++) {
        auth_leave(k->use);
    }
    k = with("rate=6/min"); /* slower than one a second: one at a time */
    CHECK_INT(auth_enter(k, t, 100, &after), AUTH_OK);
    CHECK_INT(auth_enter(k, t, 100, &after), AUTH_OVER_RATE);
    CHECK(after > 9900000 && after <= 10000001);
    auth_leave(k->use);
    auth_leave(NULL);
}

static void test_share(void)
{
    uint64_t after;
    const struct auth_key *k = with("share=25%");
    for (int i = 0; i < 3; i++) { /* of 10: 2.5, rounded up */
        CHECK_INT(auth_enter(k, 1, 10, &after), AUTH_OK);
    }
    CHECK_INT(auth_enter(k, 1, 10, &after), AUTH_OVER_SHARE);
    CHECK(after > 0);
    auth_leave(k->use);
    CHECK_INT(auth_enter(k, 1, 10, &after), AUTH_OK);
    for (int i = 0; i < 3; i++) {
        auth_leave(k->use);
    }
}

/* A file is read again while requests of its keys are under way. */
static void test_new_file(void)
{
    struct auth fresh;
    uint64_t after;
    const struct auth_key *k = with("rate=1/h");
    struct auth_use *use = k->use;
    CHECK_INT(auth_enter(k, 5, 10, &after), AUTH_OK);
    char text[300], file[] = "/tmp/test_auth_XXXXXX";
    int n = snprintf(text, sizeof(text), "bob %s\n", hex_of("b"));
    snprintf(text + n, sizeof(text) - (size_t)n, "ann %s rate=1/h\n", hex_of("changed"));
    int fd = mkstemp(file);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    CHECK_INT(auth_load(&fresh, file, &auth, &e), OK);
    unlink(file);
    auth_release(&auth);
    auth = fresh;
    k = auth_check(&auth, "Bearer changed");
    CHECK(k && k->use == use && use->in_flight == 1);
    CHECK_INT(auth_enter(k, 6, 10, &after), AUTH_OVER_RATE); /* the new key is the old one's name */
    CHECK_INT(load_text("# nobody\n"), OK);
    CHECK_INT(use->in_flight, 1); /* lives for its request */
    auth_leave(use);
}

static void test_make(void)
{
    char key[AUTH_KEY_MAX], other[AUTH_KEY_MAX], header[80];
    struct buf line;
    buf_init(&line, 1024);
    CHECK_INT(auth_make("cam-1", "metrics", "5/s", "50%", key, &line, &e), OK);
    CHECK(strlen(key) == 47 && strncmp(key, "mvk_", 4) == 0 && !strstr(line.bytes, key));
    CHECK_INT(load_text(line.bytes), OK);
    snprintf(header, sizeof(header), "Bearer %s", key);
    const struct auth_key *k = auth_check(&auth, header);
    CHECK(k && strcmp(k->name, "cam-1") == 0 && k->roles == AUTH_METRICS && k->rate == 5 && k->share == 50);
    buf_reset(&line);
    CHECK_INT(auth_make("cam-1", "", "", "", other, &line, &e), OK);
    CHECK(strcmp(key, other) != 0);
    static const char *const bad[][4] = {{"", "", "", ""},         {"two words", "", "", ""}, {"#x", "", "", ""},
                                         {"\xc3\xa9", "", "", ""}, {"x", "root", "", ""},     {"x", "", "fast", ""},
                                         {"x", "", "", "half"},    {"x\ny", "", "", ""}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        buf_reset(&line);
        errbuf_clear(&e);
        CHECK_INT(auth_make(bad[i][0], bad[i][1], bad[i][2], bad[i][3], key, &line, &e), ERR_BAD_CONFIG);
        CHECK(e.text[0]);
    }
    buf_release(&line);
}

static void test_no_memory(void)
{
    size_t before = mem_live_bytes();
    mem_fail_after(1);
    CHECK_INT(load_text("# x\n"), ERR_NOMEM);
    mem_fail_after(0);
    CHECK(auth.keys == NULL && mem_live_bytes() == before);
}

int main(void)
{
    test_no_file();
    test_a_file_without_keys_lets_nobody_in();
    test_lines();
    test_faults();
    test_bytes_that_are_no_text();
    test_too_many_keys();
    test_who_gets_in();
    test_options();
    test_rate();
    test_share();
    test_new_file();
    test_make();
    auth_release(&auth);
    test_no_memory();
    return check_result();
}
