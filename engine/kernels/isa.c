#include "engine/kernels/kernels.h"

const char *isa_name(enum isa isa)
{
    static const char *const names[ISA_COUNT] = {[ISA_REF] = "ref",
                                                 [ISA_AVX2] = "avx2",
                                                 [ISA_AVXVNNI] = "avxvnni",
                                                 [ISA_AVX512] = "avx512",
                                                 [ISA_AVX512VNNI] = "avx512vnni",
                                                 [ISA_AMX] = "amx",
                                                 [ISA_NEON] = "neon",
                                                 [ISA_NEONDOT] = "neondot"};
    BUG_ON(isa >= ISA_COUNT);
    return names[isa];
}
