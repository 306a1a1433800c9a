/* Chooses a backend at run time. */
#include "verify.h"

#if defined(CCP2P_EMULATE)
static int has_avx2(void)
{
    return 1;
}

static int has_ifma(void)
{
    return 1;
}
#elif defined(CCP2P_HAVE_X86_BACKENDS)
static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

static int has_ifma(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512ifma");
}
#endif

const struct backend *backend_find(const char *name)
{
    if (strcmp(name, "portable") == 0) return &backend_portable;
#ifdef CCP2P_HAVE_X86_BACKENDS
    if (strcmp(name, "avx2") == 0 && has_avx2()) return &backend_avx2;
    if (strcmp(name, "ifma") == 0 && has_ifma()) return &backend_ifma;
#endif
    return NULL;
}

const struct backend *backend_best(void)
{
    static const char *const FASTEST_FIRST[] = {"ifma", "avx2"};
    for (size_t i = 0; i < sizeof FASTEST_FIRST / sizeof *FASTEST_FIRST; i++) {
        const struct backend *backend = backend_find(FASTEST_FIRST[i]);
        if (backend != NULL) return backend;
    }
    return &backend_portable;
}
