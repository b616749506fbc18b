/* bench_input - what reading a body costs, for the bodies that cost most.
 *
 *     bench_input [MIB]
 *
 * CPU time per MB, the minimum of seven; memory held, and predicted, beside the body. */
#include "engine/base/mem.h"
#include "server/input/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 7, MORE = 1000 };

static struct buf body;
static size_t size = 20u << 20;

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void run(const char *name, const char *type, enum input_route route)
{
    double best = 1e9;
    size_t need = 0, held = 0;
    bool is_taken = false;
    struct input_fault fault;
    for (int i = 0; i < ROUNDS; i++) {
        struct input in;
        struct buf copy;
        buf_init(&copy, body.n);
        buf_append(&copy, body.bytes, body.n);
        struct input_source s = {.route = route,
                                 .content_type = type,
                                 .body = &copy,
                                 .limits = {.images = 16, .texts = 128, .pairs = 1024, .text_bytes = 4096}};
        need = input_need_bytes(&s);
        double from = cpu_ms();
        is_taken = input_parse(&in, &s, &fault);
        double ms = cpu_ms() - from;
        best = ms < best ? ms : best;
        held = input_bytes(&in);
        input_release(&in);
    }
    printf("%-34s %7.3f ms a MB  held %6zu KiB, predicted beside the body %5zu KiB  %.40s\n", name,
           best / ((double)body.n * 1e-6), held >> 10, need >> 10, is_taken ? "taken" : fault.text.text);
}

/* begin, unit over and over, end. */
static void make(const char *begin, const char *unit, const char *end)
{
    size_t n = strlen(unit);
    buf_reset(&body);
    buf_text(&body, begin);
    while (body.n + n < size) {
        buf_append(&body, unit, n);
    }
    buf_text(&body, end);
}

static void run_json(const char *name, const char *begin, const char *unit, const char *end)
{
    make(begin, unit, end);
    run(name, "application/json", INPUT_RETRIEVE);
}

#define PART "--B\r\nContent-Disposition: form-data; name=image\r\n\r\n"

int main(int argc, char **argv)
{
    size = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) << 20 : size;
    buf_init(&body, size + MORE);
    run_json("base64", "{\"text\":\"a\",\"image\":\"", "/9j/4AAQSkZJRgABAQAAAQABAAD+2wBDAAMC", "\"}");
    run_json("base64 with escaped slashes", "{\"text\":\"a\",\"image\":\"", "\\/9j\\/", "\"}");
    run_json("base64 with a \\n every character", "{\"text\":\"a\",\"image\":\"", "A\\n", "\"}");
    run_json("\\u0041", "{\"image\":\"", "\\u0041", "\"}");
    run_json("characters of two bytes", "{\"text\":\"", "\xc3\xa9", "\"}");
    run_json("characters of three bytes", "{\"text\":\"", "\xe2\x82\xac", "\"}");
    run_json("empty objects", "{\"images\":[", "{},", "1]}");
    run_json("white space", "", " \n", "{}");
    run_json("lines, and a fault at the end", "", "\n", "{");
    run_json("one number", "{\"top_k\":1", "1", "}");
    make(PART, "x", "\r\n--B--");
    run("form: one part", "multipart/form-data; boundary=B", INPUT_CAPTION);
    make(PART, "\r\n--", "\r\n--B--");
    run("form: almost boundaries", "multipart/form-data; boundary=B", INPUT_CAPTION);
    make("", "-", "");
    run("form: dashes", "multipart/form-data; boundary=-----------------------------------------------------------b",
        INPUT_CAPTION);
    make("", "--B\r\nContent-Disposition: form-data; name=num_beams\r\n\r\n\r\n", "--B--");
    run("form: parts", "multipart/form-data; boundary=B", INPUT_CAPTION);
    make("\xff\xd8\xff\n", "x", "");
    run("the image alone", NULL, INPUT_CAPTION);
    buf_release(&body);
    return 0;
}
