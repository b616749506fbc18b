/* version - this program's version, defined only here. CMake reads it from this file. Threads: a constant. */
#ifndef ENGINE_BASE_VERSION_H
#define ENGINE_BASE_VERSION_H

#define VERSION_TEXT "0.1.0"

#endif
