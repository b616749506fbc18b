#include "engine/kernels/kernels.h"

const char *isa_name(enum isa isa)
{
#define NAME(id, name) [ISA_##id] = #name,
    static const char *const names[ISA_COUNT] = {ISA_LIST(NAME)};
#undef NAME
    BUG_ON(isa >= ISA_COUNT);
    return names[isa];
}
