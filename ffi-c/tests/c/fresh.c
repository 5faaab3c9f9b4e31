/* A fresh token copied by copy_token costs no allocation: counted under every malloc of the process (glibc). */
#include <errno.h>

#include "check.h"

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

/* Of this thread: the library's own thread may still be ending. */
static _Thread_local unsigned long allocations;

void *malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    allocations++;
    return __libc_realloc(memory, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    allocations++;
    *memory = __libc_memalign(alignment, size);
    return *memory == NULL ? ENOMEM : 0;
}

int main(void) {
    static char token[16385];
    svctoken_client *client = NULL;
    svctoken_options *options = svctoken_options_new();
    CHECK(svctoken_options_set_timeout(options, 1000) == SVCTOKEN_OK);
    CHECK_OK(svctoken_client_new_atlas(NULL, &client, &error));
    CHECK(svctoken_client_copy_token(client, NULL, token, sizeof token, NULL, NULL) == SVCTOKEN_OK);

    unsigned long before = allocations;
    CHECK(before > 0);
    for (int i = 0; i < 1000; i++) {
        if (svctoken_client_copy_token(client, i % 2 ? NULL : options, token, sizeof token, NULL, NULL)) return 1;
    }
    CHECK(allocations == before);
    svctoken_options_free(options);
    svctoken_client_free(client);
    return 0;
}
