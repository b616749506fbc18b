#include "engine/image/jpeg_library.h"

#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h> /* its codes depend on the switches of jpeglib.h */

enum { FIRST_MARKER = 0xc0, LOSSLESS = 0xc3, LOSSLESS_ARITHMETIC = 0xcb, JPEG_LS = 0xf7 };

enum err jpeg_library_err(int code, int value)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
        return ERR_NOMEM;
    case JERR_IMAGE_TOO_BIG:
    case JERR_WIDTH_OVERFLOW:
        return ERR_IMAGE_TOO_LARGE;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOT_COMPILED:
        return ERR_UNSUPPORTED_IMAGE;
    default: /* a marker of JPEG-LS, for one; lower ones are found in damaged files */
        return code == JERR_UNKNOWN_MARKER && value >= FIRST_MARKER ? ERR_UNSUPPORTED_IMAGE : ERR_CORRUPT_IMAGE;
    }
}

const char *jpeg_library_words(int code, int value)
{
    switch (code) {
    case JERR_SOF_UNSUPPORTED:
        return value == LOSSLESS || value == LOSSLESS_ARITHMETIC
                   ? "a lossless JPEG, which is not read; save it as an ordinary JPEG or as PNG"
                   : "a hierarchical JPEG, which is not read; save it as an ordinary JPEG or as PNG";
    case JERR_UNKNOWN_MARKER:
        return value == JPEG_LS ? "a JPEG-LS file, which is not read; save it as an ordinary JPEG or as PNG" : NULL;
    case JERR_BAD_PRECISION:
        return "more than 8 bits a channel, which are not read; save it as an ordinary 8-bit JPEG, or as PNG";
    default:
        return NULL;
    }
}
