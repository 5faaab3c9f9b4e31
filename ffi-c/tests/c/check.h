/* What the test programs share: a check that says where it failed, and ends the program. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svctoken.h"

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

/* A call that must succeed; shows why it did not. */
#define CHECK_OK(call)                                                                                       \
    do {                                                                                                     \
        svctoken_error *error = NULL;                                                                        \
        if ((call) != SVCTOKEN_OK || error != NULL) {                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, svctoken_error_message(error)); \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

/* A call that must fail with that code, and an error whose message holds that text. */
#define CHECK_FAILS(expected, text, call)                                                                    \
    do {                                                                                                     \
        svctoken_error *error = NULL;                                                                        \
        const svctoken_code code = (call);                                                                   \
        if (code != (expected) || svctoken_error_code(error) != code ||                                      \
            strstr(svctoken_error_message(error), text) == NULL) {                                           \
            fprintf(stderr, "%s:%d: %s: code %u: %s\n", __FILE__, __LINE__, #call, (unsigned)code,          \
                    svctoken_error_message(error));                                                          \
            exit(1);                                                                                         \
        }                                                                                                    \
        svctoken_error_free(error);                                                                          \
    } while (0)

static inline const char *variable(const char *name) {
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "%s is not set\n", name);
        exit(1);
    }
    return value;
}

#endif
