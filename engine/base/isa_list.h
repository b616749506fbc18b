/* isa_list - the instruction sets that have kernels: plain C, those of x86-64, those of arm64, each worst first. One
 * list for the enum and the names of engine/kernels and for the choices of configuration and command line.
 *
 * Use: #define ROW(id, name) ..., then ISA_LIST(ROW). Threads: constants. */
#ifndef ENGINE_BASE_ISA_LIST_H
#define ENGINE_BASE_ISA_LIST_H

/* clang-format off */
#define ISA_LIST(X) \
    X(REF, ref) \
    X(AVX2, avx2) \
    X(AVXVNNI, avxvnni) \
    X(AVX512, avx512) \
    X(AVX512VNNI, avx512vnni) \
    X(AMX, amx) \
    X(NEON, neon) \
    X(NEONDOT, neondot)
/* clang-format on */

#define ISA_LIST_WORD(id, name) "|" #name
/* "auto|ref|..." */
#define ISA_CHOICES "auto" ISA_LIST(ISA_LIST_WORD)

#endif
