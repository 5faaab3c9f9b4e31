/* Errors as answers, and all that is shown of what might hold a secret. */
#ifndef ANSWERS_H
#define ANSWERS_H

#include "lines.h"
#include "svctoken.h"

/* Whether to show on standard error what a program might print, for the runner to search for secrets. */
static bool is_loud;

static void show(const char *name, const char *text) {
    if (is_loud && text != NULL) fprintf(stderr, "%s: %s\n", name, text);
}

static void show_error(const svctoken_error *error) {
    show("name", svctoken_error_name(error));
    show("message", svctoken_error_message(error));
    show("stage", svctoken_error_stage(error));
    show("next_step", svctoken_error_next_step(error));
    show("oauth_error", svctoken_error_oauth_error(error));
    show("oauth_error_description", svctoken_error_oauth_error_description(error));
    show("api_error_code", svctoken_error_api_error_code(error));
}

static void add_error(buffer *answer, svctoken_error *error) {
    show_error(error);
    append(answer, "error", 5);
    add_number(answer, "code", svctoken_error_code(error));
    add_text(answer, "name", svctoken_error_name(error));
    add_text(answer, "message", svctoken_error_message(error));
    add_text(answer, "stage", svctoken_error_stage(error));
    if (svctoken_error_status(error) != 0) add_number(answer, "status", svctoken_error_status(error));
    add_text(answer, "oauth_error", svctoken_error_oauth_error(error));
    add_text(answer, "oauth_error_description", svctoken_error_oauth_error_description(error));
    add_text(answer, "api_error_code", svctoken_error_api_error_code(error));
    if (svctoken_error_retry_after_ms(error) >= 0) {
        add_number(answer, "retry_after_ms", svctoken_error_retry_after_ms(error));
    }
    svctoken_error_free(error);
}

#endif
