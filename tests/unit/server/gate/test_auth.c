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
    enum err rc = auth_load(&auth, path, &e);
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
    snprintf(expected, sizeof(expected), "%s:%d: expected NAME and the key's SHA-256 as 64 hexadecimal digits", path,
             line);
    CHECK_STR(e.text, expected);
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
    CHECK_INT(auth_load(&auth, "", &e), OK);
    CHECK(auth.keys == NULL);
    CHECK_STR(who("Bearer x"), "nobody");
    auth_release(&auth);
    errbuf_clear(&e);
    CHECK_INT(auth_load(&auth, "/nonexistent/keys", &e), ERR_BAD_CONFIG);
    CHECK_STR(e.text, "auth.keys_file: /nonexistent/keys: No such file or directory");
    errbuf_clear(&e);
    CHECK_INT(auth_load(&auth, "/tmp", &e), ERR_BAD_CONFIG);
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
    snprintf(text, sizeof(text), "a%300s%s\n", " ", hex_of("a")); /* a line longer than a line can be */
    check_fault(text, 1);
    snprintf(text, sizeof(text), "a %s%300sb\n", hex_of("a"), " "); /* its beginning alone would be one */
    check_fault(text, 1);
    snprintf(text, sizeof(text), "x%254sa %s\n", " ", hex_of("a")); /* its end alone would be a key */
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
    enum { MOST = 10000 };
    size_t n_line = (size_t)snprintf(NULL, 0, "n %s\n", hex_of("a"));
    char *text = malloc((MOST + 1) * n_line + 1);
    for (size_t i = 0; i <= MOST; i++) {
        snprintf(text + i * n_line, n_line + 1, "n %s\n", hex_of("a"));
    }
    CHECK_INT(load(text, MOST * n_line), OK);
    CHECK_INT(auth.n_keys, MOST);
    CHECK_INT(load(text, (MOST + 1) * n_line), ERR_BAD_CONFIG);
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
    auth_release(&auth);
    test_no_memory();
    return check_result();
}
