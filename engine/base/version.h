/* version - this program's version. CMake reads it from this file, and scripts/check_names.py compares the files that
 * repeat it. Threads: a constant. */
#ifndef ENGINE_BASE_VERSION_H
#define ENGINE_BASE_VERSION_H

#define VERSION_TEXT "0.1.0"

#endif
