/* Any bytes as event and values of a line of the log, in both formats and cut anywhere: it is one line, valid UTF-8
 * without a character that steers a terminal, and as JSON one object that has the values.
 *
 *     byte 0   which fields, and how often the first value is repeated; the rest is shared out among the values */
#include "engine/base/log_line.h"
#include "engine/base/utf8.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In a block of its own, so that a byte behind the line is seen. */
static void check_line(enum log_format format, const char *event, const struct log_field *fields,
                       const struct log_line_loss *loss)
{
    static const struct timespec when = {1795550101, 42999999};
    struct log_line *l = malloc(sizeof(*l));
    if (!l) {
        abort();
    }
    memset(l, 0x5a, sizeof(*l));
    log_line_build(l, format, &when, LOG_WARN, event, fields, loss);
    BUG_ON(l->n < 2 || l->n > LOG_MAX_LINE || l->text[l->n - 1] != '\n' || memchr(l->text, '\n', l->n - 1));
    for (size_t i = 0; i + 1 < l->n;) {
        uint32_t c;
        size_t n = utf8_next(l->text + i, l->n - 1 - i, &c);
        BUG_ON(n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x2028 && c <= 0x202e) || c == 0xfeff);
        i += n;
    }
    if (format == LOG_JSON) {
        json_error_t e;
        json_t *object =
            json_loadb(l->text, l->n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &e);
        if (!object) {
            fprintf(stderr, "%s at %d\n%.*s", e.text, e.position, (int)l->n, l->text);
        }
        BUG_ON(!object || !json_is_object(object) || !json_object_get(object, "event"));
        json_decref(object);
    }
    free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4) {
        return 0;
    }
    size_t a = data[1] * (size - 4) / 255, b = a + data[2] * (size - 4 - a) / 255, times = 1 + (size_t)(data[0] >> 2);
    const char *text = (const char *)data + 4;
    size_t n_long = a * times;
    char *many = malloc(n_long + 1), *event = malloc(size - 4 - b + 1);
    if (!many || !event) {
        abort();
    }
    for (size_t i = 0; i < times; i++) {
        memcpy(many + i * a, text, a);
    }
    memcpy(event, text + b, size - 4 - b);
    event[size - 4 - b] = '\0';
    double real;
    memset(&real, data[3], sizeof(real));
    const struct log_field *fields = LOG_FIELDS(
        LOG_STRN("first", many, n_long), LOG_STRN("second", text + a, b - a), LOG_REAL("real", real),
        LOG_STR("none", data[0] & 1 ? NULL : event), LOG_INT("int", -(long long)size), LOG_BOOL("flag", true),
        LOG_UINT("most", UINT64_MAX), LOG_STRN("last", text, data[0] & 2 ? size - 4 : 0));
    const struct log_line_loss loss = {data[3], data[2]};
    check_line(LOG_JSON, data[0] & 2 ? event : "request", fields, &loss);
    check_line(LOG_TEXT, data[0] & 2 ? event : "request", fields, &loss);
    free(many);
    free(event);
    return 0;
}
