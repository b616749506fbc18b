/* version - of this program: the only place that says it. CMake reads it here. Threads: a constant. */
#ifndef ENGINE_BASE_VERSION_H
#define ENGINE_BASE_VERSION_H

#define VERSION_TEXT "0.1.0"

#endif
