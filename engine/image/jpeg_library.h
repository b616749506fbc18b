/* jpeg_library - what the error codes of libjpeg mean: which of our errors, and in words that say what to change.
 *
 * Threads: thread-safe. Failure: none. */
#ifndef ENGINE_IMAGE_JPEG_LIBRARY_H
#define ENGINE_IMAGE_JPEG_LIBRARY_H

#include "engine/base/err.h"

/* `value`: the first number that belongs to the message, a marker for instance. */
enum err jpeg_library_err(int code, int value);

/* The words; NULL: the library's own say it. */
const char *jpeg_library_words(int code, int value);

#endif
