/* hash - FNV-1a, 64 bits: for hash tables and client buckets, never where an adversary matters.
 *
 * Threads: pure. Source: Fowler, Noll, Vo; offset basis 14695981039346656037. */
#ifndef ENGINE_BASE_HASH_H
#define ENGINE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *bytes, size_t n);
uint64_t hash_text(const char *text);

#endif
