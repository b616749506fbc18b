/* isas - which instruction sets this CPU has kernels for, asked of the tables.
 *
 * Threads: as kernels_select. */
#ifndef TESTS_SUPPORT_ISAS_H
#define TESTS_SUPPORT_ISAS_H

#include "engine/kernels/kernels.h"

__attribute__((unused)) static bool isa_can_run(enum isa isa)
{
    return kernels_select(isa, GEMM_NATIVE)->isa == isa;
}

/* What is chosen when none is named: never amx. */
__attribute__((unused)) static enum isa isa_best(void)
{
    return kernels_select(ISA_COUNT - 1, GEMM_NATIVE)->isa;
}

#endif
