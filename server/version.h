/* version - of this program. Threads: a constant. */
#ifndef SERVER_VERSION_H
#define SERVER_VERSION_H

#define MINIVLM_VERSION "0.1.0"

#endif
