/* The safetensors reader: what is right in a good file, and one malformed file for each thing that can be wrong. */
#include "engine/model/load/weights.h"
#include "tests/support/check.h"
#include "tests/support/slurp.h"
#include "tests/support/torture.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define TINY "tests/data/tiny/model.safetensors"

/* A file in memory: header padded with spaces to a multiple of 8, then `n_data` bytes 0, 1, 2, ... */
struct file {
    _Alignas(64) unsigned char bytes[1 << 16];
    size_t n;
};

static void make(struct file *f, const char *header, size_t n_data)
{
    uint64_t n = (strlen(header) + 7) / 8 * 8;
    memcpy(f->bytes, &n, 8);
    memset(f->bytes + 8, ' ', n);
    memcpy(f->bytes + 8, header, strlen(header));
    for (size_t i = 0; i < n_data; i++) {
        f->bytes[8 + n + i] = (unsigned char)i;
    }
    f->n = 8 + n + n_data;
}

/* Opens and closes; NULL when it is fine, else the message. */
static const char *message_of(const void *bytes, size_t n)
{
    static struct errbuf e;
    struct weights *w = NULL;
    errbuf_clear(&e);
    enum err rc = weights_parse(&w, bytes, n, "file", &e);
    CHECK(rc ? w == NULL && rc == ERR_BAD_MODEL && e.text[0] : w != NULL);
    weights_close(w);
    return rc ? e.text : NULL;
}

static const char good[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                           "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                           "\"b.scale\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[24,26]},"
                           "\"c\":{\"shape\":[1,2,1,3],\"data_offsets\":[26,32],\"dtype\":\"I8\"}}";

static void test_good_file(void)
{
    static struct file f;
    struct weights *w = NULL;
    make(&f, good, 32);
    CHECK_INT(weights_parse(&w, f.bytes, f.n, "file", NULL), OK);
    CHECK_INT(weights_count(w), 3);
    const struct tensor *a = weights_find(w, "a"), *b = weights_find(w, "b.scale"), *c = weights_find(w, "c");
    CHECK(a == weights_at(w, 0) && b == weights_at(w, 1) && c == weights_at(w, 2));
    CHECK(!weights_find(w, "d") && !weights_find(w, "") && !weights_find(w, "__metadata__"));
    CHECK(a->type == TENSOR_F32 && b->type == TENSOR_BF16 && c->type == TENSOR_I8);
    CHECK(a->n_dims == 2 && a->shape[0] == 2 && a->shape[1] == 3 && a->shape[2] == 1 && a->shape[3] == 1);
    CHECK(b->n_dims == 0 && weights_elements(b) == 1 && b->n_bytes == 2);
    CHECK(c->n_dims == 4 && weights_elements(c) == 6 && c->n_bytes == 6);
    CHECK((const unsigned char *)a->data == f.bytes + f.n - 32 && (const unsigned char *)c->data == f.bytes + f.n - 6);
    weights_close(w);
    weights_close(NULL);
}

#define ONE(dtype, shape, offsets) "{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static const struct {
    const char *header;
    size_t n_data;
    const char *fragment; /* NULL: the file is fine */
} malformed[] = {
    {ONE("F32", "[4]", "[0,16]"), 16, NULL},
    {"", 0, "file: line"},
    {"[]", 0, "must be a JSON object"},
    {"{}", 0, "0 tensors"},
    {"{\"__metadata__\":{}}", 0, "0 tensors"},
    {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
    {"{\"__metadata__\":{\"k\":1}}", 0, "__metadata__ 'k' is not a string"},
    {"{} x", 0, "file: line 1"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},\"t\":{}}", 16, "duplicate"},
    {"{\"t\":{\"dtype\":\"F32\",\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "duplicate"},
    {"{\"t\":[[[[]]]]}", 0, "nested deeper than 3"},
    {"{\"t\":1}", 0, "tensor 't': must have exactly the keys"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4]}}", 16, "tensor 't': must have exactly the keys"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],\"x\":0}}", 16, "must have exactly the keys"},
    {"{\"\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "name must have 1 to 255"},
    {"{\"a b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "tensor 'a b': the name has"},
    {"{\"\\n\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "tensor '?': the name has"},
    {"{\"\\u0000\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "file: line 1"},
    {ONE("F64", "[2]", "[0,16]"), 16, "tensor 't': dtype 'F64' is not"},
    {ONE("f32", "[4]", "[0,16]"), 16, "dtype 'f32' is not"},
    {"{\"t\":{\"dtype\":7,\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "dtype '' is not"},
    {ONE("F32", "4", "[0,16]"), 16, "tensor 't': shape is not an array"},
    {ONE("F32", "[1,1,1,1,4]", "[0,16]"), 16, "more than 4 dimensions"},
    {ONE("F32", "[0]", "[0,0]"), 0, "not a whole number above 0"},
    {ONE("F32", "[-4]", "[0,16]"), 16, "not a whole number above 0"},
    {ONE("F32", "[4.0]", "[0,16]"), 16, "not a whole number above 0"},
    {ONE("F32", "[\"4\"]", "[0,16]"), 16, "not a whole number above 0"},
    {ONE("F32", "[5]", "[0,20]"), 16, "needs more bytes than the file has"},
    {ONE("F32", "[4611686018427387904,4]", "[0,16]"), 16, "needs more bytes"},
    {ONE("F32", "[4294967296,4294967296]", "[0,16]"), 16, "needs more bytes"},
    {ONE("I8", "[65536,65536,65536,65536]", "[0,16]"), 16, "needs more bytes"},
    {ONE("I8", "[9223372036854775807]", "[0,16]"), 16, "needs more bytes"},
    {ONE("I8", "[9223372036854775808]", "[0,16]"), 16, "file: line 1"},
    {ONE("F32", "[4]", "[0]"), 16, "data_offsets are not"},
    {ONE("F32", "[4]", "[0,16,0]"), 16, "data_offsets are not"},
    {ONE("F32", "[4]", "{}"), 16, "data_offsets are not"},
    {ONE("F32", "[4]", "[-16,0]"), 16, "data_offsets are not"},
    {ONE("F32", "[4]", "[16,0]"), 16, "data_offsets are not"},
    {ONE("F32", "[4]", "[0,16.0]"), 16, "data_offsets are not"},
    {ONE("F32", "[4]", "[4,20]"), 16, "point outside the file"},
    {ONE("F32", "[4]", "[9223372036854775791,9223372036854775807]"), 16, "point outside the file"},
    {ONE("F32", "[4]", "[0,12]"), 16, "do not fit the shape"},
    {ONE("BF16", "[4]", "[0,16]"), 16, "do not fit the shape"},
    {ONE("F32", "[3]", "[2,14]"), 16, "tensor 't': the data are not aligned"},
    {ONE("BF16", "[3]", "[1,7]"), 8, "tensor 't': the data are not aligned"},
    {ONE("F16", "[3]", "[1,7]"), 8, "tensor 't': the data are not aligned"},
    {ONE("F32", "[3]", "[0,12]"), 16, "file: 4 bytes after the last tensor"},
    {ONE("F32", "[3]", "[4,16]"), 16, "tensor 't': does not begin where"},
    {"{\"a\":{\"dtype\":\"I8\",\"shape\":[9],\"data_offsets\":[0,9]},"
     "\"b\":{\"dtype\":\"I8\",\"shape\":[8],\"data_offsets\":[8,16]}}",
     16, "tensor 'b': overlaps"},
    {"{\"b\":{\"dtype\":\"I8\",\"shape\":[8],\"data_offsets\":[0,8]},"
     "\"a\":{\"dtype\":\"I8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
     8, "tensor 'b': overlaps"},
    {"{\"a\":{\"dtype\":\"I8\",\"shape\":[7],\"data_offsets\":[0,7]},"
     "\"b\":{\"dtype\":\"I8\",\"shape\":[8],\"data_offsets\":[8,16]}}",
     16, "tensor 'b': does not begin where"},
};

static void test_malformed_files(void)
{
    static struct file f;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        make(&f, malformed[i].header, malformed[i].n_data);
        const char *message = message_of(f.bytes, f.n);
        bool is_as_expected = malformed[i].fragment ? message && strstr(message, malformed[i].fragment) : !message;
        CHECK(is_as_expected);
        if (!is_as_expected) {
            fprintf(stderr, "  %s\n  gave: %s\n", malformed[i].header, message ? message : "no error");
        }
    }
}

static void test_header_lengths(void)
{
    static struct file f;
    static const uint64_t lengths[] = {
        0, 1, 17, (1 << 20), (1 << 20) + 1, UINT32_MAX, INT64_MAX, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        make(&f, ONE("F32", "[4]", "[0,16]"), 16);
        memcpy(f.bytes, &lengths[i], 8);
        CHECK(message_of(f.bytes, f.n));
    }
    for (size_t n = 0; n < 8; n++) {
        CHECK(strstr(message_of(f.bytes, n), "too short"));
    }
    char name[WEIGHTS_MAX_NAME + 2], header[512];
    for (int n = WEIGHTS_MAX_NAME; n <= WEIGHTS_MAX_NAME + 1; n++) {
        memset(name, 'x', sizeof(name));
        snprintf(header, sizeof(header), "{\"%.*s\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", n, name);
        make(&f, header, 1);
        CHECK((message_of(f.bytes, f.n) == NULL) == (n == WEIGHTS_MAX_NAME));
    }
}

/* Every bit of the header flipped and every byte replaced by some that mean something; cut short at every length. What
 * is accepted is walked over (ASan). */
static void test_every_byte_flipped(void)
{
    static const unsigned char values[] = {0, 0xff, '0', '9', '-', '"', '{', ']', ',', 'e', ' '};
    static struct file f;
    int accepted = 0;
    make(&f, good, 32);
    for (size_t i = 0; i < f.n - 32; i++) {
        unsigned char original = f.bytes[i];
        for (size_t k = 0; k < 8 + sizeof(values); k++) {
            struct weights *w = NULL;
            f.bytes[i] = k < 8 ? original ^ (unsigned char)(1u << k) : values[k - 8];
            if (weights_parse(&w, f.bytes, f.n, "file", NULL) == OK) {
                accepted++;
                CHECK(weights_check_finite(w, NULL) == OK);
            }
            weights_close(w);
        }
        f.bytes[i] = original;
    }
    CHECK(accepted > 50); /* names may change */
    for (size_t n = 0; n < f.n; n++) {
        char *exact = malloc(n + 1);
        memcpy(exact, f.bytes, n);
        CHECK(message_of(exact, n) != NULL);
        free(exact);
    }
}

static void test_many_tensors(void)
{
    enum { N = WEIGHTS_MAX_TENSORS };
    char *header = malloc((N + 1) * 80), *at = header;
    for (int n = N; n <= N + 1; n++) {
        struct weights *w = NULL;
        at = header + 8;
        at += snprintf(at, 80, "{");
        for (int i = 0; i < n; i++) {
            at += snprintf(at, 80, "%s\"t%d\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[%d,%d]}", i ? "," : "",
                           i, n - 1 - i, n - i);
        }
        at += snprintf(at, 80, "}");
        uint64_t length = (uint64_t)(at - header - 8);
        memcpy(header, &length, 8);
        size_t n_bytes = 8 + length + (size_t)n;
        unsigned char *file = calloc(1, n_bytes);
        memcpy(file, header, 8 + length);
        struct errbuf e;
        enum err rc = weights_parse(&w, file, n_bytes, "file", &e);
        CHECK_INT(rc, n == N ? OK : ERR_BAD_MODEL);
        for (int i = 0; !rc && i < N; i++) {
            char name[16];
            snprintf(name, sizeof(name), "t%d", i);
            CHECK(weights_find(w, name) == weights_at(w, N - 1 - i)); /* in the order of the data */
        }
        weights_close(w);
        free(file);
    }
    free(header);
}

static void test_not_finite(void)
{
    static struct file f;
    static const struct {
        const char *header;
        uint32_t bits;
        size_t n_bytes;
        bool is_fine;
    } cases[] = {
        {ONE("F32", "[4]", "[0,16]"), 0x7f800000, 4, false}, {ONE("F32", "[4]", "[0,16]"), 0xff800000, 4, false},
        {ONE("F32", "[4]", "[0,16]"), 0x7fc00000, 4, false}, {ONE("F32", "[4]", "[0,16]"), 0xff800001, 4, false},
        {ONE("F32", "[4]", "[0,16]"), 0x7f7fffff, 4, true},  {ONE("F32", "[4]", "[0,16]"), 0x00000001, 4, true},
        {ONE("BF16", "[8]", "[0,16]"), 0x7f80, 2, false},    {ONE("BF16", "[8]", "[0,16]"), 0xffc1, 2, false},
        {ONE("BF16", "[8]", "[0,16]"), 0xff7f, 2, true},     {ONE("F16", "[8]", "[0,16]"), 0x7c00, 2, false},
        {ONE("F16", "[8]", "[0,16]"), 0xfe01, 2, false},     {ONE("F16", "[8]", "[0,16]"), 0xfbff, 2, true},
        {ONE("I8", "[16]", "[0,16]"), 0xffff, 2, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weights *w = NULL;
        struct errbuf e;
        make(&f, cases[i].header, 16);
        memcpy(f.bytes + f.n - cases[i].n_bytes, &cases[i].bits, cases[i].n_bytes);
        CHECK_INT(weights_parse(&w, f.bytes, f.n, "file", &e), OK);
        enum err rc = weights_check_finite(w, &e);
        CHECK_INT(rc, cases[i].is_fine ? OK : ERR_BAD_MODEL);
        CHECK(rc == OK || strstr(e.text, "tensor 't'"));
        weights_close(w);
    }
}

/* Written by the public package: fp32, and int8 with scales. */
static void check_model(const char *dir, enum tensor_type type)
{
    struct weights *w = NULL;
    struct errbuf e;
    char path[128], hex[65];
    snprintf(path, sizeof(path), "%s/model.safetensors", dir);
    CHECK_INT(weights_open(&w, path, &e), OK);
    weights_sha256(w, hex);
    snprintf(path, sizeof(path), "%s/config.json", dir);
    size_t n;
    char *config = slurp(path, &n);
    CHECK(strstr(config, hex) && strlen(hex) == 64);
    free(config);
    CHECK_INT(weights_check_finite(w, &e), OK);
    const struct tensor *t = weights_find(w, "fusion.embeddings.word.weight");
    CHECK(t && t->type == type && t->n_dims == 2 && t->shape[0] == 247 && t->shape[1] == 48);
    for (int i = 0; i < weights_count(w); i++) {
        CHECK(weights_find(w, weights_at(w, i)->name) == weights_at(w, i));
    }
    weights_close(w);
}

static void test_small_models(void)
{
    check_model("tests/data/tiny", TENSOR_F32);
    check_model("tests/data/tiny-lite", TENSOR_I8);
}

static void test_files_that_are_not_there(void)
{
    struct weights *w = NULL;
    struct errbuf e;
    CHECK_INT(weights_open(&w, "tests/data/tiny/absent.safetensors", &e), ERR_IO);
    CHECK(!w && strstr(e.text, "absent.safetensors"));
    CHECK_INT(weights_open(&w, "tests/data/tiny", &e), ERR_IO);
    CHECK_INT(weights_open(&w, "/dev/null", &e), ERR_IO);
    char path[] = "/tmp/test_weights_XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK_INT(weights_open(&w, path, &e), ERR_BAD_MODEL);
    CHECK(strstr(e.text, "too short"));
    close(fd);
    unlink(path);
}

/* The mapping is of the old file: a new one renamed over it changes nothing. */
static void test_file_replaced_while_mapped(void)
{
    struct weights *w = NULL;
    char path[] = "/tmp/test_weights_XXXXXX", other[] = "/tmp/test_weights_XXXXXX", before[65], after[65];
    size_t n;
    char *bytes = slurp(TINY, &n);
    int fd = mkstemp(path), other_fd = mkstemp(other);
    CHECK(write(fd, bytes, n) == (ssize_t)n && write(other_fd, "nothing", 7) == 7);
    CHECK_INT(weights_open(&w, path, NULL), OK);
    weights_sha256(w, before);
    CHECK_INT(rename(other, path), 0);
    weights_sha256(w, after);
    CHECK_STR(after, before);
    weights_close(w);
    close(fd);
    close(other_fd);
    unlink(path);
    free(bytes);
}

static enum err open_tiny(void *arg)
{
    struct weights *w = NULL;
    struct errbuf e;
    (void)arg;
    enum err rc = weights_open(&w, TINY, &e);
    CHECK((rc == OK) == (w != NULL));
    weights_close(w);
    return rc;
}

static enum err parse_good(void *arg)
{
    struct file *f = arg;
    struct weights *w = NULL;
    enum err rc = weights_parse(&w, f->bytes, f->n, "file", NULL);
    weights_close(w);
    return rc;
}

static void test_every_allocation_fails_once(void)
{
    static struct file f;
    make(&f, good, 32);
    CHECK(torture(parse_good, &f) == 6);
    CHECK(torture(open_tiny, NULL) >= 5);
}

int main(void)
{
    test_good_file();
    test_malformed_files();
    test_header_lengths();
    test_every_byte_flipped();
    test_many_tensors();
    test_not_finite();
    test_small_models();
    test_files_that_are_not_there();
    test_file_replaced_while_mapped();
    test_every_allocation_fails_once();
    return check_result();
}
