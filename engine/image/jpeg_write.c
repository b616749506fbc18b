#include "engine/image/jpeg_write.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jpeglib.h>

/* libjpeg reports errors by longjmp: what must be released lives here, not in variables below the setjmp. */
struct writer {
    struct jpeg_compress_struct cinfo;
    struct jpeg_error_mgr errors;
    jmp_buf escape;
    char message[JMSG_LENGTH_MAX];
};

static void on_error(j_common_ptr cinfo)
{
    struct writer *w = cinfo->client_data;
    cinfo->err->format_message(cinfo, w->message);
    longjmp(w->escape, 1);
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo; /* nothing is printed */
}

static bool write_rows(struct writer *w, FILE *file, const uint8_t *rgb, int width, int height, int quality)
{
    struct jpeg_compress_struct *c = &w->cinfo;
    c->err = jpeg_std_error(&w->errors);
    w->errors.error_exit = on_error;
    w->errors.output_message = on_output;
    c->client_data = w;
    if (setjmp(w->escape)) {
        jpeg_destroy_compress(c);
        return false;
    }
    jpeg_create_compress(c);
    jpeg_stdio_dest(c, file);
    c->image_width = (JDIMENSION)width;
    c->image_height = (JDIMENSION)height;
    c->input_components = 3;
    c->in_color_space = JCS_RGB;
    jpeg_set_defaults(c);
    jpeg_set_quality(c, quality, TRUE);
    jpeg_start_compress(c, TRUE);
    while (c->next_scanline < c->image_height) {
        const JSAMPLE *row = rgb + (size_t)c->next_scanline * (size_t)width * 3;
        JSAMPROW rows[] = {(JSAMPROW)row};
        jpeg_write_scanlines(c, rows, 1);
    }
    jpeg_finish_compress(c);
    jpeg_destroy_compress(c);
    return true;
}

enum err jpeg_write_file(const char *path, const uint8_t *rgb, int width, int height, int quality, struct errbuf *e)
{
    struct writer w = {.message = ""};
    FILE *file = fopen(path, "wb");
    if (!file) {
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    }
    bool is_written = write_rows(&w, file, rgb, width, height, quality);
    int reason = errno;
    if (fclose(file) != 0 && is_written) {
        is_written = false;
        reason = errno;
    }
    if (!is_written) {
        unlink(path);
        return err_set(e, ERR_IO, "%s: %s", path, w.message[0] ? w.message : strerror(reason));
    }
    return OK;
}
