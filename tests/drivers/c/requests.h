/* Calls that are requests, or lists of pages, and what came of them. */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "answers.h"
#include "call.h"

static void add_headers(buffer *answer, const svctoken_response *response) {
    const char *name, *value;
    for (size_t i = 0; svctoken_response_header_at(response, i, &name, &value); i++) {
        buffer key = {0};
        append(&key, "header.", 7);
        append(&key, name, strlen(name));
        add_text(answer, key.bytes, value);
        free(key.bytes);
    }
}

static void show_error_of_status(const svctoken_response *response) {
    svctoken_error *error = NULL;
    if (svctoken_response_check(response, &error) != SVCTOKEN_OK) {
        show_error(error);
        svctoken_error_free(error);
    }
}

/* A number of /proc/self/status, in KiB; the peak is forgotten when the present is asked. */
static int64_t memory(const char *name) {
    char line[256];
    long long number = 0;
    FILE *file = strcmp(name, "VmRSS") == 0 ? fopen("/proc/self/clear_refs", "w") : NULL;
    if (file != NULL) {
        fputs("5", file);
        fclose(file);
    }
    file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) sscanf(line + strlen(name), ": %lld", &number);
    }
    if (file != NULL) fclose(file);
    return number;
}

/* What came of a body: the bytes, or where memory is measured only whether they were what they should be. */
typedef struct {
    buffer body;
    size_t length;
    bool matches;
} streamed;

static svctoken_code read_stream(call *c, svctoken_response *response, streamed *got, svctoken_error **error) {
    char *piece = allocate(c->stream), *pattern = allocate(c->stream + 251);
    svctoken_code code = SVCTOKEN_OK;
    for (size_t i = 0; i < c->stream + 251; i++) pattern[i] = (char)(i % 251);
    while (got->length < c->stop_after) {
        size_t length = 0;
        code = svctoken_response_read(response, piece, c->stream, &length, error);
        if (code != SVCTOKEN_OK || length == 0) break;
        if (!c->measure) append(&got->body, piece, length);
        else if (memcmp(piece, pattern + got->length % 251, length) != 0) got->matches = false;
        got->length += length;
        if (got->length >= c->cancel_after) svctoken_cancel_trigger(c->cancel);
    }
    free(piece);
    free(pattern);
    return code;
}

static void add_measured(call *c, const streamed *got, int64_t begin) {
    add_number(&c->answer, "streamed", (int64_t)got->length);
    if (!c->measure) return;
    add_text(&c->answer, "matches", got->matches ? "true" : "false");
    add_number(&c->answer, "growth_kib", memory("VmHWM") - begin);
}

static void request_stream(call *c) {
    svctoken_response *response = NULL;
    svctoken_error *error = NULL;
    if (svctoken_client_request_stream(c->client, c->method, c->url, c->options, &response, &error) != SVCTOKEN_OK) {
        add_error(&c->answer, error);
        return;
    }
    show_error_of_status(response);
    streamed got = {.matches = true};
    int64_t begin = c->measure ? memory("VmRSS") : 0;
    if (c->then == 'c' && svctoken_response_check(response, &error) != SVCTOKEN_OK) add_error(&c->answer, error);
    else if (read_stream(c, response, &got, &error) != SVCTOKEN_OK) {
        add_error(&c->answer, error);
        add_measured(c, &got, begin);
    } else {
        append(&c->answer, "ok", 2);
        add_number(&c->answer, "status", svctoken_response_status(response));
        add_number(&c->answer, "attempts", svctoken_response_attempts(response));
        add_text(&c->answer, "url", svctoken_response_url(response));
        add_bytes(&c->answer, "body", got.body.bytes, got.body.length);
        add_measured(c, &got, begin);
        add_headers(&c->answer, response);
    }
    free(got.body.bytes);
    svctoken_response_free(response);
}

static svctoken_code send_request(call *c, svctoken_response **response, svctoken_error **error) {
    if (c->download.path == NULL) return svctoken_client_request(c->client, c->method, c->url, c->options, response, error);
    svctoken_options_set_progress(c->options, hear_progress, &c->download, NULL);
    return svctoken_client_download(c->client, c->method, c->url, c->download.path, c->options, response, error);
}

static void request_whole(call *c) {
    svctoken_response *response = NULL;
    svctoken_error *error = NULL;
    if (send_request(c, &response, &error) != SVCTOKEN_OK) {
        add_error(&c->answer, error);
        add_progress(&c->answer, &c->download);
        return;
    }
    append(&c->answer, "ok", 2);
    add_number(&c->answer, "status", svctoken_response_status(response));
    add_number(&c->answer, "attempts", svctoken_response_attempts(response));
    add_text(&c->answer, "url", svctoken_response_url(response));
    add_bytes(&c->answer, "body", svctoken_response_body(response), svctoken_response_body_len(response));
    show_error_of_status(response);
    svctoken_code then = SVCTOKEN_OK;
    if (c->then == 'c') then = svctoken_response_check(response, &error);
    if (c->then == 't') {
        const char *text = NULL;
        size_t length = 0;
        then = svctoken_response_text(response, &text, &length, &error);
        if (then == SVCTOKEN_OK) add_bytes(&c->answer, "text", text, length);
    }
    if (then != SVCTOKEN_OK) {
        c->answer.length = 0;
        add_error(&c->answer, error);
        svctoken_response_free(response);
        return;
    }
    add_progress(&c->answer, &c->download);
    add_headers(&c->answer, response);
    svctoken_response_free(response);
}

static void request(call *c) {
    if (c->stream > 0) {
        request_stream(c);
        return;
    }
    int64_t begin = c->measure ? memory("VmRSS") : 0;
    request_whole(c);
    if (c->measure) add_number(&c->answer, "growth_kib", memory("VmHWM") - begin);
}

static void pages(call *c) {
    svctoken_pages *pages = NULL;
    svctoken_response *page = NULL, *last = NULL;
    svctoken_error *error = NULL;
    buffer urls = {0};
    int64_t count = 0;
    svctoken_code code = svctoken_pages_new(c->client, c->url, c->options, &pages, &error);
    while (code == SVCTOKEN_OK && (c->take == 0 || count < c->take)) {
        code = svctoken_pages_next(pages, &page, &error);
        if (code != SVCTOKEN_OK || page == NULL) break;
        svctoken_response_free(last);
        last = page;
        if (count++ > 0) append(&urls, " ", 1);
        append(&urls, svctoken_response_url(page), strlen(svctoken_response_url(page)));
    }
    if (code != SVCTOKEN_OK) {
        add_error(&c->answer, error);
    } else {
        append(&c->answer, "ok", 2);
        add_bytes(&c->answer, "urls", urls.bytes, urls.length);
    }
    add_number(&c->answer, "count", count);
    if (code == SVCTOKEN_OK && last != NULL) {
        add_number(&c->answer, "status", svctoken_response_status(last));
        add_bytes(&c->answer, "body", svctoken_response_body(last), svctoken_response_body_len(last));
    }
    svctoken_response_free(last);
    svctoken_pages_free(pages);
    free(urls.bytes);
}

#endif
