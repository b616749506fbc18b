/* Bodies that are something else than they should be: what is said about each. */
#include "tests/unit/server/input/test_input.h"

/* JSON in other encodings, called JSON, called nothing and called something else. */
static void test_encodings(void)
{
    static const struct {
        const char *text;
        size_t n;
        const char *name;
    } rows[] = {
#define ENCODED(text, name) {text, sizeof(text) - 1, name}
        ENCODED("\xff\xfe{\0}\0", "UTF-16 (little-endian)"),
        ENCODED("\xfe\xff\0\n\0{\0}", "UTF-16 (big-endian)"),
        ENCODED(" \0{\0}\0", "UTF-16 (little-endian)"),
        ENCODED("\0{\0}", "UTF-16 (big-endian)"),
        ENCODED("\xff\xfe\0\0{\0\0\0}\0\0\0", "UTF-32 (little-endian)"),
        ENCODED("\0\0\xfe\xff\0\0\0{\0\0\0}", "UTF-32 (big-endian)"),
        ENCODED("{\0\0\0}\0\0\0", "UTF-32 (little-endian)"),
        ENCODED("\0\0\0 \0\0\0{\0\0\0}", "UTF-32 (big-endian)"),
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int k = 0; k < 2; k++) {
            CHECK_FAULT(read_body(INPUT_VQA, k ? "application/json" : NULL, NULL, rows[i].text, rows[i].n),
                        FAULT_BAD_REQUEST, "", rows[i].name);
            CHECK(says(rows[i].name) && says("is sent in UTF-8"));
        }
        CHECK_FAULT(read_body(INPUT_VQA, "text/plain", NULL, rows[i].text, rows[i].n), FAULT_UNSUPPORTED_IMAGE,
                    "Content-Type", rows[i].name);
        CHECK(says(rows[i].name) && says("in UTF-8 with Content-Type: application/json"));
    }
}

/* What the body is comes before what is missing beside it. */
static void test_no_picture_and_no_text(void)
{
    static const struct {
        const char *type, *body, *words;
        enum fault fault;
        const char *param;
    } rows[] = {
        {NULL, "<!doctype html>", "an HTML page", FAULT_UNSUPPORTED_IMAGE, "image"},
        {NULL, "image: x\nquestion: y", "this is text (\"image: x question: y\")", FAULT_UNSUPPORTED_IMAGE, "image"},
        {NULL, "question=what&image=x", "a form without files", FAULT_UNSUPPORTED_IMAGE, "image"},
        {"text/plain", "texts%5B%5D=what", "a form without files", FAULT_UNSUPPORTED_IMAGE, "image"},
        {NULL, "\xd7\xa7 nothing known", "not those of an image", FAULT_UNSUPPORTED_IMAGE, "image"},
        {NULL, "\n\x89PNG\r\n\x1a\n", "1 byte before the PNG", FAULT_CORRUPT_IMAGE, "image"},
        {"application/yaml", "image: x", "Content-Type application/yaml is not read", FAULT_UNSUPPORTED_IMAGE,
         "Content-Type"},
        {"application/soap+xml", "<a/>", "is not read", FAULT_UNSUPPORTED_IMAGE, "Content-Type"},
        {"application/vnd.msgpack", "\x82\xa5image", "is not read", FAULT_UNSUPPORTED_IMAGE, "Content-Type"},
        {"multipart/related; boundary=x", "--x\r\n\r\nx\r\n--x--", "(multipart/form-data)", FAULT_UNSUPPORTED_IMAGE,
         "Content-Type"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int k = 0; k < 2; k++) {
            CHECK_FAULT(
                read_body(k ? INPUT_RETRIEVE : INPUT_VQA, rows[i].type, NULL, rows[i].body, strlen(rows[i].body)),
                rows[i].fault, rows[i].param, rows[i].words);
            CHECK(says(rows[i].words));
        }
    }
    CHECK_FAULT(read_body(INPUT_VQA, NULL, NULL, "GIF89a;", 7), FAULT_BAD_REQUEST, "question", "a picture");
    CHECK(says("no question"));
}

/* What stands where base64 should. */
static void test_no_base64(void)
{
    static const char *const rows[][2] = {
        {"$IMG", "the shell has not replaced this variable"},
        {"$(base64 -w0 a.jpg)", "the shell has not replaced this variable"},
        {"{{image}}", "a placeholder"},
        {"{image}", "a placeholder"},
        {"%s", "a placeholder"},
        {"...", "a placeholder"},
        {"null", "a word for nothing"},
        {"undefined", "a word for nothing"},
        {"None", "a word for nothing"},
        {"[object Blob]", "how a program prints an object"},
        {"<PIL.JpegImagePlugin.JpegImageFile>", "how a program prints an object"},
        {"<_io.BufferedReader name='x'>", "how a program prints an object"},
        {"System.Byte[]", "how a program prints an object"},
        {"[B@1b2c3d", "how a program prints an object"},
        {"tensor([[1]])", "how a program prints an object"},
        {"C:/photos/cat.jpg", "the name of a file"},
        {"s3://a/b", "addresses are not fetched"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[128];
        int n = snprintf(body, sizeof(body), "{\"image\": \"%s\"}", rows[i][0]);
        CHECK_FAULT(read_body(INPUT_CAPTION, NULL, NULL, body, (size_t)n), FAULT_BAD_REQUEST, "/image", rows[i][0]);
        CHECK(says(rows[i][1]));
    }
    CHECK_TAKEN(read_body(INPUT_CAPTION, NULL, NULL, "{\"image\": \"nullnull\"}", 21)); /* which is base64 */
}

int main(void)
{
    set_limits(16, 128, 1024, 4096);
    test_encodings();
    test_no_picture_and_no_text();
    test_no_base64();
    input_release(&input);
    return check_result();
}
