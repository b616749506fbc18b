/* multipart/form-data: boundaries, heads of parts, and what browsers and libraries send. */
#include "tests/unit/server/input/test_input.h"

#define HEAD(name)        "--B\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define END               "\r\n--B--\r\n"
#define FORM(route, body) read_form(route, body, sizeof(body) - 1)
#define PLAIN_IMAGE                                                                                                    \
    "--B\r\nContent-Disposition: form-data; name=\"image\"\r\nContent-Transfer-Encoding: base64\r\n\r\nQUI=\r\n"
#define PLAIN(head, bytes) "--B\r\n" head "\r\n\r\n" bytes END

/* ---- good forms ---- */

static void test_parts(void)
{
    CHECK_TAKEN(FORM(INPUT_VQA, HEAD("image") "\x89PNG\r\n\x1a\n\0\r\n--\r\n--C\r\n" HEAD(
                                    "question") "what is it?\r\n" HEAD("top_k") "3" END));
    CHECK(input.n_images == 1 && input.n_texts == 1 && input.top_k == 3 && !input.has_image_list);
    CHECK(IS_IMAGE(0, "\x89PNG\r\n\x1a\n\0\r\n--\r\n--C"));
    CHECK(IS_TEXT(0, "what is it?"));
    CHECK_TAKEN(FORM(INPUT_CAPTION, HEAD("image") "a\r\n" HEAD("images") "b\r\n" HEAD("images[]") "c" END));
    CHECK(input.n_images == 3 && input.has_image_list && IS_IMAGE(0, "a") && IS_IMAGE(1, "b") && IS_IMAGE(2, "c"));
    CHECK_TAKEN(read_body(INPUT_VQA, "multipart/form-data; boundary=B", "question=q", HEAD("image") "a" END,
                          sizeof(HEAD("image") "a" END) - 1));
    CHECK(IS_TEXT(0, "q"));
    CHECK_TAKEN(FORM(INPUT_RETRIEVE, HEAD("image") "a\r\n" HEAD("text") "x\r\n" HEAD("text") "y" END));
    CHECK(input.n_texts == 2 && IS_TEXT(0, "x") && IS_TEXT(1, "y"));
}

static void test_preamble_and_epilogue(void)
{
    CHECK_TAKEN(FORM(INPUT_CAPTION, "This is a form.\r\n--Cad?\r\n\r\n" HEAD("image") "a" END "--B\r\nleft over"));
    CHECK(input.n_images == 1 && IS_IMAGE(0, "a"));
    CHECK_TAKEN(FORM(INPUT_CAPTION, "\r\n" HEAD("image") "a\r\n--B--"));
    CHECK(IS_IMAGE(0, "a"));
    CHECK_FAULT(FORM(INPUT_CAPTION, "--B--"), FAULT_BAD_REQUEST, "image", "no parts");
    CHECK_FAULT(FORM(INPUT_CAPTION, "x" HEAD("image") "a" END), FAULT_BAD_REQUEST, "image", "no line of its own");
}

/* A part may be as small as nothing; its CRLF may be the one of its boundary. */
static void test_empty_parts(void)
{
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("image") "\r\n--B--"), FAULT_UNSUPPORTED_IMAGE, "image", "0 bytes");
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("image") "--B--"), FAULT_UNSUPPORTED_IMAGE, "image", "0 bytes");
    CHECK_TAKEN(FORM(INPUT_CAPTION, HEAD("image") "a\r\n" HEAD("image") "\r\n" HEAD("image") "c" END));
    CHECK(input.n_images == 3 && IS_IMAGE(0, "a") && input.images[1].fault && IS_IMAGE(2, "c")); /* no place moves */
    CHECK_INT(input.images[1].fault->fault, FAULT_UNSUPPORTED_IMAGE);
    CHECK_FAULT(FORM(INPUT_VQA, HEAD("image") "a\r\n" HEAD("question") "" END), FAULT_BAD_REQUEST, "question", "empty");
    CHECK_TAKEN(FORM(INPUT_VQA,
                     HEAD("image") "a\r\n" HEAD("top_k") "\r\n" HEAD("question") "q\r\n" HEAD("questions") "\r\n" HEAD(
                         "timeout_ms") "\r\n" HEAD("regions") "" END)); /* fields that nobody filled in */
    CHECK(input.top_k == 0 && input.n_texts == 1 && !input.has_text_list && !input.regions);
    CHECK_FAULT(
        FORM(INPUT_RETRIEVE, HEAD("image") "a\r\n" HEAD("text") "x\r\n" HEAD("text") "\r\n" HEAD("text") "y" END),
        FAULT_BAD_REQUEST, "text", "an empty one between two");
    CHECK_FAULT(FORM(INPUT_VQA, HEAD("image") "a\r\n" HEAD("colour") "" END), FAULT_BAD_REQUEST, "colour", "unknown");
    CHECK_TAKEN(FORM(INPUT_CAPTION, HEAD("images") "\r\n" HEAD("image") "a" END)); /* a text field for the other name */
    CHECK(input.n_images == 1 && IS_IMAGE(0, "a") && !input.has_image_list);
    CHECK_TAKEN(FORM(INPUT_CAPTION, HEAD("images") "a\r\n" HEAD("image") "\r\n" HEAD("images") "b" END));
    CHECK(input.n_images == 2 && IS_IMAGE(0, "a") && IS_IMAGE(1, "b") && input.has_image_list);
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("images") "\r\n" HEAD("image") "" END), FAULT_UNSUPPORTED_IMAGE, "images",
                "both");
    CHECK_TAKEN(FORM(
        INPUT_CAPTION,
        "--B\r\nContent-Disposition: form-data; name=\"images\"; filename=\"x\"\r\n\r\n\r\n" HEAD("image") "a" END));
    CHECK(input.n_images == 2 && input.images[0].fault); /* an empty file was chosen */
    static const char unfilled[] = "--B\r\nContent-Disposition: form-data; name=\"image\"; filename=\"\"\r\n"
                                   "Content-Type: application/octet-stream\r\n\r\n\r\n";
    struct buf b;
    buf_init(&b, 1000);
    buf_text(&b, unfilled);
    buf_text(&b, HEAD("image") "x" END);
    CHECK_TAKEN(read_form(INPUT_CAPTION, b.bytes, b.n)); /* a browser's file field without a file */
    CHECK(input.n_images == 1 && IS_IMAGE(0, "x"));
    buf_reset(&b);
    buf_text(&b, unfilled);
    buf_text(&b, "--B--");
    CHECK_FAULT(read_form(INPUT_CAPTION, b.bytes, b.n), FAULT_BAD_REQUEST, "image", "no image at all");
    buf_release(&b);
}

/* PHP, Rails, axios and jQuery write lists with brackets. */
static void test_brackets(void)
{
    CHECK_TAKEN(FORM(INPUT_RETRIEVE, HEAD("image[]") "a\r\n" HEAD("texts[]") "x\r\n" HEAD("texts[]") "y" END));
    CHECK(input.n_images == 1 && input.has_image_list && input.has_text_list && IS_TEXT(0, "x") && IS_TEXT(1, "y"));
    CHECK_TAKEN(FORM(INPUT_RETRIEVE, HEAD("texts[1]") "y\r\n" HEAD("images[2]") "c\r\n" HEAD("images[0]") "a\r\n" HEAD(
                                         "texts[0]") "x\r\n" HEAD("images[1]") "b" END));
    CHECK(input.n_images == 3 && IS_IMAGE(0, "a") && IS_IMAGE(1, "b") && IS_IMAGE(2, "c"));
    CHECK(input.n_texts == 2 && IS_TEXT(0, "x") && IS_TEXT(1, "y"));
    CHECK_TAKEN(FORM(INPUT_VQA, HEAD("image[0]") "a\r\n" HEAD("questions[]") "q\r\n" HEAD("question[]") "r" END));
    CHECK(input.n_texts == 2 && input.n_images == 1);
    CHECK_TAKEN(FORM(INPUT_RETRIEVE, HEAD("texts.1") "y\r\n" HEAD("image.0") "a\r\n" HEAD("texts.0") "x" END));
    CHECK(input.n_texts == 2 && IS_TEXT(0, "x") && IS_TEXT(1, "y") && input.has_image_list);
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("image[0][file]") "a" END), FAULT_BAD_REQUEST, "image[0][file]", "no list");
    CHECK(strstr(fault.text.text, "image[0]"));
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("file") "a" END), FAULT_BAD_REQUEST, "file", "unknown");
    CHECK(strstr(fault.text.text, "there are image, images, num_beams"));
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("images[1]") "a" END), FAULT_BAD_REQUEST, "images", "indices begin at 0");
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("images[0]") "a\r\n" HEAD("images[0]") "b" END), FAULT_BAD_REQUEST, "images",
                "twice");
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("images[0]") "a\r\n" HEAD("image") "b" END), FAULT_BAD_REQUEST, "images",
                "mixed");
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("images[a]") "a" END), FAULT_BAD_REQUEST, "images[a]", "no number");
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("image") "a\r\n" HEAD("regions[]") "1" END), FAULT_BAD_REQUEST, "regions[]",
                "no list");
}

/* ---- boundaries ---- */

static bool with_type(const char *type, const char *body)
{
    return read_body(INPUT_CAPTION, type, NULL, body, strlen(body));
}

static void test_boundaries(void)
{
    static const char quoted[] = "--a b;c\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nx\r\n--a b;c--";
    CHECK_TAKEN(with_type("multipart/form-data; boundary=\"a b;c\"", quoted));
    CHECK(IS_IMAGE(0, "x"));
    CHECK_TAKEN(with_type("Multipart/Form-Data;charset=utf-8; Boundary=B ; x=y", HEAD("image") "a" END));
    CHECK_TAKEN(with_type("multipart/form-data; boundary=\"B\"", HEAD("image") "a" END));
    CHECK_TAKEN(with_type("multipart/form-data; boundary=B;", HEAD("image") "a" END));
    CHECK_TAKEN(with_type("multipart/form-data; xboundary=C; boundary=B", HEAD("image") "a" END));
    CHECK_TAKEN(with_type("multipart/form-data; x=\"; boundary=C\"; boundary=B", HEAD("image") "a" END));
    CHECK_TAKEN(with_type("multipart/form-data; boundary=B",
                          "--B \t\r\nContent-Disposition: form-data; name=image\r\n\r\na\r\n--B--"));
    CHECK_FAULT(
        with_type("multipart/form-data; boundary=B", "--B\nContent-Disposition: form-data; name=image\n\na\n--B--\n"),
        FAULT_BAD_REQUEST, "", "LF");
    CHECK(strstr(fault.text.text, "CR LF"));
    CHECK_FAULT(with_type("multipart/form-data; boundary=B",
                          "text\n--B\nContent-Disposition: form-data; name=image\n\na\n--B--\n"),
                FAULT_BAD_REQUEST, "", "LF");
    CHECK(strstr(fault.text.text, "CR LF"));
    static const char *const bad[] = {
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=; x",
        "multipart/form-data; boundary=01234567890123456789012345678901234567890123456789012345678901234567890",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_FAULT(with_type(bad[i], HEAD("image") "a" END), FAULT_BAD_REQUEST, "Content-Type", bad[i]);
    }
    CHECK_FAULT(with_type("multipart/form-data; boundary=other", HEAD("image") "a" END), FAULT_BAD_REQUEST,
                "Content-Type", "other");
    CHECK(strstr(fault.text.text, "--other") && strstr(fault.text.text, "it begins with --B;"));
    CHECK_FAULT(with_type("multipart/form-data; boundary=B", "\n" HEAD("image") "a\r\n" HEAD("num_beams") "2" END),
                FAULT_BAD_REQUEST, "", "LF before the first part, which must not be passed over");
    CHECK(strstr(fault.text.text, "CR LF"));
    CHECK_FAULT(with_type("multipart/form-data; boundary=B", ""), FAULT_BAD_REQUEST, "", "nothing");
    CHECK_FAULT(with_type("multipart/form-data; boundary=B", "-"), FAULT_BAD_REQUEST, "", "one byte");
    char type[128], body[400], seventy[71];
    memset(seventy, 'b', 70);
    seventy[70] = '\0';
    snprintf(type, sizeof(type), "multipart/form-data; boundary=%s", seventy);
    snprintf(body, sizeof(body), "--%s\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nx\r\n--%s--", seventy,
             seventy);
    CHECK_TAKEN(with_type(type, body));
}

/* Cut anywhere, a form is refused; only what follows the closing boundary may be missing. */
static void test_cut_anywhere(void)
{
    static const char form[] = HEAD("image") "abc\r\n" HEAD("num_beams") "2\r\n--B--";
    for (size_t n = 0; n < sizeof(form) - 1; n++) {
        char *exact = malloc(n + 1);
        memcpy(exact, form, n);
        CHECK_FAULT(read_form(INPUT_CAPTION, exact, n), FAULT_BAD_REQUEST, "", "cut");
        free(exact);
    }
    CHECK_TAKEN(FORM(INPUT_CAPTION, form));
}

/* ---- heads ---- */

#define NAMED(head) FORM(INPUT_CAPTION, PLAIN(head, "x"))

/* What stands in a file name is no name. */
static void test_names(void)
{
    static const char *const heads[] = {
        "Content-Disposition: form-data; filename=\"my name=x.jpg\"; name=\"image\"",
        "Content-Disposition: form-data; filename=\"a; name=b.jpg\"; name=\"image\"",
        "Content-Disposition: form-data; filename=\"a\\\"; name=\\\"b\"; name=\"image\"",
        "Content-Disposition: form-data; filename=\"C:\\photos\\\"; name=\"image\"", /* an old browser's path */
        "Content-Disposition: form-data; filename=\"C:\\photos\\a.jpg\"; name=\"image\"",
        "Content-Disposition: form-data; filename=; name=image",
        "Content-Disposition: form-data; filename; name=image",
        "Content-Disposition: form-data; filename*=UTF-8''name=b; name=\"image\"",
        "Content-Disposition: form-data; name*=UTF-8''im%61ge",
        "Content-Disposition: form-data; name*=utf-8'en'image; filename=\"x\"",
        "Content-Disposition: form-data; name*=UTF-8''other; name=\"image\"",
        "Content-Disposition: form-data; name=\"image\"; name*=UTF-8''other",
        "Content-Disposition: form-data ; name = \"image\" ; filename = x",
        "Content-Disposition: form-data;\r\n name=\"image\";\r\n\tfilename=\"x\"", /* folded */
        "Content-Disposition: form-data; name=\"im\\\\age\"; name=\"image\"",
        "Content-Type: image/jpeg; name=\"other\"\r\nContent-Disposition: form-data; name=\"image\"",
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        char body[400];
        snprintf(body, sizeof(body), "--B\r\n%s\r\n\r\nx" END, heads[i]);
        if (i == 14) {
            CHECK_FAULT(read_form(INPUT_CAPTION, body, strlen(body)), FAULT_BAD_REQUEST, "im\\age", "the first counts");
            continue;
        }
        CHECK_TAKEN(read_form(INPUT_CAPTION, body, strlen(body)));
        CHECK(input.n_images == 1 && IS_IMAGE(0, "x"));
    }
}

static void test_transfer_encodings(void)
{
    CHECK_FAULT(FORM(INPUT_VQA, HEAD("image") "a\r\n--B\r\nContent-Type: application/json; charset=utf-8\r\n"
                                              "Content-Disposition: form-data; name=\"question\"\r\n\r\n\"q\"" END),
                FAULT_BAD_REQUEST, "question", "JSON in a part");
    CHECK_TAKEN(NAMED("Content-Transfer-Encoding: binary\r\nContent-Disposition: form-data; name=\"image\""));
    CHECK(IS_IMAGE(0, "x"));
    CHECK_TAKEN(
        FORM(INPUT_CAPTION,
             PLAIN("Content-Disposition: form-data; name=\"image\"\r\nContent-Transfer-Encoding:BASE64 ", "QU\r\nI=")));
    CHECK(IS_IMAGE(0, "AB"));
    CHECK_FAULT(
        FORM(INPUT_CAPTION,
             PLAIN("Content-Disposition: form-data; name=\"image\"\r\nContent-Transfer-Encoding: base64", "QU!I")),
        FAULT_BAD_REQUEST, "image", "half");
    CHECK(strstr(fault.text.text, "is not base64, as its Content-Transfer-Encoding says") != NULL);
    CHECK_FAULT(NAMED("Content-Disposition: form-data; name=\"image\"\r\nContent-Transfer-Encoding: x-uuencode"),
                FAULT_BAD_REQUEST, "image", "x-uuencode is not read");
    CHECK_FAULT(NAMED("Content-Disposition: form-data; name=\"image\"\r\nContent-Type: multipart/mixed; boundary=C"),
                FAULT_UNSUPPORTED_IMAGE, "image", "a form in a form");
}

/* A part named image in quoted-printable. */
static bool read_quoted(const char *bytes)
{
    char body[256];
    int n = snprintf(body, sizeof(body),
                     "--B\r\nContent-Disposition: form-data; name=\"image\"\r\n"
                     "Content-Transfer-Encoding: Quoted-Printable\r\n\r\n%s" END,
                     bytes);
    return read_form(INPUT_CAPTION, body, (size_t)n);
}

static void test_quoted_printable(void)
{
    static const char *const rows[][2] = {{"x", "x"},       {"=41=4a=4A", "AJJ"}, {"a=\r\nb", "ab"},
                                          {"a=\nb=", "ab"}, {"a= \t\r\nb", "ab"}, {"a\r\nb", "a\r\nb"},
                                          {"=3D41", "=41"}, {"=41= ", "A"},       {"=FF=d8=\r\n", "\xff\xd8"}};
    static const char *const bad[][2] = {
        {"ab=4", "byte 2 "}, {"=4g", "byte 0 "}, {"a==41", "byte 1 "}, {"=\rx", "byte 0 "}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_TAKEN(read_quoted(rows[i][0]));
        CHECK(is_image(0, rows[i][1], strlen(rows[i][1])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_FAULT(read_quoted(bad[i][0]), FAULT_BAD_REQUEST, "image", bad[i][0]);
        CHECK(strstr(fault.text.text, bad[i][1]) && strstr(fault.text.text, "without this header"));
    }
    CHECK_TAKEN(FORM(INPUT_VQA, PLAIN_IMAGE "--B\r\nContent-Disposition: form-data; name=\"question\"\r\n"
                                            "Content-Transfer-Encoding: quoted-printable\r\n\r\nwhat=20=C3=A9" END));
    CHECK(IS_TEXT(0, "what \xc3\xa9"));
}

/* A part changes nothing beyond its own bytes. */
static void test_neighbours(void)
{
    CHECK_TAKEN(FORM(INPUT_VQA, PLAIN_IMAGE HEAD("question") "q\r\n" HEAD("image") "z" END));
    CHECK(input.n_images == 2 && IS_IMAGE(0, "AB") && IS_IMAGE(1, "z") && IS_TEXT(0, "q"));
    CHECK(strncmp((const char *)input.images[1].bytes, "z\r\n--B--", 8) == 0);
}

static void test_heads(void)
{
    CHECK_TAKEN(NAMED("Content-Disposition: form-data; name=\"image\"; filename=\"../../etc/passwd\""));
    CHECK_TAKEN(NAMED("Content-Disposition: form-data; filename=\"a.jpg\"; name=\"image\""));
    CHECK_TAKEN(NAMED("content-disposition:form-data;NAME=\"image\""));
    CHECK_TAKEN(NAMED("Content-Type: image/jpeg\r\nContent-Disposition: form-data; name=\"image\"\r\nX: y"));
    CHECK_TAKEN(NAMED("Content-Disposition: form-data; filename*=UTF-8''%e2%82%ac; name=\"image\""));
    CHECK_TAKEN(NAMED("Content-Disposition: form-data; name=image; filename=a.jpg")); /* .NET writes no quotes */
    CHECK_TAKEN(NAMED("Content-Disposition: form-data; name=image"));
    CHECK(input.n_images == 1 && IS_IMAGE(0, "x"));
    char body[9000];
    snprintf(body, sizeof(body),
             "--B\r\nContent-Disposition: form-data; name=\"image\"; filename=\"%01000d\"\r\n\r\nx%s", 0, END);
    CHECK_TAKEN(read_form(INPUT_CAPTION, body, strlen(body))); /* a head of 1 KiB */
    CHECK(IS_IMAGE(0, "x"));
    snprintf(body, sizeof(body), "--B\r\nX: %08200d\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nx%s", 0,
             END);
    CHECK_FAULT(read_form(INPUT_CAPTION, body, strlen(body)), FAULT_BAD_REQUEST, "", "a head of 8 KiB");
}

static void test_parts_without_a_name(void)
{
    CHECK_FAULT(NAMED("Content-Disposition: form-data"), FAULT_BAD_REQUEST, "", "no name");
    CHECK_FAULT(NAMED("Content-Disposition: form-data; filename=\"image\""), FAULT_BAD_REQUEST, "", "file name alone");
    CHECK_FAULT(NAMED("Content-Disposition: form-data; name=\"image"), FAULT_BAD_REQUEST, "", "half quoted");
    CHECK_FAULT(NAMED("Content-Disposition: form-data; name="), FAULT_BAD_REQUEST, "", "nothing");
    CHECK_FAULT(NAMED("Content-Disposition: form-data; xname=\"image\""), FAULT_BAD_REQUEST, "", "xname");
    CHECK_FAULT(NAMED("Content-Type: image/jpeg"), FAULT_BAD_REQUEST, "", "no disposition");
    CHECK_FAULT(NAMED("X: name=\"image\""), FAULT_BAD_REQUEST, "", "another header");
    CHECK_FAULT(FORM(INPUT_CAPTION, "--B\r\n\r\nx" END), FAULT_BAD_REQUEST, "", "no head");
    CHECK_FAULT(FORM(INPUT_CAPTION, "--B\r\n--B--"), FAULT_BAD_REQUEST, "", "no part at all");
    /* the head of one part is not that of the one before */
    CHECK_FAULT(FORM(INPUT_CAPTION, "--B\r\n\r\nx\r\n" HEAD("image") "a" END), FAULT_BAD_REQUEST, "", "headless first");
    CHECK_FAULT(FORM(INPUT_CAPTION, "--B\r\nX: y\r\n" HEAD("image") "a" END), FAULT_BAD_REQUEST, "",
                "unfinished first");
    char body[400];
    snprintf(body, sizeof(body), "--B\r\nContent-Disposition: form-data; name=\"%0200d\"\r\n\r\nx%s", 0, END);
    CHECK_FAULT(read_form(INPUT_CAPTION, body, strlen(body)), FAULT_BAD_REQUEST, "", "a name too long");
}

static void test_unknown_names(void)
{
    CHECK_FAULT(NAMED("Content-Disposition: form-data; name=\"colour\""), FAULT_BAD_REQUEST, "colour", "unknown");
    CHECK_FAULT(NAMED("Content-Disposition: form-data; name=\"\""), FAULT_BAD_REQUEST, "", "empty name");
    CHECK_FAULT(NAMED("Content-Disposition: form-data; name=\"Image\""), FAULT_BAD_REQUEST, "Image", "case");
}

/* ---- values ---- */

static void test_values(void)
{
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("image") "a\r\n" HEAD("num_beams") "2\0" END), FAULT_BAD_REQUEST, "num_beams",
                "NUL");
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("image") "a\r\n" HEAD("regions") "true\0x" END), FAULT_BAD_REQUEST, "regions",
                "NUL");
    CHECK_FAULT(FORM(INPUT_VQA, HEAD("image") "a\r\n" HEAD("question") "\0\0" END), FAULT_BAD_REQUEST, "question",
                "NUL");
    CHECK_FAULT(FORM(INPUT_VQA, HEAD("image") "a\r\n" HEAD("question") "w\0h\0a\0t\0" END), FAULT_BAD_REQUEST,
                "question", "UTF-16");
    CHECK_FAULT(FORM(INPUT_VQA, HEAD("image") "a\r\n" HEAD("question") "\xc3" END), FAULT_BAD_REQUEST, "question",
                "UTF-8");
    enum { N = 65536 };
    char *body = malloc(N + 200);
    int n = snprintf(body, 200, "%s", HEAD("num_beams"));
    memset(body + n, '1', N);
    snprintf(body + n + N, 20, "%s", END);
    CHECK_FAULT(read_form(INPUT_CAPTION, body, (size_t)n + N + sizeof(END) - 1), FAULT_TEXT_TOO_LONG, "num_beams",
                "64K");
    free(body);
}

static void test_limits(void)
{
    set_limits(2, 2, 1024, 16);
    CHECK_FAULT(FORM(INPUT_CAPTION, HEAD("image") "a\r\n" HEAD("image") "b\r\n" HEAD("image") "c" END),
                FAULT_TOO_MANY_INPUTS, "image", "3 images");
    CHECK_FAULT(FORM(INPUT_RETRIEVE, HEAD("text") "a\r\n" HEAD("text") "b\r\n" HEAD("text") "c" END),
                FAULT_TOO_MANY_INPUTS, "text", "3 texts");
    CHECK_FAULT(FORM(INPUT_RETRIEVE, HEAD("text") "0123456789abcdefg" END), FAULT_TEXT_TOO_LONG, "text", "17 bytes");
    set_limits(16, 128, 1024, 4096);
    enum { PARTS = 1025 };
    struct buf body;
    buf_init(&body, 1 << 20);
    for (int i = 0; i < PARTS; i++) {
        buf_text(&body, HEAD("num_beams") "1\r\n");
    }
    buf_text(&body, "--B--");
    CHECK_FAULT(read_form(INPUT_CAPTION, body.bytes, body.n), FAULT_BAD_REQUEST, "", "1025 parts");
    CHECK(strstr(fault.text.text, "more than 1024 parts") != NULL);
    buf_release(&body);
}

int main(void)
{
    set_limits(16, 128, 1024, 4096);
    test_parts();
    test_preamble_and_epilogue();
    test_empty_parts();
    test_brackets();
    test_boundaries();
    test_names();
    test_transfer_encodings();
    test_quoted_printable();
    test_neighbours();
    test_cut_anywhere();
    test_heads();
    test_parts_without_a_name();
    test_unknown_names();
    test_values();
    test_limits();
    input_release(&input);
    return check_result();
}
